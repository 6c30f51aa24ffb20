//! From a snapshot to the bytes other tools read, one format a file; nothing here collects or sends.

mod format;
pub(crate) mod prometheus;
pub(crate) mod protobuf;

pub(crate) use format::Format;
