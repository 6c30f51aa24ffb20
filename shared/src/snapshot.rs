//! The one document between agent and dashboard: everything the agent knows, cumulative, at one point in time.
//! Every exporter and every view is a function of it; how the numbers were collected is not known here.
//!
//! `GET /api/v1/snapshot` serves it as JSON. Rules of the wire: SI base units, cumulative numbers, raw sparse
//! histograms, `null` or absent for unknown and never 0 instead, unknown fields ignored, additions only within a
//! [`SCHEMA_VERSION`].

mod changes;
mod sites;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, Serializer};

use crate::buckets::{Grid, GridKind};
use crate::catalog::{self, Kind};
use crate::error::Error;
use crate::histogram::Histogram;
use crate::label::Labels;
use crate::time::UnixMillis;

pub use sites::{HEAP_SITES_MAX, HeapSite, HeapSites, Sampling};

/// The version of the document that this crate reads and writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything an agent knows at one point in time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// The service's name: the Prometheus label `job`.
    pub service: String,
    /// The service's version; absent when it did not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Distinguishes the replicas of a service, stable over restarts: the Prometheus label `instance`.
    pub instance_id: String,
    /// When this process started counting, RFC 3339. A reader that sees it change has seen a restart.
    pub started_at: String,
    /// The same in milliseconds.
    pub started_at_ms: UnixMillis,
    /// When this document was made, RFC 3339.
    pub timestamp: String,
    /// The same in milliseconds.
    pub ts_ms: UnixMillis,
    /// Increases by one with each document that this process made.
    pub seq: u64,
    /// Time since `started_at` by a clock that wall-clock steps do not move.
    pub uptime_seconds: f64,
    /// Boundaries the service added to the built-in grid, in the grid's resolution; empty for most.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra_boundaries: BTreeMap<GridKind, Vec<u64>>,
    /// Every metric with at least one series, sorted by name.
    pub metrics: Vec<Family>,
    /// The heap verdict; absent until the sampler has run once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heap: Option<HeapVerdict>,
    /// Results of registered health checks; empty when none is registered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<CheckResult>,
}

/// One metric and its series. A built-in one is in the catalogue; a custom one describes itself here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Family {
    /// OpenTelemetry name.
    pub name: Cow<'static, str>,
    /// What the numbers mean.
    pub kind: Kind,
    /// UCUM unit; empty for a plain number.
    pub unit: Cow<'static, str>,
    /// Help text of a custom metric; absent for those of the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<Cow<'static, str>>,
    /// The series of a counter, up-down counter or gauge, sorted by labels; empty for a histogram.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<NumberSeries>,
    /// The series of a histogram, sorted by labels; empty otherwise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub histograms: Vec<HistogramSeries>,
}

/// One series of plain numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NumberSeries {
    /// What distinguishes it.
    pub labels: Labels,
    /// Cumulative for a counter, the value of the moment otherwise. An integer on the wire where it is one.
    #[serde(serialize_with = "integer_where_exact")]
    pub value: f64,
}

/// One series of a histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistogramSeries {
    /// What distinguishes it.
    pub labels: Labels,
    /// Cumulative since `started_at`.
    #[serde(flatten)]
    pub histogram: Histogram,
}

/// Where memory is going.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapVerdict {
    /// Whether jemalloc is the global allocator; without it only RSS is known.
    pub jemalloc: bool,
    /// Direction of the memory floor.
    pub trend: Trend,
    /// Robust slope of the floor; absent until enough has been seen.
    pub growth_bytes_per_second: Option<f64>,
    /// The verdict.
    pub leak: Leak,
    /// Time to the memory limit at this growth; absent when not growing, without a limit, or when the fit is poor.
    pub seconds_to_limit: Option<f64>,
    /// Why the verdict is what it is, one plain sentence each.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Interval of the slope, low and high; absent until enough has been seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_interval: Option<[f64; 2]>,
    /// Interval of the time to the limit, low and high; absent with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds_to_limit_interval: Option<[f64; 2]>,
    /// Call sites that hold memory and those that grow; absent from agents that do not know them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sites: Option<Box<HeapSites>>,
}

/// Direction of the memory floor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// No growth beyond noise.
    Stable,
    /// The floor rises.
    Growing,
    /// The floor falls.
    Shrinking,
    /// Too little has been seen.
    #[default]
    #[serde(other)]
    Unknown,
}

/// The leak verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leak {
    /// Nothing points to a leak.
    #[default]
    None,
    /// Growth that might become a suspicion; never pages.
    Watching,
    /// Growth that innocent explanations do not cover.
    Suspected,
}

/// How a check stands; on the wire `pass`, `warn`, `fail`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// Works.
    Pass,
    /// Works, and soon may not.
    Warn,
    /// Does not work.
    Fail,
}

/// What a failing check means for the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Criticality {
    /// The service cannot do its work: `unhealthy`, 503.
    Critical,
    /// The service does its work less well: `degraded`.
    NonCritical,
}

/// The newest result of one health check.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The name it was registered with.
    pub name: String,
    /// What its failure means.
    pub criticality: Criticality,
    /// How it stands; absent until it has run once.
    pub status: Option<CheckStatus>,
    /// How long the newest run took; absent until it has run once.
    pub latency_seconds: Option<f64>,
    /// When the newest run ended; absent until it has run once.
    pub checked_at_ms: Option<UnixMillis>,
    /// What the check said; absent when it said nothing.
    pub message: Option<String>,
}

