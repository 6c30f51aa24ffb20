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
    /// As the square root of the age of the process, as a vocabulary grows.
    AgeRoot,
    /// A few steps.
    Stairs,
}

/// Kinds that are no leak.
pub(super) const INNOCENT: [Kind; 8] = [
    Kind::Step,
    Kind::Plateau,
    Kind::LatePlateau,
    Kind::Saturating,
    Kind::Logarithm,
    Kind::AgeLogarithm,
    Kind::AgeRoot,
    Kind::Stairs,
];

/// One curve: its kind, where it begins, and what else it needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The first step at which it may rise.
    pub(super) onset: usize,
    /// The end of a plateau's rise, the constant of a saturation or logarithm.
    parameter: f64,
}

/// The steps of a window, on which the curves are drawn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid<'w> {
    /// Work done before each step.
    pub(super) work: &'w [f64],
    /// Steps between the start of the process and the window; `None` when the start is long ago.
    pub(super) before: Option<usize>,
}

impl Grid<'_> {
    fn len(&self) -> usize {
        self.work.len()
    }
}

impl Shape {
    /// Draws the curve into `into`, one value a step.
    pub(super) fn draw(&self, grid: &Grid<'_>, into: &mut [f64]) {
        let Self { kind, onset, parameter } = *self;
        let since = |step: usize| step.saturating_sub(onset) as f64;
        for (step, value) in into.iter_mut().enumerate() {
            *value = match kind {
                Kind::Leak => since(step),
                Kind::WorkLeak => (grid.work[step] - grid.work[onset]).max(0.0),
                Kind::Step | Kind::Stairs => f64::from(u8::from(step >= onset)),
                Kind::Plateau | Kind::LatePlateau => since(step).min(parameter - onset as f64),
                Kind::Saturating => 1.0 - (-since(step) / parameter).exp(),
                Kind::Logarithm => (since(step) / parameter).ln_1p(),
                Kind::AgeLogarithm => (step as f64 + parameter).ln(),
                Kind::AgeRoot => (step as f64 + parameter).sqrt(),
            };
        }
    }

    /// Every curve to be tried on a window.
    pub(super) fn all(grid: &Grid<'_>) -> Vec<Self> {
        let n = grid.len();
        let stride = (n / 24).max(1);
        let onsets: Vec<usize> = (0..n * 4 / 5).step_by(stride).collect();
        let simple = |kind| move |onset: &usize| Self { kind, onset: *onset, parameter: 0.0 };
        let mut shapes: Vec<Self> = onsets.iter().map(simple(Kind::Leak)).collect();
        shapes.extend(onsets.iter().map(simple(Kind::WorkLeak)));
        shapes.extend((1..n).map(|onset| Self { kind: Kind::Step, onset, parameter: 0.0 }));
        for end in ((n / 8).max(3)..n - (n / 10).max(2)).step_by(stride) {
            let kind = if end * 4 <= n * 3 { Kind::Plateau } else { Kind::LatePlateau };
            let begins = onsets.iter().filter(|onset| **onset + 1 < end).step_by(2);
            shapes.extend(begins.map(|onset| Self { kind, onset: *onset, parameter: end as f64 }));
        }
        for &onset in onsets.iter().step_by(4) {
            let span = (n - onset) as f64;
            let with = |kind, share: f64| Self { kind, onset, parameter: share * span };
            shapes.extend([0.06, 0.12, 0.25, 0.45].map(|share| with(Kind::Saturating, share)));
            shapes.extend([0.005, 0.02, 0.08, 0.25].map(|share| with(Kind::Logarithm, share)));
        }
        if let Some(before) = grid.before.filter(|before| *before > 0) {
            let before = before as f64;
            let aged = |kind| move |parameter| Self { kind, onset: 0, parameter };
            shapes.extend([1.0, 1.02, 1.1].map(|more| more * before).map(aged(Kind::AgeLogarithm)));
            shapes.extend([before].map(aged(Kind::AgeRoot)));
        }
        shapes
    }
}

/// A buffer for the values of one curve.
pub(super) type Curve = [f64; BUCKETS];
