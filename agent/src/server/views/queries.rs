//! Queries, together and by summary, and the pools they come through, from `db.client.*`. Texts and literals never come
//! here.

use std::collections::{BTreeMap, BTreeSet};

use heartline_shared::frame::Value as Counted;
use heartline_shared::{Histogram, Labels};
use serde_json::{Value, json};

use super::figures::{Count, View, add, amount, has, joined, label, ratio, total_of, whole, whole_or_null};
use super::parameters::{BadParameter, Parameters};

const DURATION: &str = "db.client.operation.duration";
const SLOW: &str = "heartline.db.slow_operations";
const ROWS: &str = "db.client.response.returned_rows";
const POOL: &str = "db.client.connection.pool.name";
const DEFAULT_LIMIT: usize = 50;
const LIMIT_MAX: usize = 1_000;

/// Queries with something in common.
#[derive(Debug, Default)]
struct Group {
    total: f64,
    errors_total: f64,
    recent: Histogram,
    errors: f64,
    by_error: BTreeMap<String, f64>,
    slow: Option<Count>,
    rows: Histogram,
}

impl Group {
    fn add_total(&mut self, labels: &Labels, total: f64) {
        self.total += total;
        if !label(labels, "error.type").is_empty() {
            self.errors_total += total;
        }
    }

    fn add_recent(&mut self, labels: &Labels, value: &Counted) {
        add(&mut self.recent, value);
        let error = label(labels, "error.type");
        if !error.is_empty() && amount(value) > 0.0 {
            self.errors += amount(value);
            *self.by_error.entry(error.to_owned()).or_default() += amount(value);
        }
    }

    fn fields(&self, view: &View<'_>) -> Value {
        let fields = json!({
            "total": whole(self.total),
            "errors_total": whole(self.errors_total),
            "count": self.recent.count,
            "rate_per_second": view.per_second(self.recent.count as f64),
            "errors": whole(self.errors),
            "error_ratio": ratio(self.errors, self.recent.count as f64),
            "slow_total": self.slow.map(|slow| whole(slow.total)),
            "slow": self.slow.map(|slow| whole(slow.recent)),
            "time_seconds": self.recent.sum_in_unit(view.durations()),
        });
        joined(fields, view.percentiles(&self.recent))
    }
}

/// What queries are sorted by, the highest first.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Time,
    P95,
    Count,
    Errors,
}

/// All queries together; `null` when the service records none.
pub(super) fn block(view: &View<'_>) -> Value {
    let mut all = Group { slow: view.count(SLOW, &[]), ..Group::default() };
    let mut seen = false;
    for (labels, total) in view.totals(DURATION) {
        all.add_total(labels, total);
        seen = true;
    }
    for (labels, value) in view.recents(DURATION) {
        all.add_recent(labels, value);
    }
    if seen { all.fields(view) } else { Value::Null }
}

/// The document of queries by summary.
///
/// # Errors
/// A parameter that cannot be.
pub(super) fn document(view: &View<'_>, parameters: &Parameters) -> Result<Value, BadParameter> {
    let sorts = [("total", Sort::Time), ("p95", Sort::P95), ("count", Sort::Count), ("errors", Sort::Errors)];
    let sort = parameters.choice("sort", &sorts)?;
    let limit = parameters.limit("limit", DEFAULT_LIMIT, LIMIT_MAX)?;
    let only_slow = parameters.flag("slow")?;
    let mut rows = by_summary(view, sort);
    if only_slow {
        rows.retain(|(_, group)| group.slow.is_some_and(|slow| slow.recent > 0.0));
    }
    let found = rows.len();
    let time = total_of(rows.iter().map(|(_, group)| group.recent.sum_in_unit(view.durations())));
    let shown: Vec<Value> = rows.iter().take(limit).map(|(key, group)| row(view, key, group, time)).collect();
    Ok(joined(view.heading(), json!({"summary": block(view), "found": found, "queries": shown})))
}

