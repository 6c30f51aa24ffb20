//! What changed between two snapshots, for clients that ask again and again. Nothing is kept until the first of them asks.
//! How it is sent is not known here.

use std::collections::VecDeque;
use std::sync::Arc;

use heartline_shared::snapshot::Family;
use heartline_shared::{Labels, Snapshot};
use parking_lot::Mutex;

/// Snapshots that a client may name.
const KNOWN_MAX: usize = 1_024;

/// Which series changed when. Memory: one snapshot, and eight bytes a series.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<Option<Tracked>>);

#[derive(Debug)]
struct Tracked {
    newest: Arc<Snapshot>,
    /// Of each family, the snapshot in which each of its series changed last: numbers, then histograms.
    changed: Vec<Vec<u64>>,
    /// The numbers of the snapshots that were compared, ascending. What lies between them was not seen, so only these can
    /// be asked about.
    known: VecDeque<u64>,
}

impl Changes {
    /// Notes `newest`; what changed since the snapshot of this number: the same document with those series only. `None` when
    /// only the whole one will do: that number was not noted, or is too long ago, or series are gone since.
    pub(super) fn since(&self, since: u64, newest: &Arc<Snapshot>) -> Option<Snapshot> {
        let mut tracked = self.0.lock();
        match &mut *tracked {
            None => *tracked = Some(Tracked::new(newest)),
            Some(tracked) if tracked.newest.seq < newest.seq => tracked.advance(newest),
            Some(_) => {}
        }
        let tracked = tracked.as_ref()?;
        tracked.known.contains(&since).then(|| tracked.newer_than(since))
    }
}

impl Tracked {
    fn new(newest: &Arc<Snapshot>) -> Self {
        let all = |family: &Family| vec![newest.seq; family.numbers.len() + family.histograms.len()];
        let changed = newest.metrics.iter().map(all).collect();
        Self { newest: Arc::clone(newest), changed, known: VecDeque::from([newest.seq]) }
    }

    fn advance(&mut self, newest: &Arc<Snapshot>) {
        let mut gone = false;
        let mut before = self.newest.metrics.iter().zip(&self.changed).peekable();
        let mut changed = Vec::with_capacity(newest.metrics.len());
        for family in &newest.metrics {
            while before.next_if(|(old, _)| old.name < family.name).is_some() {
                gone = true;
            }
            let old = before.next_if(|(old, _)| old.name == family.name);
            changed.push(compare(family, old, newest.seq, &mut gone));
        }
        gone |= before.next().is_some();
        if gone {
            self.known.clear();
        }
        if self.known.len() == KNOWN_MAX {
            self.known.pop_front();
        }
        self.known.push_back(newest.seq);
        (self.newest, self.changed) = (Arc::clone(newest), changed);
    }

    fn newer_than(&self, since: u64) -> Snapshot {
        let family = |(family, changed): (&Family, &Vec<u64>)| {
            let (numbers, histograms) = changed.split_at(family.numbers.len().min(changed.len()));
            let newer = Family {
                numbers: newer(&family.numbers, numbers, since),
                histograms: newer(&family.histograms, histograms, since),
                ..without_series(family)
            };
            (!newer.numbers.is_empty() || !newer.histograms.is_empty()).then_some(newer)
        };
        let metrics = self.newest.metrics.iter().zip(&self.changed).filter_map(family).collect();
        Snapshot { metrics, ..without_metrics(&self.newest) }
    }
}

/// When each series of a family changed last; `gone` is set where one is missing.
fn compare(family: &Family, old: Option<(&Family, &Vec<u64>)>, seq: u64, gone: &mut bool) -> Vec<u64> {
    let Some((old, changed)) = old else {
        return vec![seq; family.numbers.len() + family.histograms.len()];
    };
    let (numbers, histograms) = changed.split_at(old.numbers.len().min(changed.len()));
    let same_kind = old.kind == family.kind && old.unit == family.unit && old.help == family.help;
    let mut compared = changes((&old.numbers, numbers), &family.numbers, |it| &it.labels, (seq, same_kind), gone);
    compared.extend(changes(
        (&old.histograms, histograms),
        &family.histograms,
        |it| &it.labels,
        (seq, same_kind),
        gone,
    ));
    compared
}

/// The same for a list of series, sorted by labels as all are.
fn changes<S: PartialEq>(
    (old, changed): (&[S], &[u64]),
    new: &[S],
    labels: impl Fn(&S) -> &Labels,
    (seq, same_kind): (u64, bool),
    gone: &mut bool,
) -> Vec<u64> {
    let mut before = old.iter().zip(changed).peekable();
    let mut compared = Vec::with_capacity(new.len());
    for series in new {
        while before.next_if(|(old, _)| labels(old) < labels(series)).is_some() {
            *gone = true;
        }
        let old = before.next_if(|(old, _)| labels(old) == labels(series));
        let unchanged = old.filter(|(old, _)| same_kind && *old == series);
        compared.push(unchanged.map_or(seq, |(_, changed)| *changed));
    }
    *gone |= before.next().is_some();
    compared
}

