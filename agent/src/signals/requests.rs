//! Requests by route, method and outcome, and how many are in flight; where they come from is not known here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use heartline_shared::Labels;

use crate::clock::{Stamp, Tick};
use crate::instruments::{Histogram, InFlight, Taken};
use crate::registry::{Registry, Room};
use crate::signals::ShortText;
use crate::signals::details::Aside;
use crate::signals::exemplars::{ExemplarRequest, Exemplars, Given};
use crate::signals::open_requests::{self, OpenRequests};
use crate::signals::resolved::Resolved;
use crate::signals::slow::{SlowEntry, SlowLog, Thresholds};
use crate::signals::spent::Mark;
use crate::snapshot::{Exemplar, Exemplified};
use crate::trace::{self, Ending, RequestTree, Scope, TraceContext};

pub(crate) const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";
/// Methods that are labels; any other becomes `_OTHER`, as OpenTelemetry asks.
const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];
const OTHER: &str = "_OTHER";
/// Of one route, a request a second that failed has its spans kept.
const FAILURES_APART_NANOS: u64 = 1_000_000_000;
/// What most requests are answered with.
const USUAL_STATUS: u16 = 200;

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    /// Answered with this status.
    Status(u16),
    /// Not answered, or not to the end, with this type of error.
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
    usual: OnceLock<Histogram>,
    by_outcome: Resolved<Outcome, Histogram>,
    logs: RequestLogs,
    number: u32,
    exemplars_given: Given,
    /// When a request that failed was kept the last time, by the cycle counter.
    failure_kept: AtomicU64,
    slow_nanos: u64,
}

/// Where single requests are kept, beside what is counted of all.
#[derive(Debug, Clone)]
pub(crate) struct RequestLogs {
    pub(crate) slow: Arc<SlowLog>,
    pub(crate) open: Arc<OpenRequests>,
    pub(crate) exemplars: Arc<Exemplars>,
    #[cfg(all(feature = "tracing", feature = "otlp"))]
    pub(crate) outbox: Arc<trace::Outbox>,
}

/// A request being served. Finish it with its status; dropped unfinished it counts as cancelled, and as panicked when
/// a panic drops it.
#[derive(Debug)]
#[must_use = "dropping the guard counts the request as cancelled"]
pub struct RequestGuard {
    route: Route,
    start: Stamp,
    aside: Aside,
    slot: Option<Taken>,
    tree: RequestTree,
    /// Whether somebody may look the request up elsewhere.
    has_id: bool,
    /// Whether who drives the request tells its panics: then one that merely drops the guard is another's.
    pub(crate) is_driven: bool,
    is_finished: bool,
}

/// The method as a label: itself where it is a known one.
fn method_label(method: &str) -> &'static str {
    METHODS.into_iter().find(|known| known.eq_ignore_ascii_case(method)).unwrap_or(OTHER)
}

impl Route {
    /// Requests of `method` to `route`; without a route, those that no route matched.
    pub(crate) fn new(registry: &Arc<Registry>, logs: RequestLogs, method: &str, route: Option<&str>) -> Self {
        let labels = Labels::from_pairs([("http.request.method", method_label(method)), ("url.scheme", "http")]);
        let in_flight = registry.in_flight(ACTIVE, labels.clone(), Room::Reserved);
        let labels = match route {
            Some(route) => labels.with("http.route", route),
            None => labels,
        };
        let number = logs.open.number_of(&labels);
        logs.exemplars.prepare();
        Self(Arc::new(Series {
            registry: Arc::clone(registry),
            labels,
            in_flight,
            usual: OnceLock::new(),
            by_outcome: Resolved::new(),
            number,
            exemplars_given: Given::default(),
            failure_kept: AtomicU64::new(0),
            slow_nanos: u64::try_from(logs.slow.thresholds.request.as_nanos()).unwrap_or(u64::MAX),
            logs,
        }))
    }

