//! The spans of a kept request as documents, and what the contract says of them; how they are kept is not known here.

use serde_json::{Value, json};

#[cfg(feature = "tracing")]
pub(super) use self::shown::{counted, document};

#[cfg(feature = "tracing")]
mod shown {
    use heartline_shared::UnixMillis;
    use serde_json::{Map, Value, json};

    use crate::trace::{Event, Kept, Span, Value as Said, counts};

    const NANOS_A_MILLI: u64 = 1_000_000;

    /// What a row says of its spans.
    pub(in super::super) fn document(kept: &Kept) -> Map<String, Value> {
        let spans = kept.spans();
        let split = kept.split(&spans);
        let began = UnixMillis(kept.began_unix_nanos / NANOS_A_MILLI);
        let rows: Vec<Value> = spans.iter().map(|span| row(span, kept.began_unix_nanos)).collect();
        let document = json!({
            "began_at": began.to_string(),
            "began_at_ms": began,
            "span_id": id(kept.span()),
            "parent_span_id": kept.parent().map(id),
            "split": {
                "own_seconds": seconds(split.own),
                "spans_seconds": seconds(split.spans),
                "queries_seconds": seconds(split.queries),
                "pool_wait_seconds": seconds(split.pool_wait),
                "cache_seconds": seconds(split.cache),
                "outbound_seconds": seconds(split.outbound),
            },
            "cut": {"spans": kept.cut.spans, "attributes": kept.cut.attributes, "events": kept.cut.events},
            "spans": rows,
        });
        if let Value::Object(document) = document { document } else { Map::new() }
    }

    fn row(span: &Span<'_>, began_unix_nanos: u64) -> Value {
        let started = UnixMillis(began_unix_nanos.saturating_add(span.start) / NANOS_A_MILLI);
        json!({
            "span_id": id(span.id),
            "parent_span_id": span.parent.map(id),
            "name": span.name,
            "target": if span.target.is_empty() { None } else { Some(span.target) },
            "kind": span.kind,
            "share": span.share(),
            "started_at": started.to_string(),
            "started_at_ms": started,
            "offset_seconds": seconds(span.start),
            "duration_seconds": seconds(span.nanos),
            "busy_seconds": span.busy.map(seconds),
            "idle_seconds": span.busy.map(|busy| seconds(span.nanos.saturating_sub(busy))),
            "status": if span.failed { "error" } else { "unset" },
            "ended": span.ended,
            "attributes": attributes(&span.attributes),
            "events": span.events.iter().map(event).collect::<Vec<_>>(),
        })
    }

    fn event(event: &Event<'_>) -> Value {
        json!({
            "offset_seconds": seconds(event.at),
            "level": event.level,
            "target": event.target,
            "message": event.message,
            "attributes": attributes(&event.attributes),
        })
    }

