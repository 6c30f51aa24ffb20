//! What a target's reading says as documents arrive, fail to arrive, and lie: restarts, silence, stepped clocks.

use std::time::Duration;

use heartline_shared::snapshot::{CheckResult, CheckStatus, Criticality, HeapVerdict, Leak, Trend};
use heartline_shared::{Kind, UnixMillis};
use proptest::prelude::*;

use super::fixture::{Document, STARTED, fails};
use crate::model::reading::BreakerState;
use crate::model::{Axis, Chart, Freshness, Model, Settings, TargetReading};
use crate::text::Text;

/// Our clock in the scenarios; it has nothing to do with the target's.
const OURS: u64 = 50_000_000;

fn model() -> Model {
    Model::new([Text::new("shop:9464")], Settings::default())
}

fn reading(model: &Model) -> &TargetReading {
    model.targets()[0].reading()
}

/// A model after `documents` arrived one second apart.
fn after(documents: impl IntoIterator<Item = Document>) -> Model {
    let mut model = model();
    for (second, document) in (1..).zip(documents) {
        model.absorb(&document.arrives(OURS + second * 1_000));
    }
    model
}

fn close(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() <= expected.abs() * 0.03 + 1e-9)
}

#[test]
fn rates_and_percentiles_need_two_answers() {
    let first = after([Document::at(1).requests("/cart", "200", 10, 0.05)]);
    let requests = &reading(&first).requests;
    assert_eq!((requests.total, requests.rate, requests.p95_seconds), (Some(10), None, None));
    let both =
        after([Document::at(1).requests("/cart", "200", 10, 0.05), Document::at(2).requests("/cart", "200", 30, 0.05)]);
    let requests = &reading(&both).requests;
    assert_eq!((requests.total, requests.rate), (Some(30), Some(20.0)));
    assert!(close(requests.p95_seconds, 0.05), "{requests:?}");
    assert_eq!(reading(&both).window, Some(Duration::from_secs(1)));
}

#[test]
fn routes_keep_their_statuses_and_unmatched_requests_have_none() {
    let start = Document::at(1);
    let end = Document::at(2)
        .requests("/cart", "200", 6, 0.01)
        .requests("/cart", "500", 2, 0.01)
        .requests("/cart", "cancelled", 1, 0.01)
        .requests("/cart", "panic", 1, 0.01)
        .requests("", "404", 5, 0.01);
    let model = after([start, end]);
    let reading = reading(&model);
    let [unmatched, cart] = &reading.routes[..] else { panic!("{:?}", reading.routes) };
    assert_eq!((&unmatched.route, unmatched.total, unmatched.statuses.unwrap().client_error), (&None, 5, 5));
    assert_eq!((cart.total, cart.errors, cart.cancelled), (10, 3, 1));
    let statuses = cart.statuses.unwrap();
    assert_eq!((statuses.success, statuses.server_error, statuses.other), (6, 2, 1));
    assert!(close(cart.error_ratio, 0.3) && close(reading.requests.error_ratio, 0.2));
    let by_status: Vec<_> = cart.by_status.iter().map(|(status, count)| (status.as_str(), *count)).collect();
    assert_eq!(by_status, [("200", 6), ("500", 2), ("cancelled", 1), ("panic", 1)]);
}

#[test]
fn a_restart_is_marked_and_no_rate_is_negative() {
    let document = |seconds, count| Document::at(seconds).requests("/", "200", count, 0.01);
    let mut model = after([document(100, 1_000), document(101, 1_100)]);
    let reborn = Document::of_process(STARTED + 500_000, Duration::from_millis(500)).requests("/", "200", 40, 0.01);
    model.absorb(&reborn.arrives(OURS + 3_000));
    let now = reading(&model);
    assert_eq!((now.restarts, now.restarted_at), (1, Some(UnixMillis(OURS + 3_000))));
    assert_eq!(now.requests.total, Some(40));
    assert!(close(now.requests.rate, 140.0 / 1.5), "what the new process counted is not lost: {:?}", now.requests.rate);
    assert_eq!(model.targets()[0].restarts(), [UnixMillis(OURS + 3_000)]);
}

