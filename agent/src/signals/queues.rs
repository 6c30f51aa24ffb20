//! Job queues: what waits, what runs, how it ended; which library stores the jobs is not known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heartline_shared::{Labels, UnixMillis};

use crate::clock::Stamp;
use crate::instruments::{Counter, Histogram, InFlight, InFlightGuard};
use crate::registry::{Registry, Room};
use crate::signals::failures::{FailedJob, Failures, ShortText};
use crate::signals::resolved::Resolved;
use crate::snapshot::Families;

const COMPLETED: &str = "heartline.job.completed";
const DURATION: &str = "heartline.job.duration";

/// How many jobs are in each state; what the probe answers. `None` is unknown and not shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Ready to run.
    pub waiting: Option<u64>,
    /// Running.
    pub active: Option<u64>,
    /// Due later.
    pub delayed: Option<u64>,
    /// Failed, to be run again.
    pub retrying: Option<u64>,
    /// Failed for good and kept.
    pub failed: Option<u64>,
    /// Held back.
    pub paused: Option<u64>,
    /// Age of the oldest job that is ready to run.
    pub oldest_age: Option<Duration>,
}

/// A handle to one queue; clones share it.
///
/// ```
/// # fn main() -> Result<(), heartline::Error> {
/// let agent = heartline::Agent::builder("shop").start()?;
/// let emails = agent.queue("email");
/// emails.enqueued();
/// let job = emails.start("welcome");
/// job.completed();
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Queue(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Arc<Registry>,
    failures: Arc<Failures>,
    name: String,
    labels: Labels,
    enqueued: Counter,
    enqueued_as: Resolved<String, Counter>,
    jobs: Resolved<String, Arc<Job>>,
    wait: Histogram,
    offered: Counter,
    started: Counter,
    active: InFlight,
    has_probe: AtomicBool,
}

/// The series of one kind of job.
#[derive(Debug)]
struct Job {
    name: ShortText,
    succeeded: Counter,
    retried: Counter,
    failed_labels: Labels,
    failed: Resolved<String, Counter>,
    took: [Histogram; 3],
}

/// How a run ended; the index of its duration series.
#[derive(Clone, Copy)]
enum Outcome {
    Success,
    Failure,
    Retry,
}

/// A job being run. Say how it ended; dropped it counts as failed with the type `abandoned`.
#[derive(Debug)]
#[must_use = "dropping the guard counts the job as abandoned"]
pub struct JobGuard {
    queue: Queue,
    job: Arc<Job>,
    start: Stamp,
    finished: bool,
    id: Option<ShortText>,
    attempts: Option<u32>,
    _active: InFlightGuard,
}

impl Queue {
    pub(crate) fn new(registry: &Arc<Registry>, failures: &Arc<Failures>, name: &str) -> Self {
        let labels = Labels::from_pairs([("queue.name", name)]);
        Self(Arc::new(Series {
            enqueued: registry.counter("heartline.job.enqueued", labels.clone(), Room::Reserved),
            wait: registry.histogram("heartline.job.wait.duration", labels.clone(), Room::Reserved),
            registry: Arc::clone(registry),
            failures: Arc::clone(failures),
            name: name.to_owned(),
            labels,
            enqueued_as: Resolved::new(),
            jobs: Resolved::new(),
            offered: Counter::default(),
            started: Counter::default(),
            active: InFlight::default(),
            has_probe: AtomicBool::new(false),
        }))
    }

    /// A job was put on the queue.
    pub fn enqueued(&self) {
        self.0.offered.increment();
        self.0.enqueued.increment();
    }

    /// A job of this kind was put on the queue.
    pub fn enqueued_as(&self, job: &str) {
        let series = &*self.0;
        series.offered.increment();
        let resolve = || {
            let labels = series.labels.clone().with("job.name", job);
            series.registry.counter("heartline.job.enqueued", labels, Room::Shared)
        };
        series.enqueued_as.with(job, resolve, Counter::increment);
    }

    /// A job of this kind begins to run.
    pub fn start(&self, job: &str) -> JobGuard {
        let series = &*self.0;
        series.started.increment();
        let job = series.jobs.with(job, || Arc::new(Job::new(series, job)), Arc::clone);
        JobGuard {
            job,
            start: Stamp::now(),
            finished: false,
            id: None,
            attempts: None,
            _active: series.active.enter(),
            queue: self.clone(),
        }
    }

    /// Marks that a probe counts the jobs; the agent's own counts are not shown then.
    pub(crate) fn set_probed(&self) {
        self.0.has_probe.store(true, Ordering::Relaxed);
    }

