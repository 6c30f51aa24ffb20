//! Jobs through apalis: a layer around each run, an enqueue that stamps the time, and the depth of the queue; which backend
//! keeps the jobs is apalis' affair.
//!
//! How a run counts:
//!
//! | the run | counts as |
//! |---|---|
//! | returned `Ok` | `success` |
//! | returned an error, and the job will run again | `retry` |
//! | returned an error for the last time, or an `AbortError` | `failure`, with the type of the error |
//! | panicked through the layer | `failure`, `panic` |
//! | dropped: the worker was stopped, a time-out outside the layer | `failure`, `abandoned` |
//!
//! A job will run again when the error is a `RetryAfterError` or a `DeferredError`, or when it has attempts left: those of
//! [`JobLayer::attempts_max`], else the task's own `max_attempts`, which SQL backends fill in. Add the layer **after**
//! `.retry(..)`, so that each attempt is a run.
//!
//! The wait is the time from enqueueing (or from the time the job was due) to its first run. Jobs that were pushed with
//! [`Queue::push`] carry the millisecond; for others the task's `run_at` is used, which is in whole seconds, so their
//! waits are up to a second too long.
//!
//! ```no_run
//! # async fn run(pool: sqlx::Pool<sqlx::Sqlite>) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//! use apalis_core::worker::builder::WorkerBuilder;
//! use apalis_sqlite::SqliteStorage;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Email { to: String }
//!
//! async fn send(email: Email) -> Result<(), apalis_core::error::BoxDynError> {
//!     println!("to {}", email.to);
//!     Ok(())
//! }
//!
//! let agent = heartline::Agent::builder("shop").start()?;
//! let emails = agent.queue("email");
//! let mut storage = SqliteStorage::<Email>::new(&pool);
//! emails.push(&mut storage, Email { to: "you@example.com".to_owned() }).await?;
//! agent.poll_backend(&emails, Duration::from_secs(5), storage.clone())?;
//!
//! let worker = WorkerBuilder::new("emails").backend(storage).layer(agent.apalis_layer(&emails)).build(send);
//! worker.run().await?;
//! # Ok(()) }
//! ```

use std::any::{Any, type_name};
use std::fmt::{self, Display};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use apalis_core::backend::{BackendConfig, Metrics, Statistic, TaskSink, TaskSinkError};
use apalis_core::error::{AbortError, BoxDynError, DeferredError, RetryAfterError};
use apalis_core::task::metadata::{Metadata, MetadataStore};
use apalis_core::task::{ExecutionContext, Task};
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::polling::{Polling, poll};
use super::unwinding::{EndedByPanic, Unwinding};
use crate::clock::Tick;
use crate::{Agent, Error, JobGuard, QueryError, Queue, QueueStatus};

impl Agent {
    /// A layer for the workers of `queue`: counts and times each run. Keep one [`Queue`] per queue and hand it to the
    /// layer, the push and the poll alike.
    pub fn apalis_layer(&self, queue: &Queue) -> JobLayer {
        JobLayer { queue: queue.clone(), rules: Arc::new(Rules::default()) }
    }

    /// Asks `ask` every `every` how many jobs are in each state, on the tokio runtime that this is called in. Use it with
    /// a query that an index answers, such as a count by status.
    ///
    /// # Errors
    /// [`Error::Setting`] outside of a tokio runtime.
    pub fn poll_queue<E, F>(
        &self,
        queue: &Queue,
        every: Duration,
        ask: impl FnMut() -> F + Send + 'static,
    ) -> Result<Polling, Error>
    where
        E: Display + Send + 'static,
        F: Future<Output = Result<QueueStatus, E>> + Send + 'static,
    {
        let (polling, latest) = poll(("poll_queue", queue.name()), every, ask)?;
        self.watch_queue(queue, move || latest.get().unwrap_or_default());
        Ok(polling)
    }

