//! HOT: which series static labels had before, by where they are in memory. What the labels mean is not known here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::series::SeriesId;

/// Labels that are told apart; more of them are not kept here.
const LABELS: usize = 4;
/// Places of the first table, which most metrics need not leave, and of the second one.
const PLACES: usize = 512;
const PLACES_MORE: usize = 2_048;
/// How many places a series may stand at: its own, and those behind it.
const REACH: usize = 4;
/// An odd factor for each label: a sum of products tells apart texts that lie close together.
const FACTORS: [u32; LABELS] = [0x9e37_79b9, 0x85eb_ca6b, 0xc2b2_ae35, 0x27d4_eb2f];
/// What mixes the sum: its higher bits are folded into its lower ones, and an odd factor brings all of them up.
const FOLD: u32 = 15;
const MIXER: u32 = 0x2c1b_3c6d;

/// Bytes of all tables of this process.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// The series of one metric that were found by static labels, as long as the metric's family lives. What is there stays, so that
/// all threads read it without a write between them.
#[derive(Debug)]
pub(crate) struct Recent<const N: usize> {
    first: OnceLock<Table<N, PLACES>>,
    /// For what finds no place in the first.
    more: OnceLock<Table<N, PLACES_MORE>>,
}

#[derive(Debug)]
struct Table<const N: usize, const P: usize>(Box<[Place<N>; P]>);

/// Written once, by whichever thread is first.
type Place<const N: usize> = OnceLock<Known<N>>;

/// A series and its labels; those that are the same text in the same place are the same.
#[derive(Debug)]
struct Known<const N: usize> {
    values: [&'static str; N],
    series: SeriesId,
}

/// Bytes of all tables there are.
pub(super) fn bytes() -> usize {
    BYTES.load(Ordering::Relaxed)
}

/// The place of these labels among so many, a power of two: a [multiply-shift hash](https://arxiv.org/abs/1504.06804) of their
/// addresses. The texts of one program differ in the lower half of theirs.
#[inline]
fn place<const N: usize>(values: &[&'static str; N], places: usize) -> usize {
    #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
    let products =
        values.iter().zip(FACTORS).map(|(value, factor)| (value.as_ptr().addr() as u32).wrapping_mul(factor));
    // sums that are close to each other go to places that are not: a few methods, routes and statuses make many
    let sum = products.fold(0, u32::wrapping_add);
    let hash = (sum ^ sum >> FOLD).wrapping_mul(MIXER);
    (hash >> (u32::BITS - places.trailing_zeros())) as usize
}

impl<const N: usize> Known<N> {
    #[inline]
    fn is(&self, values: &[&'static str; N]) -> bool {
        self.values.iter().zip(values).all(|(known, value)| std::ptr::eq(*known, *value))
    }
}

impl<const N: usize, const P: usize> Table<N, P> {
    const BYTES: usize = size_of::<[Place<N>; P]>();

    fn new() -> Self {
        BYTES.fetch_add(Self::BYTES, Ordering::Relaxed);
        let places: Vec<Place<N>> = (0..P).map(|_| OnceLock::new()).collect();
        Self(places.try_into().unwrap_or_else(|_| unreachable!("so many were made")))
    }

    /// The series that these labels had before, if it stands in its own place.
    #[inline]
    fn find(&self, values: &[&'static str; N]) -> Option<SeriesId> {
        let known = self.0[place(values, P) % P].get()?;
        known.is(values).then_some(known.series)
    }

    /// The same, in any place that it may have.
    fn find_near(&self, values: &[&'static str; N]) -> Option<SeriesId> {
        let first = place(values, P);
        for at in first..first + REACH {
            // nothing stands behind a free place
            let known = self.0[at % P].get()?;
            if known.is(values) {
                return Some(known.series);
            }
        }
        None
    }

    /// Puts a series into the first free place that it may have; leaves it with the caller where there is none.
    fn keep(&self, known: &mut Option<Known<N>>) {
        let Some(first) = known.as_ref().map(|known| place(&known.values, P)) else { return };
        for at in first..first + REACH {
            match known.take().map(|known| self.0[at % P].set(known)) {
                Some(Err(taken)) => *known = Some(taken),
                _ => return,
            }
        }
    }
}

impl<const N: usize> Recent<N> {
    pub(crate) const fn new() -> Self {
        Self { first: OnceLock::new(), more: OnceLock::new() }
    }

    /// The series that these labels had before, if it is found at once.
    #[inline]
    pub(crate) fn find(&self, values: &[&'static str; N]) -> Option<SeriesId> {
        self.first.get()?.find(values)
    }

    /// The series that these labels had before, wherever it stands: one in twenty does elsewhere, where there are 64.
    pub(crate) fn find_elsewhere(&self, values: &[&'static str; N]) -> Option<SeriesId> {
        let first = self.first.get().and_then(|table| table.find_near(values));
        first.or_else(|| self.more.get()?.find_near(values))
    }

    /// Keeps the series of these labels, which lives as long as this. More labels than are told apart are not kept, nor what
    /// finds no place.
    #[cold]
    pub(crate) fn remember(&self, values: [&'static str; N], series: SeriesId) {
        if N <= LABELS {
            let mut known = Some(Known { values, series });
            self.first.get_or_init(Table::new).keep(&mut known);
            if known.is_some() {
                self.more.get_or_init(Table::new).keep(&mut known);
            }
        }
    }
}

impl<const N: usize, const P: usize> Drop for Table<N, P> {
    fn drop(&mut self) {
        BYTES.fetch_sub(Self::BYTES, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found<const N: usize>(recent: &Recent<N>, values: [&'static str; N]) -> Option<SeriesId> {
        recent.find(&values).or_else(|| recent.find_elsewhere(&values))
    }

    #[test]
    fn labels_are_found_by_their_place_in_memory_and_their_order() {
        let recent = Recent::new();
        recent.remember(["GET", "/carts"], SeriesId::from_index(7));
        assert_eq!(found(&recent, ["GET", "/carts"]), Some(SeriesId::from_index(7)));
        assert_eq!((found(&recent, ["GET", "/cart"]), found(&recent, ["/carts", "GET"])), (None, None));
        assert_eq!(found(&recent, ["GET", &"/carts"[..5]]), None);
    }

    #[test]
    fn what_is_found_is_right_and_nearly_all_of_a_thousand_are() {
        let recent = Recent::new();
        let all: Vec<&'static str> =
            (0..1_000).map(|i| &*String::from("a label of its own").repeat(i % 100 + 1).leak()).collect();
        for (at, value) in all.iter().enumerate() {
            recent.remember([value], SeriesId::from_index(at + 1));
        }
        let found: Vec<(usize, SeriesId)> =
            all.iter().enumerate().filter_map(|(at, value)| Some((at, found(&recent, [value])?))).collect();
        assert!(found.len() > 850, "{}", found.len());
        assert!(found.iter().all(|(at, series)| *series == SeriesId::from_index(at + 1)));
    }

    #[test]
    fn more_labels_than_are_told_apart_are_not_kept() {
        let recent = Recent::new();
        recent.remember(["a", "b", "c", "d", "e"], SeriesId::from_index(1));
        assert_eq!(found(&recent, ["a", "b", "c", "d", "e"]), None);
    }

    #[test]
    fn threads_that_remember_the_same_labels_all_find_them() {
        let recent = Recent::new();
        std::thread::scope(|threads| {
            for _ in 0..4 {
                threads.spawn(|| {
                    recent.remember(["GET", "200"], SeriesId::from_index(3));
                    assert_eq!(found(&recent, ["GET", "200"]), Some(SeriesId::from_index(3)));
                });
            }
        });
    }
}
