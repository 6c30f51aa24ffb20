//! Real apalis workers on SQLite and in memory: runs by outcome, waits, depth, and nothing left active.

use std::future::Future;
use std::time::Duration;

use apalis::layers::WorkerBuilderExt;
use apalis::layers::retry::RetryPolicy;
use apalis_core::backend::memory::MemoryStorage;
use apalis_core::error::{AbortError, BoxDynError};
use apalis_core::task::Task;
use apalis_core::task::builder::TaskBuilder;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_core::worker::context::WorkerContext;
use apalis_sqlite::SqliteStorage;
use heartline::{Agent, Queue, QueueStatus};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;
use tower::{Layer, Service, service_fn};

use crate::readings::{agent, eventually, number, records, sum, values};

const COMPLETED: &str = "heartline.job.completed";
const WAIT: &str = "heartline.job.wait.duration";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Email {
    pub(crate) to: String,
}

fn email(to: &str) -> Email {
    Email { to: to.to_owned() }
}

/// Fails as its recipient says.
async fn send(email: Email) -> Result<(), BoxDynError> {
    match email.to.as_str() {
        "bad" => Err("the server said no".into()),
        "refused" => Err(Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionRefused))),
        "never" => Err(Box::new(AbortError::new("no such address"))),
        "panic" => panic!("on purpose"),
        _ => Ok(()),
    }
}

/// Never ends.
async fn hang(_: Email, _: WorkerContext) -> Result<(), BoxDynError> {
    std::future::pending().await
}

pub(crate) async fn database(folder: &tempfile::TempDir) -> SqlitePool {
    let url = format!("sqlite:{}?mode=rwc", folder.path().join("jobs.db").display());
    let pool = SqlitePoolOptions::new().max_connections(2).connect(&url).await.unwrap();
    SqliteStorage::setup(&pool).await.unwrap();
    pool
}

pub(crate) fn outcome(agent: &Agent, outcome: &str) -> f64 {
    number(agent, COMPLETED, &[("queue.name", "email"), ("job.outcome", outcome)]).unwrap_or(0.0)
}

fn active(agent: &Agent) -> Option<f64> {
    number(agent, "heartline.job.count", &[("queue.name", "email"), ("job.state", "active")])
}

/// Runs `worker` until `condition` holds.
pub(crate) async fn run_until<E: std::fmt::Debug>(
    worker: impl Future<Output = Result<(), E>>,
    condition: impl AsyncFn() -> bool,
) {
    tokio::select! {
        ended = worker => panic!("the worker ended: {ended:?}"),
        () = eventually("the jobs are done", condition) => {}
    }
}

#[tokio::test]
async fn runs_on_sqlite_count_by_outcome_and_failed_ones_are_retried_until_they_have_no_attempts_left() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, pool) = (agent(), database(&folder).await);
    let emails = agent.queue("email");
    let mut storage = SqliteStorage::<Email>::new(&pool);
    for _ in 0..20 {
        emails.push(&mut storage, email("you@example.com")).await.unwrap();
    }
    for to in ["bad", "refused"] {
        emails.push_task(&mut storage, TaskBuilder::new(email(to)).max_attempts(3).build()).await.unwrap();
    }
    emails.push(&mut storage, email("never")).await.unwrap();
    assert_eq!(number(&agent, "heartline.job.enqueued", &[("job.name", "Email")]), Some(23.0));

    let worker = WorkerBuilder::new("emails").backend(storage).layer(agent.apalis_layer(&emails)).build(send);
    run_until(worker.run(), async || outcome(&agent, "failure") == 3.0 && outcome(&agent, "success") == 20.0).await;
    assert_eq!(outcome(&agent, "retry"), 4.0);
    let failed = |error_type| number(&agent, COMPLETED, &[("job.outcome", "failure"), ("error.type", error_type)]);
    assert_eq!((failed("error"), failed("connection_refused"), failed("aborted")), (Some(1.0), Some(1.0), Some(1.0)));
    assert_eq!(records(&agent, "heartline.job.duration", &[]), 27);
    assert_eq!(records(&agent, WAIT, &[]), 23, "one wait a job, none for its retries");
    let mean_nanos = sum(&agent, WAIT, &[]) / 23;
    assert!(mean_nanos < 5_000_000_000, "{mean_nanos} ns");
    eventually("no job is active", async || active(&agent) == Some(0.0)).await;
}

#[tokio::test]
async fn runs_in_memory_are_retried_by_the_policy_outside_of_the_layer() {
    let agent = agent();
    let emails = agent.queue("email");
    let mut storage = MemoryStorage::new();
    emails.push(&mut storage, email("bad")).await.unwrap();
    emails.push(&mut storage, email("fine")).await.unwrap();
    let worker = WorkerBuilder::new("emails")
        .backend(storage)
        .retry(RetryPolicy::retries(2))
        .layer(agent.apalis_layer(&emails).attempts_max(3))
        .build(send);
    run_until(worker.run(), async || outcome(&agent, "failure") == 1.0 && outcome(&agent, "success") == 1.0).await;
    assert_eq!(outcome(&agent, "retry"), 2.0);
    assert_eq!(records(&agent, WAIT, &[]), 2);
}

