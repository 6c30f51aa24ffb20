//! The part of a reading that is about the process: memory, CPU, the runtime, and the agent in it. Nothing here
//! computes.

use std::time::Duration;

use heartline_shared::snapshot::{Leak, Sampling, Trend};

use crate::text::Text;

/// Where memory is going.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Heap {
    /// Whether jemalloc is the allocator; without it only the resident memory of the process is known.
    pub jemalloc: Option<bool>,
    /// Bytes the program allocated and has not freed.
    pub allocated_bytes: Option<u64>,
    /// Bytes in pages that hold allocations.
    pub active_bytes: Option<u64>,
    /// Bytes the allocator keeps in physical memory.
    pub resident_bytes: Option<u64>,
    /// Bytes in extents the allocator mapped.
    pub mapped_bytes: Option<u64>,
    /// Bytes of address space kept but not mapped.
    pub retained_bytes: Option<u64>,
    /// Bytes of the allocator's own bookkeeping.
    pub metadata_bytes: Option<u64>,
    /// Memory the process may use.
    pub limit_bytes: Option<u64>,
    /// Who set that limit (`cgroup`, `host`); `None` without a limit.
    pub limit_source: Option<Text>,
    /// Direction of the memory floor.
    pub trend: Trend,
    /// How fast it moves.
    pub growth_bytes_per_second: Option<f64>,
    /// The leak verdict; `None` until the agent has one.
    pub leak: Option<Leak>,
    /// How sure the verdict is, 0 to 1.
    pub confidence: Option<f64>,
    /// Time to the limit at this growth.
    pub seconds_to_limit: Option<f64>,
    /// Why the verdict is what it is, one plain sentence each.
    pub evidence: Vec<Text>,
    /// Call sites that hold memory; `None` from agents that do not know them.
    pub sites: Option<CallSites>,
}

/// What is known of the call sites that allocated what lives.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallSites {
    /// Whether allocations are sampled.
    pub sampling: Sampling,
    /// For how long they were.
    pub sampled: Duration,
    /// Growth of the growing sites over the growth of all.
    pub explained: Option<f64>,
    /// What limits these figures, one sentence each.
    pub notes: Vec<Text>,
    /// Those that grow, the fastest first, then those that hold most.
    pub list: Vec<CallSite>,
}

/// One call site.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CallSite {
    /// The function.
    pub function: Text,
    /// File and line; `None` when not known.
    pub place: Option<Text>,
    /// Bytes it allocated that are not freed.
    pub live_bytes: u64,
    /// How fast they grow; `None` unless they do.
    pub growth_bytes_per_second: Option<f64>,
    /// Share of all growth.
    pub share: Option<f64>,
    /// Share of what it allocated that was still there after a while.
    pub survival: Option<f64>,
}

/// The process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Process {
    /// Share of the CPU limit in use.
    pub cpu_ratio: Option<f64>,
    /// CPUs in use, from the CPU time in the window.
    pub cpu_cores: Option<f64>,
    /// CPUs the process may use.
    pub cpu_limit: Option<f64>,
    /// Resident memory.
    pub rss_bytes: Option<u64>,
    /// Virtual memory.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open file descriptors.
    pub fds: Option<u64>,
    /// Most file descriptors it may open.
    pub fd_limit: Option<u64>,
    /// Time since the process started.
    pub uptime: Option<Duration>,
    /// Bytes read from disk a second.
    pub disk_read_rate: Option<f64>,
    /// Bytes written to disk a second.
    pub disk_write_rate: Option<f64>,
}

/// The tokio runtime.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Runtime {
    /// Worker threads.
    pub workers: Option<u64>,
    /// Tasks alive.
    pub tasks: Option<u64>,
    /// Tasks in the global queue.
    pub global_queue: Option<u64>,
    /// Share of time the workers were busy, all together.
    pub utilization: Option<f64>,
    /// Share of time each worker was busy in the window, by its index.
    pub worker_busy: Vec<(u32, f64)>,
    /// Median of how late a probe task was polled.
    pub schedule_delay_p50_seconds: Option<f64>,
    /// 99th percentile of the same.
    pub schedule_delay_p99_seconds: Option<f64>,
}

/// What the agent says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AgentSelf {
    /// Records offered.
    pub offered: Option<u64>,
    /// Records offered a second.
    pub offered_rate: Option<f64>,
    /// Records that were not stored, since the start.
    pub dropped: Option<u64>,
    /// The same by reason.
    pub by_drop: Vec<(Text, u64)>,
    /// Series held.
    pub series: Option<u64>,
    /// Series that went to overflow at the limit.
    pub series_dropped: Option<u64>,
    /// Bytes the agent holds.
    pub memory_bytes: Option<u64>,
    /// CPUs the agent's own threads use, from its CPU time in the window.
    pub cpu_cores: Option<f64>,
    /// Callbacks of the service that failed, panicked or hung.
    pub callback_failures: Option<u64>,
}
