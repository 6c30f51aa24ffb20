//! The shop's own books: plain counters kept apart from the agent, so that a test can hold the
//! agent's totals against them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use crate::cache::CacheName;
use crate::jobs::QueueName;
use crate::store::Statement;

/// Everything the shop counted since it started.
#[derive(Debug, Default)]
pub(crate) struct Truth {
    requests: Mutex<BTreeMap<RequestKey, u64>>,
    queries: [QueryCounts; Statement::ALL.len()],
    caches: [[CacheCounts; 2]; CacheName::ALL.len()],
    jobs: [JobCounts; QueueName::ALL.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RequestKey {
    method: String,
    route: Option<String>,
    status: u16,
}

#[derive(Debug, Default)]
struct QueryCounts {
    total: AtomicU64,
    errors: AtomicU64,
}

#[derive(Debug, Default)]
struct CacheCounts {
    hits: AtomicU64,
    misses: AtomicU64,
    errors: AtomicU64,
    writes: AtomicU64,
}

#[derive(Debug, Default)]
struct JobCounts {
    enqueued: AtomicU64,
    completed: AtomicU64,
    retried: AtomicU64,
    failed: AtomicU64,
}

/// A statement being run; counted when dropped, as an error unless it said otherwise.
#[derive(Debug)]
pub(crate) struct QueryEntry<'a> {
    counts: &'a QueryCounts,
    succeeded: bool,
}

impl QueryEntry<'_> {
    pub(crate) fn succeeded(&mut self) {
        self.succeeded = true;
    }
}

impl Drop for QueryEntry<'_> {
    fn drop(&mut self) {
        self.counts.total.fetch_add(1, Ordering::Relaxed);
        if !self.succeeded {
            self.counts.errors.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A cache tier as the books number it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tier {
    /// In this process, small and short-lived.
    L1,
    /// Redis, or a larger and longer-lived store in this process.
    L2,
}

impl Tier {
    /// The label value.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
        }
    }
}

/// How a cache was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It knew.
    Hit,
    /// It did not know.
    Miss,
    /// It was away.
    Error,
    /// Something was put in.
    Write,
}

/// What became of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobEvent {
    /// Put on the queue.
    Enqueued,
    /// Ran to its end.
    Completed,
    /// Failed, to be run again.
    Retried,
    /// Failed for good.
    Failed,
}

impl Truth {
    /// A request was answered.
    pub(crate) fn request(&self, method: &str, route: Option<&str>, status: u16) {
        let key = RequestKey { method: method.to_owned(), route: route.map(str::to_owned), status };
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default() += 1;
    }

    /// A statement begins.
    pub(crate) fn query(&self, statement: Statement) -> QueryEntry<'_> {
        QueryEntry { counts: &self.queries[statement.index()], succeeded: false }
    }

    /// A cache was used.
    pub(crate) fn cache(&self, name: CacheName, tier: Tier, lookup: Lookup) {
        let counts = &self.caches[name as usize][tier as usize];
        let counter = match lookup {
            Lookup::Hit => &counts.hits,
            Lookup::Miss => &counts.misses,
            Lookup::Error => &counts.errors,
            Lookup::Write => &counts.writes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Something happened to a job.
    pub(crate) fn job(&self, queue: QueueName, event: JobEvent) {
        let counts = &self.jobs[queue as usize];
        let counter = match event {
            JobEvent::Enqueued => &counts.enqueued,
            JobEvent::Completed => &counts.completed,
            JobEvent::Retried => &counts.retried,
            JobEvent::Failed => &counts.failed,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The books as one document.
    pub(crate) fn report(&self) -> Report {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let requests = requests
            .iter()
            .map(|(key, &count)| RequestTotal {
                method: key.method.clone(),
                route: key.route.clone(),
                status: key.status,
                count,
            })
            .collect();
        Report { requests, queries: self.query_report(), caches: self.cache_report(), jobs: self.job_report() }
    }

    fn query_report(&self) -> Vec<QueryTotal> {
        Statement::ALL
            .into_iter()
            .map(|statement| {
                let counts = &self.queries[statement.index()];
                QueryTotal { summary: statement.summary(), total: read(&counts.total), errors: read(&counts.errors) }
            })
            .collect()
    }

    fn cache_report(&self) -> Vec<CacheTotal> {
        let pairs = CacheName::ALL.into_iter().flat_map(|name| [(name, Tier::L1), (name, Tier::L2)]);
        pairs
            .map(|(name, tier)| {
                let counts = &self.caches[name as usize][tier as usize];
                CacheTotal {
                    name: name.label(),
                    tier: tier.label(),
                    hits: read(&counts.hits),
                    misses: read(&counts.misses),
                    errors: read(&counts.errors),
                    writes: read(&counts.writes),
                }
            })
            .collect()
    }

    fn job_report(&self) -> Vec<JobTotal> {
        QueueName::ALL
            .into_iter()
            .map(|queue| {
                let counts = &self.jobs[queue as usize];
                JobTotal {
                    queue: queue.label(),
                    enqueued: read(&counts.enqueued),
                    completed: read(&counts.completed),
                    retried: read(&counts.retried),
                    failed: read(&counts.failed),
                }
            })
            .collect()
    }
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

/// What `GET /admin/truth` answers. Every number counts from the start of the service.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Answered requests; `route` is null where none matched.
    pub(crate) requests: Vec<RequestTotal>,
    /// Statements run, errors included.
    pub(crate) queries: Vec<QueryTotal>,
    /// Cache look-ups by name and tier.
    pub(crate) caches: Vec<CacheTotal>,
    /// Jobs by queue.
    pub(crate) jobs: Vec<JobTotal>,
}

/// One line of [`Report::requests`].
#[derive(Debug, Serialize)]
pub(crate) struct RequestTotal {
    pub(crate) method: String,
    pub(crate) route: Option<String>,
    pub(crate) status: u16,
    pub(crate) count: u64,
}

/// One line of [`Report::queries`].
#[derive(Debug, Serialize)]
pub(crate) struct QueryTotal {
    pub(crate) summary: &'static str,
    pub(crate) total: u64,
    pub(crate) errors: u64,
}

/// One line of [`Report::caches`].
#[derive(Debug, Serialize)]
pub(crate) struct CacheTotal {
    pub(crate) name: &'static str,
    pub(crate) tier: &'static str,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) errors: u64,
    pub(crate) writes: u64,
}

/// One line of [`Report::jobs`]. A retried run is not a completed one.
#[derive(Debug, Serialize)]
pub(crate) struct JobTotal {
    pub(crate) queue: &'static str,
    pub(crate) enqueued: u64,
    pub(crate) completed: u64,
    pub(crate) retried: u64,
    pub(crate) failed: u64,
}
