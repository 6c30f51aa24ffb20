//! Circuit breakers: their state and the outcomes of calls; when to open is decided elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use heartline_shared::Labels;

use crate::instruments::{Counter, Histogram};
use crate::registry::{Registry, Room};
use crate::signals::spent::{Spending, spend};
use crate::snapshot::Families;
use crate::trace::{self, Work};

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum BreakerState {
    /// Calls go through.
    #[default]
    Closed,
    /// Calls are rejected.
    Open,
    /// A few calls go through to find out.
    HalfOpen,
}

impl BreakerState {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Closed, "closed"), (Self::Open, "open"), (Self::HalfOpen, "half_open")];
}

/// A handle to one breaker; clones share it. It is closed until told otherwise.
#[derive(Debug, Clone)]
pub struct Breaker(Arc<Series>);

#[derive(Debug)]
struct Series {
    labels: Labels,
    state: AtomicU8,
    success: (Counter, Histogram),
    failure: (Counter, Histogram),
    ignored: (Counter, Histogram),
    rejected: Counter,
}

impl Breaker {
    pub(crate) fn new(registry: &Arc<Registry>, name: &str) -> Self {
        let labels = Labels::from_pairs([("circuit_breaker.name", name)]);
        let outcome = |outcome| labels.clone().with("circuit_breaker.outcome", outcome);
        let calls = |name| registry.counter("heartline.circuit_breaker.calls", outcome(name), Room::Reserved);
        let took = |name| registry.histogram("heartline.circuit_breaker.call.duration", outcome(name), Room::Reserved);
        let both = |name| (calls(name), took(name));
        Self(Arc::new(Series {
            success: both("success"),
            failure: both("failure"),
            ignored: both("ignored"),
            rejected: calls("rejected"),
            state: AtomicU8::new(BreakerState::Closed as u8),
            labels,
        }))
    }

    /// The breaker changed its state.
    pub fn state(&self, state: BreakerState) {
        self.0.state.store(state as u8, Ordering::Relaxed);
    }

    /// A call went through and succeeded.
    pub fn success(&self, took: Duration) {
        self.0.record(&self.0.success, took, None);
    }

    /// A call went through and failed.
    pub fn failure(&self, took: Duration) {
        self.0.record(&self.0.failure, took, Some("failure"));
    }

    /// A call went through and failed in a way that says nothing about the other side.
    pub fn ignored(&self, took: Duration) {
        self.0.record(&self.0.ignored, took, None);
    }

    /// A call was not made because the breaker is open.
    pub fn rejected(&self) {
        self.0.rejected.increment();
    }

    /// Adds the state: 1 for the current one, 0 for the others.
    pub(crate) fn read(&self, into: &mut Families) {
        let current = self.0.state.load(Ordering::Relaxed);
        for (state, name) in BreakerState::ALL {
            let labels = self.0.labels.clone().with("circuit_breaker.state", name);
            into.integer("heartline.circuit_breaker.status", labels, u64::from(state as u8 == current));
        }
    }
}

impl Series {
    fn record(&self, (calls, took): &(Counter, Histogram), duration: Duration, error_type: Option<&str>) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        trace::add(|| Work::breaker(self.labels.value("circuit_breaker.name").unwrap_or_default()), nanos, error_type);
        spend(Spending::Outbound, nanos);
        calls.increment();
        took.record(duration);
    }
}
