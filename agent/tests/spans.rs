//! Spans of requests, from the host's own tracing calls to the document that shows them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use heartline::{Agent, Query, RequestGuard};
use http::HeaderMap;
use serde_json::Value;
use tracing::instrument::WithSubscriber as _;
use tracing::{Dispatch, Instrument, debug_span, error, info, info_span, warn};
use tracing_subscriber::layer::SubscriberExt;

const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const REMOTE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// A subscriber with the layer, for the threads of one test.
fn dispatch() -> Dispatch {
    Dispatch::new(tracing_subscriber::registry().with(heartline::trace::layer()))
}

/// An agent to which every request is slow.
fn keeping() -> Agent {
    Agent::builder("test").listen("127.0.0.1:0").slow_request(Duration::ZERO).start().expect("it starts")
}

fn get(agent: &Agent, path: &str) -> Value {
    let mut stream = TcpStream::connect(agent.local_addr().expect("it listens")).expect("it answers");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it writes text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).expect("the body is JSON")
}

fn slowest(agent: &Agent) -> Vec<Value> {
    get(agent, "/api/v1/traces?limit=64")["requests"]["slowest"].as_array().expect("a list").clone()
}

/// The only request that was kept.
fn only(agent: &Agent) -> Value {
    let mut all = slowest(agent);
    assert_eq!(all.len(), 1);
    all.remove(0)
}

fn spans(row: &Value) -> &Vec<Value> {
    row["spans"].as_array().expect("it has spans")
}

fn named<'a>(row: &'a Value, name: &str) -> &'a Value {
    spans(row).iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("no span {name} in {row}"))
}

fn parent_name(row: &Value, name: &str) -> Value {
    let parent = &named(row, name)["parent_span_id"];
    spans(row).iter().find(|span| span["span_id"] == *parent).map_or(Value::Null, |span| span["name"].clone())
}

fn request(agent: &Agent) -> RequestGuard {
    agent.route("GET", "/carts/{id}").start()
}

fn carts(agent: &Agent) -> Query {
    agent.query("sqlite", "SELECT carts")
}

