//! Which curve explains a window of floors best once the load is projected out, and by how much. Pure least squares;
//! knows no patience and no verdict.
//!
//! The floor is explained by a constant, up to two columns of load, and one curve. The constant and the load are
//! projected out of the floors *and* out of every curve (R. Frisch and F. V. Waugh, "Partial Time Regressions as
//! Compared with Individual Trends", Econometrica 1, 1933; M. C. Lovell, JASA 58, 1963), so growth that the load can
//! explain does not count, and a load that rises like the memory leaves nothing to believe in. Curves are compared by
//! their log likelihood ratio under Gaussian errors, with the number of floors reduced for the autocorrelation r of the
//! residuals: n (1 - r) / (1 + r) (G. V. Bayley and J. M. Hammersley, JRSS Supplement 8, 1946).

use super::history::BUCKETS;
use super::shapes::{Curve, Grid, INNOCENT, Kind, Shape};
use super::sums::{Lengths, Sums};

/// Columns of load that are tried: the load now and as three exponential averages saw it.
pub(super) const LOADS_MAX: usize = 4;
/// Columns of load that are used at most.
const LOADS_USED_MAX: usize = 2;
/// A column must reduce the residual by this many parts of the number of floors.
const LOAD_WORTH: f64 = 4.0;

/// Stairs are only tried where the fit passes these, because they are dear.
const STAIRS_FROM_Z: f64 = 6.0;
const STAIRS_FROM_RATIO: f64 = -12.0;

/// Into how many parts a window is divided to see how far it fell.
const DRAWDOWN_PARTS: usize = 12;

/// What the fit of one window says. Amounts are in units of the floors that went in.
#[derive(Debug, Clone)]
pub(super) struct Fit {
    /// The floors without what the load explains.
    pub(super) adjusted: Vec<f64>,
    /// The floors as they are, less their mean.
    pub(super) floors: Vec<f64>,
    /// The columns of load that explain something: of length one, at right angles.
    pub(super) columns: Vec<Vec<f64>>,
    /// The best curve of a leak.
    pub(super) shape: Shape,
    /// The rise of that curve over the window.
    pub(super) grown: f64,
    /// Rise over its standard error, corrected for autocorrelation.
    pub(super) z: f64,
    /// How much better the leak explains the floors than the best curve of each innocent kind, as a log likelihood
    /// ratio; in the order of [`INNOCENT`], infinite where a kind does not apply.
    pub(super) ratios: [f64; INNOCENT.len()],
    /// How many independent floors these are worth.
    pub(super) effective: f64,
    /// The deepest fall from any adjusted floor to a later one.
    pub(super) drawdown: f64,
    /// The range of the adjusted floors before the onset.
    pub(super) range_before: f64,
    /// The slope of the last third of the rise over the curve's slope there.
    pub(super) last_third: f64,
    /// The largest rise within one bucket over the whole rise.
    pub(super) steepest: f64,
    /// Columns of load that explain something.
    pub(super) loads_used: usize,
}

/// One window to be explained.
#[derive(Debug, Clone, Copy)]
pub(super) struct Problem<'w> {
    pub(super) floors: &'w [f64],
    pub(super) loads: &'w [Curve],
    pub(super) grid: Grid<'w>,
}

/// A curve and its products with floors and loads, all centred.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    shape: Shape,
    with_floors: f64,
    with_itself: f64,
    with_loads: [f64; LOADS_MAX],
}

/// A direction to project out: a combination of load columns of length one.
#[derive(Debug, Clone, Copy)]
struct Direction {
    weights: [f64; LOADS_MAX],
    with_floors: f64,
}

/// The best leak and the best of each innocent kind after projecting out some directions.
#[derive(Debug, Clone, Copy)]
struct Outcome {
    leak: usize,
    factor: f64,
    length: f64,
    leak_rss: f64,
    innocent_rss: [f64; INNOCENT.len()],
    least_rss: f64,
}

pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Takes what lies along `direction`, which has length one, out of `values`.
pub(super) fn remove(values: &mut [f64], direction: &[f64]) {
    let along = dot(values, direction);
    for (value, part) in values.iter_mut().zip(direction) {
        *value -= along * part;
    }
}

pub(super) fn centre(values: &mut [f64]) {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    for value in values {
        *value -= mean;
    }
}

