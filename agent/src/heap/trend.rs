//! The leak detector: samples of memory and their times in, a verdict at each of them from the past alone. It does not
//! know where the samples come from.
//!
//! * `history` remembers the *floors* of memory, less the bytes of registered caches, at eight resolutions.
//! * `fit` explains each window by the load, a leak, or one of the innocent `shapes`.
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
mod shapes;
mod standing;
mod sums;

use std::time::Duration;

use heartline_shared::snapshot::{Leak, Trend};

pub(super) use self::evidence::bytes_text;
use self::fit::{Fit, Problem};
use self::forecast::Seen;
use self::history::{BUCKETS, Bucket, History, LEVELS, Window};
use self::judge::Judge;
use self::judgement::{Signal, Tuning, View};
use self::shapes::{Curve, Grid};
use super::slope::{self, Slope};

/// Base buckets in one patience.
const BASES: u32 = 192;
/// The shortest base bucket: a patience below 384 seconds does not make the history finer.
const BASE_MIN: Duration = Duration::from_secs(2);
/// A window is judged from this many buckets on.
const BUCKETS_MIN: usize = 12;
/// The share of a whole life that is left out at its beginning: programs grow while they start.
const WARM_UP: usize = 4;
/// The load is looked at when it varies by more than this (its coefficient of variation).
const LOAD_VARIES: f64 = 0.04;
/// Means are tried where the certainty of the floors lies between these.
const UNCERTAIN: std::ops::Range<f64> = 3.0..12.0;
/// They must have grown as the floors within these factors.
const MEAN_AGREES: std::ops::Range<f64> = 0.5..2.0;
/// Resident memory alone is judged in recent windows of this many patiences.
const RESIDENT_WINDOW: f64 = 4.0;
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
    /// Direction of the memory floor; unknown until enough has been seen, which takes an eighth of the patience.
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

/// Tells leaks from everything else that grows, sample by sample, in about 40 KiB whatever its age.
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
    verdict: LeakVerdict,
}

/// A window made ready for fitting.
struct Panel<'h> {
    level: usize,
    window: Window<'h>,
    /// Without the warm-up.
    buckets: &'h [Bucket],
    loads: Vec<Curve>,
    work: Vec<f64>,
    load_variation: f64,
}

impl<'h> Panel<'h> {
    fn of(history: &'h History, level: usize) -> Option<Self> {
        let window = history.window(level);
        let all = window.buckets.len();
        let buckets = &window.buckets[if window.is_whole_life() { all / WARM_UP } else { 0 }..];
        let count = buckets.len() as f64;
        let mean = buckets.iter().map(|bucket| bucket.load).sum::<f64>() / count;
        let mean = if mean > 0.0 { mean } else { 1.0 };
        let squares = buckets.iter().map(|bucket| (bucket.load - mean).powi(2)).sum::<f64>();
        let load_variation = (squares / count).sqrt() / mean;
        let mut loads = Vec::new();
        if load_variation > LOAD_VARIES {
            loads.push(curve(buckets, |bucket| bucket.load / mean));
            loads.extend((0..3).map(|lag| curve(buckets, |bucket| bucket.lagged[lag] / mean)));
        }
        let mut done = 0.0;
        let work = buckets.iter().enumerate().map(|(at, bucket)| {
            done += if at > 0 { bucket.load / mean } else { 0.0 };
            done
        });
        let work = work.collect();
        (all >= BUCKETS_MIN).then_some(Self { level, window, buckets, loads, work, load_variation })
    }

    /// The fit of one signal; `floors` gives it in bytes, `scale` what one is.
    fn view(&self, signal: Signal, scale: f64, limit: Option<f64>) -> Option<View> {
        let last = self.buckets.last()?;
        let scale = scale.max(1.0);
        let bytes = |bucket: &Bucket| match signal {
            Signal::Floor => bucket.floor,
            Signal::Mean => bucket.mean,
            Signal::ResidentOnly => bucket.resident_floor - bucket.floor - bucket.cached,
        };
        let floors: Vec<f64> = self.buckets.iter().map(|bucket| bytes(bucket) / scale).collect();
        let held = [curve(self.buckets, |bucket| (bucket.floor + bucket.cached) / scale)];
        let loads = if signal == Signal::ResidentOnly { &held[..] } else { &self.loads[..] };
        let before = usize::try_from(self.window.closed).unwrap_or(usize::MAX).saturating_sub(self.buckets.len());
        let fit = Fit::of(&Problem {
            floors: &floors,
            loads,
            grid: Grid { work: &self.work, before: Some(before), moves: self.load_variation > LOAD_VARIES },
        });
        let onset = &self.buckets[fit.shape.onset];
        Some(View {
            signal,
            level: self.level,
            whole: self.window.is_whole_life(),
            age: self.window.age(),
            bucket: self.window.bucket_seconds,
            scale,
            used: limit.map_or(0.0, |limit| last.resident_floor / limit),
            limit,
            load_variation: self.load_variation,
            cached_grown: (last.cached - onset.cached) / scale,
            fit,
        })
    }
}

