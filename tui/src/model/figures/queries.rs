//! Queries: all together and by summary, from `db.client.operation.duration` and its companions.

use std::collections::BTreeMap;

use super::{Count, Counts, Row, Timing, View, ratio};
use crate::model::reading::{Queries, QuerySummary};
use crate::text::Text;

const DURATION: &str = "db.client.operation.duration";
const ROWS: &str = "db.client.response.returned_rows";
const SLOW: &str = "heartline.db.slow_operations";

/// Queries with something in common.
#[derive(Debug, Default)]
struct Group {
    timing: Timing,
    errors: Count,
    by_error: Counts,
    slow: Option<Count>,
    rows: Timing,
}

impl Group {
    fn add(&mut self, row: &Row<'_>) {
        self.timing.add(row);
        let error = row.label("error.type");
        if !error.is_empty() {
            self.errors.add(row);
            self.by_error.add(error, row);
        }
    }
}

fn key(row: &Row<'_>) -> (Text, Text) {
    (row.text("db.query.summary"), row.text("db.system.name"))
}

pub(super) fn compute(view: &View<'_>) -> (Queries, Vec<QuerySummary>) {
    let mut all: Option<Group> = None;
    let mut groups: BTreeMap<(Text, Text), Group> = BTreeMap::new();
    for row in view.rows(DURATION) {
        groups.entry(key(&row)).or_default().add(&row);
        all.get_or_insert_default().add(&row);
    }
    for row in view.rows(ROWS) {
        groups.entry(key(&row)).or_default().rows.add(&row);
    }
    for row in view.rows(SLOW) {
        if let Some(group) = groups.get_mut(&key(&row)) {
            group.slow.get_or_insert_default().add(&row);
        }
    }
    let slow = view.count(SLOW, &[]);
    let time = all.as_ref().map_or(0.0, |group| group.timing.recent.sum_in_unit(view.durations()));
    let summaries = groups.into_iter().map(|(key, group)| one_summary(view, key, group, time)).collect();
    (together(view, all, slow), summaries)
}

fn together(view: &View<'_>, all: Option<Group>, slow: Option<Count>) -> Queries {
    let Some(group) = all else { return Queries::default() };
    let recent = &group.timing.recent;
    Queries {
        total: Some(group.timing.total),
        rate: view.per_second(recent.count as f64),
        errors: Some(group.errors.whole()),
        error_ratio: ratio(group.errors.recent, recent.count as f64),
        slow: slow.map(Count::whole),
        slow_rate: slow.and_then(|slow| view.per_second(slow.recent)),
        per_request: None,
        p50_seconds: view.seconds(recent, 0.5),
        p95_seconds: view.seconds(recent, 0.95),
        p99_seconds: view.seconds(recent, 0.99),
    }
}

fn one_summary(view: &View<'_>, (summary, system): (Text, Text), group: Group, all_time: f64) -> QuerySummary {
    let recent = &group.timing.recent;
    QuerySummary {
        system,
        summary,
        total: group.timing.total,
        rate: view.per_second(recent.count as f64),
        errors: group.errors.whole(),
        error_ratio: ratio(group.errors.recent, recent.count as f64),
        by_error: group.by_error.into_list(),
        slow: group.slow.map(Count::whole),
        rows_mean: group.rows.recent.mean(view.store.grid("{row}")),
        p50_seconds: view.seconds(recent, 0.5),
        p95_seconds: view.seconds(recent, 0.95),
        p99_seconds: view.seconds(recent, 0.99),
        mean_seconds: recent.mean(view.durations()),
        time_share: ratio(recent.sum_in_unit(view.durations()), all_time),
    }
}