    /// A request begins. Cost: one clock read, two relaxed `fetch_add`, and a slot among the open requests; with
    /// [spans](crate::trace), a place for them.
    #[inline]
    pub fn start(&self) -> RequestGuard {
        let series = &*self.0;
        series.in_flight.raise();
        let start = Stamp::now();
        RequestGuard {
            slot: series.logs.open.enter(series.number, start),
            route: self.clone(),
            start,
            aside: Aside::default(),
            tree: RequestTree::begin(|| trace::whose(start, series.number), start),
            has_id: false,
            is_driven: false,
            is_finished: false,
        }
    }

    #[inline]
    fn record(&self, outcome: Outcome, nanos: u64) {
        let series = &*self.0;
        if outcome == Outcome::Status(USUAL_STATUS) {
            series.usual.get_or_init(|| series.resolve(outcome)).record_units(nanos);
        } else {
            series.record_unusual(outcome, nanos);
        }
    }
}

impl Series {
    #[inline(never)]
    fn record_unusual(&self, outcome: Outcome, nanos: u64) {
        self.by_outcome.with(&outcome, || self.resolve(outcome), |histogram| histogram.record_units(nanos));
    }

    fn resolve(&self, outcome: Outcome) -> Histogram {
        self.registry.histogram(DURATION, outcome.of(self.labels.clone()), Room::Reserved)
    }
}

impl Outcome {
    /// Whether the service is to blame.
    fn is_failure(self) -> bool {
        matches!(self, Self::Status(500..) | Self::Failed(..) | Self::Panicked)
    }

    /// The labels of a route with those of the outcome, per the semantic conventions: the status is a label, and
    /// `error.type` is there only for failures.
    fn of(self, labels: Labels) -> Labels {
        match self {
            Self::Status(status @ 500..=599) => {
                let status = status.to_string();
                labels.with("error.type", status.clone()).with("http.response.status_code", status)
            }
            Self::Status(status @ 100..=599) => labels.with("http.response.status_code", status.to_string()),
            Self::Status(_) => labels.with("http.response.status_code", OTHER),
            Self::Failed(status, error_type) => {
                let labels = labels.with("error.type", error_type);
                match status {
                    Some(status) => labels.with("http.response.status_code", status.to_string()),
                    None => labels,
                }
            }
            Self::Cancelled => labels.with("error.type", "cancelled"),
            Self::Panicked => labels.with("error.type", "panic"),
        }
    }
}

impl RequestLogs {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self {
            slow: Arc::new(SlowLog::new(thresholds)),
            open: Arc::default(),
            exemplars: Arc::default(),
            #[cfg(all(feature = "tracing", feature = "otlp"))]
            outbox: Arc::default(),
        }
    }

    /// Bytes that are kept, beside the slow ones.
    pub(crate) fn bytes(&self) -> usize {
        match self.open.bytes() {
            0 => 0,
            open => open + Exemplars::BYTES,
        }
    }

    /// What stands for the buckets of request durations, by series.
    pub(crate) fn exemplars(&self) -> Exemplified {
        let routes = self.open.routes();
        let mut exemplars = Exemplified::default();
        for request in self.exemplars.all() {
            let Some(route) = routes.get(request.route as usize).copied().flatten() else { continue };
            let trace = request.trace.as_ref().and_then(open_requests::trace_id).map(|id| ("trace_id", id));
            let ids = trace.into_iter().chain(request.request_id.map(|id| ("request_id", id)));
            let labels = ids.map(|(name, id)| (name, id.as_str().to_owned())).collect();
            let exemplar = Exemplar { value: request.nanos as f64 / 1e9, at: request.at, labels };
            exemplars.add(DURATION, request.outcome.of(route.clone()), exemplar);
        }
        exemplars
    }
}