    /// Asks the backend itself every `every`, through apalis' own statistics. They cost SQL backends a dozen scans of the
    /// queue's jobs: ask every few seconds, and prune done jobs, or use [`poll_queue`](Self::poll_queue).
    ///
    /// Jobs that a worker has fetched and not begun count as waiting; failed ones include those that will run again.
    ///
    /// # Errors
    /// [`Error::Setting`] outside of a tokio runtime.
    pub fn poll_backend<B>(&self, queue: &Queue, every: Duration, backend: B) -> Result<Polling, Error>
    where
        B: Metrics + Send + 'static,
    {
        let backend = Arc::new(tokio::sync::Mutex::new(backend));
        self.poll_queue(queue, every, move || {
            let backend = Arc::clone(&backend);
            async move {
                let statistics = backend.lock().await.fetch_by_queue().await?;
                Ok::<_, B::Error>(status(&statistics, Tick::now()))
            }
        })
    }
}

/// What the statistics of an SQL backend say; a figure that is missing is unknown.
fn status(statistics: &[Statistic], now: Tick) -> QueueStatus {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of jobs, saturating")]
    let figure = |title: &str| {
        let statistic = statistics.iter().find(|statistic| statistic.title == title)?;
        statistic.value.parse::<f64>().ok().map(|value| value as u64)
    };
    let (pending, due, running) = (figure("PENDING_JOBS"), figure("QUEUE_BACKLOG"), figure("RUNNING_JOBS"));
    let unfinished = figure("ACTIVE_JOBS");
    let fetched = unfinished
        .zip(pending)
        .zip(running)
        .map(|((all, pending), running)| all.saturating_sub(pending).saturating_sub(running));
    let oldest = figure("OLDEST_PENDING_JOB").filter(|&run_at| run_at > 0);
    QueueStatus {
        waiting: due.map(|due| due + fetched.unwrap_or(0)),
        active: running,
        delayed: pending.zip(due).map(|(pending, due)| pending.saturating_sub(due)),
        retrying: None,
        failed: figure("FAILED_JOBS").map(|failed| failed + figure("KILLED_JOBS").unwrap_or(0)),
        paused: None,
        oldest_age: oldest.map(|run_at| Duration::from_millis(now.wall.0.saturating_sub(run_at * 1_000))),
    }
}

/// When a job was enqueued, in its metadata.
struct EnqueuedAt(u64);

const ENQUEUED_AT: &str = "heartline.enqueued_at_ms";

impl Metadata for EnqueuedAt {
    type Error = std::num::ParseIntError;

    fn extract(store: &MetadataStore) -> Result<Self, Self::Error> {
        store.get(ENQUEUED_AT).unwrap_or_default().parse().map(Self)
    }

    fn inject(&self, store: &mut MetadataStore) -> Result<(), Self::Error> {
        store.replace(ENQUEUED_AT, self.0.to_string());
        Ok(())
    }
}

impl Queue {
    /// Pushes a job and counts it as enqueued, under the name of its type. A push that fails is not counted.
    ///
    /// # Errors
    /// Those of the backend, unchanged.
    pub async fn push<S, Args>(&self, backend: &mut S, job: Args) -> Result<(), TaskSinkError<S::Error>>
    where
        S: BackendConfig + TaskSink<Args, <S as BackendConfig>::Kind>,
    {
        self.push_task(backend, Task::new(job)).await
    }

    /// Pushes a task, which may say when to run, how often, and with which key, and counts it. A backend that already has
    /// a job with the same key keeps silent about it, so that is counted too.
    ///
    /// # Errors
    /// Those of the backend, unchanged.
    pub async fn push_task<S, Args>(&self, backend: &mut S, task: Task<Args>) -> Result<(), TaskSinkError<S::Error>>
    where
        S: BackendConfig + TaskSink<Args, <S as BackendConfig>::Kind>,
    {
        self.push_as(short_name(type_name::<Args>()), backend, task).await
    }

    /// Pushes a task under a name, for queues whose jobs are all of one type; see [`JobLayer::named_by`].
    ///
    /// # Errors
    /// Those of the backend, unchanged.
    pub async fn push_as<S, Args>(
        &self,
        job: &str,
        backend: &mut S,
        mut task: Task<Args>,
    ) -> Result<(), TaskSinkError<S::Error>>
    where
        S: BackendConfig + TaskSink<Args, <S as BackendConfig>::Kind>,
    {
        // writing a number into a map cannot fail, and without it the wait is measured in whole seconds
        let _ = task.inject_metadata(&EnqueuedAt(Tick::now().wall.0));
        backend.push_task(task).await?;
        self.enqueued_as(job);
        Ok(())
    }
}

