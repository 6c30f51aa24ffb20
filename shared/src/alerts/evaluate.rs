//! The value of a signal at one point in time, per group. Thresholds and states are not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use super::functions::{self, Point};
use super::ring::{Ring, Series, Weigh};
use super::samples::Samples;
use super::signal::{Call, Expression, Function, Limit, Matcher, Selector};
use super::syntax::Operator;
use super::vocabulary::Aggregator;
use crate::label::Labels;
use crate::time::UnixMillis;

/// How many groups a rule may have; beyond, the rule is wrong rather than thorough.
const GROUPS_MAX: usize = 2_000;

/// One value per group of labels.
pub(super) type Vector = BTreeMap<Labels, f64>;

/// Why a signal has no value.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(super) enum EvaluationError {
    #[error(
        "metric `{metric}` of {target} has another kind or other boundaries than the rule was checked against; \
         declare it in [metrics] as the service records it"
    )]
    Mismatch { metric: String, target: String },
    #[error("more than {GROUPS_MAX} groups; group by fewer labels")]
    TooManyGroups,
}

/// Where, when and over which series a signal is evaluated.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment<'m> {
    pub(super) samples: &'m Samples,
    pub(super) at: UnixMillis,
    pub(super) over: Duration,
    pub(super) by: &'m [String],
    pub(super) scope: &'m [Matcher],
}

enum Value {
    Scalar(f64),
    Vector(Vector),
}

