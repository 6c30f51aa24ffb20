//! Queries by system and summary, their errors by type; the text of a query never comes here, only its summary.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::Labels;

use crate::clock::{Stamp, Tick};
use crate::instruments::{Counter, Histogram};
use crate::registry::{Registry, Room};
use crate::signals::ShortText;
use crate::signals::resolved::Resolved;
use crate::signals::slow::{SlowEntry, SlowLog};
use crate::signals::spent::{Spending, spend};

const DURATION: &str = "db.client.operation.duration";

/// What counts as a slow query, and whether the rows of each are recorded.
#[derive(Debug, Clone)]
pub(crate) struct QueryOptions {
    pub(crate) slow: Arc<SlowLog>,
    pub(crate) returned_rows: bool,
}

/// A handle to the queries of one summary; clones share it.
///
/// The summary is what OpenTelemetry calls `db.query.summary`: operation and target without literals, such as
/// `SELECT products`.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), heartline::Error> {
/// let agent = heartline::Agent::builder("shop").start()?;
/// let products = agent.query("sqlite", "SELECT products");
/// let rows: Result<Vec<u32>, std::io::Error> = products.time(async { Ok(vec![1, 2]) }).await;
///
/// let running = products.start();
/// running.ok(2); // two rows
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct Query(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Arc<Registry>,
    labels: Labels,
    succeeded: Histogram,
    failed: Resolved<String, Histogram>,
    slow: Counter,
    slow_log: Arc<SlowLog>,
    slow_nanos: u64,
    rows: Option<Histogram>,
}

/// A query being run. Dropped unfinished it counts as failed with the type `cancelled`.
#[derive(Debug)]
#[must_use = "dropping the guard counts the query as cancelled"]
pub struct QueryGuard {
    query: Query,
    start: Stamp,
    finished: bool,
}

/// How an error names itself in `error.type`: few, stable words, no text from outside.
pub trait QueryError {
    /// Such as `timeout` or `unique_violation`; at most a few dozen different ones.
    fn error_type(&self) -> &str;
}

impl QueryError for std::io::Error {
    fn error_type(&self) -> &str {
        match self.kind() {
            std::io::ErrorKind::TimedOut => "timeout",
            std::io::ErrorKind::ConnectionRefused => "connection_refused",
            _ => "io",
        }
    }
}

impl Query {
    pub(crate) fn new(registry: &Arc<Registry>, options: QueryOptions, system: &str, summary: &str) -> Self {
        let labels = Labels::from_pairs([("db.system.name", system), ("db.query.summary", summary)]);
        let rows = || registry.histogram("db.client.response.returned_rows", labels.clone(), Room::Reserved);
        Self(Arc::new(Series {
            succeeded: registry.histogram(DURATION, labels.clone(), Room::Reserved),
            slow: registry.counter("heartline.db.slow_operations", labels.clone(), Room::Reserved),
            slow_nanos: u64::try_from(options.slow.thresholds.query.as_nanos()).unwrap_or(u64::MAX),
            slow_log: options.slow,
            rows: options.returned_rows.then(rows),
            failed: Resolved::new(),
            registry: Arc::clone(registry),
            labels,
        }))
    }

    /// A query begins. Cost: one clock read.
    pub fn start(&self) -> QueryGuard {
        QueryGuard { query: self.clone(), start: Stamp::now(), finished: false }
    }

    /// Runs `query` and records how long it took and whether it failed. Cancelled with its future.
    ///
    /// # Errors
    /// Those of `query`, unchanged.
    pub async fn time<T, E: QueryError>(&self, query: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let running = self.start();
        let result = query.await;
        match &result {
            Ok(_) => running.done(),
            Err(error) => running.failed(error.error_type()),
        }
        result
    }

    /// Records a query that was timed elsewhere: its rows, or the type of its error.
    pub fn record(&self, took: Duration, result: Result<u64, &str>) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        if let (Ok(rows), Some(histogram)) = (result, &self.0.rows) {
            histogram.record_count(rows);
        }
        self.record_nanos(nanos, result.err());
    }

    fn record_nanos(&self, nanos: u64, error_type: Option<&str>) {
        let series = &*self.0;
        spend(Spending::Queries, nanos);
        if nanos > series.slow_nanos {
            series.keep_slow(nanos, error_type);
        }
        match error_type {
            None => series.succeeded.record_units(nanos),
            Some(error_type) => {
                series.failed.with(
                    error_type,
                    || series.resolve(error_type),
                    |histogram| histogram.record_units(nanos),
                );
            }
        }
    }
}

impl Series {
    #[cold]
    fn keep_slow(&self, nanos: u64, error_type: Option<&str>) {
        self.slow.increment();
        let mut entry = SlowEntry::new(self.labels.clone(), nanos, Tick::now());
        entry.error_type = error_type.map(ShortText::new);
        self.slow_log.queries.add(entry);
    }

    fn resolve(&self, error_type: &str) -> Histogram {
        self.registry.histogram(DURATION, self.labels.clone().with("error.type", error_type), Room::Shared)
    }
}

impl QueryGuard {
    /// The query returned or changed this many rows.
    pub fn ok(self, rows: u64) {
        if let Some(histogram) = &self.query.0.rows {
            histogram.record_count(rows);
        }
        self.done();
    }

    /// The query failed; see [`QueryError`] for what makes a good type.
    pub fn failed(mut self, error_type: &str) {
        self.end(Some(error_type));
    }

    fn done(mut self) {
        self.end(None);
    }

    fn end(&mut self, error_type: Option<&str>) {
        self.finished = true;
        self.query.record_nanos(self.start.elapsed_nanos(), error_type);
    }
}

impl Drop for QueryGuard {
    fn drop(&mut self) {
        if !self.finished {
            self.end(Some("cancelled"));
        }
    }
}
