//! One moment as a JSON object: the fixed shape that scripts and tests read. Additions are possible, changes are not.
//!
//! Unknown is `null`, never 0 or "none": a leak verdict before the agent has one, a rate before the second answer. While the
//! state is `down`, totals, levels and verdicts are as old as `age_seconds`, and rates and percentiles are `null`. Ratios are 0 to 1, times are seconds, sizes are bytes; totals count since the start of the
//! target's process, rates and percentiles cover the window.

use std::collections::BTreeMap;

use heartline_shared::UnixMillis;
use heartline_shared::snapshot::{Leak, Trend};
use serde::Serialize;

use crate::alerting::{AlertRow, AlertState, Board, Level};
use crate::model::Model;
use crate::model::reading::{self, Freshness, TargetReading};

/// Everything at one moment.
#[derive(Debug, Serialize)]
pub struct Tick<'a> {
    ts_ms: UnixMillis,
    targets: Vec<Target<'a>>,
    alerts: Vec<Alert<'a>>,
}

#[derive(Debug, Serialize)]
struct Target<'a> {
    #[serde(rename = "target")]
    name: &'a str,
    service: Option<&'a str>,
    instance_id: Option<&'a str>,
    state: Freshness,
    age_seconds: Option<f64>,
    restarts: u32,
    error: Option<&'a str>,
    requests: Requests,
    routes: Vec<Route<'a>>,
    queries: Queries,
    pools: Vec<Pool<'a>>,
    caches: Vec<Cache<'a>>,
    queues: Vec<Queue<'a>>,
    heap: Heap,
    process: Process,
}

#[derive(Debug, Serialize)]
struct Requests {
    total: Option<u64>,
    rate: Option<f64>,
    error_ratio: Option<f64>,
    in_flight: Option<u64>,
    p50_seconds: Option<f64>,
    p95_seconds: Option<f64>,
    p99_seconds: Option<f64>,
}

/// `route` is `null` for requests that matched none.
#[derive(Debug, Serialize)]
struct Route<'a> {
    method: &'a str,
    #[serde(rename = "route")]
    template: Option<&'a str>,
    total: u64,
    rate: Option<f64>,
    error_ratio: Option<f64>,
    p95_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Queries {
    total: Option<u64>,
    rate: Option<f64>,
    error_ratio: Option<f64>,
    p95_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Pool<'a> {
    name: &'a str,
    max: Option<u64>,
    used: Option<u64>,
    idle: Option<u64>,
    pending: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Cache<'a> {
    name: &'a str,
    tier: &'a str,
    hit_ratio: Option<f64>,
    requests: u64,
}

#[derive(Debug, Serialize)]
struct Queue<'a> {
    name: &'a str,
    waiting: Option<u64>,
    active: Option<u64>,
    completed: u64,
    failed: u64,
}

#[derive(Debug, Serialize)]
struct Heap {
    allocated_bytes: Option<u64>,
    resident_bytes: Option<u64>,
    limit_bytes: Option<u64>,
    trend: Trend,
    growth_bytes_per_second: Option<f64>,
    leak: Option<Leak>,
    seconds_to_limit: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Process {
    cpu_ratio: Option<f64>,
    rss_bytes: Option<u64>,
}

/// `target` is `null` for a rule that watches nothing yet, and for one that is about all targets together.
#[derive(Debug, Serialize)]
pub(super) struct Alert<'a> {
    name: &'a str,
    level: Level,
    state: AlertState,
    value: Option<f64>,
    target: Option<&'a str>,
    labels: BTreeMap<&'a str, &'a str>,
    since_ms: Option<UnixMillis>,
}

impl<'a> Tick<'a> {
    /// What `model` and `board` say at `now`.
    pub fn of(model: &'a Model, board: &'a Board, now: UnixMillis) -> Self {
        let targets = model.targets().iter().map(|target| Target::of(target.reading())).collect();
        Self { ts_ms: now, targets, alerts: board.rows.iter().map(Alert::of).collect() }
    }

    /// The object on one line.
    ///
    /// # Errors
    /// None in practice: the document has nothing that JSON has not.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }
}

impl<'a> Target<'a> {
    fn of(reading: &'a TargetReading) -> Self {
        Self {
            name: reading.target.as_str(),
            service: reading.service.as_ref().map(AsRef::as_ref),
            instance_id: reading.instance_id.as_ref().map(AsRef::as_ref),
            state: reading.state,
            age_seconds: reading.age.map(|age| age.as_secs_f64()),
            restarts: reading.restarts,
            error: reading.error.as_ref().map(AsRef::as_ref),
            requests: Requests::of(&reading.requests),
            routes: reading.routes.iter().map(Route::of).collect(),
            queries: Queries::of(&reading.queries),
            pools: reading.pools.iter().map(Pool::of).collect(),
            caches: reading.caches.iter().map(Cache::of).collect(),
            queues: reading.queues.iter().map(Queue::of).collect(),
            heap: Heap::of(&reading.heap),
            process: Process { cpu_ratio: reading.process.cpu_ratio, rss_bytes: reading.process.rss_bytes },
        }
    }
}

impl Requests {
    fn of(requests: &reading::Requests) -> Self {
        Self {
            total: requests.total,
            rate: requests.rate,
            error_ratio: requests.error_ratio,
            in_flight: requests.in_flight,
            p50_seconds: requests.p50_seconds,
            p95_seconds: requests.p95_seconds,
            p99_seconds: requests.p99_seconds,
        }
    }
}

impl<'a> Route<'a> {
    fn of(route: &'a reading::Route) -> Self {
        Self {
            method: route.method.as_str(),
            template: route.route.as_ref().map(AsRef::as_ref),
            total: route.total,
            rate: route.rate,
            error_ratio: route.error_ratio,
            p95_seconds: route.p95_seconds,
        }
    }
}

impl Queries {
    fn of(queries: &reading::Queries) -> Self {
        let reading::Queries { total, rate, error_ratio, p95_seconds, .. } = *queries;
        Self { total, rate, error_ratio, p95_seconds }
    }
}

impl<'a> Pool<'a> {
    fn of(pool: &'a reading::Pool) -> Self {
        Self { name: pool.name.as_str(), max: pool.max, used: pool.used, idle: pool.idle, pending: pool.pending }
    }
}

impl<'a> Cache<'a> {
    fn of(cache: &'a reading::Cache) -> Self {
        Self {
            name: cache.name.as_str(),
            tier: cache.tier.as_str(),
            hit_ratio: cache.hit_ratio,
            requests: cache.requests,
        }
    }
}

impl<'a> Queue<'a> {
    fn of(queue: &'a reading::Queue) -> Self {
        Self {
            name: queue.name.as_str(),
            waiting: queue.waiting,
            active: queue.active,
            completed: queue.completed,
            failed: queue.failed,
        }
    }
}

impl Heap {
    fn of(heap: &reading::Heap) -> Self {
        Self {
            allocated_bytes: heap.allocated_bytes,
            resident_bytes: heap.resident_bytes,
            limit_bytes: heap.limit_bytes,
            trend: heap.trend,
            growth_bytes_per_second: heap.growth_bytes_per_second,
            leak: heap.leak,
            seconds_to_limit: heap.seconds_to_limit,
        }
    }
}

impl<'a> Alert<'a> {
    pub(super) fn of(row: &'a AlertRow) -> Self {
        Self {
            name: row.name.as_str(),
            level: row.level,
            state: row.state,
            value: row.value,
            target: row.target.as_ref().map(AsRef::as_ref),
            labels: row.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
            since_ms: row.since,
        }
    }
}
