//! Writes heartline's Grafana dashboards and checks them: a map of its modules, without logic.
//!
//! | module | what is in it |
//! |---|---|
//! | [`names`] | the names Prometheus shows for the metrics of the catalogue |
//! | [`template`] | short queries as the boards write them, completed with selectors, ranges and native histograms |
//! | [`dimension`] | what the values of a query measure, and Grafana's name for it |
//! | [`thresholds`] | thresholds and windows of the shipped alerts |
//! | [`panel`], [`variable`], [`board`] | classic dashboard JSON |
//! | [`boards`] | the eleven boards |
//! | [`files`] | the files that the boards are, and which on disk differ |
//! | [`check`] | what must hold for every dashboard, read from its JSON alone |

pub mod board;
pub mod boards;
pub mod check;
pub mod dimension;
pub mod files;
pub mod names;
pub mod panel;
pub mod template;
pub mod thresholds;
pub mod variable;
