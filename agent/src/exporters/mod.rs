//! From a snapshot to the bytes other tools read, one format a file; nothing here collects or sends.

pub(crate) mod prometheus;
