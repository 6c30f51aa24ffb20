//! The heap: what the allocator says, where the memory floor is going, and whether that looks like a leak.

mod collector;
mod filling;
#[cfg(feature = "jemalloc")]
mod jemalloc;
mod lives;
#[cfg(feature = "jemalloc")]
mod profile;
#[cfg(feature = "jemalloc")]
mod purge;
mod report;
mod slope;
mod trend;
#[cfg(feature = "jemalloc")]
mod turnover;

pub(crate) use collector::HeapCollector;
pub(crate) use lives::Lives;
#[cfg(all(test, feature = "jemalloc"))]
pub(crate) use profile::Stacks;
#[cfg(feature = "jemalloc")]
pub(crate) use profile::{Profiler, Refusal, Stack, Taken, exclude_this_thread};
#[cfg(feature = "jemalloc")]
pub(crate) use purge::{purge, purgeable};
pub use report::HeapReport;
pub use trend::{LeakDetector, LeakVerdict, MemorySample};