impl Moment<'_> {
    /// The value of `expression` per group.
    pub(super) fn values(&self, expression: &Expression) -> Result<Vector, EvaluationError> {
        for selector in expression.selectors() {
            if let Some(target) = self.samples.mismatch(&selector.metric.name) {
                let target = format!("{}/{}", target.job, target.instance);
                return Err(EvaluationError::Mismatch { metric: selector.metric.name.clone(), target });
            }
        }
        match self.value(expression) {
            Value::Vector(vector) if vector.len() > GROUPS_MAX => Err(EvaluationError::TooManyGroups),
            Value::Vector(vector) => Ok(vector),
            Value::Scalar(_) => Ok(Vector::new()), // a signal without a metric is refused when it is read
        }
    }

    /// How many events the counters and histograms of `expression` saw in the window: per group the least of them.
    pub(super) fn events(&self, expression: &Expression) -> Vector {
        let mut least: Option<Vector> = None;
        for call in expression.calls().filter(|call| call.counts_events()) {
            let whole = matches!(call.function, Function::Share);
            let counts = self.sums(&call.selector, !whole, functions::increase, Picked::Count);
            least = Some(match least {
                None => counts,
                Some(before) => both(&before, &counts, f64::min),
            });
        }
        least.unwrap_or_default()
    }

    /// When each group was last heard of, whether or not its series ended since.
    pub(super) fn last_seen(&self, expression: &Expression) -> BTreeMap<Labels, UnixMillis> {
        let mut seen: BTreeMap<Labels, UnixMillis> = BTreeMap::new();
        for selector in expression.selectors().take(1) {
            self.each(selector, true, |group, series| {
                if let Some(at) = series.newest_at_or_before(self.at) {
                    let latest = seen.entry(group).or_insert(at);
                    *latest = at.max(*latest);
                }
            });
        }
        seen
    }

    /// The groups of targets that are alive, for rules that group by nothing but target labels.
    pub(super) fn live_groups(&self) -> Vec<Labels> {
        let none = Labels::empty();
        let in_scope = self
            .samples
            .live_targets(self.at)
            .filter(|target| self.scope.iter().all(|matcher| matcher.test.holds(target.label(&none, &matcher.label))));
        in_scope.map(|target| group(self.by, |name| target.label(&none, name))).collect()
    }

    fn value(&self, expression: &Expression) -> Value {
        match expression {
            Expression::Number(number) => Value::Scalar(*number),
            Expression::Call(call) => Value::Vector(self.call(call)),
            Expression::Binary { operator, left, right } => {
                let compute = |a: f64, b: f64| match operator {
                    Operator::Plus => a + b,
                    Operator::Minus => a - b,
                    Operator::Times => a * b,
                    Operator::Over => a / b,
                };
                match (self.value(left), self.value(right)) {
                    (Value::Scalar(a), Value::Scalar(b)) => Value::Scalar(compute(a, b)),
                    (Value::Scalar(a), Value::Vector(b)) => Value::Vector(map(b, |b| compute(a, b))),
                    (Value::Vector(a), Value::Scalar(b)) => Value::Vector(map(a, |a| compute(a, b))),
                    (Value::Vector(a), Value::Vector(b)) => Value::Vector(both(&a, &b, compute)),
                }
            }
        }
    }

    fn call(&self, call: &Call) -> Vector {
        let selector = &call.selector;
        let grouped = |over: fn(&[Point]) -> Option<f64>| self.gauges(selector, call.aggregator, over);
        match &call.function {
            Function::Last => self.last(selector, call.aggregator),
            Function::Avg => grouped(functions::mean),
            Function::Min => grouped(|points| points.iter().map(|(_, value)| *value).reduce(f64::min)),
            Function::Max => grouped(|points| points.iter().map(|(_, value)| *value).reduce(f64::max)),
            Function::Slope => grouped(slope),
            Function::Forecast(ahead) => {
                let ahead = ahead.as_secs_f64();
                self.gauges(selector, call.aggregator, |points| {
                    functions::regression(points, self.at).map(|(slope, now)| slope * ahead + now)
                })
            }
            Function::TimeTo(limit) => self.time_to(selector, call.aggregator, limit),
            Function::Rate => self.counters(selector, call.aggregator, functions::rate),
            Function::Increase => self.counters(selector, call.aggregator, functions::increase),
            Function::Share => {
                let all = self.sums(selector, false, functions::rate, Picked::Count);
                let part = self.sums(selector, true, functions::rate, Picked::Count);
                let share = |(group, all): (Labels, f64)| {
                    let part = part.get(&group).copied().unwrap_or(0.0);
                    (group, part / all)
                };
                all.into_iter().map(share).collect()
            }
            Function::Mean => {
                let sums = self.sums(selector, true, functions::rate, Picked::Sum);
                both(&sums, &self.sums(selector, true, functions::rate, Picked::Count), |sum, count| sum / count)
            }
            Function::ShareUnder(boundary) => self.share_under(selector, *boundary),
            Function::ShareOver(boundary) => map(self.share_under(selector, *boundary), |under| 1.0 - under),
            Function::Quantile(q) => self.quantile(selector, *q),
        }
    }

    fn share_under(&self, selector: &Selector, boundary: f64) -> Vector {
        let under = self.sums(selector, true, functions::rate, Picked::AtOrBelow(boundary));
        both(&under, &self.sums(selector, true, functions::rate, Picked::Count), |under, all| under / all)
    }

    fn quantile(&self, selector: &Selector, q: f64) -> Vector {
        let mut buckets: BTreeMap<Labels, Vec<(f64, f64)>> = BTreeMap::new();
        self.each(selector, true, |group, series| {
            let Series::Histograms { boundaries, .. } = series else { return };
            let bounds = boundaries.iter().copied().chain([f64::INFINITY]);
            let rates = bounds
                .enumerate()
                .filter_map(|(at, bound)| Some((bound, self.windowed(series, functions::rate, Picked::Bucket(at))?)));
            buckets.entry(group).or_default().extend(rates);
        });
        buckets.retain(|_, rates| !rates.is_empty());
        let quantile = |rates: Vec<(f64, f64)>| {
            let (bounds, cumulative) = sums_per_bound(rates);
            functions::histogram_quantile(q, &bounds, &cumulative)
        };
        buckets.into_iter().map(|(group, rates)| (group, quantile(rates))).collect()
    }

    /// `(limit - now) / slope` where the slope is positive.
    fn time_to(&self, selector: &Selector, aggregator: Aggregator, limit: &Limit) -> Vector {
        let limits = self.last(&limit.selector, limit.aggregator);
        let room = both(&limits, &self.last(selector, aggregator), |limit, now| limit - now);
        let mut slopes = self.gauges(selector, aggregator, slope);
        slopes.retain(|_, slope| *slope > 0.0);
        both(&room, &slopes, |room, slope| room / slope)
    }

    fn last(&self, selector: &Selector, aggregator: Aggregator) -> Vector {
        self.grouped(selector, true, aggregator, |series| match series {
            Series::Numbers(ring) => ring.instant(self.at).copied(),
            Series::Histograms { .. } => None,
        })
    }

    fn gauges(&self, selector: &Selector, aggregator: Aggregator, over: impl Fn(&[Point]) -> Option<f64>) -> Vector {
        self.grouped(selector, true, aggregator, |series| match series {
            Series::Numbers(ring) => over(&self.points(ring, |value| *value)),
            Series::Histograms { .. } => None,
        })
    }

    fn counters(&self, selector: &Selector, aggregator: Aggregator, over: Windowed) -> Vector {
        self.grouped(selector, true, aggregator, |series| self.windowed(series, over, Picked::Count))
    }

    /// The sums per group of a window function, with or without the selector's matchers.
    fn sums(&self, selector: &Selector, matched: bool, over: Windowed, picked: Picked) -> Vector {
        self.grouped(selector, matched, Aggregator::Sum, |series| self.windowed(series, over, picked))
    }

    fn windowed(&self, series: &Series, over: Windowed, picked: Picked) -> Option<f64> {
        let points = match series {
            Series::Numbers(ring) => self.points(ring, |value| *value),
            Series::Histograms { ring, .. } if picked == Picked::Sum => self.points(ring, |classic| classic.sum),
            Series::Histograms { boundaries, ring } => {
                let at = picked.position(boundaries)?;
                self.points(ring, |classic| classic.cumulative[at])
            }
        };
        over(&points, self.at - self.over, self.at)
    }

    fn points<T: Weigh>(&self, ring: &Ring<T>, value: impl Fn(&T) -> f64) -> Vec<Point> {
        ring.window(self.at - self.over, self.at).map(|(at, it)| (*at, value(it))).collect()
    }

    fn grouped(
        &self,
        selector: &Selector,
        matched: bool,
        aggregator: Aggregator,
        value: impl Fn(&Series) -> Option<f64>,
    ) -> Vector {
        let mut groups: BTreeMap<Labels, Vec<f64>> = BTreeMap::new();
        self.each(selector, matched, |group, series| {
            if let Some(value) = value(series) {
                groups.entry(group).or_default().push(value);
            }
        });
        let one = |(group, values): (Labels, Vec<f64>)| Some((group, functions::aggregate(aggregator, &values)?));
        groups.into_iter().filter_map(one).collect()
    }

    /// Calls `visit` with every series in scope and its group.
    fn each(&self, selector: &Selector, matched: bool, mut visit: impl FnMut(Labels, &Series)) {
        let matchers = if matched { selector.matchers.as_slice() } else { &[] };
        for (target, labels, series) in self.samples.series(&selector.metric.name) {
            let mut tests = matchers.iter().chain(self.scope);
            if tests.all(|matcher| matcher.test.holds(target.label(labels, &matcher.label))) {
                visit(group(self.by, |name| target.label(labels, name)), series);
            }
        }
    }
}