#[test]
fn a_slow_request_is_shown_with_its_spans_queries_waits_and_warnings() {
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let mut guard = request(&agent);
        guard.spending(|| {
            let load = info_span!(
                "load",
                otel.name = "load the cart",
                otel.kind = "client",
                db.namespace = "shop",
                secret = "hunter2",
                http.status = tracing::field::Empty
            );
            load.in_scope(|| {
                carts(&agent).start().ok(3);
                warn!(error.type = "timeout", password = "hunter2", "the \u{1b}[31msecond try");
                info!("not kept");
            });
            load.record("http.status", 7);
            let _ = debug_span!("too fine").entered();
            agent.pool("primary", Default::default).waited(Duration::from_millis(5));
            carts(&agent).start().failed("locked");
        });
        guard.finish(200);
    });
    let row = only(&agent);
    let names: Vec<&str> = spans(&row).iter().map(|span| span["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["GET /carts/{id}", "load the cart", "SELECT carts", "wait for pool primary", "SELECT carts"]);
    assert_eq!(parent_name(&row, "load the cart"), "GET /carts/{id}");
    assert_eq!(parent_name(&row, "SELECT carts"), "load the cart");
    assert_eq!(parent_name(&row, "wait for pool primary"), "GET /carts/{id}");
    let load = named(&row, "load the cart");
    assert_eq!((load["kind"].as_str(), load["target"].as_str()), (Some("client"), Some("spans")));
    assert_eq!(load["attributes"], serde_json::json!({"db.namespace": "shop", "http.status": 7}));
    assert_eq!(load["events"][0]["message"], "the  [31msecond try");
    assert_eq!(load["events"][0]["attributes"], serde_json::json!({"error.type": "timeout"}));
    assert_eq!(load["events"].as_array().unwrap().len(), 1);
    let query = named(&row, "SELECT carts");
    assert_eq!(query["attributes"]["db.response.returned_rows"], 3);
    assert_eq!((&query["attributes"]["db.system.name"], &query["kind"]), (&"sqlite".into(), &"client".into()));
    let failed = &spans(&row)[4];
    assert_eq!((&failed["status"], &failed["attributes"]["error.type"]), (&"error".into(), &"locked".into()));
    let root = &spans(&row)[0];
    assert_eq!((&root["kind"], &root["span_id"]), (&"server".into(), &row["span_id"]));
    assert_eq!(root["attributes"]["http.response.status_code"], 200);
    let shares: Vec<_> = spans(&row).iter().map(|span| span["share"].as_str().unwrap()).collect();
    assert_eq!(shares, ["own", "queries", "queries", "pool_wait", "queries"]);
    for span in spans(&row) {
        let (duration, busy, idle) = (&span["duration_seconds"], &span["busy_seconds"], &span["idle_seconds"]);
        if let Some(busy) = busy.as_f64() {
            assert!((busy + idle.as_f64().unwrap() - duration.as_f64().unwrap()).abs() < 1e-9, "{span}");
        }
    }
    assert!(root["busy_seconds"].as_f64().unwrap() > 0.0);
    let shares: f64 = row["split"].as_object().unwrap().values().map(|share| share.as_f64().unwrap()).sum();
    assert!((shares - row["duration_seconds"].as_f64().unwrap()).abs() < 1e-8);
    assert!(!row.to_string().contains("hunter2"));
    agent.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn of_fast_requests_only_those_that_failed_or_panicked_keep_their_spans() {
    // a panic that prints where it came from takes its time
    let never = Duration::from_hours(1);
    let agent = Agent::builder("test").listen("127.0.0.1:0").slow_request(never).start().unwrap();
    tracing::dispatcher::with_default(&dispatch(), || {
        for status in [200, 404] {
            let mut guard = request(&agent);
            guard.spending(|| info_span!("fast").in_scope(|| ()));
            guard.finish(status);
        }
        drop(request(&agent)); // cancelled
        for (route, end) in [
            ("/status", (|guard| guard.finish(503)) as fn(RequestGuard)),
            ("/body", |guard| guard.failed(Some(200), "body")),
            ("/panic", |guard| {
                let unwound = catch_unwind(AssertUnwindSafe(|| {
                    let _guard = guard;
                    panic!("in the handler")
                }));
                assert!(unwound.is_err());
            }),
        ] {
            let mut guard = agent.route("GET", route).start();
            guard.spending(|| info_span!("doomed").in_scope(|| ()));
            end(guard);
        }
    });
    let document = get(&agent, "/api/v1/traces");
    assert_eq!(document["requests"]["slowest"].as_array().unwrap().len(), 0);
    let failed = document["failed"]["newest"].as_array().unwrap();
    let routes: Vec<&str> = failed.iter().map(|row| row["route"].as_str().unwrap()).collect();
    assert_eq!(routes, ["/panic", "/body", "/status"], "the newest first");
    assert_eq!(document["failed"]["count"], 3);
    for row in failed {
        assert_eq!(spans(row).len(), 2, "{row}");
        assert_eq!((&spans(row)[0]["status"], &spans(row)[1]["name"]), (&"error".into(), &"doomed".into()));
    }
    let types: Vec<&Value> = failed.iter().map(|row| &row["spans"][0]["attributes"]["error.type"]).collect();
    assert_eq!(types, ["panic", "body", "503"]);
}

#[test]
fn of_a_route_that_fails_all_the_time_some_are_kept_and_all_are_counted() {
    let agent = Agent::builder("test").listen("127.0.0.1:0").slow_request(Duration::from_hours(1)).start().unwrap();
    tracing::dispatcher::with_default(&dispatch(), || (0..10_000).for_each(|_| request(&agent).finish(503)));
    let failed = &get(&agent, "/api/v1/traces?limit=64")["failed"];
    assert_eq!(failed["count"], 10_000);
    let kept = failed["newest"].as_array().unwrap().len();
    assert!((1..=64).contains(&kept), "{kept}");
}

#[test]
fn threads_that_work_on_one_request_at_the_same_time_lose_nothing_that_is_not_counted() {
    let agent = keeping();
    let dispatch = dispatch();
    tracing::dispatcher::with_default(&dispatch, || {
        let mut guard = request(&agent);
        let shared = guard.spending(|| info_span!("shared"));
        std::thread::scope(|threads| {
            for _ in 0..4 {
                let (dispatch, shared) = (&dispatch, &shared);
                threads.spawn(move || {
                    tracing::dispatcher::with_default(dispatch, || shared.in_scope(open_fifty));
                });
            }
        });
        drop(shared);
        guard.finish(200);
    });
    let document = get(&agent, "/api/v1/traces");
    let row = &document["requests"]["slowest"][0];
    let missed = document["spans"]["missed"].as_u64().unwrap();
    let shown = spans(row).iter().filter(|span| span["name"] == "one of many").count() as u64;
    assert!(shown <= 200 && shown + missed >= 200, "{shown} and {missed}");
    assert!(
        spans(row)[1..]
            .iter()
            .all(|span| span["parent_span_id"] == named(row, "shared")["span_id"] || span["name"] == "shared")
    );
}

fn open_fifty() {
    for _ in 0..50 {
        info_span!("one of many").in_scope(|| ());
    }
}

#[test]
fn a_request_joins_the_trace_that_it_came_with_and_passes_it_on() {
    let agent = keeping();
    let (mut inside, mut of_call, mut outside) = (HeaderMap::new(), HeaderMap::new(), HeaderMap::new());
    tracing::dispatcher::with_default(&dispatch(), || {
        let mut guard = request(&agent);
        guard.tracestate(b"early=1"); // belongs to nothing
        guard.traceparent(REMOTE.as_bytes());
        guard.tracestate(b"rojo=00f067aa0ba902b7");
        guard.tracestate(b"congo=t61rcWkgMzE");
        guard.spending(|| {
            info_span!("ask").in_scope(|| {
                assert!(heartline::trace::inject(&mut inside));
                assert_eq!(heartline::trace::current().unwrap().trace_id(), REMOTE_TRACE);
                let call = heartline::trace::outbound("POST /charges");
                assert!(call.inject(&mut of_call));
                call.finish(200);
            });
        });
        guard.finish(200);
        assert!(!heartline::trace::inject(&mut outside) && outside.is_empty());
        assert!(heartline::trace::current().is_none());
    });
    let row = only(&agent);
    assert_eq!((&row["trace_id"], &row["parent_span_id"]), (&REMOTE_TRACE.into(), &"00f067aa0ba902b7".into()));
    assert_eq!(spans(&row)[0]["parent_span_id"], "00f067aa0ba902b7");
    for (headers, span) in [(&inside, "ask"), (&of_call, "POST /charges")] {
        let span = named(&row, span)["span_id"].as_str().unwrap();
        assert_eq!(headers["traceparent"], format!("00-{REMOTE_TRACE}-{span}-01"));
        assert_eq!(headers["tracestate"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
    }
    let found = get(&agent, &format!("/api/v1/traces?trace_id={REMOTE_TRACE}"));
    assert_eq!(found["requests"]["slowest"].as_array().unwrap().len(), 1);
    let other = get(&agent, "/api/v1/traces?trace_id=00000000000000000000000000000001&spans=none");
    assert_eq!(other["requests"]["slowest"].as_array().unwrap().len(), 0);
}

#[test]
fn what_is_no_traceparent_begins_a_trace_of_its_own() {
    let agent = keeping();
    let bad: [&[u8]; 9] = [
        b"",
        b"00",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        b"00-4bf92f3577b34da6a3ce929d0e0e47\xff\xfe-00f067aa0ba902b7-01",
        b"4bf92f3577b34da6a3ce929d0e0e4736",
    ];
    tracing::dispatcher::with_default(&dispatch(), || {
        for value in bad {
            let mut guard = request(&agent);
            guard.traceparent(value);
            guard.tracestate(b"a=1");
            guard.spending(|| {
                let mut headers = HeaderMap::new();
                heartline::trace::inject(&mut headers);
                assert!(headers.get("tracestate").is_none());
                assert!(headers["traceparent"].to_str().unwrap().ends_with("-00"));
            });
            guard.finish(200);
        }
    });
    let rows = slowest(&agent);
    let mut traces: Vec<&str> = rows.iter().map(|row| row["trace_id"].as_str().unwrap()).collect();
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), bad.len());
    assert!(rows.iter().all(|row| row["parent_span_id"].is_null() && row["trace_id"] != REMOTE_TRACE));
}

#[test]
fn a_span_that_outlives_its_request_is_open_in_it_and_no_part_of_the_next() {
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let mut guard = request(&agent);
        let late = guard.spending(|| info_span!("late"));
        guard.finish(200);
        let mut next = request(&agent);
        next.spending(|| {
            late.in_scope(|| info_span!("within the late one").in_scope(|| ()));
            late.record("http.status", 1);
        });
        drop(late);
        next.finish(201);
    });
    let rows = slowest(&agent);
    let of = |status: u64| rows.iter().find(|row| row["status"] == status).unwrap();
    assert_eq!((spans(of(200)).len(), spans(of(201)).len()), (2, 1));
    assert_eq!(named(of(200), "late")["ended"], false);
}