impl RequestGuard {
    /// The W3C trace that the request belongs to: the value of its header `traceparent`. Shown while the request is open, and
    /// kept with it when it is slow; its [spans](crate::trace) are part of that trace. What is no such value is ignored.
    pub fn traceparent(&mut self, value: &[u8]) {
        let Ok(parent) = TraceContext::parse(value) else { return };
        let Some(digits) = trace::trace_digits(value) else { return };
        self.has_id = true;
        self.aside.get_mut().trace = Some(digits);
        if let Some(slot) = &self.slot {
            self.route.0.logs.open.say_trace(slot, &digits);
        }
        self.tree.join(parent);
    }

    /// What other systems keep with that trace: a value of the header `tracestate`, passed on with outgoing requests. Ignored
    /// before a valid [`traceparent`](Self::traceparent), as is what is no such value.
    pub fn tracestate(&mut self, value: &[u8]) {
        if self.aside.get().is_some_and(|details| details.trace.is_some()) {
            self.tree.say_state(value);
        }
    }

    /// Until the scope is dropped, spans that this thread opens belong to the request.
    #[inline]
    pub(crate) fn scope(&self) -> Scope {
        self.tree.scope()
    }

    /// What the service calls the request: shown while the request is open, its first 40 bytes, and kept with it when it is
    /// slow. Said again of a request that is slow by then, the later one is kept.
    pub fn request_id(&mut self, id: &str) {
        self.has_id = true;
        if let Some(slot) = &self.slot {
            self.route.0.logs.open.say_id(slot, id);
        }
        if self.is_slow() {
            self.aside.get_mut().request_id = Some(Box::new(ShortText::new(id)));
        }
    }

    /// Whether the request has taken as long as slow ones do. Cost: one clock read.
    pub fn is_slow(&self) -> bool {
        self.is_slow_after(self.elapsed_nanos())
    }

    /// Nanoseconds since the request began.
    #[inline]
    pub(crate) fn elapsed_nanos(&self) -> u64 {
        self.start.elapsed_nanos()
    }

    /// Whether requests that have taken as long are slow.
    #[inline]
    pub(crate) fn is_slow_after(&self, nanos: u64) -> bool {
        nanos >= self.route.0.slow_nanos
    }

