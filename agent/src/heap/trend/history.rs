//! What the detector remembers: floors of memory at eight resolutions, from minutes to days, in a fixed number of
//! bytes. Knows time and samples, no verdict.
//!
//! Level 0 holds buckets of one base length; two closed buckets of a level merge into one of the next. Each level keeps
//! its last [`BUCKETS`], so the levels together look back over 48, 96, 192, … base lengths.

use std::time::Duration;

use super::MemorySample;

/// Buckets kept of each level.
pub(super) const BUCKETS: usize = 48;
/// Resolutions; the last looks back over 6,144 base buckets, which is 10.7 days at the default patience.
pub(super) const LEVELS: usize = 8;
/// Base buckets that a gap is filled with at most.
const GAP_BUCKETS_MAX: u64 = 400;
/// Time constants of the lagged loads, in base buckets: 15 minutes, 1 hour and 3 hours at the default patience. Caches
/// with a time to live, sessions and buffers follow the load that late.
const LAGS: [f64; 3] = [6.0, 24.0, 72.0];
/// A pause in the samples counts for the lagged loads as this many base buckets at most.
const LAG_STEP_MAX: f64 = 4.0;
/// Readings of resident memory kept of the open bucket; more are thinned out.
const READINGS_KEPT: usize = 64;

/// What happened in one stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bucket {
    /// The second smallest reading of memory in use less known caches; of less than four readings, the smallest. One
    /// glitch makes no floor.
    pub(super) floor: f64,
    /// The same of resident memory.
    pub(super) resident_floor: f64,
    /// The median of resident memory; of merged buckets, the largest.
    pub(super) resident_peak: f64,
    /// The mean of memory in use less known caches.
    pub(super) mean: f64,
    /// Bytes of known caches.
    pub(super) cached: f64,
    /// Mean requests per second.
    pub(super) load: f64,
    /// The requests per second as exponential averages saw them at the end; of merged buckets, the smallest: the floor
    /// of memory meets the floor of its load.
    pub(super) lagged: [f64; LAGS.len()],
    /// Readings in it; 0 fills a gap and repeats the bucket before.
    pub(super) readings: u32,
}

impl Bucket {
    fn merged(&self, newer: &Self) -> Self {
        let lagged = std::array::from_fn(|at| self.lagged[at].min(newer.lagged[at]));
        Self {
            floor: self.floor.min(newer.floor),
            resident_floor: self.resident_floor.min(newer.resident_floor),
            resident_peak: self.resident_peak.max(newer.resident_peak),
            mean: f64::midpoint(self.mean, newer.mean),
            cached: f64::midpoint(self.cached, newer.cached),
            load: f64::midpoint(self.load, newer.load),
            lagged,
            readings: self.readings.saturating_add(newer.readings),
        }
    }
}

/// One resolution.
#[derive(Debug, Clone, Default)]
struct Level {
    buckets: Vec<Bucket>,
    /// Buckets ever closed.
    closed: u64,
    /// The first of two that will be one of the next level.
    waiting: Option<Bucket>,
}

/// A window of buckets of one level, and whether it reaches back to the start.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window<'h> {
    /// The last buckets, oldest first.
    pub(super) buckets: &'h [Bucket],
    /// The length of one, in seconds.
    pub(super) bucket_seconds: f64,
    /// Buckets of this length since the start.
    pub(super) closed: u64,
}

impl Window<'_> {
    /// Whether nothing of the process' life has left the window.
    pub(super) fn is_whole_life(&self) -> bool {
        self.closed <= BUCKETS as u64
    }

    /// Seconds since the start.
    pub(super) fn age(&self) -> f64 {
        self.closed as f64 * self.bucket_seconds
    }
}

/// The history of one life of the process.
#[derive(Debug, Clone)]
pub(super) struct History {
    base: Duration,
    started: Option<Duration>,
    newest: Duration,
    open: Open,
    levels: [Level; LEVELS],
    averages: Option<[f64; LAGS.len()]>,
}

impl History {
    /// A history with base buckets of this length.
    pub(super) fn new(base: Duration) -> Self {
        Self {
            base,
            started: None,
            newest: Duration::ZERO,
            open: Open::default(),
            levels: Default::default(),
            averages: None,
        }
    }

