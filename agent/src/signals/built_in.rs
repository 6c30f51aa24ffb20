//! Health checks that every agent has, of what it sees anyway: each is there only while its subject is. They read a
//! snapshot; where its figures come from is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use heartline_shared::snapshot::{Criticality, Family};
use heartline_shared::{Histogram, Snapshot};
use parking_lot::Mutex;

use super::health::{Check, CheckSettings, HealthChecks};
use crate::snapshot::Tick;

/// How often they look unless told otherwise.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(5);
/// A pool this full is warned of.
const POOL_WARNS: f64 = 0.9;
/// A pool without a free connection, and with callers waiting, fails after so long.
const POOL_FAILS_AFTER: Duration = Duration::from_secs(5);
/// A tier of a cache is warned of when so many look-ups fail, among at least so many.
const CACHE_WARNS: f64 = 0.5;
const CACHE_LOOKUPS_MIN: f64 = 10.0;
/// A queue on which jobs wait and nobody works is warned of after so long.
const QUEUE_WARNS_AFTER: Duration = Duration::from_mins(1);
/// Shares of the memory limit.
const MEMORY_WARNS: f64 = 0.85;
const MEMORY_FAILS: f64 = 0.95;
/// A runtime is warned of when tasks that are ready wait so long, and fails when none was polled at all for so long.
const RUNTIME_WARNS_SECONDS: f64 = 0.25;
const RUNTIME_FAILS_AFTER: Duration = Duration::from_secs(10);

/// A health check that every agent has. Each is listed only while its subject exists, is not critical unless
/// [set](crate::AgentBuilder::built_in_check) so, and gives way to a check of the same name that the service registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BuiltInCheck {
    /// `pool`: warns when nine of ten connections of a pool are used, fails when callers have waited five seconds for a
    /// pool that has none left.
    Pool,
    /// `cache`: warns when half of the look-ups of a tier fail.
    Cache,
    /// `queue`: warns when jobs wait and nobody has worked on their queue for a minute.
    Queue,
    /// `memory`: warns at 85 % of the memory limit, fails at 95 %.
    Memory,
    /// `runtime`: warns when one of a hundred tasks that are ready waits for a quarter of a second, fails when the
    /// runtime has polled none for ten seconds.
    Runtime,
    /// `exporter`: warns while the endpoint is to listen and cannot.
    Exporter,
}

impl BuiltInCheck {
    /// Each of them.
    pub const ALL: [Self; 6] = [Self::Pool, Self::Cache, Self::Queue, Self::Memory, Self::Runtime, Self::Exporter];

    /// Its name among the checks.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Cache => "cache",
            Self::Queue => "queue",
            Self::Memory => "memory",
            Self::Runtime => "runtime",
            Self::Exporter => "exporter",
        }
    }
}

/// Which built-in checks run, and how.
#[derive(Debug, Clone)]
pub(crate) struct BuiltInSettings(BTreeMap<BuiltInCheck, CheckSettings>);

impl Default for BuiltInSettings {
    fn default() -> Self {
        let settings = CheckSettings::new(Criticality::NonCritical).interval(DEFAULT_INTERVAL);
        Self(BuiltInCheck::ALL.into_iter().map(|check| (check, settings)).collect())
    }
}

impl BuiltInSettings {
    pub(crate) fn set(&mut self, check: BuiltInCheck, settings: Option<CheckSettings>) {
        match settings {
            Some(settings) => self.0.insert(check, settings),
            None => self.0.remove(&check),
        };
    }
}

/// How it stands with the endpoint's port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listening {
    /// There is to be none.
    Unwanted,
    Open,
    /// It could not be had, for this reason.
    Closed(String),
}

/// The built-in checks with what they remember between two looks.
#[derive(Debug)]
pub(crate) struct BuiltInChecks {
    settings: BuiltInSettings,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    looked_at: BTreeMap<BuiltInCheck, Duration>,
    /// Pools without a free connection, and since when.
    exhausted: BTreeMap<String, Duration>,
    /// Look-ups of each tier that failed, and all.
    lookups: BTreeMap<String, (f64, f64)>,
    /// Queues that nobody works on: jobs that were finished by then, and since when.
    idle: BTreeMap<String, (f64, Duration)>,
    /// Delays of the runtime up to the last look, and when it answered last.
    delays: Option<(Histogram, Duration)>,
}

