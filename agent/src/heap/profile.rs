//! Where memory is held: jemalloc's samples of allocations, folded to call sites, and which of these grow. Whether
//! growth is a leak is not decided here.
//!
//! * `allocator` switches sampling and takes a dump; `stacks` reads it.
//! * `site` says which frame of a stack is the call site.
//! * `growth` keeps the history of the largest sites and says which of them grow.
//! * `desk` brings these together, and `taken` is a profile that somebody asked for.
//! * `plan` decides when to sample and how often, and when to dump; `profiler` does it, on threads of its own.
//!
//! # What it costs
//! While nobody watches, profiling is available and off: an allocation that is released again takes thirteen instructions
//! more than in a program where it is not available, which is for its whole life, and nothing else happens. While sampling,
//! jemalloc unwinds the stack of one allocation each 256 KiB or more, so seldom that it stays at about one percent of one
//! core ([`plan`] says how that is chosen), and gives each sampled allocation pages of its own: up to 16 KiB for every
//! 256 KiB that live. A dump takes milliseconds each two to ten seconds, on a thread of the agent's. Symbols: see
//! [`crate::symbols`].

mod allocator;
mod desk;
mod growth;
mod plan;
mod profiler;
mod site;
mod stacks;
mod taken;

pub(crate) use allocator::exclude_this_thread;
pub(crate) use plan::Moment;
pub(crate) use profiler::{Profiler, Refusal};
pub(crate) use stacks::Stack;
#[cfg(test)]
pub(crate) use stacks::Stacks;
pub(crate) use taken::Taken;
