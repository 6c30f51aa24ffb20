//! A sum that only grows; it does not know what it counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

use crate::recording;

/// A counter that has counted this far is worth a place of its own in every thread's log.
const HOT: u64 = 4_096;

/// A handle to one counter series; clones count into the same series.
///
/// Cost of [`add`](Self::add): one relaxed `fetch_add` on a cache line of its own. The first 128 counters that pass 4,096
/// cost a load, an addition and a store on a line that belongs to the thread; passing it takes a lock, once.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<CachePadded<Cell>>);

#[derive(Debug, Default)]
struct Cell {
    shared: AtomicU64,
    place: AtomicUsize,
    /// Of a counter that belongs nowhere, how often it was added to.
    additions: Option<AtomicU64>,
}

/// The counter has no place in the logs, or it tries to get one, or it is one more than its place.
const NO_PLACE: usize = 0;
const TRIED: usize = usize::MAX;

/// Where a counter that belongs nowhere stands: far beyond [`HOT`], whatever is added.
const DETACHED: u64 = 1 << 63;

impl Counter {
    /// Bytes that a series takes: a cache line of its own, and one for the counts of its handles.
    pub(crate) const BYTES: usize = 2 * size_of::<CachePadded<Cell>>();

    /// A counter that belongs nowhere: it knows how often it was added to, and its value is 0. It is hot and never gets a
    /// place, so each addition comes where others come once, and these need not be told apart.
    pub(crate) fn detached() -> Self {
        let (shared, place) = (AtomicU64::new(DETACHED), AtomicUsize::new(NO_PLACE));
        Self::new(Cell { shared, place, additions: Some(AtomicU64::new(0)) })
    }

    fn new(cell: Cell) -> Self {
        Self(Arc::new(CachePadded::new(cell)))
    }

    /// How often a [detached](Self::detached) counter was added to.
    pub(crate) fn additions(&self) -> u64 {
        self.0.additions.as_ref().map_or(0, |additions| additions.load(Ordering::Relaxed))
    }

    /// Adds `amount`.
    #[inline]
    pub fn add(&self, amount: u64) {
        let place = self.0.place.load(Ordering::Acquire);
        if place.wrapping_add(1) > 1 && recording::add(place - 1, amount) {
            return;
        }
        let before = self.0.shared.fetch_add(amount, Ordering::Relaxed);
        if place == NO_PLACE && before >= HOT {
            self.take_place();
        }
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self) {
        self.add(1);
    }

    /// What was counted so far.
    pub fn value(&self) -> u64 {
        if self.0.additions.is_some() {
            return 0;
        }
        let in_logs = match self.0.place.load(Ordering::Acquire) {
            NO_PLACE | TRIED => 0,
            place => recording::recorder().slot_sum(place - 1),
        };
        self.0.shared.load(Ordering::Relaxed).wrapping_add(in_logs)
    }

    /// Asks for a place once; where none is left, the counter stays as it is.
    #[cold]
    fn take_place(&self) {
        if let Some(additions) = &self.0.additions {
            self.0.shared.store(DETACHED, Ordering::Relaxed);
            additions.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if self.0.place.compare_exchange(NO_PLACE, TRIED, Ordering::Relaxed, Ordering::Relaxed).is_ok()
            && let Some(slot) = recording::recorder().take_slot()
        {
            // publishes that the place was cleared after its last counter
            self.0.place.store(slot + 1, Ordering::Release);
        }
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        match *self.place.get_mut() {
            NO_PLACE | TRIED => {}
            place => recording::recorder().release_slot(place - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_exact_while_it_moves_into_the_logs_of_many_threads() {
        let counter = Counter::default();
        for _ in 0..20 {
            let before = counter.value();
            std::thread::scope(|threads| {
                (0..4).for_each(|_| drop(threads.spawn(|| (0..1_000).for_each(|_| counter.increment()))));
            });
            recording::recorder().read().maintain();
            assert_eq!(counter.value(), before + 4_000);
        }
    }

    #[test]
    fn a_detached_counter_knows_how_often_it_was_added_to_by_all_threads() {
        let counter = Counter::detached();
        std::thread::scope(|threads| {
            let add = || (0..10_000).for_each(|amount| counter.clone().add(amount));
            (0..4).for_each(|_| drop(threads.spawn(add)));
        });
        assert_eq!((counter.additions(), counter.value()), (40_000, 0));
    }

    #[test]
    fn a_counter_starts_at_zero_in_a_place_that_another_one_had() {
        for _ in 0..300 {
            let counter = Counter::default();
            (0..HOT + 100).for_each(|_| counter.increment());
            assert_eq!(counter.value(), HOT + 100);
        }
    }
}
