//! What a target tells of single requests: those that are open, the slowest of the newest minutes and the newest that
//! failed, each with where its time went. Bounded and sanitised; how they are asked for and shown is not known here.
//!
//! `wire` is what is sent, `at_most` a list that is cut, `tree` the spans of a request beneath each other.

mod at_most;
#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
mod tree;
mod wire;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::UnixMillis;

use super::outcome::Failure;
use crate::text::Text;

/// What is asked for, beside the snapshot: requests that are open, and those that are kept.
pub(super) const QUERIES: [(&str, &str); 2] = [("inflight", "limit=20"), ("traces", "limit=20")];
/// Statuses from here on are errors of the server.
pub const SERVER_ERRORS: u16 = 500;
/// How many requests of each list are taken.
const ROWS_MAX: usize = 20;
/// How many spans of a request, and events of a span, are taken; an agent keeps no more of a request.
const SPANS_MAX: usize = 256;
const EVENTS_MAX: usize = 32;
/// The longest time that is believed, in seconds: longer than any request, short enough for every sum.
const SECONDS_MAX: f64 = 1e9;

/// What one target told of its requests, and when it last did.
#[derive(Debug, Clone)]
pub struct Traces {
    /// Which target, by its place in the list of targets.
    pub target: usize,
    /// The newest good answer; nothing before the first.
    pub told: Option<Arc<Told>>,
    /// Why the newest answer was none; nothing when it was good.
    pub failure: Option<Failure>,
}

impl Traces {
    /// An answer, or why there is none.
    pub(super) fn new(target: usize, answer: Result<Told, Failure>) -> Self {
        match answer {
            Ok(told) => Self { target, told: Some(Arc::new(told)), failure: None },
            Err(failure) => Self { target, told: None, failure: Some(failure) },
        }
    }

    /// This, with what was told `before` where this is only a failure of the same target.
    #[must_use]
    pub fn after(mut self, before: Option<Self>) -> Self {
        if self.told.is_none() {
            self.told = before.filter(|before| before.target == self.target).and_then(|before| before.told);
        }
        self
    }
}

/// What a target told of its requests.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Told {
    /// When, by our clock.
    pub at: UnixMillis,
    /// Open, slow and failed requests.
    pub requests: Vec<Traced>,
    /// How many are open.
    pub open: u64,
    /// How many were slow since the process started.
    pub slow: u64,
    /// How many with spans failed without being slow, since the process started.
    pub failed: u64,
    /// From how many seconds on a request is slow.
    pub slow_seconds: Option<f64>,
    /// How much time the kept requests are of.
    pub window: Duration,
    /// Whether the service has a layer that keeps spans.
    pub keeps_spans: bool,
}

/// Why a request is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is being served.
    Open,
    /// It ended, and was slow.
    Slow,
    /// It ended with a status of a server's error, a panic, or an error of another kind; slow or not.
    Failed,
}

impl Stage {
    /// Its word on the screen.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Slow => "slow",
            Self::Failed => "failed",
        }
    }
}

/// A single request.
#[derive(Debug, Clone, PartialEq)]
pub struct Traced {
    /// What identifies it among all that the target tells of: the same while it is open and when it is kept.
    pub identity: String,
    /// Why it is listed.
    pub stage: Stage,
    /// Its method.
    pub method: Text,
    /// The template it matched; nothing where it matched none.
    pub route: Option<Text>,
    /// How it was answered; nothing while it is open, and where it was not.
    pub status: Option<u16>,
    /// How it failed.
    pub error_type: Option<Text>,
    /// What the service or its client calls it.
    pub request_id: Option<Text>,
    /// The trace it is part of.
    pub trace_id: Option<Text>,
    /// How long it took, or has been open.
    pub seconds: f64,
    /// When it ended, by our clock; nothing while it is open.
    pub ended: Option<UnixMillis>,
    /// Where its time went, in the order of [`On`]; empty where that is not known.
    pub parts: Vec<Part>,
    /// What took most of it; of an open request what it waits for.
    pub most: Option<Most>,
    /// Its spans, those beneath a span behind it; nothing where none were kept.
    pub spans: Option<Vec<Branch>>,
    /// How many spans the target left out.
    pub spans_cut: u64,
}

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum On {
    /// Queries.
    Queries,
    /// Waiting for a connection of a pool.
    PoolWait,
    /// Asking caches.
    Cache,
    /// Calls to other services.
    Outbound,
    /// Spans of the service's own.
    Spans,
    /// Nothing that was observed.
    Own,
}

