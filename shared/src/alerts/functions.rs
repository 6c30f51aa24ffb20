//! Prometheus' functions over windows of samples, with its algorithms: rates with resets and extrapolation, quantiles of
//! classic histograms, least squares. Series, labels and rules are not known here.
//!
//! Sources: `promql/functions.go` (extrapolatedRate, linearRegression, kahanSumInc) and `promql/quantile.go`
//! (BucketQuantile, ensureMonotonicAndIgnoreSmallDeltas) of Prometheus 3.

use super::vocabulary::Aggregator;
use crate::time::UnixMillis;

/// A sample of a window.
pub(super) type Point = (UnixMillis, f64);

/// Relative differences between neighbouring buckets below this are noise of floating point.
const SMALL_DELTA: f64 = 1e-12;

/// What a counter grew by within `(from, to]`, resets added back, extrapolated to the edges of the window.
///
/// `None` with fewer than two samples.
pub(super) fn increase(points: &[Point], from: UnixMillis, to: UnixMillis) -> Option<f64> {
    let [first, .., last] = points else { return None };
    let resets: f64 = points.windows(2).filter(|pair| pair[1].1 < pair[0].1).map(|pair| pair[0].1).sum();
    let grown = last.1 - first.1 + resets;
    let mut to_start = seconds(from, first.0);
    let mut to_end = seconds(last.0, to);
    let sampled = seconds(first.0, last.0);
    let spacing = sampled / (points.len() - 1) as f64;
    let far = spacing * 1.1;
    if to_start >= far {
        to_start = spacing / 2.0;
    }
    if grown > 0.0 && first.1 >= 0.0 {
        // A counter starts at zero: the line is not drawn below it.
        let to_zero = sampled * (first.1 / grown);
        to_start = to_start.min(to_zero);
    }
    if to_end >= far {
        to_end = spacing / 2.0;
    }
    Some(grown * ((sampled + to_start + to_end) / sampled))
}

/// The increase per second of the window.
pub(super) fn rate(points: &[Point], from: UnixMillis, to: UnixMillis) -> Option<f64> {
    Some(increase(points, from, to)? / seconds(from, to))
}

/// The mean of the samples; `None` without any.
pub(super) fn mean(points: &[Point]) -> Option<f64> {
    if points.is_empty() {
        return None;
    }
    Some(sum(points.iter().map(|(_, value)| *value)) / points.len() as f64)
}

/// The line of least squares as (slope per second, value at `origin`); `None` with fewer than two samples.
pub(super) fn regression(points: &[Point], origin: UnixMillis) -> Option<(f64, f64)> {
    let [first, _, ..] = points else { return None };
    #[expect(clippy::float_cmp, reason = "a series that never changed has a slope of exactly zero")]
    let constant = points.iter().all(|(_, value)| *value == first.1);
    if constant {
        return Some((0.0, first.1));
    }
    let n = points.len() as f64;
    let x = |at: UnixMillis| seconds(origin, at);
    let xs = sum(points.iter().map(|(at, _)| x(*at)));
    let ys = sum(points.iter().map(|(_, value)| *value));
    let products = sum(points.iter().map(|(at, value)| x(*at) * value));
    let squares = sum(points.iter().map(|(at, _)| x(*at) * x(*at)));
    let covariance = products - xs * ys / n;
    let variance = squares - xs * xs / n;
    let slope = covariance / variance;
    Some((slope, ys / n - slope * xs / n))
}

/// The `q`-quantile of cumulative bucket values: one per boundary, and that of infinity last.
///
/// Not-a-number without observations; a rank above the last boundary gives that boundary.
pub(super) fn histogram_quantile(q: f64, boundaries: &[f64], cumulative: &[f64]) -> f64 {
    let cumulative = monotone(cumulative);
    let (Some(&all), Some(&highest)) = (cumulative.last(), boundaries.last()) else { return f64::NAN };
    if cumulative.len() < 2 || all == 0.0 || all.is_nan() {
        return f64::NAN;
    }
    let rank = q * all;
    let Some(at) = cumulative[..cumulative.len() - 1].iter().position(|count| *count >= rank) else { return highest };
    let upper = boundaries[at];
    if at == 0 && upper <= 0.0 {
        return upper;
    }
    let (lower, below) = match at.checked_sub(1) {
        Some(before) => (boundaries[before], cumulative[before]),
        None => (0.0, 0.0),
    };
    lower + (upper - lower) * ((rank - below) / (cumulative[at] - below))
}

/// The values made to rise, tiny differences levelled.
fn monotone(cumulative: &[f64]) -> Vec<f64> {
    let mut before = f64::NAN;
    let level = |value: &f64| {
        if before.is_nan() || (*value > before && !nearly_equal(before, *value)) {
            before = *value;
        }
        before
    };
    cumulative.iter().map(level).collect()
}

fn nearly_equal(a: f64, b: f64) -> bool {
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < SMALL_DELTA
}

/// The values of a group in one; `None` without any.
pub(super) fn aggregate(aggregator: Aggregator, values: &[f64]) -> Option<f64> {
    let count = values.len() as f64;
    let pick = |better: fn(f64, f64) -> bool| {
        let choose = |best: f64, value: &f64| if best.is_nan() || better(*value, best) { *value } else { best };
        values.iter().fold(f64::NAN, choose)
    };
    (!values.is_empty()).then(|| match aggregator {
        Aggregator::Sum => sum(values.iter().copied()),
        Aggregator::Avg => sum(values.iter().copied()) / count,
        Aggregator::Min => pick(|value, best| value < best),
        Aggregator::Max => pick(|value, best| value > best),
        Aggregator::Count => count,
    })
}

/// A sum with Neumaier's compensation, as Prometheus adds.
fn sum(values: impl Iterator<Item = f64>) -> f64 {
    let (mut sum, mut lost) = (0.0_f64, 0.0_f64);
    for value in values {
        let next = sum + value;
        if next.is_infinite() {
            lost = 0.0;
        } else if sum.abs() >= value.abs() {
            lost += (sum - next) + value;
        } else {
            lost += (value - next) + sum;
        }
        sum = next;
    }
    sum + lost
}

/// Seconds from `a` to `b`, negative when `b` is earlier.
pub(super) fn seconds(a: UnixMillis, b: UnixMillis) -> f64 {
    let millis = if b >= a { b.0.abs_diff(a.0) as f64 } else { -(b.0.abs_diff(a.0) as f64) };
    millis / 1000.0
}