#[test]
fn spans_of_other_threads_and_tasks_belong_to_the_request_that_they_were_opened_for() {
    let agent = keeping();
    let dispatch = dispatch();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tracing::dispatcher::with_default(&dispatch, || {
        let mut guard = request(&agent);
        for number in 0..16 {
            let query = carts(&agent);
            let work = async move {
                tokio::task::yield_now().await;
                query.start().ok(number);
                tokio::task::yield_now().await;
                info_span!("inner", job.number = number).in_scope(|| ());
            };
            let task = guard.spending(|| work.instrument(info_span!("task")).with_current_subscriber());
            runtime.block_on(runtime.spawn(task)).unwrap();
        }
        guard.finish(200);
    });
    let row = only(&agent);
    assert_eq!(spans(&row).len(), 1 + 3 * 16);
    let tasks: Vec<&Value> = spans(&row).iter().filter(|span| span["name"] == "task").collect();
    for task in tasks {
        assert_eq!((&task["parent_span_id"], &task["ended"]), (&row["span_id"], &true.into()));
        let children: Vec<&Value> =
            spans(&row).iter().filter(|span| span["parent_span_id"] == task["span_id"]).collect();
        let names: Vec<&Value> = children.iter().map(|span| &span["name"]).collect();
        assert_eq!(names, ["SELECT carts", "inner"]);
        let (rows, number) =
            (&children[0]["attributes"]["db.response.returned_rows"], &children[1]["attributes"]["job.number"]);
        assert_eq!(rows, number);
    }
}