impl On {
    /// Its words on the screen.
    pub fn words(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::PoolWait => "pool wait",
            Self::Cache => "cache",
            Self::Outbound => "outbound",
            Self::Spans => "own spans",
            Self::Own => "own",
        }
    }
}

/// A part of a request's time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// On what.
    pub on: On,
    /// How much of it.
    pub seconds: f64,
    /// How often; nothing where that is not counted.
    pub count: Option<u64>,
}

/// What took most of a request.
#[derive(Debug, Clone, PartialEq)]
pub struct Most {
    /// What it is called.
    pub name: Text,
    /// How long it took, beneath it not counted; of an open request for how long it has been waiting.
    pub seconds: f64,
    /// How often.
    pub count: u64,
}

/// A span, or several of the same name beneath the same one.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// How many spans it is beneath.
    pub depth: usize,
    /// What it is called.
    pub name: Text,
    /// On what its time counts.
    pub on: On,
    /// How many spans it stands for.
    pub count: u64,
    /// How long they took together.
    pub seconds: f64,
    /// From when to when each was open, in seconds since the request began.
    pub open: Vec<(f64, f64)>,
    /// Whether it failed.
    pub failed: bool,
    /// Whether it ended before its request did.
    pub ended: bool,
    /// Warnings and errors within it.
    pub events: Vec<Said>,
}

/// A warning or an error that was logged within a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Whether it is an error.
    pub is_error: bool,
    /// What it says.
    pub message: Text,
}

/// Reads what [`QUERIES`] gave, which arrived `at`.
///
/// # Errors
/// Says why the bytes are not understood, as the end of a sentence that began with what was asked.
pub(super) fn read([open, kept]: &[Vec<u8>; 2], at: UnixMillis) -> Result<Told, String> {
    let explain = |what: &'static str| {
        move |error: serde_json::Error| format!("its {what} requests are not understood ({error})")
    };
    let open: wire::Open = serde_json::from_slice(open).map_err(explain("open"))?;
    let kept: wire::Kept = serde_json::from_slice(kept).map_err(explain("slow"))?;
    let when = |theirs: UnixMillis| at - open.ts_ms.since(theirs);
    let kept_rows = kept.failed.newest.items.into_iter().chain(kept.requests.slowest.items);
    let mut requests: Vec<Traced> =
        kept_rows.map(|row| (when(row.ended_at_ms), row)).map(|(ended, row)| row.request(ended)).collect();
    let ended: HashSet<String> = requests.iter().map(|request| request.identity.clone()).collect();
    // one that was open when it was asked for, and had ended when the others were
    let open_rows = open.requests.items.into_iter().map(wire::OpenRow::request);
    requests.extend(open_rows.filter(|request| !ended.contains(&request.identity)));
    let mut times: HashMap<String, u32> = HashMap::new();
    for request in &mut requests {
        // the keys of an honest target differ
        let nth = times.entry(request.identity.clone()).and_modify(|nth| *nth += 1).or_insert(1);
        if *nth > 1 {
            request.identity = format!("{} ({nth})", request.identity);
        }
    }
    Ok(Told {
        at,
        requests,
        open: open.count,
        slow: kept.requests.count,
        failed: kept.failed.count,
        slow_seconds: kept.thresholds.request_seconds.map(believed),
        window: Duration::from_secs_f64(believed(kept.window_seconds)),
        keeps_spans: kept.spans.is_some(),
    })
}

/// A number of seconds that can be added and drawn.
fn believed(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.clamp(0.0, SECONDS_MAX) } else { 0.0 }
}
