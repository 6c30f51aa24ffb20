//! The views against a service whose figures are known.

use std::borrow::Cow;

use futures_util::{FutureExt as _, StreamExt as _};
use heartline_shared::frame::{Decoder, Event};
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries, Snapshot};
use heartline_shared::{Grid, GridKind, Histogram, Kind, Labels, UnixMillis};
use http::HeaderMap;
use http_body_util::BodyExt as _;

use super::super::Source;
use super::*;
use crate::signals::{FailedJob, Failures, Overall, ShortText};

const START: u64 = 1_700_000_000_000;

struct Service {
    recorder: FlightRecorder,
    failures: Failures,
    newest: Snapshot,
}

impl Source for Service {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.newest.clone())
    }

    fn overall(&self) -> Overall {
        Overall::Healthy
    }

    fn recorder(&self) -> Option<&FlightRecorder> {
        Some(&self.recorder)
    }

    fn failures(&self) -> Option<&Failures> {
        Some(&self.failures)
    }
}

struct Silent;

impl Source for Silent {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::default()
    }

    fn overall(&self) -> Overall {
        Overall::Healthy
    }
}

fn durations(count: u64, millis: u64) -> Histogram {
    let grid = Grid::of(GridKind::Duration);
    let bucket = u16::try_from(grid.index(millis * 1_000_000)).unwrap();
    let buckets = if count == 0 { vec![] } else { vec![(bucket, count)] };
    Histogram { count, sum: count * millis * 1_000_000, buckets }
}

fn family(name: &'static str, kind: Kind, unit: &'static str) -> Family {
    let (name, unit) = (Cow::Borrowed(name), Cow::Borrowed(unit));
    Family { name, kind, unit, help: None, numbers: vec![], histograms: vec![] }
}

