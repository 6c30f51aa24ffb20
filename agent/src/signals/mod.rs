//! What the product is about, on top of instruments: requests, queries, pools, caches, queues, health, breakers.
//!
//! Each signal resolves its series once and is then recorded through handles that are cheap to clone.

mod breakers;
mod built_in;
mod caches;
mod callbacks;
mod details;
mod exemplars;
mod failures;
mod families;
mod health;
mod open_requests;
mod pools;
mod queries;
mod queues;
mod requests;
mod resolved;
mod slow;
pub(crate) mod spent;

pub use breakers::{Breaker, BreakerState};
pub use built_in::BuiltInCheck;
pub(crate) use built_in::{BuiltInChecks, BuiltInSettings, Listening};
pub use caches::{Cache, CacheOperation, CacheStatus, Eviction};
pub(crate) use callbacks::{Conduct, Probes, Round};
pub(crate) use failures::{FAILURES_MAX, FailedJob, Failures, ShortText};
pub use families::{CounterFamily, HistogramFamily};
pub use health::{Check, CheckSettings};
pub(crate) use health::{HealthChecks, Overall, checked_aside, checked_on};
pub(crate) use open_requests::{OpenRequest, OpenRequests};
pub use pools::{Pool, PoolStatus, WaitGuard};
pub(crate) use queries::QueryOptions;
pub use queries::{Query, QueryError, QueryGuard};
pub use queues::{JobGuard, Queue, QueueStatus};
pub(crate) use requests::{DURATION as REQUEST_DURATION, RequestLogs};
pub use requests::{RequestGuard, Route};
pub(crate) use slow::{SLOW_WINDOW, SlowEntry, SlowLog, Thresholds};
pub(crate) use spent::{Spending, Spent};
