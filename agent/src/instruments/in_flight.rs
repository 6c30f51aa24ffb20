//! What is going on right now, changed only by guards, so that a cancelled future cannot leave it too high.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use crossbeam_utils::CachePadded;

/// A number of things in progress; clones share it.
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<CachePadded<AtomicI64>>);

/// One thing in progress: +1 when taken, −1 when dropped, whichever way its future ends.
#[derive(Debug)]
#[must_use = "dropping the guard ends what it stands for"]
pub struct InFlightGuard(InFlight);

impl InFlight {
    /// Bytes that a series takes: a cache line of its own, and one for the counts of its handles.
    pub(crate) const BYTES: usize = 2 * size_of::<CachePadded<AtomicI64>>();

    /// Takes a guard. Cost: two `fetch_add`, of the number and of the handles, and two `fetch_sub` when the guard is dropped.
    #[inline]
    pub fn enter(&self) -> InFlightGuard {
        self.raise();
        InFlightGuard(self.clone())
    }

    /// For a guard of another kind, which lowers it again when it is dropped.
    #[inline]
    pub(crate) fn raise(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Once for each [`raise`](Self::raise).
    #[inline]
    pub(crate) fn lower(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many guards there are; never negative.
    pub fn value(&self) -> u64 {
        u64::try_from(self.0.load(Ordering::Relaxed)).unwrap_or(0)
    }
}

impl Drop for InFlightGuard {
    #[inline]
    fn drop(&mut self) {
        self.0.lower();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_counts_until_it_is_dropped_also_by_a_panic() {
        let in_flight = InFlight::default();
        let guard = in_flight.enter();
        assert_eq!(in_flight.value(), 1);
        let moved = std::thread::spawn(move || {
            let _held = guard;
            panic!("while in progress");
        });
        assert!(moved.join().is_err());
        assert_eq!(in_flight.value(), 0);
    }
}
