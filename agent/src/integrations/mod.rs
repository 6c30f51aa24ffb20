//! What the agent knows of other libraries: one file for one cargo feature for one crate, off means absent.
//!
//! | feature | what is observed | how to begin |
//! |---|---|---|
//! | `tower` | requests through any tower service that speaks [`http`] | [`Agent::http_layer`](crate::Agent::http_layer) |
//! | `axum` | the same layer learns the route template; single handlers | [`Agent::timed`](crate::Agent::timed) |
//! | `sqlx` | queries, their rows and errors, the connection pool | [`Agent::sqlx`](crate::Agent::sqlx) |
//!
//! This file holds every `cfg(feature)` of the folder; the files themselves are written as if always present.

#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "sqlx")]
mod sqlx;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "tower")]
mod unwinding;

#[cfg(feature = "axum")]
pub use self::axum::{Timed, TimedFuture};
#[cfg(feature = "sqlx")]
pub use self::sqlx::{Observed, ObservedConnection, ObservedPool, ObservedTransaction};
#[cfg(feature = "tower")]
pub use self::tower::{HttpFuture, HttpLayer, HttpService, ObservedBody, RouteTemplate};

/// Where a request may carry its route template, in the order they are asked.
#[cfg(feature = "tower")]
const ROUTE_SOURCES: &[fn(&http::Extensions) -> Option<&str>] = &[
    tower::route_template,
    #[cfg(feature = "axum")]
    axum::matched_path,
];