impl BuiltInChecks {
    pub(crate) fn new(settings: BuiltInSettings) -> Self {
        Self { settings, seen: Mutex::default() }
    }

    /// Whether a check looks again at `now`.
    pub(crate) fn is_due(&self, now: Tick) -> bool {
        let seen = self.seen.lock();
        self.settings.0.iter().any(|(check, settings)| seen.is_due(*check, settings, now.mono))
    }

    /// Looks at a snapshot and the endpoint, and puts what the checks find into `health`.
    pub(crate) fn look(&self, snapshot: &Snapshot, listening: &Listening, now: Tick, health: &HealthChecks) {
        let mut seen = self.seen.lock();
        for (check, settings) in &self.settings.0 {
            if !seen.is_due(*check, settings, now.mono) {
                continue;
            }
            seen.looked_at.insert(*check, now.mono);
            let found = match check {
                BuiltInCheck::Pool => seen.pools(snapshot, now.mono),
                BuiltInCheck::Cache => seen.caches(snapshot),
                BuiltInCheck::Queue => seen.queues(snapshot, now.mono),
                BuiltInCheck::Memory => memory(snapshot),
                BuiltInCheck::Runtime => seen.runtime(snapshot, now.mono),
                BuiltInCheck::Exporter => exporter(listening),
            };
            health.put_built_in(check.name(), *settings, found, now);
        }
    }
}

impl Seen {
    fn is_due(&self, check: BuiltInCheck, settings: &CheckSettings, now: Duration) -> bool {
        self.looked_at.get(&check).is_none_or(|at| now.saturating_sub(*at) >= settings.interval)
    }

    fn pools(&mut self, snapshot: &Snapshot, now: Duration) -> Option<Check> {
        const NAME: &str = "db.client.connection.pool.name";
        let of = |metric: &str, state: Option<&str>| {
            by_label(snapshot, metric, NAME, state.map(|state| ("db.client.connection.state", state)))
        };
        let used = of("db.client.connection.count", Some("used"));
        let (max, pending) = (of("db.client.connection.max", None), of("db.client.connection.pending_requests", None));
        if max.is_empty() {
            return None;
        }
        let mut worst = Check::pass();
        for (pool, max) in max.into_iter().filter(|(_, max)| *max > 0.0) {
            let (used, pending) = (used.get(&pool).copied(), pending.get(&pool).copied().unwrap_or(0.0));
            let Some(used) = used else { continue };
            if used < max || pending == 0.0 {
                self.exhausted.remove(&pool);
            } else {
                let since = *self.exhausted.entry(pool.clone()).or_insert(now);
                let waited = now.saturating_sub(since);
                if waited >= POOL_FAILS_AFTER {
                    let seconds = waited.as_secs();
                    worst = worst.or(Check::fail(format!(
                        "pool {pool}: all {max} connections are used and {pending} callers wait, for {seconds} s"
                    )));
                    continue;
                }
            }
            if used / max >= POOL_WARNS {
                worst = worst.or(Check::warn(format!("pool {pool}: {used} of {max} connections are used")));
            }
        }
        Some(worst)
    }

    fn caches(&mut self, snapshot: &Snapshot) -> Option<Check> {
        let family = snapshot.family("heartline.cache.requests")?;
        let mut lookups: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        for series in &family.numbers {
            let label = |name| series.labels.value(name).unwrap_or_default();
            let (failed, all) = lookups.entry(format!("{}/{}", label("cache.name"), label("cache.tier"))).or_default();
            *all += series.value;
            *failed += if label("cache.result") == "error" { series.value } else { 0.0 };
        }
        let before = std::mem::replace(&mut self.lookups, lookups);
        let mut worst = Check::pass();
        for (tier, (failed, all)) in &self.lookups {
            let Some((failed_before, all_before)) = before.get(tier) else { continue };
            let (failed, all) = (failed - failed_before, all - all_before);
            if all >= CACHE_LOOKUPS_MIN && failed / all >= CACHE_WARNS {
                worst = worst.or(Check::warn(format!("cache {tier}: {failed} of the newest {all} look-ups failed")));
            }
        }
        Some(worst)
    }