#[test]
fn another_replica_behind_the_same_name_is_no_burst() {
    let document = |count| Document::at(100).requests("/", "200", count, 0.01);
    let mut model = after([document(1_000)]);
    let other = Document::of_process(STARTED, Duration::from_hours(1))
        .edit(|snapshot| snapshot.instance_id = "b".to_owned())
        .requests("/", "200", 9_000_000, 0.01);
    model.absorb(&other.arrives(OURS + 2_000));
    assert_eq!((reading(&model).restarts, reading(&model).requests.rate), (1, None));
}

#[test]
fn silence_makes_a_target_stale_and_three_failures_make_it_down() {
    let document = |seconds, count| {
        Document::at(seconds).requests("/", "200", count, 0.01).number(
            "heartline.job.count",
            &[("queue.name", "email"), ("job.state", "waiting")],
            4.0,
        )
    };
    let mut model = after([document(1, 10), document(2, 20)]);
    assert_eq!(reading(&model).state, Freshness::Fresh);
    model.tick(UnixMillis(OURS + 5_100));
    assert_eq!((reading(&model).state, reading(&model).age), (Freshness::Stale, Some(Duration::from_millis(3_100))));
    assert_eq!(reading(&model).requests.rate, Some(10.0), "the newest known figures stay, with their age");
    for poll in 0..3 {
        model.absorb(&fails(OURS + 6_000 + poll, "connection refused"));
    }
    let down = reading(&model);
    assert_eq!((down.state, down.requests.rate, down.requests.total), (Freshness::Down, None, Some(20)));
    assert_eq!((down.queues[0].waiting, down.queues[0].complete_rate), (Some(4), None), "as last measured");
    assert_eq!((down.window, down.routes[0].statuses, down.age), (None, None, Some(Duration::from_millis(4_002))));
    assert_eq!(down.error, Some(Text::new("connection refused")));
    model.absorb(&document(12, 30).arrives(OURS + 12_000));
    let back = reading(&model);
    assert_eq!((back.state, back.requests.rate, back.restarts), (Freshness::Fresh, Some(1.0), 0));
    assert_eq!((back.queues[0].waiting, &back.error), (Some(4), &None));
}

#[test]
fn a_target_that_went_down_keeps_its_levels_and_verdicts() {
    let check = CheckResult {
        name: "database".to_owned(),
        criticality: Criticality::Critical,
        status: Some(CheckStatus::Pass),
        latency_seconds: Some(0.2),
        checked_at_ms: None,
        message: None,
    };
    let mut model = after([Document::at(1)
        .number("process.memory.usage", &[], 2e9)
        .number("heartline.memory.limit", &[("heartline.limit.source", "cgroup")], 2e9)
        .edit(|snapshot| {
            snapshot.heap = Some(HeapVerdict { leak: Leak::Suspected, ..HeapVerdict::default() });
            snapshot.checks.push(check);
        })]);
    (0..3).for_each(|poll| model.absorb(&fails(OURS + 6_000 + poll, "connection refused")));
    let down = reading(&model);
    assert_eq!((down.state, down.heap.leak), (Freshness::Down, Some(Leak::Suspected)));
    assert_eq!((down.process.rss_bytes, down.heap.limit_bytes), (Some(2_000_000_000), Some(2_000_000_000)));
    assert_eq!(down.checks[0].status, Some(CheckStatus::Pass));
}

#[test]
fn a_target_that_never_answered_is_down_without_an_age() {
    let mut model = model();
    model.tick(UnixMillis(OURS));
    assert_eq!((reading(&model).state, reading(&model).age), (Freshness::Down, None));
    assert_eq!((reading(&model).requests.total, reading(&model).heap.leak), (None, None));
}

#[test]
fn a_late_answer_of_an_older_poll_changes_nothing() {
    let mut model = after([Document::at(1).requests("/", "200", 1, 0.1), Document::at(5).requests("/", "200", 9, 0.1)]);
    model.absorb(&Document::at(3).requests("/", "200", 5, 0.1).arrives(OURS + 1_500));
    assert_eq!(reading(&model).requests.total, Some(9));
}

