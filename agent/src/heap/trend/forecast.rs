//! How long memory lasts: an average over the curves that growth may follow, weighted by how well they explain it.
//! Pure; knows no verdict.
//!
//! Each curve is a power of the time, or of the work, since some moment, so growth that speeds up is carried on as such.
//! It is fitted beside the load, because load that was chosen to suit a straight line hides that the line is bent. Its
//! weight is its likelihood under Gaussian errors with the effective number of floors, tempered (P. Grünwald and T. van
//! Ommen, "Inconsistency of Bayesian Inference for Misspecified Linear Models, and a Proposal for Repairing It",
//! Bayesian Analysis 12, 2017), times a prior (A. E. Raftery, D. Madigan and J. A. Hoeting, "Bayesian Model Averaging
//! for Linear Regression Models", JASA 92, 1997). The interval is the middle 86 % of all curves' times, each spread by
//! the error of its slope and by what fits have been off by.

use super::history::{BUCKETS, Bucket};
use super::judgement::{Signal, View};
use super::products::{centre, dot, remove};
use super::shapes::{Curve, Kind};

/// Exponents that are tried, in halves, and their priors.
const POWERS: [(u8, f64); 5] = [(2, 0.5), (3, 0.15), (4, 0.15), (5, 0.1), (6, 0.1)];
/// Prior of growth since the start of the process; the rest is shared by all later moments.
const START_PRIOR: f64 = 0.5;
/// How many moments within the window growth may have begun at.
const ORIGINS: usize = 10;
/// Of a curve this share must be left once the load is projected out.
const LEFT_MIN: f64 = 0.02;
/// Curves fitted in one step.
const CURVES_A_STEP: usize = 8;
/// Curves with less than this share of the largest weight hardly count.
const WEIGHT_MIN: f64 = 1e-3;
/// The logarithmic spread of a time that no error of a slope explains.
const SPREAD: f64 = 0.25;
/// The share of their likelihood that is believed: floors err together for longer than a window shows.
const BELIEF: f64 = 0.7;
/// Of a normal distribution: places in standard deviations and their weights.
const NORMAL: [(f64, f64); 5] = [(-1.75, 0.08), (-1.0, 0.22), (0.0, 0.4), (1.0, 0.22), (1.75, 0.08)];
/// Ends of the interval.
const QUANTILES: [f64; 3] = [0.07, 0.5, 0.93];
/// Share of the resident peaks that the margin is measured from.
const PEAK_QUANTILE: f64 = 0.9;
/// The load moves when its coefficient of variation is above this; the error of its mean as a multiple of that.
const LOAD_MOVES: f64 = 0.15;
const UNSEEN_LOAD: f64 = 2.0;
/// No time is given beyond so many times what has been seen of the growth, or when the interval spans such a factor.
const HORIZON: f64 = 40.0;
const FACTOR_MAX: f64 = 8.0;

/// When memory will be used up, in seconds from now, and how fast it grows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Forecast {
    /// The middle; absent when the fit is too poor to say, or without a limit.
    pub(super) seconds: Option<f64>,
    /// The interval that goes with it.
    pub(super) interval: Option<[f64; 2]>,
    /// Growth now, in bytes per second.
    pub(super) slope: f64,
}

/// What was seen: the view and the buckets it was made of.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    view: View,
    buckets: Vec<Bucket>,
    /// The mean load as far back as it is known.
    usual_load: f64,
    /// The largest coefficient of variation of the load in any of the windows.
    load_variation: f64,
    /// A day, in seconds.
    day: f64,
}

/// A forecast in the making; no step takes long.
#[derive(Debug, Clone)]
pub(super) struct Forecasting {
    seen: Seen,
    /// Where each floor lies on the axis of the growth, and how fast that axis will go on.
    places: Vec<f64>,
    pace: f64,
    /// The floors in bytes, without what lies along the columns of load.
    floors: Vec<f64>,
    /// Curves that are not fitted yet, and those that are.
    untried: Vec<Power>,
    curves: Vec<Power>,
}

/// A fitted curve: bytes = factor × (place - origin)^(halves / 2).
#[derive(Debug, Clone, Copy)]
struct Power {
    origin: f64,
    halves: u8,
    factor: f64,
    /// The standard error of the factor over the factor, from the residual.
    error: f64,
    rss: f64,
    weight: f64,
}

impl Power {
    /// The place since the origin, raised.
    fn raised(&self, place: f64) -> f64 {
        let since = (place - self.origin).max(0.0);
        let whole = since.powi(i32::from(self.halves / 2));
        if self.halves.is_multiple_of(2) { whole } else { whole * since.sqrt() }
    }

