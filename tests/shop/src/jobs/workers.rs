//! The workers: they take jobs from the store, run them, and try again with growing pauses.

use std::sync::atomic::Ordering;
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis::layers::retry::HasherRng;
use apalis::layers::retry::backoff::{ExponentialBackoffMaker, MakeBackoff};
use apalis::prelude::{Attempt, BackendExt, BoxDynError, Data, RetryPolicy, Strategy, WorkerBuilder, WorkerError};
use heartline::Agent;
use rand::Rng;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::board::{ATTEMPTS_MAX, Jobs};
use super::kinds::{AuditEntry, Email, Job, ProductEvents, SettlePayment, Sms, VendorReport};
use super::{QueueName, depth};
use crate::clock;
use crate::faults::Faults;
use crate::payment::{ChargeError, Gateway};
use crate::store::{Database, OrderStatus, StoreError};
use crate::truth::JobEvent;

/// Workers look for due jobs this often, besides being woken.
const POLL: Duration = Duration::from_millis(500);
/// Jobs one queue runs at the same time.
const CONCURRENCY: usize = 8;
/// The first pause before a job is tried again; it doubles.
const BACKOFF_MIN: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// Half of a pause again may be added, so that retries do not come together.
const BACKOFF_JITTER: f64 = 0.5;
/// How long a worker that failed stays away from its store.
const RESTART_PAUSE: Duration = Duration::from_millis(500);
/// What the queue-backlog fault adds to each letter: ten a second in all.
const SLOW_LETTER: Duration = Duration::from_millis(800);
/// The mail relay turns away this share of first deliveries, as relays that greylist do.
const GREYLISTED: f64 = 0.02;
/// The report job looks this far back.
const REPORT_MS: i64 = 30 * 24 * 3_600_000;
/// One vendor's report is due this often.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How often a payment is tried again: the pause doubles up to the longest. Some seconds are added
/// by chance, so that not all come in the moment in which the breaker lets a few through.
const SETTLE_MIN: Duration = Duration::from_secs(5);
const SETTLE_MAX: Duration = Duration::from_secs(12);
const SETTLE_JITTER_SECONDS: u64 = 6;

/// What jobs work with.
#[derive(Clone)]
pub(crate) struct WorkshopParts {
    pub(crate) jobs: Jobs,
    pub(crate) database: Database,
    pub(crate) gateway: Gateway,
    pub(crate) faults: Faults,
    pub(crate) agent: Agent,
}

/// The running workers.
pub(crate) struct Workers {
    stop: watch::Sender<bool>,
    running: Vec<JoinHandle<()>>,
    helpers: Vec<JoinHandle<()>>,
}

/// Why a run of a job failed.
#[derive(Debug, thiserror::Error)]
enum RunError {
    #[error("the mail relay asks to come again later")]
    Greylisted,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the job could not be put off: {0}")]
    Defer(#[from] super::JobError),
}

impl RunError {
    /// A word for the agent.
    fn label_of(error: &BoxDynError) -> &'static str {
        error.downcast_ref::<Self>().map_or("other", Self::label)
    }

    fn label(&self) -> &'static str {
        match self {
            Self::Greylisted => "greylisted",
            Self::Store(_) => "database",
            Self::Defer(_) => "job_store",
        }
    }
}

impl Workers {
    /// Starts a worker for each queue, the counting of the queues, and the vendors' reports.
    pub(crate) fn start(parts: &WorkshopParts) -> Self {
        let (stop, stopped) = watch::channel(false);
        let running = vec![
            tokio::spawn(keep_working::<Email>(parts.clone(), stopped.clone())),
            tokio::spawn(keep_working::<Sms>(parts.clone(), stopped.clone())),
            tokio::spawn(keep_working::<VendorReport>(parts.clone(), stopped.clone())),
            tokio::spawn(keep_working::<ProductEvents>(parts.clone(), stopped.clone())),
            tokio::spawn(keep_working::<AuditEntry>(parts.clone(), stopped.clone())),
            tokio::spawn(keep_working::<SettlePayment>(parts.clone(), stopped)),
        ];
        let helpers =
            vec![tokio::spawn(depth::run(parts.jobs.clone())), tokio::spawn(order_reports(parts.jobs.clone()))];
        Self { stop, running, helpers }
    }

