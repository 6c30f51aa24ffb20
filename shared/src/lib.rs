//! What the heartline agent and the dashboard must agree on: the metric catalogue, the bucket grid, the histogram,
//! the snapshot document and the alert engine. No I/O, no async, no clock.
//!
//! Layers, lowest first: `time`, `label`, `catalog`, `buckets`, `error`, then `histogram`, `exponential`, `snapshot`, `alerts`.

#[cfg(feature = "alerts")]
pub mod alerts;
pub mod buckets;
pub mod catalog;
pub mod error;
pub mod exponential;
pub mod frame;
pub mod histogram;
pub mod label;
pub mod snapshot;
pub mod time;

pub use buckets::{Grid, GridKind};
pub use catalog::{Aggregation, Kind, Metric};
pub use error::Error;
pub use exponential::{Exponential, Native};
pub use histogram::Histogram;
pub use label::Labels;
pub use snapshot::Snapshot;
pub use time::UnixMillis;
