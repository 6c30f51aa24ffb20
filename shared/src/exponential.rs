//! A histogram of the grid as OpenTelemetry's exponential histogram and as Prometheus' native one, at any scale: exact,
//! because every boundary of both is a boundary of the grid. How either is sent is not known here.
//!
//! Bucket `i` at scale `s` holds `base^i < v <= base^(i+1)` with `base = 2^(2^-s)`, in the unit of the metric, and one
//! scale less joins the buckets `2i` and `2i + 1` ([OpenTelemetry's data model][otlp]). Prometheus numbers the same
//! buckets by their upper bound, one more ([native histograms][native]). Explicit boundaries of the grid lie inside
//! buckets of this kind and disappear.
//!
//! [otlp]: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram
//! [native]: https://prometheus.io/docs/specs/native_histograms/#data-model

use std::borrow::Cow;
use std::sync::LazyLock;

use crate::buckets::{Grid, GridKind, ROOTS};
use crate::histogram::Histogram;

/// The coarsest scale that is made: Prometheus' coarsest schema, with which no histogram of a grid has more than four
/// buckets.
pub const SCALE_MIN: i32 = -4;
/// Prometheus writes a gap of so many empty buckets as zeros; a longer one begins a new span.
const GAP_WRITTEN_MAX: usize = 2;

/// An exponential histogram: what OTLP sends as `ExponentialHistogramDataPoint`, without its negative half, which is
/// empty.
///
/// ```
/// use heartline_shared::{Exponential, Grid, GridKind, Histogram};
///
/// let grid = Grid::of(GridKind::Duration);
/// let mut latencies = Histogram::default();
/// for nanos in [400_000_000, 600_000_000, 700_000_000] {
///     latencies.record(&grid, nanos);
/// }
/// // at scale 0 the buckets are powers of two: ¼ < 0.4 <= ½ < 0.6 <= 1
/// let octaves = Exponential::of(&latencies, &grid, 0);
/// assert_eq!((octaves.offset, octaves.counts), (-2, vec![1, 2]));
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exponential {
    /// How fine the buckets are: [`finest_scale`] or less.
    pub scale: i32,
    /// Values from 0 to this are not told apart, in the unit of the metric: 1 µs for durations, 0 for counts.
    pub zero_threshold: f64,
    /// How many values those are.
    pub zero_count: u64,
    /// The index of the first of `counts`; 0 when there are none.
    pub offset: i32,
    /// Values by bucket, the first and the last of them not 0; empty when no value is above the threshold.
    pub counts: Vec<u64>,
    /// All values.
    pub count: u64,
    /// Their sum in the unit of the metric.
    pub sum: f64,
}

/// A native histogram as Prometheus' protocol has it: what `io.prometheus.client.Histogram` carries beside the classic
/// buckets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Native {
    /// Prometheus' name for the scale.
    pub schema: i32,
    /// As in [`Exponential`].
    pub zero_threshold: f64,
    /// As in [`Exponential`].
    pub zero_count: u64,
    /// Runs of buckets. One of length 0 marks a native histogram that has no other sign of being one.
    pub spans: Vec<Span>,
    /// The count of each bucket of the spans, as the difference to the one before it.
    pub deltas: Vec<i64>,
    /// All values.
    pub count: u64,
    /// Their sum in the unit of the metric.
    pub sum: f64,
}

/// A run of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Empty buckets since the run before; for the first one the index of its bucket.
    pub offset: i32,
    /// Buckets in it.
    pub length: u32,
}

/// The scale of the grid's own exponential boundaries: 5 for durations, 3 for counts. A histogram that went on in groups
/// of buckets because memory was short is exact at a scale less by two, and too high by one group at the finest.
pub const fn finest_scale(kind: GridKind) -> i32 {
    match kind {
        GridKind::Duration => 5,
        GridKind::Count => 3,
    }
}

impl Exponential {
    /// `histogram` at `scale`, or at the nearest there is: from [`SCALE_MIN`] to [`finest_scale`].
    ///
    /// Values above the grid count in the bucket of the value just above its last boundary, as they do in the grid.
    pub fn of(histogram: &Histogram, grid: &Grid, scale: i32) -> Self {
        let mut made = Self::default();
        made.refill(histogram, grid, scale);
        made
    }

    /// Becomes what [`of`](Self::of) gives, in the memory that it has: whoever writes many histograms needs one of these.
    pub fn refill(&mut self, histogram: &Histogram, grid: &Grid, scale: i32) {
        self.fill(histogram, grid, (&Indices::of(grid), finest_scale(grid.kind()).saturating_sub(scale)));
    }