    /// Lets running jobs end; what still waits stays in the store.
    pub(crate) async fn stop(self, patience: Duration) {
        self.stop.send_replace(true);
        for helper in &self.helpers {
            helper.abort();
        }
        let ended = tokio::time::timeout(patience, futures_util::future::join_all(self.running)).await;
        if ended.is_err() {
            tracing::warn!(?patience, "some jobs were still running; they run again at the next start");
        }
    }
}

/// Runs one queue's worker, and a new one when the store made it fail.
async fn keep_working<J: Run>(parts: WorkshopParts, stopped: watch::Receiver<bool>) {
    for generation in 0_u64.. {
        let ended = work::<J>(&parts, generation, stopped.clone()).await;
        if *stopped.borrow() {
            return;
        }
        if let Err(error) = ended {
            tracing::warn!(queue = J::QUEUE.label(), %error, "a worker failed and is started again");
        }
        tokio::time::sleep(RESTART_PAUSE).await;
    }
}

async fn work<J: Run>(
    parts: &WorkshopParts,
    generation: u64,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), WorkerError> {
    let bell = std::sync::Arc::clone(&parts.jobs.lane(J::QUEUE).bell);
    let rings = futures_util::stream::unfold(bell, |bell| async {
        bell.notified().await;
        Some(((), bell))
    });
    let backoff = ExponentialBackoffMaker::new(BACKOFF_MIN, BACKOFF_MAX, BACKOFF_JITTER, HasherRng::default())
        .map_err(|error| WorkerError::BackendError(error.into()))?
        .make_backoff();
    let lane = parts.jobs.lane(J::QUEUE);
    let observed = parts.agent.apalis_layer(&lane.observed).named_by(J::name).error_types(RunError::label_of);
    let backend = parts.jobs.storage::<J>().poll_with_strategy(Strategy::new().stream(Box::pin(rings)).interval(POLL));
    WorkerBuilder::new(format!("{}-{}-{generation}", J::QUEUE.label(), std::process::id()).as_str())
        .backend(backend)
        .concurrency(CONCURRENCY)
        .retry(RetryPolicy::retries(ATTEMPTS_MAX - 1).with_backoff(backoff))
        .data(parts.clone())
        .layer(observed)
        .build(run_booked::<J>)
        .run_until(async move {
            // The sender lives as long as the workers are wanted.
            let _stopped = stopped.wait_for(|stop| *stop).await;
            Ok::<(), WorkerError>(())
        })
        .await
}

/// One run of one job, in the shop's own books; the agent's layer around it counts for itself.
async fn run_booked<J: Run>(job: J, attempt: Attempt, parts: Data<WorkshopParts>) -> Result<(), RunError> {
    let retrying = &parts.jobs.lane(J::QUEUE).depth.retrying;
    let first = attempt.current() <= 1;
    if !first {
        let one_less = |retrying: u64| Some(retrying.saturating_sub(1));
        let _ = retrying.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
    }
    let mut entry = RunEntry::begin(&parts.jobs, J::QUEUE);
    let result = job.run(&parts, first).await;
    entry.ended_as = match &result {
        Ok(()) => JobEvent::Completed,
        Err(_) if attempt.current() < ATTEMPTS_MAX => {
            retrying.fetch_add(1, Ordering::Relaxed);
            JobEvent::Retried
        }
        Err(_) => JobEvent::Failed,
    };
    result
}

/// A run in the shop's own books; one that is dropped half-way has failed.
struct RunEntry<'a> {
    jobs: &'a Jobs,
    queue: QueueName,
    ended_as: JobEvent,
}

impl<'a> RunEntry<'a> {
    fn begin(jobs: &'a Jobs, queue: QueueName) -> Self {
        jobs.lane(queue).depth.active.fetch_add(1, Ordering::Relaxed);
        Self { jobs, queue, ended_as: JobEvent::Failed }
    }
}

