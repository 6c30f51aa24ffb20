//! Where jobs are put: the store behind the queues, and the bell that wakes their workers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use apalis::prelude::{TaskBuilder, TaskSink};
use apalis_sqlite::{Config, SqliteStorage};
use heartline::{Agent, PoolStatus, Queue};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Notify;

use super::QueueName;
use super::kinds::{AuditEntry, Email, Job, ProductEvents, SettlePayment, Sms, VendorReport};
use crate::truth::{JobEvent, Truth};

/// Runs of a job before it has failed for good.
pub(super) const ATTEMPTS_MAX: usize = 4;
/// Jobs a worker fetches at once.
const BATCH: usize = 32;
/// Few: SQLite has one writer, and waiting for the pool is fair where waiting for a lock is not.
const CONNECTIONS_MAX: u32 = 3;

/// Why a job could not be queued.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
    /// The store could not be opened.
    #[error("opening the job store {file}: {source}")]
    Open {
        /// The file.
        file: String,
        /// What sqlx reported.
        source: sqlx::Error,
    },
    /// The store refused the job.
    #[error("putting a job on the queue `{queue}`: {reason}")]
    Push {
        /// Which queue.
        queue: &'static str,
        /// What the store said.
        reason: String,
    },
}

/// The queues: cheap to clone.
#[derive(Clone)]
pub(crate) struct Jobs(Arc<Inner>);

struct Inner {
    pool: SqlitePool,
    lanes: [Lane; QueueName::ALL.len()],
    truth: Arc<Truth>,
}

/// What belongs to one queue.
pub(super) struct Lane {
    pub(super) observed: Queue,
    pub(super) bell: Arc<Notify>,
    pub(super) depth: Arc<Depth>,
}

/// How many jobs are in which state, as last counted.
#[derive(Debug, Default)]
pub(super) struct Depth {
    pub(super) waiting: AtomicU64,
    pub(super) delayed: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) oldest_age_seconds: AtomicU64,
    /// Kept by the workers themselves.
    pub(super) active: AtomicU64,
    /// Kept by the workers themselves: waiting out the time before the next try.
    pub(super) retrying: AtomicU64,
}

impl Jobs {
    /// Opens `jobs.db` in the data folder. The file belongs to one service: what a predecessor
    /// held when it died is free again.
    pub(crate) async fn open(data: &Path, agent: &Agent, truth: Arc<Truth>) -> Result<Self, JobError> {
        let file = data.join("jobs.db");
        let failed = |source| JobError::Open { file: file.display().to_string(), source };
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .test_before_acquire(false)
            .connect_with(options)
            .await
            .map_err(failed)?;
        SqliteStorage::migrations().run(&pool).await.map_err(|error| failed(error.into()))?;
        sqlx::query(
            "UPDATE Jobs SET status = 'Pending', lock_by = NULL, lock_at = NULL WHERE status IN ('Queued', 'Running')",
        )
        .execute(&pool)
        .await
        .map_err(failed)?;
        let probed = pool.clone();
        agent.pool("jobs", move || PoolStatus {
            max: u64::from(CONNECTIONS_MAX),
            size: u64::from(probed.size()),
            idle: probed.num_idle() as u64,
            pending: None,
        });
        let lanes = QueueName::ALL.map(|queue| Lane::new(queue, agent));
        Ok(Self(Arc::new(Inner { pool, lanes, truth })))
    }

    /// Queues a letter.
    pub(crate) async fn send_email(&self, email: Email) -> Result<(), JobError> {
        self.push(email, None).await
    }

    /// Queues letters, all in one transaction.
    pub(crate) async fn send_emails(&self, emails: Vec<Email>) -> Result<(), JobError> {
        let lane = self.lane(QueueName::Email);
        let names: Vec<_> = emails.iter().map(Job::name).collect();
        let tasks = emails.into_iter().map(|email| TaskBuilder::new(email).max_attempts(ATTEMPTS_MAX).build());
        let pushed = self.storage::<Email>().push_all(futures_util::stream::iter(tasks)).await;
        pushed.map_err(|error| refused(QueueName::Email, &error))?;
        for name in names {
            lane.observed.enqueued_as(name);
            self.record(QueueName::Email, JobEvent::Enqueued);
        }
        lane.bell.notify_one();
        Ok(())
    }

    /// Queues a text message.
    pub(crate) async fn send_sms(&self, sms: Sms) -> Result<(), JobError> {
        self.push(sms, None).await
    }

    /// Queues a vendor's report.
    pub(crate) async fn report(&self, report: VendorReport) -> Result<(), JobError> {
        self.push(report, None).await
    }

    /// Queues the counting of sold products.
    pub(crate) async fn count_sold(&self, events: ProductEvents) -> Result<(), JobError> {
        self.push(events, None).await
    }

    /// Queues a line of the audit log.
    pub(crate) async fn audit(&self, entry: AuditEntry) -> Result<(), JobError> {
        self.push(entry, None).await
    }

    /// Queues a payment for later.
    pub(crate) async fn settle(&self, payment: SettlePayment, delay: Duration) -> Result<(), JobError> {
        self.push(payment, Some(delay)).await
    }

    /// Jobs that wait in a queue, as last counted.
    pub(crate) fn waiting(&self, queue: QueueName) -> u64 {
        self.lane(queue).depth.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn pool(&self) -> &SqlitePool {
        &self.0.pool
    }

    pub(super) fn lane(&self, queue: QueueName) -> &Lane {
        &self.0.lanes[queue as usize]
    }

    pub(super) fn record(&self, queue: QueueName, event: JobEvent) {
        self.0.truth.job(queue, event);
    }

    /// The store of one kind of job.
    pub(super) fn storage<J: Job>(&self) -> SqliteStorage<J> {
        SqliteStorage::new(&self.0.pool).with_config(Config::default().queue(J::QUEUE.label()).batch_size(BATCH))
    }

    /// Closes the store.
    pub(crate) async fn close(&self) {
        self.0.pool.close().await;
    }

    async fn push<J: Job>(&self, job: J, delay: Option<Duration>) -> Result<(), JobError> {
        let lane = self.lane(J::QUEUE);
        let name = job.name();
        let task = TaskBuilder::new(job).max_attempts(ATTEMPTS_MAX);
        let task = match delay {
            Some(delay) => task.run_after(delay).build(),
            None => task.build(),
        };
        let pushed = lane.observed.push_as(name, &mut self.storage::<J>(), task).await;
        pushed.map_err(|error| refused(J::QUEUE, &error))?;
        self.record(J::QUEUE, JobEvent::Enqueued);
        lane.bell.notify_one();
        Ok(())
    }
}

fn refused(queue: QueueName, error: &dyn std::fmt::Display) -> JobError {
    JobError::Push { queue: queue.label(), reason: error.to_string() }
}

impl Lane {
    fn new(queue: QueueName, agent: &Agent) -> Self {
        let observed = agent.queue(queue.label());
        let depth = Arc::new(Depth::default());
        let probed = Arc::clone(&depth);
        agent.watch_queue(&observed, move || probed.status());
        Self { observed, bell: Arc::default(), depth }
    }
}
