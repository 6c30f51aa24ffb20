//! The slowest requests and queries of the newest minutes, as documents; how they are kept is not known here.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::server::answer::JSON;
use crate::server::parameters::{Form, Parameter};
use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Document, Handler, Reply, Route, Verb};
use crate::signals::{SLOW_WINDOW, ShortText, SlowEntry, SlowList, Spending, Spent};

/// Rows of each list unless asked for more or fewer.
const LIMIT_DEFAULT: usize = 20;

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/traces",
    aliases: &[],
    credential: Credential::Read,
    parameters: &[Parameter {
        name: "limit",
        form: Form::Integer { min: 1, max: 64 },
        about: "How many of each; 20 without it.",
    }],
    body: None,
    about: "The slowest requests of the newest five minutes with what each spent, and the slowest queries.",
    documents: &[Document { status: 200, content_type: JSON, about: "The slowest first.", schema: slow_schema }],
    problems: &[503],
    handler: Handler::Now(slowest),
}];

fn slowest(call: &Call) -> Reply {
    let log = call.state.fresh.source().slow();
    let log = log.ok_or_else(|| Problem::unavailable("slow requests are not kept here"))?;
    let limit = call.query.integer("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT);
    let seconds = |threshold: Duration| threshold.as_secs_f64();
    Ok(call.json(&json!({
        "schema_version": 1,
        "window_seconds": SLOW_WINDOW.as_secs_f64(),
        "thresholds": {
            "request_seconds": seconds(log.thresholds.request),
            "very_slow_request_seconds": seconds(log.thresholds.very_slow_request),
            "query_seconds": seconds(log.thresholds.query),
        },
        "requests": list(&log.requests, call.now, limit, request),
        "queries": list(&log.queries, call.now, limit, query),
    })))
}

/// One list: how many there were since the start, how many of them came while it was being read, and the slowest.
fn list(list: &SlowList, now: Duration, limit: usize, row: fn(&SlowEntry) -> Value) -> Value {
    let (slowest, seen, missed) = list.slowest(now);
    let rows: Vec<Value> = slowest.iter().take(limit).map(row).collect();
    json!({"count": seen, "missed": missed, "slowest": rows})
}

fn request(entry: &SlowEntry) -> Value {
    let label = |name: &str| entry.labels.value(name);
    json!({
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
    })
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
    let list = json!({
        "type": "object",
        "required": ["count", "missed", "slowest"],
        "properties": {
            "count": {"type": "integer", "minimum": 0},
            "missed": {"type": "integer", "minimum": 0},
            "slowest": {"type": "array", "items": {"type": "object", "required": ["ended_at", "ended_at_ms", "duration_seconds"]}},
        },
    });
    json!({
        "type": "object",
        "required": ["schema_version", "window_seconds", "thresholds", "requests", "queries"],
        "properties": {"requests": list.clone(), "queries": list},
    })
}