impl Snapshot {
    /// The metric of this name.
    pub fn family(&self, name: &str) -> Option<&Family> {
        let at = self.metrics.binary_search_by(|family| family.name.as_ref().cmp(name)).ok()?;
        self.metrics.get(at)
    }

    /// The grid that this document's histograms of one kind use.
    ///
    /// # Errors
    /// Boundaries that no grid can hold.
    pub fn grid(&self, kind: GridKind) -> Result<std::sync::Arc<Grid>, Error> {
        match self.extra_boundaries.get(&kind) {
            Some(extra) if !extra.is_empty() => Grid::with_bounds(kind, extra).map(std::sync::Arc::new),
            _ => Ok(Grid::of(kind)),
        }
    }

    /// Refuses what a reader could not trust: an unknown version, unsorted metrics, lying histograms, numbers that are
    /// not finite.
    ///
    /// # Errors
    /// [`Error::Snapshot`] names the metric and what is wrong with it.
    pub fn validate(&self) -> Result<(), Error> {
        if self.schema_version != SCHEMA_VERSION {
            let (theirs, ours) = (self.schema_version, SCHEMA_VERSION);
            let advice = "upgrade the older of agent and dashboard";
            return Err(Error::Snapshot(format!("schema_version {theirs}, this program reads {ours}; {advice}")));
        }
        if !self.metrics.is_sorted_by(|a, b| a.name < b.name) {
            return Err(Error::Snapshot("metrics are not sorted by name, or one occurs twice".to_owned()));
        }
        self.metrics.iter().try_for_each(|family| self.validate_family(family))
    }

    fn validate_family(&self, family: &Family) -> Result<(), Error> {
        let refuse = |what: String| Err(Error::Snapshot(format!("metric {:?}: {what}", family.name)));
        if let Some(series) = family.numbers.iter().find(|series| !series.value.is_finite()) {
            return refuse(format!("{} is not a finite number", series.labels));
        }
        if family.kind != Kind::Histogram {
            return Ok(());
        }
        let grid = self.grid(family.grid_kind())?;
        match family.histograms.iter().find(|series| !series.histogram.is_consistent(&grid)) {
            Some(series) => refuse(format!("the buckets of {} do not add up to its count", series.labels)),
            None => Ok(()),
        }
    }
}

impl Family {
    /// Which grid its histograms use.
    pub fn grid_kind(&self) -> GridKind {
        GridKind::for_unit(&self.unit)
    }

    /// Help text: its own, or the catalogue's; empty when neither has one.
    pub fn help(&self) -> &str {
        let catalogued = || catalog::find(&self.name).map(|metric| metric.help);
        self.help.as_deref().or_else(catalogued).unwrap_or_default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde calls")]
fn integer_where_exact<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
    if value.fract() == 0.0 && value.abs() < EXACT {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> Snapshot {
        let histogram = Histogram { count: 2, sum: 30, buckets: vec![(3, 2)] };
        let labels = Labels::from_pairs([("http.route", "/cart")]);
        Snapshot {
            schema_version: SCHEMA_VERSION,
            metrics: vec![
                Family {
                    name: "http.server.request.duration".into(),
                    kind: Kind::Histogram,
                    unit: "s".into(),
                    help: None,
                    numbers: vec![],
                    histograms: vec![HistogramSeries { labels, histogram }],
                },
                Family {
                    name: "process.uptime".into(),
                    kind: Kind::Gauge,
                    unit: "s".into(),
                    help: None,
                    numbers: vec![NumberSeries { labels: Labels::empty(), value: 3.0 }],
                    histograms: vec![],
                },
            ],
            ..Snapshot::default()
        }
    }

    #[test]
    fn survives_the_wire() {
        let wire = serde_json::to_string(&snapshot()).unwrap();
        assert!(wire.contains(r#""value":3}"#), "integers stay integers: {wire}");
        assert!(wire.contains(r#""count":2,"sum":30,"buckets":[[3,2]]"#), "{wire}");
        assert_eq!(serde_json::from_str::<Snapshot>(&wire).unwrap(), snapshot());
    }

    #[test]
    fn a_field_of_a_later_version_is_ignored() {
        let mut wire = serde_json::to_value(snapshot()).unwrap();
        wire["invented_later"] = 1.into();
        assert_eq!(serde_json::from_value::<Snapshot>(wire).unwrap(), snapshot());
    }

    #[test]
    fn finds_a_metric_by_name() {
        assert_eq!(snapshot().family("process.uptime").map(|family| family.numbers.len()), Some(1));
        assert!(snapshot().family("process.cpu.time").is_none());
    }

    #[test]
    fn refuses_what_cannot_be_trusted_and_says_why() {
        let mut newer = snapshot();
        newer.schema_version = 2;
        let mut lying = snapshot();
        lying.metrics[0].histograms[0].histogram.count = 7;
        let mut unsorted = snapshot();
        unsorted.metrics.reverse();
        for (document, reason) in [(newer, "upgrade"), (lying, "do not add up"), (unsorted, "not sorted")] {
            let error = document.validate().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert_eq!(snapshot().validate(), Ok(()));
    }
}
