//! The route of the heap profile: which form, over which time. How one is taken is not known here.

use serde_json::{Value, json};

use crate::server::parameters::{Form, Parameter};
use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Document, Handler, Pending, Route, Verb};

/// The longest time that a profile may be about.
const SECONDS_MAX: u64 = 300;
const PPROF: &str = "application/vnd.google.protobuf+gzip";
const COLLAPSED: &str = "text/plain; charset=utf-8";

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/api/v1/profile/heap",
    aliases: &[],
    credential: Credential::Admin,
    parameters: &[
        Parameter {
            name: "seconds",
            form: Form::Integer { min: 1, max: SECONDS_MAX },
            about: "What was allocated within this time from now on and is then still there, less what went; sampling is switched on for it. Without it: everything since sampling began.",
        },
        Parameter {
            name: "format",
            form: Form::Choice(&["pprof", "collapsed"]),
            about: "pprof (gzipped protobuf) unless `collapsed`.",
        },
    ],
    body: None,
    about: "Live bytes by call stack, estimated from samples.",
    documents: &[
        Document { status: 200, content_type: PPROF, about: "With `format=pprof`.", schema: bytes },
        Document {
            status: 200,
            content_type: COLLAPSED,
            about: "With `format=collapsed`: bytes a stack.",
            schema: text,
        },
    ],
    problems: &[409, 429, 501, 503],
    handler: Handler::Later(heap),
}];

#[cfg(feature = "jemalloc")]
fn heap(call: Call) -> Pending {
    use std::time::Duration;

    use http::StatusCode;

    use crate::clock::Tick;
    use crate::exporters::pprof;
    use crate::heap::Refusal;
    use crate::server::answer::Body;

    Box::pin(async move {
        let profiler = call.state.fresh.source().heap_profiler();
        let profiler = profiler.ok_or_else(|| Problem::unavailable("the heap is not sampled here"))?;
        let span = call.query.integer("seconds").map(Duration::from_secs);
        let taken = profiler.take(span).await.map_err(|refusal| match refusal {
            Refusal::Unavailable(why) => Problem::not_implemented(why),
            Refusal::Off => Problem::conflict(
                "allocations are not sampled now; ask with `seconds`, which switches it on for so long, or run the action heap.profile",
            ),
            Refusal::Running => Problem::conflict("another heap profile is being taken; ask again when it is done"),
            Refusal::TooOften(wait) => Problem::too_many("a heap profile was taken just now", wait),
            Refusal::Failed(why) => Problem::unavailable(why),
        })?;
        let collapsed = call.query.choice("format") == Some("collapsed");
        let body =
            if collapsed { pprof::collapsed(&taken).into_bytes() } else { pprof::pprof(&taken, Tick::now().wall) };
        let content_type = if collapsed { COLLAPSED } else { PPROF };
        Ok(call.asked().document(StatusCode::OK, content_type, &Body::new(body)))
    })
}

#[cfg(not(feature = "jemalloc"))]
fn heap(_call: Call) -> Pending {
    let why =
        "heap profiling is not compiled in: build the service with the feature `jemalloc` and heartline::jemalloc!()";
    Box::pin(std::future::ready(Err(Problem::not_implemented(why))))
}

fn bytes() -> Value {
    json!({"type": "string", "format": "binary"})
}

fn text() -> Value {
    json!({"type": "string"})
}
