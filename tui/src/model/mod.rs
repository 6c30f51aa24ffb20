//! What is known of each target: bounded history, counters turned into rates, restarts, staleness. No drawing, no
//! sockets, no clock: `now` is a parameter.

pub mod chart;
pub mod reading;

pub use chart::{Axis, Chart};
pub use reading::{Freshness, TargetReading};
