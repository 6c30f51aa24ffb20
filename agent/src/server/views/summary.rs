//! The figures of the summary as one structured event of the log. When it is logged is not decided here.

use std::time::Duration;

use heartline_shared::Snapshot;

use super::documents;
use super::figures::View;
use crate::recorder::FlightRecorder;

/// Logs what happened in the newest `interval`, as an event of the target `heartline::summary`. A figure that is not known
/// is left out.
pub(crate) async fn log_summary(snapshot: &Snapshot, recorder: &FlightRecorder, interval: Duration) {
    let window = recorder.window(interval).await;
    let document = documents::summary(&View { snapshot, window: &window });
    let number = |block: &str, figure: &str| document[block][figure].as_f64();
    let whole = |block: &str, figure: &str| document[block][figure].as_u64();
    tracing::info!(
        target: "heartline::summary",
        window_seconds = document["window_seconds"].as_f64(),
        requests = whole("requests", "count"),
        requests_per_second = number("requests", "rate_per_second"),
        request_errors = whole("requests", "errors"),
        request_error_ratio = number("requests", "error_ratio"),
        request_p50_seconds = number("requests", "p50_seconds"),
        request_p95_seconds = number("requests", "p95_seconds"),
        request_p99_seconds = number("requests", "p99_seconds"),
        requests_in_flight = whole("requests", "in_flight"),
        queries = whole("queries", "count"),
        query_errors = whole("queries", "errors"),
        queries_slow = whole("queries", "slow"),
        query_p95_seconds = number("queries", "p95_seconds"),
        cache_hit_ratio = number("caches", "hit_ratio"),
        jobs_completed = whole("jobs", "completed"),
        jobs_failed = whole("jobs", "failed"),
        jobs_waiting = whole("jobs", "waiting"),
        memory_used_bytes = whole("memory", "used_bytes"),
        memory_limit_bytes = whole("memory", "limit_bytes"),
        leak = document["memory"]["leak"].as_str(),
        cpu_cores = number("process", "cpu_cores"),
        uptime_seconds = snapshot.uptime_seconds,
        "summary"
    );
}
