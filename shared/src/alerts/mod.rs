//! The alert language and its engine: `alerts.toml` in, states and transitions out. Pure: no I/O, no clock, no threads.
//!
//! ```text
//! text ── file ── settings, assemble ──► Rule ─────────────┐
//!          │        │                                      ▼
//!          │        └ lexer ► syntax ► resolve ► Signal  engine ──► board, transitions
//!          └ slo, inhibition, notification                 ▲  │
//! Snapshot ── samples ── evaluate ── functions ────────────┘  └─ instance ── machine
//! ```
//!
//! What is not acted upon although it is read and checked: [`AlertFile::not_evaluated`].
//!
//! # Custom metrics
//! Rules may name every metric of the catalogue. A metric of the service's own is declared once, so that its kind, unit
//! and attributes are checked as those of the catalogue are:
//!
//! ```toml
//! [metrics."shop.orders"]
//! kind       = "counter"        # counter, up_down_counter, gauge or histogram
//! unit       = "{order}"        # UCUM, as the service gives it; empty for a plain number
//! attributes = ["vendor"]       # what its series may carry
//! # aggregation = "sum"         # sum, min, max, avg or count; avg for gauges and sum otherwise
//! # boundaries  = [0.1, 0.5, 1] # histograms: the classic boundaries, in the unit; those of the catalogue's
//!                               # metric with the same unit otherwise, as on the agent's page for Prometheus
//! ```
//!
//! # Beyond the grammar
//! Units of bytes may stand before `/s` and `/min` (`> 10MB/s`), and `TiB` exists. A matcher of an override, route or
//! inhibition is exact unless it begins with `=~`; `"*"` is any value.

mod assemble;
mod board;
mod diagnostic;
mod dimension;
mod document;
mod engine;
mod evaluate;
mod file;
mod functions;
mod inhibition;
mod instance;
mod lexer;
mod machine;
mod notification;
mod quantity;
mod resolve;
mod ring;
mod rule;
mod samples;
mod settings;
mod signal;
mod slo;
mod summary;
mod syntax;
mod vocabulary;

pub use board::{AlertInstance, Change, LevelStatus, State, Transition};
pub use diagnostic::Diagnostic;
pub use dimension::Dimension;
pub use engine::Engine;
pub use file::{AlertFile, FILE_BYTES_MAX, NotEvaluated};
pub use inhibition::{AlertMatch, Inhibition, Subject as AlertSubject};
pub use machine::{Phase, RESOLVED_RETENTION};
pub use notification::{Channel, Mute, Notifier, Route, Routing, Secret};
pub use quantity::{Comparison, Condition, Direction, Notation, Quantity, format_duration};
pub use rule::{Clause, Level, NoData, Rule, Subject, Threshold};
pub use samples::{LOOKBACK, Needs, SampleLimits, SampleUsage, Samples, TargetKey};
pub use signal::Signal;
pub use slo::{BurnWindow, Slo};
pub use summary::Template;
pub use vocabulary::{Aggregator, BUILT_IN_SIGNALS, BuiltInSignal, MetricShape};