fn newer<S: Clone>(series: &[S], changed: &[u64], since: u64) -> Vec<S> {
    series.iter().zip(changed).filter(|(_, changed)| **changed > since).map(|(series, _)| series.clone()).collect()
}

fn without_series(family: &Family) -> Family {
    Family {
        name: family.name.clone(),
        kind: family.kind,
        unit: family.unit.clone(),
        help: family.help.clone(),
        numbers: Vec::new(),
        histograms: Vec::new(),
    }
}

fn without_metrics(snapshot: &Snapshot) -> Snapshot {
    Snapshot {
        schema_version: snapshot.schema_version,
        service: snapshot.service.clone(),
        version: snapshot.version.clone(),
        instance_id: snapshot.instance_id.clone(),
        started_at: snapshot.started_at.clone(),
        started_at_ms: snapshot.started_at_ms,
        timestamp: snapshot.timestamp.clone(),
        ts_ms: snapshot.ts_ms,
        seq: snapshot.seq,
        uptime_seconds: snapshot.uptime_seconds,
        extra_boundaries: snapshot.extra_boundaries.clone(),
        metrics: Vec::new(),
        heap: snapshot.heap.clone(),
        checks: snapshot.checks.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use heartline_shared::snapshot::{HistogramSeries, NumberSeries};
    use heartline_shared::{Histogram, Kind};
    use proptest::prelude::*;

    use super::*;

    /// Of each family, the values of its series by label; a histogram's is its count.
    type Values = BTreeMap<u8, BTreeMap<u8, u8>>;

    fn snapshot(seq: u64, values: &Values) -> Snapshot {
        let labels = |label: &u8| Labels::from_pairs([("label", label.to_string())]);
        let family = |(name, series): (&u8, &BTreeMap<u8, u8>)| {
            let is_histogram = name % 2 == 1;
            let numbers =
                series.iter().map(|(label, value)| NumberSeries { labels: labels(label), value: f64::from(*value) });
            let histogram = |value: u8| Histogram { count: value.into(), ..Histogram::default() };
            let histograms = series
                .iter()
                .map(|(label, value)| HistogramSeries { labels: labels(label), histogram: histogram(*value) });
            Family {
                name: name.to_string().into(),
                kind: if is_histogram { Kind::Histogram } else { Kind::Gauge },
                unit: "".into(),
                help: None,
                numbers: if is_histogram { vec![] } else { numbers.collect() },
                histograms: if is_histogram { histograms.collect() } else { vec![] },
            }
        };
        Snapshot { seq, metrics: values.iter().map(family).collect(), ..Snapshot::default() }
    }

    #[test]
    fn only_what_changed_is_sent_and_nothing_of_what_was_not_noted() {
        let values = |first, second| {
            Values::from([(0, BTreeMap::from([(0, first), (1, second)])), (1, BTreeMap::from([(0, 7)]))])
        };
        let changes = Changes::default();
        let since = |since, seq, values: &Values| changes.since(since, &Arc::new(snapshot(seq, values)));
        assert!(since(4, 5, &values(1, 1)).is_none(), "nobody noted the fourth");
        let newer = since(5, 7, &values(1, 2)).unwrap();
        assert_eq!((newer.seq, newer.metrics.len(), newer.metrics[0].numbers.len()), (7, 1, 1));
        assert_eq!(newer.metrics[0].numbers[0].value, 2.0);
        assert!(since(6, 8, &values(1, 2)).is_none(), "what was between two was not seen");
        assert!(since(7, 9, &values(1, 2)).unwrap().metrics.is_empty());
        let fewer = Values::from([(0, BTreeMap::from([(0, 1)]))]);
        assert!(since(9, 10, &fewer).is_none(), "series are gone");
        assert!(since(10, 11, &fewer).is_some());
    }

    proptest! {
        #[test]
        fn who_adds_what_changed_has_the_whole(
            all in prop::collection::vec(
                prop::collection::btree_map(0_u8..3, prop::collection::btree_map(0_u8..4, 0_u8..3, 1..4), 1..3), 2..8),
        ) {
            let changes = Changes::default();
            let all: Vec<Arc<Snapshot>> = (1..).zip(&all).map(|(seq, values)| Arc::new(snapshot(seq, values))).collect();
            for (at, newest) in all.iter().enumerate() {
                for old in &all[..at] {
                    if let Some(newer) = changes.since(old.seq, newest) {
                        // what readers do, the dashboard among them
                        prop_assert_eq!(old.with_changes(newer), Some(Snapshot::clone(newest)));
                    }
                }
                let own = changes.since(newest.seq, newest).expect("it was noted just now");
                prop_assert!(own.metrics.is_empty());
            }
        }
    }
}
