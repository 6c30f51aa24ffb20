//! The heartline dashboard and its headless tools, as a library so that the demo can run it in its own process.
//!
//! Layers, lowest first: `clock`, `text`, `cli`, `config`; `source` (where snapshots come from), `model` (what is known of
//! each target), `alerting`, `session` (all of these together); `screen` (what is chosen), `keymap`, `terminal`, `views`,
//! `app` (the dashboard); `headless`, `program` (arguments to exit code).

pub mod alerting;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod headless;
pub mod keymap;
pub mod model;
mod program;
pub mod screen;
pub mod session;
pub mod source;
pub mod terminal;
pub mod text;
pub mod views;

pub use program::run;
