//! What makes growth a leak: conditions on the fits of the windows. Pure; knows no samples and no words.
//!
//! A leak is memory that does not come back: the load-adjusted floor rises, goes on rising, was never given back by more
//! than a part of the rise, and no innocent curve explains it as well. Nothing in the memory tells a cache that still
//! fills from a leak, so growth since the start must last the *patience*; growth that began in a process that had been
//! calm is believed sooner, and so is growth that will reach the limit before the patience is over. All times are parts
//! of the patience.

use super::fit::{Fit, range};
use super::shapes::{INNOCENT, Kind};

/// The rise over its standard error.
const CERTAIN: f64 = 10.0;
/// The rise as a share of what is held now.
const WORTH_A_WORD_SHARE: f64 = 0.05;
/// The rise in bytes, unless the limit is small.
const WORTH_A_WORD_BYTES: f64 = 8.0 * 1_048_576.0;
/// The rise as a share of the limit, where that is less.
const WORTH_A_WORD_LIMIT: f64 = 1.0 / 32.0;
/// The rise over the deepest fall.
const OVER_DRAWDOWN: f64 = 1.3;
/// The slope of the last third over the whole slope: growth goes on.
const STILL_RISING: f64 = 0.4;
/// No bucket may bring more than this share of the rise.
const STEP_SHARE_MAX: f64 = 0.8;
/// Bytes of overhead that a registered cache may have for each byte it knows of.
const CACHE_OVERHEAD: f64 = 0.5;
/// By how much the leak must explain the floors better than each innocent kind, as a log likelihood ratio; in the order
/// of [`INNOCENT`]. A plateau that has just begun can hardly be refuted, so that kind may even be a little better.
const BETTER_THAN: [f64; INNOCENT.len()] = [0.0, 1.0, -10.0, -2.0, -2.0, 2.0, 1.0, 1.0];
/// Ratios with which one look is enough; otherwise two in a row.
const OVERWHELMING: [f64; INNOCENT.len()] = [6.0, 6.0, 0.0, 6.0, 6.0, 6.0, 3.0, 6.0];

/// Growth whose onset lies in this share of the process' life is growth since the start.
const SINCE_START: f64 = 0.35;
/// Patience with memory that only resident memory shows, which fragments for long.
const RESIDENT_PATIENCE: f64 = 3.75;
/// Patience while the load moves and memory follows it.
const LOAD_PATIENCE: f64 = 2.0;
/// Each earlier life that ended leaking divides the patience by this.
const LIVES: f64 = 3.0;
/// Growth is urgent when the limit is nearer than this share of its duration, and it lasted this part of the patience.
const URGENT: f64 = 0.4;
const URGENT_AFTER: f64 = 3.0 / 16.0;
/// Growth is pressing when the limit is still nearer: then less evidence has to do.
const PRESSING: f64 = 0.3;
const PRESSING_CERTAIN: f64 = 8.0;
const PRESSING_GROWTH: f64 = 0.1;
/// Later growth must last this part of the patience, after this share of that time without growth.
const LATE: f64 = 0.25;
const LATE_RESIDENT: f64 = 1.0;
const LATE_CALM: f64 = 0.4;
/// The coefficient of variation of the load from which it counts as moving.
const LOAD_MOVES: f64 = 0.15;
/// While the load moves, later growth is only believed in windows this many patiences long.
const LOAD_WINDOW: f64 = 2.5;

/// What a window looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Signal {
    /// Floors of memory in use.
    Floor,
    /// Means of memory in use: better than floors where the noise is heavy and symmetrical.
    Mean,
    /// Resident memory beyond what is allocated.
    ResidentOnly,
}

/// A fit with what is known about its window. Times are in seconds; shares are of the level that the fit was scaled by.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) fit: Fit,
    pub(super) signal: Signal,
    pub(super) level: usize,
    /// Whether the window reaches back to the start.
    pub(super) whole: bool,
    /// Since the start, when the window closed.
    pub(super) age: f64,
    pub(super) bucket: f64,
    /// Bytes that one unit of the fit stands for.
    pub(super) scale: f64,
    /// Resident floor over the limit; 0 without one.
    pub(super) used: f64,
    pub(super) limit: Option<f64>,
    /// The coefficient of variation of the load.
    pub(super) load_variation: f64,
    /// What registered caches grew by since the onset, in units of the fit.
    pub(super) cached_grown: f64,
}

impl View {
    /// Length of the window.
    pub(super) fn window(&self) -> f64 {
        self.fit.adjusted.len() as f64 * self.bucket
    }

    /// How long the growth has lasted.
    pub(super) fn duration(&self) -> f64 {
        (self.fit.adjusted.len() - self.fit.shape.onset) as f64 * self.bucket
    }

    /// The growth in bytes.
    pub(super) fn grown_bytes(&self) -> f64 {
        self.fit.grown * self.scale
    }

    /// Whether it grew since about the start of the process.
    fn since_start(&self) -> bool {
        self.age - self.duration() < SINCE_START * self.age
    }

