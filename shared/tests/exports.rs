//! Every export recomputed from the raw values, bucket by bucket, by exact arithmetic that shares nothing with the grid.
//! Knows the public API only.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use heartline_shared::exponential::{SCALE_MIN, finest_scale};
use heartline_shared::{Exponential, Grid, GridKind, Histogram, catalog};
use proptest::prelude::*;

/// A whole number of any size, lowest digits first.
#[derive(Clone, PartialEq, Eq)]
struct Whole(Vec<u32>);

impl Whole {
    fn new(value: u64) -> Self {
        Self(vec![(value & 0xffff_ffff) as u32, (value >> 32) as u32]).trimmed()
    }

    fn trimmed(mut self) -> Self {
        while self.0.last() == Some(&0) {
            self.0.pop();
        }
        self
    }

    fn times(&self, other: &Self) -> Self {
        let mut digits = vec![0_u32; self.0.len() + other.0.len() + 1];
        for (at, &ours) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (digit, theirs) in digits[at..].iter_mut().zip(other.0.iter().copied().chain(std::iter::repeat(0))) {
                let sum = u64::from(ours) * u64::from(theirs) + u64::from(*digit) + carry;
                (*digit, carry) = ((sum & 0xffff_ffff) as u32, sum >> 32);
            }
        }
        Self(digits).trimmed()
    }

    /// Squared `times` times.
    fn squared(self, times: u32) -> Self {
        (0..times).fold(self, |power, _| power.times(&power))
    }

    fn shifted(&self, bits: u32) -> Self {
        let mut digits = vec![0; (bits / 32) as usize];
        digits.extend(&self.0);
        Self(digits).times(&Self::new(1 << (bits % 32)))
    }

    fn cmp(&self, other: &Self) -> Ordering {
        (self.0.len().cmp(&other.0.len())).then_with(|| self.0.iter().rev().cmp(other.0.iter().rev()))
    }
}

/// A value in the unit of the metric, as a fraction, raised to `2^finest`: what is compared with powers of two.
struct Raised {
    numerator: Whole,
    denominator: Whole,
    finest: u32,
    estimate: f64,
}

impl Raised {
    fn new(kind: GridKind, value: u64) -> Self {
        let finest = finest_scale(kind).unsigned_abs();
        let estimate = (value as f64 / kind.per_unit() as f64).log2() * f64::from(1 << finest);
        let raise = |value: u64| Whole::new(value).squared(finest);
        Self { numerator: raise(value), denominator: raise(kind.per_unit()), finest, estimate }
    }

    /// Whether the value is at most `2^(power / 2^finest)`.
    fn is_at_most(&self, power: i32) -> bool {
        let (left, right) = match u32::try_from(power) {
            Ok(power) => (self.numerator.clone(), self.denominator.shifted(power)),
            Err(_) => (self.numerator.shifted(power.unsigned_abs()), self.denominator.clone()),
        };
        left.cmp(&right) != Ordering::Greater
    }

    /// The index of the bucket at `scale`: `base^index < value <= base^(index + 1)`.
    fn index(&self, scale: i32) -> i32 {
        let step = 1_i32 << (self.finest.cast_signed() - scale);
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm times 32")]
        let mut index = (self.estimate / f64::from(step)).floor() as i32 - 1;
        while !self.is_at_most((index + 1) * step) {
            index += 1;
        }
        assert!(!self.is_at_most(index * step), "the search began too high");
        index
    }
}

/// What counts beyond the ends of a grid count as.
fn limits(kind: GridKind) -> (u64, u64) {
    match kind {
        GridKind::Duration => (1_000, 3_600_000_000_001),
        GridKind::Count => (0, (1 << 40) + 1),
    }
}

type Buckets = BTreeMap<i32, u64>;

/// From the raw values: how many are zero, and the others by index.
fn expected(kind: GridKind, scale: i32, values: &[u64]) -> (u64, Buckets) {
    let (zero, above) = limits(kind);
    let mut buckets = Buckets::new();
    for &value in values.iter().filter(|value| **value > zero) {
        *buckets.entry(Raised::new(kind, value.min(above)).index(scale)).or_default() += 1;
    }
    (values.iter().filter(|value| **value <= zero).count() as u64, buckets)
}

fn sparse(made: &Exponential) -> (u64, Buckets) {
    let indexed = (made.offset..).zip(made.counts.iter().copied());
    (made.zero_count, indexed.filter(|(_, count)| *count > 0).collect())
}

