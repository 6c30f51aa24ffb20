//! The eleven boards, each a file that answers one question. How a board becomes JSON is not known here.

mod agent;
mod alerts;
mod cache;
mod database;
mod http;
mod jobs;
mod memory;
mod overview;
mod runtime;
mod scaling;
mod slo;

use crate::board::Board;

/// Every board, general ones first.
pub fn all() -> Vec<Board> {
    vec![
        overview::board(),
        http::board(),
        database::board(),
        memory::board(),
        runtime::board(),
        cache::board(),
        jobs::board(),
        slo::board(),
        alerts::board(),
        scaling::board(),
        agent::board(),
    ]
}

/// Requests, as the error ratio counts them.
const REQUESTS: &str = "http_server_request_duration_seconds_count";
/// Those that failed; a client that went away is not a failure.
const FAILED_REQUESTS: &str = r#"http_server_request_duration_seconds_count{error_type!~"|cancelled"}"#;
/// Share of the CPU limit in use: user and system added.
const CPU: &str = "sum by (job, instance) (process_cpu_utilization_ratio)";
/// Share of the memory limit in use.
const MEMORY: &str =
    "max by (job, instance) (process_memory_usage_bytes) / max by (job, instance) (heartline_memory_limit_bytes)";
/// Why a query of an alert has the range it has.
const ALERT_WINDOW: &str = "the query has the window of the alert, so that it shows what the alert saw";
/// Why a number has the whole chosen time as its range.
const CHOSEN_TIME: &str = "the number is about the whole chosen time";
/// Why a query of alerts has no plain instance.
const SHARED_ALERTS: &str =
    "alerts about what all instances share, such as a queue, have no instance: the matcher lets them through";
