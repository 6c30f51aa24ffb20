//! What the process uses now: CPU, memory, threads, descriptors, context switches, page faults, disk; limits beside it.

use std::time::Duration;

use heartline_shared::Labels;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::limits::{self, Limit};
use crate::snapshot::{Collector, Families, Tick};

/// Limits may be changed while the process runs; they are read again after this long.
const LIMITS_INTERVAL: Duration = Duration::from_secs(10);
/// The shortest time over which CPU utilization is measured.
const UTILIZATION_SPAN: Duration = Duration::from_millis(900);
const CPU_MODES: [&str; 2] = ["system", "user"];

/// Reads the figures of its own process.
pub(crate) struct ProcessCollector {
    system: Option<(System, Pid)>,
    configured_memory: Option<u64>,
    limits: Option<Limits>,
    cpu: CpuUse,
    started: Option<Started>,
}

struct Limits {
    read_at: Duration,
    memory: Option<Limit<u64>>,
    /// What all processes use of it, where it is not this one's own.
    memory_used: Option<u64>,
    cpu: Option<Limit<f64>>,
    descriptors: Option<u64>,
}

/// Uptime is anchored once: the wall clock may step afterwards.
#[derive(Clone, Copy)]
struct Started {
    uptime: Duration,
    at: Duration,
}

impl ProcessCollector {
    /// A collector; `memory_limit` is what the service configured.
    pub(crate) fn new(memory_limit: Option<u64>) -> Self {
        let system = System::new().ok().zip(sysinfo::get_current_pid().ok());
        Self { system, configured_memory: memory_limit, limits: None, cpu: CpuUse::default(), started: None }
    }

    fn collect_limits(&mut self, into: &mut Families, now: Tick) {
        let due = |limits: &Limits| now.mono.saturating_sub(limits.read_at) >= LIMITS_INTERVAL;
        if self.limits.as_ref().is_none_or(due) {
            let memory = limits::memory_limit(self.configured_memory);
            self.limits = Some(Limits {
                read_at: now.mono,
                memory,
                memory_used: memory.and_then(limits::used_under),
                cpu: limits::cpu_limit(),
                descriptors: limits::descriptor_limit(),
            });
        }
        let Some(limits) = &self.limits else { return };
        let source = |source: &'static str| Labels::from_pairs([("heartline.limit.source", source)]);
        if let Some(limit) = limits.memory {
            into.integer("heartline.memory.limit", source(limit.source), limit.value);
            into.used_under_limit = limits.memory_used;
        }
        if let Some(limit) = limits.cpu {
            into.number("heartline.cpu.limit", source(limit.source), limit.value);
        }
        if let Some(limit) = limits.descriptors {
            into.integer("heartline.process.file_descriptor.limit", Labels::empty(), limit);
        }
    }

    fn collect_memory_and_disk(&mut self, into: &mut Families, now: Tick) {
        let Some((system, pid)) = &mut self.system else { return };
        let what = ProcessRefreshKind::nothing().with_memory().with_disk_usage();
        system.refresh_processes_specifics(ProcessesToUpdate::Some(&[*pid]), true, what);
        let Some(process) = system.process(*pid) else { return };
        let disk = process.disk_usage();
        let direction = |direction: &'static str| Labels::from_pairs([("disk.io.direction", direction)]);
        into.integer("process.memory.usage", Labels::empty(), process.memory());
        into.integer("process.memory.virtual", Labels::empty(), process.virtual_memory());
        into.integer("process.disk.io", direction("read"), disk.total_read_bytes);
        into.integer("process.disk.io", direction("write"), disk.total_written_bytes);
        if let Some(open) = process.open_files() {
            into.integer("process.unix.file_descriptor.count", Labels::empty(), open as u64);
        }
        let first = Started { uptime: Duration::from_secs(process.run_time()), at: now.mono };
        let started = self.started.get_or_insert(first);
        let uptime = started.uptime + now.mono.saturating_sub(started.at);
        into.number("process.uptime", Labels::empty(), uptime.as_secs_f64());
    }

    fn collect_cpu(&mut self, into: &mut Families, now: Tick) {
        let Some(usage) = resources() else { return };
        let cpus = self.limits.as_ref().and_then(|limits| limits.cpu).map(|limit| limit.value);
        self.cpu.observe(usage.cpu, now.mono, cpus);
        for (at, mode) in CPU_MODES.into_iter().enumerate() {
            let labels = Labels::from_pairs([("cpu.mode", mode)]);
            into.number("process.cpu.time", labels.clone(), usage.cpu[at].as_secs_f64());
            if let Some(utilization) = self.cpu.utilization {
                into.number("process.cpu.utilization", labels, utilization[at]);
            }
        }
        for (name, attribute, [(first, one), (second, two)]) in [
            (
                "process.context_switches",
                "process.context_switch.type",
                [("voluntary", usage.voluntary_switches), ("involuntary", usage.involuntary_switches)],
            ),
            (
                "process.paging.faults",
                "system.paging.fault.type",
                [("major", usage.major_faults), ("minor", usage.minor_faults)],
            ),
        ] {
            into.integer(name, Labels::from_pairs([(attribute, first)]), one);
            into.integer(name, Labels::from_pairs([(attribute, second)]), two);
        }
    }
}

