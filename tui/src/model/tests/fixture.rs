//! Builds documents in code, for tests: what an agent would send.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::buckets::GridKind;
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries, SCHEMA_VERSION, Snapshot};
use heartline_shared::{Grid, Histogram, Kind, Labels, UnixMillis, catalog};

use crate::source::{Answer, Failure, Outcome};

/// When the process of a document started, unless it says otherwise.
pub(crate) const STARTED: u64 = 1_000_000;

/// A document under construction.
#[derive(Debug, Clone)]
pub(crate) struct Document(Snapshot);

impl Default for Document {
    fn default() -> Self {
        Self::at(10)
    }
}

impl Document {
    /// A document of a process that started at [`STARTED`] and has been up for `seconds`.
    pub(crate) fn at(seconds: u64) -> Self {
        Self::of_process(STARTED, Duration::from_secs(seconds))
    }

    /// A document of a process that started at `started_ms`; its sequence number is its uptime in milliseconds.
    pub(crate) fn of_process(started_ms: u64, uptime: Duration) -> Self {
        Self(Snapshot {
            schema_version: SCHEMA_VERSION,
            service: "shop".to_owned(),
            instance_id: "a".to_owned(),
            started_at_ms: UnixMillis(started_ms),
            started_at: UnixMillis(started_ms).to_string(),
            ts_ms: UnixMillis(started_ms) + uptime,
            timestamp: (UnixMillis(started_ms) + uptime).to_string(),
            seq: u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX),
            uptime_seconds: uptime.as_secs_f64(),
            ..Snapshot::default()
        })
    }

    /// Changes what no other method does.
    pub(crate) fn edit(mut self, change: impl FnOnce(&mut Snapshot)) -> Self {
        change(&mut self.0);
        self
    }

    /// Adds a series of numbers.
    pub(crate) fn number(mut self, metric: &str, labels: &[(&str, &str)], value: f64) -> Self {
        self.family(metric).numbers.push(NumberSeries { labels: owned(labels), value });
        self
    }

    /// Adds a histogram of these durations in seconds.
    pub(crate) fn durations(mut self, metric: &str, labels: &[(&str, &str)], seconds: &[f64]) -> Self {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        for value in seconds {
            histogram.record(&grid, grid.resolution(*value).unwrap());
        }
        self.family(metric).histograms.push(HistogramSeries { labels: owned(labels), histogram });
        self
    }

    /// Adds `count` requests of `seconds` each.
    pub(crate) fn requests(self, route: &str, status: &str, count: usize, seconds: f64) -> Self {
        let mut labels = vec![("http.request.method", "GET"), ("url.scheme", "http")];
        labels.extend((!route.is_empty()).then_some(("http.route", route)));
        if status == "cancelled" || status == "panic" {
            labels.push(("error.type", status));
        } else {
            labels.push(("http.response.status_code", status));
            labels.extend(status.starts_with('5').then_some(("error.type", status)));
        }
        self.durations("http.server.request.duration", &labels, &vec![seconds; count])
    }

    fn family(&mut self, metric: &str) -> &mut Family {
        let at = self.0.metrics.iter().position(|family| family.name == metric).unwrap_or_else(|| {
            let known = catalog::find(metric);
            self.0.metrics.push(Family {
                name: metric.to_owned().into(),
                kind: known.map_or(Kind::Gauge, |known| known.kind),
                unit: known.map_or("", |known| known.unit).into(),
                help: None,
                numbers: Vec::new(),
                histograms: Vec::new(),
            });
            self.0.metrics.len() - 1
        });
        &mut self.0.metrics[at]
    }

    /// The finished, valid document.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.0.clone();
        snapshot.metrics.sort_by(|a, b| a.name.cmp(&b.name));
        snapshot.validate().unwrap();
        snapshot
    }

    /// The document as it is, valid or not.
    pub(crate) fn unchecked(&self) -> Snapshot {
        self.0.clone()
    }

    /// The document as the answer of target 0 to a poll that ended at `at_ms`; the poll's generation is that time.
    pub(crate) fn arrives(&self, at_ms: u64) -> Outcome {
        let answer = Answer { snapshot: Arc::new(self.snapshot()), bytes: 4_096, series_left_out: 0 };
        let took = Duration::from_millis(3);
        Outcome { target: 0, generation: at_ms, at: UnixMillis(at_ms), took, answer: Ok(answer) }
    }
}

/// A poll of target 0 that failed at `at_ms`.
pub(crate) fn fails(at_ms: u64, why: &str) -> Outcome {
    let took = Duration::from_secs(1);
    Outcome { target: 0, generation: at_ms, at: UnixMillis(at_ms), took, answer: Err(Failure::new(why)) }
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}
