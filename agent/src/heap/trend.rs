//! Where the floor of memory is going, and whether that looks like a leak. Pure: samples and their times in, a verdict
//! out; it does not know where the samples come from.
//!
//! What a program keeps shows in the *floor*: the least memory in use during an interval, after garbage of the moment
//! is gone. Bytes of registered caches are subtracted first. Over the floors of the last intervals goes a robust slope.
//! Growth is believed when
//! * the interval of the slope excludes zero,
//! * the rise is more than noise, more than the deepest fall in that time, and more than a trifle,
//! * it lasts from the beginning of that time to its end, and comes neither in one step nor slows down (a one-off, a
//!   warm-up),
//! * it leads well past every floor seen earlier (a daily rise does not), and
//! * registered caches that grew meanwhile do not explain it by their overhead.
//!
//! The first quarter of the process' life is left out: programs grow while they start. Growth for a quarter of the
//! patience is *watched*; growth for all of it is *suspected*, until it ends or the floor falls back.

use std::collections::VecDeque;
use std::time::Duration;

use heartline_shared::snapshot::{Leak, Trend};

use super::slope::{Slope, median};

/// Intervals that make a quarter of the patience.
const WATCHED: usize = 8;
/// Intervals that make the patience.
const PATIENT: usize = 32;
/// Longer windows, for growth too slow to stand out of the noise within the patience.
const LONGER: [usize; 2] = [64, 128];
const KEPT: usize = 128;
/// Peaks of the past are kept in pieces as long as the patience.
const PEAKS_KEPT: usize = 84;
/// The bounds of an interval; the shortest patience is [`PATIENT`] times the least.
const INTERVAL_MIN: Duration = Duration::from_secs(1);
const INTERVAL_MAX: Duration = Duration::from_mins(15);

/// A rise below this is a trifle: bytes, and a share of the floor.
const TRIFLE_BYTES: f64 = 512.0 * 1024.0;
const TRIFLE_SHARE: f64 = 0.04;
/// The rise must be so many times the deepest fall.
const OVER_DRAWDOWN: f64 = 1.3;
/// The rise must be so many times the noise (a robust standard deviation of the residuals).
const OVER_NOISE: f64 = 4.0;
/// No single interval may bring more than this share of the rise.
const STEP_SHARE_MAX: f64 = 0.5;
/// The first half must rise at this share of the whole rise's speed at least: growth has lasted all that time.
const ALREADY_RISING: f64 = 0.5;
/// The second half must rise at this share of the first half's speed: a logarithm over the life of a process has 0.51,
/// a line has 1.
const UNDIMINISHED: f64 = 0.7;
/// The last quarter must rise at this share of the whole rise's speed: growth goes on.
const STILL_RISING: f64 = 0.5;
/// So much of the rise must lead past every earlier floor.
const NEW_GROUND: f64 = 0.25;
/// A window is looked at in as many points at most; a longer one takes the floors of neighbours together.
const POINTS_MAX: usize = PATIENT;
/// Bytes of overhead that a cache may have for each byte it knows of.
const CACHE_OVERHEAD: f64 = 0.5;

/// Memory at one moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Sample {
    /// Allocated and not freed; resident memory where that is not known.
    pub(super) used: f64,
    /// What registered caches say they hold of it.
    pub(super) cached: f64,
    /// Resident memory, which the limit applies to.
    pub(super) resident: Option<f64>,
    /// The memory limit.
    pub(super) limit: Option<f64>,
}

/// What is concluded from all samples so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) trend: Trend,
    pub(super) leak: Leak,
    pub(super) growth_bytes_per_second: Option<f64>,
    /// From 0 to 1; 0 unless something is watched.
    pub(super) confidence: f64,
    pub(super) seconds_to_limit: Option<f64>,
    pub(super) evidence: Vec<String>,
}

/// Turns samples into a verdict. Keeps at most [`KEPT`] intervals, whatever its age.
#[derive(Debug)]
pub(super) struct Detector {
    interval: Duration,
    started: Option<Duration>,
    newest: Duration,
    open: Option<Interval>,
    closed: VecDeque<Interval>,
    peaks: VecDeque<(Duration, f64)>,
    standing: Standing,
    verdict: Verdict,
}

/// Times are since the first sample.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Interval {
    number: u128,
    at: Duration,
    floor: f64,
    cached: f64,
    resident: Option<f64>,
    used: f64,
    limit: Option<f64>,
}

/// What has been concluded, so that one calm interval does not withdraw it.
#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    leak: Leak,
    calm: usize,
    floor_before: f64,
    grown: f64,
}

