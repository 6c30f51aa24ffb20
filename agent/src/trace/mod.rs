//! The spans of each request: a layer for the host's tracing subscriber, and the trace context that requests carry from
//! service to service.
//! All but [`TraceContext`] needs the feature `tracing`. A host begins with [`layer()`].
//!
//! Once the layer is there, every request that the agent observes is the root of a tree: the `tracing` spans that are opened
//! while it is worked on, or on other tasks under such a span, and the queries, waits for pools, cache operations and
//! outbound calls that the agent observes, whether or not the host has spans of its own. A request that ends slow
//! ([`AgentBuilder::slow_request`](crate::AgentBuilder::slow_request)), with a 5xx, or by a panic keeps its tree, and
//! `/api/v1/traces` shows it; all others give their memory to the next request.
//!
//! A request joins the trace of its `traceparent`, if that is valid, and begins one of its own otherwise. [`inject()`] puts
//! the current context on an outgoing request.
//!
//! # Beside tracing-opentelemetry
//! A host may have the layer of [tracing-opentelemetry] on the same subscriber, with a tracer of the OpenTelemetry SDK that
//! exports spans itself. With the feature `tracing-opentelemetry` the two agree:
//!
//! - A request that begins in a span of the host's tracer is part of its trace, whatever `traceparent` it came with: how
//!   incoming context is read is then the host's choice. A context that was only attached, without a span, counts as a
//!   `traceparent`. A request that begins outside of one joins its `traceparent`, and takes the trace of the first of the
//!   host's spans in it.
//! - Spans of the host have the ids here that they have there, in `/api/v1/traces`, exemplars, [`inject()`], and where they are
//!   pushed. One that the host puts into another trace than the request's keeps an id of the agent's here, and is pushed by both.
//! - No span is exported twice. What the host's tracer samples is left to it; the agent pushes the request and the work
//!   that it observed itself, below the spans of the host that they happened in. What it does not sample is pushed by the
//!   agent when the request is kept: a head sampler of 1 % then misses no slow request. So both push to the same backend;
//!   with `OTEL_TRACES_EXPORTER=none` or [`without_otlp_spans`](crate::AgentBuilder::without_otlp_spans), the agent pushes
//!   none.
//! - [`inject()`] and [`OutboundSpan::inject`] put the nearest span of the host on outgoing requests where its tracer samples,
//!   so that what other services record hangs on a span that the backend will have.
//!
//! ```
//! use opentelemetry::trace::TracerProvider as _;
//! use tracing_subscriber::prelude::*;
//!
//! # fn main() -> Result<(), heartline::Error> {
//! # #[cfg(feature = "tracing-opentelemetry")] {
//! let provider = opentelemetry_sdk::trace::SdkTracerProvider::builder().build(); // with the host's exporter and sampler
//! tracing_subscriber::registry()
//!     .with(heartline::trace::layer())
//!     .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("shop")))
//!     .init();
//! let agent = heartline::Agent::builder("shop").start()?;
//! # drop(agent);
//! # }
//! # Ok(()) }
//! ```
//!
//! The layers may be added in either order; with the agent's first, as here, spans that are never entered have the same ids
//! too. The host's tracer is asked for the id of a span when it is entered for the first time, and so begins the span then
//! at the latest, as it does by default: where its `with_context_activation(false)` puts that off, `set_parent` must come
//! before the span is entered.
//!
//! [tracing-opentelemetry]: https://docs.rs/tracing-opentelemetry
//!
//! # Limits
//! All are per process. What is cut is counted and shown with the tree, or in the document.
//!
//! | what | limit |
//! |---|---|
//! | trees of requests that are open | 1,024 |
//! | spans open at a time | 16,384 |
//! | spans, fields, events of a tree | 256, 1,024, 32 |
//! | text of a tree, of a value | 16 KiB, 256 bytes |
//! | fields of a span | 16 |
//! | memory of open trees, of kept ones | 8 MiB, 8 MiB |
//!
//! # Cost
//! About as much as a third of what a full OpenTelemetry layer takes for a span; nothing is allocated once the trees have their
//! memory, and no lock is shared between requests. Without the layer, a request costs one load more. Asking the host's tracer
//! takes about 800 instructions for each span, once: a look-up in the registry, a copy of its context and two turns at the tree,
//! where the two layers take about 9,000 together. With the feature but without such a layer it is about 100.

#[cfg(not(feature = "tracing"))]
mod absent;
mod context;
#[cfg(feature = "tracing")]
mod current;
#[cfg(feature = "tracing")]
mod fields;
#[cfg(feature = "tracing")]
mod forest;
#[cfg(feature = "tracing")]
mod host;
#[cfg(feature = "tracing")]
mod ids;
#[cfg(feature = "tracing")]
mod kept;
#[cfg(feature = "tracing")]
mod layer;
#[cfg(feature = "tracing")]
mod open_spans;
#[cfg(all(feature = "tracing", feature = "otlp"))]
mod outbox;
#[cfg(feature = "tracing")]
mod outgoing;
#[cfg(feature = "tracing")]
mod request;
#[cfg(feature = "tracing")]
mod shown;
#[cfg(feature = "tracing")]
mod tree;
mod work;

#[cfg(not(feature = "tracing"))]
pub(crate) use absent::*;
pub(crate) use context::trace_digits;
pub use context::{InvalidTraceparent, TraceContext};
#[cfg(feature = "tracing")]
pub(crate) use forest::{bytes, counts, waits};
#[cfg(feature = "tracing")]
pub(crate) use host::ASKED as HOST_IS_ASKED;
#[cfg(feature = "tracing")]
pub(crate) use kept::{Ending, Kept};
#[cfg(feature = "tracing")]
pub use layer::{LayerBuilder, builder, layer};
#[cfg(all(feature = "tracing", feature = "otlp"))]
pub(crate) use outbox::Outbox;
#[cfg(feature = "tracing")]
pub use outgoing::{OutboundSpan, current, inject, outbound};
#[cfg(feature = "tracing")]
pub(crate) use request::{Child, RequestTree, Scope, add};
#[cfg(feature = "tracing")]
pub(crate) use shown::{Event, Span, Value};
pub(crate) use work::{Wait, Work, whose};
