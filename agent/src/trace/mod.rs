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
//! memory, and no lock is shared between requests. Without the layer, a request costs one load more.

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