    /// The same curve fitted to floors from which the columns of load were taken; they are taken from the curve as well,
    /// so that load that rises like the memory leaves nothing to believe in.
    fn through(mut self, places: &[f64], floors: &[f64], columns: &[Vec<f64>]) -> Option<Self> {
        let mut curve: Curve = [0.0; BUCKETS];
        let curve = &mut curve[..places.len()];
        for (value, place) in curve.iter_mut().zip(places) {
            *value = self.raised(*place);
        }
        centre(curve);
        let whole = dot(curve, curve);
        for column in columns {
            remove(curve, column);
        }
        let (squared, product) = (dot(curve, curve), dot(curve, floors));
        self.factor = product / squared;
        self.rss = (dot(floors, floors) - self.factor * product).max(0.0);
        let variance = self.rss / places.len().saturating_sub(3 + columns.len()).max(1) as f64;
        self.error = (variance / squared).sqrt() / self.factor;
        (squared > LEFT_MIN * whole && self.factor.is_finite() && self.factor > 0.0).then_some(self)
    }

    /// The slope at the end, per step.
    fn slope(&self, end: f64) -> f64 {
        let exponent = f64::from(self.halves) / 2.0;
        self.factor * exponent * (end - self.origin).powf(exponent - 1.0)
    }

    /// Steps from the end until `bytes` more are used.
    fn steps(&self, end: f64, bytes: f64) -> f64 {
        let total = bytes / self.factor + self.raised(end);
        (total.powf(2.0 / f64::from(self.halves)) - (end - self.origin)).max(0.0)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Seen {
    /// `coarsest` are all buckets of the coarsest level.
    pub(super) fn of(view: View, buckets: Vec<Bucket>, coarsest: &[Bucket], day: f64) -> Self {
        let usual_load = mean(&coarsest.iter().map(|bucket| bucket.load).collect::<Vec<f64>>());
        let load_variation = view.load_variation.max(variation(coarsest));
        Self { view, buckets, usual_load, load_variation, day }
    }

    /// The logarithmic error of the pace before growth went on for a whole day of a load that moves.
    fn unseen_load(&self) -> f64 {
        let moves = self.load_variation;
        if self.view.duration() < self.day && moves > LOAD_MOVES { UNSEEN_LOAD * moves } else { 0.0 }
    }

    /// Where each floor lies on the axis of the growth, in buckets or in a bucket's mean work, and how fast that axis
    /// will go on: work at the pace of the longest memory there is.
    fn places(&self) -> (Vec<f64>, f64) {
        let buckets = &self.buckets;
        let load = mean(&buckets.iter().map(|bucket| bucket.load).collect::<Vec<f64>>());
        if self.view.fit.shape.kind != Kind::WorkLeak || load <= 0.0 {
            return ((0..buckets.len()).map(|at| at as f64).collect(), 1.0);
        }
        let mut done = 0.0;
        let places = buckets.iter().enumerate().map(|(at, bucket)| {
            done += if at > 0 { bucket.load / load } else { 0.0 };
            done
        });
        (places.collect(), if self.usual_load > 0.0 { self.usual_load / load } else { 1.0 })
    }

    /// Every power since every moment, with its prior.
    fn curves(&self, places: &[f64]) -> Vec<Power> {
        let n = places.len();
        let before = self.view.age / self.view.bucket - n as f64;
        let mut origins: Vec<f64> = places[..n * 3 / 4].iter().step_by((n / ORIGINS).max(1)).copied().collect();
        origins.push(places[self.view.fit.shape.onset]);
        if before > 0.0 && before < 2.0 * n as f64 {
            origins.push(-before / 2.0);
        }
        let later = (1.0 - START_PRIOR) / origins.len() as f64;
        let all = origins.into_iter().map(|origin| (origin, later)).chain([(-before, START_PRIOR)]);
        let power = |origin, prior| {
            POWERS.map(|(halves, share)| Power {
                origin,
                halves,
                factor: 0.0,
                error: 0.0,
                rss: 0.0,
                weight: prior * share,
            })
        };
        all.flat_map(|(origin, prior)| power(origin, prior)).collect()
    }
}

impl Forecasting {
    /// A forecast from what was seen.
    pub(super) fn of(seen: Seen) -> Self {
        let (places, pace) = seen.places();
        let fit = &seen.view.fit;
        let mut floors: Vec<f64> = fit.floors.iter().map(|share| share * seen.view.scale).collect();
        for column in &fit.columns {
            remove(&mut floors, column);
        }
        let mut untried = seen.curves(&places);
        // the last is tried first
        untried.reverse();
        let curves = Vec::with_capacity(untried.len());
        Self { seen, places, pace, floors, untried, curves }
    }

    /// Goes on; the forecast when it is done. `limit` is in bytes.
    pub(super) fn step(&mut self, limit: Option<f64>) -> Option<Forecast> {
        if self.untried.is_empty() {
            return Some(self.forecast(limit));
        }
        for curve in self.untried.drain(self.untried.len().saturating_sub(CURVES_A_STEP)..).rev() {
            self.curves.extend(curve.through(&self.places, &self.floors, &self.seen.view.fit.columns));
        }
        if self.untried.is_empty() {
            self.weigh();
        }
        None
    }

    /// Weighs each curve by how well it explains the floors beside the load, and leaves out what hardly counts.
    fn weigh(&mut self) {
        let (view, curves) = (&self.seen.view, &mut self.curves);
        let least = curves.iter().map(|curve| curve.rss).fold(f64::INFINITY, f64::min);
        let least = least.max(1e-9 * view.scale * view.scale);
        let weight =
            |curve: &Power| curve.weight * (least / curve.rss.max(least)).powf(0.5 * BELIEF * view.fit.effective);
        for curve in curves.iter_mut() {
            curve.weight = weight(curve);
        }
        let most = curves.iter().map(|curve| curve.weight).fold(0.0, f64::max);
        curves.retain(|curve| curve.weight >= WEIGHT_MIN * most);
        let sum: f64 = curves.iter().map(|curve| curve.weight).sum();
        for curve in curves {
            curve.weight /= sum;
        }
    }

    fn forecast(&self, limit: Option<f64>) -> Forecast {
        let Self { seen: Seen { view, buckets, .. }, places, pace, curves, .. } = self;
        let end = places.last().copied().unwrap_or_default();
        let slope: f64 = curves.iter().map(|curve| curve.weight * curve.slope(end)).sum::<f64>() * pace / view.bucket;
        let held: f64 = buckets.iter().map(|bucket| bucket.floor + bucket.cached).sum();
        let resident: f64 = buckets.iter().map(|bucket| bucket.resident_floor).sum();
        let room = match view.signal {
            Signal::ResidentOnly => 1.0,
            _ if held > 0.0 && resident > 0.0 => resident / held,
            _ => 1.0,
        };
        let Some(limit) = limit.filter(|_| slope > 0.0) else {
            return Forecast { seconds: None, interval: None, slope };
        };
        let left = (limit - self.peak(room)).max(0.0) / room;
        let poor = SPREAD.hypot(view.fit.steepest.clamp(0.0, 0.6)).hypot(self.seen.unseen_load());
        let fewer = (places.len() as f64 / view.fit.effective).sqrt();
        let mut times: Vec<(f64, f64)> = Vec::with_capacity(curves.len() * NORMAL.len());
        for curve in curves {
            // a floor that rises is the memory of its bucket's beginning
            let seconds = (curve.steps(end, left) / pace - 1.0).max(0.0) * view.bucket;
            let error = poor.hypot((curve.error * fewer).min(1.0));
            times.extend(NORMAL.map(|(away, weight)| (seconds * (error * away).exp(), weight * curve.weight)));
        }
        let [low, seconds, high] = quantiles(&mut times);
        let believed = seconds <= HORIZON * view.duration() && high <= FACTOR_MAX * low.max(view.bucket);
        Forecast { seconds: believed.then_some(seconds), interval: believed.then_some([low, high]), slope }
    }

    /// Where the peaks of resident memory are now, were all of them as late as the last; `room` is resident bytes for
    /// each byte of the growth.
    fn peak(&self, room: f64) -> f64 {
        let end = self.places.last().copied().unwrap_or_default();
        let now: f64 = self.curves.iter().map(|curve| curve.weight * curve.factor * curve.raised(end)).sum();
        let then = |place: f64| -> f64 {
            self.curves.iter().map(|curve| curve.weight * curve.factor * curve.raised(place)).sum()
        };
        let pairs = self.seen.buckets.iter().zip(&self.places);
        let mut peaks: Vec<f64> =
            pairs.map(|(bucket, place)| bucket.resident_peak + (now - then(*place)) * room).collect();
        peaks.sort_by(f64::total_cmp);
        super::slope::at_rank(&peaks, PEAK_QUANTILE * peaks.len().saturating_sub(1) as f64)
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let powers = self.untried.capacity() + self.curves.capacity();
        let numbers = self.places.capacity() + self.floors.capacity();
        self.seen.view.heap_bytes()
            + self.seen.buckets.capacity() * size_of::<Bucket>()
            + powers * size_of::<Power>()
            + numbers * size_of::<f64>()
    }
}

/// The coefficient of variation of the load.
fn variation(buckets: &[Bucket]) -> f64 {
    let loads: Vec<f64> = buckets.iter().map(|bucket| bucket.load).collect();
    let middle = mean(&loads);
    let squares: Vec<f64> = loads.iter().map(|load| (load - middle).powi(2)).collect();
    if middle > 0.0 { mean(&squares).sqrt() / middle } else { 0.0 }
}

/// The values at [`QUANTILES`] of weighted values.
fn quantiles(values: &mut [(f64, f64)]) -> [f64; 3] {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    QUANTILES.map(|share| {
        let mut sum = 0.0;
        let reached = values.iter().find(|(_, weight)| {
            sum += weight;
            sum >= share
        });
        reached.or(values.last()).map_or(f64::INFINITY, |(value, _)| *value)
    })
}
