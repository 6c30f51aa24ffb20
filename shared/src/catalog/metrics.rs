//! The table of built-in metrics, one row each; names and units are OpenTelemetry's where it has them (v1.44).

use super::{Aggregation, Kind, Metric};

const NONE: &[f64] = &[];
/// OpenTelemetry's advice for HTTP, and 300 ms and 2 s because alerts name them.
const HTTP_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.3, 0.5, 0.75, 1.0, 2.0, 2.5, 5.0, 7.5, 10.0];
/// OpenTelemetry's advice for database clients.
const DB_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];
const SCHEDULE_SECONDS: &[f64] = &[0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 1.0];
const JOB_SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0, 1800.0];
const BODY_BYTES: &[f64] = &[0.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262_144.0, 1_048_576.0, 16_777_216.0];
const ROWS: &[f64] = &[0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 500.0, 1000.0, 10_000.0];

macro_rules! table {
    ($($name:literal, $kind:ident, $unit:literal, $aggregation:ident, $boundaries:ident, [$($attribute:literal),*], $help:literal;)*) => {
        /// Every built-in metric, grouped by what it is about.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: Kind::$kind,
            unit: $unit,
            help: $help,
            attributes: &[$($attribute),*],
            aggregation: Aggregation::$aggregation,
            boundaries: $boundaries,
        }),*];
    };
}

