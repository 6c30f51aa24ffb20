//! The commands without a screen: the state as lines of JSON or as text, the alerts as an exit code.
//!
//! `tick` is the document of one moment, `state` the same for people, `events` what a command waits for, `watch` and
//! `check` are the commands, `rules` checks alert files.

mod check;
mod events;
mod rules;
mod state;
#[cfg(test)]
mod tests;
mod tick;
mod watch;

pub use check::{EXIT_UNKNOWN, check};
pub use rules::check_rules;
pub use tick::Tick;
pub use watch::{Format, run_for, watch};
