//! A cumulative histogram as sparse buckets of a grid: merging, differences, quantiles and exact counts at thresholds.
//! Recording is not done here; this is the immutable value that readers share.

use serde::{Deserialize, Serialize};

use crate::buckets::Grid;

/// Counts per bucket of a [`Grid`], with their number and the exact sum of the values.
///
/// On the wire `{"count": 3, "sum": 1200, "buckets": [[17, 2], [40, 1]]}`: `sum` in the grid's resolution
/// (nanoseconds for durations), `buckets` as ascending pairs of bucket index and count, empty buckets left out.
///
/// ```
/// use heartline_shared::{Grid, GridKind, Histogram};
///
/// let grid = Grid::of(GridKind::Duration);
/// let mut latencies = Histogram::default();
/// for millis in 1..=100_u64 {
///     latencies.record(&grid, millis * 1_000_000);
/// }
/// let p99 = latencies.quantile(&grid, 0.99).unwrap();
/// assert!((p99 - 0.099).abs() / 0.099 < 0.011);
/// assert_eq!(latencies.count_at_or_below(&grid, 0.05), Some(50)); // 50 ms is a boundary: exact
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// How many values were recorded: always the sum of the bucket counts.
    pub count: u64,
    /// The sum of the values in the grid's resolution; wraps after 584 years of accumulated nanoseconds.
    pub sum: u64,
    /// Bucket index and count, ascending, without zeros.
    pub buckets: Vec<(u16, u64)>,
}

impl Histogram {
    /// A histogram from counts of neighbouring buckets from the `first`-th on, zeros included; `count` is their sum.
    pub fn from_dense(first: u16, counts: impl Iterator<Item = u64> + Clone, sum: u64) -> Self {
        let mut buckets = Vec::with_capacity(counts.clone().filter(|count| *count > 0).count());
        let filled = counts.zip(first..).filter(|(count, _)| *count > 0);
        buckets.extend(filled.map(|(count, bucket)| (bucket, count)));
        Self { count: total(&buckets), sum, buckets }
    }

    /// As [`from_dense`](Self::from_dense) from counts of sixteen bits, of 65,535 buckets at most; those behind them are left out.
    /// Readers of many series do this for each: it takes half the instructions, by narrow sums and by passing over zeros.
    pub fn from_narrow(first: u16, counts: &[u16], sum: u64) -> Self {
        const RUN: usize = 8;
        let counts = counts.get(..usize::from(u16::MAX)).unwrap_or(counts);
        let filled: u16 = counts.iter().map(|count| u16::from(*count > 0)).sum();
        let count: u32 = counts.iter().map(|count| u32::from(*count)).sum();
        let mut buckets = Vec::with_capacity(usize::from(filled));
        let mut add = |start: u16, run: &[u16]| {
            let mut bucket = start;
            for &count in run {
                if count > 0 {
                    buckets.push((bucket, u64::from(count)));
                }
                bucket = bucket.wrapping_add(1);
            }
        };
        let (runs, rest) = counts.as_chunks::<RUN>();
        let mut start = first;
        for run in runs {
            if *run != [0; RUN] {
                add(start, run);
            }
            start = start.wrapping_add(8);
        }
        add(start, rest);
        Self { count: u64::from(count), sum, buckets }
    }

