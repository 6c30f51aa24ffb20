//! The verdict: in plain words what is wrong, since when, and which route, pool, query, queue or cache it shows at. It is
//! a function of the firing alerts and the readings; it measures nothing itself.

use std::time::Duration;

use heartline_shared::UnixMillis;
use heartline_shared::snapshot::Leak;

use super::alerts::{AlertLine, AlertStage};
use super::quantity::{age, bytes_per_second, count, known, percent, seconds};
use super::requests::rate;
use super::runtime::{breaker_severity, breaker_word, check_severity};
use super::scene::Scene;
use super::theme::Severity;
use super::{caches, heap, judgement, pools, queries, queues, requests, targets};
use crate::model::{Axis, Chart, Freshness, TargetReading};

/// What is wrong, in the order in which it names the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Failing,
    Slow,
    Connections,
    Circuit,
    Backlog,
    Memory,
    Queries,
    Cache,
    Check,
    Other,
}

/// The verdict on one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, in capitals.
    pub headline: String,
    /// Since when: when the first alert began that is as bad as the headline and about the same; absent when nothing is
    /// wrong, and when it is measured but not alerted.
    pub since: Option<UnixMillis>,
    /// Where it shows, the most telling first.
    pub notes: Vec<Note>,
}

/// Where it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How bad this is.
    pub severity: Severity,
    /// What it is about, in one word.
    pub subject: &'static str,
    /// What there is to say.
    pub text: String,
    topic: Topic,
}

impl Note {
    fn new(severity: Severity, topic: Topic, subject: &'static str, text: String) -> Self {
        Self { severity, subject, text, topic }
    }
}

/// How long back the normal value is looked for.
const NORMAL_SPAN: Duration = Duration::from_hours(1);
/// How many minutes of that must be known.
const NORMAL_MINUTES_MIN: usize = 5;
/// A restart is worth a line for this long.
const RESTART_NEWS: Duration = Duration::from_mins(15);

/// The verdict on the target shown; nothing without a target.
pub fn verdict(scene: &Scene<'_>) -> Option<Verdict> {
    let target = scene.target()?;
    let firing: Vec<&AlertLine> = scene.alerts.iter().filter(|alert| fires_for(alert, target)).collect();
    let measured = notes(scene, target);
    let worst = headlined(&firing, target, &measured);
    let told = firing.iter().filter(|alert| Some((alert.severity(), topic(alert))) == worst);
    let since = told.filter_map(|alert| alert.fired_at).min();
    let mut notes = compared_notes(scene, target, since);
    notes.extend(measured);
    notes.sort_by_key(|note| (std::cmp::Reverse(note.severity.max(Severity::Info)), note.topic));
    if let Some(line) = alert_line(scene, &firing) {
        notes.insert(notes.len().min(3), line);
    }
    if target.state != Freshness::Fresh {
        return Some(silent(scene, target, notes));
    }
    let severity = worst.map_or(Severity::Fine, |(severity, _)| severity);
    let name = target.service.as_ref().unwrap_or(&target.target).cut(24).to_uppercase();
    let words = worst.map_or("IS FINE", |(_, topic)| words(topic, target));
    Some(Verdict { severity, headline: format!("{name} {words}"), since, notes })
}

fn fires_for(alert: &AlertLine, target: &TargetReading) -> bool {
    alert.concerns(target) && alert.stage >= AlertStage::Recovering && alert.level >= Severity::Warning
}

/// How bad the worst is that is alerted or measured, and what it is about; what is alerted goes before what is as bad and
/// only measured.
fn headlined(firing: &[&AlertLine], target: &TargetReading, measured: &[Note]) -> Option<(Severity, Topic)> {
    let alerted = worst(firing.iter().map(|alert| (alert.severity(), topic(alert))));
    let caches = target.caches.iter().map(|cache| (caches::severity(cache), Topic::Cache));
    let noted = measured.iter().map(|note| (note.severity, note.topic));
    let all = std::iter::once(requests_judged(target)).chain(caches).chain(noted);
    let seen = worst(all.filter(|(severity, _)| *severity >= Severity::Warning));
    seen.filter(|(severity, _)| alerted.is_none_or(|(alerted, _)| *severity > alerted)).or(alerted)
}

