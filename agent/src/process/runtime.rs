//! The host's tokio runtimes: workers, tasks, busy time, and how late a task that is ready gets polled.
//!
//! The delay is measured by a probe: the agent's thread says "you are due now" through a small channel to a task on the
//! host's runtime, which answers with the time at which it was polled. The probe is sent at its own pace however late
//! the answers are, so a blocked runtime shows as many late probes and not as one; it needs no timer in the host's
//! runtime; and the host's worker does no more than read a clock and write to a channel.
//! Only stable parts of tokio's metrics are used. Several runtimes are added up; workers are numbered through.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::{Grid, GridKind, Labels};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::clock::Stamp;
use crate::instruments::Histogram;
use crate::recording::Shape;
use crate::snapshot::{Collector, Families, Tick};

/// Probes that may wait for an answer; a runtime that is blocked longer than this many probes is still seen as late,
/// with fewer samples.
const PROBES_MAX: usize = 256;
/// The pace of the probe, varied so that it does not fall into step with timers of the host.
const PROBE_INTERVALS: [Duration; 4] =
    [Duration::from_millis(11), Duration::from_millis(17), Duration::from_millis(13), Duration::from_millis(19)];
/// The shortest time over which utilization is measured.
const UTILIZATION_SPAN: Duration = Duration::from_millis(900);

/// The runtimes that are watched; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeWatch(Arc<Mutex<Watched>>);

#[derive(Debug)]
struct Watched {
    runtimes: Vec<Probed>,
    delay: Histogram,
}

#[derive(Debug)]
struct Probed {
    handle: Handle,
    due: mpsc::Sender<Stamp>,
    delays: mpsc::Receiver<u64>,
}

impl Default for RuntimeWatch {
    fn default() -> Self {
        let delay = Histogram::new(&Shape::unbounded(Grid::of(GridKind::Duration)));
        Self(Arc::new(Mutex::new(Watched { runtimes: Vec::new(), delay })))
    }
}

impl RuntimeWatch {
    /// Watches a runtime from now until it shuts down. Adding it again changes nothing.
    pub(crate) fn add(&self, handle: Handle) {
        let mut watched = self.0.lock();
        if watched.runtimes.iter().any(|known| known.handle.id() == handle.id()) {
            return;
        }
        let (due, due_here) = mpsc::channel(PROBES_MAX);
        let (answer, delays) = mpsc::channel(PROBES_MAX);
        handle.spawn(probe(due_here, answer));
        watched.runtimes.push(Probed { handle, due, delays });
    }

    /// Sends one probe to each runtime and records the answers to earlier ones. A runtime that ended is forgotten.
    fn beat(&self) {
        let mut watched = self.0.lock();
        let Watched { runtimes, delay } = &mut *watched;
        for runtime in runtimes.iter_mut() {
            while let Ok(nanos) = runtime.delays.try_recv() {
                delay.record_units(nanos);
            }
            // A full channel means that the runtime owes answers: those already say how late it is.
            let _ = runtime.due.try_send(Stamp::now());
        }
        runtimes.retain(|runtime| !runtime.due.is_closed());
    }
}

/// Runs on the host's runtime until the agent goes away.
async fn probe(mut due: mpsc::Receiver<Stamp>, answer: mpsc::Sender<u64>) {
    while let Some(due) = due.recv().await {
        if answer.try_send(due.elapsed_nanos()).is_err() && answer.is_closed() {
            return;
        }
    }
}

/// Keeps the probes going; runs on the agent's own runtime until it is dropped.
pub(crate) async fn pulse(watch: RuntimeWatch) {
    for interval in PROBE_INTERVALS.into_iter().cycle() {
        tokio::time::sleep(interval).await;
        watch.beat();
    }
}

/// Reads the figures of the runtimes that are watched.
pub(crate) struct RuntimeCollector {
    watch: RuntimeWatch,
    busy: Option<(Duration, Duration)>,
    utilization: Option<f64>,
}

impl RuntimeCollector {
    /// A collector of what `watch` knows.
    pub(crate) fn new(watch: RuntimeWatch) -> Self {
        Self { watch, busy: None, utilization: None }
    }

    /// Busy time of all workers as a share of the time that passed.
    fn observe(&mut self, busy: Duration, workers: usize, now: Duration) {
        let Some((earlier, since)) = self.busy else {
            self.busy = Some((busy, now));
            return;
        };
        let span = now.saturating_sub(since).as_secs_f64() * workers as f64;
        if now.saturating_sub(since) < UTILIZATION_SPAN {
            return;
        }
        self.busy = Some((busy, now));
        // A runtime that ended took its busy time with it: nothing can be said about this span.
        self.utilization = busy.checked_sub(earlier).map(|worked| (worked.as_secs_f64() / span).clamp(0.0, 1.0));
    }
}

