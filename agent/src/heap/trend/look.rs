//! A look at one window: at floors, at means where floors are uncertain, and at what only resident memory shows. It is
//! taken in steps, so that no sample waits for a whole look. Knows windows and fits, decides nothing.

use super::fit::{Fit, Fitting};
use super::history::{BUCKETS, Bucket, History};
use super::judgement::{Signal, View};
use super::products::Problem;
use super::shapes::Curve;

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

/// A look that is under way.
#[derive(Debug, Clone)]
pub(super) struct Look {
    panel: Panel,
    limit: Option<f64>,
    /// In seconds.
    patience: f64,
    signal: Signal,
    fitting: Fitting,
    views: Vec<View>,
}

/// A window made ready for fitting.
#[derive(Debug, Clone)]
struct Panel {
    level: usize,
    whole: bool,
    age: f64,
    bucket: f64,
    /// Buckets of the process' life before these.
    before: usize,
    /// Without the warm-up.
    buckets: Vec<Bucket>,
    loads: Vec<Curve>,
    work: Vec<f64>,
    load_variation: f64,
}

impl Look {
    /// Begins with the floors of one level; `None` while it shows too little.
    pub(super) fn of(history: &History, level: usize, limit: Option<f64>, patience: f64) -> Option<Self> {
        let panel = Panel::of(history, level)?;
        let fitting = Fitting::of(panel.problem(Signal::Floor));
        Some(Self { panel, limit, patience, signal: Signal::Floor, fitting, views: Vec::new() })
    }

    /// Goes on; all that was seen once it is done, floors first.
    pub(super) fn step(&mut self) -> Option<Vec<View>> {
        let fit = self.fitting.step()?;
        let view = self.panel.view(self.signal, self.limit, fit);
        let agrees = |floor: &View| MEAN_AGREES.contains(&(view.fit.grown / floor.fit.grown.max(1e-9)));
        if self.signal != Signal::Mean || self.views.first().is_some_and(agrees) {
            self.views.push(view);
        }
        match self.next() {
            Some(signal) => {
                self.signal = signal;
                self.fitting = Fitting::of(self.panel.problem(signal));
                None
            }
            None => Some(std::mem::take(&mut self.views)),
        }
    }

    /// What is to be looked at after the signal that is done.
    fn next(&self) -> Option<Signal> {
        let floor = self.views.first()?;
        let long = floor.whole || BUCKETS as f64 * floor.bucket >= RESIDENT_WINDOW * self.patience;
        match self.signal {
            Signal::Floor if UNCERTAIN.contains(&floor.fit.z) => Some(Signal::Mean),
            Signal::Floor | Signal::Mean if floor.age >= self.patience && long => Some(Signal::ResidentOnly),
            _ => None,
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let panel = &self.panel;
        let views: usize = self.views.iter().map(View::heap_bytes).sum();
        self.fitting.heap_bytes()
            + views
            + self.views.capacity() * size_of::<View>()
            + panel.buckets.capacity() * size_of::<Bucket>()
            + panel.loads.capacity() * size_of::<Curve>()
            + panel.work.capacity() * size_of::<f64>()
    }
}

impl Panel {
    fn of(history: &History, level: usize) -> Option<Self> {
        let window = history.window(level);
        let all = window.buckets.len();
        let whole = window.is_whole_life();
        let buckets = window.buckets[if whole { all / WARM_UP } else { 0 }..].to_vec();
        let count = buckets.len() as f64;
        let mean = buckets.iter().map(|bucket| bucket.load).sum::<f64>() / count;
        let mean = if mean > 0.0 { mean } else { 1.0 };
        let squares = buckets.iter().map(|bucket| (bucket.load - mean).powi(2)).sum::<f64>();
        let load_variation = (squares / count).sqrt() / mean;
        let mut loads = Vec::new();
        if load_variation > LOAD_VARIES {
            loads.push(curve(&buckets, |bucket| bucket.load / mean));
            loads.extend((0..3).map(|lag| curve(&buckets, |bucket| bucket.lagged[lag] / mean)));
        }
        let mut done = 0.0;
        let work = buckets.iter().enumerate().map(|(at, bucket)| {
            done += if at > 0 { bucket.load / mean } else { 0.0 };
            done
        });
        let work = work.collect();
        let before = usize::try_from(window.closed).unwrap_or(usize::MAX).saturating_sub(buckets.len());
        let (age, bucket) = (window.age(), window.bucket_seconds);
        (all >= BUCKETS_MIN).then_some(Self { level, whole, age, bucket, before, buckets, loads, work, load_variation })
    }

    /// Bytes that one unit of a fit stands for: the newest level.
    fn scale(&self, signal: Signal) -> f64 {
        let last = self.buckets.last().copied().unwrap_or_default();
        if signal == Signal::ResidentOnly { last.resident_floor.max(1.0) } else { last.floor.max(1.0) }
    }

    /// One signal, to be explained.
    fn problem(&self, signal: Signal) -> Problem {
        let scale = self.scale(signal);
        let bytes = |bucket: &Bucket| match signal {
            Signal::Floor => bucket.floor,
            Signal::Mean => bucket.mean,
            Signal::ResidentOnly => bucket.resident_floor - bucket.floor - bucket.cached,
        };
        let held = || vec![curve(&self.buckets, |bucket| (bucket.floor + bucket.cached) / scale)];
        Problem {
            floors: self.buckets.iter().map(|bucket| bytes(bucket) / scale).collect(),
            loads: if signal == Signal::ResidentOnly { held() } else { self.loads.clone() },
            work: self.work.clone(),
            before: self.before,
            moves: self.load_variation > LOAD_VARIES,
        }
    }

    fn view(&self, signal: Signal, limit: Option<f64>, fit: Fit) -> View {
        let last = self.buckets.last().copied().unwrap_or_default();
        let scale = self.scale(signal);
        let onset = self.buckets[fit.shape.onset];
        View {
            signal,
            level: self.level,
            whole: self.whole,
            age: self.age,
            bucket: self.bucket,
            scale,
            used: limit.map_or(0.0, |limit| last.resident_floor / limit),
            limit,
            load_variation: self.load_variation,
            cached_grown: (last.cached - onset.cached) / scale,
            fit,
        }
    }
}

fn curve(buckets: &[Bucket], value: impl Fn(&Bucket) -> f64) -> Curve {
    let mut curve: Curve = [0.0; BUCKETS];
    for (place, bucket) in curve.iter_mut().zip(buckets) {
        *place = value(bucket);
    }
    curve
}