/// Floors, loads and candidates of one window, with all their products.
struct Products {
    n: usize,
    floors: Curve,
    floors_squared: f64,
    loads: Vec<Curve>,
    between_loads: [[f64; LOADS_MAX]; LOADS_MAX],
    loads_with_floors: [f64; LOADS_MAX],
    candidates: Vec<Candidate>,
}

impl Products {
    fn of(problem: &Problem<'_>) -> Self {
        let n = problem.floors.len();
        let mut floors: Curve = [0.0; BUCKETS];
        floors[..n].copy_from_slice(problem.floors);
        centre(&mut floors[..n]);
        let mut loads: Vec<Curve> = problem.loads.iter().take(LOADS_MAX).copied().collect();
        for load in &mut loads {
            centre(&mut load[..n]);
        }
        let mut between_loads = [[0.0; LOADS_MAX]; LOADS_MAX];
        let mut loads_with_floors = [0.0; LOADS_MAX];
        for (at, load) in loads.iter().enumerate() {
            loads_with_floors[at] = dot(&load[..n], &floors[..n]);
            for (other, second) in loads.iter().enumerate() {
                between_loads[at][other] = dot(&load[..n], &second[..n]);
            }
        }
        let grid = &problem.grid;
        let sums_of_floors = Sums::of(&floors[..n], grid);
        let sums_of_loads: Vec<Sums> = loads.iter().map(|load| Sums::of(&load[..n], grid)).collect();
        let lengths = Lengths::of(grid);
        let mut curve: Curve = [0.0; BUCKETS];
        let candidate = |shape: Shape| {
            let mut with_loads = [0.0; LOADS_MAX];
            let quick = sums_of_floors.along(&shape, grid).zip(lengths.squared(&shape, grid));
            if let Some((with_floors, with_itself)) = quick {
                for (sums, product) in sums_of_loads.iter().zip(&mut with_loads) {
                    *product = sums.along(&shape, grid).unwrap_or_default();
                }
                return Candidate { shape, with_floors, with_itself, with_loads };
            }
            let curve = &mut curve[..n];
            shape.draw(grid, curve);
            centre(curve);
            for (load, product) in loads.iter().zip(&mut with_loads) {
                *product = dot(&load[..n], curve);
            }
            Candidate { shape, with_floors: dot(&floors[..n], curve), with_itself: dot(curve, curve), with_loads }
        };
        let candidates = Shape::all(&problem.grid).into_iter().map(candidate).collect();
        let floors_squared = dot(&floors[..n], &floors[..n]);
        Self { n, floors, floors_squared, loads, between_loads, loads_with_floors, candidates }
    }

    /// Load `column` made orthogonal to `used`; `None` when little of it is left.
    fn direction(&self, column: usize, used: &[Direction]) -> Option<Direction> {
        let mut weights = [0.0; LOADS_MAX];
        weights[column] = 1.0;
        for earlier in used {
            let along = dot(&earlier.weights, &self.between_loads[column]);
            for (weight, theirs) in weights.iter_mut().zip(earlier.weights) {
                *weight -= along * theirs;
            }
        }
        let squared: f64 =
            weights.iter().zip(&self.between_loads).map(|(weight, row)| weight * dot(&weights, row)).sum();
        if squared < 0.02 * self.between_loads[column][column] || squared <= 1e-12 {
            return None;
        }
        let length = squared.sqrt();
        for weight in &mut weights {
            *weight /= length;
        }
        Some(Direction { weights, with_floors: dot(&weights, &self.loads_with_floors) })
    }

    fn compare(&self, directions: &[Direction]) -> Outcome {
        let left = self.floors_squared - directions.iter().map(|it| it.with_floors.powi(2)).sum::<f64>();
        let mut outcome = Outcome {
            leak: 0,
            factor: 0.0,
            length: 0.0,
            leak_rss: f64::INFINITY,
            innocent_rss: [f64::INFINITY; INNOCENT.len()],
            least_rss: f64::INFINITY,
        };
        for (at, candidate) in self.candidates.iter().enumerate() {
            let (mut with_floors, mut length) = (candidate.with_floors, candidate.with_itself);
            for direction in directions {
                let along = dot(&direction.weights, &candidate.with_loads);
                with_floors -= along * direction.with_floors;
                length -= along * along;
            }
            let usable = length > 1e-6 * candidate.with_itself && with_floors > 0.0;
            let rss = if usable { left - with_floors * with_floors / length } else { left };
            outcome.least_rss = outcome.least_rss.min(rss);
            match candidate.shape.kind.innocent() {
                Some(kind) => outcome.innocent_rss[kind] = outcome.innocent_rss[kind].min(rss),
                None if rss < outcome.leak_rss => {
                    outcome.leak = at;
                    outcome.factor = if usable { with_floors / length } else { 0.0 };
                    outcome.length = length.max(0.0);
                    outcome.leak_rss = rss;
                }
                None => {}
            }
        }
        outcome
    }

