//! The process as the operating system sees it, its limits, the machine, and the tokio runtime it runs on. What cannot
//! be known on a platform is absent, never 0.

mod cgroup;
#[cfg(feature = "system")]
mod host;
#[cfg(feature = "system")]
mod host_cpu;
mod limits;
mod runtime;
mod usage;

#[cfg(feature = "system")]
pub(crate) use host::HostCollector;
pub(crate) use runtime::{RuntimeCollector, RuntimeWatch, pulse};
pub(crate) use usage::ProcessCollector;