#[test]
fn an_answer_that_a_proxy_repeats_does_not_look_fresh() {
    let document = Document::at(7).requests("/", "200", 1, 0.1);
    let mut model = model();
    for second in 0..8 {
        model.absorb(&document.arrives(OURS + second * 1_000));
    }
    assert_eq!((reading(&model).state, reading(&model).age), (Freshness::Stale, Some(Duration::from_secs(7))));
}

#[test]
fn clocks_that_step_change_no_rate_and_no_age() {
    let document = |second: u64, year: u64| {
        Document::at(second).edit(|snapshot| snapshot.ts_ms = UnixMillis(year * 31_536_000_000)).requests(
            "/",
            "200",
            usize::try_from(second).unwrap() * 10,
            0.01,
        )
    };
    let model = after([document(1, 56), document(2, 20), document(3, 99), document(4, 56)]);
    let reading = reading(&model);
    assert_eq!((reading.requests.rate, reading.restarts), (Some(10.0), 0));
    assert_eq!((reading.age, reading.state), (Some(Duration::ZERO), Freshness::Fresh));
}

#[test]
fn our_own_clock_stepping_back_gives_no_negative_age() {
    let mut model = after([Document::at(1), Document::at(2)]);
    model.tick(UnixMillis(OURS - 9_000_000));
    assert_eq!((reading(&model).age, reading(&model).state), (Some(Duration::ZERO), Freshness::Fresh));
}

#[test]
fn five_hundred_restarts_are_counted_and_kept_bounded() {
    let documents = (0..=500_u64).map(|life| {
        Document::of_process(STARTED + life * 1_000, Duration::from_millis(900)).requests("/", "200", 9, 0.01)
    });
    let model = after(documents);
    assert_eq!((reading(&model).restarts, model.targets()[0].restarts().len()), (500, 64));
    assert!(close(reading(&model).requests.rate, 10.0), "{:?}", reading(&model).requests.rate);
}

#[test]
fn queries_are_split_by_summary_with_rows_errors_and_slow_ones() {
    let summary = |name| [("db.system.name", "sqlite"), ("db.query.summary", name)];
    let failed = [("db.system.name", "sqlite"), ("db.query.summary", "SELECT carts"), ("error.type", "timeout")];
    let document = |seconds, times: usize| {
        Document::at(seconds)
            .durations("db.client.operation.duration", &summary("SELECT carts"), &vec![0.3; times])
            .durations("db.client.operation.duration", &summary("SELECT users"), &vec![0.1; times])
            .durations("db.client.operation.duration", &failed, &vec![0.3; times / 4])
            .number("heartline.db.slow_operations", &summary("SELECT carts"), times as f64 / 2.0)
            .requests("/", "200", times / 4, 0.5)
    };
    let model = after([document(1, 0), document(2, 8)]);
    let reading = reading(&model);
    assert_eq!((reading.queries.total, reading.queries.errors, reading.queries.slow), (Some(18), Some(2), Some(4)));
    assert!(close(reading.queries.per_request, 9.0));
    let [carts, users] = &reading.query_summaries[..] else { panic!("{:?}", reading.query_summaries) };
    assert_eq!((carts.summary.as_str(), carts.total, carts.slow, users.slow), ("SELECT carts", 10, Some(4), None));
    assert_eq!(carts.by_error, [(Text::new("timeout"), 2)]);
    assert!(close(carts.error_ratio, 0.2) && close(carts.time_share, 3.0 / 3.8), "{carts:?}");
}

