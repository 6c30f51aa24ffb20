//! A million requests, queries, jobs and waits for a connection that end in every way a future can end: nothing stays in
//! flight, and each outcome is counted as often as it happened. Knows the public API only.
//!
//! 10^6 futures as part of `./test`; `HEARTLINE_FUTURES=10000000 ./test proofs futures` makes 10^7.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use heartline::integrations::HttpLayer;
use heartline::{Agent, Pool, PoolStatus, Query, QueryError, Queue, Snapshot};
use heartline_proofs::random::Random;
use heartline_proofs::repetitions;
use http::{Request, Response};
use http_body_util::Empty;
use tower::service_fn;
use tower_layer::Layer;
use tower_service::Service;

/// What a future stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Request,
    Query,
    Job,
    Wait,
}

const SUBJECTS: [Subject; 4] = [Subject::Request, Subject::Query, Subject::Job, Subject::Wait];

/// How a future ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Completed,
    Failed,
    Panicked,
    DroppedUnpolled,
    DroppedAfterPolls,
    Aborted,
    TimedOut,
    LostInSelect,
}

const ENDINGS: [Ending; 8] = [
    Ending::Completed,
    Ending::Failed,
    Ending::Panicked,
    Ending::DroppedUnpolled,
    Ending::DroppedAfterPolls,
    Ending::Aborted,
    Ending::TimedOut,
    Ending::LostInSelect,
];
/// Polls until a future ends, or is given up, at most.
const POLLS_MAX: u64 = 6;

/// What the work itself saw, which the agent must have seen too.
#[derive(Debug, Default)]
struct Witness {
    started: AtomicU64,
    completed: AtomicU64,
    failed: AtomicU64,
    panicked: AtomicU64,
    cancelled: AtomicU64,
}

impl Witness {
    fn all(&self) -> [u64; 5] {
        [&self.started, &self.completed, &self.failed, &self.panicked, &self.cancelled]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Boom;

impl QueryError for Boom {
    fn error_type(&self) -> &'static str {
        "boom"
    }
}

/// The work inside a future: pending for a while, then what was asked for, or pending for ever.
struct Work {
    witness: Arc<Witness>,
    ending: Ending,
    polls: u64,
    is_running: bool,
}

impl Work {
    fn new(witness: &Arc<Witness>, ending: Ending, polls: u64) -> Self {
        Self { witness: Arc::clone(witness), ending, polls, is_running: false }
    }

