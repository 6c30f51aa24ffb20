//! What a target tells of single requests: those that are open, the slowest of the newest minutes and the newest that
//! failed, each with where its time went. Bounded and sanitised; how they are asked for and shown is not known here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::UnixMillis;
use serde::Deserialize;
use serde_json::Value;

use super::outcome::Failure;
use crate::text::Text;

/// What is asked for, beside the snapshot: requests that are open, and those that are kept.
pub(super) const QUERIES: [(&str, &str); 2] = [("inflight", "limit=20"), ("traces", "limit=20")];
/// How many requests of each list are taken.
const ROWS_MAX: usize = 20;
/// How many spans of a request, and events of a span, are taken; an agent keeps no more of a request.
const SPANS_MAX: usize = 256;
const EVENTS_MAX: usize = 32;
/// The longest time that is believed, in seconds: longer than any request, short enough for every sum.
const SECONDS_MAX: f64 = 1e9;

/// What one target told of its requests, and when it last did.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Which target, by its place in the list of targets.
    pub target: usize,
    /// The newest good answer; nothing before the first.
    pub told: Option<Arc<Told>>,
    /// Why the newest answer was none; nothing when it was good.
    pub failure: Option<Failure>,
}

impl Traces {
    /// An answer, or why there is none.
    pub(super) fn new(target: usize, answer: Result<Told, Failure>) -> Self {
        match answer {
            Ok(told) => Self { target, told: Some(Arc::new(told)), failure: None },
            Err(failure) => Self { target, told: None, failure: Some(failure) },
        }
    }

    /// This, with what was told `before` where this is only a failure of the same target.
    #[must_use]
    pub fn after(mut self, before: Option<Self>) -> Self {
        if self.told.is_none() {
            self.told = before.filter(|before| before.target == self.target).and_then(|before| before.told);
        }
        self
    }
}

/// What a target told of its requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// When, by our clock.
    pub at: UnixMillis,
    /// Open, slow and failed requests; one that is slow and failed is there once.
    pub requests: Vec<Traced>,
    /// How many are open.
    pub open: u64,
    /// How many were slow since the process started.
    pub slow: u64,
    /// How many failed since the process started.
    pub failed: u64,
    /// From how many seconds on a request is slow.
    pub slow_seconds: Option<f64>,
    /// How much time the kept requests are of.
    pub window: Duration,
    /// Whether the service has a layer that keeps spans.
    pub keeps_spans: bool,
}

/// Why a request is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is being served.
    Open,
    /// It ended, and was slow.
    Slow,
    /// It ended with a status of a server's error, or by a panic.
    Failed,
}

impl Stage {
    /// Its word on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// A single request.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// What identifies it among all that are told of: the same while it is open and when it is kept.
    pub identity: String,
    /// Why it is listed.
    pub stage: Stage,
    /// Its method.
    pub method: Text,
    /// The template it matched; nothing where it matched none.
    pub route: Option<Text>,
    /// How it was answered; nothing while it is open, and where it was not.
    pub status: Option<u16>,
    /// How it failed.
    pub error_type: Option<Text>,
    /// What the service or its client calls it.
    pub request_id: Option<Text>,
    /// The trace it is part of.
    pub trace_id: Option<Text>,
    /// How long it took, or has been open.
    pub seconds: f64,
    /// When it ended, by our clock; nothing while it is open.
    pub ended: Option<UnixMillis>,
    /// Where its time went, in the order of [`On`]; empty where that is not known.
    pub parts: Vec<Part>,
    /// What took most of it; of an open request what it waits for.
    pub most: Option<Most>,
    /// Its spans, those beneath a span behind it; nothing where none were kept.
    pub spans: Option<Vec<Branch>>,
    /// How many spans the target left out.
    pub spans_cut: u64,
}

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum On {
    /// Queries.
    Queries,
    /// Waiting for a connection of a pool.
    PoolWait,
    /// Asking caches.
    Cache,
    /// Calls to other services.
    Outbound,
    /// Spans of the service's own.
    Spans,
    /// Nothing that was observed.
    Own,
}

impl On {
    /// Its words on the screen.
    pub fn words(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::PoolWait => "pool wait",
            Self::Cache => "cache",
            Self::Outbound => "outbound",
            Self::Spans => "own spans",
            Self::Own => "own",
        }
    }
}

