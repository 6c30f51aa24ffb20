//! From a snapshot to the bytes other tools read, one format a file. Nothing here collects, and only `otlp` sends.

mod format;
mod message;
mod naming;
#[cfg(feature = "otlp")]
pub(crate) mod otlp;
#[cfg(any(feature = "jemalloc", feature = "cpu-profile"))]
pub(crate) mod pprof;
pub(crate) mod prometheus;
mod protobuf;

pub(crate) use format::Format;
