//! The heap: what the allocator says, where the memory floor is going, and whether that looks like a leak.

mod collector;
#[cfg(feature = "jemalloc")]
mod jemalloc;
#[cfg(feature = "jemalloc")]
mod profile;
#[cfg(feature = "jemalloc")]
mod purge;
mod report;
mod slope;
mod trend;

pub(crate) use collector::HeapCollector;
#[cfg(feature = "jemalloc")]
pub(crate) use profile::{Frame, Mapping, Profiler, Refusal, Taken, exclude_this_thread};
#[cfg(all(test, feature = "jemalloc"))]
pub(crate) use profile::{Stack, Stacks};
#[cfg(feature = "jemalloc")]
pub(crate) use purge::{purge, purgeable};
pub use report::HeapReport;
pub use trend::{LeakDetector, LeakVerdict, MemorySample};