#[test]
fn pools_caches_and_queues_are_read_by_name() {
    let pool = |state| [("db.client.connection.pool.name", "primary"), ("db.client.connection.state", state)];
    let cache = |result| [("cache.name", "products"), ("cache.tier", "l1"), ("cache.result", result)];
    let job = |state| [("queue.name", "email"), ("job.state", state)];
    let ended = |outcome| [("queue.name", "email"), ("job.name", "welcome"), ("job.outcome", outcome)];
    let document = |seconds, done: f64| {
        Document::at(seconds)
            .number("db.client.connection.count", &pool("used"), 7.0)
            .number("db.client.connection.count", &pool("idle"), 3.0)
            .number("db.client.connection.max", &pool("")[..1], 10.0)
            .number("heartline.cache.requests", &cache("hit"), 30.0 + done * 3.0)
            .number("heartline.cache.requests", &cache("stale"), 0.0)
            .number("heartline.cache.requests", &cache("miss"), 70.0 + done)
            .number("heartline.cache.limit", &cache("")[..2], 1024.0)
            .number("heartline.job.count", &job("waiting"), 100.0 - done)
            .number("heartline.job.completed", &ended("success"), done)
            .number("heartline.job.completed", &ended("dead"), 2.0)
            .number("heartline.job.enqueued", &ended("")[..2], 100.0)
    };
    let model = after([document(1, 0.0), document(2, 10.0)]);
    let reading = reading(&model);
    let (pool, cache, queue) = (&reading.pools[0], &reading.caches[0], &reading.queues[0]);
    assert_eq!((pool.max, pool.used, pool.idle, pool.pending), (Some(10), Some(7), Some(3), None));
    assert_eq!((cache.requests, cache.limit_bytes, cache.writes), (140, Some(1024), None));
    assert!(close(cache.hit_ratio, 0.75), "of the window: {:?}", cache.hit_ratio);
    assert_eq!((queue.waiting, queue.completed, queue.failed), (Some(90), 10, 2));
    assert_eq!(queue.drain, Some(Duration::from_secs(9)));
}

#[test]
fn heap_breakers_checks_and_own_metrics_are_read() {
    let verdict = HeapVerdict {
        jemalloc: true,
        trend: Trend::Growing,
        growth_bytes_per_second: Some(4e6),
        leak: Leak::Suspected,
        seconds_to_limit: Some(250.0),
        evidence: vec!["the floor rose for 12 minutes\u{1b}[0m".to_owned()],
        ..HeapVerdict::default()
    };
    let check = CheckResult {
        name: "database".to_owned(),
        criticality: Criticality::Critical,
        status: Some(CheckStatus::Fail),
        latency_seconds: Some(0.2),
        checked_at_ms: None,
        message: Some("no route".to_owned()),
    };
    let breaker = |state| [("circuit_breaker.name", "payment"), ("circuit_breaker.state", state)];
    let model = after([Document::at(1)
        .number("jemalloc.allocated", &[], 1e9)
        .number("heartline.memory.limit", &[("heartline.limit.source", "cgroup")], 2e9)
        .number("heartline.circuit_breaker.status", &breaker("open"), 1.0)
        .number("heartline.circuit_breaker.status", &breaker("closed"), 0.0)
        .number("shop.orders.open", &[("vendor", "acme")], 3.0)
        .edit(|snapshot| {
            snapshot.heap = Some(verdict);
            snapshot.checks.push(check);
        })]);
    let reading = reading(&model);
    assert_eq!((reading.heap.allocated_bytes, reading.heap.limit_bytes), (Some(1_000_000_000), Some(2_000_000_000)));
    assert_eq!((reading.heap.leak, reading.heap.trend), (Some(Leak::Suspected), Trend::Growing));
    assert_eq!(reading.heap.evidence[0], "the floor rose for 12 minutes\u{fffd}[0m");
    assert_eq!(reading.breakers[0].state, Some(BreakerState::Open));
    assert_eq!(reading.checks[0].status, Some(CheckStatus::Fail));
    let own = &reading.custom[0];
    assert_eq!((own.name.as_str(), own.labels.as_str(), own.value), ("shop.orders.open", "vendor=acme", 3.0));
    assert_eq!((own.kind, own.rate, reading.runtime.is_none()), (Kind::Gauge, None, true));
}