    /// Runs a part of the request's work: queries, waits for pools, cache look-ups and breakers' calls in it are added to
    /// what the request spent, and are among its [spans](crate::trace) with those that the service opens. For a future, that
    /// is each of its polls.
    pub fn spending<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let _scope = self.scope();
        let mark = Mark::now();
        let done = work();
        self.add_since(&mark);
        done
    }

    /// Adds what this thread has spent since `mark`; the end of a piece of work.
    #[inline]
    pub(crate) fn add_since(&mut self, mark: &Mark) {
        mark.add_to(|| &mut self.aside.get_mut().spent);
        if self.slot.is_none() {
            self.slot = self.route.0.logs.open.enter_late(self.route.0.number, self.start);
        }
    }

    #[cold]
    fn keep_slow(&mut self, outcome: Outcome, nanos: u64) {
        let entry = self.entry(outcome, nanos);
        self.route.0.logs.slow.requests.add(entry);
    }

    /// Keeps a request that failed, unless one of its route was kept just now.
    #[cold]
    fn keep_failed(&mut self, outcome: Outcome, nanos: u64) {
        let kept = &self.route.0.failure_kept;
        let before = kept.load(Ordering::Relaxed);
        let now = Stamp::now();
        if before == 0 || Stamp::of_cycles(before).nanos_until(now) >= FAILURES_APART_NANOS {
            kept.store(now.cycles(), Ordering::Relaxed);
            let entry = self.entry(outcome, nanos);
            self.route.0.logs.slow.failed.add(entry);
        } else {
            self.route.0.logs.slow.failed.pass_over();
            self.tree.drop_spans();
        }
    }

    /// The request as it is kept, with its spans.
    fn entry(&mut self, outcome: Outcome, nanos: u64) -> SlowEntry {
        let labels = self.route.0.labels.clone();
        let mut entry = SlowEntry::new(labels.clone(), nanos, Tick::now());
        let (status, error_type) = match outcome {
            Outcome::Status(status) => (Some(status), None),
            Outcome::Failed(status, error_type) => (status, Some(error_type)),
            Outcome::Cancelled => (None, Some("cancelled")),
            Outcome::Panicked => (None, Some("panic")),
        };
        entry.key = open_requests::key(self.start, self.route.0.number);
        entry.status = status;
        entry.error_type = error_type.map(ShortText::new);
        if let Some(context) = self.tree.context() {
            // from here on the trace can be looked up
            self.has_id = true;
            let digits = context.trace_id();
            self.aside.get_mut().trace = digits.as_bytes().first_chunk().copied();
        }
        entry.tree = self.tree.keep_spans(Ending { labels, nanos, status, error_type });
        #[cfg(all(feature = "tracing", feature = "otlp"))]
        entry.tree.iter().for_each(|tree| self.route.0.logs.outbox.put(tree));
        let details = self.aside.get();
        entry.trace_id = details.and_then(|details| details.trace.as_ref()).and_then(open_requests::trace_id);
        entry.request_id = self.newest_request_id();
        entry.spent = Some(details.map(|details| details.spent).unwrap_or_default());
        entry
    }

    fn newest_request_id(&self) -> Option<ShortText> {
        let said_early = || self.slot.as_ref().and_then(|slot| self.route.0.logs.open.id(slot));
        self.aside.get().and_then(|details| details.request_id.as_deref()).copied().or_else(said_early)
    }

    #[cold]
    fn keep_exemplar(&self, outcome: Outcome, nanos: u64, host: Option<TraceContext>) {
        let mut request = ExemplarRequest::new(self.route.0.number, outcome, nanos);
        let said = || self.aside.get().and_then(|details| details.trace);
        request.trace = host.map(TraceContext::digits).or_else(said);
        request.request_id = self.newest_request_id();
        if request.trace.is_some() || request.request_id.is_some() {
            self.route.0.logs.exemplars.keep(request);
        }
    }

    /// The request was answered with `status`.
    pub fn finish(mut self, status: u16) {
        self.end_after(self.elapsed_nanos(), status);
    }

    /// The request was answered with `status` when it had taken as long; it is over where it stands.
    #[inline]
    pub(crate) fn end_after(&mut self, nanos: u64, status: u16) {
        self.end(Outcome::Status(status), nanos);
    }

    /// The request was not answered, or not to the end; `status` is what the client had seen by then.
    pub fn failed(mut self, status: Option<u16>, error_type: &'static str) {
        self.end(Outcome::Failed(status, error_type), self.elapsed_nanos());
    }

    /// The handler panicked.
    pub fn panicked(mut self) {
        self.end(Outcome::Panicked, self.elapsed_nanos());
    }

    /// The request was dropped.
    #[cold]
    fn end_unfinished(&mut self) {
        let panicked = !self.is_driven && std::thread::panicking();
        self.end(if panicked { Outcome::Panicked } else { Outcome::Cancelled }, self.elapsed_nanos());
    }

    #[inline]
    fn end(&mut self, outcome: Outcome, nanos: u64) {
        self.is_finished = true;
        let host = if trace::HOST_IS_ASKED { self.tree.of_host() } else { None };
        self.route.record(outcome, nanos);
        if self.is_slow_after(nanos) {
            self.keep_slow(outcome, nanos);
        } else if !self.tree.is_none() {
            if outcome.is_failure() {
                self.keep_failed(outcome, nanos);
            } else {
                self.tree.drop_spans();
            }
        }
        let series = &*self.route.0;
        // what the host samples can be looked up where it exports to
        let has_id = self.has_id || host.is_some_and(|host| host.is_sampled());
        if has_id && series.exemplars_given.is_due(self.start, nanos) {
            self.keep_exemplar(outcome, nanos, host);
        }
        series.logs.open.leave(self.slot.take());
        series.in_flight.lower();
    }
}

impl Drop for RequestGuard {
    #[inline]
    fn drop(&mut self) {
        if !self.is_finished {
            self.end_unfinished();
        }
    }
}