/// A window of intervals in which the floor grew, and what speaks for it.
#[derive(Debug, Clone, Copy)]
struct Growth {
    slope: Slope,
    span: f64,
    grown: f64,
    drawdown: f64,
    cached: f64,
    floor_before: f64,
}

impl Detector {
    /// A detector that suspects after growth has lasted `patience`, which is at least 32 seconds.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            interval: (patience / 32).clamp(INTERVAL_MIN, INTERVAL_MAX),
            started: None,
            newest: Duration::ZERO,
            open: None,
            closed: VecDeque::with_capacity(KEPT),
            peaks: VecDeque::new(),
            standing: Standing::default(),
            verdict: Verdict::default(),
        }
    }

    /// What is concluded so far.
    pub(super) fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Takes the sample of one moment. Samples without a number, or from before the last one, say nothing.
    pub(super) fn observe(&mut self, now: Duration, sample: Sample) {
        if !(sample.used.is_finite() && sample.used >= 0.0) || now < self.newest {
            return;
        }
        self.newest = now;
        let at = now.saturating_sub(*self.started.get_or_insert(now));
        let cached = if sample.cached.is_finite() { sample.cached.clamp(0.0, sample.used) } else { 0.0 };
        let one = Interval {
            number: at.as_nanos() / self.interval.as_nanos(),
            at,
            floor: sample.used - cached,
            cached,
            resident: sample.resident.filter(|bytes| bytes.is_finite()),
            used: sample.used,
            limit: sample.limit.filter(|bytes| bytes.is_finite() && *bytes > 0.0),
        };
        match &mut self.open {
            Some(open) if open.number == one.number => open.merge(one),
            open => {
                if let Some(done) = open.replace(one) {
                    self.close(done);
                }
            }
        }
    }

    fn close(&mut self, done: Interval) {
        if self.closed.len() == KEPT {
            self.closed.pop_front().into_iter().for_each(|oldest| self.remember_peak(oldest));
        }
        self.closed.push_back(done);
        self.conclude(done);
    }

    fn remember_peak(&mut self, left: Interval) {
        let piece = self.interval * u32::try_from(PATIENT).unwrap_or(u32::MAX);
        match self.peaks.back_mut() {
            Some((at, peak)) if left.at.saturating_sub(*at) < piece => *peak = peak.max(left.floor),
            _ => self.peaks.push_back((left.at, left.floor)),
        }
        if self.peaks.len() > PEAKS_KEPT {
            self.peaks.pop_front();
        }
    }

    fn conclude(&mut self, now: Interval) {
        let view: Vec<Interval> = self.closed.iter().copied().filter(|interval| interval.at >= now.at / 4).collect();
        let short = self.growth(&view, WATCHED, 2.6);
        let long = [PATIENT].iter().chain(&LONGER).rev().find_map(|window| self.growth(&view, *window, 3.5));
        let long = long.filter(|_| !slows_down(&view));
        self.stand(now, short, long);
        let grows = long.or(short);
        let slope = grows.map(|growth| growth.slope).or_else(|| slope_of(&view));
        let shrinks = || [PATIENT, WATCHED].iter().any(|window| falls(&view, *window));
        let trend = match slope {
            None => Trend::Unknown,
            Some(_) if grows.is_some() => Trend::Growing,
            Some(_) if shrinks() => Trend::Shrinking,
            Some(_) => Trend::Stable,
        };
        let leak = self.standing.leak;
        let share = |growth: Growth| growth.slope.rising * (growth.span / self.patience_seconds()).min(1.0);
        self.verdict = Verdict {
            trend,
            leak,
            growth_bytes_per_second: slope.map(|slope| slope.median),
            confidence: if leak == Leak::None { 0.0 } else { grows.map_or(0.5, share) },
            seconds_to_limit: grows.and_then(|growth| seconds_to_limit(&growth, &view)),
            evidence: self.evidence(grows, trend),
        };
    }

    /// Moves from one verdict to the next: up as soon as growth lasted long enough, down when it has ended.
    fn stand(&mut self, now: Interval, short: Option<Growth>, long: Option<Growth>) {
        let standing = &mut self.standing;
        let growth = long.or(short);
        standing.calm = if growth.is_some() { 0 } else { standing.calm + 1 };
        if let Some(growth) = growth {
            let level = if long.is_some() { Leak::Suspected } else { Leak::Watching };
            if level >= standing.leak {
                standing.floor_before = growth.floor_before;
                standing.grown = growth.grown;
            }
            standing.leak = standing.leak.max(level);
        }
        let fell_back = now.floor < standing.floor_before + standing.grown / 2.0;
        let patience = if standing.leak == Leak::Suspected { WATCHED } else { WATCHED / 2 };
        if standing.leak != Leak::None && (fell_back || standing.calm >= patience) {
            *standing = Standing::default();
        }
    }

    /// The growth over the last `window` intervals, if it can be believed.
    fn growth(&self, view: &[Interval], window: usize, z: f64) -> Option<Growth> {
        let Window { intervals, points } = Window::of(view, window)?;
        let (first, last) = (intervals.first()?, intervals.last()?);
        let slope = Slope::through(&points, z)?;
        let span = last.at.saturating_sub(first.at).as_secs_f64();
        let grown = slope.median * span;
        let residual = |&(x, y): &(f64, f64)| y - slope.median * x;
        let level = median(&mut points.iter().map(residual).collect::<Vec<f64>>());
        let mut errors: Vec<f64> = points.iter().map(|point| (residual(point) - level).abs()).collect();
        let noise = 1.4826 * median(&mut errors);
        let drawdown = drawdown(&points);
        let cached = (last.cached - first.cached).max(0.0);
        let steepest = points.windows(2).map(|pair| pair[1].1 - pair[0].1).fold(0.0, f64::max);
        let trifle = TRIFLE_BYTES.max(TRIFLE_SHARE * last.floor);
        let end = last.floor.min(level + slope.median * points.last()?.0);
        let believed = slope.low > 0.0
            && grown > trifle
            && grown > OVER_DRAWDOWN * drawdown
            && grown > OVER_NOISE * noise
            && grown > CACHE_OVERHEAD * cached
            && steepest < STEP_SHARE_MAX * grown
            && end - self.peak_before(view, first.at) > trifle.max(NEW_GROUND * grown)
            && (window == WATCHED || lasts(&points, &slope));
        believed.then_some(Growth { slope, span, grown, drawdown, cached, floor_before: level })
    }

    /// The highest floor before `at`, warm-up left out: what growth has to lead past.
    fn peak_before(&self, view: &[Interval], at: Duration) -> f64 {
        let warm = self.closed.back().map_or(Duration::ZERO, |now| now.at / 4);
        let remembered = self.peaks.iter().filter(|(since, _)| *since >= warm).map(|(_, peak)| *peak);
        let recent = view.iter().filter(|interval| interval.at < at).map(|interval| interval.floor);
        remembered.chain(recent).fold(0.0, f64::max)
    }

    fn patience_seconds(&self) -> f64 {
        self.interval.as_secs_f64() * PATIENT as f64
    }

    fn evidence(&self, grows: Option<Growth>, trend: Trend) -> Vec<String> {
        let Some(growth) = grows else {
            let calm = self.standing.leak != Leak::None;
            let needed = span_text(self.interval.as_secs_f64() * WATCHED as f64 * 4.0 / 3.0);
            return match trend {
                Trend::Unknown => {
                    vec![format!("too little has been seen; a trend needs about {needed} after the start")]
                }
                _ if calm => vec!["the growth has stopped; the verdict is withdrawn if it stays so".to_owned()],
                _ => Vec::new(),
            };
        };
        let Growth { slope, span, grown, drawdown, cached, .. } = growth;
        let mut evidence = vec![
            format!(
                "the memory floor rose by {} in {}: {}/s",
                bytes_text(grown),
                span_text(span),
                bytes_text(slope.median)
            ),
            format!(
                "{:.0} % of all pairs of intervals rise, and the deepest fall was {}",
                slope.rising * 100.0,
                bytes_text(drawdown)
            ),
        ];
        if cached > 0.0 {
            evidence.push(format!("{} that registered caches grew by are not counted", bytes_text(cached)));
        }
        if self.standing.leak == Leak::Watching {
            evidence.push(format!("it becomes a suspicion when it lasts {}", span_text(self.patience_seconds())));
        }
        evidence
    }
}

