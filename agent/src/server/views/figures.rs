//! What the views compute with: totals of the newest snapshot beside what a window counted. Which metrics there are is
//! not known here.

use std::time::Duration;

use heartline_shared::frame::Value as Counted;
use heartline_shared::{Grid, Histogram, Labels, Snapshot};
use serde_json::{Value, json};

use crate::recorder::Window;

/// A snapshot and the newest window.
#[derive(Debug, Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) window: &'a Window,
}

/// Whether a series has all of some attributes.
pub(super) fn has(labels: &Labels, wanted: &[(&str, &str)]) -> bool {
    wanted.iter().all(|(name, value)| labels.value(name) == Some(value))
}

/// The value of an attribute; empty when the series does not have it.
pub(super) fn label<'a>(labels: &'a Labels, name: &str) -> &'a str {
    labels.value(name).unwrap_or_default()
}

impl<'a> View<'a> {
    /// The series of a metric with what they counted since the start; histograms give their number of values.
    pub(super) fn totals(&self, metric: &str) -> impl Iterator<Item = (&'a Labels, f64)> + use<'a> {
        let family = self.snapshot.family(metric);
        let numbers = family.map(|family| &family.numbers[..]).unwrap_or_default();
        let histograms = family.map(|family| &family.histograms[..]).unwrap_or_default();
        let histograms = histograms.iter().map(|series| (&series.labels, series.histogram.count as f64));
        numbers.iter().map(|series| (&series.labels, series.value)).chain(histograms)
    }

    /// The series of a metric with what they counted in the window.
    pub(super) fn recents(&self, metric: &str) -> impl Iterator<Item = (&'a Labels, &'a Counted)> + use<'a> {
        self.window.series(metric)
    }

    /// The level of the moment, summed over series with these attributes; `None` when there is none.
    pub(super) fn level(&self, metric: &str, wanted: &[(&str, &str)]) -> Option<f64> {
        let levels = self.totals(metric).filter(|(labels, _)| has(labels, wanted));
        levels.map(|(_, level)| level).reduce(|sum, level| sum + level)
    }

    /// A counter since the start and in the window; `None` when no series has these attributes.
    pub(super) fn count(&self, metric: &str, wanted: &[(&str, &str)]) -> Option<Count> {
        let totals = self.totals(metric).filter(|(labels, _)| has(labels, wanted)).map(|(_, total)| total);
        let total = totals.reduce(|sum, more| sum + more)?;
        let recents = self.recents(metric).filter(|(labels, _)| has(labels, wanted));
        Some(Count { total, recent: total_of(recents.map(|(_, value)| amount(value))) })
    }

    /// What a histogram recorded in the window, over series with these attributes.
    pub(super) fn timing(&self, metric: &str, wanted: &[(&str, &str)]) -> Histogram {
        let mut sum = Histogram::default();
        for (_, value) in self.recents(metric).filter(|(labels, _)| has(labels, wanted)) {
            add(&mut sum, value);
        }
        sum
    }

    /// An amount of the window a second; `None` without a window.
    pub(super) fn per_second(&self, amount: f64) -> Option<f64> {
        (self.window.span > Duration::ZERO).then(|| amount / self.window.span.as_secs_f64())
    }

    pub(super) fn durations(&self) -> &'a Grid {
        self.window.grid("s")
    }

    /// Percentiles and mean of durations.
    pub(super) fn percentiles(&self, durations: &Histogram) -> Value {
        let grid = self.durations();
        let at = |q| durations.quantile(grid, q);
        json!({
            "p50_seconds": at(0.5),
            "p95_seconds": at(0.95),
            "p99_seconds": at(0.99),
            "mean_seconds": durations.mean(grid),
        })
    }

    /// What every view begins with.
    pub(super) fn heading(&self) -> Value {
        let (snapshot, known) = (self.snapshot, self.window.span > Duration::ZERO);
        json!({
            "schema_version": snapshot.schema_version,
            "service": snapshot.service,
            "instance_id": snapshot.instance_id,
            "timestamp": snapshot.timestamp,
            "ts_ms": snapshot.ts_ms,
            "uptime_seconds": snapshot.uptime_seconds,
            "window_seconds": known.then_some(self.window.span.as_secs_f64()),
            "window_end_ms": known.then_some(self.window.at),
        })
    }
}

/// A counter since the start and in the window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Count {
    pub(super) total: f64,
    pub(super) recent: f64,
}

impl Count {
    pub(super) fn of(count: Option<Self>) -> Self {
        count.unwrap_or_default()
    }
}

/// The sum of amounts; without any it is 0, not the -0 that floats begin a sum with.
pub(super) fn total_of(amounts: impl Iterator<Item = f64>) -> f64 {
    amounts.fold(0.0, |sum, more| sum + more)
}

/// How much a value counts; a level counts nothing.
pub(super) fn amount(value: &Counted) -> f64 {
    match value {
        Counted::Increase(number) => *number,
        Counted::Histogram(histogram) => histogram.count as f64,
        Counted::Level(_) => 0.0,
    }
}

/// Adds the values of a histogram.
pub(super) fn add(sum: &mut Histogram, value: &Counted) {
    if let Counted::Histogram(more) = value {
        sum.merge(more);
    }
}

/// A share; `None` when there is nothing to have a share of.
pub(super) fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| (part / whole).clamp(0.0, 1.0))
}

/// A number of things as an integer; what is negative or not a number is none.
pub(super) fn whole(number: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a saturating conversion is meant")]
    let whole = number.round() as u64;
    whole
}

/// A level of things, `null` when it is not known.
pub(super) fn whole_or_null(number: Option<f64>) -> Value {
    json!(number.map(whole))
}

/// Fields of one object and then those of another.
pub(super) fn joined(mut first: Value, then: Value) -> Value {
    if let (Value::Object(fields), Value::Object(more)) = (&mut first, then) {
        fields.extend(more);
    }
    first
}
