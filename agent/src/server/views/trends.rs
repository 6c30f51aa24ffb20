//! One metric over time, beside the verdict about memory. Where the history is kept is not known here.

use std::time::Duration;

use heartline_shared::catalog::{self, Aggregation, Kind};
use heartline_shared::{Grid, Snapshot, UnixMillis};
use serde_json::{Value, json};

use super::documents::history;
use super::figures::{View, joined};
use super::parameters::{BadParameter, Parameters};
use super::process;
use crate::recorder::{FlightRecorder, Point, Range, STEPS, Window};

/// What is shown unless another metric is named.
const DEFAULT_METRIC: &str = "process.memory.usage";
const DEFAULT_RANGE: Duration = Duration::from_hours(1);
/// About so many points are given unless a step is named.
const POINTS: u32 = 120;
const POINTS_MAX: u128 = 5_000;

/// The document of one metric.
///
/// # Errors
/// A parameter that cannot be.
pub(super) async fn document(
    view: &View<'_>,
    recorder: &FlightRecorder,
    parameters: &Parameters,
) -> Result<Value, BadParameter> {
    let (range, asked) = range(parameters, view.snapshot.ts_ms)?;
    let metric = Metric::named(view.snapshot, parameters.text("metric")?.unwrap_or(DEFAULT_METRIC))?;
    let points: Vec<Value> =
        recorder.points(&metric.name, range).await.iter().map(|point| metric.point(point, view.window)).collect();
    let document = json!({
        "metric": metric.name,
        "kind": metric.kind,
        "unit": metric.unit,
        "from": asked.to_string(),
        "from_ms": asked,
        "to": range.to.to_string(),
        "to_ms": range.to,
        "step_seconds": range.step.as_secs_f64(),
        "points": points,
        "memory": process::memory(view),
        "history": history(&recorder.reach()),
    });
    Ok(joined(view.heading(), document))
}

/// The range that is asked for, and the beginning of its first step.
fn range(parameters: &Parameters, now: UnixMillis) -> Result<(Range, UnixMillis), BadParameter> {
    let to = parameters.moment("to", now)?.unwrap_or(now);
    let from = parameters.moment("from", now)?.unwrap_or(to - DEFAULT_RANGE);
    if from >= to {
        return Err(BadParameter(format!("from={from} is not before to={to}")));
    }
    let span = to.since(from);
    let fitting = STEPS.into_iter().find(|step| *step * POINTS >= span);
    let step = match parameters.span("step")? {
        Some(step) if span.as_millis() / step.as_millis().max(1) > POINTS_MAX => {
            let fits = span.as_secs() / u64::try_from(POINTS_MAX).unwrap_or(1) + 1;
            return Err(BadParameter(format!(
                "step={}s makes more than {POINTS_MAX} points; {fits}s fits",
                step.as_secs()
            )));
        }
        Some(step) => step,
        None => fitting.unwrap_or_else(|| Duration::from_secs(span.as_secs().div_ceil(u64::from(POINTS) * 60) * 60)),
    };
    Ok((Range { from, to, step }, from))
}

/// What is known of a metric.
struct Metric {
    name: String,
    kind: Kind,
    unit: String,
    aggregation: Aggregation,
}

impl Metric {
    /// The metric of this OpenTelemetry or Prometheus name.
    fn named(snapshot: &Snapshot, name: &str) -> Result<Self, BadParameter> {
        let is_it = |have: &str, unit: &str, kind| have == name || catalog::prometheus_name(have, unit, kind) == name;
        let catalogued = catalog::METRICS.iter().find(|metric| is_it(metric.name, metric.unit, metric.kind));
        if let Some(metric) = catalogued {
            let (name, unit) = (metric.name.to_owned(), metric.unit.to_owned());
            return Ok(Self { name, kind: metric.kind, unit, aggregation: metric.aggregation });
        }
        let own = snapshot.metrics.iter().find(|family| is_it(&family.name, &family.unit, family.kind));
        let refuse = || {
            BadParameter(format!(
                "metric={name:?} is not a metric of this service; /api/v1/catalogue lists those there are"
            ))
        };
        let own = own.ok_or_else(refuse)?;
        let aggregation = if own.kind == Kind::Gauge { Aggregation::Avg } else { Aggregation::Sum };
        Ok(Self { name: own.name.to_string(), kind: own.kind, unit: own.unit.to_string(), aggregation })
    }

    fn point(&self, point: &Point, window: &Window) -> Value {
        let seconds = point.span.as_secs_f64();
        let per_second = |amount: f64| (seconds > 0.0).then(|| amount / seconds);
        let at = json!({"at": point.at.to_string(), "ts_ms": point.at, "span_seconds": seconds});
        let Some(counted) = &point.counted else {
            return joined(at, json!({"value": self.together(&point.levels)}));
        };
        let rate = json!({"value": per_second(counted.increase), "count": counted.increase});
        let grid: &Grid = window.grid(&self.unit);
        let values = counted.histogram.as_ref();
        let quantile = |q| values.and_then(|values| values.quantile(grid, q));
        let spread = json!({
            "p50": quantile(0.5),
            "p95": quantile(0.95),
            "p99": quantile(0.99),
            "mean": values.and_then(|values| values.mean(grid)),
        });
        let counts = joined(at, rate);
        if self.kind == Kind::Histogram { joined(counts, spread) } else { counts }
    }

    /// The levels of all series as one.
    fn together(&self, levels: &[f64]) -> Option<f64> {
        let sum = || levels.iter().sum::<f64>();
        match self.aggregation {
            _ if levels.is_empty() => None,
            Aggregation::Sum => Some(sum()),
            Aggregation::Max => levels.iter().copied().reduce(f64::max),
            Aggregation::Avg => Some(sum() / levels.len() as f64),
        }
    }
}
