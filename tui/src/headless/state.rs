//! The state of all targets and alerts as text for people, and what changes as a log. Nothing is computed here.

use std::fmt::Write as _;
use std::time::Duration;

use heartline_shared::UnixMillis;
use heartline_shared::alerts::Dimension;
use heartline_shared::snapshot::{Leak, Trend};

use crate::alerting::{AlertRow, AlertState, Board, TransitionRow};
use crate::model::reading::{Cache, Freshness, Heap, Pool, Process, Queries, Queue, Requests, Route, TargetReading};
use crate::model::{Model, Target};
use crate::text::cut;

/// How many routes and queries are listed; the busiest ones.
const LISTED_MAX: usize = 12;
const NAME_COLUMNS: usize = 34;
const UNKNOWN: &str = "-";

/// The state of all targets and alerts, and a last line that sums it up.
pub(super) fn written(model: &Model, board: &Board, now: UnixMillis) -> String {
    let mut text = String::new();
    for reading in model.targets().iter().map(Target::reading) {
        target(&mut text, reading);
        text.push('\n');
    }
    alerts(&mut text, board, now);
    let fresh = model.targets().iter().filter(|target| target.reading().state == Freshness::Fresh).count();
    let firing = board.rows.iter().filter(|row| row.counts()).count();
    let targets = model.targets().len();
    let (noun, fires) = (plural(targets, "target"), plural(firing, "alert"));
    line(&mut text, format_args!("{now}: {fresh} of {targets} {noun} fresh, {firing} {fires} firing"));
    text
}

/// A noun for so many.
pub(super) fn plural(count: usize, noun: &str) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    let _a_string_takes_everything = writeln!(text, "{content}");
}

fn target(text: &mut String, reading: &TargetReading) {
    let state = state_name(reading.state);
    let age = reading.age.map_or_else(|| "never answered".to_owned(), |age| format!("{} old", span(age)));
    line(text, format_args!("{}  {state}, {age}", reading.target));
    if let (Some(service), Some(instance)) = (&reading.service, &reading.instance_id) {
        let version = reading.version.as_ref().map_or_else(String::new, |version| format!(" {version}"));
        let (uptime, restarts) = (reading.uptime.map_or_else(|| UNKNOWN.to_owned(), span), reading.restarts);
        let window =
            reading.window.map_or_else(|| "one answer only".to_owned(), |window| format!("last {}", span(window)));
        line(
            text,
            format_args!(
                "  service    {service}{version}, instance {instance}, up {uptime}, {restarts} restarts; rates over: {window}"
            ),
        );
    }
    if let Some(error) = &reading.error {
        line(text, format_args!("  error      {error}"));
    }
    requests(text, &reading.requests);
    routes(text, &reading.routes);
    queries(text, &reading.queries);
    for summary in busiest(&reading.query_summaries, |it| it.rate, |it| it.total) {
        let (name, p95) = (cut(summary.summary.as_str(), NAME_COLUMNS), time(summary.p95_seconds));
        let (total, rate) = (summary.total, rate(summary.rate));
        line(
            text,
            format_args!(
                "    {name:NAME_COLUMNS$} {total:>9}  {rate:>9}  errors {}  p95 {p95}",
                ratio(summary.error_ratio)
            ),
        );
    }
    more(text, reading.query_summaries.len(), "queries");
    reading.pools.iter().for_each(|it| pool(text, it));
    reading.caches.iter().for_each(|it| cache(text, it));
    reading.queues.iter().for_each(|it| queue(text, it));
    heap(text, &reading.heap);
    process(text, &reading.process);
    if let Some(runtime) = &reading.runtime {
        let (workers, tasks) = (count(runtime.workers), count(runtime.tasks));
        let (busy, delay) = (ratio(runtime.utilization), time(runtime.schedule_delay_p99_seconds));
        line(
            text,
            format_args!("  runtime    {workers} workers {busy} busy  {tasks} tasks  schedule delay p99 {delay}"),
        );
    }
    for breaker in &reading.breakers {
        let state = breaker.state.map_or_else(|| UNKNOWN.to_owned(), |state| format!("{state:?}").to_lowercase());
        let calls = (breaker.success, breaker.failure, breaker.rejected);
        line(
            text,
            format_args!(
                "  breaker    {}  {state}  {} ok  {} failed  {} rejected",
                breaker.name, calls.0, calls.1, calls.2
            ),
        );
    }
    for check in &reading.checks {
        let status = check.status.map_or_else(|| UNKNOWN.to_owned(), |status| format!("{status:?}").to_lowercase());
        let message = check.message.as_ref().map_or("", AsRef::as_ref);
        line(text, format_args!("  check      {}  {status}  {}  {message}", check.name, time(check.latency_seconds)));
    }
}