/// A part of a request's time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// On what.
    pub on: On,
    /// How much of it.
    pub seconds: f64,
    /// How often; nothing where that is not counted.
    pub count: Option<u64>,
}

/// What took most of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Most {
    /// What it is called.
    pub name: Text,
    /// How long it took, beneath it not counted; of an open request for how long it has been waiting.
    pub seconds: f64,
    /// How often.
    pub count: u64,
}

/// A span, or several of the same name beneath the same one.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// How many spans it is beneath.
    pub depth: usize,
    /// What it is called.
    pub name: Text,
    /// On what its time counts.
    pub on: On,
    /// How many spans it stands for.
    pub count: u64,
    /// How long they took together.
    pub seconds: f64,
    /// From when to when each was open, in seconds since the request began.
    pub open: Vec<(f64, f64)>,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it ended before its request did.
    pub ended: bool,
    /// Warnings and errors within it.
    pub events: Vec<Said>,
}

/// A warning or an error that was logged within a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it is an error.
    pub is_error: bool,
    /// What it says.
    pub message: Text,
}

/// Reads what [`QUERIES`] gave, which arrived `at`.
///
/// # Errors
/// Says why the bytes are not understood, as the end of a sentence that began with what was asked.
pub(super) fn read([open, kept]: &[Vec<u8>; 2], at: UnixMillis) -> Result<Told, String> {
    let explain = |what: &'static str| {
        move |error: serde_json::Error| format!("its {what} requests are not understood ({error})")
    };
    let open: wire::Open = serde_json::from_slice(open).map_err(explain("open"))?;
    let kept: wire::Kept = serde_json::from_slice(kept).map_err(explain("slow"))?;
    let when = |theirs: UnixMillis| at - open.ts_ms.since(theirs);
    let mut requests: Vec<Traced> = open.requests.into_iter().take(ROWS_MAX).map(wire::OpenRow::request).collect();
    let mut seen = HashSet::new();
    let failed = kept.failed.newest.into_iter().take(ROWS_MAX).map(|row| (Stage::Failed, row));
    let slow = kept.requests.slowest.into_iter().take(ROWS_MAX).map(|row| (Stage::Slow, row));
    for (stage, row) in failed.chain(slow) {
        let ended = row.ended_at_ms;
        let request = row.request(stage, when(ended));
        // one that is slow and failed is in both lists; ids that a client chose may come twice
        if seen.insert((request.identity.clone(), ended)) {
            requests.push(request);
        }
    }
    let mut times: HashMap<String, u32> = HashMap::new();
    for request in &mut requests {
        let nth = times.entry(request.identity.clone()).and_modify(|nth| *nth += 1).or_insert(1);
        if *nth > 1 {
            request.identity = format!("{} ({nth})", request.identity);
        }
    }
    Ok(Told {
        at,
        requests,
        open: open.count,
        slow: kept.requests.count,
        failed: kept.failed.count,
        slow_seconds: kept.thresholds.request_seconds.map(believed),
        window: Duration::from_secs_f64(believed(kept.window_seconds)),
        keeps_spans: kept.spans.is_some(),
    })
}

/// A number of seconds that can be added and drawn.
fn believed(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.clamp(0.0, SECONDS_MAX) } else { 0.0 }
}

/// What identifies a request: the service's id for it, else its trace, else when it was there.
fn identity(name: &str, ids: [Option<&Text>; 2], began_ms: UnixMillis) -> String {
    match ids.into_iter().flatten().next() {
        Some(id) => format!("{name} {id}"),
        None => format!("{name} of {began_ms}"),
    }
}

