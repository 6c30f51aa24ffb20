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
use tokio::task::JoinSet;

use super::callbacks::Conduct;
use crate::clock::{Stamp, Tick};
use crate::instruments::{Counter, Histogram};
use crate::registry::{Registry, Room};
use crate::snapshot::Families;

/// How often a check runs unless told otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(1);
/// A check that takes longer has failed, unless told otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
/// Neither is shorter than this.
const SHORTEST: Duration = Duration::from_millis(10);
/// A result this much older than the next one is due says nothing any more: the check, or the runtime it runs on, hangs.
const GRACE: Duration = Duration::from_secs(7);

/// How a health check runs, and what it means when it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "settings do nothing until a check is registered with them"]
pub struct CheckSettings {
    pub(crate) criticality: Criticality,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
}

impl CheckSettings {
    /// Once a second, with two seconds to answer.
    pub const fn new(criticality: Criticality) -> Self {
        Self { criticality, interval: DEFAULT_INTERVAL, timeout: DEFAULT_TIMEOUT }
    }

    /// The pause between the end of a run and the next one; its result is kept meanwhile. Default a second; at least 10 ms.
    pub fn interval(self, interval: Duration) -> Self {
        Self { interval: interval.max(SHORTEST), ..self }
    }

    /// A run that takes longer has failed. Default two seconds; at least 10 ms. Built-in checks read what is there anyway
    /// and need none.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: timeout.max(SHORTEST), ..self }
    }

    /// How old a result may be.
    fn age_max(&self) -> Duration {
        self.interval.saturating_add(self.timeout).saturating_add(GRACE)
    }
}

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

    /// The worse of two findings; of two alike, the first.
    pub(crate) fn or(self, other: Self) -> Self {
        let rank = |check: &Self| match check.status {
            CheckStatus::Pass => 0,
            CheckStatus::Warn => 1,
            CheckStatus::Fail => 2,
        };
        if rank(&other) > rank(&self) { other } else { self }
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
    settings: CheckSettings,
    /// How long its runs took; `None` for a built-in one.
    took: Option<Histogram>,
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
        (name, settings): (&str, CheckSettings),
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
            settings,
            took: Some(registry.histogram("heartline.health.check.duration", labels, Room::Reserved)),
            newest: Mutex::new(None),
        });
        let mut checks = self.0.lock();
        checks.retain(|check| check.name != name);
        checks.push(Arc::clone(&registered));
        runtime.spawn(run_at_intervals(Arc::downgrade(&registered), check, failures));
    }

    /// Puts what a built-in check found in place of what it found before, or takes the check off the list where its subject
    /// is gone. A check of the service of the same name stays.
    pub(crate) fn put_built_in(&self, name: &str, settings: CheckSettings, found: Option<Check>, now: Tick) {
        let mut checks = self.0.lock();
        if checks.iter().any(|check| check.name == name && check.took.is_some()) {
            return;
        }
        checks.retain(|check| check.name != name);
        if let Some(check) = found {
            let newest = Mutex::new(Some(Finding { check, took: Duration::ZERO, at: now }));
            checks.push(Arc::new(Registered { name: name.to_owned(), settings, took: None, newest }));
        }
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
        let verdict = |check: &Arc<Registered>| match (check.result(now).status, check.settings.criticality) {
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
        let hangs = age.filter(|age| *age > self.settings.age_max());
        let status = newest.as_ref().map(|finding| finding.check.status);
        let hung = |age: Duration| format!("no result for {} s: the check or its runtime hangs", age.as_secs());
        CheckResult {
            name: self.name.clone(),
            criticality: self.settings.criticality,
            status: if hangs.is_some() { Some(CheckStatus::Fail) } else { status },
            latency_seconds: newest.as_ref().filter(|_| self.took.is_some()).map(|finding| finding.took.as_secs_f64()),
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

/// Runs a check as a task of `host`, which ends when nobody waits for it any more. A panic of the check goes on here.
pub(crate) fn checked_on<F: Future<Output = Check> + Send + 'static>(
    host: &Handle,
    check: &Arc<impl Fn() -> F + Send + Sync + 'static>,
) -> CheckFuture {
    let (mut running, check) = (JoinSet::new(), Arc::clone(check));
    running.spawn_on(async move { check().await }, host);
    Box::pin(async move {
        match running.join_next().await {
            Some(Ok(check)) => check,
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            _ => Check::fail("the runtime that the check runs on has ended"),
        }
    })
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
    while let Some(settings) = registered.upgrade().map(|registered| registered.settings) {
        let start = Stamp::now();
        let guarded = AssertUnwindSafe(async { check().await }).catch_unwind();
        let found = match tokio::time::timeout(settings.timeout, guarded).await {
            Ok(Ok(check)) => check,
            Ok(Err(_panic)) => {
                failures.increment();
                Check::fail("the check panicked")
            }
            Err(_elapsed) => Check::fail(format!("no answer within {} s", settings.timeout.as_secs_f64())),
        };
        let Some(registered) = registered.upgrade() else { return };
        let took = start.elapsed();
        registered.took.iter().for_each(|histogram| histogram.record(took));
        *registered.newest.lock() = Some(Finding { check: found, took, at: Tick::now() });
        drop(registered);
        tokio::time::sleep(settings.interval).await;
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
            let (settings, took) = (CheckSettings::new(*criticality), Some(took.clone()));
            Arc::new(Registered { name: at.to_string(), settings, took, newest })
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
