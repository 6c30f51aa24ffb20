//! What makes growth a leak: conditions on the fits of the windows. Pure; knows no samples and no words.
//!
//! A leak is memory that does not come back: the load-adjusted floor rises, goes on rising, was never given back by more
//! than a part of the rise, and no innocent curve explains it as well. Nothing in the memory tells a cache that still
//! fills from a leak, so growth since the start must last the *patience*; growth that began in a process that had been
//! calm is believed sooner, and so is growth that will reach the limit before the patience is over. All times are parts
//! of the patience.

use super::fit::{Fit, range};
use super::shapes::{INNOCENT, Kind};

/// The thresholds of a judgement. All times are parts of the patience. [`Tuning::default`] is what is used; the tests
/// also judge by others, to see how much each matters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Tuning {
    /// The rise over its standard error.
    pub(super) certain: f64,
    /// The rise as a share of what is held now: wander and load that is not explained are of this size.
    pub(super) worth_a_word: f64,
    /// The rise over the deepest fall: what a leak holds does not come back.
    pub(super) over_drawdown: f64,
    /// The slope of the last third over the whole slope: growth goes on.
    pub(super) still_rising: f64,
    /// No bucket may bring more than this share of the rise.
    pub(super) step_share_max: f64,
    /// By how much the leak must explain the floors better than each innocent kind, as a log likelihood ratio; in the
    /// order of [`INNOCENT`]. A plateau that has just begun can hardly be refuted, so that kind may even be a little
    /// better.
    pub(super) better_than: [f64; INNOCENT.len()],
    /// Growth since the start must have lasted this long, the warm-up left out.
    pub(super) since_start: f64,
    /// The same when it grew by more than [`GREAT`], as the fill of a large cache does.
    pub(super) since_start_great: f64,
    /// The same for memory that only resident memory shows, which fragments for long.
    pub(super) resident: f64,
    /// The same while the load moves and memory follows it.
    pub(super) moving_load: f64,
    /// The same while the load moves and memory is not known to follow it: what fills by the work done fills with it.
    pub(super) moving_load_unfollowed: f64,
    /// Each earlier life that ended leaking divides the patience by this.
    pub(super) lives: f64,
    /// Growth is urgent when the limit is nearer than this share of its duration.
    pub(super) urgent: f64,
    /// Later growth must last this long, because jobs of hours are common.
    pub(super) late: f64,
    /// The same when it grew by more than [`GREAT`] and does not speed up, as what is switched on step by step does.
    pub(super) late_great: f64,
    /// The same while the load moves: a level of load that was not there before brings a level of memory.
    pub(super) late_moving_load: f64,
    /// Later growth over the deepest fall in any longer window.
    pub(super) late_over_drawdown: f64,
    /// By how much later growth must be better explained by a leak than by a few steps.
    pub(super) late_over_stairs: f64,
    /// The least slope of any quarter of later growth over its whole slope: a leak goes on, stages begin and end.
    pub(super) late_even: f64,
    /// No other window that shows the growth may prefer a curve that slows down by a larger log likelihood ratio.
    pub(super) contradiction: f64,
    /// A look that finds a leak is confirmed by another so shortly before, of whatever window.
    pub(super) confirmed_within: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            certain: 9.0,
            worth_a_word: 0.06,
            over_drawdown: 1.3,
            still_rising: 0.4,
            step_share_max: 0.8,
            better_than: [0.0, 0.5, -10.0, -2.0, -2.0, 3.0, 0.5, 0.0],
            since_start: 0.8,
            since_start_great: 1.25,
            resident: 3.75,
            moving_load: 1.5,
            moving_load_unfollowed: 1.0,
            lives: 3.0,
            urgent: 0.4,
            late: 0.6,
            late_great: 0.75,
            late_moving_load: 1.5,
            late_over_drawdown: 2.0,
            late_over_stairs: 2.0,
            late_even: 0.55,
            contradiction: 4.0,
            confirmed_within: 0.05,
        }
    }
}

impl Tuning {
    /// Changes a threshold by its name, those of [`Tuning::better_than`] by the kind; whether there is one.
    pub(super) fn set(&mut self, name: &str, value: f64) -> bool {
        if let Some(at) = INNOCENT.iter().position(|kind| format!("better_than.{kind:?}") == name) {
            self.better_than[at] = value;
            return true;
        }
        let place = match name {
            "certain" => &mut self.certain,
            "worth_a_word" => &mut self.worth_a_word,
            "over_drawdown" => &mut self.over_drawdown,
            "still_rising" => &mut self.still_rising,
            "step_share_max" => &mut self.step_share_max,
            "since_start" => &mut self.since_start,
            "since_start_great" => &mut self.since_start_great,
            "resident" => &mut self.resident,
            "moving_load" => &mut self.moving_load,
            "moving_load_unfollowed" => &mut self.moving_load_unfollowed,
            "lives" => &mut self.lives,
            "urgent" => &mut self.urgent,
            "late" => &mut self.late,
            "late_great" => &mut self.late_great,
            "late_moving_load" => &mut self.late_moving_load,
            "late_over_drawdown" => &mut self.late_over_drawdown,
            "late_over_stairs" => &mut self.late_over_stairs,
            "late_even" => &mut self.late_even,
            "contradiction" => &mut self.contradiction,
            "confirmed_within" => &mut self.confirmed_within,
            _ => return false,
        };
        *place = value;
        true
    }
}