    /// What is left of the floors and of curves once directions are projected out of them.
    fn columns(&self, directions: &[Direction]) -> Vec<Vec<f64>> {
        let at = |direction: &Direction, at: usize| -> f64 {
            self.loads.iter().zip(direction.weights).map(|(load, weight)| weight * load[at]).sum()
        };
        directions.iter().map(|direction| (0..self.n).map(|step| at(direction, step)).collect()).collect()
    }

    /// The residuals of two, three and four steps, each chosen to explain most beside those before (orthogonal
    /// matching pursuit: Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad, Asilomar Conference 1993).
    fn stairs(&self, directions: &[Direction]) -> [f64; 3] {
        let n = self.n;
        let columns = self.columns(directions);
        let mut left = self.floors[..n].to_vec();
        for column in &columns {
            remove(&mut left, column);
        }
        let step = |onset: usize| {
            let mut step: Vec<f64> = (0..n).map(|at| f64::from(u8::from(at >= onset))).collect();
            centre(&mut step);
            for column in &columns {
                remove(&mut step, column);
            }
            step
        };
        let mut steps: Vec<Vec<f64>> = (1..n).map(step).collect();
        let mut found = [f64::INFINITY; 3];
        for round in 0..=found.len() {
            let gain = |step: &Vec<f64>| {
                let squared = dot(step, step);
                if squared > 1e-6 { dot(step, &left).powi(2) / squared } else { 0.0 }
            };
            let Some(best) = steps.iter().max_by(|a, b| gain(a).total_cmp(&gain(b))) else { break };
            let length = dot(best, best).sqrt().max(1e-12);
            let best: Vec<f64> = best.iter().map(|value| value / length).collect();
            remove(&mut left, &best);
            for step in &mut steps {
                remove(step, &best);
            }
            if let Some(rss) = round.checked_sub(1).and_then(|more| found.get_mut(more)) {
                *rss = dot(&left, &left);
            }
        }
        found
    }

    /// The floors without what the load explains beside the leak's curve: the growth is kept.
    fn adjusted(&self, directions: &[Direction], outcome: &Outcome, curve: &[f64]) -> Vec<f64> {
        let floors = &self.floors[..self.n];
        let without: Vec<f64> = floors.iter().zip(curve).map(|(floor, part)| floor - outcome.factor * part).collect();
        let mut adjusted = floors.to_vec();
        for column in self.columns(directions) {
            let along = dot(&without, &column);
            for (value, part) in adjusted.iter_mut().zip(&column) {
                *value -= along * part;
            }
        }
        adjusted
    }

    /// Chooses columns of load while they explain something.
    fn choose(&self) -> (Vec<Direction>, Outcome) {
        let mut used: Vec<Direction> = Vec::new();
        let mut outcome = self.compare(&used);
        while used.len() < LOADS_USED_MAX {
            let tried =
                (0..self.loads.len()).filter_map(|column| self.direction(column, &used)).filter_map(|direction| {
                    let directions: Vec<Direction> = used.iter().copied().chain([direction]).collect();
                    let outcome = self.compare(&directions);
                    let leak = &self.candidates[outcome.leak];
                    let unexplained =
                        direction.with_floors - outcome.factor * dot(&direction.weights, &leak.with_loads);
                    // more load, less memory: not an explanation
                    (!used.is_empty() || unexplained >= 0.0).then_some((directions, outcome))
                });
            let best = tried.min_by(|a, b| a.1.least_rss.total_cmp(&b.1.least_rss));
            match best {
                Some((directions, better))
                    if better.least_rss <= outcome.least_rss * (1.0 - LOAD_WORTH / self.n as f64) =>
                {
                    (used, outcome) = (directions, better);
                }
                _ => break,
            }
        }
        (used, outcome)
    }
}