    /// Takes a sample. Returns the levels that have a new bucket that was really seen, as bits.
    pub(super) fn take(&mut self, now: Duration, sample: &MemorySample) -> u8 {
        if self.started.is_some() && now < self.newest {
            return 0;
        }
        let started = *self.started.get_or_insert(now);
        let load = sample.requests_per_second.unwrap_or(0.0);
        self.follow(load, now.saturating_sub(self.newest));
        self.newest = now;
        let base = self.base.as_nanos().max(1);
        let number = u64::try_from(now.saturating_sub(started).as_nanos() / base).unwrap_or(u64::MAX);
        let mut closed = 0;
        if self.open.readings > 0 && number != self.open.number {
            let done = self.open.close(self.averages.unwrap_or_default());
            closed = self.insert(0, done);
            let hold = Bucket { readings: 0, ..done };
            for _ in 0..number.saturating_sub(self.open.number + 1).min(GAP_BUCKETS_MAX) {
                self.insert(0, hold);
            }
            self.open.clear();
        }
        self.open.number = number;
        self.open.take(sample, load);
        closed
    }

    /// When the newest sample was taken.
    pub(super) fn newest(&self) -> Duration {
        self.newest
    }

    /// The floor of the newest bucket that was closed; infinite before the first.
    pub(super) fn newest_floor(&self) -> f64 {
        self.levels[0].buckets.last().map_or(f64::INFINITY, |bucket| bucket.floor)
    }

    /// What one level shows.
    pub(super) fn window(&self, level: usize) -> Window<'_> {
        let Level { buckets, closed, .. } = &self.levels[level];
        Window { buckets, bucket_seconds: self.base.as_secs_f64() * f64::from(1_u32 << level), closed: *closed }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let buckets: usize = self.levels.iter().map(|level| level.buckets.capacity()).sum();
        buckets * size_of::<Bucket>() + self.open.resident.capacity() * size_of::<f64>()
    }

    fn follow(&mut self, load: f64, passed: Duration) {
        let Some(averages) = &mut self.averages else {
            self.averages = Some([load; LAGS.len()]);
            return;
        };
        let base = self.base.as_secs_f64();
        let passed = (passed.as_secs_f64() / base).min(LAG_STEP_MAX);
        for (average, lag) in averages.iter_mut().zip(LAGS) {
            *average += (1.0 - (-passed / lag).exp()) * (load - *average);
        }
    }

    fn insert(&mut self, at: usize, bucket: Bucket) -> u8 {
        let Some(level) = self.levels.get_mut(at) else { return 0 };
        if level.buckets.len() == BUCKETS {
            level.buckets.remove(0);
        }
        level.buckets.push(bucket);
        level.closed += 1;
        let seen = if bucket.readings > 0 { 1 << at } else { 0 };
        match level.waiting.take() {
            None => {
                level.waiting = Some(bucket);
                seen
            }
            Some(older) => seen | self.insert(at + 1, older.merged(&bucket)),
        }
    }
}

/// The bucket that is being filled.
#[derive(Debug, Clone, Default)]
struct Open {
    number: u64,
    readings: u32,
    lowest: Lowest,
    resident_lowest: Lowest,
    resident: Vec<f64>,
    /// Only every so many readings is kept in `resident`.
    stride: u32,
    sum: f64,
    load_sum: f64,
    cached: f64,
}

impl Open {
    fn take(&mut self, sample: &MemorySample, load: f64) {
        let used = sample.used - sample.cached;
        let resident = sample.resident.unwrap_or(sample.used);
        self.lowest.take(used);
        self.resident_lowest.take(resident);
        self.stride = self.stride.max(1);
        if self.readings.is_multiple_of(self.stride) {
            self.resident.push(resident);
        }
        if self.resident.len() > READINGS_KEPT {
            let mut keep = false;
            self.resident.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
        self.sum += used;
        self.load_sum += load;
        self.cached = sample.cached;
        self.readings = self.readings.saturating_add(1);
    }

    fn close(&mut self, lagged: [f64; LAGS.len()]) -> Bucket {
        let count = f64::from(self.readings.max(1));
        self.resident.sort_by(f64::total_cmp);
        let second = self.readings >= 4;
        Bucket {
            floor: self.lowest.floor(second),
            resident_floor: self.resident_lowest.floor(second),
            resident_peak: self.resident.get(self.resident.len() / 2).copied().unwrap_or_default(),
            mean: self.sum / count,
            cached: self.cached,
            load: self.load_sum / count,
            lagged,
            readings: self.readings,
        }
    }

    fn clear(&mut self) {
        let mut resident = std::mem::take(&mut self.resident);
        resident.clear();
        *self = Self { resident, ..Self::default() };
    }
}

/// The two smallest readings.
#[derive(Debug, Clone, Copy)]
struct Lowest([f64; 2]);

impl Default for Lowest {
    fn default() -> Self {
        Self([f64::INFINITY; 2])
    }
}

impl Lowest {
    fn take(&mut self, value: f64) {
        let [first, second] = self.0;
        self.0 = if value < first { [value, first] } else { [first, second.min(value)] };
    }

    fn floor(self, second: bool) -> f64 {
        if second { self.0[1] } else { self.0[0] }
    }
}
