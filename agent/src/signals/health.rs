//! Health checks of the service: run at intervals beside the host's work, their newest results kept.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::FutureExt;
use heartline_shared::snapshot::{CheckResult, CheckStatus, Criticality};
use heartline_shared::{Labels, UnixMillis};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::callbacks::Conduct;
use crate::clock::{Stamp, Tick};
use crate::instruments::{Counter, Histogram};
use crate::registry::{Registry, Room};
use crate::snapshot::Families;

/// How often a check runs.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// A check that takes longer has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// A result older than this says nothing any more: the check, or the runtime it runs on, hangs.
const RESULT_AGE_MAX: Duration = Duration::from_secs(10);

/// What a health check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub(crate) status: CheckStatus,
    pub(crate) message: Option<String>,
}

impl Check {
    /// It works.
    pub fn pass() -> Self {
        Self { status: CheckStatus::Pass, message: None }
    }

    /// It works, and soon may not.
    pub fn warn(message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Warn, message: Some(message.into()) }
    }

    /// It does not work.
    pub fn fail(message: impl Into<String>) -> Self {
        Self { status: CheckStatus::Fail, message: Some(message.into()) }
    }
}

/// How the service stands, from all checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Overall {
    /// Every check passes.
    Healthy,
    /// A check warns, or one that is not critical fails.
    Degraded,
    /// A critical check fails.
    Unhealthy,
}

pub(crate) type CheckFuture = Pin<Box<dyn Future<Output = Check> + Send>>;

/// The registered checks.
#[derive(Debug, Default)]
pub(crate) struct HealthChecks(Mutex<Vec<Arc<Registered>>>);

struct Registered {
    name: String,
    criticality: Criticality,
    took: Histogram,
    newest: Mutex<Option<Finding>>,
}

#[derive(Clone)]
struct Finding {
    check: Check,
    took: Duration,
    at: Tick,
}

impl HealthChecks {
    /// Registers a check and runs it on `runtime` until these checks are dropped. A check of the same name replaces the
    /// earlier one.
    pub(crate) fn register(
        &self,
        registry: &Registry,
        runtime: &Handle,
        (name, criticality): (&str, Criticality),
        check: impl Fn() -> CheckFuture + Send + Sync + 'static,
    ) {
        let labels = Labels::from_pairs([("health.check", name)]);
        let failures = registry.counter(
            "heartline.callback.failures",
            Labels::from_pairs([("callback", format!("health check {name}"))]),
            Room::Reserved,
        );
        let registered = Arc::new(Registered {
            name: name.to_owned(),
            criticality,
            took: registry.histogram("heartline.health.check.duration", labels, Room::Reserved),
            newest: Mutex::new(None),
        });
        let mut checks = self.0.lock();
        checks.retain(|check| check.name != name);
        checks.push(Arc::clone(&registered));
        runtime.spawn(run_at_intervals(Arc::downgrade(&registered), check, failures));
    }

    /// Adds results and status series to a snapshot.
    pub(crate) fn read(&self, into: &mut Families, now: Tick) {
        for check in self.0.lock().iter() {
            let result = check.result(now);
            for (state, name) in [(CheckStatus::Pass, "pass"), (CheckStatus::Warn, "warn"), (CheckStatus::Fail, "fail")]
            {
                let labels = Labels::from_pairs([("health.check", check.name.as_str()), ("health.state", name)]);
                into.integer("heartline.health.status", labels, u64::from(result.status == Some(state)));
            }
            into.checks.push(result);
        }
    }

    /// How the service stands; checks that have not run yet do not count.
    pub(crate) fn overall(&self, now: Tick) -> Overall {
        let verdict = |check: &Arc<Registered>| match (check.result(now).status, check.criticality) {
            (Some(CheckStatus::Fail), Criticality::Critical) => Overall::Unhealthy,
            (Some(CheckStatus::Fail | CheckStatus::Warn), _) => Overall::Degraded,
            (Some(CheckStatus::Pass) | None, _) => Overall::Healthy,
        };
        self.0.lock().iter().map(verdict).max().unwrap_or(Overall::Healthy)
    }
}

