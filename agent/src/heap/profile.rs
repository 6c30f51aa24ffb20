//! Where memory is held: jemalloc's samples of allocations, folded to call sites, and which of these grow. Whether
//! growth is a leak is not decided here.
//!
//! * `allocator` switches sampling and takes a dump; `stacks` reads it.
//! * `site` says which frame of a stack is the call site.
//! * `growth` keeps the history of the largest sites and says which of them grow.
//! * `desk` brings these together, and `taken` is a profile that somebody asked for.
//! * `profiler` decides when to sample and when to dump, on threads of its own.
//!
//! # What it costs
//! Nothing while nobody watches: profiling is available and off. While sampling, jemalloc unwinds the stack of one
//! allocation each 256 KiB or more, so seldom that it stays at about one percent of one core ([`profiler`] says how that
//! is chosen), and gives each sampled allocation pages of its own: up to 16 KiB for every 256 KiB that live. A dump takes
//! milliseconds each two to ten seconds, on a thread of the agent's. Symbols: see [`crate::symbols`].

mod allocator;
mod desk;
mod growth;
mod profiler;
mod site;
mod stacks;
mod taken;

pub(crate) use allocator::exclude_this_thread;
pub(crate) use profiler::{Moment, Profiler, Refusal};
pub(crate) use stacks::Stack;
#[cfg(test)]
pub(crate) use stacks::Stacks;
pub(crate) use taken::Taken;
