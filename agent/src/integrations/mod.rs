//! What the agent knows of other libraries: one file for one cargo feature for one crate, off means absent.
//!
//! | feature | what is observed | how to begin |
//! |---|---|---|
//! | `tower` | requests through any tower service that speaks [`http`] | [`Agent::http_layer`](crate::Agent::http_layer) |
//! | `tower` | nothing: the endpoint as a service of the host's own router | [`Agent::endpoint`](crate::Agent::endpoint) |
//! | `axum` | the same for axum's routers, which say the route template | [`Agent::axum_layer`](crate::Agent::axum_layer) |
//! | `axum` | single handlers | [`Agent::timed`](crate::Agent::timed) |
//! | `sqlx` | queries, their rows and errors, the connection pool | [`Agent::sqlx`](crate::Agent::sqlx) |
//! | `moka` | an in-process cache tier | [`Agent::moka`](crate::Agent::moka) |
//! | `redis` | a cache tier on a Redis server | [`Agent::redis_cache`](crate::Agent::redis_cache) |
//! | `opentelemetry_sdk` | nothing: metrics of the host's own SDK are pushed with the agent's | [`Agent::sdk_metric_exporter`](crate::Agent::sdk_metric_exporter) |
//! | `tracing-opentelemetry` | the ids of the host's own spans, beside which the agent's layer is | [`trace`](crate::trace) |
//! | `apalis` | job workers, queues and their depth | [`Agent::apalis_layer`](crate::Agent::apalis_layer) |
//!
//! This file holds every `cfg(feature)` of the folder; the files themselves are written as if always present.

#[cfg(feature = "apalis")]
mod apalis;
#[cfg(feature = "axum")]
mod axum;
#[cfg(feature = "moka")]
mod moka;
#[cfg(feature = "tower")]
mod mount;
#[cfg(feature = "opentelemetry_sdk")]
mod opentelemetry_sdk;
#[cfg(any(feature = "apalis", feature = "redis"))]
mod polling;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "tower")]
mod routes;
#[cfg(feature = "sqlx")]
mod sqlx;
#[cfg(feature = "tower")]
mod tower;
#[cfg(any(feature = "tower", feature = "apalis"))]
mod unwinding;

#[cfg(feature = "apalis")]
pub use self::apalis::{JobFuture, JobLayer, JobService};
#[cfg(feature = "axum")]
pub use self::axum::{AxumFuture, AxumLayer, AxumService, Timed, TimedFuture};
#[cfg(feature = "moka")]
pub use self::moka::{ObservedCache, ObservedCacheBuilder};
#[cfg(feature = "opentelemetry_sdk")]
pub use self::opentelemetry_sdk::SdkMetricExporter;
#[cfg(any(feature = "apalis", feature = "redis"))]
pub use self::polling::Polling;
#[cfg(feature = "redis")]
pub use self::redis::ObservedRedis;
#[cfg(feature = "tower")]
pub use self::routes::RouteTemplate;
#[cfg(feature = "sqlx")]
pub use self::sqlx::{Observed, ObservedConnection, ObservedPool, ObservedTransaction};
#[cfg(feature = "tower")]
pub use self::tower::{HttpFuture, HttpLayer, HttpService, ObservedBody};

/// Where a request may carry its route template, in the order they are asked.
#[cfg(feature = "tower")]
const ROUTE_SOURCES: &[fn(&http::Extensions) -> Option<&str>] = &[
    routes::route_template,
    #[cfg(feature = "axum")]
    axum::matched_path,
];
