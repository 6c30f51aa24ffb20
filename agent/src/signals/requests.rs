//! Requests by route, method and outcome, and how many are in flight; where they come from is not known here.

use std::sync::Arc;

use heartline_shared::Labels;

use crate::clock::Stamp;
use crate::instruments::{Histogram, InFlight, InFlightGuard};
use crate::registry::{Registry, Room};
use crate::signals::resolved::Resolved;

pub(crate) const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";
/// Methods that are labels; any other becomes `_OTHER`, as OpenTelemetry asks.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
const OTHER: &str = "_OTHER";

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Outcome {
    Status(u16),
    Failed(Option<u16>, &'static str),
    Cancelled,
    Panicked,
}

/// A handle to the requests of one route and method; clones share it.
///
/// ```
/// # fn main() -> Result<(), heartline::Error> {
/// let agent = heartline::Agent::builder("shop").start()?;
/// let cart = agent.route("GET", "/carts/{id}");
/// let request = cart.start();
/// request.finish(200);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Route(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Arc<Registry>,
    labels: Labels,
    in_flight: InFlight,
    by_outcome: Resolved<Outcome, Histogram>,
}

/// A request being served. Finish it with its status; dropped unfinished it counts as cancelled, and as panicked when
/// a panic drops it.
#[derive(Debug)]
#[must_use = "dropping the guard counts the request as cancelled"]
pub struct RequestGuard {
    route: Route,
    start: Stamp,
    finished: bool,
    _in_flight: InFlightGuard,
}

/// The method as a label: itself where it is a known one.
fn method_label(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(method)).unwrap_or(OTHER)
}

impl Route {
    /// Requests of `method` to `route`; without a route, those that no route matched.
    pub(crate) fn new(registry: &Arc<Registry>, method: &str, route: Option<&str>) -> Self {
        let labels = Labels::from_pairs([("http.request.method", method_label(method)), ("url.scheme", "http")]);
        let in_flight = registry.in_flight(ACTIVE, labels.clone(), Room::Reserved);
        let labels = match route {
            Some(route) => labels.with("http.route", route),
            None => labels,
        };
        Self(Arc::new(Series { registry: Arc::clone(registry), labels, in_flight, by_outcome: Resolved::new() }))
    }

    /// A request begins. Cost: one clock read and two relaxed `fetch_add`.
    pub fn start(&self) -> RequestGuard {
        let in_flight = self.0.in_flight.enter();
        RequestGuard { route: self.clone(), start: Stamp::now(), finished: false, _in_flight: in_flight }
    }

    fn record(&self, outcome: Outcome, nanos: u64) {
        let series = &*self.0;
        series.by_outcome.with(&outcome, || series.resolve(outcome), |histogram| histogram.record_units(nanos));
    }
}

impl Series {
    /// The series of an outcome, per the semantic conventions: the status is a label, and `error.type` is there only
    /// for failures.
    fn resolve(&self, outcome: Outcome) -> Histogram {
        let labels = self.labels.clone();
        let labels = match outcome {
            Outcome::Status(status @ 500..=599) => {
                let status = status.to_string();
                labels.with("error.type", status.clone()).with("http.response.status_code", status)
            }
            Outcome::Status(status @ 100..=599) => labels.with("http.response.status_code", status.to_string()),
            Outcome::Status(_) => labels.with("http.response.status_code", OTHER),
            Outcome::Failed(status, error_type) => {
                let labels = labels.with("error.type", error_type);
                match status {
                    Some(status) => labels.with("http.response.status_code", status.to_string()),
                    None => labels,
                }
            }
            Outcome::Cancelled => labels.with("error.type", "cancelled"),
            Outcome::Panicked => labels.with("error.type", "panic"),
        };
        self.registry.histogram(DURATION, labels, Room::Reserved)
    }
}

impl RequestGuard {
    /// The request was answered with `status`.
    pub fn finish(mut self, status: u16) {
        self.end(Outcome::Status(status));
    }

    /// The request was not answered, or not to the end; `status` is what the client had seen by then.
    pub fn failed(mut self, status: Option<u16>, error_type: &'static str) {
        self.end(Outcome::Failed(status, error_type));
    }

    /// The handler panicked.
    pub fn panicked(mut self) {
        self.end(Outcome::Panicked);
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        self.route.record(outcome, self.start.elapsed_nanos());
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.end(if std::thread::panicking() { Outcome::Panicked } else { Outcome::Cancelled });
        }
    }
}