/// The last intervals of a view, with their floors over the seconds since the first.
struct Window<'v> {
    intervals: &'v [Interval],
    points: Vec<(f64, f64)>,
}

impl<'v> Window<'v> {
    /// The last `length` intervals; `None` unless they cover that time well.
    fn of(view: &'v [Interval], length: usize) -> Option<Self> {
        let newest = view.last()?.number;
        let oldest = newest.checked_sub(length as u128 - 1)?;
        let intervals = &view[view.partition_point(|interval| interval.number < oldest)..];
        let reaches_back = intervals.first()?.number <= oldest + 1;
        let enough = intervals.len() * 4 >= length * 3;
        let start = intervals.first()?.at;
        let lowest = |group: &[Interval]| group.iter().copied().min_by(|a, b| a.floor.total_cmp(&b.floor));
        let point = |interval: Interval| (interval.at.saturating_sub(start).as_secs_f64(), interval.floor);
        let groups = intervals.chunks(length.div_ceil(POINTS_MAX));
        (reaches_back && enough).then(|| Self { intervals, points: groups.filter_map(lowest).map(point).collect() })
    }
}

impl Interval {
    /// The floor of both with the cache bytes of that moment, the peak of resident memory, the newest of the rest.
    fn merge(&mut self, newer: Self) {
        if newer.floor < self.floor {
            (self.floor, self.cached) = (newer.floor, newer.cached);
        }
        self.resident = match (self.resident, newer.resident) {
            (Some(ours), Some(theirs)) => Some(ours.max(theirs)),
            (ours, theirs) => theirs.or(ours),
        };
        self.used = newer.used;
        self.limit = newer.limit.or(self.limit);
    }
}

