//! The interactive dashboard: keys, polls and time in, frames out.
//!
//! `state` is the pure part: an event and a moment give a new state and an effect. `event_loop` has the terminal, the
//! session and the crate's only `select!`; `signals` is what the system tells the process.

mod event_loop;
mod run;
mod signals;
pub mod state;

pub use run::run;
