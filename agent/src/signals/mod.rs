//! What the product is about, on top of instruments: requests, queries, pools, caches, queues, health, breakers.
//!
//! Each signal resolves its series once and is then recorded through handles that are cheap to clone.

mod breakers;
mod caches;
mod failures;
mod health;
mod pools;
mod probe;
mod queries;
mod queues;
mod requests;
mod resolved;

pub use breakers::{Breaker, BreakerState};
pub use caches::{Cache, CacheOperation, CacheStatus, Eviction};
pub(crate) use failures::{FAILURES_MAX, FailedJob, Failures, ShortText};
pub use health::Check;
pub(crate) use health::{CheckFuture, HealthChecks, Overall};
pub use pools::{Pool, PoolStatus, WaitGuard};
pub(crate) use probe::Probe;
pub(crate) use queries::QueryOptions;
pub use queries::{Query, QueryError, QueryGuard};
pub use queues::{JobGuard, Queue, QueueStatus};
pub use requests::{RequestGuard, Route};