impl Fit {
    /// Explains a window of at least eight floors.
    pub(super) fn of(problem: &Problem<'_>) -> Self {
        let products = Products::of(problem);
        let (used, outcome) = products.choose();
        let n = products.n;
        let shape = products.candidates[outcome.leak].shape;
        let mut curve: Curve = [0.0; BUCKETS];
        let curve = &mut curve[..n];
        shape.draw(&problem.grid, curve);
        let start = curve.iter().copied().fold(f64::INFINITY, f64::min);
        let rise: Vec<f64> = curve.iter().map(|value| outcome.factor * (value - start)).collect();
        centre(curve);
        let adjusted = products.adjusted(&used, &outcome, curve);
        let mut residuals: Vec<f64> =
            adjusted.iter().zip(&*curve).map(|(value, part)| value - outcome.factor * part).collect();
        centre(&mut residuals);
        let effective = effective_number(&residuals);
        let least = 1e-9 * products.floors_squared + 1e-24;
        let leak_rss = outcome.leak_rss.max(least);
        let variance = leak_rss / n.saturating_sub(3 + used.len()).max(1) as f64;
        let error = (variance / outcome.length.max(1e-300)).sqrt();
        let rising = outcome.factor > 0.0 && outcome.length > 0.0;
        let z = if rising { outcome.factor / error * (effective / n as f64).sqrt() } else { 0.0 };
        let ratio = |rss: f64| {
            if rss.is_finite() { 0.5 * effective * (rss.max(least) / leak_rss).ln() } else { f64::INFINITY }
        };
        let mut ratios = outcome.innocent_rss.map(ratio);
        if let [others @ .., stairs] = &mut ratios
            && z > STAIRS_FROM_Z
            && others.iter().all(|ratio| *ratio > STAIRS_FROM_RATIO)
        {
            let steps = products.stairs(&used).into_iter().zip(1_u8..);
            let penalised = steps.map(|(rss, more)| ratio(rss) + f64::from(more) * effective.ln());
            *stairs = penalised.fold(f64::INFINITY, f64::min);
        }
        let onset = shape.onset;
        let grown = rise.last().copied().unwrap_or_default();
        Self {
            shape,
            grown,
            z,
            ratios,
            effective,
            drawdown: drawdown(&adjusted),
            range_before: if onset >= 3 { range(&adjusted[..onset]) } else { 0.0 },
            last_third: last_third(&adjusted[onset..], &rise[onset..]),
            steepest: steepest(&adjusted[onset..], grown),
            loads_used: used.len(),
            floors: products.floors[..n].to_vec(),
            columns: products.columns(&used),
            adjusted,
        }
    }

    /// The ratio against one innocent kind.
    pub(super) fn against(&self, kind: Kind) -> f64 {
        kind.innocent().map_or(f64::INFINITY, |at| self.ratios[at])
    }
}

/// How many independent values the autocorrelated residuals are worth; at least three.
fn effective_number(residuals: &[f64]) -> f64 {
    let squared = dot(residuals, residuals).max(1e-30);
    let correlation = (dot(&residuals[1..], residuals) / squared).clamp(0.0, 0.95);
    (residuals.len() as f64 * (1.0 - correlation) / (1.0 + correlation)).max(3.0)
}

/// Largest less smallest.
pub(super) fn range(values: &[f64]) -> f64 {
    let (low, high) = values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(*value), high.max(*value)));
    (high - low).max(0.0)
}

/// The deepest fall from a mean of some values to a later one: means, so that noise is not taken for memory that came
/// back.
fn drawdown(values: &[f64]) -> f64 {
    let mut highest = f64::NEG_INFINITY;
    values.chunks((values.len() / DRAWDOWN_PARTS).max(1)).map(mean).fold(0.0, |deepest: f64, value| {
        highest = highest.max(value);
        deepest.max(highest - value)
    })
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The slope of the last third against the curve's; 0 for less than six values.
fn last_third(adjusted: &[f64], rise: &[f64]) -> f64 {
    let length = (adjusted.len() / 3).max(4);
    if adjusted.len() < 6 {
        return 0.0;
    }
    let mut curve = rise[rise.len() - length..].to_vec();
    let mut values = adjusted[adjusted.len() - length..].to_vec();
    centre(&mut curve);
    centre(&mut values);
    let squared = dot(&curve, &curve);
    if squared > 0.0 { dot(&curve, &values) / squared } else { 0.0 }
}

fn steepest(adjusted: &[f64], grown: f64) -> f64 {
    if adjusted.len() < 3 {
        return 1.0;
    }
    let largest = adjusted.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::NEG_INFINITY, f64::max);
    largest / grown.max(1e-12)
}
