//! What a reader makes of a document and of one that has only what changed since: the whole of the second. How changes are
//! found and sent is not known here.

use super::{Family, HistogramSeries, NumberSeries, Snapshot};
use crate::label::Labels;

impl Snapshot {
    /// The whole document of which `newer` has only the series that changed since this one: what the agent sends to who asks
    /// `/api/v1/snapshot?since=` for this one's `seq`. Everything but `metrics` is as in `newer`.
    ///
    /// `None` when the two do not fit together, and only the whole document will do: they are of different processes, the
    /// second is older, its histograms have other boundaries, or one of them is not sorted.
    ///
    /// ```
    /// use heartline_shared::Snapshot;
    ///
    /// let before = Snapshot { seq: 7, instance_id: "one".to_owned(), ..Snapshot::default() };
    /// let newer = Snapshot { seq: 9, uptime_seconds: 2.5, ..before.clone() };
    /// assert_eq!(before.with_changes(newer.clone()), Some(newer));
    /// let restarted = Snapshot { started_at_ms: heartline_shared::UnixMillis(5), ..before.clone() };
    /// assert_eq!(before.with_changes(restarted), None);
    /// ```
    pub fn with_changes(&self, newer: Self) -> Option<Self> {
        let of_one_process = self.schema_version == newer.schema_version
            && self.service == newer.service
            && self.instance_id == newer.instance_id
            && self.started_at_ms == newer.started_at_ms;
        if !of_one_process || newer.seq < self.seq || self.extra_boundaries != newer.extra_boundaries {
            return None;
        }
        let metrics = merged(&self.metrics, newer.metrics, |family| &family.name, Family::with_changes)?;
        Some(Self { metrics, ..newer })
    }
}

impl Family {
    fn with_changes(&self, newer: Self) -> Option<Self> {
        let numbers = merged(&self.numbers, newer.numbers, labels_of_number, |_, newer| Some(newer))?;
        let histograms = merged(&self.histograms, newer.histograms, labels_of_histogram, |_, newer| Some(newer))?;
        Some(Self { numbers, histograms, ..newer })
    }
}

fn labels_of_number(series: &NumberSeries) -> &Labels {
    &series.labels
}

fn labels_of_histogram(series: &HistogramSeries) -> &Labels {
    &series.labels
}

/// Both in one, sorted by their keys; of one key, what `both` makes of the two. `None` when one of them is not sorted or
/// has a key twice.
fn merged<T: Clone, K: Ord + ?Sized>(
    old: &[T],
    newer: Vec<T>,
    key: impl Fn(&T) -> &K,
    both: impl Fn(&T, T) -> Option<T>,
) -> Option<Vec<T>> {
    let sorted = |list: &[T]| list.is_sorted_by(|one, other| key(one) < key(other));
    if !sorted(old) || !sorted(&newer) {
        return None;
    }
    let mut all = Vec::with_capacity(old.len().max(newer.len()));
    let mut before = old.iter().peekable();
    for item in newer {
        while let Some(kept) = before.next_if(|old| key(old) < key(&item)) {
            all.push(kept.clone());
        }
        all.push(match before.next_if(|old| key(old) == key(&item)) {
            Some(old) => both(old, item)?,
            None => item,
        });
    }
    all.extend(before.cloned());
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Kind;

    fn family(name: &'static str, series: &[(&str, f64)]) -> Family {
        let number = |(label, value): &(&str, f64)| NumberSeries {
            labels: Labels::from_pairs([("it", (*label).to_owned())]),
            value: *value,
        };
        Family {
            name: name.into(),
            kind: Kind::Gauge,
            unit: "".into(),
            help: None,
            numbers: series.iter().map(number).collect(),
            histograms: vec![],
        }
    }

    fn document(seq: u64, metrics: Vec<Family>) -> Snapshot {
        Snapshot { seq, metrics, ..Snapshot::default() }
    }

    #[test]
    fn what_changed_replaces_what_was_and_the_rest_stays() {
        let before = document(1, vec![family("a", &[("x", 1.0), ("z", 2.0)]), family("c", &[("x", 3.0)])]);
        let newer = document(2, vec![family("a", &[("y", 9.0), ("z", 8.0)]), family("b", &[("x", 7.0)])]);
        let whole = vec![
            family("a", &[("x", 1.0), ("y", 9.0), ("z", 8.0)]),
            family("b", &[("x", 7.0)]),
            family("c", &[("x", 3.0)]),
        ];
        assert_eq!(before.with_changes(newer), Some(document(2, whole)));
    }

    #[test]
    fn documents_that_do_not_fit_together_give_none() {
        let before = || document(5, vec![family("a", &[("x", 1.0)])]);
        assert!(before().with_changes(document(5, vec![])).is_some());
        assert!(before().with_changes(document(4, vec![])).is_none(), "older");
        let unsorted = vec![family("b", &[("x", 1.0)]), family("a", &[("x", 1.0)])];
        assert!(before().with_changes(document(6, unsorted)).is_none());
        let twice = vec![family("a", &[("x", 1.0), ("x", 2.0)])];
        assert!(before().with_changes(document(6, twice)).is_none());
        for other in [
            Snapshot { instance_id: "b".to_owned(), ..before() },
            Snapshot { service: "b".to_owned(), ..before() },
            Snapshot { schema_version: 9, ..before() },
            Snapshot { extra_boundaries: [(crate::GridKind::Count, vec![5])].into(), ..before() },
        ] {
            assert!(before().with_changes(other).is_none());
        }
    }
}
