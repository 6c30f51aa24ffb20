//! Turns registry and collectors into the immutable [`Snapshot`] that every exporter reads; the only allocating reader.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use heartline_shared::catalog::{self, Kind};
use heartline_shared::snapshot::{CheckResult, Family, HeapVerdict, HistogramSeries, NumberSeries};
use heartline_shared::{Histogram, Labels, UnixMillis};

pub(crate) use crate::clock::Tick;

/// Something that is read at intervals rather than recorded: process figures, pools, the heap.
///
/// Called on the agent's own thread about once a second, never concurrently, never on a thread of the host. A value
/// that is not known is not added.
pub(crate) trait Collector: Send {
    /// Adds what is known now.
    fn collect(&mut self, into: &mut Families, now: Tick);

    /// What it reads, where that may be said anew: a later collector of the same subject takes its place.
    fn subject(&self) -> Option<&str> {
        None
    }
}

/// Metrics under construction, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Families {
    by_name: BTreeMap<Cow<'static, str>, Family>,
    /// The heap verdict, once the sampler has run.
    pub(crate) heap: Option<HeapVerdict>,
    /// Bytes that caches of this process say they hold; collectors of the probes stage add to it.
    pub(crate) cached_bytes: u64,
    /// Caches of this process that say how many entries they hold and may hold, and not how many bytes that is.
    pub(crate) cache_entries: Vec<CacheEntries>,
    /// What all processes under the memory limit use together, in bytes; `None` where the limit is this one's own.
    pub(crate) used_under_limit: Option<u64>,
    /// Bytes that collectors keep themselves, where that is much.
    pub(crate) kept_bytes: usize,
    /// Results of health checks.
    pub(crate) checks: Vec<CheckResult>,
}

/// Entries of a cache that does not know its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheEntries {
    pub(crate) title: String,
    pub(crate) held: u64,
    pub(crate) limit: u64,
}

impl Families {
    /// Adds a number of a metric of the catalogue. Numbers that are not finite are unknown and left out.
    pub(crate) fn number(&mut self, name: &'static str, labels: Labels, value: f64) {
        let metric = catalog::find(name);
        debug_assert!(metric.is_some(), "{name} is not in the catalogue");
        if let Some(metric) = metric.filter(|_| value.is_finite()) {
            self.family(name, metric.kind, metric.unit).numbers.push(NumberSeries { labels, value });
        }
    }

    /// Adds an integer of a metric of the catalogue.
    pub(crate) fn integer(&mut self, name: &'static str, labels: Labels, value: u64) {
        self.number(name, labels, value as f64);
    }

    /// Adds a histogram of a metric of the catalogue.
    pub(crate) fn histogram(&mut self, name: &'static str, labels: Labels, histogram: Histogram) {
        let metric = catalog::find(name);
        debug_assert!(metric.is_some_and(|metric| metric.kind == Kind::Histogram), "{name} is no histogram");
        if let Some(metric) = metric {
            self.family(name, metric.kind, metric.unit).histograms.push(HistogramSeries { labels, histogram });
        }
    }

    /// The family of this name, made if it is not there yet.
    pub(crate) fn family(
        &mut self,
        name: impl Into<Cow<'static, str>>,
        kind: Kind,
        unit: impl Into<Cow<'static, str>>,
    ) -> &mut Family {
        let name = name.into();
        self.by_name.entry(name.clone()).or_insert_with(|| Family {
            name,
            kind,
            unit: unit.into(),
            help: None,
            numbers: Vec::new(),
            histograms: Vec::new(),
        })
    }

    /// Adds everything of `other`.
    pub(crate) fn absorb(&mut self, other: Self) {
        for family in other.by_name.into_values() {
            let ours = self.family(family.name, family.kind, family.unit);
            ours.help = ours.help.take().or(family.help);
            ours.numbers.extend(family.numbers);
            ours.histograms.extend(family.histograms);
        }
        self.heap = other.heap.or(self.heap.take());
        self.cached_bytes += other.cached_bytes;
        self.cache_entries.extend(other.cache_entries);
        self.kept_bytes += other.kept_bytes;
        self.used_under_limit = other.used_under_limit.or(self.used_under_limit);
        self.checks.extend(other.checks);
    }

    /// The sum of all series of a metric; `None` when it has none. Collectors read what earlier ones added.
    pub(crate) fn sum(&self, name: &str) -> Option<f64> {
        let family = self.by_name.get(name)?;
        (!family.numbers.is_empty()).then(|| family.numbers.iter().map(|series| series.value).sum())
    }

    /// The families sorted by name, their series in no order: sorting these takes as long as exporting them.
    #[cfg(feature = "otlp")]
    pub(crate) fn into_unsorted(self) -> Vec<Family> {
        self.by_name.into_values().collect()
    }

    /// The families sorted by name, their series sorted by labels.
    pub(crate) fn into_sorted(self) -> Vec<Family> {
        let sorted = self.by_name.into_values().map(|mut family| {
            family.numbers.sort_by(|a, b| a.labels.cmp(&b.labels));
            family.histograms.sort_by(|a, b| a.labels.cmp(&b.labels));
            family
        });
        sorted.collect()
    }
}

/// A single event that stands for the bucket of a histogram that counts it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Exemplar {
    /// In the unit of the histogram.
    pub(crate) value: f64,
    pub(crate) at: UnixMillis,
    /// How to find it elsewhere: `trace_id`, `request_id`.
    pub(crate) labels: Vec<(&'static str, String)>,
}

/// Exemplars by metric and series.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exemplified(HashMap<(&'static str, Labels), Vec<Exemplar>>);

impl Exemplified {
    pub(crate) fn add(&mut self, metric: &'static str, series: Labels, exemplar: Exemplar) {
        self.0.entry((metric, series)).or_default().push(exemplar);
    }

    /// Those of one series of a metric.
    pub(crate) fn of(&self, metric: &str, series: &Labels) -> &[Exemplar] {
        if self.0.is_empty() {
            return &[];
        }
        let metric = catalog::find(metric).map(|metric| metric.name);
        metric.and_then(|metric| self.0.get(&(metric, series.clone()))).map_or(&[], Vec::as_slice)
    }
}

impl Exemplar {
    /// The newest one with a value above one boundary and not above another.
    pub(crate) fn newest(among: &[Self], above: f64, up_to: f64) -> Option<&Self> {
        let fitting = among.iter().filter(|exemplar| exemplar.value > above && exemplar.value <= up_to);
        fitting.max_by_key(|exemplar| exemplar.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finite_is_unknown_and_left_out() {
        let mut families = Families::default();
        families.number("process.cpu.utilization", Labels::empty(), f64::NAN);
        assert!(families.into_sorted().is_empty());
    }

    #[test]
    fn families_come_out_sorted_by_name_and_series_by_labels() {
        let mut families = Families::default();
        families.integer("process.thread.count", Labels::empty(), 4);
        for mode in ["user", "system"] {
            families.number("process.cpu.time", Labels::from_pairs([("cpu.mode", mode)]), 1.0);
        }
        let sorted = families.into_sorted();
        assert_eq!(
            sorted.iter().map(|family| family.name.as_ref()).collect::<Vec<_>>(),
            ["process.cpu.time", "process.thread.count"]
        );
        assert_eq!(sorted[0].numbers[0].labels.value("cpu.mode"), Some("system"));
    }
}