    fn begin(&mut self) {
        if !std::mem::replace(&mut self.is_running, true) {
            self.witness.started.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The work has begun although nobody asked how it goes: a request is there when it was received.
    fn begun(mut self) -> Self {
        self.begin();
        self
    }
}

impl Future for Work {
    type Output = Result<(), Boom>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.begin();
        if self.polls > 0 {
            self.polls -= 1;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let (outcome, count) = match self.ending {
            Ending::Completed => (Ok(()), &self.witness.completed),
            Ending::Failed => (Err(Boom), &self.witness.failed),
            Ending::Panicked => {
                self.witness.panicked.fetch_add(1, Ordering::Relaxed);
                self.is_running = false;
                panic!("as asked");
            }
            _ => return Poll::Pending,
        };
        count.fetch_add(1, Ordering::Relaxed);
        self.is_running = false;
        Poll::Ready(outcome)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if self.is_running {
            self.witness.cancelled.fetch_add(1, Ordering::Relaxed);
        }
    }
}

type Boxed = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The handles of a service.
struct Handles {
    layer: HttpLayer,
    query: Query,
    queue: Queue,
    pool: Pool,
    witnesses: [Arc<Witness>; 4],
}

impl Handles {
    fn new(agent: &Agent) -> Self {
        Self {
            layer: agent.http_layer().route("/carts/{id}"),
            query: agent.query("sqlite", "SELECT carts"),
            queue: agent.queue("mail"),
            pool: agent.pool("primary", || PoolStatus { max: 5, size: 5, idle: 0, pending: None }),
            witnesses: Default::default(),
        }
    }

    fn future(&self, subject: Subject, ending: Ending, polls: u64) -> Boxed {
        let work = Work::new(&self.witnesses[subject as usize], ending, polls);
        match subject {
            Subject::Request => {
                let answer = async |request: Request<Work>| {
                    request.into_body().await.map(|()| Response::new(Empty::<&'static [u8]>::new()))
                };
                let mut service = self.layer.layer(service_fn(answer));
                let answer = service.call(Request::new(work.begun()));
                Box::pin(async { drop(answer.await) })
            }
            Subject::Query => {
                let query = self.query.clone();
                Box::pin(async move {
                    let _ = query.time(work).await;
                })
            }
            Subject::Job => {
                let queue = self.queue.clone();
                Box::pin(async move {
                    queue.enqueued();
                    let job = queue.start("welcome");
                    match work.await {
                        Ok(()) => job.completed(),
                        Err(boom) => job.failed(boom.error_type()),
                    }
                })
            }
            Subject::Wait => {
                let pool = self.pool.clone();
                Box::pin(async move {
                    let wait = pool.wait();
                    match work.await {
                        Ok(()) => drop(wait.acquired()),
                        Err(Boom) => wait.timed_out(),
                    }
                })
            }
        }
    }
}

/// Polls at most so many times, without a runtime.
fn poll(future: &mut Boxed, times: u64) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..times {
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
    }
}

/// Ends a future as it was meant to end.
async fn end(mut future: Boxed, ending: Ending, polls: u64) {
    match ending {
        Ending::Completed | Ending::Failed => future.await,
        Ending::Panicked => {
            let unwound = catch_unwind(AssertUnwindSafe(|| poll(&mut future, POLLS_MAX + 1)));
            assert!(unwound.is_err(), "it panics");
        }
        Ending::DroppedUnpolled => drop(future),
        Ending::DroppedAfterPolls => poll(&mut future, polls + 1),
        Ending::Aborted => {
            let task = tokio::spawn(future);
            if polls.is_multiple_of(2) {
                tokio::task::yield_now().await;
            }
            task.abort();
            assert!(task.await.is_err_and(|error| error.is_cancelled()), "it never ends by itself");
        }
        Ending::TimedOut => {
            let timed_out = tokio::time::timeout(Duration::from_micros(polls), future).await;
            assert!(timed_out.is_err(), "it never ends by itself");
        }
        Ending::LostInSelect => {
            tokio::select! {
                biased;
                () = future => unreachable!("it never ends by itself"),
                () = async { for _ in 0..polls { tokio::task::yield_now().await } } => {}
            }
        }
    }
}

fn number(snapshot: &Snapshot, metric: &str, labels: &[(&str, &str)]) -> u64 {
    let family = snapshot.family(metric).unwrap_or_else(|| panic!("no {metric}"));
    let numbers = family
        .numbers
        .iter()
        .filter(|series| labels.iter().all(|(name, value)| series.labels.value(name) == Some(value)));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, far below 2^53")]
    let sum = numbers.map(|series| series.value as u64).sum();
    sum
}

/// Values of the histograms whose label is this, or that have none.
fn values(snapshot: &Snapshot, metric: &str, label: &str, value: Option<&str>) -> u64 {
    let family = snapshot.family(metric).unwrap_or_else(|| panic!("no {metric}"));
    let of_value = family.histograms.iter().filter(|series| series.labels.value(label) == value);
    of_value.map(|series| series.histogram.count).sum()
}

fn check(snapshot: &Snapshot, service: &Handles) {
    let [request, query, job, wait] = SUBJECTS.map(|subject| service.witnesses[subject as usize].all());
    for [started, completed, failed, panicked, cancelled] in [request, query, job, wait] {
        assert_eq!(started, completed + failed + panicked + cancelled, "the work itself adds up");
    }
    assert_eq!(number(snapshot, "http.server.active_requests", &[]), 0, "requests in flight");
    assert_eq!(number(snapshot, "heartline.job.count", &[("job.state", "active")]), 0, "jobs in flight");
    assert_eq!(number(snapshot, "heartline.job.count", &[("job.state", "waiting")]), 0, "jobs that wait");
    assert_eq!(number(snapshot, "db.client.connection.pending_requests", &[]), 0, "waits in flight");

    let durations = |error: Option<&str>| values(snapshot, "http.server.request.duration", "error.type", error);
    let requests = [None, Some("service"), Some("panic"), Some("cancelled")].map(durations);
    assert_eq!(requests, [request[1], request[2], request[3], request[4]], "requests");

    let durations = |error: Option<&str>| values(snapshot, "db.client.operation.duration", "error.type", error);
    let queries = [None, Some("boom"), Some("cancelled")].map(durations);
    assert_eq!(queries, [query[1], query[2], query[3] + query[4]], "queries");

    let ended = |label, value| number(snapshot, "heartline.job.completed", &[(label, value)]);
    let jobs = [ended("job.outcome", "success"), ended("error.type", "boom"), ended("error.type", "abandoned")];
    assert_eq!(jobs, [job[1], job[2], job[3] + job[4]], "jobs");
    let took = |outcome| values(snapshot, "heartline.job.duration", "job.outcome", Some(outcome));
    assert_eq!([took("success"), took("failure")], [job[1], job[2] + job[3] + job[4]], "durations of jobs");

    let waits = values(snapshot, "db.client.connection.wait_time", "queue.name", None);
    assert_eq!([waits, number(snapshot, "db.client.connection.timeouts", &[])], [wait[0], wait[2]], "waits");
}

#[test]
fn a_million_futures_leave_nothing_in_flight_and_their_outcomes_add_up() {
    let futures = repetitions("HEARTLINE_FUTURES", 1_000_000);
    std::panic::set_hook(Box::new(|_| {})); // an eighth of the futures panics
    let agent = Agent::builder("cancelled").without_listener().start().unwrap();
    agent.shutdown(Duration::from_secs(5)).unwrap(); // rounds are made here
    let service = Arc::new(Handles::new(&agent));

    let waiting: Vec<Boxed> = SUBJECTS
        .iter()
        .map(|&subject| {
            let mut future = service.future(subject, Ending::Aborted, 1);
            poll(&mut future, 1);
            future
        })
        .collect();
    agent.collect_at(Duration::from_secs(1));
    let snapshot = agent.snapshot();
    assert_eq!(number(&snapshot, "http.server.active_requests", &[]), 1);
    assert_eq!(number(&snapshot, "heartline.job.count", &[("job.state", "active")]), 1);
    assert_eq!(number(&snapshot, "db.client.connection.pending_requests", &[]), 1);
    drop(waiting);

    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let tasks = 64;
    let running: Vec<_> = (0..tasks)
        .map(|task| {
            let service = Arc::clone(&service);
            runtime.spawn(async move {
                let mut random = Random::new(task + 1);
                for i in 0..futures / tasks {
                    let subject = SUBJECTS[random.index(SUBJECTS.len())];
                    let (ending, polls) = (ENDINGS[(i % 8) as usize], random.below(POLLS_MAX));
                    end(service.future(subject, ending, polls), ending, polls).await;
                }
            })
        })
        .collect();
    runtime.block_on(async {
        for task in running {
            task.await.unwrap();
        }
    });
    drop(runtime);

    agent.collect_at(Duration::from_secs(2));
    check(&agent.snapshot(), &service);
    let started: [[u64; 5]; 4] = SUBJECTS.map(|subject| service.witnesses[subject as usize].all());
    let sum = |at: usize| started.iter().map(|counts| counts[at]).sum::<u64>();
    println!(
        "{} futures, {} of them begun: {} completed, {} failed, {} panicked, {} cancelled, as the agent counted; in flight 0",
        futures / tasks * tasks + 4,
        sum(0),
        sum(1),
        sum(2),
        sum(3),
        sum(4),
    );
}
