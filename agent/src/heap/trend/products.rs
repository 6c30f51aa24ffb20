//! Floors, load and the curves of one window with all their products: which load to project out, and what each curve then
//! leaves unexplained. Made in steps, so that no single call takes long. Pure; knows no verdict.

use super::history::BUCKETS;
use super::shapes::{Curve, Grid, INNOCENT, Shape};
use super::sums::{Lengths, Sums};

/// Columns of load that are tried: the load now and as three exponential averages saw it.
pub(super) const LOADS_MAX: usize = 4;
/// Columns of load that are used at most.
const LOADS_USED_MAX: usize = 2;
/// A column must reduce the residual by this many parts of the number of floors.
const LOAD_WORTH: f64 = 4.0;

/// A curve that has to be drawn counts for this many that do not, and a step takes so many curves.
const DRAWN_COST: usize = 20;
const CURVES_A_STEP: usize = 150;

/// One window to be explained.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    pub(super) floors: Vec<f64>,
    pub(super) loads: Vec<Curve>,
    /// Work done before each step.
    pub(super) work: Vec<f64>,
    /// Steps between the start of the process and the window.
    pub(super) before: usize,
    /// Whether the work is not done at an even pace.
    pub(super) moves: bool,
}

/// A curve and its products with floors and loads, all centred.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) shape: Shape,
    with_floors: f64,
    with_itself: f64,
    with_loads: [f64; LOADS_MAX],
}

/// A direction to project out: a combination of load columns of length one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Direction {
    weights: [f64; LOADS_MAX],
    with_floors: f64,
}

/// The best leak and the best of each innocent kind after projecting out some directions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) leak: usize,
    pub(super) factor: f64,
    pub(super) length: f64,
    pub(super) leak_rss: f64,
    pub(super) innocent_rss: [f64; INNOCENT.len()],
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
#[derive(Debug, Clone)]
pub(super) struct Products {
    pub(super) n: usize,
    pub(super) floors: Curve,
    pub(super) floors_squared: f64,
    pub(super) loads: Vec<Curve>,
    between_loads: [[f64; LOADS_MAX]; LOADS_MAX],
    loads_with_floors: [f64; LOADS_MAX],
    pub(super) candidates: Vec<Candidate>,
    /// Curves in their order; those that are not among the candidates yet are the last.
    shapes: Vec<Shape>,
    work: Vec<f64>,
    before: usize,
    moves: bool,
    sums_of_floors: Sums,
    sums_of_loads: Vec<Sums>,
    lengths: Lengths,
}

impl Products {
    /// The products without any curve.
    pub(super) fn of(problem: Problem) -> Self {
        let Problem { floors: values, mut loads, work, before, moves } = problem;
        let n = values.len();
        let mut floors: Curve = [0.0; BUCKETS];
        floors[..n].copy_from_slice(&values);
        centre(&mut floors[..n]);
        loads.truncate(LOADS_MAX);
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
        let grid = Grid { work: &work, before: Some(before), moves };
        let sums_of_floors = Sums::of(&floors[..n], &grid);
        let sums_of_loads = loads.iter().map(|load| Sums::of(&load[..n], &grid)).collect();
        let (lengths, shapes) = (Lengths::of(&grid), Shape::all(&grid));
        let candidates = Vec::with_capacity(shapes.len());
        let floors_squared = dot(&floors[..n], &floors[..n]);
        Self {
            n,
            floors,
            floors_squared,
            loads,
            between_loads,
            loads_with_floors,
            candidates,
            shapes,
            work,
            before,
            moves,
            sums_of_floors,
            sums_of_loads,
            lengths,
        }
    }