    /// Adds what the agent counted itself, unless a probe knows better.
    pub(crate) fn read_own(&self, into: &mut Families) {
        if !self.0.has_probe.load(Ordering::Relaxed) {
            let waiting = self.0.offered.value().saturating_sub(self.0.started.value());
            let active = Some(self.0.active.value());
            self.read(QueueStatus { waiting: Some(waiting), active, ..QueueStatus::default() }, into);
        }
    }

    /// Adds what the probe answered.
    pub(crate) fn read(&self, status: QueueStatus, into: &mut Families) {
        let counts = [
            ("waiting", status.waiting),
            ("active", status.active),
            ("delayed", status.delayed),
            ("retrying", status.retrying),
            ("failed", status.failed),
            ("paused", status.paused),
        ];
        let labels = &self.0.labels;
        for (state, jobs) in counts {
            if let Some(jobs) = jobs {
                into.integer("heartline.job.count", labels.clone().with("job.state", state), jobs);
            }
        }
        if let Some(age) = status.oldest_age {
            into.number("heartline.job.oldest_age", labels.clone(), age.as_secs_f64());
        }
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.0.name
    }
}

impl Job {
    fn new(queue: &Series, name: &str) -> Self {
        let labels = queue.labels.clone().with("job.name", name);
        let registry = &queue.registry;
        let completed =
            |outcome| registry.counter(COMPLETED, labels.clone().with("job.outcome", outcome), Room::Shared);
        let took = |outcome| registry.histogram(DURATION, labels.clone().with("job.outcome", outcome), Room::Shared);
        completed("failure"); // so that its rate exists before the first failure brings an error type
        Self {
            name: ShortText::new(name),
            succeeded: completed("success"),
            retried: completed("retry"),
            failed_labels: labels.clone().with("job.outcome", "failure"),
            failed: Resolved::new(),
            took: ["success", "failure", "retry"].map(took),
        }
    }
}

impl JobGuard {
    /// Records how long the job had waited before it began.
    pub fn after(self, wait: Duration) -> Self {
        self.queue.0.wait.record(wait);
        self
    }

    /// What the queue calls this job, and the how manieth attempt this run is: shown beside its failure. The first 64 bytes
    /// of the id are kept. Nothing of what the job is about comes here.
    pub fn identified(mut self, id: impl std::fmt::Display, attempt: u32) -> Self {
        self.id = Some(ShortText::displayed(&id));
        self.attempts = Some(attempt);
        self
    }

    /// The job did its work.
    pub fn completed(mut self) {
        self.job.succeeded.increment();
        self.end(Outcome::Success);
    }

    /// The job failed and will be run again.
    pub fn retried(mut self) {
        // it waits again
        self.queue.0.offered.increment();
        self.job.retried.increment();
        self.end(Outcome::Retry);
    }

    /// The job failed for good; `error_type` is one of few stable words. The newest failures are listed under
    /// `/api/v1/jobs/failed`.
    pub fn failed(mut self, error_type: &str) {
        self.fail(error_type);
    }

    fn fail(&mut self, error_type: &str) {
        let registry = &self.queue.0.registry;
        let labels = || self.job.failed_labels.clone().with("error.type", error_type);
        let resolve = || registry.counter(COMPLETED, labels(), Room::Shared);
        self.job.failed.with(error_type, resolve, Counter::increment);
        self.queue.0.failures.record(&FailedJob {
            number: 0,
            at: UnixMillis(0),
            queue: ShortText::new(&self.queue.0.name),
            job: self.job.name,
            error_type: ShortText::new(error_type),
            id: self.id,
            attempts: self.attempts,
        });
        self.end(Outcome::Failure);
    }

    fn end(&mut self, outcome: Outcome) {
        self.finished = true;
        self.job.took[outcome as usize].record_units(self.start.elapsed_nanos());
    }
}

impl Drop for JobGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.fail("abandoned");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Agent;

    #[test]
    fn a_job_that_is_run_again_waits_again() {
        let agent = Agent::builder("test").without_listener().start().unwrap();
        let emails = agent.queue("email");
        let waiting = || {
            let mut families = Families::default();
            emails.read_own(&mut families);
            families.sum("heartline.job.count") // none is active
        };
        emails.enqueued();
        for _ in 0..3 {
            emails.start("welcome").retried();
            assert_eq!(waiting(), Some(1.0));
        }
        emails.start("welcome").completed();
        emails.enqueued();
        assert_eq!(waiting(), Some(1.0));
    }
}
