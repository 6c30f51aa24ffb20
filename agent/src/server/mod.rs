//! The HTTP endpoint: the agent's documents for dashboards, scrapers and probes. It serves HTTP/1.1 on the agent's own
//! thread, is closed by default, and survives slow and hostile clients. It knows documents, not how they are collected.
//!
//! A request goes through `listener` (the port), `connections` (how many, how slow), `router` (which route), `access` and
//! `token` (who may), `parameters` (with what), a handler of `routes` (its documents are made in `documents` and `views`), and leaves as an `answer` or a `problem`.
//! To add a route, add a row to a file of `routes`: router, access checks and `openapi.json` follow from it.

mod access;
mod answer;
mod changes;
mod connections;
mod contract;
mod documents;
mod fresh;
mod listener;
mod mounted;
mod pace;
mod parameters;
mod payload;
mod problem;
mod refusals;
mod route;
mod router;
mod routes;
mod socket;
#[cfg(feature = "tls")]
mod tls;
mod token;
mod views;
#[cfg(fuzzing)]
mod wire;

use std::sync::Arc;

use heartline_shared::Snapshot;

use crate::actions::Actions;
use crate::recorder::FlightRecorder;
use crate::signals::{Failures, OpenRequests, Overall, SlowLog};
use crate::snapshot::Exemplified;

pub(crate) use access::Policy;
pub(crate) use listener::{BoundAddress, Deadlines, Endpoint, Options, Trouble};
pub use mounted::{EndpointBody, EndpointFuture, EndpointService};
pub(crate) use token::Token;
pub(crate) use views::log_summary;
#[cfg(fuzzing)]
pub use wire::Wire;

/// Where the documents come from. Called on the agent's thread; neither method waits for anything.
pub(crate) trait Source: Send + Sync {
    /// Everything known now.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// How the service stands.
    fn overall(&self) -> Overall;

    /// The newest hours; `None` when they are not kept.
    fn recorder(&self) -> Option<&FlightRecorder> {
        None
    }

    /// The newest jobs that failed; `None` when they are not kept.
    fn failures(&self) -> Option<&Failures> {
        None
    }

    /// The slowest requests and queries; `None` when they are not kept.
    fn slow(&self) -> Option<&SlowLog> {
        None
    }

    /// Of how many requests the spans were pushed, and of how many no receiver will have them; `None` when they are not.
    fn spans_pushed(&self) -> Option<(u64, u64)> {
        None
    }

    /// The requests that are being served; `None` when they are not kept.
    fn open(&self) -> Option<&OpenRequests> {
        None
    }

    /// Single requests that stand for the buckets that count them.
    fn exemplars(&self) -> Exemplified {
        Exemplified::default()
    }

    /// What a person on call may make the service do; `None` when nothing.
    fn actions(&self) -> Option<&Actions> {
        None
    }

    /// What samples the heap; `None` when nothing does.
    #[cfg(feature = "jemalloc")]
    fn heap_profiler(&self) -> Option<crate::heap::Profiler> {
        None
    }

    /// What samples the processor; `None` when nothing does.
    #[cfg(feature = "cpu-profile")]
    fn cpu_profiler(&self) -> Option<crate::cpu::Profiler> {
        None
    }

    /// Somebody asked for an admin route, with this outcome: `ok`, `refused`, `limited`, `invalid` or `failed`.
    fn admin_asked(&self, _route: &'static str, _outcome: &'static str) {}
}