table! {
    // HTTP
    "http.server.request.duration", Histogram, "s", Sum, HTTP_SECONDS, ["http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"],
        "How long requests took, by route, method and status.";
    "http.server.active_requests", UpDownCounter, "{request}", Sum, NONE, ["http.request.method", "url.scheme"],
        "Requests being served now.";
    "http.server.request.body.size", Histogram, "By", Sum, BODY_BYTES, ["http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"],
        "Size of request bodies.";
    "http.server.response.body.size", Histogram, "By", Sum, BODY_BYTES, ["http.request.method", "url.scheme", "http.route", "http.response.status_code", "error.type"],
        "Size of response bodies.";
    "http.client.request.duration", Histogram, "s", Sum, HTTP_SECONDS, ["http.request.method", "server.address", "server.port", "http.response.status_code", "error.type"],
        "How long outbound requests took.";
    "http.client.active_requests", UpDownCounter, "{request}", Sum, NONE, ["server.address", "server.port", "http.request.method"],
        "Outbound requests waiting for an answer now.";
    // Database
    "db.client.operation.duration", Histogram, "s", Sum, DB_SECONDS, ["db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "db.query.summary", "error.type", "db.response.status_code", "server.address"],
        "How long queries took, by summary.";
    "db.client.response.returned_rows", Histogram, "{row}", Sum, ROWS, ["db.system.name", "db.namespace", "db.operation.name", "db.collection.name", "db.query.summary", "error.type", "db.response.status_code", "server.address"],
        "Rows that queries returned.";
    "db.client.connection.count", UpDownCounter, "{connection}", Sum, NONE, ["db.client.connection.pool.name", "db.client.connection.state"],
        "Connections of the pool, by state.";
    "db.client.connection.max", UpDownCounter, "{connection}", Max, NONE, ["db.client.connection.pool.name"],
        "Most connections the pool may open.";
    "db.client.connection.idle.min", UpDownCounter, "{connection}", Sum, NONE, ["db.client.connection.pool.name"],
        "Fewest idle connections the pool keeps.";
    "db.client.connection.idle.max", UpDownCounter, "{connection}", Sum, NONE, ["db.client.connection.pool.name"],
        "Most idle connections the pool keeps.";
    "db.client.connection.pending_requests", UpDownCounter, "{request}", Sum, NONE, ["db.client.connection.pool.name"],
        "Callers waiting for a connection now.";
    "db.client.connection.timeouts", Counter, "{timeout}", Sum, NONE, ["db.client.connection.pool.name"],
        "Callers that waited too long for a connection.";
    "db.client.connection.create_time", Histogram, "s", Sum, DB_SECONDS, ["db.client.connection.pool.name"],
        "How long opening a connection took.";
    "db.client.connection.wait_time", Histogram, "s", Sum, DB_SECONDS, ["db.client.connection.pool.name"],
        "How long callers waited for a connection.";
    "db.client.connection.use_time", Histogram, "s", Sum, DB_SECONDS, ["db.client.connection.pool.name"],
        "How long connections were held.";
    "heartline.db.slow_operations", Counter, "{operation}", Sum, NONE, ["db.system.name", "db.query.summary"],
        "Queries over the slow threshold, by summary.";
    // Process
    "process.cpu.time", Counter, "s", Sum, NONE, ["cpu.mode"],
        "CPU time of the process.";
    "process.cpu.utilization", Gauge, "1", Avg, NONE, ["cpu.mode"],
        "Share of the CPU limit the process uses.";
    "process.memory.usage", UpDownCounter, "By", Sum, NONE, [],
        "Resident memory of the process.";
    "process.memory.virtual", UpDownCounter, "By", Sum, NONE, [],
        "Virtual memory of the process.";
    "process.disk.io", Counter, "By", Sum, NONE, ["disk.io.direction"],
        "Bytes the process read and wrote on disk.";
    "process.network.io", Counter, "By", Sum, NONE, ["network.io.direction"],
        "Bytes the process sent and received.";
    "process.thread.count", UpDownCounter, "{thread}", Sum, NONE, [],
        "Threads of the process.";
    "process.unix.file_descriptor.count", UpDownCounter, "{file_descriptor}", Sum, NONE, [],
        "Open file descriptors.";
    "process.context_switches", Counter, "{context_switch}", Sum, NONE, ["process.context_switch.type"],
        "Context switches of the process.";
    "process.paging.faults", Counter, "{fault}", Sum, NONE, ["system.paging.fault.type"],
        "Page faults of the process.";
    "process.uptime", Gauge, "s", Max, NONE, [],
        "Time since the process started.";
    "heartline.process.file_descriptor.limit", UpDownCounter, "{file_descriptor}", Max, NONE, [],
        "Most file descriptors the process may open.";
    "heartline.memory.limit", UpDownCounter, "By", Max, NONE, ["heartline.limit.source"],
        "Memory the process may use, and who says so.";
    "heartline.cpu.limit", UpDownCounter, "{cpu}", Max, NONE, ["heartline.limit.source"],
        "CPUs the process may use, and who says so.";
    // Memory & heap
    "jemalloc.allocated", UpDownCounter, "By", Sum, NONE, [],
        "Bytes the program allocated and has not freed.";
    "jemalloc.active", UpDownCounter, "By", Sum, NONE, [],
        "Bytes in pages that hold allocations.";
    "jemalloc.resident", UpDownCounter, "By", Sum, NONE, [],
        "Bytes jemalloc keeps in physical memory.";
    "jemalloc.mapped", UpDownCounter, "By", Sum, NONE, [],
        "Bytes in extents jemalloc mapped.";
    "jemalloc.retained", UpDownCounter, "By", Sum, NONE, [],
        "Bytes of address space kept but not mapped.";
    "jemalloc.metadata", UpDownCounter, "By", Sum, NONE, [],
        "Bytes of jemalloc's own bookkeeping.";
    "heartline.heap.live", UpDownCounter, "By", Sum, NONE, [],
        "Live bytes counted by a counting allocator.";
    "heartline.heap.allocated", Counter, "By", Sum, NONE, [],
        "Bytes allocated since the start.";
    "heartline.heap.allocations", Counter, "{allocation}", Sum, NONE, [],
        "Allocations since the start.";
    "heartline.memory.growth", Gauge, "By/s", Max, NONE, [],
        "Robust slope of the memory floor.";
    "heartline.memory.leak.suspected", Gauge, "", Max, NONE, [],
        "1 while a leak is suspected, else 0.";
    "heartline.memory.leak.confidence", Gauge, "1", Max, NONE, [],
        "How sure the leak verdict is.";
    "heartline.memory.time_to_limit", Gauge, "s", Max, NONE, [],
        "Time until the memory limit at this growth; absent when not growing.";
    // Tokio runtime
    "tokio.worker.count", UpDownCounter, "{worker}", Sum, NONE, [],
        "Worker threads of the runtime.";
    "tokio.task.count", UpDownCounter, "{task}", Sum, NONE, [],
        "Tasks alive in the runtime.";
    "tokio.global_queue.depth", UpDownCounter, "{task}", Sum, NONE, [],
        "Tasks in the runtime's global queue.";
    "tokio.worker.busy.time", Counter, "s", Sum, NONE, ["tokio.worker.index"],
        "Time a worker was busy.";
    "tokio.worker.parks", Counter, "{park}", Sum, NONE, ["tokio.worker.index"],
        "How often a worker parked.";
    "tokio.runtime.utilization", Gauge, "1", Avg, NONE, [],
        "Share of time the workers were busy.";
    "tokio.schedule.delay", Histogram, "s", Sum, SCHEDULE_SECONDS, [],
        "How late a probe task was polled after it was due.";
    "tokio.task.spawned", Counter, "{task}", Sum, NONE, [],
        "Tasks spawned.";
    "tokio.worker.polls", Counter, "{poll}", Sum, NONE, ["tokio.worker.index"],
        "Polls of a worker.";
    "tokio.worker.steals", Counter, "{task}", Sum, NONE, ["tokio.worker.index"],
        "Tasks a worker stole.";
    "tokio.worker.overflows", Counter, "{overflow}", Sum, NONE, ["tokio.worker.index"],
        "How often a worker's local queue overflowed.";
    "tokio.budget_forced_yields", Counter, "{yield}", Sum, NONE, [],
        "Yields forced by the cooperative budget.";
    "tokio.blocking.thread.count", UpDownCounter, "{thread}", Sum, NONE, ["tokio.thread.state"],
        "Threads of the blocking pool, by state.";
    "tokio.blocking.queue.depth", UpDownCounter, "{task}", Sum, NONE, [],
        "Tasks waiting for a blocking thread.";
    "tokio.poll.duration", Histogram, "s", Sum, SCHEDULE_SECONDS, [],
        "How long single polls took.";
    // Cache
    "heartline.cache.requests", Counter, "{request}", Sum, NONE, ["cache.name", "cache.tier", "cache.result"],
        "Look-ups, by cache, tier and result.";
    "heartline.cache.writes", Counter, "{write}", Sum, NONE, ["cache.name", "cache.tier"],
        "Entries written.";
    "heartline.cache.evictions", Counter, "{eviction}", Sum, NONE, ["cache.name", "cache.tier", "cache.eviction.reason"],
        "Entries that left, by reason.";
    "heartline.cache.entry.count", UpDownCounter, "{entry}", Sum, NONE, ["cache.name", "cache.tier"],
        "Entries held now.";
    "heartline.cache.size", UpDownCounter, "By", Sum, NONE, ["cache.name", "cache.tier"],
        "Bytes held now.";
    "heartline.cache.limit", UpDownCounter, "By", Max, NONE, ["cache.name", "cache.tier"],
        "Bytes the cache may hold.";
    "heartline.cache.operation.duration", Histogram, "s", Sum, DB_SECONDS, ["cache.name", "cache.tier", "cache.operation", "error.type"],
        "How long cache operations took.";
    // Jobs
    "heartline.job.count", UpDownCounter, "{job}", Sum, NONE, ["queue.name", "job.state"],
        "Jobs in each state now.";
    "heartline.job.enqueued", Counter, "{job}", Sum, NONE, ["queue.name", "job.name"],
        "Jobs put on the queue.";
    "heartline.job.completed", Counter, "{job}", Sum, NONE, ["queue.name", "job.name", "job.outcome", "error.type"],
        "Runs that ended, by outcome.";
    "heartline.job.duration", Histogram, "s", Sum, JOB_SECONDS, ["queue.name", "job.name", "job.outcome"],
        "How long runs took.";
    "heartline.job.wait.duration", Histogram, "s", Sum, JOB_SECONDS, ["queue.name"],
        "How long jobs waited from enqueue to start.";
    "heartline.job.oldest_age", Gauge, "s", Max, NONE, ["queue.name"],
        "Age of the oldest waiting job.";
    "heartline.job.worker.count", UpDownCounter, "{worker}", Sum, NONE, ["queue.name", "job.worker.state"],
        "Workers of the queue, by state.";
    // Health & resilience
    "heartline.health.status", UpDownCounter, "1", Max, NONE, ["health.check", "health.state"],
        "1 for the current state of a check, 0 for the others.";
    "heartline.health.check.duration", Histogram, "s", Sum, DB_SECONDS, ["health.check"],
        "How long health checks took.";
    "heartline.circuit_breaker.status", UpDownCounter, "1", Max, NONE, ["circuit_breaker.name", "circuit_breaker.state"],
        "1 for the current state of a breaker, 0 for the others.";
    "heartline.circuit_breaker.calls", Counter, "{call}", Sum, NONE, ["circuit_breaker.name", "circuit_breaker.outcome"],
        "Calls through a breaker, by outcome.";
    "heartline.circuit_breaker.call.duration", Histogram, "s", Sum, HTTP_SECONDS, ["circuit_breaker.name", "circuit_breaker.outcome"],
        "How long calls through a breaker took.";
    // Host (feature `system`, off by default)
    "system.cpu.time", Counter, "s", Sum, NONE, ["cpu.mode"],
        "CPU time of the machine.";
    "system.cpu.utilization", Gauge, "1", Avg, NONE, ["cpu.mode"],
        "Share of the machine's CPU in use.";
    "system.memory.usage", UpDownCounter, "By", Sum, NONE, ["system.memory.state"],
        "Memory of the machine, by state.";
    "system.memory.limit", UpDownCounter, "By", Max, NONE, [],
        "Memory of the machine.";
    "system.memory.utilization", Gauge, "1", Avg, NONE, ["system.memory.state"],
        "Share of the machine's memory, by state.";
    "system.paging.usage", UpDownCounter, "By", Sum, NONE, ["system.paging.state"],
        "Swap of the machine, by state.";
    "system.disk.io", Counter, "By", Sum, NONE, ["system.device", "disk.io.direction"],
        "Bytes read and written, by device.";
    "system.disk.operations", Counter, "{operation}", Sum, NONE, ["system.device", "disk.io.direction"],
        "Disk operations, by device.";
    "system.filesystem.utilization", Gauge, "1", Avg, NONE, ["system.device", "system.filesystem.mountpoint"],
        "Share of a file system in use.";
    "system.network.io", Counter, "By", Sum, NONE, ["network.interface.name", "network.io.direction"],
        "Bytes sent and received, by interface.";
    "system.network.errors", Counter, "{error}", Sum, NONE, ["network.interface.name", "network.io.direction"],
        "Network errors, by interface.";
    "system.network.packet.dropped", Counter, "{packet}", Sum, NONE, ["network.interface.name", "network.io.direction"],
        "Packets dropped, by interface.";
    // The agent itself
    "heartline.alert.status", UpDownCounter, "1", Max, NONE, ["alert.name", "alert.severity", "alert.state"],
        "1 while an alert is in this state.";
    "heartline.series.count", UpDownCounter, "{series}", Sum, NONE, [],
        "Series the agent holds.";
    "heartline.series.coarse", UpDownCounter, "1", Max, NONE, [],
        "1 once histograms record in coarser buckets because the memory budget is nearly used up.";
    "heartline.series.dropped", Counter, "{series}", Sum, NONE, ["metric"],
        "Series that went to overflow at the limit, by metric.";
    "otel.sdk.exporter.metric_data_point.exported", Counter, "{data_point}", Sum, NONE, ["otel.component.name", "error.type"],
        "Data points exported.";
    "otel.sdk.exporter.operation.duration", Histogram, "s", Sum, HTTP_SECONDS, ["otel.component.name", "error.type"],
        "How long exports took.";
    // The agent's truth bar
    "heartline.offered", Counter, "{record}", Sum, NONE, [],
        "Records offered to the agent.";
    "heartline.dropped", Counter, "{record}", Sum, NONE, ["reason"],
        "Records that were not stored, by reason.";
    "heartline.agent.memory", UpDownCounter, "By", Sum, NONE, [],
        "Bytes the agent itself holds.";
    "heartline.agent.cpu.time", Counter, "s", Sum, NONE, [],
        "CPU time of the agent's own threads.";
    "heartline.callback.failures", Counter, "{failure}", Sum, NONE, ["callback"],
        "Callbacks of the service that failed, panicked or hung.";
    "heartline.export.lag", Gauge, "s", Avg, NONE, ["exporter"],
        "Age of the newest data that reached the collector.";
    "heartline.admin.requests", Counter, "{request}", Sum, NONE, ["route", "outcome"],
        "Requests to admin routes, by outcome.";
}
