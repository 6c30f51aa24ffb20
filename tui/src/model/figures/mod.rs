//! Turns the series of a target and a window of increases into the figures that are shown. One file for each subject;
//! nothing here remembers anything.

mod agent;
mod caches;
mod charted;
pub(super) mod detail;
mod memory;
mod pools;
mod process;
mod queries;
mod queues;
mod requests;
mod resilience;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::buckets::Grid;
use heartline_shared::snapshot::{CheckResult, HeapVerdict, Snapshot};
use heartline_shared::{Histogram, Labels, UnixMillis};

pub(super) use charted::charted;

use super::frames::Window;
use super::reading::TargetReading;
use super::store::{Store, Value};
use crate::text::Text;

/// What a document holds beside its series.
#[derive(Debug, Default)]
pub(super) struct Extras {
    heap: Option<HeapVerdict>,
    checks: Vec<CheckResult>,
    /// By the target's clock, as the times of the checks are.
    written_at: UnixMillis,
}

impl Extras {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        Self { heap: snapshot.heap.clone(), checks: snapshot.checks.clone(), written_at: snapshot.ts_ms }
    }
}

/// What figures are computed from.
pub(super) struct View<'a> {
    pub(super) store: &'a Store,
    pub(super) extras: &'a Extras,
    /// Without a span, nothing of the present is known: no rate, no percentile.
    pub(super) window: &'a Window,
}

/// Fills in every figure of `reading`; what identifies the target and how it answers is left alone.
pub(super) fn compute(view: &View<'_>, reading: &mut TargetReading) {
    reading.window = view.window.span;
    (reading.requests, reading.routes) = requests::compute(view);
    (reading.queries, reading.query_summaries) = queries::compute(view);
    reading.queries.per_request = match (reading.queries.rate, reading.requests.rate) {
        (Some(queries), Some(requests)) if requests > 0.0 => Some(queries / requests),
        _ => None,
    };
    reading.pools = pools::compute(view);
    reading.caches = caches::compute(view);
    reading.queues = queues::compute(view);
    reading.heap = memory::compute(view);
    reading.process = process::process(view);
    reading.runtime = process::runtime(view);
    reading.breakers = resilience::breakers(view);
    reading.checks = resilience::checks(view);
    reading.custom = agent::custom(view);
    reading.agent = agent::compute(view);
}

/// One series with what it counted in the window.
struct Row<'a> {
    labels: &'a Labels,
    value: &'a Value,
    increase: Option<&'a Value>,
}

impl Row<'_> {
    /// The value of an attribute; empty when the series does not have it.
    fn label(&self, name: &str) -> &str {
        self.labels.value(name).unwrap_or_default()
    }

    fn text(&self, name: &str) -> Text {
        Text::new(self.label(name))
    }

    fn number(&self) -> f64 {
        match self.value {
            Value::Number(number) => *number,
            Value::Histogram(histogram) => histogram.count as f64,
        }
    }

    /// How much the series counted in the window.
    fn recent(&self) -> f64 {
        match self.increase {
            Some(Value::Number(number)) => *number,
            Some(Value::Histogram(histogram)) => histogram.count as f64,
            None => 0.0,
        }
    }
}

/// A counter, or several added up.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Count {
    total: f64,
    recent: f64,
}

impl Count {
    fn add(&mut self, row: &Row<'_>) {
        self.total += row.number();
        self.recent += row.recent();
    }

    fn whole(self) -> u64 {
        whole(self.total)
    }
}

/// Counts by name; empty names are left out.
#[derive(Debug, Default)]
struct Counts(BTreeMap<Text, f64>);

impl Counts {
    fn add(&mut self, name: &str, row: &Row<'_>) {
        if !name.is_empty() && row.number() > 0.0 {
            *self.0.entry(Text::new(name)).or_default() += row.number();
        }
    }

    fn into_list(self) -> Vec<(Text, u64)> {
        self.0.into_iter().map(|(name, total)| (name, whole(total))).collect()
    }
}

/// A histogram, or several of one metric merged.
#[derive(Debug, Default)]
struct Timing {
    total: u64,
    recent: Histogram,
}

impl Timing {
    fn add(&mut self, row: &Row<'_>) {
        self.total = self.total.saturating_add(whole(row.number()));
        if let Some(Value::Histogram(increase)) = row.increase {
            self.recent.merge(increase);
        }
    }
}

impl View<'_> {
    fn rows<'a>(&'a self, metric: &str) -> impl Iterator<Item = Row<'a>> + use<'a> {
        let series = self.store.metric(metric).map_or(&[][..], |metric| &metric.series);
        series.iter().map(|series| Row {
            labels: &series.labels,
            value: &series.value,
            increase: self.window.increase(series.id),
        })
    }

    /// The value of the moment, summed over its series; `None` when no series has these labels.
    fn level(&self, metric: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let meant = |row: &Row<'_>| wanted.iter().all(|(name, value)| row.label(name) == *value);
        self.rows(metric).filter(meant).map(|row| row.number()).reduce(|sum, value| sum + value)
    }

    /// The same as a whole number.
    fn whole_level(&self, metric: &str, wanted: &[(&str, &str)]) -> Option<u64> {
        self.level(metric, wanted).map(whole)
    }

    /// What was counted, summed over its series; `None` when no series has these labels.
    fn count(&self, metric: &str, wanted: &[(&str, &str)]) -> Option<Count> {
        let mut sum = None;
        for row in self.rows(metric).filter(|row| wanted.iter().all(|(name, value)| row.label(name) == *value)) {
            sum.get_or_insert_with(Count::default).add(&row);
        }
        sum
    }

    /// An amount of the window a second; `None` without a window.
    fn per_second(&self, recent: f64) -> Option<f64> {
        self.window.span.map(|span| recent / span.as_secs_f64().max(1e-3))
    }

    /// The grid of durations.
    fn durations(&self) -> &Arc<Grid> {
        self.store.grid("s")
    }

    fn seconds(&self, durations: &Histogram, q: f64) -> Option<f64> {
        durations.quantile(self.durations(), q)
    }
}

/// A share of the window; `None` when there is nothing to have a share of.
fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0))
}

/// A number of things as an integer; what is negative or not a number is none.
fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating conversion is meant")]
    let whole = number.round() as u64;
    whole
}

/// A duration from seconds; `None` for what no duration can be.
fn span(seconds: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(seconds).ok()
}