fn requests(text: &mut String, it: &Requests) {
    line(
        text,
        format_args!(
            "  requests   {} total  {}  errors {}  in flight {}  p50 {}  p95 {}  p99 {}  cancelled {}",
            count(it.total),
            rate(it.rate),
            ratio(it.error_ratio),
            count(it.in_flight),
            time(it.p50_seconds),
            time(it.p95_seconds),
            time(it.p99_seconds),
            count(it.cancelled),
        ),
    );
}

fn routes(text: &mut String, routes: &[Route]) {
    for route in busiest(routes, |it| it.rate, |it| it.total) {
        let name = format!("{} {}", route.method, route.route.as_ref().map_or("(no route)", AsRef::as_ref));
        let (name, total) = (cut(&name, NAME_COLUMNS).into_owned(), route.total);
        let (rate, errors, p95) = (rate(route.rate), ratio(route.error_ratio), time(route.p95_seconds));
        line(text, format_args!("    {name:NAME_COLUMNS$} {total:>9}  {rate:>9}  errors {errors}  p95 {p95}"));
    }
    more(text, routes.len(), "routes");
}

/// Says how many rows were not listed.
fn more(text: &mut String, rows: usize, noun: &str) {
    if let Some(more) = rows.checked_sub(LISTED_MAX).filter(|more| *more > 0) {
        line(text, format_args!("    and {more} more {noun}"));
    }
}

fn queries(text: &mut String, it: &Queries) {
    line(
        text,
        format_args!(
            "  queries    {} total  {}  errors {}  p50 {}  p95 {}  p99 {}  slow {}  per request {}",
            count(it.total),
            rate(it.rate),
            ratio(it.error_ratio),
            time(it.p50_seconds),
            time(it.p95_seconds),
            time(it.p99_seconds),
            count(it.slow),
            number(it.per_request),
        ),
    );
}

fn pool(text: &mut String, it: &Pool) {
    let (name, wait) = (&it.name, time(it.wait_p95_seconds));
    let (used, max, idle, pending) = (count(it.used), count(it.max), count(it.idle), count(it.pending));
    line(
        text,
        format_args!("  pool       {name}  {used} of {max} used  {idle} idle  {pending} waiting  wait p95 {wait}"),
    );
}

fn cache(text: &mut String, it: &Cache) {
    let (hits, rate) = (ratio(it.hit_ratio), rate(it.rate));
    let (entries, bytes, limit) = (count(it.entries), bytes(it.bytes), bytes(it.limit_bytes));
    line(
        text,
        format_args!(
            "  cache      {} {}  hit rate {hits}  {} look-ups  {rate}  {entries} entries  {bytes} of {limit}",
            it.name, it.tier, it.requests,
        ),
    );
}

fn queue(text: &mut String, it: &Queue) {
    let (waiting, active) = (count(it.waiting), count(it.active));
    let oldest = it.oldest_age.map_or_else(|| UNKNOWN.to_owned(), span);
    line(
        text,
        format_args!(
            "  queue      {}  {waiting} waiting  {active} active  {} completed  {} failed  {} retried  oldest {oldest}",
            it.name, it.completed, it.failed, it.retried,
        ),
    );
}

fn heap(text: &mut String, it: &Heap) {
    let source = it.limit_source.as_ref().map_or_else(String::new, |source| format!(" ({source})"));
    let growth =
        it.growth_bytes_per_second.map_or_else(|| UNKNOWN.to_owned(), |it| Dimension::BytesPerSecond.format(it));
    let trend = match it.trend {
        Trend::Stable => "stable",
        Trend::Growing => "growing",
        Trend::Shrinking => "shrinking",
        Trend::Unknown => "unknown",
    };
    let leak = match it.leak {
        None => UNKNOWN,
        Some(Leak::None) => "none",
        Some(Leak::Watching) => "watching",
        Some(Leak::Suspected) => "suspected",
    };
    line(
        text,
        format_args!(
            "  heap       {} allocated  {} resident  limit {}{source}  trend {trend}  growth {growth}  leak {leak}  to limit {}",
            bytes(it.allocated_bytes),
            bytes(it.resident_bytes),
            bytes(it.limit_bytes),
            time(it.seconds_to_limit),
        ),
    );
    for evidence in &it.evidence {
        line(text, format_args!("    {evidence}"));
    }
}

fn process(text: &mut String, it: &Process) {
    let (fds, limit) = (count(it.fds), count(it.fd_limit));
    line(
        text,
        format_args!(
            "  process    cpu {}  rss {}  {} threads  {fds} of {limit} descriptors",
            ratio(it.cpu_ratio),
            bytes(it.rss_bytes),
            count(it.threads),
        ),
    );
}

fn alerts(text: &mut String, board: &Board, now: UnixMillis) {
    line(text, format_args!("alerts ({})", board.source));
    for row in &board.rows {
        line(text, format_args!("  {}", alert(row, now)));
    }
}

