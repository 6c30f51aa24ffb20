//! From a snapshot to the bytes other tools read, one format a file; nothing here collects or sends.

mod format;
mod message;
#[cfg(feature = "jemalloc")]
pub(crate) mod pprof;
pub(crate) mod prometheus;
pub(crate) mod protobuf;

pub(crate) use format::Format;