fn curve(buckets: &[Bucket], value: impl Fn(&Bucket) -> f64) -> Curve {
    let mut curve: Curve = [0.0; BUCKETS];
    for (place, bucket) in curve.iter_mut().zip(buckets) {
        *place = value(bucket);
    }
    curve
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
        let closed = self.history.take(now, &sample);
        if closed != 0 {
            self.due |= closed & self.judged_levels();
            self.fall_back();
        }
        // one window a sample bounds what a sample costs; the others wait for the next
        if let Some(level) = self.due.checked_ilog2() {
            self.due &= !(1 << level);
            self.look(level as usize);
        }
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

    /// Looks at the window of one level: at floors, at means where floors are uncertain, at what only resident memory
    /// shows.
    fn look(&mut self, level: usize) {
        let patience = self.patience.as_secs_f64();
        let Some(panel) = Panel::of(&self.history, level) else { return };
        let last = panel.buckets.last().copied().unwrap_or_default();
        let Some(floor) = panel.view(Signal::Floor, last.floor, self.limit) else { return };
        let mean = UNCERTAIN.contains(&floor.fit.z).then(|| panel.view(Signal::Mean, last.floor, self.limit)).flatten();
        let mean = mean.filter(|mean| MEAN_AGREES.contains(&(mean.fit.grown / floor.fit.grown.max(1e-9))));
        let long = floor.whole || BUCKETS as f64 * floor.bucket >= RESIDENT_WINDOW * patience;
        let resident = floor.age >= patience && long;
        let resident = resident.then(|| panel.view(Signal::ResidentOnly, last.resident_floor, self.limit)).flatten();
        self.views[level] = Some(floor.clone());
        self.read_trend(&floor);
        let looks: Vec<View> = [Some(floor), mean, resident].into_iter().flatten().collect();
        self.judge.take(&looks, &self.views, self.history.newest_floor());
        self.speak();
    }

    /// Withdraws at once when memory has come back.
    fn fall_back(&mut self) {
        if self.judge.standing.fell_back(self.history.newest_floor()) {
            self.speak();
        }
    }

    /// Direction and slope of the floor over about one patience.
    fn read_trend(&mut self, view: &View) {
        let patience = self.patience.as_secs_f64();
        let long_enough = |it: &&View| BUCKETS as f64 * it.bucket >= patience;
        let seen = || self.views.iter().flatten();
        let reading = seen().find(long_enough).or_else(|| seen().next_back()).map(|it| it.level);
        if reading != Some(view.level) {
            return;
        }
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

    /// Brings the verdict in line with what stands.
    fn speak(&mut self) {
        let patience = self.patience.as_secs_f64();
        self.verdict.leak = self.judge.standing.leak();
        self.verdict.confidence = 0.0;
        (self.verdict.seconds_to_limit, self.verdict.seconds_to_limit_interval) = (None, None);
        let Some(view) = self.judge.standing.view() else {
            let calm = || self.views.iter().flatten().next_back().and_then(evidence::of_calm);
            self.verdict.evidence = self.judge.standing.withdrawn().or_else(calm).into_iter().collect();
            return;
        };
        let forecast = self.seen(view).forecast(self.limit);
        let error = (2.0 / view.fit.z.max(1.0)).min(1.0_f64);
        let ratios = view.fit.ratios.iter().copied().fold(f64::INFINITY, f64::min).max(0.0);
        self.verdict.confidence = (view.duration() / patience).min(1.0) * (1.0 - (-ratios.max(0.5) / 2.0).exp());
        self.verdict.trend = Trend::Growing;
        self.verdict.growth_bytes_per_second = Some(forecast.slope);
        self.verdict.growth_interval = Some([1.0 - error, 1.0 + error].map(|share| share * forecast.slope));
        self.verdict.seconds_to_limit = forecast.seconds;
        self.verdict.seconds_to_limit_interval = forecast.interval;
        let mut evidence = evidence::of_growth(view, &self.views, self.verdict.leak, patience);
        evidence.push(evidence::of_forecast(&forecast, self.limit));
        self.verdict.evidence = evidence;
    }

    /// Bytes this detector holds, on the heap included.
    #[cfg(test)]
    fn state_bytes(&self) -> usize {
        let fit = |view: &View| (view.fit.adjusted.capacity() * (2 + view.fit.columns.len())) * size_of::<f64>();
        let views: usize = self.views.iter().flatten().chain(self.judge.standing.view()).map(fit).sum();
        let words: usize = self.verdict.evidence.iter().map(String::capacity).sum();
        size_of::<Self>()
            + self.views.capacity() * size_of::<Option<View>>()
            + views
            + words
            + self.history.heap_bytes()
    }

    /// What the forecast is made from: the longest view if it shows enough of the growth, else the one that raised it.
    fn seen<'d>(&'d self, view: &'d View) -> Seen<'d> {
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
        let buckets = &buckets[buckets.len() - view.fit.adjusted.len()..];
        Seen { view, buckets, coarsest, day: judgement::DAY * self.patience.as_secs_f64() }
    }
}

#[cfg(test)]
mod tests;
