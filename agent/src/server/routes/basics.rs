//! The routes that dashboards, probes and scrapers poll: snapshot, health in short, metrics, catalogue, facts about the
//! build, and the contract itself.

use http::header::{ACCEPT, VARY};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::exporters::Format;
use crate::exporters::prometheus::Selection;
use crate::server::answer::{Body, JSON, TEXT};
use crate::server::contract;
use crate::server::documents::{self, HEALTH_JSON, Probe};
use crate::server::parameters::{Form, Parameter};
use crate::server::payload::Answer;
use crate::server::route::{Call, Credential, Document, Handler, Reply, Route, Verb};
use crate::signals::Overall;

/// The greatest whole number that every reader of JSON has.
const SEQ_MAX: u64 = (1 << 53) - 1;

const VERBOSE: Parameter =
    Parameter { name: "verbose", form: Form::Flag, about: "One line a check, for those who may read." };
const EXCLUDE: Parameter = Parameter { name: "exclude", form: Form::Texts, about: "Checks that do not count." };

const fn get(path: &'static str, credential: Credential, about: &'static str, handler: fn(&Call) -> Reply) -> Route {
    Route {
        verb: Verb::Get,
        path,
        aliases: &[],
        credential,
        parameters: &[],
        body: None,
        about,
        documents: &[],
        problems: &[],
        handler: Handler::Now(handler),
    }
}

const fn probe(
    path: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    handler: fn(&Call) -> Reply,
) -> Route {
    Route {
        aliases,
        parameters: &[VERBOSE, EXCLUDE],
        documents: &[
            Document { status: 200, content_type: TEXT, about: "`ok`, or the list.", schema: text },
            Document { status: 503, content_type: TEXT, about: "`failed`, or the list.", schema: text },
        ],
        ..get(path, Credential::Open, about, handler)
    }
}

pub(super) const ROUTES: &[Route] = &[
    Route {
        documents: &[
            Document { status: 200, content_type: JSON, about: "Healthy or degraded.", schema: health_schema },
            Document { status: 200, content_type: HEALTH_JSON, about: "On request.", schema: health_draft_schema },
            Document { status: 503, content_type: JSON, about: "Unhealthy.", schema: health_schema },
            Document { status: 503, content_type: HEALTH_JSON, about: "On request.", schema: health_draft_schema },
        ],
        ..get("/health", Credential::Open, "How the service stands, without the name of any dependency.", |call| {
            Ok(health(call))
        })
    },
    probe("/livez", &["/-/healthy"], "Alive; no check counts.", |call| Ok(probed(call, Probe::Live))),
    probe("/readyz", &["/-/ready"], "Ready for traffic: no critical check fails.", |call| {
        Ok(probed(call, Probe::Ready))
    }),
    probe("/startupz", &[], "Started: each critical check has run.", |call| Ok(probed(call, Probe::Startup))),
    Route {
        parameters: &[Parameter {
            name: "name[]",
            form: Form::Texts,
            about: "Only metrics of these names; all without it.",
        }],
        documents: &[
            metrics_document(Format::Text, "Prometheus' text format."),
            metrics_document(Format::OpenMetrics, "OpenMetrics, where the scraper asks for it."),
            metrics_document(Format::Protobuf, "With native histograms, where the scraper asks for it."),
        ],
        ..get("/metrics", Credential::Read, "All metrics, for scrapers.", |call| Ok(metrics(call)))
    },
    Route {
        documents: &[Document {
            status: 200,
            content_type: JSON,
            about: "Cumulative numbers and raw sparse histograms.",
            schema: snapshot_schema,
        }],
        parameters: &[Parameter {
            name: "since",
            form: Form::Integer { min: 0, max: SEQ_MAX },
            about: "The `seq` of the document before: only series that changed since, as far as that is known; else all.",
        }],
        ..get("/api/v1/snapshot", Credential::Read, "The dashboard's one document.", |call| Ok(snapshot(call)))
    },
    Route {
        documents: &[Document {
            status: 200,
            content_type: JSON,
            about: "One row a metric.",
            schema: catalogue_schema,
        }],
        ..get("/api/v1/catalogue", Credential::Read, "Every metric: name, unit, kind, buckets, labels.", |call| {
            let document = documents::catalogue(&call.rendered().snapshot);
            Ok(call.asked().tagged_document(JSON, &Body::new(document.to_string())))
        })
    },
    Route {
        documents: &[Document { status: 200, content_type: JSON, about: "Build and process.", schema: info_schema }],
        ..get(
            "/api/v1/info",
            Credential::Read,
            "What runs here; nothing of its environment or configuration.",
            |call| Ok(call.json(&documents::info(&call.rendered().snapshot))),
        )
    },
    Route {
        documents: &[Document { status: 200, content_type: JSON, about: "OpenAPI 3.1.", schema: object }],
        ..get("/api/v1/openapi.json", Credential::Read, "This description.", |call| {
            Ok(call.asked().tagged_document(JSON, &Body::new(contract::text())))
        })
    },
];

fn health(call: &Call) -> Answer {
    let overall = call.state.fresh.source().overall();
    let status = if overall == Overall::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let snapshot = &call.rendered().snapshot;
    let (content_type, document) = if call.accepts(HEALTH_JSON) {
        (HEALTH_JSON, documents::health_draft(snapshot, overall))
    } else {
        (JSON, documents::health(snapshot, overall))
    };
    call.asked().document(status, content_type, &Body::new(document.to_string()))
}

