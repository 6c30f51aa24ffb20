//! Requests: all together and by route, from `http.server.request.duration` and `http.server.active_requests`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Count, Counts, Row, Timing, View, ratio, whole};
use crate::model::reading::{Requests, Route, StatusSplit};
use crate::text::Text;

const DURATION: &str = "http.server.request.duration";
const CANCELLED: &str = "cancelled";

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Status(u16),
    Cancelled,
    Other,
}

impl End {
    fn of(row: &Row<'_>) -> Self {
        let status = row.label("http.response.status_code").parse::<u16>().ok();
        match status {
            Some(status) if (100..600).contains(&status) => Self::Status(status),
            _ if row.label("error.type") == CANCELLED => Self::Cancelled,
            _ => Self::Other,
        }
    }

    /// Whether the service failed, as the alerts count it: by its error type, and a client that went away is none. A
    /// status may be good and the body break half-way.
    fn is_error(self, row: &Row<'_>) -> bool {
        let error = row.label("error.type");
        match self {
            Self::Status(status) => status >= 500 || !(error.is_empty() || error == CANCELLED),
            Self::Cancelled => false,
            Self::Other => true,
        }
    }

    fn add_to(self, split: &mut StatusSplit, count: u64) {
        let class = match self {
            Self::Status(100..200) => &mut split.informational,
            Self::Status(200..300) => &mut split.success,
            Self::Status(300..400) => &mut split.redirect,
            Self::Status(400..500) => &mut split.client_error,
            Self::Status(_) => &mut split.server_error,
            Self::Cancelled => &mut split.cancelled,
            Self::Other => &mut split.other,
        };
        *class = class.saturating_add(count);
    }
}

/// Requests with something in common.
#[derive(Debug, Default)]
struct Group {
    timing: Timing,
    errors: Count,
    cancelled: Count,
    statuses: StatusSplit,
    by_status: Counts,
}

impl Group {
    fn add(&mut self, row: &Row<'_>) {
        let end = End::of(row);
        self.timing.add(row);
        end.add_to(&mut self.statuses, whole(row.recent()));
        if end.is_error(row) {
            self.errors.add(row);
        }
        if end == End::Cancelled {
            self.cancelled.add(row);
        }
        let status = row.label("http.response.status_code");
        self.by_status.add(if status.is_empty() { row.label("error.type") } else { status }, row);
    }

    fn error_ratio(&self) -> Option<f64> {
        ratio(self.errors.recent, self.timing.recent.count as f64)
    }
}

pub(super) fn compute(view: &View<'_>) -> (Requests, Vec<Route>) {
    let mut all: Option<Group> = None;
    let mut groups: BTreeMap<(Option<Text>, Text), Group> = BTreeMap::new();
    for row in view.rows(DURATION) {
        let route = row.labels.value("http.route").filter(|route| !route.is_empty()).map(Text::new);
        groups.entry((route, row.text("http.request.method"))).or_default().add(&row);
        all.get_or_insert_default().add(&row);
    }
    let routes = groups.into_iter().map(|((route, method), group)| one_route(view, method, route, group)).collect();
    (together(view, all), routes)
}

fn together(view: &View<'_>, all: Option<Group>) -> Requests {
    let in_flight = view.whole_level("http.server.active_requests", &[]);
    let Some(group) = all else { return Requests { in_flight, ..Requests::default() } };
    let recent = &group.timing.recent;
    Requests {
        total: Some(group.timing.total),
        rate: view.per_second(recent.count as f64),
        errors: Some(group.errors.whole()),
        error_ratio: group.error_ratio(),
        cancelled: Some(group.cancelled.whole()),
        cancelled_rate: view.per_second(group.cancelled.recent),
        in_flight,
        p50_seconds: view.seconds(recent, 0.5),
        p95_seconds: view.seconds(recent, 0.95),
        p99_seconds: view.seconds(recent, 0.99),
        statuses: view.window.span.map(|_| group.statuses),
        latency: view.window.span.map(|_| Arc::new(recent.clone())),
        latency_grid: Some(Arc::clone(view.durations())),
    }
}

fn one_route(view: &View<'_>, method: Text, route: Option<Text>, group: Group) -> Route {
    let recent = &group.timing.recent;
    Route {
        method,
        route,
        total: group.timing.total,
        rate: view.per_second(recent.count as f64),
        errors: group.errors.whole(),
        error_ratio: group.error_ratio(),
        cancelled: group.cancelled.whole(),
        p50_seconds: view.seconds(recent, 0.5),
        p95_seconds: view.seconds(recent, 0.95),
        p99_seconds: view.seconds(recent, 0.99),
        mean_seconds: recent.mean(view.durations()),
        statuses: view.window.span.map(|_| group.statuses),
        by_status: group.by_status.into_list(),
    }
}
