//! Metrics to an OpenTelemetry collector: a snapshot as OTLP's messages, a client that sends them, and the loop that decides
//! when. Where snapshots come from is passed in.
//!
//! Everything sent is cumulative, so what a collector missed while it was away is in the next request, and one request at
//! a time is all that is ever kept.

mod client;
mod exporter;
mod figures;
mod grpc;
mod mapping;
mod outcome;
mod resource;
mod schedule;
mod starts;

pub(crate) use exporter::Exporter;
pub(crate) use figures::Figures;