#[test]
fn a_request_that_is_abandoned_keeps_what_it_had_and_its_spans_end_with_it() {
    use tower::{Layer as _, Service as _};

    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let query = carts(&agent);
        let service = tower::service_fn(move |_: http::Request<String>| {
            let query = query.clone();
            async move {
                let running = query.start();
                std::future::pending::<()>().await;
                running.ok(1);
                Ok::<_, std::io::Error>(http::Response::new(String::new()))
            }
            .instrument(info_span!("handler"))
        });
        let mut service = agent.http_layer().route("/carts").layer(service);
        let mut answer = Box::pin(service.call(http::Request::new(String::new())));
        let mut context = Context::from_waker(Waker::noop());
        assert!(answer.as_mut().poll(&mut context).is_pending());
        let open = get(&agent, "/api/v1/inflight");
        let waits_for = &open["requests"][0]["waits_for"];
        assert_eq!((&waits_for["kind"], &waits_for["name"]), (&"queries".into(), &"SELECT carts".into()));
        assert_eq!(open["requests"][0]["trace_id"].as_str().unwrap().len(), 32);
        drop(answer);
        let row = only(&agent);
        assert_eq!((&row["error_type"], &row["trace_id"]), (&"cancelled".into(), &open["requests"][0]["trace_id"]));
        assert_eq!((&row["key"], row["key"].as_str().map(str::len)), (&open["requests"][0]["key"], Some(16)));
        assert_eq!(named(&row, "SELECT carts")["attributes"]["error.type"], "cancelled");
        assert_eq!(parent_name(&row, "SELECT carts"), "handler");
        assert!(spans(&row).iter().all(|span| span["ended"] == true), "{row}");
        assert_eq!(get(&agent, "/api/v1/inflight")["requests"].as_array().unwrap().len(), 0);
    });
}

