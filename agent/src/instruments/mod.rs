//! THE HOT PATH: what runs on the threads of the host. No lock, no allocation, no system call, no await, no panic.
//!
//! Instruments do not know their names; the registry owns them and readers load them.

mod counter;
mod gauge;
mod histogram;
mod in_flight;
mod slots;
mod timer;

pub use counter::Counter;
pub use gauge::Gauge;
pub use histogram::Histogram;
pub use in_flight::{InFlight, InFlightGuard};
pub(crate) use slots::{ALL_SLOTS, DIGITS, LOOKS, Slots, Taken};
pub use timer::Timer;
