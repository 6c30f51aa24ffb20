//! The newest cumulative value of every series of one target, and what was counted since the document before.
//! Time is not known here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use heartline_shared::buckets::{Grid, GridKind};
use heartline_shared::snapshot::{Family, Snapshot};
use heartline_shared::{Histogram, Kind, Labels};

/// Names a series of one target for as long as it is reported.
pub(super) type SeriesId = u32;

/// How a document relates to the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Continuity {
    /// There is nothing to compare with.
    First,
    /// The same process went on counting.
    Continued,
    /// A new process began to count from zero.
    Restarted,
}

/// A cumulative number or histogram.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Histogram(Histogram),
}

/// One series with its newest value.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) id: SeriesId,
    pub(super) labels: Labels,
    pub(super) value: Value,
}

/// One metric with its series, sorted by labels.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) kind: Kind,
    pub(super) unit: Cow<'static, str>,
    pub(super) series: Vec<Series>,
}

/// What a document added.
#[derive(Debug)]
pub(super) struct Absorbed {
    /// What each series counted, sorted by series.
    pub(super) increases: Vec<(SeriesId, Value)>,
    /// Whether its histograms use the buckets of the document before.
    pub(super) comparable: bool,
}

/// The series of one target.
#[derive(Debug)]
pub(super) struct Store {
    metrics: BTreeMap<Cow<'static, str>, Metric>,
    next_id: SeriesId,
    extra_boundaries: BTreeMap<GridKind, Vec<u64>>,
    durations: Arc<Grid>,
    counts: Arc<Grid>,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            metrics: BTreeMap::new(),
            next_id: 0,
            extra_boundaries: BTreeMap::new(),
            durations: Grid::of(GridKind::Duration),
            counts: Grid::of(GridKind::Count),
        }
    }
}

impl Store {
    /// Takes a validated document in; gives what each counter and histogram counted since the one before, zeros left
    /// out. What vanished from the document is forgotten.
    ///
    /// A counter that went down without a restart began again from zero, as Prometheus reads it: what it shows now was
    /// counted since. No increase is ever negative.
    pub(super) fn absorb(&mut self, snapshot: &Snapshot, continuity: Continuity) -> Absorbed {
        let comparable = self.adopt_grids(snapshot);
        let continuity = if comparable { continuity } else { Continuity::First };
        let mut before = std::mem::take(&mut self.metrics);
        let mut increases = Vec::new();
        for family in &snapshot.metrics {
            let old = before.remove(&family.name).filter(|metric| metric.kind == family.kind);
            let old = old.map(|metric| metric.series).unwrap_or_default();
            let series = self.merge_family(family, old, continuity, &mut increases);
            let metric = Metric { kind: family.kind, unit: family.unit.clone(), series };
            self.metrics.insert(family.name.clone(), metric);
        }
        increases.sort_unstable_by_key(|(id, _)| *id);
        Absorbed { increases, comparable }
    }

    /// Whether histograms of this document can be compared with earlier ones; takes over its grids otherwise.
    fn adopt_grids(&mut self, snapshot: &Snapshot) -> bool {
        if self.extra_boundaries == snapshot.extra_boundaries {
            return true;
        }
        let grid = |kind| snapshot.grid(kind).unwrap_or_else(|_| Grid::of(kind)); // validated: it has a grid
        self.durations = grid(GridKind::Duration);
        self.counts = grid(GridKind::Count);
        self.extra_boundaries.clone_from(&snapshot.extra_boundaries);
        false
    }

    fn merge_family(
        &mut self,
        family: &Family,
        old: Vec<Series>,
        continuity: Continuity,
        increases: &mut Vec<(SeriesId, Value)>,
    ) -> Vec<Series> {
        let mut new = newest_values(family);
        new.sort_by_key(|(labels, _)| *labels);
        new.dedup_by(|(a, _), (b, _)| a == b);
        let mut merged = Vec::with_capacity(new.len());
        let mut old = old.into_iter().peekable();
        for (labels, value) in new {
            while old.next_if(|series| series.labels < *labels).is_some() {}
            let known = old.next_if(|series| series.labels == *labels);
            let counts = matches!(family.kind, Kind::Counter | Kind::Histogram) && continuity != Continuity::First;
            let earlier = known.as_ref().map(|series| &series.value).filter(|_| continuity == Continuity::Continued);
            let increase = if counts { increase(&value, earlier) } else { None };
            let series = match known {
                Some(series) => Series { value, ..series },
                None => Series { id: self.new_id(), labels: labels.clone(), value },
            };
            increases.extend(increase.map(|increase| (series.id, increase)));
            merged.push(series);
        }
        merged
    }