type Windowed = fn(&[Point], UnixMillis, UnixMillis) -> Option<f64>;

/// Which number of a histogram is meant.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Picked {
    Count,
    Sum,
    /// The bucket at this position, infinity being the last.
    Bucket(usize),
    /// The bucket that ends at this boundary.
    AtOrBelow(f64),
}

impl Picked {
    /// Where among the cumulative counts it stands; `None` when the histogram has no such boundary, or for the sum.
    fn position(self, boundaries: &[f64]) -> Option<usize> {
        match self {
            Self::Sum => None,
            Self::Count => Some(boundaries.len()),
            Self::Bucket(at) => Some(at).filter(|at| *at <= boundaries.len()),
            Self::AtOrBelow(bound) => boundaries.binary_search_by(|it| it.total_cmp(&bound)).ok(),
        }
    }
}

/// The sum per boundary over all series, in rising order; the boundaries without infinity.
fn sums_per_bound(mut rates: Vec<(f64, f64)>) -> (Vec<f64>, Vec<f64>) {
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut bounds, mut cumulative) = (Vec::new(), Vec::new());
    for same in rates.chunk_by(|a, b| a.0.total_cmp(&b.0).is_eq()) {
        let values: Vec<f64> = same.iter().map(|(_, rate)| *rate).collect();
        cumulative.extend(functions::aggregate(Aggregator::Sum, &values));
        bounds.extend(same.first().map(|(bound, _)| *bound).filter(|bound| bound.is_finite()));
    }
    (bounds, cumulative)
}

fn slope(points: &[Point]) -> Option<f64> {
    let (first, _) = points.first()?;
    functions::regression(points, *first).map(|(slope, _)| slope)
}

/// The labels of `by` that are not empty.
fn group<'a>(by: &[String], value: impl Fn(&str) -> &'a str) -> Labels {
    let present = by.iter().map(|name| (name.clone(), value(name))).filter(|(_, value)| !value.is_empty());
    Labels::from_pairs(present)
}

fn map(vector: Vector, compute: impl Fn(f64) -> f64) -> Vector {
    vector.into_iter().map(|(group, value)| (group, compute(value))).collect()
}

/// The groups that both have.
fn both(left: &Vector, right: &Vector, compute: impl Fn(f64, f64) -> f64) -> Vector {
    let pair = |(group, a): (&Labels, &f64)| Some((group.clone(), compute(*a, *right.get(group)?)));
    left.iter().filter_map(pair).collect()
}