    fn queues(&mut self, snapshot: &Snapshot, now: Duration) -> Option<Check> {
        let jobs = |state| by_label(snapshot, "heartline.job.count", "queue.name", Some(("job.state", state)));
        let (waiting, active) = (jobs("waiting"), jobs("active"));
        if waiting.is_empty() {
            return None;
        }
        let done = by_label(snapshot, "heartline.job.completed", "queue.name", None);
        let mut worst = Check::pass();
        for (queue, waiting) in waiting {
            let done = done.get(&queue).copied().unwrap_or(0.0);
            let works = active.get(&queue).is_some_and(|active| *active > 0.0);
            if waiting == 0.0 || works {
                self.idle.remove(&queue);
                continue;
            }
            let (done_by_then, since) = *self.idle.entry(queue.clone()).or_insert((done, now));
            if done > done_by_then {
                self.idle.insert(queue, (done, now));
                continue;
            }
            let idle = now.saturating_sub(since);
            if idle >= QUEUE_WARNS_AFTER {
                let seconds = idle.as_secs();
                worst = worst.or(Check::warn(format!(
                    "queue {queue}: {waiting} jobs wait and nobody has worked on it for {seconds} s"
                )));
            }
        }
        Some(worst)
    }

    fn runtime(&mut self, snapshot: &Snapshot, now: Duration) -> Option<Check> {
        let family = snapshot.family("tokio.schedule.delay")?;
        let grid = snapshot.grid(family.grid_kind()).ok()?;
        let newest = &family.histograms.first()?.histogram;
        let Some((before, answered)) = self.delays.take() else {
            self.delays = Some((newest.clone(), now));
            return Some(Check::pass());
        };
        let newer = newest.delta(&before).unwrap_or_default();
        if newer.count > 0 {
            self.delays = Some((newest.clone(), now));
        } else {
            self.delays = Some((before, answered));
            let silent = now.saturating_sub(answered);
            let seconds = silent.as_secs();
            let says = || format!("the runtime has polled no task for {seconds} s: its workers are blocked");
            return Some(if silent >= RUNTIME_FAILS_AFTER { Check::fail(says()) } else { Check::pass() });
        }
        let late = newer.quantile(&grid, 0.99).filter(|late| *late >= RUNTIME_WARNS_SECONDS);
        let says = |late| format!("one of a hundred tasks that are ready waits for {late:.2} s or longer");
        Some(late.map_or_else(Check::pass, |late| Check::warn(says(late))))
    }
}

fn exporter(listening: &Listening) -> Option<Check> {
    match listening {
        Listening::Unwanted => None,
        Listening::Open => Some(Check::pass()),
        Listening::Closed(why) => Some(Check::warn(why.clone())),
    }
}

fn memory(snapshot: &Snapshot) -> Option<Check> {
    let used = first(snapshot.family("process.memory.usage")?)?;
    let limit = first(snapshot.family("heartline.memory.limit")?).filter(|limit| *limit > 0.0)?;
    let share = used / limit;
    let says =
        || format!("{:.0} % of the memory limit of {:.0} MiB is used", share * 100.0, limit / f64::from(1 << 20));
    Some(match share {
        share if share >= MEMORY_FAILS => Check::fail(says()),
        share if share >= MEMORY_WARNS => Check::warn(says()),
        _ => Check::pass(),
    })
}

fn first(family: &Family) -> Option<f64> {
    family.numbers.first().map(|series| series.value)
}

/// The numbers of a metric by one of its labels, those that differ in others added up; perhaps only those with another
/// label of this value.
fn by_label(snapshot: &Snapshot, metric: &str, label: &str, only: Option<(&str, &str)>) -> BTreeMap<String, f64> {
    let mut sums = BTreeMap::new();
    let series = snapshot.family(metric).into_iter().flat_map(|family| &family.numbers);
    for series in series.filter(|series| only.is_none_or(|(name, value)| series.labels.value(name) == Some(value))) {
        *sums.entry(series.labels.value(label).unwrap_or_default().to_owned()).or_insert(0.0) += series.value;
    }
    sums
}

