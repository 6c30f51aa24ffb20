//! Snapshots for tests, made from the catalogue.

use std::collections::BTreeMap;

use heartline_shared::alerts::TargetKey;
use heartline_shared::catalog;
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries, SCHEMA_VERSION};
use heartline_shared::{Histogram, Labels, Snapshot};

/// The process that most tests are about.
pub(crate) const TARGET: Target = Target { job: "shop", instance: "1" };

/// A process.
pub(crate) struct Target {
    pub(crate) job: &'static str,
    pub(crate) instance: &'static str,
}

impl Target {
    pub(crate) fn key(&self) -> TargetKey {
        TargetKey { job: self.job.to_owned(), instance: self.instance.to_owned() }
    }
}

/// A snapshot in the making.
#[derive(Clone, Default)]
pub(crate) struct Document(BTreeMap<&'static str, Family>);

impl Document {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// With one more series of a counter or gauge.
    pub(crate) fn number(mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) -> Self {
        let labels = Labels::from_pairs(labels.iter().copied());
        self.family(name).numbers.push(NumberSeries { labels, value });
        self
    }

    /// With one more series of a histogram.
    pub(crate) fn histogram(mut self, name: &'static str, histogram: Histogram) -> Self {
        self.family(name).histograms.push(HistogramSeries { labels: Labels::empty(), histogram });
        self
    }

    /// The finished snapshot, which is valid.
    pub(crate) fn snapshot(self) -> Snapshot {
        let snapshot = Snapshot {
            schema_version: SCHEMA_VERSION,
            service: TARGET.job.to_owned(),
            instance_id: TARGET.instance.to_owned(),
            metrics: self.0.into_values().collect(),
            ..Snapshot::default()
        };
        snapshot.validate().unwrap();
        snapshot
    }

    fn family(&mut self, name: &'static str) -> &mut Family {
        self.0.entry(name).or_insert_with(|| {
            let metric = catalog::find(name).unwrap();
            let (kind, unit) = (metric.kind, metric.unit.into());
            Family { name: name.into(), kind, unit, help: None, numbers: Vec::new(), histograms: Vec::new() }
        })
    }
}
