//! Connection pools, from `db.client.connection.*`.

use std::collections::BTreeSet;

use super::{Count, Timing, View};
use crate::model::reading::Pool;
use crate::text::Text;

const NAME: &str = "db.client.connection.pool.name";
const STATE: &str = "db.client.connection.state";
const METRICS: [&str; 5] = [
    "db.client.connection.count",
    "db.client.connection.max",
    "db.client.connection.pending_requests",
    "db.client.connection.timeouts",
    "db.client.connection.wait_time",
];

pub(super) fn compute(view: &View<'_>) -> Vec<Pool> {
    let names: BTreeSet<String> = METRICS
        .iter()
        .flat_map(|metric| view.rows(metric))
        .filter_map(|row| row.labels.value(NAME).map(str::to_owned))
        .collect();
    names.iter().map(|name| one_pool(view, name)).collect()
}

fn one_pool(view: &View<'_>, name: &str) -> Pool {
    let [count, max, pending, timeouts, wait] = METRICS;
    let connections = |state| view.whole_level(count, &[(NAME, name), (STATE, state)]);
    let timeouts = view.count(timeouts, &[(NAME, name)]);
    let mut waits: Option<Timing> = None;
    for row in view.rows(wait).filter(|row| row.label(NAME) == name) {
        waits.get_or_insert_default().add(&row);
    }
    Pool {
        name: Text::new(name),
        max: view.whole_level(max, &[(NAME, name)]),
        used: connections("used"),
        idle: connections("idle"),
        pending: view.whole_level(pending, &[(NAME, name)]),
        timeouts: timeouts.map(Count::whole),
        timeout_rate: timeouts.and_then(|timeouts| view.per_second(timeouts.recent)),
        wait_p95_seconds: waits.as_ref().and_then(|waits| view.seconds(&waits.recent, 0.95)),
        acquire_rate: waits.and_then(|waits| view.per_second(waits.recent.count as f64)),
    }
}
