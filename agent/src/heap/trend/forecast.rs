//! How long memory lasts: an average over the curves that growth may follow, weighted by how well they explain it.
//! Pure; knows no verdict.
//!
//! Each curve is a power of the time, or of the work, since some moment, so growth that speeds up is carried on as such.
//! Its weight is its likelihood under Gaussian errors with the effective number of floors, times a prior (A. E. Raftery,
//! D. Madigan and J. A. Hoeting, "Bayesian Model Averaging for Linear Regression Models", JASA 92, 1997). The interval
//! is the middle 86 % of all curves' times, each spread by the error of its slope and by what fits have been off by.

use super::history::{Bucket, Window};
use super::judgement::{Signal, View};
use super::shapes::Kind;

/// Exponents that are tried.
const POWERS: [f64; 5] = [1.0, 1.5, 2.0, 2.5, 3.0];
/// Prior of the straight line from the onset; the rest is shared by all other curves.
const LINE_PRIOR: f64 = 0.1;
/// The logarithmic spread of a time that no error of a slope explains.
const SPREAD: f64 = 0.4;
/// Of a normal distribution: places in standard deviations and their weights.
const NORMAL: [(f64, f64); 5] = [(-1.75, 0.08), (-1.0, 0.22), (0.0, 0.4), (1.0, 0.22), (1.75, 0.08)];
/// Ends of the interval.
const QUANTILES: [f64; 3] = [0.07, 0.5, 0.93];
/// Share of the resident peaks that the margin is measured from.
const PEAK_QUANTILE: f64 = 0.9;
/// The load moves when its coefficient of variation is above this; the error of its mean as a multiple of that.
const LOAD_MOVES: f64 = 0.15;
const UNSEEN_LOAD: f64 = 1.5;
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

/// What was seen: the view, the buckets it was made of, and all buckets of the coarsest level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'h> {
    pub(super) view: &'h View,
    pub(super) buckets: &'h [Bucket],
    pub(super) coarsest: Window<'h>,
    /// A day, in seconds.
    pub(super) day: f64,
}

/// A fitted curve: bytes = factor × (place - origin)^exponent.
#[derive(Debug, Clone, Copy)]
struct Power {
    origin: f64,
    exponent: f64,
    factor: f64,
    rss: f64,
    weight: f64,
}

impl Power {
    fn through(places: &[f64], bytes: &[f64], (origin, exponent): (f64, f64)) -> Option<Self> {
        let curve: Vec<f64> = places.iter().map(|place| (place - origin).max(0.0).powf(exponent)).collect();
        let (curve_mean, bytes_mean) = (mean(&curve), mean(bytes));
        let pairs = || curve.iter().map(|value| value - curve_mean).zip(bytes.iter().map(|value| value - bytes_mean));
        let squared: f64 = pairs().map(|(curve, _)| curve * curve).sum();
        let factor = pairs().map(|(curve, bytes)| curve * bytes).sum::<f64>() / squared;
        let rss = pairs().map(|(curve, bytes)| (bytes - factor * curve).powi(2)).sum();
        (factor.is_finite() && factor > 0.0).then_some(Self { origin, exponent, factor, rss, weight: 0.0 })
    }

    /// The slope at the end, per step.
    fn slope(&self, end: f64) -> f64 {
        self.factor * self.exponent * (end - self.origin).powf(self.exponent - 1.0)
    }

    /// The rise between two places.
    fn rise(&self, from: f64, to: f64) -> f64 {
        let raised = |place: f64| (place - self.origin).max(0.0).powf(self.exponent);
        self.factor * (raised(to) - raised(from))
    }

