//! Counts of values in the buckets of a grid; it does not know what the values mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heartline_shared::Grid;

/// A handle to one histogram series; clones record into the same series.
///
/// Cost of a record: a table look-up, at most two comparisons and two relaxed `fetch_add`. The number of values is the
/// sum of the buckets, so in every snapshot they agree.
#[derive(Debug, Clone)]
pub struct Histogram(Arc<Cells>);

#[derive(Debug)]
struct Cells {
    grid: Arc<Grid>,
    sum: AtomicU64,
    buckets: Box<[AtomicU64]>,
}

impl Histogram {
    pub(crate) fn new(grid: Arc<Grid>) -> Self {
        let buckets = (0..grid.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Cells { grid, sum: AtomicU64::new(0), buckets }))
    }

    /// Bytes that a series on `grid` takes.
    pub(crate) fn bytes(grid: &Grid) -> usize {
        grid.len() * size_of::<AtomicU64>() + size_of::<Cells>()
    }

    /// Records how long something took.
    #[inline]
    pub fn record(&self, duration: Duration) {
        self.record_units(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Records a size or a count, for metrics whose unit is not `s`.
    #[inline]
    pub fn record_count(&self, value: u64) {
        self.record_units(value);
    }

    /// Records a value in the grid's resolution: nanoseconds for durations.
    #[inline]
    pub(crate) fn record_units(&self, value: u64) {
        let cells = &*self.0;
        if let Some(bucket) = cells.buckets.get(cells.grid.index(value)) {
            bucket.fetch_add(1, Ordering::Relaxed);
            cells.sum.fetch_add(value, Ordering::Relaxed);
        }
    }

    /// What was recorded so far.
    pub fn value(&self) -> heartline_shared::Histogram {
        let sum = self.0.sum.load(Ordering::Relaxed);
        let counts = self.0.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed));
        heartline_shared::Histogram::from_dense(counts, sum)
    }
}

#[cfg(test)]
mod tests {
    use heartline_shared::GridKind;

    use super::*;

    #[test]
    fn counts_and_sums_are_exact_from_many_threads_and_agree_in_every_reading() {
        let grid = Grid::of(GridKind::Duration);
        let histogram = Histogram::new(Arc::clone(&grid));
        std::thread::scope(|threads| {
            for thread in 0..8_u64 {
                let histogram = &histogram;
                threads.spawn(move || (0..20_000).for_each(|i| histogram.record_units(thread * 1_000_000 + i)));
            }
            for _ in 0..50 {
                assert!(histogram.value().is_consistent(&grid));
            }
        });
        let per_thread: u64 = (0..20_000).sum();
        let expected: u64 = (0..8_u64).map(|thread| thread * 1_000_000 * 20_000 + per_thread).sum();
        assert_eq!((histogram.value().count, histogram.value().sum), (160_000, expected));
    }
}
