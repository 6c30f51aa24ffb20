//! The leak detector: samples of memory and their times in, a verdict at each of them from the past alone. It does not
//! know where the samples come from.
//!
//! * `history` remembers the *floors* of memory, less the bytes of registered caches, at eight resolutions.
//! * `look` looks at a window of them: `fit` explains it by the load, a leak, or one of the innocent `shapes`, whose
//!   `products` with load and floors it needs.
//! * `judgement` says which growth is a leak and how long it must last, and `judge` decides look by look.
//! * `forecast` carries it on to the memory limit, and `evidence` puts it into words.
//!
//! The idea that several explanations compete, and the reference that this goes beyond, are described beside the
//! benchmark in `tests/leakbench`. All times scale with the patience.

mod evidence;
mod fit;
mod forecast;
mod history;
mod judge;
mod judgement;
mod look;
mod products;
mod shapes;
mod standing;
mod sums;

use std::time::Duration;

use heartline_shared::snapshot::{Leak, Trend};

pub(super) use self::evidence::bytes_text;
use self::forecast::{Forecast, Forecasting, Seen};
use self::history::{BUCKETS, History, LEVELS};
use self::judge::Judge;
use self::judgement::{Signal, Tuning, View};
use self::look::Look;
use super::slope::{self, Slope};

/// Base buckets in one patience.
const BASES: u32 = 192;
/// The shortest base bucket: a patience below 384 seconds does not make the history finer.
const BASE_MIN: Duration = Duration::from_secs(2);
/// How many steps of its work are done in a base bucket at least: a look takes some tens of them.
const STEPS_A_BUCKET: f64 = 100.0;
/// And after one sample at most.
const STEPS_MAX: f64 = 200.0;
/// A forecast needs this many floors to tell a line from a curve.
const FORECAST_FLOORS_MIN: usize = 18;
/// Rises and falls below this share of the level are called stable.
const TREND_SHARE: f64 = 0.02;
/// Width of the slope's interval in standard deviations.
const TREND_Z: f64 = 2.6;

/// Memory of a process at one moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MemorySample {
    /// Allocated and not freed; resident memory where that is not known.
    pub used: f64,
    /// What registered caches say they hold of it; 0 without any.
    pub cached: f64,
    /// Resident memory, which the limit applies to; `None` when not known.
    pub resident: Option<f64>,
    /// The memory limit; `None` without one.
    pub limit: Option<f64>,
    /// Requests, or other work, per second; `None` when not known.
    pub requests_per_second: Option<f64>,
}

/// What is concluded from all samples so far.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct LeakVerdict {
    /// Direction of the memory floor; unknown until enough has been seen, which takes a sixteenth of the patience.
    pub trend: Trend,
    /// The verdict.
    pub leak: Leak,
    /// Slope of the floor; `None` until enough has been seen.
    pub growth_bytes_per_second: Option<f64>,
    /// Interval of the slope; `None` when there are too few floors to bound it.
    pub growth_interval: Option<[f64; 2]>,
    /// From 0 to 1; 0 unless something is watched or suspected. The share of the patience that the growth lasted, times
    /// 1 − e^(−r/2), where r is the smallest log likelihood ratio of a leak against an innocent curve.
    pub confidence: f64,
    /// Time to the memory limit; `None` when nothing is watched or suspected, without a limit, or when the fit is poor:
    /// further away than 40 times what has been seen of the growth, or known to less than a factor of eight.
    pub seconds_to_limit: Option<f64>,
    /// The interval of that time; four in five should hold the truth.
    pub seconds_to_limit_interval: Option<[f64; 2]>,
    /// Why, in plain sentences.
    pub evidence: Vec<String>,
}

/// Tells leaks from everything else that grows, sample by sample, in at most 256 KiB whatever its age.
///
/// An agent runs one of its own; this is for series from elsewhere, such as a recording.
///
/// ```
/// use std::time::Duration;
/// use heartline::{Leak, LeakDetector, MemorySample};
///
/// let mut detector = LeakDetector::new(heartline::DEFAULT_LEAK_PATIENCE);
/// for minute in 0..24 * 60 {
///     let used = 1e9 + 2e5 * f64::from(minute);
///     let sample = MemorySample { used, cached: 0.0, resident: Some(1.1 * used), limit: Some(4e9), requests_per_second: None };
///     detector.observe(Duration::from_secs(60) * minute, sample);
/// }
/// assert_eq!(detector.verdict().leak, Leak::Suspected);
/// ```
#[derive(Debug, Clone)]
pub struct LeakDetector {
    patience: Duration,
    history: History,
    /// The newest view of each level, of floors.
    views: Vec<Option<View>>,
    /// Levels with new buckets that have not been looked at, as bits.
    due: u8,
    limit: Option<f64>,
    judge: Judge,
    work: Option<Work>,
    verdict: LeakVerdict,
}

/// What the detector is at. It goes on with each sample.
#[derive(Debug, Clone)]
enum Work {
    /// Looking at a window.
    Look(Box<Look>),
    /// Reading the trend from the newest view of a level.
    Trend(usize),
    /// Carrying on what stands to the limit.
    Forecast(Box<Forecasting>),
}

