//! The slowest requests and queries of the newest minutes, and requests that failed, as documents; how they are kept is not known here.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::server::answer::JSON;
use crate::server::parameters::{Form, Parameter};
use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Document, Handler, Reply, Route, Verb};
use crate::signals::{SLOW_WINDOW, ShortText, SlowEntry, Spending, Spent};

use super::{open, spans};

/// Rows of each list unless asked for more or fewer.
const LIMIT_DEFAULT: usize = 20;
const TRACE_DIGITS: usize = 32;

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/traces",
    aliases: &[],
    credential: Credential::Read,
    parameters: &[
        Parameter { name: "limit", form: Form::Integer { min: 1, max: 64 }, about: "How many of each; 20 without it." },
        Parameter {
            name: "trace_id",
            form: Form::Own(trace_id_schema),
            about: "Only requests of this trace; all without it.",
        },
        Parameter {
            name: "spans",
            form: Form::Choice(&["all", "none"]),
            about: "Whether requests come with their spans; all without it.",
        },
    ],
    body: None,
    about: "The slowest requests of the newest five minutes with what each spent and its spans, the newest that failed, and the \
            slowest queries.",
    documents: &[Document {
        status: 200,
        content_type: JSON,
        about: "The slowest first, of those that failed the newest.",
        schema: slow_schema,
    }],
    problems: &[400, 503],
    handler: Handler::Now(slowest),
}];