/// Spans in the order they began, with the place of the one each is beneath: those beneath a span behind it, and those of
/// one name that are alike as one.
fn branches(spans: Vec<wire::Span>) -> Vec<Branch> {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut beneath: Vec<Vec<usize>> = vec![Vec::new(); spans.len()];
    for (at, span) in spans.iter().enumerate() {
        // a span begins after the one it is beneath: what says otherwise is beneath the request
        let above = span.parent_span_id.as_ref().and_then(|parent| places.get(parent)).copied();
        if at > 0 {
            beneath[above.unwrap_or_default()].push(at);
        }
        places.entry(span.span_id.clone()).or_insert(at);
    }
    let mut rows = Vec::new();
    let mut ahead: Vec<(usize, usize)> = if spans.is_empty() { vec![] } else { vec![(0, 0)] };
    let mut taken = vec![false; spans.len()];
    while let Some((at, depth)) = ahead.pop() {
        if taken[at] {
            continue;
        }
        taken[at] = true;
        let mut row = spans[at].branch(depth);
        let is_plain = |at: usize| beneath[at].is_empty() && spans[at].is_plain();
        if at > 0 && is_plain(at) {
            let alike = ahead.iter().filter(|(other, deep)| {
                *deep == depth
                    && is_plain(*other)
                    && spans[*other].name == spans[at].name
                    && spans[*other].ended == spans[at].ended
            });
            // those ahead of the same depth are beneath the same span; the next one is the last
            let alike: Vec<usize> = alike.map(|(other, _)| *other).collect();
            for other in alike.into_iter().rev() {
                taken[other] = true;
                row.add(&spans[other]);
            }
        }
        rows.push(row);
        ahead.extend(beneath[at].iter().rev().map(|below| (*below, depth + 1)));
    }
    rows
}

/// What took most of a request: its own work or the name with the most time that is not spent beneath it; without spans
/// its largest part.
fn most(branches: Option<&[Branch]>, parts: &[Part]) -> Option<Most> {
    let (of_part, named) = match branches {
        None => (parts.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds)), None),
        Some(branches) => (parts.iter().find(|part| part.on == On::Own), most_named(branches)),
    };
    let words = |on: On| Text::new(if on == On::Own { "own work" } else { on.words() });
    let of_part =
        of_part.map(|part| Most { name: words(part.on), seconds: part.seconds, count: part.count.unwrap_or(1) });
    [named, of_part].into_iter().flatten().max_by(|a, b| a.seconds.total_cmp(&b.seconds))
}

fn most_named(branches: &[Branch]) -> Option<Most> {
    let mut by_name: BTreeMap<&Text, (f64, u64)> = BTreeMap::new();
    for (at, branch) in branches.iter().enumerate().skip(1) {
        let beneath = branches[at + 1..].iter().take_while(|below| below.depth > branch.depth);
        let within: f64 = beneath.filter(|below| below.depth == branch.depth + 1).map(|below| below.seconds).sum();
        let entry = by_name.entry(&branch.name).or_default();
        entry.0 += (branch.seconds - within).max(0.0);
        entry.1 += branch.count;
    }
    let most = by_name.into_iter().max_by(|(_, (a, _)), (_, (b, _))| a.total_cmp(b))?;
    let (name, (seconds, count)) = most;
    Some(Most { name: name.clone(), seconds, count })
}

/// The documents as they are sent; what is not read here is passed over.
mod wire {
    use super::*;

    #[derive(Debug, Deserialize)]
    pub(super) struct Open {
        pub(super) ts_ms: UnixMillis,
        #[serde(default)]
        pub(super) count: u64,
        pub(super) requests: Vec<OpenRow>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct OpenRow {
        method: Option<String>,
        route: Option<String>,
        began_at_ms: UnixMillis,
        age_seconds: f64,
        request_id: Option<String>,
        trace_id: Option<String>,
        waits_for: Option<Wait>,
    }

    #[derive(Debug, Deserialize)]
    struct Wait {
        name: String,
        seconds: f64,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Kept {
        #[serde(default)]
        pub(super) window_seconds: f64,
        #[serde(default)]
        pub(super) thresholds: Thresholds,
        pub(super) requests: Slowest,
        pub(super) failed: Newest,
        pub(super) spans: Option<Value>,
    }

