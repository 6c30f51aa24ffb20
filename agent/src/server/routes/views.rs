//! The windowed views and the flight recorder's frames: their paths and parameters. What is in them is made in `views`.

use heartline_shared::frame::MEDIA_TYPE;
use serde_json::{Value, json};

use crate::server::answer::JSON;
use crate::server::parameters::{Form, Parameter};
use crate::server::route::{Call, Credential, Document, Handler, Pending, Route, Verb};
use crate::server::views::View;

const WINDOW: Parameter =
    Parameter { name: "window", form: Form::Own(span), about: "How far back, from 1s to 7d; 5m without it." };
const FROM: Parameter = Parameter { name: "from", form: Form::Own(moment), about: "The beginning." };
const TO: Parameter = Parameter { name: "to", form: Form::Own(moment), about: "The end; now without it." };
const STEP: Parameter = Parameter { name: "step", form: Form::Own(span), about: "The distance of two points." };

const fn view(
    path: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    handler: fn(Call) -> Pending,
) -> Route {
    Route {
        verb: Verb::Get,
        path,
        aliases,
        credential: Credential::Read,
        parameters: &[WINDOW],
        body: None,
        about,
        documents: &[Document {
            status: 200,
            content_type: JSON,
            about: "The figures of the window.",
            schema: view_schema,
        }],
        problems: &[501],
        handler: Handler::Later(handler),
    }
}

pub(super) const ROUTES: &[Route] = &[
    view("/api/v1/performance", &["/api/performance"], "Every block in short, with links.", |call| {
        show(View::Index, call)
    }),
    view("/api/v1/summary", &["/api/performance/summary"], "Totals and percentiles of each block.", |call| {
        show(View::Summary, call)
    }),
    view("/api/v1/dashboard", &["/api/performance/dashboard"], "Everything that a person or a script wants.", |call| {
        show(View::Dashboard, call)
    }),
    Route {
        parameters: &[
            WINDOW,
            Parameter {
                name: "sort",
                form: Form::Choice(&["total", "p95", "count", "errors"]),
                about: "What comes first; `total` without it.",
            },
            Parameter { name: "limit", form: Form::Integer { min: 1, max: 1_000 }, about: "How many." },
            Parameter { name: "slow", form: Form::Flag, about: "Only those that were slow." },
        ],
        ..view("/api/v1/queries", &["/api/performance/queries"], "Queries by summary; no literals.", |call| {
            show(View::Queries, call)
        })
    },
    Route {
        documents: &[
            Document { status: 200, content_type: JSON, about: "The newest second.", schema: view_schema },
            Document { status: 200, content_type: "text/event-stream", about: "One event a second.", schema: text },
        ],
        ..view("/api/v1/realtime", &["/api/performance/realtime"], "The last second, or a stream of seconds.", |call| {
            show(View::Realtime, call)
        })
    },
    Route {
        parameters: &[
            WINDOW,
            Parameter { name: "metric", form: Form::Own(text), about: "Which; `process.memory.usage` without it." },
            FROM,
            TO,
            STEP,
        ],
        ..view(
            "/api/v1/trends",
            &["/api/performance/trends"],
            "One metric over time, beside the leak verdict.",
            |call| show(View::Trends, call),
        )
    },
    view("/api/v1/cache", &["/api/performance/cache"], "Each cache and tier.", |call| show(View::Cache, call)),
    view("/api/v1/jobs", &["/api/performance/jobs"], "Each queue.", |call| show(View::Jobs, call)),
    Route {
        parameters: &[
            Parameter { name: "limit", form: Form::Integer { min: 1, max: 256 }, about: "How many." },
            Parameter { name: "cursor", form: Form::Own(text), about: "Where the page before ended." },
            Parameter { name: "queue", form: Form::Own(text), about: "Only those of this queue." },
        ],
        documents: &[Document { status: 200, content_type: JSON, about: "A page of jobs.", schema: failed_schema }],
        ..view(
            "/api/v1/jobs/failed",
            &["/api/performance/jobs/failed"],
            "Jobs that failed, the newest first.",
            |call| show(View::FailedJobs, call),
        )
    },
    Route {
        parameters: &[FROM, TO, STEP],
        documents: &[Document {
            status: 200,
            content_type: MEDIA_TYPE,
            about: "Frames, as recordings keep them.",
            schema: binary,
        }],
        ..view("/api/v1/history", &[], "What the flight recorder kept.", |call| show(View::History, call))
    },
];

fn show(view: View, call: Call) -> Pending {
    Box::pin(async move {
        view.answer(call.asked(), call.head.uri.query().unwrap_or_default(), &call.state.fresh, call.now).await
    })
}

fn span() -> Value {
    json!({"type": "string", "pattern": "^([1-9][0-9]{0,4}s?|[1-9][0-9]{0,3}m|[1-9][0-9]?h|1[0-5][0-9]h|[1-7]d)$"})
}

fn moment() -> Value {
    json!({
        "type": "string",
        "description": "RFC 3339, seconds or milliseconds since 1970, or a span before now (-15m).",
        "anyOf": [{"format": "date-time"}, {"pattern": "^[0-9]{1,14}$"}, {"pattern": "^-[0-9]{1,6}[smhd]?$"}],
    })
}

fn text() -> Value {
    json!({"type": "string"})
}

fn binary() -> Value {
    json!({"type": "string", "format": "binary"})
}

fn view_schema() -> Value {
    json!({"type": "object", "required": ["schema_version", "service", "ts_ms"]})
}

fn failed_schema() -> Value {
    json!({
        "type": "object",
        "required": ["schema_version", "jobs", "next_cursor"],
        "properties": {"jobs": {"type": "array"}, "next_cursor": {"type": ["string", "null"]}},
    })
}