impl LeakDetector {
    /// A detector that suspects growth since the start of the process when it has lasted `patience`; see
    /// [`DEFAULT_LEAK_PATIENCE`](crate::DEFAULT_LEAK_PATIENCE).
    pub fn new(patience: Duration) -> Self {
        Self {
            patience,
            history: History::new((patience / BASES).max(BASE_MIN)),
            views: vec![None; LEVELS],
            due: 0,
            limit: None,
            judge: Judge::new(patience, Tuning::default()),
            work: None,
            verdict: LeakVerdict::default(),
        }
    }

    /// The same with one threshold changed, to see how much it matters; `None` if there is none of that name.
    #[doc(hidden)]
    #[must_use]
    pub fn with_threshold(mut self, name: &str, value: f64) -> Option<Self> {
        self.judge.tuning.set(name, value).then_some(self)
    }

    /// What is concluded so far.
    pub fn verdict(&self) -> &LeakVerdict {
        &self.verdict
    }

    /// A detector of a process whose earlier lives, so many of them one after the other, ended leaking; see
    /// [`restart`](Self::restart).
    #[must_use]
    pub fn after(self, leaking_lives: u32) -> Self {
        Self { judge: self.judge.after(leaking_lives), ..self }
    }

    /// How many lives of the process have ended leaking, should this one end now.
    pub fn leaking_lives(&self) -> u32 {
        self.judge.leaking_lives()
    }

    /// The process was started anew: what was seen is forgotten, except whether it ended leaking. Each life that did
    /// makes the detector three times as fast to suspect the next.
    pub fn restart(&mut self) {
        let judge = self.judge.next_life();
        *self = Self { judge, ..Self::new(self.patience) };
    }

    /// Takes the sample of one moment; `now` is a time on any clock that does not go back. Samples without a number, or
    /// from before the last one, say nothing.
    pub fn observe(&mut self, now: Duration, sample: MemorySample) {
        let amount = |value: f64| value.is_finite() && value >= 0.0;
        if !amount(sample.used) {
            return;
        }
        let sample = MemorySample {
            cached: if amount(sample.cached) { sample.cached.min(sample.used) } else { 0.0 },
            resident: sample.resident.filter(|bytes| amount(*bytes)),
            limit: sample.limit.filter(|bytes| bytes.is_finite() && *bytes > 0.0),
            requests_per_second: sample.requests_per_second.filter(|rate| amount(*rate)),
            ..sample
        };
        self.limit = sample.limit.or(self.limit);
        let passed = now.saturating_sub(self.history.newest());
        let closed = self.history.take(now, &sample);
        if closed != 0 {
            self.due |= closed & self.judged_levels();
            self.fall_back();
        }
        // so that a sample costs little: where they come often, each takes one step
        let share = passed.as_secs_f64() / self.base().as_secs_f64();
        let mut steps = (STEPS_A_BUCKET * share).min(STEPS_MAX);
        while self.step() && steps > 1.0 {
            steps -= 1.0;
        }
    }

    fn base(&self) -> Duration {
        (self.patience / BASES).max(BASE_MIN)
    }

    /// Goes on with what there is to do; whether there was anything.
    fn step(&mut self) -> bool {
        match self.work.take() {
            None => {
                let Some(level) = self.due.checked_ilog2() else { return false };
                self.due &= !(1 << level);
                let look = Look::of(&self.history, level as usize, self.limit, self.patience.as_secs_f64());
                self.work = look.map(|look| Work::Look(Box::new(look)));
            }
            Some(Work::Look(mut look)) => match look.step() {
                None => self.work = Some(Work::Look(look)),
                Some(views) => self.conclude(&views),
            },
            Some(Work::Trend(level)) => {
                self.read_trend(level);
                let forecasting = |view| Work::Forecast(Box::new(Forecasting::of(self.seen(view))));
                self.work = self.judge.standing.view().map(forecasting);
                if self.work.is_none() {
                    self.be_calm();
                }
            }
            Some(Work::Forecast(mut forecasting)) => match forecasting.step(self.limit) {
                None => self.work = Some(Work::Forecast(forecasting)),
                Some(forecast) => self.speak(&forecast),
            },
        }
        true
    }

    /// Levels that may be judged now, as bits: the two finest every other time, recent windows from a patience on.
    fn judged_levels(&self) -> u8 {
        let judged = |level: &usize| {
            let window = self.history.window(*level);
            let long = BUCKETS as f64 * window.bucket_seconds >= self.patience.as_secs_f64();
            (window.is_whole_life() || long) && (*level > 1 || window.closed.is_multiple_of(2))
        };
        (0..LEVELS).filter(judged).fold(0, |bits, level| bits | 1 << level)
    }

    /// Judges what a look saw, floors first.
    fn conclude(&mut self, views: &[View]) {
        let Some(floor) = views.first() else { return };
        self.views[floor.level] = Some(floor.clone());
        self.judge.take(views, &self.views, self.history.newest_floor());
        self.work = Some(Work::Trend(floor.level));
    }

