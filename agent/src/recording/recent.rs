//! HOT: which series the calling thread found by static labels before. What the labels mean is not known here.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use super::series::SeriesId;

/// Labels that an entry holds; more of them are not kept here.
const LABELS: usize = 4;
/// Entries of a thread: 18 KiB, of which the system backs what was used.
const ENTRIES: usize = 256;
/// How far from its own place an entry may lie.
const REACH: usize = 4;

/// A set of label names of one metric and agent, for as long as the process runs. How many names there are is the
/// family's: of two with the same id, the values are as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FamilyId(u32);

/// Where a label is in memory, and how long it is: equal ones are the same static text.
#[derive(Debug)]
struct Kept {
    at: Cell<usize>,
    len: Cell<usize>,
}

#[derive(Debug)]
struct Entry {
    family: Cell<u32>,
    series: Cell<SeriesId>,
    labels: [Kept; LABELS],
}

thread_local! {
    /// All zeros, so that the system backs it when it is used, and without a destructor, so that it can be used until the
    /// thread has ended.
    static RECENT: [Entry; ENTRIES] = const { [const { Entry::empty() }; ENTRIES] };
}

impl FamilyId {
    /// No family: nothing is kept for it.
    const NONE: Self = Self(u32::MAX);

    /// The next one; [`NONE`](Self::NONE) after four billion.
    pub(crate) fn next() -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let next = |last: u32| last.checked_add(1);
        LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).map_or(Self::NONE, |last| Self(last + 1))
    }
}

/// The place of an entry. Texts of one program lie close together, so that the highest bits of products tell them apart
/// best; each product carries what was mixed in before to them.
#[inline]
fn place<const N: usize>(family: FamilyId, values: &[&'static str; N]) -> usize {
    let mixed = values.iter().fold(u64::from(family.0), |mixed, value| {
        (mixed ^ value.as_ptr().addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    });
    #[expect(clippy::cast_possible_truncation, reason = "the eight highest bits")]
    let place = (mixed >> (u64::BITS - ENTRIES.trailing_zeros())) as usize;
    place
}

impl Kept {
    const fn none() -> Self {
        Self { at: Cell::new(0), len: Cell::new(0) }
    }
}

impl Entry {
    const fn empty() -> Self {
        Self { family: Cell::new(0), series: Cell::new(SeriesId::SINK), labels: [const { Kept::none() }; LABELS] }
    }

    #[inline]
    fn is<const N: usize>(&self, family: FamilyId, values: &[&'static str; N]) -> bool {
        let is_same =
            |(kept, value): (&Kept, &&str)| kept.at.get() == value.as_ptr().addr() && kept.len.get() == value.len();
        self.family.get() == family.0 && self.labels.iter().zip(values).all(is_same)
    }
}

/// The series that these labels had before.
#[inline]
pub(crate) fn recent<const N: usize>(family: FamilyId, values: &[&'static str; N]) -> Option<SeriesId> {
    let place = place(family, values);
    RECENT.with(|entries| {
        let entry = &entries[place % ENTRIES];
        if entry.is(family, values) {
            return Some(entry.series.get());
        }
        recent_near(entries, place, family, values)
    })
}

/// One in eight lies beside its place, where a thread records 64 series.
#[cold]
#[inline(never)]
fn recent_near<const N: usize>(
    entries: &[Entry; ENTRIES],
    place: usize,
    family: FamilyId,
    values: &[&'static str; N],
) -> Option<SeriesId> {
    let mut near = (place + 1..place + REACH).map(|at| &entries[at % ENTRIES]);
    near.find(|entry| entry.is(family, values)).map(|entry| entry.series.get())
}

/// Remembers the series of these labels, which lives as long as something records with `family`. More labels than an entry
/// holds are not kept.
#[cold]
pub(crate) fn remember<const N: usize>(family: FamilyId, values: &[&'static str; N], series: SeriesId) {
    if N > LABELS || family == FamilyId::NONE {
        return;
    }
    let place = place(family, values);
    RECENT.with(|entries| {
        let mut near = (place..place + REACH).map(|at| &entries[at % ENTRIES]);
        let entry = near.find(|entry| entry.family.get() == 0).unwrap_or(&entries[place]);
        entry.family.set(family.0);
        entry.series.set(series);
        for (kept, value) in entry.labels.iter().zip(values) {
            kept.at.set(value.as_ptr().addr());
            kept.len.set(value.len());
        }
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
