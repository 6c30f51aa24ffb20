//! The process and the tokio runtime in it.

use super::{Timing, View, span};
use crate::model::reading::{Process, Runtime};

pub(super) fn process(view: &View<'_>) -> Process {
    let whole = |metric| view.whole_level(metric, &[]);
    let disk = |direction| {
        let count = view.count("process.disk.io", &[("disk.io.direction", direction)])?;
        view.per_second(count.recent)
    };
    let cpu_limits = view.rows("heartline.cpu.limit").filter(|row| row.number() > 0.0);
    Process {
        cpu_ratio: view.level("process.cpu.utilization", &[]),
        cpu_cores: view.count("process.cpu.time", &[]).and_then(|time| view.per_second(time.recent)),
        cpu_limit: cpu_limits.map(|row| row.number()).min_by(f64::total_cmp),
        rss_bytes: whole("process.memory.usage"),
        virtual_bytes: whole("process.memory.virtual"),
        threads: whole("process.thread.count"),
        fds: whole("process.unix.file_descriptor.count"),
        fd_limit: whole("heartline.process.file_descriptor.limit"),
        uptime: view.level("process.uptime", &[]).and_then(span),
        disk_read_rate: disk("read"),
        disk_write_rate: disk("write"),
    }
}

pub(super) fn runtime(view: &View<'_>) -> Option<Runtime> {
    let watched = view.store.metrics().any(|(name, metric)| name.starts_with("tokio.") && !metric.series.is_empty());
    let mut delay = Timing::default();
    view.rows("tokio.schedule.delay").for_each(|row| delay.add(&row));
    let mut worker_busy: Vec<(u32, f64)> = view
        .rows("tokio.worker.busy.time")
        .filter_map(|row| {
            let index = row.label("tokio.worker.index").parse().ok()?;
            Some((index, view.per_second(row.recent())?.clamp(0.0, 1.0)))
        })
        .collect();
    worker_busy.sort_unstable_by_key(|(index, _)| *index);
    watched.then(|| Runtime {
        workers: view.whole_level("tokio.worker.count", &[]),
        tasks: view.whole_level("tokio.task.count", &[]),
        global_queue: view.whole_level("tokio.global_queue.depth", &[]),
        utilization: view.level("tokio.runtime.utilization", &[]),
        worker_busy,
        schedule_delay_p50_seconds: view.seconds(&delay.recent, 0.5),
        schedule_delay_p99_seconds: view.seconds(&delay.recent, 0.99),
    })
}