#[cfg(test)]
mod tests {
    use heartline_shared::snapshot::{CheckStatus, HistogramSeries, NumberSeries};
    use heartline_shared::{Grid, GridKind, Kind, Labels, UnixMillis};

    use super::*;
    use crate::snapshot::Families;

    const POOL: &str = "db.client.connection.pool.name";

    fn numbers(metric: &'static str, series: &[(&[(&'static str, &str)], f64)]) -> Family {
        let one = |(labels, value): &(&[(&'static str, &str)], f64)| NumberSeries {
            labels: Labels::from_pairs(labels.iter().copied()),
            value: *value,
        };
        let numbers = series.iter().map(one).collect();
        Family { name: metric.into(), kind: Kind::Gauge, unit: "".into(), help: None, numbers, histograms: vec![] }
    }

    fn delays(millis: u64, count: u64) -> Family {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        (0..count).for_each(|_| histogram.record(&grid, millis * 1_000_000));
        let histograms = vec![HistogramSeries { labels: Labels::empty(), histogram }];
        let name = "tokio.schedule.delay".into();
        Family { name, kind: Kind::Histogram, unit: "s".into(), help: None, numbers: vec![], histograms }
    }

    /// Looks once at each of these moments, in seconds; the status and the message of a check after each, `None` while it
    /// is not listed.
    fn looks(check: BuiltInCheck, at: &[(u64, Vec<Family>)]) -> Vec<Option<(CheckStatus, String)>> {
        let (checks, health) = (BuiltInChecks::new(BuiltInSettings::default()), HealthChecks::default());
        let look = |(second, metrics): &(u64, Vec<Family>)| {
            let mut metrics = metrics.clone();
            metrics.sort_by(|a, b| a.name.cmp(&b.name));
            let now = Tick { mono: Duration::from_secs(*second), wall: UnixMillis(second * 1_000) };
            checks.look(&Snapshot { metrics, ..Snapshot::default() }, &Listening::Unwanted, now, &health);
            let mut families = Families::default();
            health.read(&mut families, now);
            let found = families.checks.into_iter().find(|found| found.name == check.name())?;
            Some((found.status.unwrap(), found.message.unwrap_or_default()))
        };
        at.iter().map(look).collect()
    }

    fn statuses(found: &[Option<(CheckStatus, String)>]) -> Vec<Option<CheckStatus>> {
        found.iter().map(|found| found.as_ref().map(|(status, _)| *status)).collect()
    }

    const PASS: Option<CheckStatus> = Some(CheckStatus::Pass);
    const WARN: Option<CheckStatus> = Some(CheckStatus::Warn);
    const FAIL: Option<CheckStatus> = Some(CheckStatus::Fail);

    #[test]
    fn a_pool_that_is_nearly_full_warns_and_one_that_lets_callers_wait_fails() {
        let pool = |used, pending| {
            vec![
                numbers("db.client.connection.max", &[(&[(POOL, "main")], 10.0)]),
                numbers(
                    "db.client.connection.count",
                    &[(&[(POOL, "main"), ("db.client.connection.state", "used")], used)],
                ),
                numbers("db.client.connection.pending_requests", &[(&[(POOL, "main")], pending)]),
            ]
        };
        let found = looks(
            BuiltInCheck::Pool,
            &[
                (0, vec![]),
                (5, pool(3.0, 0.0)),
                (10, pool(9.0, 0.0)),
                (15, pool(10.0, 3.0)),
                (20, pool(10.0, 3.0)),
                (25, pool(1.0, 0.0)),
            ],
        );
        assert_eq!(statuses(&found), [None, PASS, WARN, WARN, FAIL, PASS]);
        let message = &found[4].as_ref().unwrap().1;
        assert!(message.contains("pool main") && message.contains("3 callers") && message.contains("5 s"), "{message}");
    }

    #[test]
    fn a_tier_whose_lookups_fail_warns_by_the_newest_ones_only() {
        let lookups = |hits, errors| {
            let labels = |result| [("cache.name", "products"), ("cache.tier", "l2"), ("cache.result", result)];
            vec![numbers("heartline.cache.requests", &[(&labels("hit"), hits), (&labels("error"), errors)])]
        };
        let found = looks(
            BuiltInCheck::Cache,
            &[
                (0, lookups(1_000.0, 0.0)),
                (5, lookups(1_001.0, 40.0)),
                (10, lookups(1_001.0, 44.0)),
                (15, lookups(1_101.0, 44.0)),
            ],
        );
        assert_eq!(statuses(&found), [PASS, WARN, PASS, PASS]);
        assert_eq!(found[1].as_ref().unwrap().1, "cache products/l2: 40 of the newest 41 look-ups failed");
    }

    #[test]
    fn a_queue_that_nobody_works_on_warns_after_a_minute() {
        let queue = |waiting, active, done| {
            let labels = |state| [("queue.name", "email"), ("job.state", state)];
            vec![
                numbers("heartline.job.count", &[(&labels("waiting"), waiting), (&labels("active"), active)]),
                numbers("heartline.job.completed", &[(&[("queue.name", "email")], done)]),
            ]
        };
        let found = looks(
            BuiltInCheck::Queue,
            &[
                (0, queue(5.0, 0.0, 7.0)),
                (30, queue(6.0, 0.0, 9.0)),
                (80, queue(6.0, 0.0, 9.0)),
                (90, queue(6.0, 0.0, 9.0)),
                (100, queue(6.0, 1.0, 9.0)),
                (200, queue(0.0, 0.0, 9.0)),
            ],
        );
        assert_eq!(statuses(&found), [PASS, PASS, PASS, WARN, PASS, PASS]);
        assert!(found[3].as_ref().unwrap().1.contains("6 jobs wait"));
    }

    #[test]
    fn memory_is_judged_by_its_share_of_the_limit() {
        let memory = |used| {
            vec![
                numbers("process.memory.usage", &[(&[], used)]),
                numbers("heartline.memory.limit", &[(&[], f64::from(1 << 30))]),
            ]
        };
        let share = |share: f64| memory(share * f64::from(1 << 30));
        let found = looks(BuiltInCheck::Memory, &[(0, share(0.5)), (5, share(0.86)), (10, share(0.96))]);
        assert_eq!(statuses(&found), [PASS, WARN, FAIL]);
        assert_eq!(found[2].as_ref().unwrap().1, "96 % of the memory limit of 1024 MiB is used");
    }

    #[test]
    fn a_runtime_that_polls_late_warns_and_one_that_polls_nothing_fails() {
        let found = looks(
            BuiltInCheck::Runtime,
            &[
                (0, vec![delays(1, 10)]),
                (5, vec![delays(1, 300)]),
                (10, vec![delays(1, 300)]),
                (15, vec![delays(1, 300)]),
                (20, vec![delays(1, 600)]),
            ],
        );
        assert_eq!(statuses(&found), [PASS, PASS, PASS, FAIL, PASS]);
        let late = looks(BuiltInCheck::Runtime, &[(0, vec![delays(400, 0)]), (5, vec![delays(400, 50)])]);
        assert_eq!(statuses(&late), [PASS, WARN]);
    }

    #[test]
    fn a_check_is_off_waits_for_its_interval_and_gives_way_to_the_services_own() {
        let health = HealthChecks::default();
        let mut settings = BuiltInSettings::default();
        settings.set(BuiltInCheck::Memory, None);
        settings.set(
            BuiltInCheck::Exporter,
            Some(CheckSettings::new(Criticality::Critical).interval(Duration::from_mins(1))),
        );
        let checks = BuiltInChecks::new(settings);
        let at = |second| Tick { mono: Duration::from_secs(second), wall: UnixMillis(0) };
        let look = |second, listening: &Listening| {
            checks.look(&Snapshot::default(), listening, at(second), &health);
            let mut families = Families::default();
            health.read(&mut families, at(second));
            families.checks.into_iter().map(|found| (found.name, found.status.unwrap())).collect::<Vec<_>>()
        };
        let taken = Listening::Closed("the port is taken".to_owned());
        let exporter = |status| vec![("exporter".to_owned(), status)];
        assert_eq!(look(0, &Listening::Open), exporter(CheckStatus::Pass));
        assert_eq!(look(59, &taken), exporter(CheckStatus::Pass));
        assert_eq!(look(60, &taken), exporter(CheckStatus::Warn));
    }
}
