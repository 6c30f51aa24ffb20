//! What `heartline watch --headless --json` prints, read as a program that parses it would: one object a line.
//! Fields are those of the published contract; what is not listed here is not looked at.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::binaries::binary;
use crate::program::Program;
use crate::waiting::wait_until;

/// One line.
#[derive(Debug, Clone, Deserialize)]
pub struct Tick {
    /// When it was made.
    pub ts_ms: i64,
    /// Each target that is watched.
    pub targets: Vec<Target>,
    /// Each rule, one row at least.
    pub alerts: Vec<Alert>,
}

/// What is known of one target.
#[derive(Debug, Clone, Deserialize)]
pub struct Target {
    /// Its address.
    pub target: String,
    /// `fresh`, `stale` or `down`.
    pub state: String,
    /// Restarts seen.
    pub restarts: u64,
    /// Why the last poll failed.
    pub error: Option<String>,
    /// All requests together.
    pub requests: Requests,
    /// By route.
    pub routes: Vec<Route>,
    /// All queries together.
    pub queries: Queries,
    /// Connection pools.
    pub pools: Vec<Pool>,
    /// Cache tiers.
    pub caches: Vec<Cache>,
    /// Job queues.
    pub queues: Vec<Queue>,
    /// The heap.
    pub heap: Heap,
}

/// Requests of one target; absent numbers are unknown.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Requests {
    pub total: Option<f64>,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub in_flight: Option<f64>,
    pub p50_seconds: Option<f64>,
    pub p95_seconds: Option<f64>,
    pub p99_seconds: Option<f64>,
}

/// One route.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Route {
    pub method: String,
    pub route: Option<String>,
    pub total: Option<f64>,
    pub rate: Option<f64>,
}

/// Queries of one target.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Queries {
    pub total: Option<f64>,
    pub rate: Option<f64>,
    pub error_ratio: Option<f64>,
    pub p95_seconds: Option<f64>,
}

/// One connection pool.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Pool {
    pub name: String,
    pub max: Option<f64>,
    pub used: Option<f64>,
    pub idle: Option<f64>,
    pub pending: Option<f64>,
}

/// One tier of one cache.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Cache {
    pub name: String,
    pub tier: String,
    pub hit_ratio: Option<f64>,
    pub requests: Option<f64>,
}

/// One job queue.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Queue {
    pub name: String,
    pub waiting: Option<f64>,
    pub active: Option<f64>,
    pub completed: Option<f64>,
    pub failed: Option<f64>,
}

/// The heap of one target.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Heap {
    pub allocated_bytes: Option<f64>,
    pub resident_bytes: Option<f64>,
    pub trend: Option<String>,
    pub leak: Option<String>,
}

/// One alert.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented by the contract they are read from")]
pub struct Alert {
    pub name: String,
    pub level: Option<String>,
    pub state: String,
    pub value: Option<f64>,
    pub target: Option<String>,
}

impl Alert {
    /// Whether it would have called someone: firing, or not yet over.
    pub fn is_firing(&self) -> bool {
        self.state == "firing" || self.state == "recovering"
    }
}

impl Tick {
    /// Reads one line.
    ///
    /// # Errors
    /// When it is not what the contract says, with the line.
    pub fn parse(line: &str) -> Result<Self> {
        serde_json::from_str(line).with_context(|| format!("not a tick: {line}"))
    }

    /// Whether an instance of this alert is firing.
    pub fn fires(&self, alert: &str) -> bool {
        self.alerts.iter().any(|row| row.name == alert && row.is_firing())
    }

    /// Every rate of every target with its name; none may be negative.
    pub fn rates(&self) -> Vec<(String, f64)> {
        let of = |target: &Target| {
            let whole = [("requests".to_owned(), target.requests.rate), ("queries".to_owned(), target.queries.rate)];
            let routes = target.routes.iter().map(|route| (format!("{} {:?}", route.method, route.route), route.rate));
            whole.into_iter().chain(routes).filter_map(|(name, rate)| Some((name, rate?))).collect::<Vec<_>>()
        };
        self.targets.iter().flat_map(of).collect()
    }
}

/// A running `heartline watch --headless --json`; it ends when dropped.
#[derive(Debug)]
pub struct Watch {
    program: Program,
    read: Vec<Tick>,
}

impl Watch {
    /// Watches `url` by the rules in `alerts`, a tick a second.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(url: &str, alerts: &Path) -> Result<Self> {
        let mut arguments: Vec<OsString> =
            ["watch", "--headless", "--json", "--interval", "1s", "--alerts"].map(Into::into).into();
        arguments.extend([alerts.as_os_str().to_owned(), url.into()]);
        Ok(Self { program: Program::start(binary("heartline")?, &arguments)?, read: Vec::new() })
    }

    /// Every tick so far.
    ///
    /// # Errors
    /// When a line is not a tick.
    pub fn ticks(&mut self) -> Result<&[Tick]> {
        for line in self.program.out_from(self.read.len()) {
            self.read.push(Tick::parse(&line)?);
        }
        Ok(&self.read)
    }

    /// Waits for a tick that was made after this call and fulfils `condition`.
    ///
    /// # Errors
    /// When `limit` is over, with what the last tick said of the alerts, or when a line is not a tick.
    pub fn wait_for(&mut self, limit: Duration, what: &str, condition: impl Fn(&Tick) -> bool) -> Result<Tick> {
        let seen = self.ticks()?.len();
        let found =
            wait_until(limit, what, || Ok(self.ticks()?.iter().skip(seen).find(|tick| condition(tick)).cloned()));
        found.with_context(|| format!("{}\n{}", self.last_alerts(), self.program.report_of_errors()))
    }

    fn last_alerts(&self) -> String {
        let Some(tick) = self.read.last() else { return "no tick came".to_owned() };
        let row = |alert: &Alert| format!("{} {} {:?} {:?}", alert.name, alert.state, alert.level, alert.value);
        let rows: Vec<String> = tick.alerts.iter().map(row).collect();
        format!("{} ticks; the last one's alerts: {}", self.read.len(), rows.join("; "))
    }

    /// The longest time between two ticks.
    ///
    /// # Errors
    /// When there are fewer than two ticks.
    pub fn longest_gap(&mut self) -> Result<Duration> {
        let ticks = self.ticks()?;
        ensure!(ticks.len() > 1, "only {} tick(s)", ticks.len());
        let gaps = ticks.windows(2).map(|pair| pair[1].ts_ms - pair[0].ts_ms);
        Ok(Duration::from_millis(gaps.max().unwrap_or_default().try_into()?))
    }
}
