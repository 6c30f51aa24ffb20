//! Requests, together and by route, from `http.server.*`.

use std::collections::BTreeMap;

use heartline_shared::frame::Value as Counted;
use heartline_shared::{Histogram, Labels};
use serde_json::{Value, json};

use super::figures::{View, add, amount, joined, label, ratio, whole, whole_or_null};

const DURATION: &str = "http.server.request.duration";

/// Requests with something in common.
#[derive(Debug, Default)]
struct Group {
    total: f64,
    errors_total: f64,
    recent: Histogram,
    errors: f64,
    cancelled: f64,
    /// 1xx to 5xx, then those without a status.
    statuses: [f64; 6],
}

/// How a request ended: its status class from 1 to 5, or 0, and whether the service failed. A client that went away is no
/// failure; a good status whose body broke off is one.
fn end(labels: &Labels) -> (usize, bool) {
    let status = label(labels, "http.response.status_code").parse::<usize>().unwrap_or(0);
    let class = if (100..600).contains(&status) { status / 100 } else { 0 };
    let error = label(labels, "error.type");
    let failed = match class {
        0 => error != "cancelled",
        class => class == 5 || !(error.is_empty() || error == "cancelled"),
    };
    (class, failed)
}

impl Group {
    fn add_total(&mut self, labels: &Labels, total: f64) {
        self.total += total;
        if end(labels).1 {
            self.errors_total += total;
        }
    }

    fn add_recent(&mut self, labels: &Labels, value: &Counted) {
        add(&mut self.recent, value);
        let (class, failed) = end(labels);
        let count = amount(value);
        self.statuses[class.checked_sub(1).unwrap_or(5)] += count;
        if failed {
            self.errors += count;
        } else if class == 0 {
            self.cancelled += count;
        }
    }

    fn fields(&self, view: &View<'_>) -> Value {
        let names = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];
        let statuses: BTreeMap<&str, u64> = names.into_iter().zip(self.statuses.map(whole)).collect();
        let fields = json!({
            "total": whole(self.total),
            "errors_total": whole(self.errors_total),
            "count": self.recent.count,
            "rate_per_second": view.per_second(self.recent.count as f64),
            "errors": whole(self.errors),
            "error_ratio": ratio(self.errors, self.recent.count as f64),
            "cancelled": whole(self.cancelled),
            "statuses": statuses,
        });
        joined(fields, view.percentiles(&self.recent))
    }
}

/// All requests together; `null` when the service records none.
pub(super) fn block(view: &View<'_>) -> Value {
    let in_flight = view.level("http.server.active_requests", &[]);
    let mut all = Group::default();
    let mut seen = in_flight.is_some();
    for (labels, total) in view.totals(DURATION) {
        all.add_total(labels, total);
        seen = true;
    }
    for (labels, value) in view.recents(DURATION) {
        all.add_recent(labels, value);
    }
    if !seen {
        return Value::Null;
    }
    joined(all.fields(view), json!({"in_flight": whole_or_null(in_flight)}))
}

/// Requests by route and method, those that took most time in the window first.
pub(super) fn routes(view: &View<'_>, limit: usize) -> Vec<Value> {
    let key = |labels: &Labels| {
        (labels.value("http.route").map(str::to_owned), label(labels, "http.request.method").to_owned())
    };
    let mut groups: BTreeMap<_, Group> = BTreeMap::new();
    for (labels, total) in view.totals(DURATION) {
        groups.entry(key(labels)).or_default().add_total(labels, total);
    }
    for (labels, value) in view.recents(DURATION) {
        groups.entry(key(labels)).or_default().add_recent(labels, value);
    }
    let mut sorted: Vec<_> = groups.into_iter().collect();
    sorted.sort_by(|(_, a), (_, b)| b.recent.sum.cmp(&a.recent.sum).then(b.total.total_cmp(&a.total)));
    let row = |((route, method), group): &((Option<String>, String), Group)| {
        joined(json!({"method": method, "route": route}), group.fields(view))
    };
    sorted.iter().take(limit).map(row).collect()
}