fn slowest(call: &Call) -> Reply {
    let log = call.state.fresh.source().slow();
    let log = log.ok_or_else(|| Problem::unavailable("slow requests are not kept here"))?;
    let limit = call.query.integer("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT);
    let trace = call.query.text("trace_id").map(trace_id).transpose()?;
    let shows_spans = call.query.choice("spans") != Some("none");
    let is_wanted = |entry: &SlowEntry| {
        let own = entry.trace_id.as_ref().map(ShortText::as_str);
        trace.is_none_or(|trace| own.is_some_and(|own| own.eq_ignore_ascii_case(trace)))
    };
    let request = |entry: &SlowEntry| request(entry, shows_spans);
    let seconds = |threshold: Duration| threshold.as_secs_f64();
    Ok(call.json(&json!({
        "schema_version": 1,
        "window_seconds": SLOW_WINDOW.as_secs_f64(),
        "thresholds": {
            "request_seconds": seconds(log.thresholds.request),
            "very_slow_request_seconds": seconds(log.thresholds.very_slow_request),
            "query_seconds": seconds(log.thresholds.query),
        },
        "requests": list("slowest", log.requests.slowest(call.now), |slowest| {
            slowest.filter(|entry| is_wanted(entry)).take(limit).map(request).collect()
        }),
        "failed": list("newest", log.failed.newest(call.now), |newest| {
            newest.filter(|entry| is_wanted(entry)).take(limit).map(request).collect()
        }),
        "queries": list("slowest", log.queries.slowest(call.now), |slowest| slowest.take(limit).map(query).collect()),
        "spans": spans::counted(call.state.fresh.source().spans_pushed()),
    })))
}

/// One list: how many there were since the start, how many of them came while it was being read, and the rows.
fn list(
    name: &str,
    (entries, seen, missed): (Vec<SlowEntry>, u64, u64),
    rows: impl FnOnce(std::slice::Iter<'_, SlowEntry>) -> Vec<Value>,
) -> Value {
    json!({"count": seen, "missed": missed, name: rows(entries.iter())})
}

/// The digits of a trace, if it is one.
fn trace_id(text: &str) -> Result<&str, Problem> {
    let is_id = text.len() == TRACE_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(text).ok_or_else(|| {
        Problem::bad_request(format!("parameter `trace_id` is {text:?}; a trace is {TRACE_DIGITS} hexadecimal digits"))
    })
}

fn trace_id_schema() -> Value {
    json!({"type": "string", "pattern": "^[0-9a-fA-F]{32}$"})
}

fn request(entry: &SlowEntry, shows_spans: bool) -> Value {
    let label = |name: &str| entry.labels.value(name);
    let tree = entry.tree.as_deref().filter(|_| shows_spans);
    let mut row = json!({
        "key": format!("{:016x}", entry.key),
        "ended_at": entry.at.to_string(),
        "ended_at_ms": entry.at,
        "duration_seconds": entry.nanos as f64 / 1e9,
        "method": label("http.request.method"),
        "route": label("http.route"),
        "status": entry.status,
        "error_type": text(entry.error_type.as_ref()),
        "request_id": text(entry.request_id.as_ref()),
        "trace_id": text(entry.trace_id.as_ref()),
        "spent": entry.spent.as_ref().map(spent),
    });
    if let Value::Object(row) = &mut row {
        row.extend(tree.map_or_else(spans::none, spans::document));
    }
    row
}

fn query(entry: &SlowEntry) -> Value {
    json!({
        "ended_at": entry.at.to_string(),
        "ended_at_ms": entry.at,
        "duration_seconds": entry.nanos as f64 / 1e9,
        "system": entry.labels.value("db.system.name"),
        "summary": entry.labels.value("db.query.summary"),
        "error_type": text(entry.error_type.as_ref()),
    })
}

fn text(text: Option<&ShortText>) -> Option<&str> {
    text.map(ShortText::as_str)
}

fn spent(spent: &Spent) -> Value {
    let share = |on: Spending| {
        let share = spent.on(on);
        (on.name().to_owned(), json!({"count": share.count, "seconds": share.nanos as f64 / 1e9}))
    };
    Value::Object(Spending::ALL.into_iter().map(share).collect::<Map<_, _>>())
}

fn slow_schema() -> Value {
    let times = || {
        json!({
            "ended_at": {"type": "string", "format": "date-time"},
            "ended_at_ms": {"type": "integer", "minimum": 0},
            "duration_seconds": {"type": "number", "minimum": 0},
            "error_type": {"type": ["string", "null"]},
        })
    };
    let list = |name: &str, properties: &Value| {
        let mut required = vec!["ended_at", "ended_at_ms", "duration_seconds"];
        if properties.get("spans").is_some() {
            required.extend(["key", "trace_id", "span_id", "parent_span_id", "spans", "split", "cut"]);
        }
        json!({
            "type": "object",
            "required": ["count", "missed", name],
            "properties": {
                "count": {"type": "integer", "minimum": 0},
                "missed": {"type": "integer", "minimum": 0},
                name: {"type": "array", "items": {"type": "object", "required": required, "properties": properties}},
            },
        })
    };
    let mut request = spans::properties();
    let more = json!({
        "key": open::key_schema(),
        "method": {"type": ["string", "null"]},
        "route": {"type": ["string", "null"], "description": "The template; null where no route matched."},
        "status": {"type": ["integer", "null"]},
        "request_id": {"type": ["string", "null"]},
        "trace_id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{32}$"},
    });
    for part in [times(), more] {
        if let (Value::Object(request), Value::Object(part)) = (&mut request, part) {
            request.extend(part);
        }
    }
    let counted = json!({
        "type": ["object", "null"],
        "description": "What this process counts of spans; null where the service has no layer for them.",
        "properties": {
            "requests_without_spans": {"type": "integer", "minimum": 0, "description": "Too many were open."},
            "missed": {"type": "integer", "minimum": 0, "description": "Spans and ends of spans that another thread was in the way of."},
            "unkept": {"type": "integer", "minimum": 0, "description": "Requests to be kept for which there was no memory."},
            "exported": {"type": ["integer", "null"], "minimum": 0, "description": "Requests whose spans were pushed; null where they are not."},
            "not_exported": {"type": ["integer", "null"], "minimum": 0, "description": "Requests whose spans no receiver will have, or not all of them."},
        },
    });
    json!({
        "type": "object",
        "required": ["schema_version", "window_seconds", "thresholds", "requests", "failed", "queries", "spans"],
        "properties": {
            "requests": list("slowest", &request),
            "failed": list("newest", &request),
            "queries": list("slowest", &times()),
            "spans": counted,
        },
    })
}
