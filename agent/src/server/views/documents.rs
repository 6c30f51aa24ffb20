//! The documents that take all blocks together: index, summary, dashboard, the newest second. What is in a block is not
//! known here.

use serde_json::{Value, json};

use super::figures::{View, joined};
use super::verdicts::verdicts;
use super::{caches, jobs, process, queries, requests};
use crate::recorder::{Reach, STEPS};

/// Rows of the lists in the dashboard.
const ROWS: usize = 20;

/// Totals and percentiles by block.
pub(super) fn summary(view: &View<'_>) -> Value {
    let blocks = json!({
        "requests": requests::block(view),
        "queries": queries::block(view),
        "caches": caches::block(view),
        "jobs": jobs::block(view),
        "memory": process::memory(view),
        "process": process::process(view),
        "runtime": process::runtime(view),
    });
    joined(view.heading(), blocks)
}

/// Everything a person wants to read: verdicts first, then each block with its rows.
pub(super) fn dashboard(view: &View<'_>) -> Value {
    let summary = summary(view);
    let rows = json!({
        "routes": requests::routes(view, ROWS),
        "slowest_queries": queries::heaviest(view, ROWS),
        "pools": queries::pools(view),
        "cache_tiers": caches::each(view),
        "queues": jobs::each(view),
        "checks": view.snapshot.checks,
    });
    let whole = joined(summary, rows);
    let verdicts = verdicts(&whole);
    joined(whole, json!({"verdicts": verdicts}))
}

/// The blocks of now, and where there is more.
pub(super) fn index(view: &View<'_>, reach: &Reach) -> Value {
    let links = json!({
        "summary": "/api/performance/summary",
        "dashboard": "/api/performance/dashboard",
        "queries": "/api/performance/queries",
        "realtime": "/api/performance/realtime",
        "trends": "/api/performance/trends",
        "cache": "/api/performance/cache",
        "jobs": "/api/performance/jobs",
        "failed_jobs": "/api/performance/jobs/failed",
        "history": "/api/v1/history",
        "snapshot": "/api/v1/snapshot",
        "metrics": "/metrics",
        "health": "/health",
    });
    joined(summary(view), json!({"history": history(reach), "links": links}))
}

/// What happened in the newest seconds.
pub(super) fn realtime(view: &View<'_>) -> Value {
    let blocks = json!({
        "requests": requests::block(view),
        "queries": queries::block(view),
        "caches": caches::block(view),
        "jobs": jobs::block(view),
        "pools": queries::pools(view),
        "memory": process::memory(view),
        "process": process::process(view),
        "runtime": process::runtime(view),
    });
    joined(view.heading(), blocks)
}

/// How far back the flight recorder reaches.
pub(super) fn history(reach: &Reach) -> Value {
    let steps = reach.lanes.iter().zip(STEPS).map(|(lane, step)| {
        json!({
            "step_seconds": step.as_secs(),
            "from": lane.from.map(|from| from.to_string()),
            "from_ms": lane.from,
            "frames": lane.frames,
            "shed_frames": lane.shed,
            "used_bytes": lane.bytes,
        })
    });
    json!({
        "from": reach.from.map(|from| from.to_string()),
        "from_ms": reach.from,
        "to": reach.to.map(|to| to.to_string()),
        "to_ms": reach.to,
        "used_bytes": reach.bytes,
        "limit_bytes": reach.bytes_max,
        "series_left_out": reach.series_left_out,
        "steps": steps.collect::<Vec<_>>(),
    })
}