#[test]
fn spans_while_the_body_is_produced_belong_to_the_request() {
    use http_body::{Body, Frame};
    use tower::{Layer as _, Service as _};

    struct Streaming(u8);
    impl Body for Streaming {
        type Data = &'static [u8];
        type Error = std::io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
            self.0 += 1;
            info_span!("frame", job.number = self.0).in_scope(|| ());
            Poll::Ready((self.0 < 3).then_some(Ok(Frame::data(b"x"))))
        }
    }
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let service = tower::service_fn(async |_: http::Request<String>| {
            Ok::<_, std::io::Error>(http::Response::new(Streaming(0)))
        });
        let mut service = agent.http_layer().route("/stream").layer(service);
        let mut context = Context::from_waker(Waker::noop());
        let request = http::Request::builder().header("traceparent", REMOTE).body(String::new()).unwrap();
        let Poll::Ready(Ok(answer)) = pin!(service.call(request)).poll(&mut context) else { panic!("at once") };
        let mut body = pin!(answer.into_body());
        while let Poll::Ready(Some(frame)) = body.as_mut().poll_frame(&mut context) {
            frame.unwrap();
        }
    });
    let row = only(&agent);
    assert_eq!((spans(&row).len(), &row["trace_id"]), (4, &REMOTE_TRACE.into()));
}

#[test]
fn a_request_within_another_is_part_of_its_trace() {
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let mut outer = request(&agent);
        outer.spending(|| {
            info_span!("asks itself").in_scope(|| {
                let mut inner = agent.route("GET", "/inner").start();
                inner.spending(|| carts(&agent).start().ok(1));
                inner.finish(200);
            });
        });
        outer.finish(200);
    });
    let rows = slowest(&agent);
    let of = |route: &str| rows.iter().find(|row| row["route"] == route).unwrap();
    let (inner, outer) = (of("/inner"), of("/carts/{id}"));
    assert_eq!(inner["trace_id"], outer["trace_id"]);
    assert_eq!(inner["parent_span_id"], named(outer, "asks itself")["span_id"]);
    assert_eq!((spans(inner).len(), spans(outer).len()), (2, 2));
}

#[test]
fn more_than_a_tree_holds_is_counted_and_the_rest_is_whole() {
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let mut guard = request(&agent);
        guard.spending(|| {
            for number in 0..1_000 {
                info_span!("loop", job.number = number, error.type = "x".repeat(2_000)).in_scope(|| error!("one more"));
            }
        });
        guard.finish(200);
    });
    let row = only(&agent);
    assert_eq!(spans(&row).len(), 256);
    let cut = &row["cut"];
    assert_eq!(cut["spans"], 1_000 - 255);
    let events: usize = spans(&row).iter().map(|span| span["events"].as_array().unwrap().len()).sum();
    assert_eq!((events, &cut["events"]), (32, &(1_000 - 32).into()));
    assert!(cut["attributes"].as_u64().unwrap() > 0);
    assert!(
        spans(&row).iter().all(|span| span["attributes"]["error.type"].as_str().is_none_or(|text| text.len() <= 256))
    );
}