/// `shop::jobs::Email` as `Email`, `alloc::vec::Vec<shop::Email>` as `Vec`.
fn short_name(full: &'static str) -> &'static str {
    let name = full.split('<').next().unwrap_or(full);
    name.rsplit("::").next().unwrap_or(name)
}

/// Counts and times the runs of a queue's jobs; see [`Agent::apalis_layer`].
#[derive(Debug, Clone)]
pub struct JobLayer {
    queue: Queue,
    rules: Arc<Rules>,
}

type NameOf = Arc<dyn Fn(&dyn Any) -> Option<&'static str> + Send + Sync>;

/// How runs are named and judged.
#[derive(Clone)]
struct Rules {
    attempts_max: Option<usize>,
    error_type: fn(&BoxDynError) -> &'static str,
    name_of: Option<NameOf>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { attempts_max: None, error_type: default_error_type, name_of: None }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("attempts_max", &self.attempts_max).finish_non_exhaustive()
    }
}

impl JobLayer {
    /// How often a job is run in all, where the task does not say: a `RetryPolicy` of 3 retries on a backend in memory
    /// runs a job 4 times.
    #[must_use]
    pub fn attempts_max(mut self, attempts: usize) -> Self {
        Arc::make_mut(&mut self.rules).attempts_max = Some(attempts);
        self
    }

    /// What an error is called in `error.type`: few, stable words. Default: `panic`, `aborted`, a word for an I/O error,
    /// else `error`.
    #[must_use]
    pub fn error_types(mut self, error_type: fn(&BoxDynError) -> &'static str) -> Self {
        Arc::make_mut(&mut self.rules).error_type = error_type;
        self
    }

    /// What a job is called, for queues whose jobs are all of one type. Default: the name of the type.
    #[must_use]
    pub fn named_by<Args: 'static>(mut self, name: impl Fn(&Args) -> &'static str + Send + Sync + 'static) -> Self {
        let name_of: NameOf = Arc::new(move |args| args.downcast_ref().map(&name));
        Arc::make_mut(&mut self.rules).name_of = Some(name_of);
        self
    }
}

/// What can be told from an error without knowing the service.
fn default_error_type(error: &BoxDynError) -> &'static str {
    if let Some(error) = error.downcast_ref::<AbortError>() {
        // apalis' own layer turns a panic into this, with a type that is not in its core
        let caught = std::error::Error::source(error).is_some_and(|cause| cause.to_string().starts_with("PanicError"));
        return if caught { "panic" } else { "aborted" };
    }
    match error.downcast_ref::<std::io::Error>().map(QueryError::error_type) {
        Some("timeout") => "timeout",
        Some("connection_refused") => "connection_refused",
        Some(_) => "io",
        None => "error",
    }
}

impl<S> Layer<S> for JobLayer {
    type Service = JobService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        JobService { inner, layer: self.clone() }
    }
}

/// The service that [`JobLayer`] makes.
#[derive(Debug, Clone)]
pub struct JobService<S> {
    inner: S,
    layer: JobLayer,
}

impl<S, Args> Service<Task<Args>> for JobService<S>
where
    S: Service<Task<Args>, Error = BoxDynError>,
    Args: 'static,
{
    type Response = S::Response;
    type Error = BoxDynError;
    type Future = JobFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, task: Task<Args>) -> Self::Future {
        let JobLayer { queue, rules } = &self.layer;
        let named = rules.name_of.as_ref().and_then(|name_of| name_of(&task.args));
        let guard = queue.start(named.unwrap_or_else(|| short_name(type_name::<Args>())));
        let guard = match waited(&task, Tick::now()) {
            Some(wait) => guard.after(wait),
            None => guard,
        };
        let execution = Arc::clone(task.ctx());
        let guard = identified(guard, &execution);
        let mut guard = Some(guard);
        let inner = Unwinding::watch(&mut guard, || self.inner.call(task));
        JobFuture { inner, guard, execution, rules: Arc::clone(rules) }
    }
}