    /// Time to the limit if it goes on like this, roughly; infinite without a limit.
    fn time_left(&self) -> f64 {
        let rise = self.fit.grown * self.used;
        if rise > 0.0 { (1.0 - self.used) / rise * self.duration() } else { f64::INFINITY }
    }

    /// The range of the adjusted floors before a moment of the process' life.
    fn range_before(&self, age: f64) -> f64 {
        let began = self.age - self.window();
        let buckets = self.fit.adjusted.iter().enumerate();
        let end = buckets.take_while(|(at, _)| began + (*at as f64 + 1.0) * self.bucket <= age).count();
        if end < 3 { 0.0 } else { range(&self.fit.adjusted[..end]) }
    }

    fn worth_a_word(&self) -> bool {
        let bytes = self.limit.map_or(WORTH_A_WORD_BYTES, |limit| WORTH_A_WORD_BYTES.min(limit * WORTH_A_WORD_LIMIT));
        self.fit.grown > WORTH_A_WORD_SHARE && self.grown_bytes() > bytes
    }

    /// Growth that is certain, lasting, unexplained and worth a word.
    pub(super) fn is_leakish(&self) -> bool {
        self.fit.z > CERTAIN && self.keeps_growing() && self.beats(&BETTER_THAN)
    }

    fn keeps_growing(&self) -> bool {
        let fit = &self.fit;
        self.worth_a_word()
            && fit.grown > CACHE_OVERHEAD * self.cached_grown
            && fit.grown > OVER_DRAWDOWN * fit.drawdown
            && fit.last_third > STILL_RISING
            && fit.steepest < STEP_SHARE_MAX
    }

    fn beats(&self, ratios: &[f64; INNOCENT.len()]) -> bool {
        self.fit.ratios.iter().zip(ratios).all(|(ratio, needed)| ratio > needed)
    }

    /// Whether one look is enough.
    pub(super) fn is_overwhelming(&self) -> bool {
        self.beats(&OVERWHELMING)
    }

    /// Growth that will reach the limit before more evidence can be had.
    pub(super) fn is_pressing(&self, patience: f64) -> bool {
        self.signal == Signal::Floor
            && self.duration() > URGENT_AFTER * patience
            && self.time_left() < PRESSING * self.duration()
            && self.fit.z > PRESSING_CERTAIN
            && self.fit.grown > PRESSING_GROWTH
            && self.keeps_growing()
            && self.beats(&BETTER_THAN)
    }
}

/// The newest view of each level, and what else a judgement needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bench<'v> {
    /// By level; of floors.
    pub(super) views: &'v [Option<View>],
    /// In seconds.
    pub(super) patience: f64,
    /// Earlier lives of the process that ended leaking.
    pub(super) lives: u32,
}

impl Bench<'_> {
    /// Whether leakish growth has lasted long enough to be suspected.
    pub(super) fn is_patient(&self, view: &View) -> bool {
        if view.since_start() { self.lasted_since_start(view) } else { self.began_later(view) }
    }

    fn lasted_since_start(&self, view: &View) -> bool {
        let resident = view.signal == Signal::ResidentOnly;
        let patience = if resident { RESIDENT_PATIENCE } else { 1.0 };
        let moved = self.follows_moving_load(view);
        let patience = if moved { patience.max(LOAD_PATIENCE) } else { patience };
        let needed = patience * self.patience / LIVES.powf(f64::from(self.lives));
        let urgent = || view.duration() > URGENT_AFTER * self.patience && view.time_left() < URGENT * view.duration();
        view.duration() > needed || (!resident && urgent())
    }

    fn began_later(&self, view: &View) -> bool {
        let fit = &view.fit;
        let late = if view.signal == Signal::ResidentOnly { LATE_RESIDENT } else { LATE };
        let drawdown = self.coarser(view).map(|it| it.fit.drawdown).fold(fit.range_before, f64::max);
        let coarsest = self.views.iter().flatten().next_back().filter(|it| it.level > view.level);
        let onset = view.age - view.duration();
        let range_before = coarsest.map_or(0.0, |it| it.range_before(onset));
        let calm_load = !self.load_moves(view) || view.window() >= LOAD_WINDOW * self.patience;
        let no_logarithm = || view.whole || coarsest.is_none_or(|it| it.fit.against(Kind::AgeLogarithm) > 0.0);
        view.window() - view.duration() > LATE_CALM * view.duration()
            && view.duration() > late * self.patience
            && fit.grown > OVER_DRAWDOWN * drawdown
            && fit.grown > range_before
            && calm_load
            && no_logarithm()
    }

    /// Views of the same level and those above.
    fn coarser(&self, view: &View) -> impl Iterator<Item = &View> {
        self.views.iter().skip(view.level).flatten()
    }

    /// Whether the load moves and memory is known to follow it: then much of what looks like growth may be load.
    fn follows_moving_load(&self, view: &View) -> bool {
        let follows = view.fit.loads_used > 0 || self.coarser(view).any(|it| it.fit.loads_used > 0);
        follows && self.load_moves(view)
    }

    fn load_moves(&self, view: &View) -> bool {
        self.coarser(view).map(|it| it.load_variation).fold(view.load_variation, f64::max) >= LOAD_MOVES
    }
}
