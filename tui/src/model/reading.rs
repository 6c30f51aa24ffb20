//! What views and headless output show of one target at one moment: totals, and rates and percentiles over a window.
//! How it was computed is not known here, and nothing here computes.
//!
//! `None` always means unknown, never zero: a rate needs two answers, a percentile needs a value in the window, a limit
//! needs someone who set it. Of a target that is down, totals and levels are those of its newest answer, as old as `age`
//! says, and what needs a window is unknown. Totals count since the start of the target's process. Ratios are 0 to 1. Lists are sorted by
//! what they are named by, so that rows keep their place; views sort otherwise if the user asks.

mod system;

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::snapshot::{CheckStatus, Criticality};
use heartline_shared::{Grid, Histogram, Kind, UnixMillis};

pub use system::{AgentSelf, CallSite, CallSites, Heap, Process, Runtime};

use crate::text::Text;

/// How far the figures of a target can be relied on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// The newest answer is as young as the interval allows.
    Fresh,
    /// The newest answer is older than three intervals and than three seconds.
    Stale,
    /// Three polls in a row failed, or none was ever answered.
    #[default]
    Down,
}

/// Everything shown of one target.
#[derive(Debug, Clone, Default)]
pub struct TargetReading {
    /// The target as the user named it.
    pub target: Text,
    /// The service's name; `None` until the first answer, as are the next four.
    pub service: Option<Text>,
    /// Which replica of the service it is.
    pub instance_id: Option<Text>,
    /// The service's version; also `None` when it did not say.
    pub version: Option<Text>,
    /// When the process started counting, by the target's clock.
    pub started_at: Option<UnixMillis>,
    /// How long the process has been counting, at the newest answer.
    pub uptime: Option<Duration>,
    /// Whether the figures can be relied on.
    pub state: Freshness,
    /// Age of the newest answer; `None` when there was none.
    pub age: Option<Duration>,
    /// How often the process was seen to restart.
    pub restarts: u32,
    /// When the newest restart was noticed, by our clock.
    pub restarted_at: Option<UnixMillis>,
    /// Why the newest poll failed; `None` when it did not.
    pub error: Option<Text>,
    /// What the polls cost and left out.
    pub poll: PollReading,
    /// How much time the rates and percentiles below really cover: less than asked for in the beginning, `None` before
    /// the second answer and while the target is down.
    pub window: Option<Duration>,
    /// All requests together.
    pub requests: Requests,
    /// Requests by method and route.
    pub routes: Vec<Route>,
    /// All queries together.
    pub queries: Queries,
    /// Queries by summary.
    pub query_summaries: Vec<QuerySummary>,
    /// Connection pools.
    pub pools: Vec<Pool>,
    /// Caches, by name and tier.
    pub caches: Vec<Cache>,
    /// Job queues.
    pub queues: Vec<Queue>,
    /// Where memory is going.
    pub heap: Heap,
    /// The process.
    pub process: Process,
    /// The tokio runtime; `None` when the agent watches none.
    pub runtime: Option<Runtime>,
    /// Circuit breakers.
    pub breakers: Vec<Breaker>,
    /// Health checks.
    pub checks: Vec<HealthCheck>,
    /// Metrics that are not in the catalogue: the service's own.
    pub custom: Vec<CustomSeries>,
    /// What the agent says of itself.
    pub agent: AgentSelf,
}

impl TargetReading {
    /// How long ago one of its checks ran; `None` until it has run once.
    pub fn check_age(&self, check: &HealthCheck) -> Option<Duration> {
        check.age.map(|age| age.saturating_add(self.age.unwrap_or_default()))
    }
}

/// What the polls of a target cost and left out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PollReading {
    /// How long the newest answered poll took.
    pub took: Option<Duration>,
    /// How many bytes its document had, decoded.
    pub bytes: Option<u64>,
    /// How many polls failed since the newest answer.
    pub failures: u32,
    /// How many series of the newest document were left out because it had too many.
    pub series_left_out: u64,
}

/// All requests of a target together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Requests {
    /// Finished requests, cancelled ones included.
    pub total: Option<u64>,
    /// Finished requests a second.
    pub rate: Option<f64>,
    /// Requests that failed: status 5xx, a panic, or an answer that broke off.
    pub errors: Option<u64>,
    /// Failed requests in relation to all; `None` without requests.
    pub error_ratio: Option<f64>,
    /// Requests whose client went away before the answer.
    pub cancelled: Option<u64>,
    /// Such requests a second.
    pub cancelled_rate: Option<f64>,
    /// Requests being served now.
    pub in_flight: Option<u64>,
    /// Median latency.
    pub p50_seconds: Option<f64>,
    /// 95th percentile.
    pub p95_seconds: Option<f64>,
    /// 99th percentile.
    pub p99_seconds: Option<f64>,
    /// Requests in the window by status class; `None` without a window.
    pub statuses: Option<StatusSplit>,
    /// Latencies in the window, on `latency_grid`; `None` without a window.
    pub latency: Option<Arc<Histogram>>,
    /// The duration grid the target uses; `None` until it has answered with requests.
    pub latency_grid: Option<Arc<Grid>>,
}