fn probed(call: &Call, probe: Probe) -> Answer {
    let excluded = call.query.texts("exclude").map(str::to_owned).collect();
    let answer = documents::probe(probe, &call.rendered().snapshot.checks, &excluded);
    let status = if answer.passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    // The list names dependencies, which not everyone who reaches the port may know.
    let short = if answer.passes { "ok\n" } else { "failed\n" }.to_owned();
    let text = if call.query.flag("verbose") && call.may_read { answer.list } else { short };
    call.asked().document(status, TEXT, &Body::new(text))
}

/// The whole, or what changed since the client asked the last time: then with `since`.
fn snapshot(call: &Call) -> Answer {
    let rendered = call.rendered();
    let since = call.query.integer("since");
    let changed = since.and_then(|since| Some((since, call.state.fresh.since(since, &rendered)?)));
    let document = changed.and_then(|(since, changed)| {
        let mut document = serde_json::to_value(&changed).ok()?;
        document["since"] = since.into();
        Some(document)
    });
    match document {
        Some(document) => call.json(&document),
        None => call.asked().document(StatusCode::OK, JSON, rendered.json()),
    }
}

const fn metrics_document(format: Format, about: &'static str) -> Document {
    Document { status: 200, content_type: format.content_type(), about, schema: text }
}

fn metrics(call: &Call) -> Answer {
    let rendered = call.rendered();
    let accept = call.head.headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let format = Format::accepted(&accept.collect::<Vec<_>>().join(","));
    let selection = Selection::from_query(call.head.uri.query().unwrap_or_default());
    let mut answer = if selection.is_everything() {
        call.asked().document(StatusCode::OK, format.content_type(), rendered.metrics(format))
    } else {
        call.asked().document(StatusCode::OK, format.content_type(), &rendered.selected_metrics(format, &selection))
    };
    answer.headers_mut().append(VARY, HeaderValue::from_static("accept"));
    answer
}

fn text() -> Value {
    json!({"type": "string"})
}

fn object() -> Value {
    json!({"type": "object"})
}

fn health_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status", "timestamp", "ts_ms", "uptime_seconds", "version"],
        "properties": {
            "status": {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]},
            "timestamp": {"type": "string", "format": "date-time"},
            "ts_ms": {"type": "integer", "minimum": 0},
            "uptime_seconds": {"type": "number", "minimum": 0},
            "version": {"type": ["string", "null"]},
        },
    })
}

fn health_draft_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"type": "string", "enum": ["pass", "warn", "fail"]}},
    })
}

fn snapshot_schema() -> Value {
    json!({
        "type": "object",
        "required": ["schema_version", "service", "instance_id", "started_at", "started_at_ms", "timestamp", "ts_ms", "seq", "uptime_seconds", "metrics"],
        "properties": {
            "schema_version": {"type": "integer", "const": 1},
            "service": {"type": "string"},
            "version": {"type": "string"},
            "instance_id": {"type": "string"},
            "started_at": {"type": "string", "format": "date-time"},
            "started_at_ms": {"type": "integer", "minimum": 0},
            "timestamp": {"type": "string", "format": "date-time"},
            "ts_ms": {"type": "integer", "minimum": 0},
            "seq": {"type": "integer", "minimum": 1},
            "since": {
                "type": "integer",
                "minimum": 1,
                "description": "In a document of changes: `metrics` has only series that changed since the one with this `seq`, and none is gone.",
            },
            "uptime_seconds": {"type": "number", "minimum": 0},
            "metrics": {"type": "array", "items": {
                "type": "object",
                "required": ["name", "kind", "unit"],
                "properties": {
                    "name": {"type": "string"},
                    "kind": {"type": "string"},
                    "unit": {"type": "string"},
                    "help": {"type": "string"},
                    "numbers": {"type": "array", "items": {
                        "type": "object",
                        "required": ["labels", "value"],
                        "properties": {"value": {"type": "number"}},
                    }},
                    "histograms": {"type": "array", "items": {"type": "object", "required": ["labels"]}},
                },
            }},
            "heap": {"type": "object", "required": ["jemalloc", "trend", "leak"]},
            "checks": {"type": "array", "items": {"type": "object", "required": ["name", "criticality"]}},
        },
    })
}

fn catalogue_schema() -> Value {
    json!({
        "type": "object",
        "required": ["schema_version", "metrics"],
        "properties": {
            "schema_version": {"type": "integer", "const": 1},
            "metrics": {"type": "array", "items": {
                "type": "object",
                "required": ["name", "prometheus_name", "kind", "unit", "help", "attributes", "custom"],
            }},
        },
    })
}

fn info_schema() -> Value {
    json!({
        "type": "object",
        "required": ["schema_version", "service", "version", "instance_id", "started_at", "started_at_ms", "uptime_seconds", "agent", "os", "architecture", "process_id"],
        "properties": {
            "schema_version": {"type": "integer", "const": 1},
            "service": {"type": "string"},
            "version": {"type": ["string", "null"]},
            "agent": {"type": "object", "required": ["name", "version", "features"]},
            "process_id": {"type": "integer", "minimum": 1},
        },
    })
}
