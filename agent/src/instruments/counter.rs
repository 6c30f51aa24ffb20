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
/// cost a load, an addition and a store on a line that belongs to the thread.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<CachePadded<Cell>>);

#[derive(Debug, Default)]
struct Cell {
    shared: AtomicU64,
    place: AtomicUsize,
}

/// The counter has no place in the logs, or it tries to get one, or it is one more than its place.
const NO_PLACE: usize = 0;
const TRIED: usize = usize::MAX;

impl Counter {
    /// Bytes that a series takes: a cache line of its own, and one for the counts of its handles.
    pub(crate) const BYTES: usize = 2 * size_of::<CachePadded<Cell>>();

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
        let in_logs = match self.0.place.load(Ordering::Acquire) {
            NO_PLACE | TRIED => 0,
            place => recording::recorder().slot_sum(place - 1),
        };
        self.0.shared.load(Ordering::Relaxed).wrapping_add(in_logs)
    }

    /// Asks for a place once; where none is left, the counter stays as it is.
    #[cold]
    fn take_place(&self) {
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
    fn a_counter_starts_at_zero_in_a_place_that_another_one_had() {
        for _ in 0..300 {
            let counter = Counter::default();
            (0..HOT + 100).for_each(|_| counter.increment());
            assert_eq!(counter.value(), HOT + 100);
        }
    }
}