#[tokio::test]
async fn a_panic_is_a_failure_whether_caught_inside_or_outside_of_the_layer() {
    for inside in [true, false] {
        let agent = agent();
        let emails = agent.queue("email");
        let mut storage = MemoryStorage::new();
        emails.push(&mut storage, email("panic")).await.unwrap();
        emails.push(&mut storage, email("fine")).await.unwrap();
        let builder = WorkerBuilder::new("emails").backend(storage);
        let done = async || outcome(&agent, "failure") == 1.0 && outcome(&agent, "success") == 1.0;
        if inside {
            let worker = builder.layer(agent.apalis_layer(&emails)).catch_panic().build(send);
            run_until(worker.run(), done).await;
        } else {
            let worker = builder.catch_panic().layer(agent.apalis_layer(&emails)).build(send);
            run_until(worker.run(), done).await;
        }
        assert_eq!(number(&agent, COMPLETED, &[("error.type", "panic")]), Some(1.0), "inside: {inside}");
        eventually("no job is active", async || active(&agent) == Some(0.0)).await;
    }
}

#[tokio::test]
async fn a_worker_that_is_stopped_abandons_its_jobs_and_they_are_not_active_any_more() {
    let agent = agent();
    let emails = agent.queue("email");
    let mut storage = MemoryStorage::new();
    for _ in 0..5 {
        emails.push(&mut storage, email("slow")).await.unwrap();
    }
    let worker = WorkerBuilder::new("emails").backend(storage).layer(agent.apalis_layer(&emails)).build(hang);
    run_until(worker.run(), async || active(&agent) == Some(5.0)).await;
    eventually("no job is active", async || active(&agent) == Some(0.0)).await;
    assert_eq!(number(&agent, COMPLETED, &[("error.type", "abandoned")]), Some(5.0));
}

#[test]
fn runs_dropped_at_any_poll_count_once_and_leave_nothing_active() {
    const RUNS: u64 = 10_000;
    let agent = agent();
    let emails = agent.queue("email");
    let work = service_fn(async |task: Task<u64>| {
        for _ in 0..task.args % 4 {
            let mut waited = false;
            std::future::poll_fn(|_| {
                if std::mem::replace(&mut waited, true) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            })
            .await;
        }
        if task.args.is_multiple_of(5) { Err(BoxDynError::from("fifth")) } else { Ok(()) }
    });
    let mut service = agent.apalis_layer(&emails).named_by(|_: &u64| "counting").layer(work);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let (mut succeeded, mut failed) = (0.0, 0.0);
    for run in 0..RUNS {
        let mut future = Box::pin(service.call(Task::new(run)));
        for _ in 0..run / 7 % 6 {
            match future.as_mut().poll(&mut context) {
                std::task::Poll::Pending => {}
                std::task::Poll::Ready(Ok(())) => {
                    succeeded += 1.0;
                    break;
                }
                std::task::Poll::Ready(Err(_)) => {
                    failed += 1.0;
                    break;
                }
            }
        }
    }
    let of = |error_type| number(&agent, COMPLETED, &[("error.type", error_type)]).unwrap();
    assert_eq!((outcome(&agent, "success"), of("error")), (succeeded, failed));
    assert_eq!(outcome(&agent, "success") + of("error") + of("abandoned"), RUNS as f64);
    assert_eq!(values(&agent, "heartline.job.duration", "job.name"), ["counting"]);
    assert!(of("abandoned") > 1_000.0 && succeeded > 1_000.0 && failed > 500.0);
}

#[tokio::test]
async fn the_backend_says_what_waits_and_a_job_for_later_is_delayed() {
    let folder = tempfile::tempdir().unwrap();
    let (agent, pool) = (agent(), database(&folder).await);
    let emails = agent.queue("email");
    let mut storage = SqliteStorage::<Email>::new(&pool);
    for _ in 0..4 {
        emails.push(&mut storage, email("you@example.com")).await.unwrap();
    }
    let later = TaskBuilder::new(email("later")).run_after(Duration::from_hours(1)).build();
    emails.push_task(&mut storage, later).await.unwrap();
    agent.poll_backend(&emails, Duration::from_millis(100), storage).unwrap();
    let count = |state| number(&agent, "heartline.job.count", &[("queue.name", "email"), ("job.state", state)]);
    eventually("the backend's figures are shown", async || {
        (count("waiting"), count("delayed"), count("failed")) == (Some(4.0), Some(1.0), Some(0.0))
    })
    .await;
    eventually("the age of the oldest is shown", async || {
        number(&agent, "heartline.job.oldest_age", &[]).is_some_and(|age| (0.0..60.0).contains(&age))
    })
    .await;
}

#[tokio::test]
async fn a_question_of_the_service_is_asked_and_an_answer_that_fails_leaves_the_last_one() {
    let agent = agent();
    let emails: Queue = agent.queue("email");
    let mut asked = 0;
    let ask = move || {
        asked += 1;
        let answer =
            if asked == 1 { Ok(QueueStatus { waiting: Some(4_321), ..QueueStatus::default() }) } else { Err("away") };
        std::future::ready(answer)
    };
    let polling = agent.poll_queue(&emails, Duration::from_millis(100), ask).unwrap();
    eventually("the answer is shown", async || number(&agent, "heartline.job.count", &[]) == Some(4_321.0)).await;
    polling.stop();
}
