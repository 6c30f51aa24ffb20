//! Memory, process and runtime, from `process.*`, `jemalloc.*`, `heartline.memory.*` and `tokio.*`.

use heartline_shared::snapshot::{Leak, Trend};
use serde_json::{Value, json};

use super::figures::{Count, View, ratio, whole_or_null};

/// Where memory is and where it is going.
pub(super) fn memory(view: &View<'_>) -> Value {
    let bytes = |metric| whole_or_null(view.level(metric, &[]));
    let limit = limit(view);
    let used = view.level("process.memory.usage", &[]);
    let heap = view.snapshot.heap.as_ref();
    let allocated = view.count("heartline.heap.allocated", &[]);
    json!({
        "used_bytes": whole_or_null(used),
        "limit_bytes": whole_or_null(limit),
        "used_ratio": used.zip(limit).and_then(|(used, limit)| ratio(used, limit)),
        "allocated_bytes": bytes("jemalloc.allocated"),
        "active_bytes": bytes("jemalloc.active"),
        "resident_bytes": bytes("jemalloc.resident"),
        "retained_bytes": bytes("jemalloc.retained"),
        "allocated_bytes_per_second": allocated.and_then(|allocated| view.per_second(allocated.recent)),
        "trend": heap.map_or(Trend::Unknown, |heap| heap.trend),
        "leak": heap.map_or(Leak::None, |heap| heap.leak),
        "leak_confidence_ratio": view.level("heartline.memory.leak.confidence", &[]),
        "growth_bytes_per_second": heap.and_then(|heap| heap.growth_bytes_per_second),
        "seconds_to_limit": heap.and_then(|heap| heap.seconds_to_limit),
        "evidence": heap.map(|heap| heap.evidence.clone()).unwrap_or_default(),
    })
}

/// The least memory limit that applies.
fn limit(view: &View<'_>) -> Option<f64> {
    let limits = view.totals("heartline.memory.limit").map(|(_, limit)| limit).filter(|limit| *limit > 0.0);
    limits.min_by(f64::total_cmp)
}

/// The process.
pub(super) fn process(view: &View<'_>) -> Value {
    let rate =
        |metric: &str, wanted: &[(&str, &str)]| view.count(metric, wanted).and_then(|it| view.per_second(it.recent));
    json!({
        "cpu_cores": rate("process.cpu.time", &[]),
        "cpu_ratio": view.level("process.cpu.utilization", &[]),
        "threads": whole_or_null(view.level("process.thread.count", &[])),
        "file_descriptors": whole_or_null(view.level("process.unix.file_descriptor.count", &[])),
        "file_descriptors_limit": whole_or_null(view.level("heartline.process.file_descriptor.limit", &[])),
        "disk_read_bytes_per_second": rate("process.disk.io", &[("disk.io.direction", "read")]),
        "disk_written_bytes_per_second": rate("process.disk.io", &[("disk.io.direction", "write")]),
        "agent_used_bytes": whole_or_null(view.level("heartline.agent.memory", &[])),
        "series": whole_or_null(view.level("heartline.series.count", &[])),
        "records_dropped": super::figures::whole(Count::of(view.count("heartline.dropped", &[])).total),
    })
}

/// The tokio runtime; `null` when none is watched.
pub(super) fn runtime(view: &View<'_>) -> Value {
    if !view.snapshot.metrics.iter().any(|family| family.name.starts_with("tokio.")) {
        return Value::Null;
    }
    let delay = view.timing("tokio.schedule.delay", &[]);
    let at = |q| delay.quantile(view.durations(), q);
    json!({
        "workers": whole_or_null(view.level("tokio.worker.count", &[])),
        "tasks": whole_or_null(view.level("tokio.task.count", &[])),
        "global_queue_depth": whole_or_null(view.level("tokio.global_queue.depth", &[])),
        "utilization_ratio": view.level("tokio.runtime.utilization", &[]),
        "schedule_delay_p50_seconds": at(0.5),
        "schedule_delay_p99_seconds": at(0.99),
    })
}
