//! The documents as they are sent, and each of their rows as a request; what is not read here is passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use heartline_shared::UnixMillis;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::at_most::AtMost;
use super::tree::{branches, most};
use super::{Branch, EVENTS_MAX, Most, On, Part, ROWS_MAX, SERVER_ERRORS, SPANS_MAX, Said, Stage, Traced, believed};
use crate::text::Text;

#[derive(Debug, Deserialize)]
pub(super) struct Open {
    pub(super) ts_ms: UnixMillis,
    #[serde(default)]
    pub(super) count: u64,
    pub(super) requests: AtMost<OpenRow, ROWS_MAX>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OpenRow {
    key: Option<String>,
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
    /// What is counted of spans; only whether there is any matters here.
    pub(super) spans: Option<IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Thresholds {
    pub(super) request_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Slowest {
    pub(super) count: u64,
    pub(super) slowest: AtMost<Row, ROWS_MAX>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Newest {
    pub(super) count: u64,
    pub(super) newest: AtMost<Row, ROWS_MAX>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Row {
    key: Option<String>,
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
    spans: Option<AtMost<Span, SPANS_MAX>>,
}

#[derive(Debug, Deserialize)]
struct Spent {
    count: u64,
    seconds: f64,
}

#[derive(Debug, Deserialize)]
struct Split {
    #[serde(rename = "own_seconds")]
    own: f64,
    #[serde(rename = "spans_seconds")]
    spans: f64,
    #[serde(rename = "queries_seconds")]
    queries: f64,
    #[serde(rename = "pool_wait_seconds")]
    pool_wait: f64,
    #[serde(rename = "cache_seconds")]
    cache: f64,
    #[serde(rename = "outbound_seconds")]
    outbound: f64,
}

#[derive(Debug, Deserialize)]
struct Cut {
    #[serde(default)]
    spans: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Span {
    #[serde(rename = "span_id")]
    pub(super) id: String,
    #[serde(rename = "parent_span_id")]
    pub(super) parent: Option<String>,
    pub(super) name: String,
    share: Option<String>,
    offset_seconds: f64,
    duration_seconds: f64,
    status: Option<String>,
    #[serde(default)]
    pub(super) ended: bool,
    #[serde(default)]
    events: AtMost<Event, EVENTS_MAX>,
}

#[derive(Debug, Deserialize)]
struct Event {
    level: String,
    message: String,
}

fn text(raw: Option<&String>) -> Option<Text> {
    raw.map(|raw| Text::new(raw)).filter(|text| !text.is_empty())
}

impl OpenRow {
    pub(super) fn request(self) -> Traced {
        let method = text(self.method.as_ref()).unwrap_or_else(|| Text::new("?"));
        let (route, request_id) = (text(self.route.as_ref()), text(self.request_id.as_ref()));
        let trace_id = text(self.trace_id.as_ref());
        let most =
            self.waits_for.map(|wait| Most { name: Text::new(&wait.name), seconds: believed(wait.seconds), count: 1 });
        Traced {
            identity: identity(self.key.as_ref(), (&method, route.as_ref()), self.began_at_ms),
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
    /// Slow, unless it failed: a request that did both is sent among the slow ones.
    fn stage(&self) -> Stage {
        let is_error = |kind: &String| kind != "cancelled";
        let failed =
            self.status.is_some_and(|status| status >= SERVER_ERRORS) || self.error_type.as_ref().is_some_and(is_error);
        if failed { Stage::Failed } else { Stage::Slow }
    }

    pub(super) fn request(self, ended: UnixMillis) -> Traced {
        let stage = self.stage();
        let method = text(self.method.as_ref()).unwrap_or_else(|| Text::new("?"));
        let (route, request_id) = (text(self.route.as_ref()), text(self.request_id.as_ref()));
        let trace_id = text(self.trace_id.as_ref());
        let seconds = believed(self.duration_seconds);
        let began = self.ended_at_ms - Duration::from_secs_f64(seconds);
        let left_out = self.spans.as_ref().map_or(0, |spans| spans.more);
        let spans = self.spans.map(|spans| branches(&spans.items));
        let spans = spans.filter(|spans| !spans.is_empty());
        let parts = parts(self.split.as_ref(), self.spent.as_ref(), seconds);
        Traced {
            identity: identity(self.key.as_ref(), (&method, route.as_ref()), began),
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
            spans_cut: self.cut.map_or(0, |cut| cut.spans) + left_out,
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
        part(On::Queries, "queries", of(|split| split.queries)),
        part(On::PoolWait, "pool_wait", of(|split| split.pool_wait)),
        part(On::Cache, "cache", of(|split| split.cache)),
        part(On::Outbound, "outbound", of(|split| split.outbound)),
        part(On::Spans, "", of(|split| split.spans)),
    ];
    let observed: f64 = parts.iter().map(|part| part.seconds).sum();
    let own = split.map_or_else(|| (seconds - observed).max(0.0), |split| believed(split.own));
    parts.push(Part { on: On::Own, seconds: own, count: None });
    parts.retain(|part| part.seconds > 0.0);
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
        !self.failed() && self.events.items.is_empty()
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
            events: self.events.items.iter().map(said).collect(),
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

/// What identifies a request: the target's key for it, else what it asked for and when it began.
fn identity(key: Option<&String>, (method, route): (&Text, Option<&Text>), began: UnixMillis) -> String {
    let asked = || format!("{method} {} of {began}", route.map_or("", Text::as_str));
    key.map_or_else(asked, |key| Text::new(key).to_string())
}