fn worst(found: impl Iterator<Item = (Severity, Topic)>) -> Option<(Severity, Topic)> {
    found.max_by_key(|(severity, topic)| (*severity, std::cmp::Reverse(*topic)))
}

/// What an alert is about, from what its rule measures.
fn topic(alert: &AlertLine) -> Topic {
    const MARKS: [(&str, Topic); 16] = [
        ("connection", Topic::Connections),
        ("pool", Topic::Connections),
        ("circuit", Topic::Circuit),
        ("cache", Topic::Cache),
        ("queue", Topic::Backlog),
        ("job", Topic::Backlog),
        ("heap", Topic::Memory),
        ("memory", Topic::Memory),
        ("leak", Topic::Memory),
        ("db.", Topic::Queries),
        ("quer", Topic::Queries),
        ("health", Topic::Check),
        ("error", Topic::Failing),
        ("http", Topic::Slow),
        ("latency", Topic::Slow),
        ("schedule", Topic::Slow),
    ];
    let said = format!("{} {}", alert.signal, alert.name).to_lowercase();
    MARKS.iter().find(|(mark, _)| said.contains(mark)).map_or(Topic::Other, |(_, topic)| *topic)
}

fn words(topic: Topic, target: &TargetReading) -> &'static str {
    match topic {
        Topic::Failing => "IS FAILING",
        Topic::Slow => "IS SLOW",
        Topic::Connections => "WAITS FOR CONNECTIONS",
        Topic::Circuit => "IS CUT OFF FROM A DEPENDENCY",
        Topic::Backlog => "IS BEHIND WITH ITS JOBS",
        Topic::Memory if target.heap.leak == Some(Leak::Suspected) => "LEAKS MEMORY",
        Topic::Memory => "IS SHORT OF MEMORY",
        Topic::Queries => "HAS A QUERY PROBLEM",
        Topic::Cache => "MISSES ITS CACHE",
        Topic::Check => "FAILS A HEALTH CHECK",
        Topic::Other => "NEEDS A LOOK",
    }
}

fn silent(scene: &Scene<'_>, target: &TargetReading, notes: Vec<Note>) -> Verdict {
    let severity = targets::severity(target);
    let name = target.service.as_ref().unwrap_or(&target.target).cut(24).to_uppercase();
    let words = if target.state == Freshness::Down { "DOES NOT ANSWER" } else { "ANSWERS LATE" };
    let since = target.age.map(|age| scene.now - age);
    let error =
        target.error.as_ref().map_or_else(|| "no answer yet to the newest poll".to_owned(), ToString::to_string);
    let mut all = vec![Note::new(severity, Topic::Other, "error", error)];
    if let Some(since) = since {
        let lost = if target.state == Freshness::Down { "; no rate is known since" } else { "" };
        let text = format!("everything below is as of {} UTC{lost}", super::header::time_of_day(since));
        all.push(Note::new(Severity::Info, Topic::Other, "data", text));
    }
    all.extend(notes);
    Verdict { severity, headline: format!("{name} {words}"), since, notes: all }
}

fn alert_line(scene: &Scene<'_>, firing: &[&AlertLine]) -> Option<Note> {
    let worst = firing.iter().map(|alert| alert.severity()).max()?;
    let mut sorted = firing.to_vec();
    sorted.sort_by_key(|alert| (std::cmp::Reverse(alert.severity()), alert.fired_at));
    let named = sorted.iter().map(|alert| {
        let lasted = alert.fired_at.map(|at| format!(" {}", short(scene.now.since(at)))).unwrap_or_default();
        format!("{}{}{lasted}", scene.theme.glyph(alert.severity()), alert.name)
    });
    let text = named.collect::<Vec<_>>().join(", ");
    Some(Note::new(worst, Topic::Other, if firing.len() == 1 { "alert" } else { "alerts" }, text))
}

