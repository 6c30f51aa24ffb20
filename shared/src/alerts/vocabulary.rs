//! The metrics and signals that rules may name: the catalogue, the file's own `[metrics]`, and the built-in signals.
//! Where values come from is not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::diagnostic::did_you_mean;
use crate::catalog::{self, Aggregation, Kind, METRICS, Metric};

/// How several series become one value per group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregator {
    /// Their sum.
    Sum,
    /// The least.
    Min,
    /// The greatest.
    Max,
    /// The mean.
    Avg,
    /// How many there are.
    Count,
}

impl Aggregator {
    pub(super) const CHOICES: [(&'static str, Self); 5] =
        [("sum", Self::Sum), ("min", Self::Min), ("max", Self::Max), ("avg", Self::Avg), ("count", Self::Count)];

    fn of(aggregation: Aggregation) -> Self {
        match aggregation {
            Aggregation::Sum => Self::Sum,
            Aggregation::Max => Self::Max,
            Aggregation::Avg => Self::Avg,
        }
    }
}

/// What the engine knows of one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MetricShape {
    /// OpenTelemetry name.
    pub name: String,
    /// What its numbers mean.
    pub kind: Kind,
    /// UCUM unit.
    pub unit: String,
    /// The attributes its series may carry.
    pub attributes: Vec<String>,
    /// How series are grouped unless a rule says otherwise.
    pub aggregator: Aggregator,
    /// Upper bounds of the classic buckets, ascending, without infinity; empty unless a histogram.
    pub boundaries: Arc<[f64]>,
}

impl From<&Metric> for MetricShape {
    fn from(metric: &Metric) -> Self {
        Self {
            name: metric.name.to_owned(),
            kind: metric.kind,
            unit: metric.unit.to_owned(),
            attributes: metric.attributes.iter().map(|&name| name.to_owned()).collect(),
            aggregator: Aggregator::of(metric.aggregation),
            boundaries: metric.boundaries.into(),
        }
    }
}

impl MetricShape {
    /// The target labels and the metric's attributes: everything a rule may group by or match on.
    pub(super) fn label_names(&self) -> impl Iterator<Item = &str> {
        ["job", "instance"].into_iter().chain(self.attributes.iter().map(String::as_str))
    }
}

/// The catalogue united with the metrics a file declares.
#[derive(Debug, Default)]
pub(super) struct Vocabulary {
    declared: BTreeMap<String, Arc<MetricShape>>,
}

impl Vocabulary {
    pub(super) fn new(declared: BTreeMap<String, Arc<MetricShape>>) -> Self {
        Self { declared }
    }

    pub(super) fn find(&self, name: &str) -> Option<Arc<MetricShape>> {
        let catalogued = || catalog::find(name).map(|metric| Arc::new(metric.into()));
        self.declared.get(name).cloned().or_else(catalogued)
    }

    /// What to write instead of a metric that nobody knows.
    pub(super) fn advice(&self, name: &str) -> String {
        let names = METRICS.iter().map(|metric| metric.name).chain(self.declared.keys().map(String::as_str));
        let declare = || format!("declare a metric of your own with [metrics.\"{name}\"]");
        did_you_mean(name, names).unwrap_or_else(declare)
    }
}

/// A signal that every file may use by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BuiltInSignal {
    /// Its name.
    pub name: &'static str,
    /// What it stands for, in the signal grammar.
    pub signal: &'static str,
    /// How its series are grouped, where that differs from the catalogue.
    pub aggregator: Option<Aggregator>,
    /// What it is, in one sentence.
    pub help: &'static str,
}

/// The signals that every file may use by name.
pub const BUILT_IN_SIGNALS: &[BuiltInSignal] = &[
    BuiltInSignal {
        name: "http.rate",
        signal: "rate(http.server.request.duration)",
        aggregator: None,
        help: "Requests per second.",
    },
    BuiltInSignal {
        name: "http.error_ratio",
        signal: "share(http.server.request.duration{error.type!~'|cancelled'})",
        aggregator: None,
        help: "Share of requests that failed; a client that went away is not a failure.",
    },
    BuiltInSignal {
        name: "http.p95",
        signal: "p95(http.server.request.duration)",
        aggregator: None,
        help: "The request duration that 95 % stay below.",
    },
    BuiltInSignal {
        name: "cpu.utilization",
        signal: "avg(process.cpu.utilization)",
        aggregator: Some(Aggregator::Sum),
        help: "Share of the CPU limit in use, user and system added.",
    },
    BuiltInSignal {
        name: "memory.utilization",
        signal: "avg(process.memory.usage) / last(heartline.memory.limit)",
        aggregator: Some(Aggregator::Sum), // of both: a group may have several processes
        help: "Share of the memory limit in use.",
    },
    BuiltInSignal {
        name: "cache.hit_ratio",
        signal: "share(heartline.cache.requests{cache.result=~'hit|stale'})",
        aggregator: None,
        help: "Share of look-ups that the cache answered.",
    },
    BuiltInSignal {
        name: "db.pool.utilization",
        signal: "avg(db.client.connection.count{db.client.connection.state='used'}) / last(db.client.connection.max)",
        aggregator: Some(Aggregator::Sum), // of both: a group may have several pools
        help: "Share of the pool's connections in use.",
    },
    BuiltInSignal {
        name: "db.slow_ratio",
        signal: "share_over(db.client.operation.duration, 500ms)",
        aggregator: None,
        help: "Share of queries slower than 500 ms.",
    },
];

/// The built-in signal of this name.
pub(super) fn built_in(name: &str) -> Option<&'static BuiltInSignal> {
    BUILT_IN_SIGNALS.iter().find(|signal| signal.name == name)
}