    /// Adds one value, in the grid's resolution.
    pub fn record(&mut self, grid: &Grid, value: u64) {
        let bucket = u16::try_from(grid.index(value)).unwrap_or(u16::MAX);
        match self.buckets.binary_search_by_key(&bucket, |&(index, _)| index) {
            Ok(at) => self.buckets[at].1 += 1,
            Err(at) => self.buckets.insert(at, (bucket, 1)),
        }
        self.count += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    /// Whether the counts add up and the buckets ascend within `grid`: what a reader checks before it trusts a document.
    pub fn is_consistent(&self, grid: &Grid) -> bool {
        let ascending = self.buckets.is_sorted_by(|(a, _), (b, _)| a < b);
        let inside = self.buckets.last().is_none_or(|&(index, _)| usize::from(index) < grid.len());
        let sum = self.buckets.iter().try_fold(0_u64, |sum, (_, count)| sum.checked_add(*count));
        ascending && inside && sum == Some(self.count)
    }

    /// Adds all values of `other`, which uses the same grid.
    pub fn merge(&mut self, other: &Self) {
        let sums = zip_buckets(&self.buckets, &other.buckets, |a, b| Some(a.saturating_add(b)));
        self.buckets = sums.unwrap_or_default(); // adding refuses nothing
        self.count = self.count.saturating_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// What was recorded after `earlier`, or `None` when `self` is not a continuation of it (the process restarted).
    pub fn delta(&self, earlier: &Self) -> Option<Self> {
        let buckets = zip_buckets(&self.buckets, &earlier.buckets, u64::checked_sub)?;
        Some(Self { count: total(&buckets), sum: self.sum.wrapping_sub(earlier.sum), buckets })
    }

    /// The `q`-quantile in the unit of the metric (seconds for durations); `None` without values or for `q` outside 0..=1.
    ///
    /// The value of rank `q · count`, rounded up, is somewhere in its bucket; the harmonic middle of the bucket is as near
    /// as can be said: at most 1.1 % off for durations from 1 µs on, 4.4 % for counts, whatever the distribution. (Linear in the
    /// bucket, as Prometheus' `histogram_quantile` has it, would be off by twice that.) Durations below 1 µs are one bucket and
    /// give 1 µs. A rank above the last boundary gives that boundary: the histogram knows only that it was exceeded.
    pub fn quantile(&self, grid: &Grid, q: f64) -> Option<f64> {
        if self.count == 0 || !(0.0..=1.0).contains(&q) {
            return None;
        }
        let rank = q * self.count as f64;
        let mut below = 0_u64;
        let bucket = self.buckets.iter().find(|(_, count)| {
            below = below.saturating_add(*count);
            below as f64 >= rank
        });
        let bucket = bucket.or(self.buckets.last()).map(|(index, _)| usize::from(*index))?;
        Some(middle(grid, bucket) / grid.kind().per_unit() as f64)
    }

    /// How many values are at or below `threshold` (in the unit of the metric); exact, so `None` unless the threshold
    /// is a boundary of the grid.
    pub fn count_at_or_below(&self, grid: &Grid, threshold: f64) -> Option<u64> {
        let last = grid.boundary(threshold)?;
        Some(total(self.buckets.iter().filter(|(index, _)| usize::from(*index) <= last)))
    }

    /// The mean in the unit of the metric; `None` without values.
    pub fn mean(&self, grid: &Grid) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64 / grid.kind().per_unit() as f64)
    }

    /// The sum in the unit of the metric.
    pub fn sum_in_unit(&self, grid: &Grid) -> f64 {
        self.sum as f64 / grid.kind().per_unit() as f64
    }
}

/// The value with the least relative distance to all values of a bucket, in the grid's resolution. The first bucket
/// gives its bound, as its values have no smallest one but 0; the last one has no upper bound and gives its lower one.
fn middle(grid: &Grid, bucket: usize) -> f64 {
    let lower = grid.lower_bound(bucket);
    match grid.upper_bound(bucket) {
        Some(upper) if bucket > 0 => {
            let (smallest, largest) = ((lower + 1) as f64, upper as f64);
            2.0 * smallest * largest / (smallest + largest)
        }
        Some(upper) => upper as f64,
        None => grid.bounds().last().copied().unwrap_or_default() as f64,
    }
}

fn total<'a>(buckets: impl IntoIterator<Item = &'a (u16, u64)>) -> u64 {
    buckets.into_iter().fold(0_u64, |sum, (_, count)| sum.saturating_add(*count))
}