fn timed(name: &'static str, series: &[(&[(&'static str, &str)], Histogram)]) -> Family {
    let one = |(labels, histogram): &(&[(&'static str, &str)], Histogram)| HistogramSeries {
        labels: Labels::from_pairs(labels.iter().copied()),
        histogram: histogram.clone(),
    };
    Family { histograms: series.iter().map(one).collect(), ..family(name, Kind::Histogram, "s") }
}

fn counted(name: &'static str, kind: Kind, series: &[(&[(&'static str, &str)], u64)]) -> Family {
    let one = |(labels, value): &(&[(&'static str, &str)], u64)| NumberSeries {
        labels: Labels::from_pairs(labels.iter().copied()),
        value: *value as f64,
    };
    Family { numbers: series.iter().map(one).collect(), ..family(name, kind, "") }
}

/// Each second: 8 good requests of 20 ms and 2 failed ones of 1.2 s to the cart; 5 queries of 4 ms; 3 hits, 1 miss; 2 jobs
/// put on the queue and 1 done.
fn snapshot(second: u64) -> Snapshot {
    let cart = ("http.route", "/cart");
    let get = ("http.request.method", "GET");
    let products = [("db.query.summary", "SELECT products"), ("db.system.name", "sqlite")];
    let orders = [("db.query.summary", "INSERT orders"), ("db.system.name", "sqlite")];
    let cache = [("cache.name", "products"), ("cache.tier", "l1")];
    let queue = ("queue.name", "email");
    let mut metrics = vec![
        timed(
            "http.server.request.duration",
            &[
                (&[cart, get, ("http.response.status_code", "200")], durations(second * 8, 20)),
                (
                    &[cart, get, ("http.response.status_code", "500"), ("error.type", "500")],
                    durations(second * 2, 1_200),
                ),
            ],
        ),
        timed(
            "db.client.operation.duration",
            &[
                (&products, durations(second * 5, 4)),
                (&orders, durations(second, 90)),
                (&[orders[0], orders[1], ("error.type", "timeout")], durations(second / 10, 500)),
            ],
        ),
        counted("heartline.db.slow_operations", Kind::Counter, &[(&products, 0), (&orders, second / 10)]),
        counted(
            "heartline.cache.requests",
            Kind::Counter,
            &[
                (&[cache[0], cache[1], ("cache.result", "hit")], second * 3),
                (&[cache[0], cache[1], ("cache.result", "miss")], second),
            ],
        ),
        counted("heartline.job.count", Kind::UpDownCounter, &[(&[queue, ("job.state", "waiting")], second)]),
        counted("heartline.job.enqueued", Kind::Counter, &[(&[queue], second * 2)]),
        counted("heartline.job.completed", Kind::Counter, &[(&[queue, ("job.outcome", "success")], second)]),
        counted("process.memory.usage", Kind::UpDownCounter, &[(&[], 1_000_000 + second)]),
        counted("heartline.memory.limit", Kind::UpDownCounter, &[(&[], 4_000_000)]),
    ];
    metrics.sort_by(|a, b| a.name.cmp(&b.name));
    Snapshot {
        schema_version: 1,
        service: "shop".to_owned(),
        started_at_ms: UnixMillis(START),
        ts_ms: UnixMillis(START + second * 1_000),
        timestamp: UnixMillis(START + second * 1_000).to_string(),
        uptime_seconds: second as f64,
        seq: second,
        metrics,
        ..Snapshot::default()
    }
}

/// Three failures of two queues.
fn failures() -> Failures {
    let failures = Failures::default();
    for (queue, error) in [("email", "timeout"), ("sms", "refused"), ("email", "panic")] {
        let (id, attempts) = (Some(ShortText::new("01J")), Some(3));
        let [queue, job, error_type] = [queue, "welcome", error].map(ShortText::new);
        failures.record(&FailedJob { number: 0, at: UnixMillis(0), queue, job, error_type, id, attempts });
    }
    failures
}

fn service(seconds: u64) -> Arc<Fresh> {
    let recorder = FlightRecorder::new(8 << 20);
    for second in 1..=seconds {
        recorder.record(&snapshot(second));
    }
    Arc::new(Fresh::new(Arc::new(Service { recorder, failures: failures(), newest: snapshot(seconds) })))
}

fn ask_as(fresh: &Arc<Fresh>, path: &str, query: &str, headers: &HeaderMap) -> Answer {
    let view = match path.rsplit('/').next().unwrap() {
        "performance" => View::Index,
        "summary" => View::Summary,
        "dashboard" => View::Dashboard,
        "queries" => View::Queries,
        "realtime" => View::Realtime,
        "trends" => View::Trends,
        "cache" => View::Cache,
        "failed" => View::FailedJobs,
        "jobs" => View::Jobs,
        "history" => View::History,
        other => panic!("no view is called {other}"),
    };
    let asked = Asked { headers };
    let mut answering = std::pin::pin!(view.answer(asked, query, fresh, Duration::from_secs(1)));
    let reply = loop {
        if let Some(reply) = answering.as_mut().now_or_never() {
            break reply;
        }
    };
    reply.unwrap_or_else(|problem| asked.problem(&problem))
}

fn bytes_of(answer: Answer) -> Bytes {
    answer.into_body().collect().now_or_never().unwrap().unwrap().to_bytes()
}

fn ask(fresh: &Arc<Fresh>, path: &str, query: &str) -> Value {
    let answer = ask_as(fresh, path, query, &HeaderMap::new());
    let status = answer.status();
    let document: Value = serde_json::from_slice(&bytes_of(answer)).unwrap();
    assert_eq!(status, StatusCode::OK, "{document}");
    document
}

fn refusal(fresh: &Arc<Fresh>, path: &str, query: &str) -> String {
    let answer = ask_as(fresh, path, query, &HeaderMap::new());
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{path}?{query}");
    let document: Value = serde_json::from_slice(&bytes_of(answer)).unwrap();
    document["detail"].as_str().unwrap().to_owned()
}

fn near(value: &Value, expected: f64) -> bool {
    value.as_f64().is_some_and(|value| (value - expected).abs() <= expected * 0.012)
}

#[test]
fn a_summary_has_totals_since_the_start_and_figures_of_its_window() {
    let fresh = service(600);
    let summary = ask(&fresh, "/api/v1/summary", "window=1m");
    assert_eq!((&summary["service"], &summary["window_seconds"]), (&Value::from("shop"), &Value::from(60.0)));
    let requests = &summary["requests"];
    assert_eq!((&requests["total"], &requests["errors_total"]), (&Value::from(6_000), &Value::from(1_200)));
    assert_eq!((&requests["count"], &requests["errors"]), (&Value::from(600), &Value::from(120)));
    assert_eq!((&requests["rate_per_second"], &requests["error_ratio"]), (&Value::from(10.0), &Value::from(0.2)));
    assert!(near(&requests["p50_seconds"], 0.02) && near(&requests["p99_seconds"], 1.2), "{requests}");
    assert_eq!(requests["in_flight"], Value::Null, "not recorded is not zero");
    let queries = &summary["queries"];
    assert_eq!(
        (&queries["count"], &queries["slow"], &queries["errors"]),
        (&Value::from(366), &Value::from(6), &Value::from(6))
    );
    assert_eq!(summary["caches"]["hit_ratio"], 0.75);
    assert_eq!((&summary["jobs"]["waiting"], &summary["jobs"]["completed"]), (&Value::from(600), &Value::from(60)));
    assert_eq!(summary["memory"]["used_ratio"], 1_000_600.0 / 4_000_000.0);
    assert_eq!(summary["runtime"], Value::Null);
    let whole = ask(&fresh, "/api/performance/summary", "");
    assert_eq!((&whole["window_seconds"], &whole["requests"]["count"]), (&Value::from(300.0), &Value::from(3_000)));
}

#[test]
fn a_window_longer_than_the_life_of_the_process_says_how_long_it_really_is() {
    let summary = ask(&service(42), "/api/v1/summary", "window=1h");
    assert_eq!((&summary["window_seconds"], &summary["requests"]["count"]), (&Value::from(42.0), &Value::from(420)));
}

#[test]
fn queries_are_sorted_and_cut_as_asked_and_slow_ones_found() {
    let fresh = service(100);
    let first = |query: &str| {
        let document = ask(&fresh, "/api/v1/queries", query);
        document["queries"][0]["summary"].as_str().unwrap().to_owned()
    };
    assert_eq!(first("sort=total"), "INSERT orders");
    assert_eq!(first("sort=p95"), "INSERT orders");
    assert_eq!(first("sort=count"), "SELECT products");
    assert_eq!(first("sort=errors"), "INSERT orders");
    let slow = ask(&fresh, "/api/v1/queries", "slow=true");
    assert_eq!((slow["queries"].as_array().unwrap().len(), &slow["found"]), (1, &Value::from(1)));
    assert_eq!(slow["queries"][0]["by_error"]["timeout"], 10);
    let cut = ask(&fresh, "/api/v1/queries", "limit=1");
    assert_eq!((cut["queries"].as_array().unwrap().len(), &cut["found"]), (1, &Value::from(2)));
}

#[test]
fn the_dashboard_begins_with_what_is_wrong_and_has_every_row() {
    let dashboard = ask(&service(100), "/api/v1/dashboard", "");
    assert_eq!(dashboard["verdicts"][0]["level"], "critical", "{}", dashboard["verdicts"]);
    assert_eq!(dashboard["routes"][0]["route"], "/cart");
    assert_eq!(dashboard["routes"][0]["statuses"]["5xx"], 200);
    assert_eq!(dashboard["slowest_queries"].as_array().unwrap().len(), 2);
    assert_eq!(dashboard["cache_tiers"][0]["tier"], "l1");
    assert_eq!(dashboard["queues"][0]["name"], "email");
    assert_eq!(dashboard["queues"][0]["failed_per_second"], 0.0);
    assert!(!dashboard.to_string().contains("-0.0"), "nothing is minus nothing: {dashboard}");
}

#[test]
fn caches_and_jobs_have_their_own_documents() {
    let fresh = service(100);
    let caches = ask(&fresh, "/api/v1/cache", "window=10s");
    assert_eq!((&caches["caches"][0]["hits"], &caches["caches"][0]["misses"]), (&Value::from(30), &Value::from(10)));
    let jobs = ask(&fresh, "/api/v1/jobs", "window=10s");
    assert_eq!(
        (&jobs["queues"][0]["waiting"], &jobs["queues"][0]["completed_per_second"]),
        (&Value::from(100), &Value::from(1.0))
    );
    assert_eq!(jobs["queues"][0]["drain_seconds"], Value::Null, "it grows");
}

#[test]
fn a_trend_has_a_point_for_each_step_by_either_name_of_the_metric() {
    let fresh = service(600);
    for name in ["http.server.request.duration", "http_server_request_duration_seconds"] {
        let trend = ask(&fresh, "/api/v1/trends", &format!("metric={name}&from=-5m&step=10s"));
        let points = trend["points"].as_array().unwrap();
        assert_eq!(points.len(), 30);
        assert_eq!((&points[7]["value"], &points[7]["count"]), (&Value::from(10.0), &Value::from(100.0)));
        assert!(near(&points[7]["p99"], 1.2), "{}", points[7]);
    }
    let memory = ask(&fresh, "/api/v1/trends", "");
    assert_eq!((&memory["metric"], &memory["unit"]), (&Value::from("process.memory.usage"), &Value::from("By")));
    assert_eq!(memory["points"].as_array().unwrap().last().unwrap()["value"], 1_000_600.0);
    assert_eq!(
        (&memory["memory"]["trend"], &memory["history"]["from_ms"]),
        (&Value::from("unknown"), &Value::from(START))
    );
}

#[test]
fn failed_jobs_are_listed_page_by_page_without_what_they_were_about() {
    let fresh = service(1);
    let first = ask(&fresh, "/api/v1/jobs/failed", "limit=2");
    let errors = |page: &Value| {
        let rows = page["jobs"].as_array().unwrap().iter();
        rows.map(|job| job["error_type"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (errors(&first), &first["failed_total"]),
        (vec!["panic".to_owned(), "refused".to_owned()], &Value::from(3))
    );
    assert_eq!((&first["jobs"][0]["id"], &first["jobs"][0]["attempts"]), (&Value::from("01J"), &Value::from(3)));
    let next =
        ask(&fresh, "/api/performance/jobs/failed", &format!("cursor={}", first["next_cursor"].as_str().unwrap()));
    assert_eq!((errors(&next), &next["next_cursor"]), (vec!["timeout".to_owned()], &Value::Null));
    assert_eq!(errors(&ask(&fresh, "/api/v1/jobs/failed", "queue=sms")), ["refused"]);
    assert!(!first.to_string().contains("payload\":"));
}

#[test]
fn bad_parameters_are_named() {
    let fresh = service(10);
    for (path, query, name) in [
        ("/api/v1/summary", "window=soon", "window"),
        ("/api/v1/dashboard", "window=0", "window"),
        ("/api/v1/queries", "sort=speed", "sort"),
        ("/api/v1/queries", "limit=-1", "limit"),
        ("/api/v1/queries", "slow=perhaps", "slow"),
        ("/api/v1/realtime", "window=9d", "window"),
        ("/api/v1/trends", "metric=invented", "metric"),
        ("/api/v1/trends", "from=tomorrow", "from"),
        ("/api/v1/trends", "from=-1d&step=1s", "step"),
        ("/api/v1/trends", "from=2000&to=1000", "from"),
        ("/api/v1/jobs/failed", "cursor=x", "cursor"),
        ("/api/v1/jobs/failed", "limit=0", "limit"),
        ("/api/v1/history", "to=never", "to"),
        ("/api/v1/history", "step=x", "step"),
    ] {
        let detail = refusal(&fresh, path, query);
        assert!(detail.starts_with(name), "{path}?{query}: {detail}");
    }
}

#[test]
fn history_is_a_stream_that_a_decoder_reads() {
    let fresh = service(130);
    let read = |query: &str| {
        let answer = ask_as(&fresh, "/api/v1/history", query, &HeaderMap::new());
        assert_eq!(answer.headers()["content-type"], MEDIA_TYPE);
        let mut decoder = Decoder::new();
        decoder.push(&bytes_of(answer));
        decoder.finish();
        let events: Vec<Event> = std::iter::from_fn(|| decoder.next_event()).collect();
        let frames = events.iter().filter(|event| matches!(event, Event::Frame(_))).count();
        assert_eq!(frames + 1, events.len(), "nothing but the process and its frames");
        frames
    };
    assert_eq!((read(""), read("step=1m"), read("step=10s")), (130, 3, 13));
    let range = format!("from={}&to={}", START + 10_000, START + 20_000);
    assert_eq!(read(&range), 10);
}

#[test]
fn realtime_is_the_newest_second_and_a_stream_of_events_for_those_who_ask() {
    let fresh = service(20);
    let now = ask(&fresh, "/api/performance/realtime", "");
    assert_eq!((&now["window_seconds"], &now["requests"]["count"]), (&Value::from(1.0), &Value::from(10)));
    let headers: HeaderMap = [(ACCEPT, "text/event-stream".parse().unwrap())].into_iter().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let events = runtime.block_on(async {
        let answer = ask_as(&fresh, "/api/v1/realtime", "window=2s", &headers);
        assert_eq!(answer.headers()["content-type"], EVENT_STREAM);
        let chunks = answer.into_body().into_data_stream().take(3);
        chunks.map(|chunk| String::from_utf8(chunk.unwrap().to_vec()).unwrap()).collect::<Vec<String>>().await
    });
    assert_eq!(events.len(), 3);
    for event in events {
        assert!(
            event.starts_with("id: 1700000020000\nevent: realtime\ndata: {") && event.ends_with("}\n\n"),
            "{event}"
        );
        let document: Value = serde_json::from_str(event.lines().nth(2).unwrap().trim_start_matches("data: ")).unwrap();
        assert_eq!(document["requests"]["count"], 20);
    }
}

#[test]
fn without_history_a_view_says_what_to_do() {
    let fresh = Arc::new(Fresh::new(Arc::new(Silent)));
    let answer = ask_as(&fresh, "/api/v1/summary", "", &HeaderMap::new());
    assert_eq!(answer.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(String::from_utf8_lossy(&bytes_of(answer)).contains("history_bytes"));
}

#[test]
fn an_agent_that_has_just_started_knows_nothing_and_says_null() {
    let fresh = service(0);
    for path in ["/api/v1/summary", "/api/v1/dashboard", "/api/v1/performance", "/api/v1/realtime", "/api/v1/queries"] {
        let document = ask(&fresh, path, "");
        assert_eq!(document["window_seconds"], Value::Null, "{path}");
    }
    assert_eq!(ask(&fresh, "/api/v1/summary", "")["requests"]["rate_per_second"], Value::Null);
}