/// The rise in bytes, unless the limit is small.
const WORTH_A_WORD_BYTES: f64 = 8.0 * 1_048_576.0;
/// The rise as a share of the limit, where that is less.
const WORTH_A_WORD_LIMIT: f64 = 1.0 / 32.0;
/// Bytes of overhead that a registered cache may have for each byte it knows of.
const CACHE_OVERHEAD: f64 = 0.5;
/// Ratios with which one look is enough; otherwise two in a row.
const OVERWHELMING: [f64; INNOCENT.len()] = [6.0, 6.0, 0.0, 6.0, 6.0, 6.0, 3.0, 6.0];

/// Growth whose onset lies in this share of the process' life is growth since the start.
const SINCE_START: f64 = 0.35;
/// Growth can be urgent when it lasted this part of the patience.
const URGENT_AFTER: f64 = 3.0 / 16.0;
/// Growth is pressing when the limit is still nearer: then less evidence has to do.
const PRESSING: f64 = 0.3;
/// Standard errors that pressing growth must be.
const PRESSING_CERTAIN: f64 = 8.0;
/// Pressing growth is more than this share of what is held.
const PRESSING_GROWTH: f64 = 0.1;
/// Growth by more than this share of what is held now is great.
const GREAT: f64 = 0.2;
/// Great growth speeds up when the slope of its last third is this multiple of the whole slope.
const SPEEDS_UP: f64 = 1.2;
/// A day, in patiences.
pub(super) const DAY: f64 = 3.0;
/// Nothing is suspected by fewer floors.
const FLOORS_MIN: usize = 12;
/// Curves that slow down, by which one window may contradict another.
const SLOWING: [Kind; 4] = [Kind::Saturating, Kind::Logarithm, Kind::AgeLogarithm, Kind::AgePower];
/// A window shows the growth when it is this share of it.
const SHOWS: f64 = 0.8;
/// Into how many parts later growth is divided to see whether it goes on evenly.
const EVEN_PARTS: usize = 4;
/// Later growth of resident memory alone must last so many patiences.
const LATE_RESIDENT: f64 = 1.0;
/// Later growth must follow on this share of its duration without growth.
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
    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        self.fit.adjusted.capacity() * (2 + self.fit.columns.len()) * size_of::<f64>()
    }

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

    /// The least slope of any part of the growth, over the whole slope; negative when a part has a single floor.
    fn least_slope(&self) -> f64 {
        let grown = &self.fit.adjusted[self.fit.shape.onset..];
        let steps = grown.len().saturating_sub(1);
        let end = |part: usize| part * steps / EVEN_PARTS;
        let parts = (0..EVEN_PARTS).map(|part| &grown[end(part)..=end(part + 1)]);
        let usual = self.fit.grown / steps.max(1) as f64;
        parts.map(|part| slope(part).map_or(-1.0, |slope| slope / usual)).fold(f64::INFINITY, f64::min)
    }

    /// By how much the best curve that slows down explains the floors better than a leak, as a log likelihood ratio.
    fn slows(&self) -> f64 {
        -SLOWING.into_iter().map(|kind| self.fit.against(kind)).fold(f64::INFINITY, f64::min)
    }

    fn worth_a_word(&self, tuning: &Tuning) -> bool {
        let bytes = self.limit.map_or(WORTH_A_WORD_BYTES, |limit| WORTH_A_WORD_BYTES.min(limit * WORTH_A_WORD_LIMIT));
        self.fit.grown > tuning.worth_a_word && self.grown_bytes() > bytes
    }

    /// Growth that is certain, lasting, unexplained and worth a word.
    pub(super) fn is_leakish(&self, tuning: &Tuning) -> bool {
        self.fit.z > tuning.certain && self.keeps_growing(tuning) && self.beats(&tuning.better_than)
    }

    fn keeps_growing(&self, tuning: &Tuning) -> bool {
        let fit = &self.fit;
        self.worth_a_word(tuning)
            && fit.grown > CACHE_OVERHEAD * self.cached_grown
            && fit.grown > tuning.over_drawdown * fit.drawdown
            && fit.last_third > tuning.still_rising
            && fit.steepest < tuning.step_share_max
    }

    fn beats(&self, ratios: &[f64; INNOCENT.len()]) -> bool {
        self.fit.ratios.iter().zip(ratios).all(|(ratio, needed)| ratio > needed)
    }

    /// Whether one look is enough.
    pub(super) fn is_overwhelming(&self) -> bool {
        self.beats(&OVERWHELMING)
    }

    /// Growth that will reach the limit before more evidence can be had.
    pub(super) fn is_pressing(&self, patience: f64, tuning: &Tuning) -> bool {
        self.signal == Signal::Floor
            && self.duration() > URGENT_AFTER * patience
            && self.time_left() < PRESSING * self.duration()
            && self.fit.z > PRESSING_CERTAIN
            && self.fit.grown > PRESSING_GROWTH
            && self.keeps_growing(tuning)
            && self.beats(&tuning.better_than)
    }
}

