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
use super::products::{Choice, Problem, Products, centre, dot, remove};
use super::shapes::{Curve, INNOCENT, Kind, Shape};

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

/// A fit in the making: no step takes long, and there are at most some twenty.
#[derive(Debug, Clone)]
pub(super) struct Fitting {
    products: Products,
    stage: Stage,
}

#[derive(Debug, Clone)]
enum Stage {
    /// Products of the curves.
    Curves,
    Loads(Choice),
    Stairs(Box<Draft>, Stairs),
}

/// A fit that was not compared with stairs yet.
#[derive(Debug, Clone)]
struct Draft {
    fit: Fit,
    leak_rss: f64,
}

impl Fitting {
    /// Explains a window of at least eight floors.
    pub(super) fn of(problem: Problem) -> Self {
        Self { products: Products::of(problem), stage: Stage::Curves }
    }

    /// Goes on; the fit when it is done.
    pub(super) fn step(&mut self) -> Option<Fit> {
        let Self { products, stage } = self;
        match stage {
            Stage::Curves => {
                if products.add() {
                    *stage = Stage::Loads(Choice::of(products));
                }
                None
            }
            Stage::Loads(choice) => {
                if !choice.step(products) {
                    return None;
                }
                let draft = Draft::of(products, choice);
                if !draft.needs_stairs() {
                    return Some(draft.fit);
                }
                let stairs = Stairs::of(products, &draft.fit.columns);
                *stage = Stage::Stairs(Box::new(draft), stairs);
                None
            }
            Stage::Stairs(draft, stairs) => stairs.step().then(|| draft.with_stairs(stairs)),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let stairs = if let Stage::Stairs(_, stairs) = &self.stage { stairs.steps.len() + 1 } else { 0 };
        self.products.heap_bytes() + size_of::<Draft>() + (stairs + 8) * size_of::<Curve>()
    }
}

impl Draft {
    fn of(products: &Products, choice: &Choice) -> Self {
        let Choice { used, outcome, .. } = choice;
        let n = products.n;
        let shape = products.candidates[outcome.leak].shape;
        let mut curve: Curve = [0.0; BUCKETS];
        let curve = &mut curve[..n];
        shape.draw(&products.grid(), curve);
        let start = curve.iter().copied().fold(f64::INFINITY, f64::min);
        let rise: Vec<f64> = curve.iter().map(|value| outcome.factor * (value - start)).collect();
        centre(curve);
        let adjusted = products.adjusted(used, outcome, curve);
        let mut residuals: Vec<f64> =
            adjusted.iter().zip(&*curve).map(|(value, part)| value - outcome.factor * part).collect();
        centre(&mut residuals);
        let effective = effective_number(&residuals);
        let least = least(products);
        let leak_rss = outcome.leak_rss.max(least);
        let variance = leak_rss / n.saturating_sub(3 + used.len()).max(1) as f64;
        let error = (variance / outcome.length.max(1e-300)).sqrt();
        let rising = outcome.factor > 0.0 && outcome.length > 0.0;
        let onset = shape.onset;
        let grown = rise.last().copied().unwrap_or_default();
        let fit = Fit {
            shape,
            grown,
            z: if rising { outcome.factor / error * (effective / n as f64).sqrt() } else { 0.0 },
            ratios: outcome.innocent_rss.map(|rss| ratio(rss.max(least), leak_rss, effective)),
            effective,
            drawdown: drawdown(&adjusted),
            range_before: if onset >= 3 { range(&adjusted[..onset]) } else { 0.0 },
            last_third: last_third(&adjusted[onset..], &rise[onset..]),
            steepest: steepest(&adjusted[onset..], grown),
            loads_used: used.len(),
            floors: products.floors[..n].to_vec(),
            columns: products.columns(used),
            adjusted,
        };
        Self { fit, leak_rss }
    }

    fn needs_stairs(&self) -> bool {
        let [others @ .., _] = &self.fit.ratios;
        self.fit.z > STAIRS_FROM_Z && others.iter().all(|ratio| *ratio > STAIRS_FROM_RATIO)
    }

    fn with_stairs(&self, stairs: &Stairs) -> Fit {
        let effective = self.fit.effective;
        let steps = stairs.found.into_iter().zip(1_u8..);
        let penalised = steps.map(|(rss, more)| {
            ratio(rss.max(stairs.least), self.leak_rss, effective) + f64::from(more) * effective.ln()
        });
        let mut fit = self.fit.clone();
        let [.., place] = &mut fit.ratios;
        *place = penalised.fold(f64::INFINITY, f64::min);
        fit
    }
}

/// Residuals below this are rounding.
fn least(products: &Products) -> f64 {
    1e-9 * products.floors_squared + 1e-24
}

/// The log likelihood ratio of a leak against what leaves `rss`; infinite where that does not apply.
fn ratio(rss: f64, leak_rss: f64, effective: f64) -> f64 {
    if rss.is_finite() { 0.5 * effective * (rss / leak_rss).ln() } else { f64::INFINITY }
}

/// Two, three and four steps, each chosen to explain most beside those before (orthogonal matching pursuit: Y. C. Pati,
/// R. Rezaiifar and P. S. Krishnaprasad, Asilomar Conference 1993).
#[derive(Debug, Clone)]
struct Stairs {
    left: Vec<f64>,
    steps: Vec<Vec<f64>>,
    round: usize,
    /// The residuals.
    found: [f64; 3],
    least: f64,
}

impl Stairs {
    /// No step yet; what lies along the columns is left out.
    fn of(products: &Products, columns: &[Vec<f64>]) -> Self {
        let n = products.n;
        let mut left = products.floors[..n].to_vec();
        for column in columns {
            remove(&mut left, column);
        }
        let step = |onset: usize| {
            let mut step: Vec<f64> = (0..n).map(|at| f64::from(u8::from(at >= onset))).collect();
            centre(&mut step);
            for column in columns {
                remove(&mut step, column);
            }
            step
        };
        let steps = (1..n).map(step).collect();
        Self { left, steps, round: 0, found: [f64::INFINITY; 3], least: least(products) }
    }

    /// Adds the best step; whether there are enough.
    fn step(&mut self) -> bool {
        let gain = |step: &Vec<f64>| {
            let squared = dot(step, step);
            if squared > 1e-6 { dot(step, &self.left).powi(2) / squared } else { 0.0 }
        };
        let gains = self.steps.iter().map(gain).enumerate();
        let Some((best, _)) = gains.max_by(|a, b| a.1.total_cmp(&b.1)) else { return true };
        let mut best = self.steps[best].clone();
        let length = dot(&best, &best).sqrt().max(1e-12);
        for value in &mut best {
            *value /= length;
        }
        remove(&mut self.left, &best);
        for step in &mut self.steps {
            remove(step, &best);
        }
        if let Some(rss) = self.round.checked_sub(1).and_then(|more| self.found.get_mut(more)) {
            *rss = dot(&self.left, &self.left);
        }
        self.round += 1;
        self.round > self.found.len()
    }
}

impl Fit {
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