    pub(super) fn grid(&self) -> Grid<'_> {
        Grid { work: &self.work, before: Some(self.before), moves: self.moves }
    }

    /// Adds the next curves; whether these were the last.
    pub(super) fn add(&mut self) -> bool {
        let mut cost = 0;
        while cost < CURVES_A_STEP {
            let Some(shape) = self.shapes.get(self.candidates.len()).copied() else { return true };
            let (candidate, drawn) = self.candidate(shape);
            cost += if drawn { DRAWN_COST } else { 1 };
            self.candidates.push(candidate);
        }
        false
    }

    /// A curve with its products, and whether it had to be drawn for them.
    fn candidate(&self, shape: Shape) -> (Candidate, bool) {
        let grid = &self.grid();
        let mut with_loads = [0.0; LOADS_MAX];
        let quick = self.sums_of_floors.along(&shape, grid).zip(self.lengths.squared(&shape, grid));
        if let Some((with_floors, with_itself)) = quick {
            for (sums, product) in self.sums_of_loads.iter().zip(&mut with_loads) {
                *product = sums.along(&shape, grid).unwrap_or_default();
            }
            return (Candidate { shape, with_floors, with_itself, with_loads }, false);
        }
        let mut curve: Curve = [0.0; BUCKETS];
        let curve = &mut curve[..self.n];
        shape.draw(grid, curve);
        centre(curve);
        for (load, product) in self.loads.iter().zip(&mut with_loads) {
            *product = dot(&load[..self.n], curve);
        }
        let with_floors = dot(&self.floors[..self.n], curve);
        (Candidate { shape, with_floors, with_itself: dot(curve, curve), with_loads }, true)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.loads.capacity() * size_of::<Curve>()
            + self.candidates.capacity() * size_of::<Candidate>()
            + self.shapes.capacity() * size_of::<Shape>()
            + self.work.capacity() * size_of::<f64>()
            + self.sums_of_loads.capacity() * size_of::<Sums>()
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
    pub(super) fn columns(&self, directions: &[Direction]) -> Vec<Vec<f64>> {
        let at = |direction: &Direction, at: usize| -> f64 {
            self.loads.iter().zip(direction.weights).map(|(load, weight)| weight * load[at]).sum()
        };
        directions.iter().map(|direction| (0..self.n).map(|step| at(direction, step)).collect()).collect()
    }

    /// The floors without what the load explains beside the leak's curve: the growth is kept.
    pub(super) fn adjusted(&self, directions: &[Direction], outcome: &Outcome, curve: &[f64]) -> Vec<f64> {
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

    /// Tries one more column of load beside those used; `None` when it is no explanation.
    fn with_load(&self, column: usize, used: &[Direction]) -> Option<(Vec<Direction>, Outcome)> {
        let direction = self.direction(column, used)?;
        let directions: Vec<Direction> = used.iter().copied().chain([direction]).collect();
        let outcome = self.compare(&directions);
        let leak = &self.candidates[outcome.leak];
        let unexplained = direction.with_floors - outcome.factor * dot(&direction.weights, &leak.with_loads);
        // more load, less memory: not an explanation
        (!used.is_empty() || unexplained >= 0.0).then_some((directions, outcome))
    }
}

/// Which columns of load are projected out, chosen one by one while they explain something.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) used: Vec<Direction>,
    pub(super) outcome: Outcome,
    column: usize,
    best: Option<(Vec<Direction>, Outcome)>,
}

impl Choice {
    /// None yet.
    pub(super) fn of(products: &Products) -> Self {
        Self { used: Vec::new(), outcome: products.compare(&[]), column: 0, best: None }
    }

    /// Tries the next column; whether the choice is made.
    pub(super) fn step(&mut self, products: &Products) -> bool {
        if self.used.len() >= LOADS_USED_MAX {
            return true;
        }
        if self.column < products.loads.len() {
            let tried = products.with_load(self.column, &self.used);
            self.column += 1;
            let better = |it: &(Vec<Direction>, Outcome)| {
                self.best.as_ref().is_none_or(|best| it.1.least_rss < best.1.least_rss)
            };
            if let Some(tried) = tried.filter(better) {
                self.best = Some(tried);
            }
            return false;
        }
        let enough = self.outcome.least_rss * (1.0 - LOAD_WORTH / products.n as f64);
        match self.best.take().filter(|(_, outcome)| outcome.least_rss <= enough) {
            Some((used, outcome)) => {
                *self = Self { used, outcome, column: 0, best: None };
                false
            }
            None => true,
        }
    }
}
