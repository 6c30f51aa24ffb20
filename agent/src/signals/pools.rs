//! Connection pools: how full they are, and how long callers wait; which library holds the connections is not known here.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::Labels;

use crate::clock::Stamp;
use crate::instruments::{Counter, Histogram, InFlight, InFlightGuard};
use crate::registry::{Registry, Room};
use crate::signals::spent::{Spending, spend};
use crate::snapshot::Families;
use crate::trace::{self, Child, Work};

const NAME: &str = "db.client.connection.pool.name";
const STATE: &str = "db.client.connection.state";

/// How full a pool is; what the probe answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolStatus {
    /// Most connections the pool may open.
    pub max: u64,
    /// Connections open now, used and idle.
    pub size: u64,
    /// Connections open and not used.
    pub idle: u64,
    /// Callers waiting now; `None` when the pool does not know, then the agent's own wait guards are counted.
    pub pending: Option<u64>,
}

/// A handle to one pool; clones share it.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Series>);

#[derive(Debug)]
struct Series {
    labels: Labels,
    wait: Histogram,
    held: Histogram,
    created: Histogram,
    timeouts: Counter,
    waiting: InFlight,
}

/// A caller waiting for a connection. Say how it ended; dropped it gave up waiting, and its wait is recorded.
#[derive(Debug)]
#[must_use = "dropping the guard ends the wait"]
pub struct WaitGuard {
    pool: Pool,
    start: Stamp,
    child: Child,
    timed_out: bool,
    _waiting: InFlightGuard,
}

impl Pool {
    pub(crate) fn new(registry: &Arc<Registry>, name: &str) -> Self {
        let labels = Labels::from_pairs([(NAME, name)]);
        let histogram = |metric| registry.histogram(metric, labels.clone(), Room::Reserved);
        Self(Arc::new(Series {
            wait: histogram("db.client.connection.wait_time"),
            held: histogram("db.client.connection.use_time"),
            created: histogram("db.client.connection.create_time"),
            timeouts: registry.counter("db.client.connection.timeouts", labels.clone(), Room::Reserved),
            waiting: InFlight::default(),
            labels,
        }))
    }

    /// A caller begins to wait for a connection.
    pub fn wait(&self) -> WaitGuard {
        let start = Stamp::now();
        let child = Child::begin(|| self.0.work(), start);
        WaitGuard { pool: self.clone(), start, child, timed_out: false, _waiting: self.0.waiting.enter() }
    }

    /// Records a wait that was timed elsewhere.
    pub fn waited(&self, wait: Duration) {
        let nanos = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        trace::add(|| self.0.work(), nanos, None);
        spend(Spending::Pool, nanos);
        self.0.wait.record(wait);
    }

    /// Records how long a connection was held.
    pub fn held(&self, held: Duration) {
        self.0.held.record(held);
    }

    /// Records how long opening a connection took.
    pub fn created(&self, took: Duration) {
        self.0.created.record(took);
    }

    /// Adds what the probe answered.
    pub(crate) fn read(&self, status: PoolStatus, into: &mut Families) {
        let labels = &self.0.labels;
        let used = status.size.saturating_sub(status.idle);
        for (state, connections) in [("idle", status.idle), ("used", used)] {
            into.integer("db.client.connection.count", labels.clone().with(STATE, state), connections);
        }
        into.integer("db.client.connection.max", labels.clone(), status.max);
        let pending = status.pending.unwrap_or_else(|| self.0.waiting.value());
        into.integer("db.client.connection.pending_requests", labels.clone(), pending);
    }
}

impl Series {
    /// A wait as a span.
    fn work(&self) -> Work<'_> {
        Work::pool_wait(self.labels.value(NAME).unwrap_or_default())
    }
}

impl WaitGuard {
    /// The caller has its connection; returns how long it waited.
    pub fn acquired(self) -> Duration {
        self.start.elapsed()
    }

    /// The caller was told that none came free in time.
    pub fn timed_out(mut self) {
        self.timed_out = true;
        self.pool.0.timeouts.increment();
    }
}

impl Drop for WaitGuard {
    fn drop(&mut self) {
        let now = Stamp::now();
        let nanos = self.start.nanos_until(now);
        self.child.end_wait(now, self.timed_out.then_some("timeout"));
        spend(Spending::Pool, nanos);
        self.pool.0.wait.record_units(nanos);
    }
}
