//! The heartline agent: a library that Rust services link, which records what an on-call engineer needs to know.
//!
//! ```
//! # fn main() -> Result<(), heartline::Error> {
//! use std::time::Duration;
//!
//! let agent = heartline::Agent::builder("shop").listen("127.0.0.1:0").start()?;
//!
//! let cart = agent.route("GET", "/carts/{id}");
//! let request = cart.start();
//! request.finish(200);
//!
//! println!("curl http://{}/metrics", agent.local_addr().expect("it listens"));
//! agent.shutdown(Duration::from_secs(1))?;
//! # Ok(()) }
//! ```
//!
//! The agent runs on a thread of its own. Recording waits for no lock, makes no system call and allocates nothing, but for
//! what is rare: a thread's first record, a series that is new or outgrows its memory, a value of 18 minutes or more, the 4,097th
//! addition to a counter, and a moment at which other threads have every store. So do not record in a global allocator or a
//! signal handler: what is rare would wait for itself. The agent installs no signal handler, panic hook, allocator or
//! subscriber unless told to:
//! with the feature `cpu-profile`, asking for a profile of the processor is telling it so, for as long as that takes.
//!
//! # Layers, lowest first
//! `clock`, `config`, `error`; `recording` (logs and stores); `trace` (the spans of requests); `instruments` (the hot path); `registry` (who owns the instruments); `signals` (what the
//! product is about); `heap`, `cpu` and `process` (what is sampled; `symbols` names addresses); `recorder` (the newest hours); `actions` (what a person may make the service do); `integrations` (one file, one feature, one crate);
//! `snapshot` (everything as one value); `exporters` and `server` (the value as bytes); `agent` (wires them).

mod actions;
mod agent;
mod clock;
mod config;
#[cfg(feature = "cpu-profile")]
mod cpu;
mod error;
mod exporters;
mod heap;
pub mod instruments;
pub mod integrations;
#[cfg(feature = "jemalloc")]
pub mod jemalloc;
mod process;
mod recorder;
mod recording;
mod registry;
mod server;
mod signals;
mod snapshot;
#[cfg(any(feature = "jemalloc", feature = "cpu-profile"))]
mod symbols;
pub mod trace;

pub use actions::{ActionError, ActionOutcome, ActionRequest};
pub use agent::{Agent, AgentBuilder};
pub use config::{
    COLLECT_INTERVAL, DEFAULT_HISTORY_BYTES, DEFAULT_LEAK_PATIENCE, DEFAULT_LISTEN, DEFAULT_MEMORY_BUDGET,
    DEFAULT_SERIES_LIMIT, DEFAULT_SLOW_QUERY, DEFAULT_SLOW_REQUEST, DEFAULT_SUMMARY_INTERVAL,
    DEFAULT_VERY_SLOW_REQUEST, LABEL_VALUE_BYTES_MAX, TOKEN_BYTES_MIN,
};
#[cfg(feature = "otlp")]
pub use config::{DEFAULT_OTLP_INTERVAL, DEFAULT_OTLP_TIMEOUT, Otlp, OtlpHistograms};
pub use error::Error;
pub use heap::{HeapReport, LeakDetector, LeakVerdict, MemorySample};
pub use heartline_shared::snapshot::{CheckStatus, Criticality, HeapSite, HeapSites, Leak, Sampling, Trend};
pub use heartline_shared::{Labels, Snapshot, UnixMillis};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use server::Wire;
pub use server::{EndpointBody, EndpointFuture, EndpointService};
pub use signals::{
    Breaker, BreakerState, BuiltInCheck, Cache, CacheOperation, CacheStatus, Check, CheckSettings, CounterFamily,
    Eviction, HistogramFamily, JobGuard, Pool, PoolStatus, Query, QueryError, QueryGuard, Queue, QueueStatus,
    RequestGuard, Route, WaitGuard,
};
