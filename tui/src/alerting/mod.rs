//! The alerts over the targets: rules and samples in, a board of alerts out. Nothing here draws or opens a socket.
//!
//! `rules` finds and reads the rules and notices when they change, `engine` feeds samples to the shared engine, `board` is
//! what is shown, `log` keeps the changes in a file.

pub mod board;
mod engine;
mod log;
mod rules;

pub use board::{AlertRow, AlertState, Board, Level, Problems, TransitionRow};
pub use engine::Alerting;
pub use log::ChangeLog;
pub use rules::{Mistake, RULES_POLL, RuleFile, RuleSource, RuleWatch};
