//! The routes of profiles, of the heap and of the processor: which form, over which time. How one is taken is not known
//! here.

use serde_json::{Value, json};

use crate::server::parameters::{Form, Parameter};
use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Document, Handler, Pending, Route, Verb};

/// The longest time that a profile of the heap may be about.
const SECONDS_MAX: u64 = 300;
/// The same of the processor, and how often it is sampled at most.
const CPU_SECONDS_MAX: u64 = 60;
const CPU_HERTZ_MAX: u64 = 250;
const PPROF: &str = "application/vnd.google.protobuf+gzip";
const COLLAPSED: &str = "text/plain; charset=utf-8";

const FORMAT: Parameter = Parameter {
    name: "format",
    form: Form::Choice(&["pprof", "collapsed"]),
    about: "pprof (gzipped protobuf) unless `collapsed`.",
};

const fn profile(
    path: &'static str,
    parameters: &'static [Parameter],
    documents: &'static [Document],
    about: &'static str,
    handler: fn(Call) -> Pending,
) -> Route {
    Route {
        verb: Verb::Get,
        path,
        aliases: &[],
        credential: Credential::Admin,
        parameters,
        body: None,
        about,
        documents,
        problems: &[409, 429, 501, 503],
        handler: Handler::Later(handler),
    }
}

const PROTOBUF: Document = Document { status: 200, content_type: PPROF, about: "With `format=pprof`.", schema: bytes };

pub(super) const ROUTES: &[Route] = &[
    profile(
        "/api/v1/profile/heap",
        &[
            Parameter {
                name: "seconds",
                form: Form::Integer { min: 1, max: SECONDS_MAX },
                about: "What was allocated within this time from now on and is then still there, less what went; where nothing is sampled, sampling is switched on for it, and the time begins some two seconds later. Without it: everything since sampling began.",
            },
            FORMAT,
        ],
        &[
            PROTOBUF,
            Document {
                status: 200,
                content_type: COLLAPSED,
                about: "With `format=collapsed`: bytes a stack.",
                schema: text,
            },
        ],
        "Live bytes by call stack, estimated from samples.",
        heap,
    ),
    profile(
        "/api/v1/profile/cpu",
        &[
            Parameter {
                name: "seconds",
                form: Form::Integer { min: 1, max: CPU_SECONDS_MAX },
                about: "For how long the processor is sampled, from now on: 10 unless given.",
            },
            Parameter {
                name: "hz",
                form: Form::Integer { min: 1, max: CPU_HERTZ_MAX },
                about: "Samples for each second of processor time that the process uses: 99 unless given.",
            },
            FORMAT,
        ],
        &[
            PROTOBUF,
            Document {
                status: 200,
                content_type: COLLAPSED,
                about: "With `format=collapsed`: samples a stack, which begins with the name of the thread, and with `[callers unknown]` where it is deeper than 64 KiB; the most frequent first.",
                schema: text,
            },
        ],
        "Processor time by call stack, estimated from samples. While it is taken, the agent handles the signal SIGPROF.",
        cpu,
    ),
];

/// A profile in the form that was asked for.
#[cfg(any(feature = "jemalloc", feature = "cpu-profile"))]
fn in_form<'p>(call: &Call, taken: impl Into<crate::exporters::pprof::Profile<'p>>) -> crate::server::payload::Answer {
    use crate::exporters::pprof;
    use crate::server::answer::Body;

    let (content_type, body) = match call.query.choice("format") {
        Some("collapsed") => (COLLAPSED, pprof::collapsed(taken).into_bytes()),
        _ => (PPROF, pprof::pprof(taken, crate::clock::Tick::now().wall)),
    };
    call.asked().document(http::StatusCode::OK, content_type, &Body::new(body))
}

#[cfg(feature = "jemalloc")]
fn heap(call: Call) -> Pending {
    use std::time::Duration;

    use crate::heap::Refusal;

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
        Ok(in_form(&call, &taken))
    })
}

#[cfg(not(feature = "jemalloc"))]
fn heap(_call: Call) -> Pending {
    let why =
        "heap profiling is not compiled in: build the service with the feature `jemalloc` and heartline::jemalloc!()";
    Box::pin(std::future::ready(Err(Problem::not_implemented(why))))
}

#[cfg(feature = "cpu-profile")]
fn cpu(call: Call) -> Pending {
    use std::time::Duration;

    use crate::cpu::{HERTZ_DEFAULT, Refusal, SECONDS_DEFAULT, Wanted};

    Box::pin(async move {
        let profiler = call.state.fresh.source().cpu_profiler();
        let profiler = profiler.ok_or_else(|| Problem::unavailable("the processor is not sampled here"))?;
        let span = Duration::from_secs(call.query.integer("seconds").unwrap_or(SECONDS_DEFAULT));
        let wanted = Wanted { span, hertz: call.query.integer("hz").unwrap_or(HERTZ_DEFAULT) };
        let taken = profiler.take(wanted).await.map_err(|refusal| match refusal {
            Refusal::Running(what) => Problem::conflict(what),
            Refusal::TooOften(wait) => Problem::too_many("a profile of the processor began just now", wait),
            Refusal::Unavailable(why) => Problem::not_implemented(why),
            Refusal::Failed(why) => Problem::unavailable(why),
        })?;
        Ok(in_form(&call, &taken))
    })
}

// what the contract says is what the profiler does
#[cfg(feature = "cpu-profile")]
const _: () = assert!(CPU_SECONDS_MAX == crate::cpu::SECONDS_MAX && CPU_HERTZ_MAX == crate::cpu::HERTZ_MAX);

#[cfg(not(feature = "cpu-profile"))]
fn cpu(_call: Call) -> Pending {
    let why = "profiles of the processor are not compiled in: build the service with the feature `cpu-profile`";
    Box::pin(std::future::ready(Err(Problem::not_implemented(why))))
}

fn bytes() -> Value {
    json!({"type": "string", "format": "binary"})
}

fn text() -> Value {
    json!({"type": "string"})
}
