//! The requests that are being served right now, as a document; how they are kept is not known here.

use serde_json::{Value, json};

use crate::clock::Stamp;
use crate::server::answer::JSON;
use crate::server::parameters::{Form, Parameter};
use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Document, Handler, Reply, Route, Verb};
use crate::signals::{OpenRequest, ShortText};

/// Rows unless asked for more or fewer.
const LIMIT_DEFAULT: usize = 100;

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/inflight",
    aliases: &[],
    credential: Credential::Read,
    parameters: &[Parameter {
        name: "limit",
        form: Form::Integer { min: 1, max: 1_152 },
        about: "How many rows; 100 without it.",
    }],
    body: None,
    about: "The requests that are being served right now, the oldest first.",
    documents: &[Document { status: 200, content_type: JSON, about: "The oldest first.", schema: open_schema }],
    problems: &[503],
    handler: Handler::Now(open),
}];

fn open(call: &Call) -> Reply {
    let open = call.state.fresh.source().open();
    let open = open.ok_or_else(|| Problem::unavailable("open requests are not kept here"))?;
    let limit = call.query.integer("limit").and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT_DEFAULT);
    let now = crate::clock::Tick::now();
    let (requests, unlisted) = open.oldest_first(Stamp::now());
    let rows: Vec<Value> = requests.iter().take(limit).map(|request| row(request, now.wall)).collect();
    Ok(call.json(&json!({
        "schema_version": 1,
        "timestamp": now.wall.to_string(),
        "ts_ms": now.wall,
        "count": requests.len() as u64 + unlisted,
        "unlisted": unlisted,
        "requests": rows,
    })))
}

fn row(request: &OpenRequest, now: heartline_shared::UnixMillis) -> Value {
    let began = now - request.age;
    json!({
        "key": format!("{:016x}", request.key),
        "method": request.labels.value("http.request.method"),
        "route": request.labels.value("http.route"),
        "began_at": began.to_string(),
        "began_at_ms": began,
        "age_seconds": request.age.as_secs_f64(),
        "request_id": request.request_id.as_ref().map(ShortText::as_str),
        "trace_id": request.trace_id.as_ref().map(ShortText::as_str),
        "waits_for": request.waits_for.as_ref().map(|wait| {
            json!({"kind": wait.kind, "name": wait.name, "seconds": wait.lasts.as_secs_f64()})
        }),
    })
}

/// What the contract says of the key of a request.
pub(super) fn key_schema() -> Value {
    json!({
        "type": "string",
        "pattern": "^[0-9a-f]{16}$",
        "description": "What tells the request from every other one of this process: the same while it is open and when it is kept.",
    })
}

fn open_schema() -> Value {
    json!({
        "type": "object",
        "required": ["schema_version", "timestamp", "ts_ms", "count", "unlisted", "requests"],
        "properties": {
            "schema_version": {"type": "integer", "const": 1},
            "timestamp": {"type": "string", "format": "date-time"},
            "ts_ms": {"type": "integer", "minimum": 0},
            "count": {"type": "integer", "minimum": 0, "description": "All that are open."},
            "unlisted": {
                "type": "integer",
                "minimum": 0,
                "description": "Of these, how many came while 1,024 others were open, and are not old enough to be listed.",
            },
            "requests": {"type": "array", "items": {
                "type": "object",
                "required": ["key", "method", "route", "began_at", "began_at_ms", "age_seconds", "request_id", "trace_id", "waits_for"],
                "properties": {
                    "key": key_schema(),
                    "method": {"type": ["string", "null"]},
                    "route": {"type": ["string", "null"], "description": "The template; null where no route matched."},
                    "began_at": {"type": "string", "format": "date-time"},
                    "began_at_ms": {"type": "integer", "minimum": 0},
                    "age_seconds": {"type": "number", "minimum": 0},
                    "request_id": {"type": ["string", "null"]},
                    "trace_id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{32}$"},
                    "waits_for": {
                        "type": ["object", "null"],
                        "description": "The innermost of its spans that is open; null where there is none, or no layer for them.",
                        "required": ["kind", "name", "seconds"],
                        "properties": {
                            "kind": {"enum": ["queries", "pool_wait", "cache", "outbound", "span"]},
                            "name": {"type": "string"},
                            "seconds": {"type": "number", "minimum": 0},
                        },
                    },
                },
            }},
        },
    })
}