    fn new_id(&mut self) -> SeriesId {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// The metric of this name.
    pub(super) fn metric(&self, name: &str) -> Option<&Metric> {
        self.metrics.get(name)
    }

    /// Every metric, by name.
    pub(super) fn metrics(&self) -> impl Iterator<Item = (&str, &Metric)> {
        self.metrics.iter().map(|(name, metric)| (name.as_ref(), metric))
    }

    /// The grid that histograms of a metric with this unit use.
    pub(super) fn grid(&self, unit: &str) -> &Arc<Grid> {
        match GridKind::for_unit(unit) {
            GridKind::Duration => &self.durations,
            GridKind::Count => &self.counts,
        }
    }
}

fn newest_values(family: &Family) -> Vec<(&Labels, Value)> {
    match family.kind {
        Kind::Histogram => family
            .histograms
            .iter()
            .map(|series| (&series.labels, Value::Histogram(series.histogram.clone())))
            .collect(),
        _ => family.numbers.iter().map(|series| (&series.labels, Value::Number(series.value))).collect(),
    }
}

/// What was counted between two values of one series; `None` for nothing.
fn increase(value: &Value, earlier: Option<&Value>) -> Option<Value> {
    match (value, earlier) {
        (Value::Number(now), Some(Value::Number(before))) if now >= before => positive(now - before),
        (Value::Number(now), _) => positive(*now),
        (Value::Histogram(now), Some(Value::Histogram(before))) => {
            let grown = now.delta(before).unwrap_or_else(|| now.clone());
            (grown.count > 0).then_some(Value::Histogram(grown))
        }
        (Value::Histogram(now), _) => (now.count > 0).then(|| Value::Histogram(now.clone())),
    }
}

fn positive(number: f64) -> Option<Value> {
    (number > 0.0 && number.is_finite()).then_some(Value::Number(number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fixture::Document;

    fn increases(store: &mut Store, document: &Document, continuity: Continuity) -> Vec<f64> {
        let number = |value| match value {
            Value::Number(number) => number,
            Value::Histogram(histogram) => histogram.count as f64,
        };
        store.absorb(&document.snapshot(), continuity).increases.into_iter().map(|(_, value)| number(value)).collect()
    }

    fn writes(count: f64) -> Document {
        Document::default().number("heartline.cache.writes", &[("cache.name", "a"), ("cache.tier", "l1")], count)
    }

    #[test]
    fn the_first_document_counts_nothing() {
        let mut store = Store::default();
        assert!(increases(&mut store, &writes(500.0), Continuity::First).is_empty());
        assert_eq!(increases(&mut store, &writes(507.0), Continuity::Continued), [7.0]);
    }

    #[test]
    fn a_new_process_counted_all_it_shows() {
        let mut store = Store::default();
        increases(&mut store, &writes(500.0), Continuity::First);
        assert_eq!(increases(&mut store, &writes(700.0), Continuity::Restarted), [700.0]);
    }

    #[test]
    fn a_counter_that_went_down_began_again_from_zero() {
        let mut store = Store::default();
        increases(&mut store, &writes(500.0), Continuity::First);
        assert_eq!(increases(&mut store, &writes(3.0), Continuity::Continued), [3.0]);
    }

    #[test]
    fn a_series_that_appears_was_zero_before() {
        let mut store = Store::default();
        increases(&mut store, &writes(5.0), Continuity::First);
        let both = writes(5.0).number("heartline.cache.writes", &[("cache.name", "b"), ("cache.tier", "l1")], 2.0);
        assert_eq!(increases(&mut store, &both, Continuity::Continued), [2.0]);
    }

    #[test]
    fn histograms_give_the_values_in_between() {
        let mut store = Store::default();
        let document = |count| Document::default().durations("tokio.schedule.delay", &[], &vec![0.001; count]);
        increases(&mut store, &document(4), Continuity::First);
        assert_eq!(increases(&mut store, &document(9), Continuity::Continued), [5.0]);
        assert_eq!(increases(&mut store, &document(2), Continuity::Continued), [2.0]);
    }

    #[test]
    fn gauges_have_no_increase() {
        let mut store = Store::default();
        let document = |value| Document::default().number("process.memory.usage", &[], value);
        increases(&mut store, &document(1.0), Continuity::First);
        assert!(increases(&mut store, &document(9.0), Continuity::Continued).is_empty());
    }
}