    /// Becomes `histogram` at the finest scale at which at most `filled_max` buckets have values, no coarser than
    /// [`SCALE_MIN`], in the memory that it has.
    pub fn refill_within(&mut self, histogram: &Histogram, grid: &Grid, filled_max: usize) {
        let indices = Indices::of(grid);
        let shift = if histogram.buckets.len() <= filled_max { 0 } else { indices.shift(histogram, filled_max) };
        self.fill(histogram, grid, (&indices, shift));
    }

    /// With indices that are shifted by so many bits, which is a scale less by so many.
    fn fill(&mut self, histogram: &Histogram, grid: &Grid, (indices, shift): (&Indices, i32)) {
        let finest = finest_scale(grid.kind());
        let shift = shift.clamp(0, finest - SCALE_MIN);
        self.scale = finest - shift;
        self.zero_threshold = grid.upper_bound(0).unwrap_or_default() as f64 / grid.kind().per_unit() as f64;
        (self.count, self.sum) = (histogram.count, histogram.sum_in_unit(grid));
        let (zeros, above) = match histogram.buckets.split_first() {
            Some((&(0, zeros), above)) => (zeros, above),
            _ => (0, &histogram.buckets[..]),
        };
        let index = |bucket: u16| indices.index(bucket) >> shift;
        self.zero_count = zeros;
        self.offset = above.first().map_or(0, |first| index(first.0));
        // in a document whose buckets do not ascend, those before the first count in the last
        let offset = self.offset;
        let at = |bucket: u16| index(bucket).wrapping_sub(offset).cast_unsigned() as usize;
        let last = above.last().filter(|last| index(last.0) > offset).map_or(0, |last| at(last.0));
        self.counts.clear();
        self.counts.resize(if above.is_empty() { 0 } else { last + 1 }, 0);
        for &(bucket, count) in above {
            if let Some(sum) = self.counts.get_mut(at(bucket).min(last)) {
                *sum = sum.saturating_add(count);
            }
        }
    }

    /// The same values at the finest scale at which they take at most `buckets_max` buckets, no coarser than
    /// [`SCALE_MIN`].
    #[must_use]
    pub fn fitting(mut self, buckets_max: usize) -> Self {
        while self.counts.len() > buckets_max && self.scale > SCALE_MIN {
            self = self.downscaled();
        }
        self
    }

    /// The same values at one scale less.
    #[must_use]
    pub fn downscaled(mut self) -> Self {
        self.downscale();
        self
    }

    /// Becomes the same values at one scale less, in the same memory.
    pub fn downscale(&mut self) {
        self.scale -= 1;
        let (old, first) = (self.offset, self.offset >> 1);
        let mut length = 0;
        for (index, at) in (old..).zip(0..self.counts.len()) {
            let count = std::mem::take(&mut self.counts[at]);
            // two of one parent stand next to each other, so that a parent is never behind its children
            let to = usize::try_from((index >> 1).saturating_sub(first)).unwrap_or(at);
            self.counts[to] = self.counts[to].saturating_add(count);
            length = to + 1;
        }
        self.counts.truncate(length);
        self.offset = if length == 0 { 0 } else { first };
    }

    /// The same buckets as Prometheus writes them.
    pub fn native(&self) -> Native {
        let mut native = Native::default();
        self.write_native(&mut native);
        native
    }

    /// Makes `native` what [`native`](Self::native) gives, in the memory that it has.
    pub fn write_native(&self, native: &mut Native) {
        (native.schema, native.zero_threshold, native.zero_count) = (self.scale, self.zero_threshold, self.zero_count);
        (native.count, native.sum) = (self.count, self.sum);
        native.spans.clear();
        native.deltas.clear();
        // Prometheus' indices are one more, and the first offset is counted from 0
        let (mut gap, mut start, mut before) = (0, self.offset.saturating_add(1), 0);
        for &count in &self.counts {
            if count == 0 {
                gap += 1;
                continue;
            }
            if let Some(span) = native.spans.last_mut().filter(|_| gap <= GAP_WRITTEN_MAX) {
                for _ in 0..gap {
                    native.deltas.push(-std::mem::take(&mut before));
                    span.length += 1;
                }
                span.length += 1;
            } else {
                let gap = i32::try_from(gap).unwrap_or(i32::MAX);
                native.spans.push(Span { offset: std::mem::take(&mut start).saturating_add(gap), length: 1 });
            }
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            native.deltas.push(count - std::mem::replace(&mut before, count));
            gap = 0;
        }
        if native.spans.is_empty() && self.zero_count == 0 && self.zero_threshold == 0.0 {
            native.spans.push(Span { offset: 0, length: 0 });
        }
    }
}