/// Requests by how they ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StatusSplit {
    /// 1xx.
    pub informational: u64,
    /// 2xx.
    pub success: u64,
    /// 3xx.
    pub redirect: u64,
    /// 4xx.
    pub client_error: u64,
    /// 5xx.
    pub server_error: u64,
    /// The client went away.
    pub cancelled: u64,
    /// No status: the handler panicked, or the status is not an HTTP one.
    pub other: u64,
}

/// Requests of one method and route.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Route {
    /// The method.
    pub method: Text,
    /// The route's template; `None` for requests that matched none.
    pub route: Option<Text>,
    /// Finished requests, cancelled ones included.
    pub total: u64,
    /// Finished requests a second.
    pub rate: Option<f64>,
    /// Requests that failed: status 5xx, a panic, or an answer that broke off.
    pub errors: u64,
    /// Failed requests in relation to all, in the window; `None` without requests in it.
    pub error_ratio: Option<f64>,
    /// Requests whose client went away before the answer.
    pub cancelled: u64,
    /// Median latency.
    pub p50_seconds: Option<f64>,
    /// 95th percentile.
    pub p95_seconds: Option<f64>,
    /// 99th percentile.
    pub p99_seconds: Option<f64>,
    /// Mean latency.
    pub mean_seconds: Option<f64>,
    /// Requests in the window by status class; `None` without a window.
    pub statuses: Option<StatusSplit>,
    /// Requests since the start by exact status (`"200"`), or by how they ended without one (`"cancelled"`, `"panic"`).
    pub by_status: Vec<(Text, u64)>,
}

/// All queries of a target together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queries {
    /// Finished queries.
    pub total: Option<u64>,
    /// Finished queries a second.
    pub rate: Option<f64>,
    /// Queries that failed.
    pub errors: Option<u64>,
    /// Failed queries in relation to all; `None` without queries.
    pub error_ratio: Option<f64>,
    /// Queries over the slow threshold.
    pub slow: Option<u64>,
    /// Such queries a second.
    pub slow_rate: Option<f64>,
    /// Queries for each request in the window; a rising figure is the mark of an N+1 query.
    pub per_request: Option<f64>,
    /// Median time.
    pub p50_seconds: Option<f64>,
    /// 95th percentile.
    pub p95_seconds: Option<f64>,
    /// 99th percentile.
    pub p99_seconds: Option<f64>,
}

/// Queries with one summary.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QuerySummary {
    /// The database system (`postgresql`, `sqlite`); empty when it did not say.
    pub system: Text,
    /// The summary (`SELECT products`); empty when it did not say.
    pub summary: Text,
    /// Finished queries.
    pub total: u64,
    /// Finished queries a second.
    pub rate: Option<f64>,
    /// Queries that failed.
    pub errors: u64,
    /// Failed queries in relation to all, in the window; `None` without queries in it.
    pub error_ratio: Option<f64>,
    /// Failed queries since the start by type of error.
    pub by_error: Vec<(Text, u64)>,
    /// Queries over the slow threshold; `None` when the agent counts none for this summary.
    pub slow: Option<u64>,
    /// Rows returned by each query on average, in the window; `None` when rows are not recorded.
    pub rows_mean: Option<f64>,
    /// Median time.
    pub p50_seconds: Option<f64>,
    /// 95th percentile.
    pub p95_seconds: Option<f64>,
    /// 99th percentile.
    pub p99_seconds: Option<f64>,
    /// Mean time.
    pub mean_seconds: Option<f64>,
    /// Share of all query time in the window that this summary took.
    pub time_share: Option<f64>,
}

/// A connection pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: Text,
    /// Most connections it may open.
    pub max: Option<u64>,
    /// Connections in use.
    pub used: Option<u64>,
    /// Connections open and unused.
    pub idle: Option<u64>,
    /// Callers waiting for a connection.
    pub pending: Option<u64>,
    /// Callers that gave up waiting.
    pub timeouts: Option<u64>,
    /// Such callers a second.
    pub timeout_rate: Option<f64>,
    /// 95th percentile of the wait for a connection.
    pub wait_p95_seconds: Option<f64>,
    /// Connections handed out a second, where waits are recorded.
    pub acquire_rate: Option<f64>,
}