/// Whether the floor fell over the last `window` intervals: the same test upside down.
fn falls(view: &[Interval], window: usize) -> bool {
    let Some(Window { intervals, points }) = Window::of(view, window) else { return false };
    let Some(slope) = Slope::through(&points, 2.6) else { return false };
    let span = points.last().map_or(0.0, |(x, _)| *x);
    let level = intervals.first().map_or(0.0, |interval| interval.floor);
    slope.high < 0.0 && -slope.median * span > TRIFLE_BYTES.max(TRIFLE_SHARE * level)
}

/// The slope for people to see while nothing is believed: over the patience, or over what there is of it.
fn slope_of(view: &[Interval]) -> Option<Slope> {
    let window = Window::of(view, PATIENT).or_else(|| Window::of(view, WATCHED))?;
    Slope::through(&window.points, 2.6)
}

/// The deepest fall from any floor to a later one.
fn drawdown(points: &[(f64, f64)]) -> f64 {
    let mut highest = f64::NEG_INFINITY;
    points.iter().fold(0.0, |deepest: f64, (_, floor)| {
        highest = highest.max(*floor);
        deepest.max(highest - floor)
    })
}

/// Whether the rise fills the window, does not slow down, and goes on.
fn lasts(points: &[(f64, f64)], whole: &Slope) -> bool {
    let (first, second) = points.split_at(points.len() / 2);
    let last_quarter = &points[points.len() * 3 / 4..];
    let median = |part: &[(f64, f64)]| Slope::through(part, 1.0).map_or(f64::NAN, |slope| slope.median);
    let (first, second) = (median(first), median(second));
    first > ALREADY_RISING * whole.median
        && second > UNDIMINISHED * first
        && median(last_quarter) > STILL_RISING * whole.median
}

/// Whether memory rises ever more slowly over all that is in view, as while a program warms up.
fn slows_down(view: &[Interval]) -> bool {
    let Some(length) = view.first().zip(view.last()).map(|(first, last)| last.number - first.number + 1) else {
        return false;
    };
    let Some(Window { points, .. }) = usize::try_from(length).ok().and_then(|length| Window::of(view, length)) else {
        return false;
    };
    let (first, second) = points.split_at(points.len() / 2);
    let halves = Slope::through(first, 2.0).zip(Slope::through(second, 2.0));
    halves.is_some_and(|(first, second)| first.low > 0.0 && second.median < UNDIMINISHED * first.median)
}

/// Time until resident memory reaches the limit, when the slope is known within a factor of two. What is allocated
/// takes as much more room as it does now.
fn seconds_to_limit(growth: &Growth, view: &[Interval]) -> Option<f64> {
    let newest = view.last()?;
    let (limit, used) = (newest.limit?, newest.used);
    let peak = view.iter().rev().take(WATCHED).filter_map(|interval| interval.resident).fold(0.0, f64::max);
    let known = growth.slope.low > 0.0 && growth.slope.high / growth.slope.low < 2.0 && used > 0.0 && peak > 0.0;
    let room_per_byte = (peak / used).clamp(1.0, 1.5);
    known.then(|| (limit - peak).max(0.0) / (growth.slope.median * room_per_byte))
}

fn bytes_text(bytes: f64) -> String {
    const KIB: f64 = 1024.0;
    match bytes {
        _ if bytes >= KIB * KIB * KIB => format!("{:.1} GiB", bytes / KIB / KIB / KIB),
        _ if bytes >= KIB * KIB => format!("{:.1} MiB", bytes / KIB / KIB),
        _ if bytes >= KIB => format!("{:.1} KiB", bytes / KIB),
        _ => format!("{bytes:.0} B"),
    }
}

fn span_text(seconds: f64) -> String {
    match seconds {
        _ if seconds >= 7_200.0 => format!("{:.1} h", seconds / 3_600.0),
        _ if seconds >= 120.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{seconds:.0} s"),
    }
}

#[cfg(test)]
mod tests;
