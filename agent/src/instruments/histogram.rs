//! Counts of values in the buckets of a grid; it does not know what the values mean.

use std::sync::Arc;
use std::time::Duration;

use crate::recording::{self, Reading, SeriesId, Shape};

/// A duration of fewer whole seconds is one multiplication and surely fits an entry of a log.
const SECONDS_IN_AN_ENTRY: u64 = recording::VALUE_MAX / 1_000_000_000;

/// A handle to one histogram series; clones record into the same series.
///
/// Cost of a record: one entry in a log of the thread's own; every 256 entries are folded into buckets, which takes the
/// thread a few hundred nanoseconds. No lock is waited for and nothing is allocated, but for a thread's first record, a series
/// that is new or outgrows its memory, a value of 18 minutes or more, and a moment at which other threads
/// have every store. Threads share no cache line. The number of values is the sum of the buckets, so in every snapshot they
/// agree.
#[derive(Debug, Clone)]
pub struct Histogram {
    id: SeriesId,
    series: Arc<Series>,
}

/// What keeps a series alive: the handles hold it, the logs and stores hold only its id.
#[derive(Debug)]
struct Series {
    id: SeriesId,
}

impl Drop for Series {
    fn drop(&mut self) {
        recording::recorder().retire(self.id);
    }
}

impl Histogram {
    pub(crate) fn new(shape: &Arc<Shape>) -> Self {
        let id = recording::recorder().register(shape);
        Self { id, series: Arc::new(Series { id }) }
    }

    /// Bytes that a series takes before it has values.
    pub(crate) const fn bytes() -> usize {
        size_of::<Self>() + size_of::<Series>() + recording::SLOT_BYTES + 3 * size_of::<usize>()
    }

    /// Records how long something took.
    #[inline]
    pub fn record(&self, duration: Duration) {
        Self::record_into(self.id, duration);
    }

    /// Records into a series that a handle keeps alive.
    #[inline]
    pub(crate) fn record_into(series: SeriesId, duration: Duration) {
        if duration.as_secs() < SECONDS_IN_AN_ENTRY {
            recording::record(series, duration.as_secs() * 1_000_000_000 + u64::from(duration.subsec_nanos()));
        } else {
            record_long(series, duration);
        }
    }

    /// What records need to know of the series.
    pub(crate) fn id(&self) -> SeriesId {
        self.id
    }

    /// Records a size or a count, for metrics whose unit is not `s`.
    #[inline]
    pub fn record_count(&self, value: u64) {
        self.record_units(value);
    }

    /// Records a value in the grid's resolution: nanoseconds for durations.
    #[inline]
    pub(crate) fn record_units(&self, value: u64) {
        recording::record(self.id, value);
    }

    /// What was recorded so far, by all threads. Reads every thread's log: for many series take a snapshot.
    pub fn value(&self) -> heartline_shared::Histogram {
        self.value_in(&mut recording::recorder().read())
    }

    /// What was recorded before `reading` began, and perhaps some of what was recorded since.
    pub(crate) fn value_in(&self, reading: &mut Reading<'_>) -> heartline_shared::Histogram {
        reading.histogram(self.series.id)
    }
}