#[test]
fn fields_and_levels_are_the_hosts_choice() {
    let agent = keeping();
    let layer = heartline::trace::builder().max_level(tracing::Level::TRACE).field("order.").build();
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer));
    tracing::dispatcher::with_default(&dispatch, || {
        let mut guard = request(&agent);
        guard.spending(|| {
            let span = debug_span!("fine", order.id = 7_u64, order.paid = true, order.total = 1.5, order.note = ?"a\"b", user = "u");
            span.in_scope(|| tracing::trace_span!("finest").in_scope(|| ()));
        });
        guard.finish(200);
    });
    let row = only(&agent);
    assert_eq!(parent_name(&row, "finest"), "fine");
    let expected =
        serde_json::json!({"order.id": 7, "order.paid": true, "order.total": 1.5, "order.note": "\"a\\\"b\""});
    assert_eq!(named(&row, "fine")["attributes"], expected);
}

#[test]
fn a_value_that_opens_spans_while_it_is_formatted_and_one_that_panics_do_no_harm() {
    struct Opens;
    impl std::fmt::Debug for Opens {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            info_span!("while formatting", job.id = 1).in_scope(|| error!(error = "inner", "within"));
            f.write_str("opened")
        }
    }
    struct Panics;
    impl std::fmt::Debug for Panics {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("while formatting")
        }
    }
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        let mut guard = request(&agent);
        guard.spending(|| {
            info_span!("outer", error = ?Opens).in_scope(|| ());
            let panicked = catch_unwind(AssertUnwindSafe(|| info_span!("broken", error = ?Panics)));
            assert!(panicked.is_err());
            info_span!("after").in_scope(|| ());
        });
        guard.finish(200);
    });
    let row = only(&agent);
    assert_eq!(named(&row, "outer")["attributes"]["error"], "opened");
    // tracing itself leaves out what is said while a subscriber listens, unless it is the program's only one
    assert!(spans(&row).len() >= 3);
    assert_eq!(parent_name(&row, "after"), "GET /carts/{id}");
}

fn work(agent: &Agent, thread: u64, number: u64) {
    let mut guard = agent.route("GET", &format!("/{thread}")).start();
    guard.spending(|| {
        let outer = info_span!("outer", job.thread = thread, job.number = number);
        outer.in_scope(|| info_span!("inner", job.thread = thread).in_scope(|| ()));
    });
    guard.finish(200);
}

#[test]
fn requests_on_many_threads_never_get_each_others_spans() {
    let agent = keeping();
    let dispatch = dispatch();
    std::thread::scope(|threads| {
        for thread in 0..8_u64 {
            let (agent, dispatch) = (&agent, &dispatch);
            threads.spawn(move || {
                tracing::dispatcher::with_default(dispatch, || (0..500).for_each(|number| work(agent, thread, number)));
            });
        }
    });
    let rows = slowest(&agent);
    assert_eq!(rows.len(), 64);
    for row in &rows {
        let thread: u64 = row["route"].as_str().unwrap()[1..].parse().unwrap();
        assert_eq!(spans(row).len(), 3, "{row}");
        assert!(spans(row)[1..].iter().all(|span| span["attributes"]["job.thread"] == thread), "{row}");
        assert_eq!(parent_name(row, "inner"), "outer");
    }
}

#[test]
fn without_a_request_nothing_is_kept_and_nothing_is_in_the_way() {
    let agent = keeping();
    tracing::dispatcher::with_default(&dispatch(), || {
        info_span!("background", db.namespace = "x").in_scope(|| {
            error!("nobody asked");
            carts(&agent).start().ok(1);
            // a request that begins within it does not belong to it
            let mut guard = request(&agent);
            guard.spending(|| info_span!(parent: None, "apart").in_scope(|| info_span!("deeper").in_scope(|| ())));
            guard.finish(200);
        });
    });
    let row = only(&agent);
    let names: Vec<&Value> = spans(&row).iter().map(|span| &span["name"]).collect();
    assert_eq!(names, ["GET /carts/{id}", "deeper"]);
}
