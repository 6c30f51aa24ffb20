//! What the agent itself observes within a request, as spans; how they are kept is not known here.

use std::time::Duration;

use crate::clock::Stamp;

/// Work that is a span of its own.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "nobody reads it without spans"))]
pub(crate) struct Work<'a> {
    pub(crate) kind: WorkKind,
    /// What is done, where the kind alone does not say it.
    pub(crate) operation: &'static str,
    /// Of what: the summary of a query, the name of a pool, a cache or a breaker.
    pub(crate) name: &'a str,
    /// What more is known of it: the system of a query, the tier of a cache.
    pub(crate) detail: &'a str,
}

/// The kinds of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WorkKind {
    Query,
    PoolWait,
    Cache,
    /// A call through a circuit breaker.
    Breaker,
    /// A call to another service that says itself when it begins.
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "the host cannot say it without spans"))]
    Outbound,
}

impl<'a> Work<'a> {
    pub(crate) fn query(system: &'a str, summary: &'a str) -> Self {
        Self { kind: WorkKind::Query, operation: "", name: summary, detail: system }
    }

    pub(crate) fn pool_wait(pool: &'a str) -> Self {
        Self { kind: WorkKind::PoolWait, operation: "", name: pool, detail: "" }
    }

    pub(crate) fn cache(operation: &'static str, name: &'a str, tier: &'a str) -> Self {
        Self { kind: WorkKind::Cache, operation, name, detail: tier }
    }

    pub(crate) fn breaker(name: &'a str) -> Self {
        Self { kind: WorkKind::Breaker, operation: "", name, detail: "" }
    }
}

impl WorkKind {
    /// Its name in documents, which is that of what a request spends time on.
    #[cfg_attr(not(feature = "tracing"), expect(dead_code, reason = "nothing is shown without spans"))]
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Query => "queries",
            Self::PoolWait => "pool_wait",
            Self::Cache => "cache",
            Self::Breaker | Self::Outbound => "outbound",
        }
    }
}

/// What an open request is waiting for, or at work on.
#[derive(Debug, Clone)]
pub(crate) struct Wait {
    /// `queries`, `pool_wait`, `cache`, `outbound`, or `span` for one of the host's own.
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    pub(crate) lasts: Duration,
}

/// Which open request something is said of: one of this route that began at this reading of the counter.
pub(crate) type Whose = (u64, u32);

/// That of a request to this route that began at `start`.
pub(crate) fn whose(start: Stamp, route: u32) -> Whose {
    (start.cycles(), route)
}