    #[derive(Debug, Default, Deserialize)]
    pub(super) struct Thresholds {
        pub(super) request_seconds: Option<f64>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Slowest {
        pub(super) count: u64,
        pub(super) slowest: Vec<Row>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Newest {
        pub(super) count: u64,
        pub(super) newest: Vec<Row>,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Row {
        method: Option<String>,
        route: Option<String>,
        status: Option<u16>,
        error_type: Option<String>,
        request_id: Option<String>,
        trace_id: Option<String>,
        duration_seconds: f64,
        pub(super) ended_at_ms: UnixMillis,
        spent: Option<BTreeMap<String, Spent>>,
        split: Option<Split>,
        cut: Option<Cut>,
        spans: Option<Vec<Span>>,
    }

    #[derive(Debug, Deserialize)]
    struct Spent {
        count: u64,
        seconds: f64,
    }

    #[derive(Debug, Deserialize)]
    struct Split {
        own_seconds: f64,
        spans_seconds: f64,
        queries_seconds: f64,
        pool_wait_seconds: f64,
        cache_seconds: f64,
        outbound_seconds: f64,
    }

    #[derive(Debug, Deserialize)]
    struct Cut {
        #[serde(default)]
        spans: u64,
    }

    #[derive(Debug, Deserialize)]
    pub(super) struct Span {
        pub(super) span_id: String,
        pub(super) parent_span_id: Option<String>,
        pub(super) name: String,
        share: Option<String>,
        offset_seconds: f64,
        duration_seconds: f64,
        status: Option<String>,
        #[serde(default)]
        pub(super) ended: bool,
        #[serde(default)]
        events: Vec<Event>,
    }

    #[derive(Debug, Deserialize)]
    struct Event {
        level: String,
        message: String,
    }

    fn text(raw: Option<&String>) -> Option<Text> {
        raw.map(|raw| Text::new(raw)).filter(|text| !text.is_empty())
    }

    fn name(method: &Text, route: Option<&Text>) -> String {
        format!("{method} {}", route.map_or("(no route)", Text::as_str))
    }

    impl OpenRow {
        pub(super) fn request(self) -> Traced {
            let method = text(self.method.as_ref()).unwrap_or_else(|| Text::new("?"));
            let (route, request_id) = (text(self.route.as_ref()), text(self.request_id.as_ref()));
            let trace_id = text(self.trace_id.as_ref());
            let most = self.waits_for.map(|wait| Most {
                name: Text::new(&wait.name),
                seconds: believed(wait.seconds),
                count: 1,
            });
            let ids = [request_id.as_ref(), trace_id.as_ref()];
            Traced {
                identity: identity(&name(&method, route.as_ref()), ids, self.began_at_ms),
                stage: Stage::Open,
                method,
                route,
                status: None,
                error_type: None,
                request_id,
                trace_id,
                seconds: believed(self.age_seconds),
                ended: None,
                parts: vec![],
                most,
                spans: None,
                spans_cut: 0,
            }
        }
    }

    impl Row {
        pub(super) fn request(self, stage: Stage, ended: UnixMillis) -> Traced {
            let method = text(self.method.as_ref()).unwrap_or_else(|| Text::new("?"));
            let (route, request_id) = (text(self.route.as_ref()), text(self.request_id.as_ref()));
            let trace_id = text(self.trace_id.as_ref());
            let seconds = believed(self.duration_seconds);
            let began = self.ended_at_ms - Duration::from_secs_f64(seconds);
            let ids = [request_id.as_ref(), trace_id.as_ref()];
            let left_out = self.spans.as_ref().map_or(0, |spans| spans.len().saturating_sub(SPANS_MAX));
            let spans = self.spans.map(|mut spans| {
                spans.truncate(SPANS_MAX);
                branches(spans)
            });
            let spans = spans.filter(|spans| !spans.is_empty());
            let parts = parts(self.split.as_ref(), self.spent.as_ref(), seconds);
            Traced {
                identity: identity(&name(&method, route.as_ref()), ids, began),
                stage,
                method,
                route,
                status: self.status,
                error_type: text(self.error_type.as_ref()),
                request_id,
                trace_id,
                seconds,
                ended: Some(ended),
                most: most(spans.as_deref(), &parts),
                parts,
                spans,
                spans_cut: self.cut.map_or(0, |cut| cut.spans) + left_out as u64,
            }
        }
    }

    /// What a request's time went to: as its spans say, else by what it spent, the rest being its own.
    fn parts(split: Option<&Split>, spent: Option<&BTreeMap<String, Spent>>, seconds: f64) -> Vec<Part> {
        let counted = |name: &str| spent.and_then(|spent| spent.get(name));
        let part = |on: On, name: &str, seconds: Option<f64>| {
            let known = counted(name);
            let seconds = seconds.or_else(|| known.map(|spent| spent.seconds)).map_or(0.0, believed);
            Part { on, seconds, count: known.map(|spent| spent.count) }
        };
        if split.is_none() && spent.is_none() {
            return vec![];
        }
        let of = |read: fn(&Split) -> f64| split.map(read);
        let mut parts = vec![
            part(On::Queries, "queries", of(|split| split.queries_seconds)),
            part(On::PoolWait, "pool_wait", of(|split| split.pool_wait_seconds)),
            part(On::Cache, "cache", of(|split| split.cache_seconds)),
            part(On::Outbound, "outbound", of(|split| split.outbound_seconds)),
            part(On::Spans, "", of(|split| split.spans_seconds)),
        ];
        let observed: f64 = parts.iter().map(|part| part.seconds).sum();
        let own = split.map_or_else(|| (seconds - observed).max(0.0), |split| believed(split.own_seconds));
        parts.push(Part { on: On::Own, seconds: own, count: None });
        parts.retain(|part| part.seconds > 0.0 || part.count.is_some_and(|count| count > 0));
        parts
    }

    impl Span {
        /// On what its time counts.
        fn on(&self) -> On {
            match self.share.as_deref() {
                Some("own") => On::Own,
                Some("queries") => On::Queries,
                Some("pool_wait") => On::PoolWait,
                Some("cache") => On::Cache,
                Some("outbound") => On::Outbound,
                _ => On::Spans,
            }
        }

        fn failed(&self) -> bool {
            self.status.as_deref() == Some("error")
        }

        /// Whether nothing of it is lost where it is counted with others.
        pub(super) fn is_plain(&self) -> bool {
            !self.failed() && self.events.is_empty()
        }

        fn open(&self) -> (f64, f64) {
            let began = believed(self.offset_seconds);
            (began, began + believed(self.duration_seconds))
        }

        pub(super) fn branch(&self, depth: usize) -> Branch {
            let said = |event: &Event| Said { is_error: event.level == "ERROR", message: Text::new(&event.message) };
            Branch {
                depth,
                name: Text::new(&self.name),
                on: self.on(),
                count: 1,
                seconds: believed(self.duration_seconds),
                open: vec![self.open()],
                failed: self.failed(),
                ended: self.ended,
                events: self.events.iter().take(EVENTS_MAX).map(said).collect(),
            }
        }
    }

    impl Branch {
        /// Counts a span of the same name with it.
        pub(super) fn add(&mut self, span: &Span) {
            self.count += 1;
            self.seconds += believed(span.duration_seconds);
            self.open.push(span.open());
        }
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use serde_json::{Value, json};

    use super::{Traces, UnixMillis, read};

    impl Traces {
        /// What a target told with these documents.
        pub(crate) fn of(target: usize, documents: &[Value; 2]) -> Self {
            let bodies = documents.each_ref().map(|document| document.to_string().into_bytes());
            Self::new(target, Ok(read(&bodies, UnixMillis(1_000_000)).expect("a document of this file")))
        }
    }

    /// The document of open requests: one that waits for a query.
    pub(crate) fn open() -> Value {
        json!({
            "schema_version": 1, "timestamp": "", "ts_ms": 1_000_000, "count": 7, "unlisted": 0,
            "requests": [{
                "method": "GET", "route": "/carts/{id}", "began_at": "", "began_at_ms": 999_600, "age_seconds": 0.4,
                "request_id": "r-1", "trace_id": null,
                "waits_for": {"kind": "queries", "name": "SELECT carts", "seconds": 0.3},
            }],
        })
    }

    /// A span as it is sent.
    pub(crate) fn span(id: &str, parent: Option<&str>, name: &str, (offset, seconds): (f64, f64)) -> Value {
        let share = if parent.is_some() { "queries" } else { "own" };
        json!({
            "span_id": id, "parent_span_id": parent, "name": name, "target": null, "kind": "client", "share": share,
            "offset_seconds": offset, "duration_seconds": seconds, "status": "unset", "ended": true, "events": [],
        })
    }

    /// A kept request as it is sent.
    pub(crate) fn row(request_id: &str, ended_at_ms: u64, spans: Option<Vec<Value>>) -> Value {
        json!({
            "method": "POST", "route": "/orders", "status": 201, "error_type": null, "request_id": request_id,
            "trace_id": "cc77cf5ac58c82839a53d42dd3892651", "duration_seconds": 0.6, "ended_at_ms": ended_at_ms,
            "spent": {"queries": {"count": 3, "seconds": 0.5}, "pool_wait": {"count": 3, "seconds": 0.01}},
            "split": spans.as_ref().map(|_| json!({
                "own_seconds": 0.08, "spans_seconds": 0.0, "queries_seconds": 0.5, "pool_wait_seconds": 0.02,
                "cache_seconds": 0.0, "outbound_seconds": 0.0,
            })),
            "cut": {"spans": 2}, "spans": spans,
        })
    }

    /// The document of kept requests.
    pub(crate) fn kept(slowest: &[Value], newest: &[Value]) -> Value {
        json!({
            "schema_version": 1, "window_seconds": 300.0, "thresholds": {"request_seconds": 0.5},
            "requests": {"count": 12, "missed": 0, "slowest": slowest},
            "failed": {"count": 4, "missed": 0, "newest": newest},
            "queries": {"count": 0, "missed": 0, "slowest": []},
            "spans": {"missed": 0},
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::fixture::{kept, open, row, span};
    use super::*;

    /// When the answer arrived: our clock is ten minutes behind the target's.
    const AT: UnixMillis = UnixMillis(400_000);

    fn told(kept: &Value) -> Told {
        read(&[open().to_string().into_bytes(), kept.to_string().into_bytes()], AT).unwrap()
    }

    fn shape(branches: &[Branch]) -> Vec<(usize, &str, u64)> {
        branches.iter().map(|branch| (branch.depth, branch.name.as_str(), branch.count)).collect()
    }

    #[test]
    fn a_request_that_is_slow_and_failed_is_told_once_and_ends_by_our_clock() {
        let both = row("r-2", 998_000, None);
        let told = told(&kept(&[both.clone(), row("r-3", 997_000, None)], &[both]));
        let stages: Vec<(Stage, &str)> =
            told.requests.iter().map(|one| (one.stage, one.request_id.as_ref().unwrap().as_str())).collect();
        assert_eq!(stages, [(Stage::Open, "r-1"), (Stage::Failed, "r-2"), (Stage::Slow, "r-3")]);
        assert_eq!((told.requests[0].ended, told.requests[1].ended), (None, Some(UnixMillis(398_000))));
        assert_eq!((told.open, told.slow, told.failed, told.slow_seconds), (7, 12, 4, Some(0.5)));
        assert_eq!((told.window, told.keeps_spans), (Duration::from_mins(5), true));
    }

    #[test]
    fn an_open_request_says_what_it_waits_for_and_keeps_its_identity_when_it_ends() {
        let mut ended = row("r-1", 1_000_000, None);
        (ended["method"], ended["route"]) = (json!("GET"), json!("/carts/{id}"));
        let told = told(&kept(&[ended], &[]));
        let waits = told.requests[0].most.as_ref().unwrap();
        assert_eq!((waits.name.as_str(), waits.seconds), ("SELECT carts", 0.3));
        assert_eq!(told.requests[0].identity, "GET /carts/{id} r-1");
        assert_eq!(told.requests[1].identity, "GET /carts/{id} r-1 (2)", "seen in both documents, it is not lost");
    }

    #[test]
    fn two_requests_with_one_id_are_two_rows() {
        let told = told(&kept(&[row("same", 1, None), row("same", 2, None)], &[]));
        let identities: HashSet<&str> = told.requests.iter().map(|one| one.identity.as_str()).collect();
        assert_eq!(identities.len(), 3);
    }

    #[test]
    fn spans_stand_beneath_what_they_are_part_of_and_alike_ones_are_one() {
        let spans = vec![
            span("a", Some("of-another-service"), "POST /orders", (0.0, 0.6)),
            span("b", Some("a"), "load", (0.01, 0.2)),
            span("c", Some("a"), "SELECT stock", (0.02, 0.1)),
            span("d", Some("b"), "SELECT cart", (0.03, 0.05)),
            span("e", Some("a"), "SELECT stock", (0.3, 0.1)),
            span("f", Some("b"), "SELECT cart", (0.1, 0.1)),
        ];
        let told = told(&kept(&[row("r", 1, Some(spans))], &[]));
        let request = &told.requests[1];
        let branches = request.spans.as_ref().unwrap();
        let expected = [(0, "POST /orders", 1), (1, "load", 1), (2, "SELECT cart", 2), (1, "SELECT stock", 2)];
        assert_eq!(shape(branches), expected);
        assert_eq!(branches[3].open.len(), 2);
        assert!((branches[3].seconds - 0.2).abs() < 1e-9);
        let most = request.most.as_ref().unwrap();
        assert_eq!((most.name.as_str(), most.count), ("SELECT stock", 2));
        assert_eq!((request.spans_cut, request.parts[0].count), (2, Some(3)));
        assert_eq!(request.parts.iter().map(|part| part.on).collect::<Vec<_>>(), [On::Queries, On::PoolWait, On::Own]);
    }

    #[test]
    fn a_span_that_failed_or_said_something_is_not_counted_with_others() {
        let mut failed = span("c", Some("a"), "SELECT stock", (0.2, 0.1));
        failed["status"] = json!("error");
        let mut said = span("d", Some("a"), "SELECT stock", (0.3, 0.1));
        said["events"] = json!([{"level": "WARN", "message": "slow\u{1b}[2J"}]);
        let spans = vec![
            span("a", None, "POST /orders", (0.0, 0.6)),
            span("b", Some("a"), "SELECT stock", (0.1, 0.1)),
            failed,
            said,
            span("e", Some("a"), "SELECT stock", (0.4, 0.1)),
        ];
        let told = told(&kept(&[row("r", 1, Some(spans))], &[]));
        let branches = told.requests[1].spans.as_ref().unwrap();
        let counts: Vec<(u64, bool, usize)> =
            branches.iter().map(|it| (it.count, it.failed, it.events.len())).collect();
        assert_eq!(counts, [(1, false, 0), (2, false, 0), (1, true, 0), (1, false, 1)]);
        assert_eq!(branches[3].events[0], Said { is_error: false, message: "slow\u{fffd}[2J".into() });
    }

    #[test]
    fn a_request_of_its_own_work_says_so_and_without_spans_its_largest_part_is_named() {
        let spans = vec![span("a", None, "POST /orders", (0.0, 0.6)), span("b", Some("a"), "SELECT x", (0.0, 0.01))];
        let told = told(&kept(&[row("r", 1, Some(spans)), row("s", 2, None)], &[]));
        let most = |at: usize| told.requests[at].most.as_ref().map(|most| (most.name.as_str(), most.count)).unwrap();
        assert_eq!((most(1), most(2)), (("own work", 1), ("queries", 3)));
        let own = told.requests[2].parts.last().unwrap();
        assert!(own.on == On::Own && (own.seconds - 0.09).abs() < 1e-9, "{own:?}");
    }

    #[test]
    fn what_is_not_understood_is_explained() {
        let good = open().to_string().into_bytes();
        for (bodies, said) in [
            ([b"<html>".to_vec(), good.clone()], "its open requests are not understood"),
            ([good.clone(), b"{}".to_vec()], "its slow requests are not understood (missing field"),
        ] {
            let why = read(&bodies, AT).unwrap_err();
            assert!(why.starts_with(said), "{why}");
        }
    }

    #[test]
    fn a_failure_keeps_what_the_same_target_told_before() {
        let before = Traces::new(3, Ok(told(&kept(&[], &[]))));
        let failed = |target| Traces::new(target, Err(Failure::new("no answer")));
        assert!(failed(3).after(Some(before.clone())).told.is_some());
        assert!(failed(4).after(Some(before)).told.is_none());
    }

    proptest! {
        #[test]
        fn any_tree_keeps_every_span_once(
            parents in prop::collection::vec((0_u8..12, 0_u8..12, any::<f64>(), any::<f64>(), any::<bool>()), 0..300),
        ) {
            let span = |(at, (id, parent, offset, seconds, failed)): (usize, &(u8, u8, f64, f64, bool))| {
                let name = format!("span {}", at % 3);
                let mut span = span(&id.to_string(), Some(&parent.to_string()), &name, (*offset, *seconds));
                if *failed { span["status"] = json!("error"); }
                for field in ["offset_seconds", "duration_seconds"] {
                    if span[field].is_null() { span[field] = json!(0.0); }
                }
                span
            };
            let spans: Vec<Value> = parents.iter().enumerate().map(span).collect();
            let told = told(&kept(&[row("r", 1, Some(spans))], &[]));
            let request = &told.requests[1];
            let branches = request.spans.as_deref().unwrap_or_default();
            let kept: u64 = branches.iter().map(|branch| branch.count).sum();
            prop_assert_eq!(kept + request.spans_cut, parents.len() as u64 + 2);
            prop_assert!(branches.iter().skip(1).all(|branch| branch.depth > 0));
            prop_assert!(branches.windows(2).all(|pair| pair[1].depth <= pair[0].depth + 1));
            prop_assert!(branches.iter().all(|branch| branch.seconds.is_finite() && branch.seconds >= 0.0));
        }
    }
}