impl Drop for RunEntry<'_> {
    fn drop(&mut self) {
        self.jobs.lane(self.queue).depth.active.fetch_sub(1, Ordering::Relaxed);
        self.jobs.record(self.queue, self.ended_as);
    }
}

/// What a job does.
trait Run: Job {
    fn run(self, parts: &WorkshopParts, first: bool) -> impl Future<Output = Result<(), RunError>> + Send;
}

impl Run for Email {
    async fn run(self, parts: &WorkshopParts, first: bool) -> Result<(), RunError> {
        if parts.faults.queue_backlog() {
            tokio::time::sleep(SLOW_LETTER).await;
        }
        let database = &parts.database;
        match self {
            Self::Newsletter { user_id } => {
                let recipient = format!("customer{user_id}@example.com");
                database.record_message("email", &recipient, "News from the shop", clock::now_ms()).await?;
            }
            Self::Confirmation { user_id, order_id } => {
                if first && rand::rng().random_bool(GREYLISTED) {
                    return Err(RunError::Greylisted);
                }
                if let Some((email, _phone)) = database.contact(user_id).await? {
                    let subject = format!("Your order {order_id}");
                    database.record_message("email", &email, &subject, clock::now_ms()).await?;
                }
            }
        }
        Ok(())
    }
}

impl Run for Sms {
    async fn run(self, parts: &WorkshopParts, _first: bool) -> Result<(), RunError> {
        if let Some((_email, phone)) = parts.database.contact(self.user_id).await? {
            let text = format!("Order {} is on its way to the packing table", self.order_id);
            parts.database.record_message("sms", &phone, &text, clock::now_ms()).await?;
        }
        Ok(())
    }
}

impl Run for VendorReport {
    async fn run(self, parts: &WorkshopParts, _first: bool) -> Result<(), RunError> {
        let now_ms = clock::now_ms();
        if let Some(analytics) = parts.database.vendor_analytics(self.vendor_id, now_ms - REPORT_MS).await? {
            parts.database.store_report(&analytics, now_ms).await?;
        }
        Ok(())
    }
}

impl Run for ProductEvents {
    async fn run(self, parts: &WorkshopParts, _first: bool) -> Result<(), RunError> {
        for (product_id, units) in self.sold {
            parts.database.count_event(product_id, "sold", units).await?;
        }
        Ok(())
    }
}

impl Run for AuditEntry {
    async fn run(self, parts: &WorkshopParts, _first: bool) -> Result<(), RunError> {
        parts.database.audit(&self.actor, &self.action, &self.subject, clock::now_ms()).await?;
        Ok(())
    }
}

impl Run for SettlePayment {
    /// A payment that cannot be taken yet is put on the queue again, due later: an outage of an
    /// hour must not end it.
    async fn run(mut self, parts: &WorkshopParts, _first: bool) -> Result<(), RunError> {
        match parts.gateway.charge(self.order_id, self.amount_cents).await {
            Ok(reference) => {
                parts.database.set_order_status(self.order_id, OrderStatus::Paid, Some(&reference)).await?;
            }
            Err(ChargeError::CircuitOpen | ChargeError::Provider(_)) => {
                let pause = SETTLE_MIN.saturating_mul(1_u32 << self.deferrals.min(8)).min(SETTLE_MAX);
                let pause = pause + Duration::from_secs(rand::rng().random_range(0..SETTLE_JITTER_SECONDS));
                self.deferrals = self.deferrals.saturating_add(1);
                parts.jobs.settle(self, pause).await?;
            }
        }
        Ok(())
    }
}

/// Asks for the vendors' reports, one after the other.
async fn order_reports(jobs: Jobs) {
    const VENDORS: i64 = 20;
    let mut due = tokio::time::interval(REPORT_EVERY);
    for round in 0_i64.. {
        due.tick().await;
        if let Err(error) = jobs.report(VendorReport { vendor_id: round % VENDORS + 1 }).await {
            tracing::warn!(%error, "a vendor's report could not be ordered");
        }
    }
}