/// The exponential bucket at the finest scale of each bucket of a grid.
struct Indices(Cow<'static, [i32]>);

static DURATION_INDICES: LazyLock<Vec<i32>> = LazyLock::new(|| indices(&Grid::of(GridKind::Duration)));
static COUNT_INDICES: LazyLock<Vec<i32>> = LazyLock::new(|| indices(&Grid::of(GridKind::Count)));

impl Indices {
    /// Those of the built-in grids are known; for others they are looked up.
    fn of(grid: &Grid) -> Self {
        let built_in = std::ptr::eq(grid, std::sync::Arc::as_ptr(&Grid::of(grid.kind())));
        Self(match grid.kind() {
            _ if !built_in => Cow::Owned(indices(grid)),
            GridKind::Duration => Cow::Borrowed(&DURATION_INDICES),
            GridKind::Count => Cow::Borrowed(&COUNT_INDICES),
        })
    }

    /// A bucket that no grid has counts as the last one.
    fn index(&self, bucket: u16) -> i32 {
        self.0.get(usize::from(bucket)).or(self.0.last()).copied().unwrap_or_default()
    }

    /// By how many bits to shift for at most so many buckets with values. Two neighbours are one from that shift on that
    /// takes the highest bit away in which they differ.
    fn shift(&self, histogram: &Histogram, filled_max: usize) -> i32 {
        let mut differ = [0_usize; i32::BITS as usize + 1];
        let mut before = None;
        for &(bucket, _) in histogram.buckets.iter().filter(|bucket| bucket.0 > 0) {
            let index = self.index(bucket);
            let bits = before.replace(index).map_or(i32::BITS, |before| i32::BITS - (index ^ before).leading_zeros());
            differ[bits as usize] += 1;
        }
        let mut filled: usize = differ[1..].iter().sum();
        let mut shift = 0;
        while filled > filled_max && shift < i32::BITS as usize {
            shift += 1;
            filled -= differ[shift];
        }
        i32::try_from(shift).unwrap_or(i32::MAX)
    }
}

fn indices(grid: &Grid) -> Vec<i32> {
    let table = Uppers::of(grid.kind());
    let mut at = 0;
    let index = |bucket: usize| {
        let largest = grid.upper_bound(bucket).unwrap_or_else(|| grid.lower_bound(bucket).saturating_add(1));
        at = table.next(at, largest);
        table.first_index + i32::try_from(at).unwrap_or(i32::MAX / 2)
    };
    (0..grid.len()).map(index).collect()
}

/// The upper bounds of all buckets at the finest scale, rounded down to the grid's resolution, which changes nothing for
/// integers: a value is at most a bound exactly when it is at most the bound rounded down.
struct Uppers {
    /// The index of the bucket with the first upper bound.
    first_index: i32,
    uppers: Box<[u64]>,
}

static DURATION: LazyLock<Uppers> = LazyLock::new(|| Uppers::new(GridKind::Duration, -20..13));
static COUNT: LazyLock<Uppers> = LazyLock::new(|| Uppers::new(GridKind::Count, 0..42));

impl Uppers {
    fn of(kind: GridKind) -> &'static Self {
        match kind {
            GridKind::Duration => &DURATION,
            GridKind::Count => &COUNT,
        }
    }

    /// The first bucket at or behind `at` whose upper bound is not below `value`. Values of a histogram mostly lie near each
    /// other, so that the next ones are looked at before the rest is searched.
    fn next(&self, at: usize, value: u64) -> usize {
        const NEAR: usize = 8;
        let rest = self.uppers.get(at..).unwrap_or_default();
        let (near, far) = rest.split_at(NEAR.min(rest.len()));
        let within = near.iter().position(|&upper| upper >= value);
        at + within.unwrap_or_else(|| near.len() + far.partition_point(|&upper| upper < value))
    }

    fn new(kind: GridKind, octaves: std::ops::Range<i32>) -> Self {
        let per_octave = 1 << finest_scale(kind);
        let first_index = octaves.start * per_octave - 1;
        let roots = || ROOTS.iter().step_by(ROOTS.len() >> finest_scale(kind));
        let upper = |octave: i32, root: u64| (u128::from(root) * u128::from(kind.per_unit())) >> (63 - octave);
        let uppers = octaves.flat_map(|octave| roots().map(move |&root| upper(octave, root)));
        Self { first_index, uppers: uppers.map(|upper| u64::try_from(upper).unwrap_or(u64::MAX)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: GridKind, values: &[u64]) -> (Histogram, std::sync::Arc<Grid>) {
        let grid = Grid::of(kind);
        let mut histogram = Histogram::default();
        for &value in values {
            histogram.record(&grid, value);
        }
        (histogram, grid)
    }

    #[test]
    fn without_values_there_are_no_buckets_but_prometheus_still_sees_a_native_histogram() {
        for (kind, spans) in [(GridKind::Duration, vec![]), (GridKind::Count, vec![Span { offset: 0, length: 0 }])] {
            let (histogram, grid) = of(kind, &[]);
            let empty = Exponential::of(&histogram, &grid, 5);
            assert!(empty.counts.is_empty() && empty.offset == 0);
            let native = empty.native();
            // a threshold above 0 marks durations already
            assert_eq!((native.spans, native.deltas), (spans, vec![]));
        }
    }

    #[test]
    fn a_scale_that_there_is_not_becomes_the_nearest() {
        let (histogram, grid) = of(GridKind::Duration, &[5_000, 3_000_000_000]);
        for (asked, given) in [(20, 5), (5, 5), (-4, -4), (i32::MIN, -4)] {
            assert_eq!(Exponential::of(&histogram, &grid, asked).scale, given);
        }
        assert_eq!(Exponential::of(&histogram, &Grid::of(GridKind::Count), 5).scale, 3);
    }

    #[test]
    fn what_is_at_or_below_the_first_boundary_is_zero() {
        let (histogram, grid) = of(GridKind::Duration, &[0, 1_000, 1_001]);
        let made = Exponential::of(&histogram, &grid, 5);
        // 2^(-637/32) s is 1.018 µs
        assert_eq!((made.zero_threshold, made.zero_count, made.offset, made.counts), (1e-6, 2, -638, vec![1]));
        let (histogram, grid) = of(GridKind::Count, &[0, 1, 2]);
        let made = Exponential::of(&histogram, &grid, 3);
        assert_eq!((made.zero_threshold, made.zero_count, made.offset), (0.0, 1, -1));
        assert_eq!(made.counts, [1, 0, 0, 0, 0, 0, 0, 0, 1]); // 1 = 2^0 ends bucket -1, 2 = 2^(8/8) bucket 7
    }

    #[test]
    fn spans_leave_long_gaps_out_and_short_ones_in() {
        let exponential = Exponential {
            scale: 0,
            zero_threshold: 0.0,
            zero_count: 0,
            offset: -3,
            counts: vec![5, 0, 0, 7, 0, 0, 0, 2, 2],
            count: 16,
            sum: 1.0,
        };
        let native = exponential.native();
        assert_eq!(native.spans, [Span { offset: -2, length: 4 }, Span { offset: 3, length: 2 }]);
        assert_eq!(native.deltas, [5, -5, 0, 7, -5, 0]);
    }

    #[test]
    fn a_limit_on_buckets_costs_no_more_precision_than_it_must() {
        let all: Vec<u64> = (0..33).map(|octave| 1_000 << octave).collect();
        let (histogram, grid) = of(GridKind::Duration, &all);
        let finest = Exponential::of(&histogram, &grid, 5);
        assert_eq!(finest.counts.len(), 985); // from 2 µs to 1 h
        for (limit, scale) in [(1_000, 5), (160, 2), (16, -1), (1, SCALE_MIN)] {
            let fitting = finest.clone().fitting(limit);
            assert_eq!(fitting.scale, scale, "{limit}");
            assert!(fitting.counts.len() <= limit.max(4));
            assert_eq!(fitting, Exponential::of(&histogram, &grid, scale));
        }
    }

    #[test]
    fn a_document_with_buckets_that_no_grid_has_breaks_nothing() {
        let grid = Grid::of(GridKind::Duration);
        let lying = Histogram { count: 1, sum: 0, buckets: vec![(u16::MAX, u64::MAX), (3, 4), (u16::MAX, u64::MAX)] };
        assert_eq!(Exponential::of(&lying, &grid, 5).native().schema, 5);
    }
}