/// How long a job waited before its first run.
fn waited(execution: &ExecutionContext, now: Tick) -> Option<Duration> {
    if execution.attempt() > 0 {
        return None;
    }
    let enqueued = EnqueuedAt::extract(execution.metadata()).ok().map(|EnqueuedAt(at)| at);
    let due = execution.run_at().map(|seconds| seconds.saturating_mul(1_000));
    let since = enqueued.max(due)?;
    Some(Duration::from_millis(now.wall.0.saturating_sub(since)))
}

/// The guard with the job's id and attempt, as far as the backend says them.
fn identified(guard: JobGuard, execution: &ExecutionContext) -> JobGuard {
    match execution.task_id() {
        // the worker counts the attempt when it begins; without a worker this run is still the first
        Some(id) => guard.identified(id, u32::try_from(execution.attempt().max(1)).unwrap_or(u32::MAX)),
        None => guard,
    }
}

impl EndedByPanic for JobGuard {
    fn panicked(self) {
        self.failed("panic");
    }
}

pin_project! {
    /// A run of a job. Dropped, it counts as abandoned.
    #[derive(Debug)]
    pub struct JobFuture<F> {
        #[pin]
        inner: F,
        guard: Option<JobGuard>,
        execution: Arc<ExecutionContext>,
        rules: Arc<Rules>,
    }
}

impl<T, F: Future<Output = Result<T, BoxDynError>>> Future for JobFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(Unwinding::watch(this.guard, || this.inner.poll(context)));
        if let Some(guard) = this.guard.take() {
            match &result {
                Ok(_) => guard.completed(),
                Err(error) if this.rules.runs_again(error, this.execution) => guard.retried(),
                Err(error) => identified(guard, this.execution).failed((this.rules.error_type)(error)),
            }
        }
        Poll::Ready(result)
    }
}

impl Rules {
    /// Whether the job will be run again after this error.
    fn runs_again(&self, error: &BoxDynError, execution: &ExecutionContext) -> bool {
        if error.is::<AbortError>() {
            return false;
        }
        let attempts_max = self.attempts_max.or(execution.max_attempts()).unwrap_or(1);
        // the worker counts the attempt when it begins; without a worker this run is still the first
        let attempts = execution.attempt().max(1);
        error.is::<RetryAfterError>() || error.is::<DeferredError>() || attempts < attempts_max
    }
}

#[cfg(test)]
mod tests {
    use apalis_core::backend::StatType;

    use super::*;

    #[test]
    fn names_of_types_lose_their_paths() {
        for (full, short) in [("shop::jobs::Email", "Email"), ("u32", "u32"), ("alloc::vec::Vec<shop::Email>", "Vec")] {
            assert_eq!(short_name(full), short);
        }
    }

    #[test]
    fn figures_that_a_backend_does_not_give_are_unknown() {
        let statistic = |title: &str, value: &str| Statistic {
            title: title.to_owned(),
            stat_type: StatType::Number,
            value: value.to_owned(),
            priority: None,
        };
        let now = Tick::now();
        assert_eq!(status(&[], now), QueueStatus::default());
        let run_at = now.wall.0 / 1_000 - 90;
        let given = [
            statistic("PENDING_JOBS", "7"),
            statistic("QUEUE_BACKLOG", "5"),
            statistic("RUNNING_JOBS", "2"),
            statistic("ACTIVE_JOBS", "12"),
            statistic("FAILED_JOBS", "4"),
            statistic("KILLED_JOBS", "1"),
            statistic("OLDEST_PENDING_JOB", &run_at.to_string()),
        ];
        let read = status(&given, now);
        assert_eq!((read.waiting, read.active, read.delayed, read.failed), (Some(8), Some(2), Some(2), Some(5)));
        assert!(read.oldest_age.is_some_and(|age| (90..92).contains(&age.as_secs())));
    }
}