    /// Steps from the end until `bytes` more are used.
    fn steps(&self, end: f64, bytes: f64) -> f64 {
        let since = end - self.origin;
        ((bytes / self.factor + since.powf(self.exponent)).powf(1.0 / self.exponent) - since).max(0.0)
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

impl Seen<'_> {
    /// The forecast; `limit` is in bytes.
    pub(super) fn forecast(&self, limit: Option<f64>) -> Forecast {
        let Self { view, buckets, .. } = *self;
        let (places, pace) = self.places();
        let bytes: Vec<f64> = view.fit.adjusted.iter().map(|share| share * view.scale).collect();
        let end = places.last().copied().unwrap_or_default();
        let curves = self.curves(&places, &bytes);
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
        let left = (limit - self.peak(&curves, &places, room)).max(0.0) / room;
        let error = (1.0 / view.fit.z.max(1.0))
            .hypot(SPREAD)
            .hypot(view.fit.steepest.clamp(0.0, 0.6))
            .hypot(self.unseen_load());
        let mut times: Vec<(f64, f64)> = Vec::with_capacity(curves.len() * NORMAL.len());
        for curve in &curves {
            let seconds = curve.steps(end, left) * view.bucket / pace;
            times.extend(NORMAL.map(|(away, weight)| (seconds * (error * away).exp(), weight * curve.weight)));
        }
        let [low, seconds, high] = quantiles(&mut times);
        let believed = seconds <= HORIZON * view.duration() && high <= FACTOR_MAX * low.max(view.bucket);
        Forecast { seconds: believed.then_some(seconds), interval: believed.then_some([low, high]), slope }
    }

    /// The logarithmic error of the pace before a whole day of a load that moves was seen.
    fn unseen_load(&self) -> f64 {
        let moves = self.view.load_variation.max(variation(self.coarsest.buckets));
        if self.view.age < self.day && moves > LOAD_MOVES { UNSEEN_LOAD * moves } else { 0.0 }
    }

    /// Where each floor lies on the axis of the growth, in buckets or in a bucket's mean work, and how fast that axis
    /// will go on: work at the pace of the longest memory there is.
    fn places(&self) -> (Vec<f64>, f64) {
        let buckets = self.buckets;
        let load = mean(&buckets.iter().map(|bucket| bucket.load).collect::<Vec<f64>>());
        if self.view.fit.shape.kind != Kind::WorkLeak || load <= 0.0 {
            return ((0..buckets.len()).map(|at| at as f64).collect(), 1.0);
        }
        let mut done = 0.0;
        let places = buckets.iter().enumerate().map(|(at, bucket)| {
            done += if at > 0 { bucket.load / load } else { 0.0 };
            done
        });
        let places = places.collect();
        let usual = mean(&self.coarsest.buckets.iter().map(|bucket| bucket.load).collect::<Vec<f64>>());
        (places, if usual > 0.0 { usual / load } else { 1.0 })
    }

    fn curves(&self, places: &[f64], bytes: &[f64]) -> Vec<Power> {
        let view = self.view;
        let onset = places[view.fit.shape.onset];
        let before = view.age / view.bucket - places.len() as f64;
        let mut origins = vec![0.0, onset / 2.0, onset];
        if before < 2.0 * places.len() as f64 {
            origins.extend([-before / 2.0, -before]);
        }
        let others = (origins.len() * POWERS.len()) as f64;
        let all = origins.iter().flat_map(|origin| POWERS.map(|power| (*origin, power, (1.0 - LINE_PRIOR) / others)));
        let mut curves: Vec<Power> = all
            .chain([(onset, 1.0, LINE_PRIOR)])
            .filter_map(|(origin, power, prior)| {
                Power::through(places, bytes, (origin, power)).map(|curve| Power { weight: prior, ..curve })
            })
            .collect();
        let least = curves.iter().map(|curve| curve.rss).fold(f64::INFINITY, f64::min);
        let least = least.max(1e-9 * view.scale * view.scale);
        for curve in &mut curves {
            curve.weight *= (least / curve.rss.max(least)).powf(view.fit.effective / 2.0);
        }
        let sum: f64 = curves.iter().map(|curve| curve.weight).sum();
        for curve in &mut curves {
            curve.weight /= sum;
        }
        curves
    }

    /// Where the peaks of resident memory are now, were all of them as late as the last; `room` is resident bytes for
    /// each byte of the growth.
    fn peak(&self, curves: &[Power], places: &[f64], room: f64) -> f64 {
        let end = places.last().copied().unwrap_or_default();
        let since = |place: f64| -> f64 { curves.iter().map(|curve| curve.weight * curve.rise(place, end)).sum() };
        let pairs = self.buckets.iter().zip(places);
        let mut peaks: Vec<f64> = pairs.map(|(bucket, place)| bucket.resident_peak + since(*place) * room).collect();
        peaks.sort_by(f64::total_cmp);
        super::slope::at_rank(&peaks, PEAK_QUANTILE * self.buckets.len().saturating_sub(1) as f64)
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