/// Combines two sparse lists bucket by bucket, leaving out zeros; `None` as soon as `combine` refuses.
fn zip_buckets(
    ours: &[(u16, u64)],
    theirs: &[(u16, u64)],
    combine: impl Fn(u64, u64) -> Option<u64>,
) -> Option<Vec<(u16, u64)>> {
    let mut merged = Vec::with_capacity(ours.len().max(theirs.len()));
    let (mut left, mut right) = (ours.iter().peekable(), theirs.iter().peekable());
    loop {
        let index = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.0.min(b.0),
            (Some(a), None) => a.0,
            (None, Some(b)) => b.0,
            (None, None) => return Some(merged),
        };
        let ours = left.next_if(|(at, _)| *at == index).map_or(0, |(_, count)| *count);
        let theirs = right.next_if(|(at, _)| *at == index).map_or(0, |(_, count)| *count);
        let count = combine(ours, theirs)?;
        if count > 0 {
            merged.push((index, count));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buckets::GridKind;

    fn of(values: &[u64]) -> Histogram {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        for &value in values {
            histogram.record(&grid, value);
        }
        histogram
    }

    #[test]
    fn narrow_counts_make_the_histogram_that_wide_ones_make() {
        for length in [0, 1, 7, 8, 9, 16, 40] {
            for (zeros, first) in [(1, 0), (3, 5), (20, 900)] {
                let narrow: Vec<u16> =
                    (0..length).map(|at: u16| if at.is_multiple_of(zeros) { u16::MAX - at } else { 0 }).collect();
                let wide = Histogram::from_dense(first, narrow.iter().map(|count| u64::from(*count)), 77);
                assert_eq!(Histogram::from_narrow(first, &narrow, 77), wide, "{length} counts, one in {zeros}");
            }
        }
    }

    #[test]
    fn a_shrinking_bucket_is_a_restart_and_not_a_difference() {
        assert_eq!(of(&[5_000_000]).delta(&of(&[9_000_000])), None);
    }

    #[test]
    fn a_rank_above_the_last_boundary_is_that_boundary() {
        let day = 86_400_000_000_000;
        assert_eq!(of(&[day]).quantile(&Grid::of(GridKind::Duration), 0.5), Some(3_600.0));
    }

    #[test]
    fn without_values_there_is_no_quantile_and_no_mean() {
        let grid = Grid::of(GridKind::Duration);
        assert_eq!(Histogram::default().quantile(&grid, 0.5), None);
        assert_eq!(Histogram::default().mean(&grid), None);
    }

    #[test]
    fn a_threshold_that_is_no_boundary_is_refused_rather_than_guessed() {
        assert_eq!(of(&[1]).count_at_or_below(&Grid::of(GridKind::Duration), 0.123_456), None);
    }

    #[test]
    fn a_document_whose_counts_do_not_add_up_is_inconsistent() {
        let grid = Grid::of(GridKind::Duration);
        let lying = Histogram { count: 3, sum: 0, buckets: vec![(1, 1)] };
        let unordered = Histogram { count: 2, sum: 0, buckets: vec![(5, 1), (1, 1)] };
        let outside = Histogram { count: 1, sum: 0, buckets: vec![(u16::MAX, 1)] };
        assert!(![lying, unordered, outside].iter().any(|histogram| histogram.is_consistent(&grid)));
    }

    proptest! {
        #[test]
        fn merging_then_subtracting_gives_back_the_first(
            first in prop::collection::vec(0_u64..10_000_000_000, 0..60),
            second in prop::collection::vec(0_u64..10_000_000_000, 0..60),
        ) {
            let mut merged = of(&first);
            merged.merge(&of(&second));
            prop_assert_eq!(merged.delta(&of(&second)), Some(of(&first)));
            let all: Vec<u64> = first.iter().chain(&second).copied().collect();
            prop_assert_eq!(merged, of(&all));
        }
    }
}