impl Collector for ProcessCollector {
    fn collect(&mut self, into: &mut Families, now: Tick) {
        self.collect_limits(into, now);
        self.collect_memory_and_disk(into, now);
        self.collect_cpu(into, now);
        if let Some(threads) = num_threads::num_threads() {
            into.integer("process.thread.count", Labels::empty(), threads.get() as u64);
        }
    }
}

/// CPU use between two readings, as a share of what the process may use.
#[derive(Debug, Default)]
struct CpuUse {
    last: Option<([Duration; 2], Duration)>,
    utilization: Option<[f64; 2]>,
}

impl CpuUse {
    /// Takes a reading of system and user time; readings that follow too closely are measured with the next one.
    fn observe(&mut self, cpu: [Duration; 2], at: Duration, cpus: Option<f64>) {
        let Some((earlier, since)) = self.last else {
            self.last = Some((cpu, at));
            return;
        };
        let span = at.saturating_sub(since);
        if span < UTILIZATION_SPAN {
            return;
        }
        self.last = Some((cpu, at));
        self.utilization = cpus.filter(|cpus| *cpus > 0.0).map(|cpus| {
            let share = |mode: usize| cpu[mode].saturating_sub(earlier[mode]).as_secs_f64() / span.as_secs_f64() / cpus;
            [share(0), share(1)]
        });
    }
}

/// What `getrusage` tells; `cpu` is system and user time.
struct Resources {
    cpu: [Duration; 2],
    voluntary_switches: u64,
    involuntary_switches: u64,
    major_faults: u64,
    minor_faults: u64,
}

#[cfg(unix)]
fn resources() -> Option<Resources> {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::{TimeVal, TimeValLike as _};

    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let duration = |time: TimeVal| Duration::from_micros(u64::try_from(time.num_microseconds()).unwrap_or_default());
    let count = |value: std::ffi::c_long| u64::try_from(value).unwrap_or_default();
    Some(Resources {
        cpu: [duration(usage.system_time()), duration(usage.user_time())],
        voluntary_switches: count(usage.voluntary_context_switches()),
        involuntary_switches: count(usage.involuntary_context_switches()),
        major_faults: count(usage.major_page_faults()),
        minor_faults: count(usage.minor_page_faults()),
    })
}

#[cfg(not(unix))]
fn resources() -> Option<Resources> {
    None
}

#[cfg(test)]
mod tests {
    use heartline_shared::UnixMillis;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn collect(collector: &mut ProcessCollector, mono: Duration) -> Families {
        let mut families = Families::default();
        collector.collect(&mut families, Tick { mono, wall: UnixMillis(1_700_000_000_000) });
        families
    }

    #[test]
    fn utilization_is_the_share_of_the_cpus_the_process_may_use() {
        let mut cpu = CpuUse::default();
        cpu.observe([Duration::ZERO, Duration::ZERO], SECOND, Some(2.0));
        cpu.observe([SECOND / 2, SECOND], SECOND * 2, Some(2.0));
        assert_eq!(cpu.utilization, Some([0.25, 0.5]));
    }

    #[test]
    fn readings_that_follow_closely_keep_the_last_utilization() {
        let mut cpu = CpuUse::default();
        cpu.observe([Duration::ZERO; 2], SECOND, Some(1.0));
        cpu.observe([SECOND, SECOND], SECOND * 3, Some(1.0));
        cpu.observe([SECOND, SECOND * 9], SECOND * 3 + SECOND / 10, Some(1.0));
        assert_eq!(cpu.utilization, Some([0.5, 0.5]));
    }

    #[test]
    fn a_clock_that_stands_still_gives_no_utilization() {
        let mut cpu = CpuUse::default();
        for _ in 0..3 {
            cpu.observe([SECOND; 2], SECOND, Some(1.0));
        }
        assert_eq!(cpu.utilization, None);
    }

    #[test]
    fn this_process_has_memory_cpu_time_and_an_uptime() {
        let mut collector = ProcessCollector::new(None);
        let start = Duration::from_secs(100);
        let first = collect(&mut collector, start);
        let burn = (0..2_000_000_u64).fold(0_u64, |sum, value| sum ^ std::hint::black_box(value));
        std::hint::black_box(burn);
        let second = collect(&mut collector, start + SECOND * 5);
        assert!(second.sum("process.memory.usage").unwrap() > 1e6);
        assert!(second.sum("process.cpu.time").unwrap() >= first.sum("process.cpu.time").unwrap());
        assert!(second.sum("process.cpu.utilization").unwrap() > 0.0);
        let grown = second.sum("process.uptime").unwrap() - first.sum("process.uptime").unwrap();
        assert!((grown - 5.0).abs() < 1e-9, "{grown}");
        for name in
            ["heartline.memory.limit", "heartline.cpu.limit", "process.thread.count", "process.context_switches"]
        {
            assert!(second.sum(name).unwrap() > 0.0, "{name}");
        }
    }

    #[test]
    fn a_configured_memory_limit_is_reported_as_such() {
        let families = collect(&mut ProcessCollector::new(Some(1 << 20)), SECOND).into_sorted();
        let limit = families.iter().find(|family| family.name == "heartline.memory.limit").unwrap();
        assert_eq!(limit.numbers.len(), 1);
        assert_eq!(limit.numbers[0].labels.value("heartline.limit.source"), Some("config"));
    }
}
