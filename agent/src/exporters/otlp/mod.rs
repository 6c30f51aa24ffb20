//! Metrics and kept spans to an OpenTelemetry collector: a snapshot as OTLP's messages, a client that sends them, and the loop that decides
//! when. Where snapshots come from is passed in.
//!
//! Metrics are cumulative, so what a collector missed while it was away is in the next request, and one request at
//! a time is all that is ever kept. Metrics of somebody else go along where they are handed over with a request for a push, and
//! are kept no longer than that. Of spans, the newest that fit wait for it.

mod asking;
mod client;
mod complaints;
mod exporter;
mod figures;
mod grpc;
mod mapping;
mod outcome;
mod resource;
mod schedule;
#[cfg(feature = "tracing")]
mod span_mapping;
#[cfg(feature = "tracing")]
mod spans;
mod starts;
mod trust;

#[cfg(feature = "opentelemetry_sdk")]
pub(crate) use asking::Along;
pub(crate) use asking::Asking;
pub(crate) use exporter::Exporter;
pub(crate) use figures::Figures;
#[cfg(feature = "opentelemetry_sdk")]
pub(crate) use mapping::count;
#[cfg(feature = "tracing")]
pub(crate) use resource::of as resource;
#[cfg(feature = "tracing")]
pub(crate) use spans::SpanExporter;
