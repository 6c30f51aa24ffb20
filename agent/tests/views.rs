//! An agent as a service holds it: what it records shows in the windowed views, the history, and the periodic summary.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heartline::Agent;
use heartline_shared::frame::{Decoder, Event, Value};
use tracing::field::{Field, Visit};

fn get(address: SocketAddr, path: &str) -> Vec<u8> {
    get_as(address, path, "*/*")
}

fn get_as(address: SocketAddr, path: &str, accept: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the agent listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a socket has deadlines");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\naccept: {accept}\r\nconnection: close\r\n\r\n")
        .expect("the agent reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the agent answers");
    answer
}

/// The body of an answer, chunked or not.
fn body(answer: &[u8]) -> Vec<u8> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let mut rest = &answer[end..];
    if !head.contains("transfer-encoding: chunked") {
        return rest.to_vec();
    }
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a chunk");
        let size = usize::from_str_radix(&String::from_utf8_lossy(&rest[..line]), 16).expect("a chunk's size");
        if size == 0 {
            return whole;
        }
        whole.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

fn document(address: SocketAddr, path: &str) -> serde_json::Value {
    let answer = get(address, path);
    serde_json::from_slice(&body(&answer)).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer)))
}

/// Asks again until the answer is as wanted.
fn wait_for(what: &str, mut wanted: impl FnMut() -> bool) {
    for _ in 0..200 {
        if wanted() {
            return;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    panic!("not within 10 s: {what}");
}

#[test]
fn who_asks_again_gets_what_changed_since() {
    let agent = Agent::builder("shop").listen("127.0.0.1:0").start().unwrap();
    let address = agent.local_addr().unwrap();
    let orders = agent.counter("shop.orders", &[]);
    let names = |document: &serde_json::Value| {
        let families = document["metrics"].as_array().unwrap();
        families.iter().map(|family| family["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let mut seq = document(address, "/api/v1/snapshot?since=0")["seq"].as_u64().unwrap();
    orders.add(5);
    let mut changed = serde_json::Value::Null;
    wait_for("a document of changes with the orders", || {
        changed = document(address, &format!("/api/v1/snapshot?since={seq}"));
        seq = changed["seq"].as_u64().unwrap();
        !changed["since"].is_null() && names(&changed).contains(&"shop.orders".to_owned())
    });
    let whole = document(address, "/api/v1/snapshot");
    assert!(whole["since"].is_null() && names(&whole).len() > names(&changed).len(), "{changed}");
}

#[test]
fn requests_that_are_open_are_listed_the_oldest_first_with_their_ids() {
    let agent = Agent::builder("shop").listen("127.0.0.1:0").start().unwrap();
    let address = agent.local_addr().unwrap();
    let mut hanging = agent.route("POST", "/orders").start();
    hanging.traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    hanging.request_id("order-7");
    let flood: Vec<_> = (0..3_000).map(|_| agent.route("GET", "/cart").start()).collect();
    let open = document(address, "/api/v1/inflight?limit=2");
    assert_eq!((&open["count"], open["requests"].as_array().unwrap().len()), (&3_001.into(), 2), "{open}");
    let first = &open["requests"][0];
    assert_eq!((&first["method"], &first["route"]), (&"POST".into(), &"/orders".into()), "{open}");
    assert_eq!((&first["request_id"], &open["requests"][1]["request_id"]), (&"order-7".into(), &().into()), "{open}");
    assert_eq!(first["trace_id"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(document(address, "/api/v1/inflight?limit=2")["requests"][0]["key"], first["key"], "it stays");
    assert_ne!(open["requests"][1]["key"], first["key"]);
    assert_eq!(open["unlisted"], 3_001 - 1_024);
    for request in flood {
        request.finish(200);
    }
    assert_eq!(document(address, "/api/v1/inflight")["count"], 1);
    hanging.finish(201);
    let open = document(address, "/api/v1/inflight");
    assert_eq!((&open["count"], &open["unlisted"]), (&0.into(), &0.into()), "{open}");
}

#[test]
fn a_request_with_an_id_stands_for_its_bucket_where_the_scraper_can_read_that() {
    let agent = Agent::builder("shop").listen("127.0.0.1:0").start().unwrap();
    let address = agent.local_addr().unwrap();
    let cart = agent.route("GET", "/cart");
    let mut traced = cart.start();
    traced.traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    traced.request_id("order-7");
    traced.finish(500);
    cart.start().finish(200);
    let page = |accept| String::from_utf8_lossy(&get_as(address, "/metrics", accept)).into_owned();
    let open = page("application/openmetrics-text;version=1.0.0");
    let shown: Vec<&str> = open.lines().filter(|line| line.contains(" # {")).collect();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(shown[0].contains("http_response_status_code=\"500\""), "{}", shown[0]);
    assert!(
        shown[0].contains("# {trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\",request_id=\"order-7\"}"),
        "{}",
        shown[0]
    );
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    assert_eq!(page(protobuf).matches("4bf92f3577b34da6a3ce929d0e0e4736").count(), 1);
    assert!(!page("text/plain").contains("4bf92f35"));
}

#[test]
fn what_a_service_records_shows_in_views_and_history() {
    let agent = Agent::builder("shop").listen("127.0.0.1:0").start().unwrap();
    let address = agent.local_addr().unwrap();
    let cart = agent.route("GET", "/cart");
    (0..20).for_each(|_| cart.start().finish(200));
    cart.start().finish(500);
    agent.queue("email").start("welcome").identified(7, 2).failed("timeout");
    wait_for("21 requests in the window", || document(address, "/api/v1/summary?window=1h")["requests"]["count"] == 21);
    let dashboard = document(address, "/api/performance/dashboard");
    assert_eq!(dashboard["routes"][0]["route"], "/cart");
    let failed = document(address, "/api/v1/jobs/failed");
    assert_eq!((failed["jobs"][0]["id"].as_str(), failed["jobs"][0]["attempts"].as_u64()), (Some("7"), Some(2)));

    let mut decoder = Decoder::new();
    decoder.push(&body(&get(address, "/api/v1/history")));
    decoder.finish();
    let mut requests = 0;
    while let Some(event) = decoder.next_event() {
        let Event::Frame(frame) = event else { continue };
        for (id, value) in &frame.values {
            let is_request = decoder.series(*id).is_some_and(|series| series.name == "http.server.request.duration");
            if let (true, Value::Histogram(histogram)) = (is_request, value) {
                requests += histogram.count;
            }
        }
    }
    assert_eq!(requests, 21);

    agent.reset_views();
    assert_eq!(document(address, "/api/v1/summary")["requests"]["count"], 0);
    assert_eq!(document(address, "/api/v1/summary")["requests"]["total"], 21, "the totals go on");
    agent.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn without_history_there_are_no_windows_and_everything_else_goes_on() {
    let agent = Agent::builder("shop").listen("127.0.0.1:0").history_bytes(0).start().unwrap();
    let address = agent.local_addr().unwrap();
    let answer = document(address, "/api/v1/summary");
    assert_eq!(answer["status"], 501);
    assert_eq!(document(address, "/api/v1/snapshot")["service"], "shop");
}

/// Keeps the fields of every event of the target `heartline::summary`.
#[derive(Clone, Default)]
struct Summaries(Arc<Mutex<Vec<Fields>>>);

#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push((field.name().to_owned(), format!("{value:?}")));
    }
}

impl tracing::Subscriber for Summaries {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "heartline::summary"
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        self.0.lock().expect("no test panics while it holds it").push(fields);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn a_summary_is_logged_at_its_interval_with_figures_as_fields() {
    let summaries = Summaries::default();
    tracing::subscriber::set_global_default(summaries.clone()).unwrap();
    let agent = Agent::builder("shop").without_listener().summary_interval(Duration::from_secs(1)).start().unwrap();
    let cart = agent.route("GET", "/cart");
    let failed = |fields: &Fields| fields.0.iter().any(|(name, value)| name == "request_errors" && value != "0");
    wait_for("a summary with failed requests", || {
        cart.start().finish(500);
        summaries.0.lock().unwrap().iter().any(failed)
    });
    let logged = summaries.0.lock().unwrap();
    let names: Vec<&str> =
        logged.iter().find(|fields| failed(fields)).unwrap().0.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"memory_used_bytes") && names.contains(&"uptime_seconds"), "{names:?}");
    assert!(!names.contains(&"cache_hit_ratio"), "what is not known is left out: {names:?}");
}