#[test]
fn the_age_of_a_check_does_not_mix_the_clock_of_the_target_with_ours() {
    let check = |name: &str, checked_at_ms| CheckResult {
        name: name.to_owned(),
        criticality: Criticality::Critical,
        status: Some(CheckStatus::Pass),
        latency_seconds: None,
        checked_at_ms,
        message: None,
    };
    let document = Document::at(60).edit(|snapshot| {
        let ran = snapshot.ts_ms - Duration::from_secs(4);
        snapshot.checks = vec![check("database", Some(ran)), check("mail", None)];
    });
    for our_clock_is_ahead in [Duration::from_mins(5), Duration::ZERO] {
        let ours = document.snapshot().ts_ms + our_clock_is_ahead;
        let mut model = model();
        model.absorb(&document.arrives(ours.0));
        let ages = |model: &Model| {
            let reading = reading(model);
            reading.checks.iter().map(|check| reading.check_age(check)).collect::<Vec<_>>()
        };
        assert_eq!(ages(&model), [Some(Duration::from_secs(4)), None]);
        model.tick(ours + Duration::from_secs(2));
        assert_eq!(ages(&model), [Some(Duration::from_secs(6)), None], "it grows with the age of the answer");
    }
}

#[test]
fn charts_have_a_gap_where_the_target_was_silent() {
    let document = |second: u64| Document::at(second).requests("/", "200", usize::try_from(second).unwrap() * 5, 0.02);
    let mut model = after((1..=5).map(document));
    (20..=25).for_each(|second| model.absorb(&document(second).arrives(OURS + second * 1_000)));
    let target = &model.targets()[0];
    let axis = Axis { end: UnixMillis(OURS + 25_000), span: Duration::from_secs(25), columns: 25 };
    let rates = target.chart(&Chart::RequestRate, axis);
    assert_eq!((rates[1], rates[10], rates[24]), (Some(5.0), None, Some(5.0)), "{rates:?}");
    let route = Chart::RouteRate { method: Text::new("GET"), route: Some(Text::new("/")) };
    let rates = target.chart(&route, axis);
    assert_eq!((rates[1], rates[23]), (Some(5.0), Some(5.0)), "{rates:?}");
    let p95 = Chart::RouteP95 { method: Text::new("GET"), route: Some(Text::new("/")) };
    assert!(close(target.chart(&p95, axis)[23], 0.02));
    assert_eq!(target.chart(&Chart::PoolUsed(Text::new("none")), axis), vec![None; 25]);
}

#[test]
fn many_queues_leave_room_for_the_charts_of_the_target_and_those_that_vanished_for_others() {
    let document = |second: u64, queues: std::ops::Range<u32>| {
        let start = Document::at(second).requests("/", "200", usize::try_from(second).unwrap() * 5, 0.02);
        queues.fold(start, |document, queue| {
            let name = format!("queue-{queue:02}");
            let job = |state| [("queue.name", name.as_str()), ("job.state", state)];
            let waiting = f64::from(queue);
            let done = [("queue.name", name.as_str()), ("job.outcome", "success")];
            document
                .number("heartline.job.count", &job("waiting"), waiting)
                .number("heartline.job.count", &job("active"), 1.0)
                .number("heartline.job.completed", &done, waiting + second as f64)
        })
    };
    let chart = |model: &Model, chart: &Chart, second: u64| {
        let axis = Axis { end: UnixMillis(OURS + second * 1_000), span: Duration::from_secs(1), columns: 1 };
        model.targets()[0].chart(chart, axis)[0]
    };
    let waiting = |queue: u32| Chart::QueueWaiting(Text::new(&format!("queue-{queue:02}")));
    let mut model = after([document(1, 0..50), document(2, 0..50)]);
    assert_eq!(chart(&model, &Chart::RequestRate, 2), Some(5.0));
    assert!(chart(&model, &Chart::RequestP95, 2).is_some());
    let done = Chart::QueueCompletedRate(Text::new("queue-45"));
    assert_eq!(chart(&model, &done, 2), Some(1.0), "what has a chart has all of them");
    model.absorb(&document(3, 40..60).arrives(OURS + 3_000));
    assert_eq!(chart(&model, &waiting(55), 3), None, "a short absence is no end");
    model.absorb(&document(90, 40..60).arrives(OURS + 90_000));
    assert_eq!((chart(&model, &waiting(55), 90), chart(&model, &waiting(45), 90)), (Some(55.0), Some(45.0)));
}

/// Numbers that a hostile or broken agent might send.
fn hostile() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(-1.0), Just(1e300), Just(-1e300), Just(9.1e18), -1e3_f64..1e6, Just(f64::MIN_POSITIVE)]
}