/// The queries that took most time in the window.
pub(super) fn heaviest(view: &View<'_>, limit: usize) -> Vec<Value> {
    let rows = by_summary(view, Sort::Time);
    let time = total_of(rows.iter().map(|(_, group)| group.recent.sum_in_unit(view.durations())));
    rows.iter().take(limit).map(|(key, group)| row(view, key, group, time)).collect()
}

/// Summary and system of a query.
type Key = (String, String);

fn key(labels: &Labels) -> Key {
    (label(labels, "db.query.summary").to_owned(), label(labels, "db.system.name").to_owned())
}

fn by_summary(view: &View<'_>, sort: Sort) -> Vec<(Key, Group)> {
    let mut groups: BTreeMap<Key, Group> = BTreeMap::new();
    for (labels, total) in view.totals(DURATION) {
        groups.entry(key(labels)).or_default().add_total(labels, total);
    }
    for (labels, value) in view.recents(DURATION) {
        groups.entry(key(labels)).or_default().add_recent(labels, value);
    }
    for (labels, value) in view.recents(ROWS) {
        add(&mut groups.entry(key(labels)).or_default().rows, value);
    }
    for (labels, total) in view.totals(SLOW) {
        groups.entry(key(labels)).or_default().slow.get_or_insert_default().total += total;
    }
    for (labels, value) in view.recents(SLOW) {
        groups.entry(key(labels)).or_default().slow.get_or_insert_default().recent += amount(value);
    }
    let mut rows: Vec<(Key, Group)> = groups.into_iter().collect();
    let weight = |group: &Group| match sort {
        Sort::Time => group.recent.sum_in_unit(view.durations()),
        Sort::P95 => group.recent.quantile(view.durations(), 0.95).unwrap_or(-1.0),
        Sort::Count => group.recent.count as f64,
        Sort::Errors => group.errors,
    };
    rows.sort_by(|(_, a), (_, b)| weight(b).total_cmp(&weight(a)).then(b.total.total_cmp(&a.total)));
    rows
}

fn row(view: &View<'_>, (summary, system): &Key, group: &Group, time: f64) -> Value {
    let by_error: BTreeMap<&str, u64> =
        group.by_error.iter().map(|(error, count)| (error.as_str(), whole(*count))).collect();
    let name = json!({
        "summary": (!summary.is_empty()).then_some(summary),
        "system": (!system.is_empty()).then_some(system),
        "by_error": by_error,
        "rows_mean": group.rows.mean(view.window.grid("{row}")),
        "time_ratio": ratio(group.recent.sum_in_unit(view.durations()), time),
    });
    joined(name, group.fields(view))
}

/// Every connection pool.
pub(super) fn pools(view: &View<'_>) -> Vec<Value> {
    let metrics = ["db.client.connection.max", "db.client.connection.count", "db.client.connection.wait_time"];
    let names: BTreeSet<&str> =
        metrics.iter().flat_map(|metric| view.totals(metric)).filter_map(|(labels, _)| labels.value(POOL)).collect();
    let pool = |name: &&str| {
        let this = [(POOL, *name)];
        let state = |state| view.level(metrics[1], &[(POOL, *name), ("db.client.connection.state", state)]);
        let waits = view.timing(metrics[2], &this);
        let recorded = view.totals(metrics[2]).any(|(labels, _)| has(labels, &this));
        let timeouts = view.count("db.client.connection.timeouts", &this);
        json!({
            "name": name,
            "max": whole_or_null(view.level(metrics[0], &this)),
            "used": whole_or_null(state("used")),
            "idle": whole_or_null(state("idle")),
            "pending": whole_or_null(view.level("db.client.connection.pending_requests", &this)),
            "timeouts_total": timeouts.map(|timeouts| whole(timeouts.total)),
            "timeouts": timeouts.map(|timeouts| whole(timeouts.recent)),
            "acquired_per_second": recorded.then(|| view.per_second(waits.count as f64)).flatten(),
            "wait_p95_seconds": waits.quantile(view.durations(), 0.95),
        })
    };
    names.iter().map(pool).collect()
}
