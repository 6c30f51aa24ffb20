//! THE HOT PATH: what runs on the threads of the host. No await, no panic; no lock that is waited for, no allocation and no
//! system call, but for the rare records that the [crate] names. For the same reason not from a global allocator or a
//! signal handler.
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
