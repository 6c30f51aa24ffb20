//! The route of the heap: the report that the service gets from `Agent::heap`, as a document or for people. How the verdict
//! comes about is not known here.

use http::StatusCode;
use serde_json::{Value, json};

use crate::heap::HeapReport;
use crate::server::answer::{Body, JSON, TEXT};
use crate::server::parameters::{Form, Parameter};
use crate::server::payload::Answer;
use crate::server::route::{Call, Credential, Document, Handler, Route, Verb};

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/heap",
    aliases: &[],
    credential: Credential::Read,
    parameters: &[Parameter {
        name: "format",
        form: Form::Choice(&["json", "text"]),
        about: "A document unless `text`, the report for people.",
    }],
    body: None,
    about: "The heap: figures, the leak verdict with its evidence, and the call sites that hold memory and those that grow.",
    documents: &[
        Document { status: 200, content_type: JSON, about: "With `format=json`.", schema },
        Document { status: 200, content_type: TEXT, about: "With `format=text`.", schema: text },
    ],
    problems: &[],
    handler: Handler::Now(|call| Ok(heap(call))),
}];

fn heap(call: &Call) -> Answer {
    let snapshot = &call.rendered().snapshot;
    let report = HeapReport::of(snapshot);
    if call.query.choice("format") == Some("text") {
        return call.asked().document(StatusCode::OK, TEXT, &Body::new(report.to_string()));
    }
    call.json(&json!({
        "schema_version": 1,
        "service": snapshot.service,
        "ts_ms": snapshot.ts_ms,
        "jemalloc": snapshot.heap.as_ref().map(|heap| heap.jemalloc),
        "allocated_bytes": report.allocated_bytes,
        "active_bytes": report.active_bytes,
        "resident_bytes": report.resident_bytes,
        "retained_bytes": report.retained_bytes,
        "metadata_bytes": report.metadata_bytes,
        "rss_bytes": report.rss_bytes,
        "limit_bytes": report.limit_bytes,
        "trend": report.trend,
        "growth_bytes_per_second": report.growth_bytes_per_second,
        "growth_interval": report.growth_interval,
        "leak": report.leak,
        "seconds_to_limit": report.seconds_to_limit,
        "seconds_to_limit_interval": report.seconds_to_limit_interval,
        "evidence": report.evidence,
        "sites": report.sites,
    }))
}

fn schema() -> Value {
    let interval = json!({"type": ["array", "null"], "items": {"type": "number"}, "minItems": 2, "maxItems": 2});
    let (bytes, number) = (json!({"type": ["integer", "null"], "minimum": 0}), json!({"type": ["number", "null"]}));
    json!({
        "type": "object",
        "required": ["schema_version", "service", "ts_ms", "jemalloc", "trend", "leak", "evidence", "sites"],
        "properties": {
            "schema_version": {"type": "integer", "const": 1},
            "service": {"type": "string"},
            "ts_ms": {"type": "integer", "minimum": 0},
            "jemalloc": {"type": ["boolean", "null"]},
            "allocated_bytes": bytes,
            "resident_bytes": bytes,
            "rss_bytes": bytes,
            "limit_bytes": bytes,
            "trend": {"type": "string", "enum": ["stable", "growing", "shrinking", "unknown"]},
            "growth_bytes_per_second": number,
            "growth_interval": interval,
            "leak": {"type": "string", "enum": ["none", "watching", "suspected"]},
            "seconds_to_limit": number,
            "seconds_to_limit_interval": interval,
            "evidence": {"type": "array", "items": {"type": "string"}},
            "sites": {
                "type": ["object", "null"],
                "required": ["sampling", "sampled_seconds"],
                "properties": {
                    "sampling": {"type": "string", "enum": ["active", "unavailable", "off"]},
                    "sites": {"type": "array", "items": {"type": "object", "required": ["function", "live_bytes", "growing"]}},
                    "notes": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    })
}

fn text() -> Value {
    json!({"type": "string"})
}