impl Collector for RuntimeCollector {
    fn collect(&mut self, into: &mut Families, now: Tick) {
        let (handles, delay) = {
            let watched = self.watch.0.lock();
            let handles: Vec<Handle> = watched.runtimes.iter().map(|runtime| runtime.handle.clone()).collect();
            (handles, watched.delay.value())
        };
        if handles.is_empty() {
            return;
        }
        let (mut workers, mut tasks, mut queued, mut busy) = (0, 0, 0, Duration::ZERO);
        for metrics in handles.iter().map(Handle::metrics) {
            tasks += metrics.num_alive_tasks();
            queued += metrics.global_queue_depth();
            for worker in 0..metrics.num_workers() {
                let labels = Labels::from_pairs([("tokio.worker.index", (workers + worker).to_string())]);
                let time = metrics.worker_total_busy_duration(worker);
                into.number("tokio.worker.busy.time", labels.clone(), time.as_secs_f64());
                into.integer("tokio.worker.parks", labels, metrics.worker_park_count(worker));
                busy += time;
            }
            workers += metrics.num_workers();
        }
        into.integer("tokio.worker.count", Labels::empty(), workers as u64);
        into.integer("tokio.task.count", Labels::empty(), tasks as u64);
        into.integer("tokio.global_queue.depth", Labels::empty(), queued as u64);
        into.histogram("tokio.schedule.delay", Labels::empty(), delay);
        self.observe(busy, workers, now.mono);
        if let Some(utilization) = self.utilization {
            into.number("tokio.runtime.utilization", Labels::empty(), utilization);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc as blocking;

    use heartline_shared::UnixMillis;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn host(workers: usize) -> Runtime {
        Builder::new_multi_thread().worker_threads(workers).build().unwrap() // no timer: the probe needs none
    }

    fn collect(collector: &mut RuntimeCollector, seconds: u64) -> Families {
        let mut families = Families::default();
        collector.collect(&mut families, Tick { mono: Duration::from_secs(seconds), wall: UnixMillis(0) });
        families
    }

    fn answers(watch: &RuntimeWatch) -> heartline_shared::Histogram {
        watch.0.lock().delay.value()
    }

    /// Beats until `done`, and fails after a deadline.
    fn beat_until(
        watch: &RuntimeWatch,
        done: impl Fn(&heartline_shared::Histogram) -> bool,
    ) -> heartline_shared::Histogram {
        let start = Stamp::now();
        while start.elapsed() < Duration::from_secs(20) {
            watch.beat();
            let seen = answers(watch);
            if done(&seen) {
                return seen;
            }
            std::thread::yield_now();
        }
        panic!("the probe did not answer: {:?}", answers(watch));
    }

    #[test]
    fn an_idle_runtime_answers_and_shows_its_workers_and_the_probe_task() {
        let runtime = host(2);
        let watch = RuntimeWatch::default();
        watch.add(runtime.handle().clone());
        watch.add(runtime.handle().clone());
        beat_until(&watch, |seen| seen.count >= 3);
        let families = collect(&mut RuntimeCollector::new(watch), 1);
        assert_eq!(families.sum("tokio.worker.count"), Some(2.0));
        assert_eq!(families.sum("tokio.task.count"), Some(1.0));
        assert!(families.sum("tokio.worker.busy.time").is_some());
    }

    #[test]
    fn a_blocked_runtime_shows_as_many_late_probes() {
        let runtime = host(1);
        let watch = RuntimeWatch::default();
        watch.add(runtime.handle().clone());
        let (release, blocked) = blocking::channel::<()>();
        let (entered, is_blocked) = blocking::channel();
        runtime.spawn(async move {
            entered.send(()).unwrap();
            let _ = blocked.recv();
        });
        is_blocked.recv().unwrap();
        let start = Stamp::now();
        while start.elapsed() < Duration::from_millis(60) {
            (0..8).for_each(|_| watch.beat());
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        let seen = beat_until(&watch, |seen| seen.count >= 100);
        let late = seen.count - seen.count_at_or_below(&Grid::of(GridKind::Duration), 0.01).unwrap();
        assert!(late >= 50, "{late} of {}", seen.count);
    }

    #[test]
    fn a_runtime_that_ended_is_forgotten() {
        let runtime = host(1);
        let watch = RuntimeWatch::default();
        watch.add(runtime.handle().clone());
        runtime.shutdown_timeout(Duration::from_secs(5));
        watch.beat();
        let mut collector = RuntimeCollector::new(watch);
        assert!(collect(&mut collector, 1).into_sorted().is_empty());
    }

    #[test]
    fn utilization_is_the_share_of_all_workers() {
        let mut collector = RuntimeCollector::new(RuntimeWatch::default());
        let second = Duration::from_secs(1);
        collector.observe(Duration::ZERO, 4, second);
        collector.observe(second * 2, 4, second * 2);
        assert_eq!(collector.utilization, Some(0.5));
        collector.observe(second, 4, second * 3);
        assert_eq!(collector.utilization, None, "busy time fell: a runtime ended");
    }
}