/// Reads a native histogram as Prometheus does, back to OpenTelemetry's indices.
fn read_native(made: &Exponential) -> (u64, Buckets) {
    let native = made.native();
    let (mut at, mut count, mut buckets) = (0, 0, Buckets::new());
    let mut deltas = native.deltas.iter();
    for span in &native.spans {
        at += span.offset;
        for _ in 0..span.length {
            count += deltas.next().expect("a delta for each bucket of the spans");
            if count != 0 {
                buckets.insert(at - 1, u64::try_from(count).expect("counts are not negative"));
            }
            at += 1;
        }
    }
    assert!(deltas.next().is_none(), "a bucket for each delta");
    (native.zero_count, buckets)
}

/// Values around what is hard: boundaries of every kind, the ends, and anything between.
fn values(kind: GridKind) -> impl Strategy<Value = Vec<u64>> {
    let (_, top) = limits(kind);
    let bounds = Grid::of(kind).bounds().to_vec();
    let near = (0..bounds.len(), 0_u64..3).prop_map(move |(at, step)| (bounds[at] + step).saturating_sub(1));
    let powers = (0_u32..42, 0_u64..3).prop_map(|(power, step)| ((1_u64 << power) + step).saturating_sub(1));
    let any = (0_f64..43.0).prop_map(|power| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^43")]
        let value = power.exp2() as u64;
        value
    });
    prop::collection::vec(prop_oneof![4 => near, 2 => powers, 4 => any, 1 => 0..top], 0..40)
}

fn recorded(grid: &Grid, values: &[u64]) -> Histogram {
    let mut histogram = Histogram::default();
    for &value in values {
        histogram.record(grid, value);
    }
    histogram
}

fn check(kind: GridKind, values: &[u64], limit: usize) -> Result<(), TestCaseError> {
    let grid = Grid::of(kind);
    let histogram = recorded(&grid, values);
    let mut downscaled = Exponential::of(&histogram, &grid, finest_scale(kind));
    let fitting = downscaled.clone().fitting(limit);
    prop_assert!(fitting.counts.len() <= limit.max(4));
    for scale in (SCALE_MIN..=finest_scale(kind)).rev() {
        let expected = expected(kind, scale, values);
        let made = Exponential::of(&histogram, &grid, scale);
        prop_assert_eq!(sparse(&made), expected.clone(), "exponential at scale {}", scale);
        prop_assert_eq!(read_native(&made), expected, "native at schema {}", scale);
        prop_assert_eq!(&downscaled, &made, "downscaled to {}", scale);
        prop_assert!(fitting.scale != scale || fitting == made);
        prop_assert_eq!((made.count, made.sum), (values.len() as u64, histogram.sum_in_unit(&grid)));
        downscaled = downscaled.downscaled();
    }
    for &bound in catalog::METRICS.iter().flat_map(|metric| metric.boundaries) {
        let at_most = |value: &&u64| **value as f64 <= bound * kind.per_unit() as f64;
        if grid.boundary(bound).is_some() {
            let expected = values.iter().filter(at_most).count() as u64;
            prop_assert_eq!(histogram.count_at_or_below(&grid, bound), Some(expected), "le {}", bound);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn durations_are_exported_exactly(values in values(GridKind::Duration), limit in 1_usize..400) {
        check(GridKind::Duration, &values, limit)?;
    }

    #[test]
    fn counts_are_exported_exactly(values in values(GridKind::Count), limit in 1_usize..400) {
        check(GridKind::Count, &values, limit)?;
    }

    #[test]
    fn boundaries_that_a_service_adds_change_no_export(
        values in values(GridKind::Duration),
        extra in prop::collection::vec(1_000_u64..3_600_000_000_000, 0..20),
    ) {
        if let Ok(grid) = Grid::with_bounds(GridKind::Duration, &extra) {
            let plain = Grid::of(GridKind::Duration);
            for scale in [5, 3, 0, -4] {
                prop_assert_eq!(
                    Exponential::of(&recorded(&grid, &values), &grid, scale),
                    Exponential::of(&recorded(&plain, &values), &plain, scale)
                );
            }
        }
    }
}

#[test]
fn every_boundary_and_its_neighbours_are_in_the_bucket_that_exact_arithmetic_says() {
    for kind in [GridKind::Duration, GridKind::Count] {
        let bounds = Grid::of(kind).bounds().to_vec();
        let values: Vec<u64> = bounds.iter().flat_map(|&bound| [bound, bound + 1]).collect();
        check(kind, &values, 160).unwrap();
    }
}