/// One tier of a cache.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cache {
    /// Its name.
    pub name: Text,
    /// Its tier (`l1`, `l2`).
    pub tier: Text,
    /// Look-ups.
    pub requests: u64,
    /// Look-ups a second.
    pub rate: Option<f64>,
    /// Share of look-ups in the window that found something, out of date or not, as the alerts count it; over all
    /// look-ups since the start while the window has none.
    pub hit_ratio: Option<f64>,
    /// Look-ups that hit.
    pub hits: u64,
    /// Look-ups that missed.
    pub misses: u64,
    /// Look-ups that found something out of date.
    pub stale: u64,
    /// Look-ups that failed.
    pub errors: u64,
    /// Entries written.
    pub writes: Option<u64>,
    /// Entries written a second.
    pub write_rate: Option<f64>,
    /// Entries that left.
    pub evictions: Option<u64>,
    /// Entries that left, a second.
    pub eviction_rate: Option<f64>,
    /// Entries that left since the start, by reason.
    pub by_eviction: Vec<(Text, u64)>,
    /// Entries held.
    pub entries: Option<u64>,
    /// Bytes held.
    pub bytes: Option<u64>,
    /// Bytes it may hold.
    pub limit_bytes: Option<u64>,
}

/// A job queue.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue {
    /// Its name.
    pub name: Text,
    /// Jobs waiting.
    pub waiting: Option<u64>,
    /// Jobs running.
    pub active: Option<u64>,
    /// Jobs whose time has not come.
    pub delayed: Option<u64>,
    /// Jobs waiting for another try.
    pub retrying: Option<u64>,
    /// Jobs that failed for good and are kept.
    pub dead: Option<u64>,
    /// Jobs held back.
    pub paused: Option<u64>,
    /// Jobs put on the queue.
    pub enqueued: Option<u64>,
    /// Jobs put on the queue a second.
    pub enqueue_rate: Option<f64>,
    /// Runs that succeeded.
    pub completed: u64,
    /// Such runs a second.
    pub complete_rate: Option<f64>,
    /// Runs that failed or were given up.
    pub failed: u64,
    /// Such runs a second.
    pub fail_rate: Option<f64>,
    /// Runs that will be tried again.
    pub retried: u64,
    /// 95th percentile of the time from enqueue to start.
    pub wait_p95_seconds: Option<f64>,
    /// 95th percentile of the time a run took.
    pub run_p95_seconds: Option<f64>,
    /// Age of the oldest waiting job.
    pub oldest_age: Option<Duration>,
    /// When the waiting jobs will be done at the present pace; `None` when nothing waits or the queue does not shrink.
    pub drain: Option<Duration>,
}

/// How a circuit breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls pass.
    Closed,
    /// Calls are rejected.
    Open,
    /// A few calls pass, to see whether it helps.
    HalfOpen,
}

/// A circuit breaker.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Breaker {
    /// Its name.
    pub name: Text,
    /// How it stands.
    pub state: Option<BreakerState>,
    /// Calls that succeeded.
    pub success: u64,
    /// Calls that failed.
    pub failure: u64,
    /// Calls that ended in a way the breaker does not count.
    pub ignored: u64,
    /// Calls it rejected.
    pub rejected: u64,
    /// Calls a second, rejected ones included.
    pub rate: Option<f64>,
    /// Failed and rejected calls in relation to all, in the window.
    pub failure_ratio: Option<f64>,
    /// 95th percentile of the time a call took.
    pub p95_seconds: Option<f64>,
}

/// A health check.
#[derive(Debug, Clone, PartialEq)]
pub struct HealthCheck {
    /// Its name.
    pub name: Text,
    /// What its failure means.
    pub criticality: Criticality,
    /// How it stands; `None` until it has run once.
    pub status: Option<CheckStatus>,
    /// How long the newest run took.
    pub latency_seconds: Option<f64>,
    /// How long before the newest answer the newest run ended; `None` until it has run once.
    pub age: Option<Duration>,
    /// What it said.
    pub message: Option<Text>,
}

/// One series of a metric that is not in the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct CustomSeries {
    /// The metric.
    pub name: Text,
    /// What its numbers mean.
    pub kind: Kind,
    /// Its unit; may be empty.
    pub unit: Text,
    /// Its attributes as `name=value`, separated by spaces; may be empty.
    pub labels: Text,
    /// The number, or how many values a histogram holds.
    pub value: f64,
    /// Increase a second of a counter or histogram.
    pub rate: Option<f64>,
    /// Median of a histogram's values in the window, in its unit.
    pub p50: Option<f64>,
    /// 95th percentile of a histogram's values in the window, in its unit.
    pub p95: Option<f64>,
}