proptest! {
    #[test]
    fn no_document_makes_a_negative_or_infinite_figure(
        steps in prop::collection::vec(
            (hostile(), 0_usize..20, hostile(), 0_u64..3, 0_u64..50, any::<u64>(), -5_000_i64..20_000), 1..25),
    ) {
        let mut model = model();
        let mut at = OURS;
        for (number, count, uptime, life, seq, generation, step) in steps {
            at = at.saturating_add_signed(step);
            let queue = [("queue.name", "\u{202e}q"), ("job.state", "waiting")];
            let document = Document::of_process(life * 77, Duration::from_secs(1))
                .requests("/\u{1b}[2J", "500", count, 0.01)
                .number("heartline.cache.requests", &[("cache.name", ""), ("cache.result", "hit")], number)
                .number("heartline.job.enqueued", &queue[..1], number)
                .number("heartline.job.count", &queue, number)
                .number("process.cpu.time", &[], number)
                .number("heartline.memory.limit", &[], number)
                .number("tokio.worker.busy.time", &[("tokio.worker.index", "x")], number)
                .edit(|snapshot| { snapshot.uptime_seconds = uptime; snapshot.seq = seq; });
            let mut outcome = document.arrives(at);
            outcome.generation = generation;
            model.absorb(&outcome);
            model.tick(UnixMillis(at));
            let reading = model.targets()[0].reading();
            let rates = [reading.requests.rate, reading.process.cpu_cores, reading.requests.error_ratio];
            prop_assert!(rates.iter().flatten().all(|rate| *rate >= 0.0 && rate.is_finite()), "{rates:?}");
            for chart in [Chart::RequestRate, Chart::ProcessRss, Chart::RequestErrorRatio] {
                let axis = Axis { end: UnixMillis(at), span: Duration::from_mins(1), columns: 40 };
                prop_assert_eq!(model.targets()[0].chart(&chart, axis).len(), 40);
            }
        }
    }
}

#[test]
fn errors_and_hits_are_counted_as_the_alerts_count_them() {
    let broke_off =
        [("http.request.method", "GET"), ("http.response.status_code", "200"), ("error.type", "body_broken")];
    let cache = |result| [("cache.name", "products"), ("cache.tier", "l1"), ("cache.result", result)];
    let end = Document::at(2)
        .durations("http.server.request.duration", &broke_off, &[0.1])
        .requests("/", "200", 3, 0.1)
        .number("heartline.cache.requests", &cache("hit"), 1.0)
        .number("heartline.cache.requests", &cache("stale"), 1.0)
        .number("heartline.cache.requests", &cache("error"), 2.0);
    let model = after([Document::at(1), end]);
    assert_eq!(reading(&model).requests.error_ratio, Some(0.25));
    assert_eq!(reading(&model).caches[0].hit_ratio, Some(0.5));
}

#[test]
fn two_systems_with_a_query_of_one_name_have_a_chart_each() {
    let document = |second: u64| {
        let runs = |system: &'static str| [("db.query.summary", "SELECT users"), ("db.system.name", system)];
        let times = |count: u64, seconds: f64| vec![seconds; usize::try_from(count * second).unwrap()];
        Document::at(second).durations("db.client.operation.duration", &runs("mysql"), &times(30, 0.5)).durations(
            "db.client.operation.duration",
            &runs("sqlite"),
            &times(4, 0.01),
        )
    };
    let model = after((1..=20).map(document));
    let of = |chart: Chart| {
        let axis = Axis { end: UnixMillis(OURS + 20_000), span: Duration::from_secs(10), columns: 10 };
        model.targets()[0].chart(&chart, axis)[5]
    };
    let (system, summary) = (Text::new("sqlite"), Text::new("SELECT users"));
    let rate = of(Chart::QuerySummaryRate { system: system.clone(), summary: summary.clone() });
    assert!(close(rate, 4.0), "{rate:?}");
    assert!(close(of(Chart::QuerySummaryP95 { system, summary: summary.clone() }), 0.01));
    assert!(close(of(Chart::QuerySummaryP95 { system: Text::new("mysql"), summary }), 0.5));
}