/// An age in its largest unit.
fn short(span: Duration) -> String {
    match span.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m", seconds / 60),
        seconds @ 3600..86_400 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// What is compared with how it was before that moment.
fn compared_notes(scene: &Scene<'_>, target: &TargetReading, since: Option<UnixMillis>) -> Vec<Note> {
    let mut notes = vec![request_note(scene, target, since)];
    notes.extend(cache_notes(scene, target, since));
    notes
}

/// What is not compared with anything.
fn notes(scene: &Scene<'_>, target: &TargetReading) -> Vec<Note> {
    let mut notes: Vec<Note> = route_note(target).into_iter().collect();
    notes.extend(pool_notes(target));
    notes.extend(query_note(target));
    notes.extend(queue_notes(target));
    notes.extend(heap_note(target));
    notes.extend(breaker_notes(target));
    notes.extend(check_notes(target));
    let news = target.restarted_at.map(|at| scene.now.since(at)).filter(|ago| *ago < RESTART_NEWS);
    notes.extend(news.map(|ago| {
        let text = format!("the process restarted {} ago", age(ago));
        Note::new(Severity::Info, Topic::Other, "restart", text)
    }));
    notes
}

/// The middle of the hour before it began; nothing when too little is known.
fn normal(scene: &Scene<'_>, chart: &Chart, since: Option<UnixMillis>) -> Option<f64> {
    let end = since.unwrap_or(scene.now - scene.span());
    let mut known: Vec<f64> =
        scene.values(chart, Axis { end, span: NORMAL_SPAN, columns: 60 }).into_iter().flatten().collect();
    if known.len() < NORMAL_MINUTES_MIN {
        return None;
    }
    let middle = known.len() / 2;
    let (_, median, _) = known.select_nth_unstable_by(middle, f64::total_cmp);
    Some(*median)
}

fn compared(now: Option<f64>, normal: Option<f64>, write: fn(f64) -> String) -> String {
    match normal {
        Some(normal) => format!("{} (normally {})", known(now, write), write(normal)),
        None => known(now, write),
    }
}

/// How bad all requests together are, and whether that is because they fail or because they are slow.
fn requests_judged(target: &TargetReading) -> (Severity, Topic) {
    let slow = judgement::request_seconds(target.requests.p95_seconds);
    let failing = judgement::error_ratio(target.requests.error_ratio);
    let topic = if failing >= slow && failing > Severity::Fine { Topic::Failing } else { Topic::Slow };
    (slow.max(failing), topic)
}

fn request_note(scene: &Scene<'_>, target: &TargetReading, since: Option<UnixMillis>) -> Note {
    let requests = &target.requests;
    let (severity, topic) = requests_judged(target);
    let p95 = compared(requests.p95_seconds, normal(scene, &Chart::RequestP95, since), seconds);
    let errors = compared(requests.error_ratio, normal(scene, &Chart::RequestErrorRatio, since), percent);
    let text = format!("p95 {p95}, errors {errors}, {}", rate(requests.rate));
    Note::new(severity, topic, "requests", text)
}

fn route_note(target: &TargetReading) -> Option<Note> {
    let severity = |route: &crate::model::reading::Route| {
        judgement::request_seconds(route.p95_seconds).max(judgement::error_ratio(route.error_ratio))
    };
    let weight = |route: &crate::model::reading::Route| route.rate.unwrap_or(0.0) * route.p95_seconds.unwrap_or(0.0);
    let bad = target.routes.iter().filter(|route| severity(route) >= Severity::Warning);
    let route = bad.max_by(|a, b| severity(a).cmp(&severity(b)).then(weight(a).total_cmp(&weight(b))))?;
    let failing = judgement::error_ratio(route.error_ratio) >= judgement::request_seconds(route.p95_seconds);
    let text = format!(
        "{}  p95 {}, errors {}, {}",
        requests::name(route),
        known(route.p95_seconds, seconds),
        known(route.error_ratio, percent),
        rate(route.rate)
    );
    let topic = if failing { Topic::Failing } else { Topic::Slow };
    Some(Note::new(severity(route), topic, "route", text))
}

fn pool_notes(target: &TargetReading) -> impl Iterator<Item = Note> {
    let bad = target.pools.iter().filter(|pool| pools::severity(pool) >= Severity::Warning);
    bad.map(|pool| {
        let whole = |value: Option<u64>| known(value.map(|value| value as f64), count);
        let mut text =
            format!("\"{}\" {}/{} busy, {} waiting", pool.name, whole(pool.used), whole(pool.max), whole(pool.pending));
        if let Some(wait) = pool.wait_p95_seconds {
            text = format!("{text}, wait p95 {}", seconds(wait));
        }
        if let Some(given_up) = pool.timeout_rate.filter(|rate| *rate > 0.0) {
            text = format!("{text}, {} give up", rate(Some(given_up)));
        }
        Note::new(pools::severity(pool), Topic::Connections, "pool", text)
    })
}

fn query_note(target: &TargetReading) -> Option<Note> {
    let many = target.queries.per_request.filter(|each| *each > 10.0);
    let heaviest = judgement::largest(&target.query_summaries, |query| query.time_share)?;
    let slowest = judgement::largest(&target.query_summaries, |query| query.p95_seconds);
    let slow = slowest.filter(|query| judgement::query_seconds(query.p95_seconds) >= Severity::Warning);
    let query = if many.is_some() { heaviest } else { slow? };
    let mut text = format!("{}  p95 {}", queries::name(query), known(query.p95_seconds, seconds));
    if let Some(share) = query.time_share {
        text = format!("{text}, {} of all query time", percent(share));
    }
    text = format!("{text}, {}", rate(query.rate));
    if let Some(each) = many {
        text = format!("{} queries a request, mostly {text}", count(each));
    }
    let severity = judgement::query_seconds(query.p95_seconds).max(if many.is_some() {
        Severity::Warning
    } else {
        Severity::Fine
    });
    Some(Note::new(severity, Topic::Queries, "query", text))
}

fn cache_notes(scene: &Scene<'_>, target: &TargetReading, since: Option<UnixMillis>) -> Vec<Note> {
    let note = |cache: &crate::model::reading::Cache| {
        let chart = Chart::CacheHitRatio { name: cache.name.clone(), tier: cache.tier.clone() };
        let hits = compared(cache.hit_ratio, normal(scene, &chart, since), percent);
        let text = format!("\"{}\" hits {hits}, {}", caches::name(cache), rate(cache.rate));
        Note::new(caches::severity(cache), Topic::Cache, "cache", text)
    };
    target.caches.iter().filter(|cache| caches::severity(cache) >= Severity::Warning).map(note).collect()
}

fn queue_notes(target: &TargetReading) -> impl Iterator<Item = Note> {
    let bad = target.queues.iter().filter(|queue| queues::severity(queue) >= Severity::Warning);
    bad.map(|queue| {
        let mut text =
            format!("\"{}\" {} waiting", queue.name, known(queue.waiting.map(|waiting| waiting as f64), count));
        if let Some(oldest) = queue.oldest_age {
            text = format!("{text}, the oldest for {}", age(oldest));
        }
        let pace = format!("{} in, {} done", rate(queue.enqueue_rate), rate(queue.complete_rate));
        let ends = match (queue.drain, queue.complete_rate) {
            (Some(drain), _) => format!(", empty in {}", age(drain)),
            (None, Some(_)) => ", does not shrink".to_owned(),
            (None, None) => String::new(),
        };
        Note::new(queues::severity(queue), Topic::Backlog, "queue", format!("{text}, {pace}{ends}"))
    })
}

fn heap_note(target: &TargetReading) -> Option<Note> {
    let heap = &target.heap;
    let severity = heap::severity(heap, target.process.rss_bytes);
    if severity < Severity::Info {
        return None;
    }
    let mut text = heap::verdict(heap).to_lowercase();
    if let Some(growth) = heap.growth_bytes_per_second {
        text = format!("{text}, {}", bytes_per_second(growth));
    }
    if let Some(left) = heap.seconds_to_limit.and_then(|left| Duration::try_from_secs_f64(left).ok()) {
        text = format!("{text}, limit in {}", age(left));
    }
    if let Some(reason) = heap.evidence.first() {
        text = format!("{text}: {reason}");
    }
    Some(Note::new(severity, Topic::Memory, "memory", text))
}

fn breaker_notes(target: &TargetReading) -> impl Iterator<Item = Note> {
    let bad = target.breakers.iter().filter(|breaker| breaker_severity(breaker) >= Severity::Warning);
    bad.map(|breaker| {
        let failed = known(breaker.failure_ratio, percent);
        let rejected = count(breaker.rejected as f64);
        let word = breaker_word(breaker).to_lowercase();
        let text = format!("\"{}\" is {word}, {failed} of its calls fail, {rejected} rejected so far", breaker.name);
        Note::new(breaker_severity(breaker), Topic::Circuit, "circuit", text)
    })
}

fn check_notes(target: &TargetReading) -> impl Iterator<Item = Note> {
    let bad = target.checks.iter().filter(|check| check_severity(check) >= Severity::Warning);
    bad.map(|check| {
        let message = check.message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
        Note::new(check_severity(check), Topic::Check, "check", format!("\"{}\" does not pass{message}", check.name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Screen;
    use crate::views::Theme;

    const NOW: UnixMillis = UnixMillis(1_700_000_000_000);

    /// Shop 1, which works.
    fn shop() -> TargetReading {
        TargetReading {
            target: "http://10.0.0.1:9464".into(),
            service: Some("shop".into()),
            instance_id: Some("shop-1".into()),
            state: Freshness::Fresh,
            ..TargetReading::default()
        }
    }

    fn fires(name: &str, level: Severity) -> AlertLine {
        AlertLine { name: name.into(), level, stage: AlertStage::Firing, ..AlertLine::default() }
    }

    fn judged(target: &TargetReading, alerts: &[AlertLine]) -> Verdict {
        let scene = Scene {
            targets: &[target],
            charts: None,
            alerts,
            problems: &crate::alerting::Problems::default(),
            traces: None,
            opened: None,
            screen: &Screen::default(),
            now: NOW,
            paused: None,
            theme: Theme::coloured(),
        };
        verdict(&scene).unwrap()
    }

    #[test]
    fn an_alert_of_another_process_or_service_is_not_this_targets() {
        let queue = || fires("QueueDepth", Severity::Critical);
        let others = [
            AlertLine { target: "http://shop-10:9464".into(), ..queue() },
            AlertLine { target: "shop/shop-10".into(), ..queue() },
            AlertLine { service: Some("billing".into()), ..queue() },
            AlertLine { instance: Some("shop-10".into()), ..queue() },
            AlertLine { stage: AlertStage::Inhibited, ..queue() },
        ];
        assert_eq!(judged(&shop(), &others).headline, "SHOP IS FINE");
        let own = [
            AlertLine { target: "http://10.0.0.1:9464".into(), ..queue() },
            AlertLine { target: "shop/shop-1".into(), ..queue() },
            AlertLine { service: Some("shop".into()), ..queue() },
            queue(),
        ];
        for alert in own {
            assert_eq!(judged(&shop(), std::slice::from_ref(&alert)).severity, Severity::Critical, "{alert:?}");
        }
    }

    fn ago(minutes: u64) -> UnixMillis {
        NOW - Duration::from_mins(minutes)
    }

    #[test]
    fn since_when_is_the_beginning_of_what_the_headline_says() {
        let alerts = [
            AlertLine { fired_at: Some(ago(50)), ..fires("CpuUtilization", Severity::Warning) },
            AlertLine { fired_at: Some(ago(40)), ..fires("DbPoolUtilization", Severity::Critical) },
            AlertLine { fired_at: Some(ago(30)), ..fires("HttpErrorRatio", Severity::Warning) },
            AlertLine { fired_at: Some(ago(20)), since: Some(ago(1)), ..fires("HttpErrorRatio", Severity::Critical) },
            AlertLine { fired_at: Some(ago(10)), ..fires("HttpErrorRatio", Severity::Critical) },
        ];
        let verdict = judged(&shop(), &alerts);
        assert_eq!((verdict.headline.as_str(), verdict.since), ("SHOP IS FAILING", Some(ago(20))));
    }

    #[test]
    fn what_is_worse_than_every_alert_is_the_headline_without_a_beginning() {
        let mut shop = shop();
        let warned = [AlertLine { fired_at: Some(ago(5)), ..fires("CpuUtilization", Severity::Warning) }];
        shop.requests.error_ratio = Some(0.02);
        let verdict = judged(&shop, &warned);
        assert_eq!((verdict.headline.as_str(), verdict.since), ("SHOP NEEDS A LOOK", Some(ago(5))));
        shop.requests.error_ratio = Some(0.2);
        let verdict = judged(&shop, &warned);
        let said = (verdict.severity, verdict.headline.as_str(), verdict.since);
        assert_eq!(said, (Severity::Critical, "SHOP IS FAILING", None));
    }
}