    /// Withdraws at once when memory has come back.
    fn fall_back(&mut self) {
        if self.judge.standing.fell_back(self.history.newest_floor()) {
            self.be_calm();
        }
    }

    /// Direction and slope of the floor over about one patience.
    fn read_trend(&mut self, level: usize) {
        let patience = self.patience.as_secs_f64();
        let long_enough = |it: &&View| BUCKETS as f64 * it.bucket >= patience;
        let seen = || self.views.iter().flatten();
        let reading = seen().find(long_enough).or_else(|| seen().next_back()).filter(|it| it.level == level);
        let Some(view) = reading else { return };
        let places = view.fit.adjusted.iter().enumerate();
        let points: Vec<(f64, f64)> = places.map(|(at, share)| (at as f64 * view.bucket, share * view.scale)).collect();
        let Some(slope) = Slope::through(&points, TREND_Z) else { return };
        let trifle = TREND_SHARE * view.scale;
        self.verdict.trend = match slope.median * view.window() {
            rise if slope.low > 0.0 && rise > trifle => Trend::Growing,
            rise if slope.high < 0.0 && -rise > trifle => Trend::Shrinking,
            _ => Trend::Stable,
        };
        self.verdict.growth_bytes_per_second = Some(slope.median);
        let bounded = slope.low.is_finite() && slope.high.is_finite();
        self.verdict.growth_interval = bounded.then_some([slope.low, slope.high]);
    }

    /// Says that nothing stands.
    fn be_calm(&mut self) {
        let calm = || self.views.iter().flatten().next_back().and_then(evidence::of_calm);
        self.verdict.leak = self.judge.standing.leak();
        self.verdict.confidence = 0.0;
        (self.verdict.seconds_to_limit, self.verdict.seconds_to_limit_interval) = (None, None);
        self.verdict.evidence = self.judge.standing.withdrawn().or_else(calm).into_iter().collect();
    }

    /// Brings the verdict in line with what stands.
    fn speak(&mut self, forecast: &Forecast) {
        let Some(view) = self.judge.standing.view() else { return };
        let patience = self.patience.as_secs_f64();
        self.verdict.leak = self.judge.standing.leak();
        let error = (2.0 / view.fit.z.max(1.0)).min(1.0_f64);
        let ratios = view.fit.ratios.iter().copied().fold(f64::INFINITY, f64::min).max(0.0);
        self.verdict.confidence = (view.duration() / patience).min(1.0) * (1.0 - (-ratios.max(0.5) / 2.0).exp());
        self.verdict.trend = Trend::Growing;
        self.verdict.growth_bytes_per_second = Some(forecast.slope);
        self.verdict.growth_interval = Some([1.0 - error, 1.0 + error].map(|share| share * forecast.slope));
        self.verdict.seconds_to_limit = forecast.seconds;
        self.verdict.seconds_to_limit_interval = forecast.interval;
        let mut evidence = evidence::of_growth(view, &self.views, self.verdict.leak, patience);
        evidence.push(evidence::of_forecast(forecast, self.limit));
        self.verdict.evidence = evidence;
    }

    /// Bytes this detector holds, on the heap included.
    pub(super) fn state_bytes(&self) -> usize {
        let views: usize = self.views.iter().flatten().chain(self.judge.standing.view()).map(View::heap_bytes).sum();
        let work = match &self.work {
            Some(Work::Look(look)) => size_of::<Look>() + look.heap_bytes(),
            Some(Work::Forecast(forecasting)) => size_of::<Forecasting>() + forecasting.heap_bytes(),
            Some(Work::Trend(_)) | None => 0,
        };
        let words: usize = self.verdict.evidence.iter().map(String::capacity).sum();
        size_of::<Self>()
            + self.views.capacity() * size_of::<Option<View>>()
            + views
            + work
            + words
            + self.history.heap_bytes()
    }

    /// What the forecast is made from: the longest view if it shows enough of the growth, else the one that raised it.
    fn seen(&self, view: &View) -> Seen {
        let full = |view: &&View| view.fit.adjusted.len() >= FORECAST_FLOORS_MIN;
        let top = self.views.iter().flatten().rfind(full).unwrap_or(view);
        let coarsest = self.history.window(self.views.iter().rposition(Option::is_some).unwrap_or(view.level));
        let current = |view: &View| view.age >= self.history.window(view.level).age();
        let shows = view.signal != Signal::ResidentOnly
            && top.level > view.level
            && view.duration() >= 6.0 * top.bucket
            && top.fit.grown > 0.0
            && current(top);
        let view = if shows { top } else { view };
        let buckets = self.history.window(view.level).buckets;
        let buckets = buckets[buckets.len().saturating_sub(view.fit.adjusted.len())..].to_vec();
        let day = judgement::DAY * self.patience.as_secs_f64();
        Seen::of(view.clone(), buckets, coarsest.buckets, day)
    }
}

#[cfg(test)]
mod tests;
