//! What the end-to-end tests stand on: programs, servers and a shop that are started, watched and ended.
//! Knows the programs only through what a user sees of them: command lines, ports, output.
//!
//! | module | what is in it |
//! |---|---|
//! | `waiting` | a condition with a deadline instead of a sleep |
//! | `program` | a child process with its output, ended when dropped |
//! | `binaries` | where the built programs are |
//! | `readings` | totals of a snapshot, to be held against other counts |
//! | `servers` | Redis, PostgreSQL and Prometheus from the system packages |
//! | `shop` | the reference service, its counters and its fault switches |
//! | `alert_rules` | the shipped rules on a shorter clock |
//! | `screen` | the dashboard in a pseudo-terminal: its lines, and keys |
//! | `ticks` | what `heartline watch --headless --json` prints, as values |

pub mod alert_rules;
pub mod binaries;
pub mod program;
pub mod readings;
pub mod screen;
pub mod servers;
pub mod shop;
pub mod ticks;
pub mod waiting;