fn alert(row: &AlertRow, now: UnixMillis) -> String {
    let level = if row.state == AlertState::Inactive { "" } else { row.level.name() };
    let value = row.value_text.as_ref().map_or("no value", AsRef::as_ref);
    let subject: Vec<&str> =
        row.target.iter().map(AsRef::as_ref).chain(row.labels.iter().map(|(_, value)| value.as_ref())).collect();
    let since = row.since.map_or_else(String::new, |since| format!("  for {}", span(now.since(since))));
    let inhibited = row.inhibited_by.as_ref().map_or_else(String::new, |by| format!("  (because of {by})"));
    let (state, name) = (row.state.name(), &row.name);
    format!("{state:10} {level:8} {name:24} {value:>12}  {}{since}{inhibited}", subject.join(" ")).trim_end().to_owned()
}

/// The rows with the highest rate, or the highest total while rates are unknown.
fn busiest<T>(rows: &[T], rate: impl Fn(&T) -> Option<f64>, total: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut sorted: Vec<&T> = rows.iter().collect();
    sorted.sort_by(|a, b| {
        let rates = rate(b).unwrap_or(0.0).total_cmp(&rate(a).unwrap_or(0.0));
        rates.then_with(|| total(b).cmp(&total(a)))
    });
    sorted.truncate(LISTED_MAX);
    sorted
}

fn state_name(state: Freshness) -> &'static str {
    match state {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "STALE",
        Freshness::Down => "DOWN",
    }
}

fn shown(value: Option<f64>, dimension: Dimension) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| dimension.format(value))
}

fn time(seconds: Option<f64>) -> String {
    shown(seconds, Dimension::Time)
}

fn ratio(ratio: Option<f64>) -> String {
    shown(ratio, Dimension::Ratio)
}

fn rate(rate: Option<f64>) -> String {
    shown(rate, Dimension::PerSecond)
}

fn number(number: Option<f64>) -> String {
    shown(number, Dimension::Number)
}

fn bytes(bytes: Option<u64>) -> String {
    shown(bytes.map(|bytes| bytes as f64), Dimension::Bytes)
}

fn count(count: Option<u64>) -> String {
    count.map_or_else(|| UNKNOWN.to_owned(), |count| count.to_string())
}

fn span(span: Duration) -> String {
    Dimension::Time.format(span.as_secs_f64())
}

/// What has been said of each target, so that only changes are said.
#[derive(Debug, Default)]
pub(super) struct Changes {
    said: Vec<Option<Said>>,
}

/// What was said of a target last.
#[derive(Debug)]
struct Said {
    state: Freshness,
    restarts: u32,
    /// The kind of the reason that was given.
    reason: Option<String>,
}

impl Said {
    fn of(reading: &TargetReading) -> Self {
        Self { state: reading.state, restarts: reading.restarts, reason: reason_kind(reading) }
    }

    /// Whether there is more to say than this. That a reason is no longer known is not worth a line.
    fn is_outdated(&self, now: &Self) -> bool {
        let why_is_new = now.reason.is_some() && self.reason != now.reason;
        self.state != now.state || self.restarts != now.restarts || why_is_new
    }
}

/// Why a target is silent, without the numbers, which may differ each time; `None` for one that is not silent or whose
/// reason is not known.
fn reason_kind(reading: &TargetReading) -> Option<String> {
    let error = reading.error.as_ref().filter(|_| reading.state != Freshness::Fresh)?;
    Some(error.as_str().chars().filter(|symbol| !symbol.is_numeric()).collect())
}

impl Changes {
    /// The changes of targets and alerts since the last call, one a line.
    pub(super) fn written(&mut self, model: &Model, changes: &[TransitionRow], now: UnixMillis) -> String {
        let mut text = String::new();
        self.said.resize_with(model.targets().len(), || None);
        for (said, reading) in self.said.iter_mut().zip(model.targets().iter().map(Target::reading)) {
            let current = Said::of(reading);
            if said.as_ref().is_some_and(|said| !said.is_outdated(&current)) {
                continue;
            }
            let restarted = said.replace(current).is_some_and(|said| said.restarts != reading.restarts);
            let why = match (&reading.error, restarted) {
                (Some(error), _) => format!(": {error}"),
                (None, true) => format!(": it restarted ({} times so far)", reading.restarts),
                (None, false) => String::new(),
            };
            line(&mut text, format_args!("{now}  target  {:9}  {}{why}", state_name(reading.state), reading.target));
        }
        for change in changes {
            let subject: Vec<&str> = change
                .target
                .iter()
                .map(AsRef::as_ref)
                .chain(change.labels.iter().map(|(_, value)| value.as_ref()))
                .collect();
            let (state, level, name) = (change.state.name(), change.level.name(), &change.name);
            let subject = subject.join(" ");
            line(
                &mut text,
                format_args!("{}  alert   {state:9}  {level}  {name}  {subject}  {}", change.at, change.summary),
            );
        }
        text
    }
}