impl Registered {
    fn result(&self, now: Tick) -> CheckResult {
        let newest = self.newest.lock().clone();
        let age = newest.as_ref().map(|finding| now.mono.saturating_sub(finding.at.mono));
        let hangs = age.filter(|age| *age > RESULT_AGE_MAX);
        let status = newest.as_ref().map(|finding| finding.check.status);
        let hung = |age: Duration| format!("no result for {} s: the check or its runtime hangs", age.as_secs());
        CheckResult {
            name: self.name.clone(),
            criticality: self.criticality,
            status: if hangs.is_some() { Some(CheckStatus::Fail) } else { status },
            latency_seconds: newest.as_ref().map(|finding| finding.took.as_secs_f64()),
            checked_at_ms: newest.as_ref().map(|finding| -> UnixMillis { finding.at.wall }),
            message: hangs.map(hung).or(newest.and_then(|finding| finding.check.message)),
        }
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Runs a check on a thread of `pool`, where it may block. One that has not returned is not started again.
pub(crate) fn checked_aside<F: Future<Output = Check> + Send + 'static>(
    conduct: &Arc<Conduct>,
    pool: &Handle,
    check: &Arc<impl Fn() -> F + Send + Sync + 'static>,
) -> CheckFuture {
    let (tell, told) = oneshot::channel();
    let (check, runtime) = (Arc::clone(check), pool.clone());
    let run = move || drop(tell.send(runtime.block_on(check())));
    let called = conduct.call(Some(pool), Tick::now().mono, run, || ());
    Box::pin(async move {
        match told.await {
            Ok(check) => check,
            Err(_) if called => Check::fail("the check panicked"),
            Err(_) => Check::fail("the check has not returned, or failed three times and is not called any more"),
        }
    })
}

async fn run_at_intervals(
    registered: Weak<Registered>,
    check: impl Fn() -> CheckFuture + Send + Sync,
    failures: Counter,
) {
    while registered.strong_count() > 0 {
        let start = Stamp::now();
        let guarded = AssertUnwindSafe(async { check().await }).catch_unwind();
        let found = match tokio::time::timeout(CHECK_TIMEOUT, guarded).await {
            Ok(Ok(check)) => check,
            Ok(Err(_panic)) => {
                failures.increment();
                Check::fail("the check panicked")
            }
            Err(_elapsed) => Check::fail(format!("no answer within {} s", CHECK_TIMEOUT.as_secs())),
        };
        let Some(registered) = registered.upgrade() else { return };
        let took = start.elapsed();
        registered.took.record(took);
        *registered.newest.lock() = Some(Finding { check: found, took, at: Tick::now() });
        drop(registered);
        tokio::time::sleep(CHECK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: Check, mono: Duration) -> Finding {
        Finding { check, took: Duration::from_millis(1), at: Tick { mono, wall: UnixMillis(0) } }
    }

    fn checks(results: &[(Criticality, Check)]) -> HealthChecks {
        let registry = Registry::new(10, 1 << 20);
        let took = registry.histogram("heartline.health.check.duration", Labels::empty(), Room::Reserved);
        let register = |(at, (criticality, check)): (usize, &(Criticality, Check))| {
            let newest = Mutex::new(Some(finding(check.clone(), Duration::ZERO)));
            Arc::new(Registered { name: at.to_string(), criticality: *criticality, took: took.clone(), newest })
        };
        HealthChecks(Mutex::new(results.iter().enumerate().map(register).collect()))
    }

    fn at(seconds: u64) -> Tick {
        Tick { mono: Duration::from_secs(seconds), wall: UnixMillis(0) }
    }

    #[test]
    fn only_a_failing_critical_check_makes_the_service_unhealthy() {
        use Criticality::{Critical, NonCritical};
        let overall = |results: &[_]| checks(results).overall(at(1));
        assert_eq!(overall(&[]), Overall::Healthy);
        assert_eq!(overall(&[(Critical, Check::pass())]), Overall::Healthy);
        assert_eq!(overall(&[(Critical, Check::pass()), (NonCritical, Check::fail("away"))]), Overall::Degraded);
        assert_eq!(overall(&[(Critical, Check::warn("slow"))]), Overall::Degraded);
        assert_eq!(overall(&[(Critical, Check::fail("away")), (NonCritical, Check::pass())]), Overall::Unhealthy);
    }

    #[test]
    fn a_check_that_stopped_answering_fails_and_says_for_how_long() {
        let checks = checks(&[(Criticality::Critical, Check::pass())]);
        assert_eq!(checks.overall(at(11)), Overall::Unhealthy);
        let mut families = Families::default();
        checks.read(&mut families, at(11));
        assert!(families.checks[0].message.as_deref().unwrap().contains("no result for 11 s"));
    }
}