/// The slope of values at equal steps by least squares; `None` for fewer than two.
fn slope(values: &[f64]) -> Option<f64> {
    let middle = values.len().checked_sub(2)? as f64 / 2.0 + 0.5;
    let from_middle = values.iter().enumerate().map(|(at, value)| (at as f64 - middle, value));
    let (product, squared) =
        from_middle.fold((0.0, 0.0), |(product, squared), (at, value)| (product + at * value, squared + at * at));
    Some(product / squared)
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
    pub(super) tuning: &'v Tuning,
}

impl Bench<'_> {
    /// Whether leakish growth has lasted long enough to be suspected.
    pub(super) fn is_patient(&self, view: &View) -> bool {
        let lasted = || if view.since_start() { self.lasted_since_start(view) } else { self.began_later(view) };
        view.fit.adjusted.len() >= FLOORS_MIN && !self.is_contradicted(view) && lasted()
    }

    /// Whether another window shows the growth and says that it slows down.
    fn is_contradicted(&self, view: &View) -> bool {
        let shows = |other: &&View| {
            other.level != view.level
                && other.window() >= SHOWS * view.duration()
                && other.age + other.bucket >= view.age
        };
        let mut others = self.views.iter().flatten().filter(shows);
        view.signal != Signal::ResidentOnly && others.any(|other| other.slows() > self.tuning.contradiction)
    }

    fn lasted_since_start(&self, view: &View) -> bool {
        let resident = view.signal == Signal::ResidentOnly;
        let tuning = self.tuning;
        let patience = match view.fit.grown {
            _ if resident => tuning.resident,
            grown if grown > GREAT => tuning.since_start_great,
            _ => tuning.since_start,
        };
        let patience = match self.load_moves(view) {
            true if self.follows_load(view) => patience.max(tuning.moving_load),
            true => patience.max(tuning.moving_load_unfollowed),
            false => patience,
        };
        let needed = patience * self.patience / tuning.lives.powf(f64::from(self.lives));
        let urgent =
            || view.duration() > URGENT_AFTER * self.patience && view.time_left() < tuning.urgent * view.duration();
        view.duration() > needed || (!resident && urgent())
    }

    fn began_later(&self, view: &View) -> bool {
        let (fit, tuning) = (&view.fit, self.tuning);
        let resident = view.signal == Signal::ResidentOnly;
        let great = fit.grown > GREAT && fit.last_third < SPEEDS_UP;
        let late = match tuning.late {
            _ if resident => LATE_RESIDENT,
            late if self.load_moves(view) => late.max(tuning.late_moving_load),
            late if great => late.max(tuning.late_great),
            late => late,
        };
        let drawdown = self.coarser(view).map(|it| it.fit.drawdown).fold(fit.range_before, f64::max);
        let coarsest = self.views.iter().flatten().next_back().filter(|it| it.level > view.level);
        let onset = view.age - view.duration();
        let range_before = coarsest.map_or(0.0, |it| it.range_before(onset));
        let calm_load = !self.load_moves(view) || view.window() >= LOAD_WINDOW * self.patience;
        let no_logarithm = || view.whole || coarsest.is_none_or(|it| it.fit.against(Kind::AgeLogarithm) > 0.0);
        view.window() - view.duration() > LATE_CALM * view.duration()
            && view.duration() > late * self.patience
            && fit.grown > tuning.late_over_drawdown * drawdown
            && fit.grown > range_before
            && fit.against(Kind::Stairs) > tuning.late_over_stairs
            && view.least_slope() > tuning.late_even
            && calm_load
            && no_logarithm()
    }

    /// Views of the same level and those above.
    fn coarser(&self, view: &View) -> impl Iterator<Item = &View> {
        self.views.iter().skip(view.level).flatten()
    }

    /// Whether memory is known to follow the load: then much of what looks like growth may be load.
    fn follows_load(&self, view: &View) -> bool {
        view.fit.loads_used > 0 || self.coarser(view).any(|it| it.fit.loads_used > 0)
    }

    fn load_moves(&self, view: &View) -> bool {
        self.coarser(view).map(|it| it.load_variation).fold(view.load_variation, f64::max) >= LOAD_MOVES
    }
}
