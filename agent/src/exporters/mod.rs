//! From a snapshot to the bytes other tools read, one format a file; nothing here collects or sends.

mod format;
mod message;
mod naming;
#[cfg(feature = "jemalloc")]
pub(crate) mod pprof;
pub(crate) mod prometheus;
mod protobuf;

pub(crate) use format::Format;
