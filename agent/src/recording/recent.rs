//! HOT: which series the calling thread found by static labels before. What the labels mean is not known here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use super::series::SeriesId;

/// Labels that an entry holds; more of them are not kept here.
const LABELS: usize = 4;
/// Entries of a thread: 10 KiB, of which the system backs what was used.
const ENTRIES: usize = 256;
/// How far from its own place an entry may lie.
const REACH: usize = 4;

/// A set of label names of one metric and agent, for as long as the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FamilyId(u32);

/// Where the labels of a series are in memory, with their lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Addresses([u64; LABELS]);

#[derive(Debug)]
struct Entry {
    family: Cell<u32>,
    series: Cell<SeriesId>,
    labels: [Cell<u64>; LABELS],
}

thread_local! {
    /// All zeros, so that the system backs it when it is used, and without a destructor, so that it can be used until the
    /// thread has ended.
    static RECENT: [Entry; ENTRIES] = const {
        [const { Entry { family: Cell::new(0), series: Cell::new(SeriesId::SINK), labels: [const { Cell::new(0) }; LABELS] } };
            ENTRIES]
    };
}

impl FamilyId {
    /// No family: nothing is kept for it.
    const NONE: Self = Self(0);

    /// The next one; [`NONE`](Self::NONE) after four billion.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let next = |last: u32| last.checked_add(1);
        LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(Self::NONE, |last| Self(last + 1))
    }
}

impl Addresses {
    /// `None` where they do not fit: more than four labels, one of 64 KiB, an address of more than 48 bits.
    #[inline]
    fn of<const N: usize>(values: &[&'static str; N]) -> Option<Self> {
        let mut addresses = [0; LABELS];
        let mut excess = 0;
        for (address, value) in addresses.get_mut(..N)?.iter_mut().zip(values) {
            let (at, len) = (value.as_ptr().addr() as u64, value.len() as u64);
            excess |= at >> 48 | len >> 16;
            *address = at << 16 | len;
        }
        (excess == 0).then_some(Self(addresses))
    }

    #[inline]
    fn place(self, family: FamilyId) -> usize {
        let Self([a, b, c, d]) = self;
        let mixed = u64::from(family.0) ^ a ^ b.rotate_left(21) ^ c.rotate_left(42) ^ d.rotate_left(11);
        #[expect(clippy::cast_possible_truncation, reason = "the highest bits of the product, which all others reach")]
        let place = (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - ENTRIES.trailing_zeros())) as usize;
        place
    }
}

impl Entry {
    #[inline]
    fn is(&self, family: FamilyId, labels: Addresses) -> bool {
        let differing = self.labels.iter().zip(labels.0).fold(0, |bits, (kept, label)| bits | (kept.get() ^ label));
        self.family.get() == family.0 && differing == 0
    }
}

/// The series that these labels had before, by their addresses: equal ones are the same static text.
#[inline]
pub(crate) fn recent<const N: usize>(family: FamilyId, values: &[&'static str; N]) -> Option<SeriesId> {
    let labels = Addresses::of(values)?;
    let place = labels.place(family);
    RECENT.with(|entries| {
        let mut near = (place..place + REACH).map(|at| &entries[at % ENTRIES]);
        near.find(|entry| entry.is(family, labels)).map(|entry| entry.series.get())
    })
}

/// Remembers the series of these labels, which lives as long as something records with `family`.
#[cold]
pub(crate) fn remember<const N: usize>(family: FamilyId, values: &[&'static str; N], series: SeriesId) {
    let Some(labels) = Addresses::of(values).filter(|_| family != FamilyId::NONE) else { return };
    let place = labels.place(family);
    RECENT.with(|entries| {
        let mut near = (place..place + REACH).map(|at| &entries[at % ENTRIES]);
        let entry = near.find(|entry| entry.family.get() == 0).unwrap_or(&entries[place]);
        entry.family.set(family.0);
        entry.series.set(series);
        entry.labels.iter().zip(labels.0).for_each(|(kept, label)| kept.set(label));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_does_not_find_what_another_kept_for_the_same_labels() {
        let (one, other) = (FamilyId::next(), FamilyId::next());
        remember(one, &["GET", "/carts"], SeriesId::from_index(7));
        assert_eq!(recent(one, &["GET", "/carts"]), Some(SeriesId::from_index(7)));
        assert_eq!((recent(other, &["GET", "/carts"]), recent(one, &["GET", "/cart"])), (None, None));
        assert_eq!(recent(one, &["/carts", "GET"]), None);
    }

    #[test]
    fn what_was_evicted_is_not_found_and_what_is_found_is_right() {
        let family = FamilyId::next();
        let all: Vec<&'static str> =
            (0..2_000).map(|i| &*String::from("a label of its own").repeat(i + 1).leak()).collect();
        for (at, value) in all.iter().enumerate() {
            remember(family, &[value], SeriesId::from_index(at + 1));
        }
        let found: Vec<(usize, SeriesId)> =
            all.iter().enumerate().filter_map(|(at, value)| Some((at, recent(family, &[value])?))).collect();
        assert!((10..=ENTRIES).contains(&found.len()), "{}", found.len());
        assert!(found.iter().all(|(at, series)| *series == SeriesId::from_index(at + 1)));
    }

    #[test]
    fn more_labels_than_an_entry_holds_are_not_kept() {
        let family = FamilyId::next();
        remember(family, &["a", "b", "c", "d", "e"], SeriesId::from_index(1));
        assert_eq!(recent(family, &["a", "b", "c", "d", "e"]), None);
    }
}