/// Durations of a quarter of an hour and more are rare enough for 128 bits.
#[cold]
fn record_long(series: SeriesId, duration: Duration) {
    recording::record(series, u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use heartline_shared::{Grid, GridKind};

    use super::*;
    use crate::recording::{Budget, recorder};

    fn shape(budget: usize) -> Arc<Shape> {
        Arc::new(Shape { grid: Grid::of(GridKind::Duration), budget: Arc::new(Budget::new(budget)) })
    }

    fn histogram() -> Histogram {
        Histogram::new(&shape(1 << 20))
    }

    #[test]
    fn counts_and_sums_are_exact_from_many_threads_and_agree_in_every_reading() {
        let grid = Grid::of(GridKind::Duration);
        let histogram = histogram();
        std::thread::scope(|threads| {
            for thread in 0..8_u64 {
                let histogram = &histogram;
                threads.spawn(move || (0..20_000).for_each(|i| histogram.record_units(thread * 1_000_000 + i)));
            }
            let mut before = 0;
            for _ in 0..50 {
                let value = histogram.value();
                assert!(value.is_consistent(&grid) && value.count >= before);
                before = value.count;
            }
        });
        let per_thread: u64 = (0..20_000).sum();
        let expected: u64 = (0..8_u64).map(|thread| thread * 1_000_000 * 20_000 + per_thread).sum();
        assert_eq!((histogram.value().count, histogram.value().sum), (160_000, expected));
    }

    #[test]
    fn a_value_is_seen_at_once_though_its_thread_lives_and_folds_nothing() {
        let histogram = histogram();
        histogram.record(Duration::from_millis(5));
        assert_eq!(histogram.value().count, 1);
        histogram.record(Duration::from_millis(5));
        assert_eq!(histogram.value().count, 2);
    }

    #[test]
    fn values_that_no_entry_holds_are_exact_too() {
        let histogram = histogram();
        let values = [0, (1 << 40) - 1, 1 << 40, u64::MAX / 2];
        for value in values {
            histogram.record_units(value);
        }
        assert_eq!((histogram.value().count, histogram.value().sum), (4, values.iter().sum()));
    }

    #[test]
    fn what_short_lived_threads_recorded_stays_when_their_logs_are_given_back() {
        let histogram = histogram();
        for _ in 0..50 {
            std::thread::scope(|threads| {
                (0..4).for_each(|_| drop(threads.spawn(|| (0..3).for_each(|_| histogram.record_units(7_000)))));
            });
            recorder().read().maintain();
        }
        assert_eq!(histogram.value().count, 600);
    }

    #[test]
    fn records_from_the_destructors_of_thread_locals_count() {
        struct Late(Histogram);
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.record_units(9_000);
            }
        }
        thread_local!(static LATE: RefCell<Vec<Late>> = const { RefCell::new(Vec::new()) });
        let histogram = histogram();
        for records_before in [true, false] {
            let ours = histogram.clone();
            let late = move || {
                if records_before {
                    ours.record_units(1_000);
                }
                LATE.with_borrow_mut(|late| late.push(Late(ours.clone())));
                ours.record_units(1_000);
            };
            std::thread::spawn(late).join().unwrap();
        }
        assert_eq!((histogram.value().count, histogram.value().sum), (5, 21_000));
    }

    #[test]
    fn a_series_that_is_gone_leaves_nothing_to_the_next_one_with_its_id() {
        let shape = shape(1 << 22);
        for round in 0..3_000_u64 {
            let histogram = Histogram::new(&shape);
            histogram.record_units(round);
            assert!(round % 500 != 0 || histogram.value().sum == round, "{:?}", histogram.value());
        }
        recorder().read().maintain();
        assert_eq!(shape.budget.held(), 0);
    }

    #[test]
    fn when_memory_is_short_values_go_into_groups_of_buckets_and_thresholds_stay_exact() {
        let grid = Grid::of(GridKind::Duration);
        let histogram = Histogram::new(&shape(0));
        let mut before = histogram.value();
        for value in (1..2_000_u64).map(|i| i * 1_000_000) {
            histogram.record_units(value);
            if value % 97_000_000 == 0 {
                let now = histogram.value();
                assert!(now.delta(&before).is_some(), "a bucket shrank at {value}");
                before = now;
            }
        }
        let value = histogram.value();
        assert!(value.is_consistent(&grid));
        assert_eq!(value.count_at_or_below(&grid, 0.1), Some(100));
        assert_eq!((value.count, value.sum), (1_999, 1_999_000_000_000));
        let p99 = value.quantile(&grid, 0.99).unwrap();
        assert!((1.9..2.2).contains(&p99), "{p99}");
    }
}