    fn attributes(said: &[(&str, Said<'_>)]) -> Map<String, Value> {
        let value = |value: &Said<'_>| match value {
            Said::Text(text) => json!(text),
            Said::Signed(number) => json!(number),
            Said::Unsigned(number) => json!(number),
            Said::Float(number) => json!(number), // null where it is no number
            Said::Flag(flag) => json!(flag),
        };
        said.iter().map(|(name, said)| ((*name).to_owned(), value(said))).collect()
    }

    fn id(span: u64) -> String {
        format!("{span:016x}")
    }

    fn seconds(nanos: u64) -> f64 {
        nanos as f64 / 1e9
    }

    /// What this process counts; null while there is no layer.
    pub(in super::super) fn counted(pushed: Option<(u64, u64)>) -> Value {
        counts().map_or(Value::Null, |counts| {
            json!({
                "requests_without_spans": counts.without_tree,
                "missed": counts.missed,
                "unkept": counts.unkept,
                "exported": pushed.map(|(exported, _)| exported),
                "not_exported": pushed.map(|(_, lost)| lost),
            })
        })
    }
}

/// Without the feature there are no spans.
#[cfg(not(feature = "tracing"))]
pub(super) fn document(kept: &crate::trace::Kept) -> serde_json::Map<String, Value> {
    match *kept {}
}

/// Without the feature nothing is counted.
#[cfg(not(feature = "tracing"))]
pub(super) fn counted(_: Option<(u64, u64)>) -> Value {
    Value::Null
}

/// A row that has no spans says so.
pub(super) fn none() -> serde_json::Map<String, Value> {
    let names = ["began_at", "began_at_ms", "span_id", "parent_span_id", "split", "cut", "spans"];
    names.into_iter().map(|name| (name.to_owned(), Value::Null)).collect()
}

/// The properties of [`none`], for the contract.
pub(super) fn properties() -> Value {
    let seconds = json!({"type": "number", "minimum": 0});
    let split: serde_json::Map<String, Value> = ["own", "spans", "queries", "pool_wait", "cache", "outbound"]
        .into_iter()
        .map(|share| (format!("{share}_seconds"), seconds.clone()))
        .collect();
    let count = json!({"type": "integer", "minimum": 0});
    json!({
        "began_at": {"type": ["string", "null"], "format": "date-time"},
        "began_at_ms": {"type": ["integer", "null"], "minimum": 0},
        "span_id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{16}$"},
        "parent_span_id": {
            "type": ["string", "null"],
            "pattern": "^[0-9a-f]{16}$",
            "description": "The span of another service, or of the service's own tracer, that the request is part of.",
        },
        "split": {
            "type": ["object", "null"],
            "properties": split,
            "description": "Where the time went: each moment counts for the span that began last among those that were open.",
        },
        "cut": {
            "type": ["object", "null"],
            "properties": {"spans": count.clone(), "attributes": count.clone(), "events": count},
            "description": "What was left out because the request had too much of it.",
        },
        "spans": {
            "type": ["array", "null"],
            "items": span_schema(),
            "description": "In the order they began, the request itself first; null where no spans were kept.",
        },
    })
}

fn span_schema() -> Value {
    let seconds = json!({"type": "number", "minimum": 0});
    json!({
        "type": "object",
        "required": [
            "span_id", "parent_span_id", "name", "target", "kind", "share", "started_at", "started_at_ms", "offset_seconds",
            "duration_seconds", "busy_seconds", "idle_seconds", "status", "ended", "attributes", "events",
        ],
        "properties": {
            "span_id": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
            "parent_span_id": {"type": ["string", "null"], "pattern": "^[0-9a-f]{16}$"},
            "name": {"type": "string"},
            "target": {"type": ["string", "null"], "description": "The module; null for what the agent observed itself."},
            "kind": {"enum": ["server", "client", "internal", "producer", "consumer"]},
            "share": {
                "enum": ["own", "spans", "queries", "pool_wait", "cache", "outbound"],
                "description": "Which share of the split its time counts for.",
            },
            "started_at": {"type": "string", "format": "date-time"},
            "started_at_ms": {"type": "integer", "minimum": 0},
            "offset_seconds": {"type": "number", "minimum": 0, "description": "Since the request began."},
            "duration_seconds": seconds.clone(),
            "busy_seconds": {"type": ["number", "null"], "minimum": 0, "description": "Threads were in it as long."},
            "idle_seconds": {"type": ["number", "null"], "minimum": 0, "description": "The rest: it waited."},
            "status": {"enum": ["unset", "error"]},
            "ended": {"type": "boolean", "description": "Whether it ended before its request did; else its duration is until then."},
            "attributes": {"type": "object"},
            "events": {"type": "array", "items": {
                "type": "object",
                "required": ["offset_seconds", "level", "target", "message", "attributes"],
                "properties": {
                    "offset_seconds": seconds,
                    "level": {"enum": ["WARN", "ERROR"]},
                    "target": {"type": "string"},
                    "message": {"type": "string"},
                    "attributes": {"type": "object"},
                },
            }},
        },
    })
}
