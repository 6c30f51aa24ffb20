//! Quantiles of a hundred thousand distributions beside the sorted values themselves. Knows the public API only.
#![expect(clippy::print_stdout, reason = "the figure that was reached is part of the result")]

use heartline_shared::{Grid, GridKind, Histogram};
use proptest::prelude::*;

const DISTRIBUTIONS: u32 = 100_000;
/// Of which each so many-th is large enough that its p99.99 is not simply its largest value.
const LARGE_EVERY: u64 = 2_000;
/// What the README promises: the relative error of durations from 1 µs to 1 h.
const ERROR_MAX: f64 = 0.011;
const QUANTILES: [f64; 8] = [0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9995, 0.9999];
const MICROSECOND: f64 = 1e3;
const HOUR: f64 = 3.6e12;

/// Numbers from 0 to 1 from a seed.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.next()).ln()).sqrt() * (std::f64::consts::TAU * self.next()).cos()
    }
}

/// What latencies look like, and what an adversary would make of them.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Constant,
    Uniform,
    LogUniform,
    LogNormal,
    Pareto,
    TwoModes,
    /// Only values that are boundaries, or next to one.
    Boundaries,
}

#[derive(Debug, Clone)]
struct Distribution {
    shape: Shape,
    /// Powers of ten above a microsecond, from 0 to 9.5.
    place: f64,
    spread: f64,
    seed: u64,
}

impl Distribution {
    fn values(&self, grid: &Grid) -> Vec<u64> {
        let mut random = Uniform(self.seed | 1);
        let size = if self.seed.is_multiple_of(LARGE_EVERY) { 20_000 } else { 1 + self.seed % 90 };
        let scale = MICROSECOND * 10_f64.powf(self.place);
        let mut draw = || {
            let value = match self.shape {
                Shape::Constant => scale,
                Shape::Uniform => scale * (1.0 + self.spread * random.next()),
                Shape::LogUniform => MICROSECOND * 10_f64.powf(9.556 * random.next()),
                Shape::LogNormal => scale * (self.spread * random.normal()).exp(),
                Shape::Pareto => scale / (1.0 - random.next()).powf(0.2 + self.spread),
                Shape::TwoModes if random.next() < 0.97 => scale * (1.0 + 0.02 * random.normal()),
                Shape::TwoModes => scale * 40.0 * (1.0 + self.spread * random.next()),
                Shape::Boundaries => {
                    let bounds = grid.bounds();
                    let bound = bounds[place(random.next() * bounds.len() as f64)];
                    bound as f64 + (random.next() * 3.0).floor() - 1.0
                }
            };
            whole(value.clamp(MICROSECOND, HOUR))
        };
        (0..size).map(|_| draw()).collect()
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and far below 2^53")]
fn whole(value: f64) -> u64 {
    value as u64
}

fn place(value: f64) -> usize {
    usize::try_from(whole(value)).unwrap_or(usize::MAX)
}

fn distributions() -> impl Strategy<Value = Distribution> {
    let shape = prop_oneof![
        Just(Shape::Constant),
        Just(Shape::Uniform),
        Just(Shape::LogUniform),
        Just(Shape::LogNormal),
        Just(Shape::Pareto),
        Just(Shape::TwoModes),
        Just(Shape::Boundaries),
    ];
    (shape, 0.0..9.5, 0.0..3.0, any::<u64>()).prop_map(|(shape, place, spread, seed)| Distribution {
        shape,
        place,
        spread,
        seed,
    })
}

/// The value of rank `q · n`, rounded up.
fn exact(sorted: &[u64], q: f64) -> f64 {
    let rank = place((q * sorted.len() as f64).ceil());
    sorted[rank.clamp(1, sorted.len()) - 1] as f64
}

fn worst_error(grid: &Grid, mut values: Vec<u64>) -> f64 {
    let mut histogram = Histogram::default();
    for &value in &values {
        histogram.record(grid, value);
    }
    values.sort_unstable();
    let error = |q: &f64| {
        let (estimate, exact) = (histogram.quantile(grid, *q).expect("there are values") * 1e9, exact(&values, *q));
        (estimate - exact).abs() / exact
    };
    QUANTILES.iter().map(error).fold(0.0, f64::max)
}

#[test]
fn no_quantile_of_a_hundred_thousand_distributions_is_off_by_more_than_one_point_one_percent() {
    let grid = Grid::of(GridKind::Duration);
    let worst = std::cell::Cell::new(0.0_f64);
    let config = ProptestConfig { cases: DISTRIBUTIONS, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(distribution in distributions())| {
        let error = worst_error(&grid, distribution.values(&grid));
        prop_assert!(error <= ERROR_MAX, "off by {:.3} %", error * 100.0);
        worst.set(worst.get().max(error));
    });
    // the boundaries themselves are among them, so an error near the largest possible was met
    assert!(worst.get() > 0.0105, "the distributions were too kind: {:.3} %", worst.get() * 100.0);
    println!("worst relative error {:.3} %", worst.get() * 100.0);
}

#[test]
fn every_value_of_every_bucket_is_within_the_promised_error_of_its_middle() {
    let grid = Grid::of(GridKind::Duration);
    for bucket in 1..grid.bounds().len() {
        for value in [grid.lower_bound(bucket) + 1, grid.upper_bound(bucket).unwrap()] {
            let error = worst_error(&grid, vec![value]);
            assert!(error <= ERROR_MAX, "{value} ns is off by {:.3} %", error * 100.0);
        }
    }
}

#[test]
fn a_quantile_of_small_counts_is_the_value_itself() {
    let grid = Grid::of(GridKind::Count);
    for value in 0..=8 {
        let mut histogram = Histogram::default();
        histogram.record(&grid, value);
        assert_eq!(histogram.quantile(&grid, 0.99), Some(value as f64));
    }
}
