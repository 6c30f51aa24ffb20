//! The curves that memory may follow: those of a leak and those of everything innocent. Pure geometry on a window of
//! equal steps; knows no bytes and no verdict.

use super::history::BUCKETS;

/// What a curve would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// Flat, then rising steadily in time.
    Leak,
    /// Flat, then rising steadily in work done.
    WorkLeak,
    /// One step.
    Step,
    /// Rising, then flat for at least a quarter of the window: a cache that is full.
    Plateau,
    /// The same with a shorter flat end, which can hardly be told from a leak yet.
    LatePlateau,
    /// Rising ever more slowly towards a level: a warm-up.
    Saturating,
    /// Logarithmic from some moment on: names that are seen for the first time.
    Logarithm,
    /// Logarithmic in the age of the process.
    AgeLogarithm,
    /// A power of the age of the process well below 1, as a vocabulary grows.
    AgePower,
    /// A few steps.
    Stairs,
}

impl Kind {
    /// The place among [`INNOCENT`]; `None` for a leak.
    pub(super) fn innocent(self) -> Option<usize> {
        (self as usize).checked_sub(Self::Step as usize)
    }
}

/// Kinds that are no leak, in the order in which they are declared.
pub(super) const INNOCENT: [Kind; 8] = [
    Kind::Step,
    Kind::Plateau,
    Kind::LatePlateau,
    Kind::Saturating,
    Kind::Logarithm,
    Kind::AgeLogarithm,
    Kind::AgePower,
    Kind::Stairs,
];

/// Exponents of [`Kind::AgePower`]: Heaps' law has 0.4 to 0.6 for texts, less for closed sets of names.
const AGE_POWERS: [f64; 3] = [0.3, 0.45, 0.6];

/// One curve: its kind, where it begins, and what else it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The first step at which it may rise.
    pub(super) onset: usize,
    /// The constant of a saturation or logarithm, the exponent of a power.
    parameter: f64,
    /// The step at which a plateau's rise ends.
    until: usize,
    /// Whether it is drawn over the work done rather than over time.
    by_work: bool,
}

/// The steps of a window, on which the curves are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid<'w> {
    /// Work done before each step.
    pub(super) work: &'w [f64],
    /// Steps between the start of the process and the window; `None` when the start is long ago.
    pub(super) before: Option<usize>,
    /// Whether the work is not done at an even pace, so that curves over the work differ from those over time.
    pub(super) moves: bool,
}

impl Grid<'_> {
    pub(super) fn len(&self) -> usize {
        self.work.len()
    }
}

impl Shape {
    fn at(kind: Kind, onset: usize) -> Self {
        Self { kind, onset, parameter: 0.0, until: 0, by_work: false }
    }

    /// The end of a plateau's rise.
    pub(super) fn end(&self) -> usize {
        self.until
    }

    /// Draws the curve into `into`, one value a step.
    pub(super) fn draw(&self, grid: &Grid<'_>, into: &mut [f64]) {
        let before = grid.before.unwrap_or_default() as f64;
        let Self { kind, onset, parameter, until, by_work } = *self;
        let age = |step: usize| before + if by_work { grid.work[step] } else { step as f64 };
        let since = |step: usize| step.saturating_sub(onset) as f64;
        for (step, value) in into.iter_mut().enumerate() {
            *value = match kind {
                Kind::Leak => since(step),
                Kind::WorkLeak => (grid.work[step] - grid.work[onset]).max(0.0),
                Kind::Step | Kind::Stairs => f64::from(u8::from(step >= onset)),
                Kind::Plateau | Kind::LatePlateau => since(step).min((until - onset) as f64),
                Kind::Saturating => 1.0 - (-since(step) / parameter).exp(),
                Kind::Logarithm => (since(step) / parameter).ln_1p(),
                Kind::AgeLogarithm => (age(step) + parameter * before).ln(),
                Kind::AgePower => age(step).powf(parameter),
            };
        }
    }

    /// Every curve to be tried on a window.
    pub(super) fn all(grid: &Grid<'_>) -> Vec<Self> {
        let n = grid.len();
        let stride = (n / 24).max(1);
        let onsets: Vec<usize> = (0..n * 4 / 5).step_by(stride).collect();
        let simple = |kind| move |onset: &usize| Self::at(kind, *onset);
        let mut shapes: Vec<Self> = onsets.iter().map(simple(Kind::Leak)).collect();
        if grid.moves {
            shapes.extend(onsets.iter().map(simple(Kind::WorkLeak)));
        }
        shapes.extend((1..n).map(|onset| Self::at(Kind::Step, onset)));
        for end in ((n / 8).max(3)..n - (n / 10).max(2)).step_by(stride) {
            let kind = if end * 4 <= n * 3 { Kind::Plateau } else { Kind::LatePlateau };
            let begins = onsets.iter().filter(|onset| **onset + 1 < end).step_by(2);
            shapes.extend(begins.map(|onset| Self { until: end, ..Self::at(kind, *onset) }));
        }
        for &onset in onsets.iter().step_by(4) {
            let span = (n - onset) as f64;
            let with = |kind, share: f64| Self { parameter: share * span, ..Self::at(kind, onset) };
            shapes.extend([0.06, 0.12, 0.25, 0.45].map(|share| with(Kind::Saturating, share)));
            shapes.extend([0.005, 0.02, 0.08, 0.25].map(|share| with(Kind::Logarithm, share)));
        }
        if grid.before.is_some_and(|before| before > 0) {
            let aged = |kind, by_work| move |parameter| Self { parameter, by_work, ..Self::at(kind, 0) };
            let axes = [false, true];
            for &by_work in &axes[..if grid.moves { 2 } else { 1 }] {
                shapes.extend([0.0, 0.02, 0.1, 0.4].map(aged(Kind::AgeLogarithm, by_work)));
                shapes.extend(AGE_POWERS.map(aged(Kind::AgePower, by_work)));
            }
        }
        shapes
    }
}

/// A buffer for the values of one curve.
pub(super) type Curve = [f64; BUCKETS];
