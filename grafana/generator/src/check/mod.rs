//! What must hold for every dashboard, read from its JSON alone: a map of the checks, without logic.
//!
//! | module | what it holds |
//! |---|---|
//! | [`document`] | a dashboard as Grafana reads it: panels, queries, variables |
//! | [`query`] | a query with its variables replaced, and what it reads |
//! | [`linter`] | the rules of Grafana's dashboard-linter |
//! | [`catalogue`] | metrics, labels and functions against the catalogue; metrics that nobody shows |
//! | [`layout`] | identities, places, links |

pub mod catalogue;
pub mod document;
pub mod layout;
pub mod linter;
pub mod query;
#[cfg(test)]
mod stack;
#[cfg(test)]
mod tests;

pub use document::{Dashboard, Fault};
pub use query::substitute;
