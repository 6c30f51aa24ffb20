//! Kept spans on their way to a receiver: what arrives is what the agent shows, and each answer has its consequence.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use serde_json::Value;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// An agent to which every request is slow, and whose spans go to `otlp`.
fn keeping(otlp: Otlp) -> Agent {
    let builder = Agent::builder("shop").instance_id("shop-1").listen("127.0.0.1:0").slow_request(Duration::ZERO);
    builder.otlp_spans(otlp.interval(OFTEN)).start().unwrap()
}

fn serve(agent: &Agent) {
    let subscriber = tracing_subscriber::registry().with(heartline::trace::layer());
    tracing::dispatcher::with_default(&Dispatch::new(subscriber), || {
        let mut guard = agent.route("GET", "/carts/{id}").start();
        guard.traceparent(REMOTE.as_bytes());
        guard.tracestate(b"rojo=1");
        guard.spending(|| {
            tracing::info_span!("load", otel.kind = "client", job.number = 7, job.ratio = 0.5, job.late = true)
                .in_scope(|| {
                    agent.query("sqlite", "SELECT carts").start().failed("locked");
                    tracing::error!(error.type = "locked", "in vain");
                });
        });
        guard.finish(500);
    });
}

/// A page of the agent.
pub(super) fn page(agent: &Agent, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(agent.local_addr().unwrap()).unwrap();
    let head = format!("host: localhost\r\naccept: {accept}\r\nconnection: close");
    write!(stream, "GET {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

pub(super) fn get(agent: &Agent, path: &str) -> Value {
    serde_json::from_str(&page(agent, path, "application/json")).unwrap()
}

/// The document of slow requests.
fn shown(agent: &Agent) -> Value {
    get(agent, "/api/v1/traces")
}

fn resources(received: &Received) -> Vec<ResourceSpans> {
    ExportTraceServiceRequest::decode(&*received.body).unwrap().resource_spans
}

pub(super) fn spans(received: &Received) -> Vec<Span> {
    resources(received).remove(0).scope_spans.remove(0).spans
}

fn attribute(span: &Span, key: &str) -> Option<Said> {
    span.attributes.iter().find(|attribute| attribute.key == key)?.value.clone()?.value
}

pub(super) fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}

#[test]
fn what_is_shown_is_what_arrives_by_both_protocols() {
    for (wire, receiver, otlp) in both(&Answer::Whole) {
        let agent = keeping(otlp.header("tenant", "7").gzip(true).attribute("cloud.region", "eu"));
        serve(&agent);
        let received = wait_for("spans", || receiver.received().first().cloned());
        assert!(received.was_compressed && received.header("tenant").as_deref() == Some("7"), "{wire}");
        let row = &shown(&agent)["requests"]["slowest"][0];
        let rows = row["spans"].as_array().unwrap();
        let spans = spans(&received);
        assert_eq!((spans.len(), rows.len()), (3, 3), "{wire}");
        for (span, row) in spans.iter().zip(rows) {
            assert_eq!(hex(&span.trace_id), "4bf92f3577b34da6a3ce929d0e0e4736");
            assert_eq!(
                (hex(&span.span_id), hex(&span.parent_span_id)),
                (row["span_id"].as_str().unwrap().to_owned(), row["parent_span_id"].as_str().unwrap().to_owned())
            );
            assert_eq!((span.name.as_str(), span.trace_state.as_str()), (row["name"].as_str().unwrap(), "rojo=1"));
            let seconds = (span.end_time_unix_nano - span.start_time_unix_nano) as f64 / 1e9;
            assert!((seconds - row["duration_seconds"].as_f64().unwrap()).abs() < 1e-9);
            assert_eq!(span.start_time_unix_nano / 1_000_000, row["started_at_ms"].as_u64().unwrap());
        }
        assert_eq!(
            spans.iter().map(Span::kind).collect::<Vec<_>>(),
            [SpanKind::Server, SpanKind::Client, SpanKind::Client]
        );
        assert_eq!(spans.iter().map(|span| span.status.is_some()).collect::<Vec<_>>(), [true, false, true]);
        assert_eq!(attribute(&spans[0], "http.response.status_code"), Some(Said::IntValue(500)));
        assert_eq!(attribute(&spans[1], "job.ratio"), Some(Said::DoubleValue(0.5)));
        assert_eq!(attribute(&spans[1], "job.late"), Some(Said::BoolValue(true)));
        assert_eq!(attribute(&spans[2], "db.query.summary"), Some(Said::StringValue("SELECT carts".to_owned())));
        assert_eq!((spans[1].events.len(), spans[1].events[0].name.as_str()), (1, "in vain"));
        let resource = resources(&received).remove(0).resource.unwrap();
        let keys: Vec<&str> = resource.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
        assert!(
            ["service.name", "service.instance.id", "cloud.region", "host.arch"].iter().all(|key| keys.contains(key))
        );
        wait_for("the count", || (shown(&agent)["spans"]["exported"] == 1).then_some(()));
        agent.shutdown(Duration::from_secs(5)).unwrap();
        assert_eq!(receiver.received().len(), 1, "nothing is sent twice");
    }
}

#[test]
fn spans_that_may_be_tried_again_are_sent_again_as_they_were() {
    for answer in [Answer::Status(429, Some(1)), Answer::Status(503, None), Answer::Hang, Answer::Reset] {
        for (wire, receiver, otlp) in both(&answer) {
            let agent = keeping(otlp);
            serve(&agent);
            let [first, second] = two(&receiver);
            assert_eq!(first.body, second.body, "{wire} {answer:?}");
            wait_for("the count", || (shown(&agent)["spans"]["exported"] == 1).then_some(()));
            assert_eq!(shown(&agent)["spans"]["not_exported"], 0, "{wire} {answer:?}");
        }
    }
}

#[test]
fn spans_that_are_refused_are_counted_and_later_ones_go_on() {
    for answer in [Answer::Status(400, None), Answer::Status(413, None), Answer::Redirect] {
        for (wire, receiver, otlp) in both(&answer) {
            let agent = keeping(otlp);
            serve(&agent);
            wait_for("the loss", || (shown(&agent)["spans"]["not_exported"] == 1).then_some(()));
            serve(&agent);
            let [_, second] = two(&receiver);
            assert_eq!(spans(&second).len(), 3, "{wire} {answer:?}");
            wait_for("the count", || (shown(&agent)["spans"]["exported"] == 1).then_some(()));
        }
    }
}

#[test]
fn a_partial_success_of_spans_is_not_tried_again_and_as_many_requests_may_not_be_whole() {
    for (wire, receiver, otlp) in both(&Answer::Partial(2)) {
        let agent = keeping(otlp);
        serve(&agent);
        wait_for("the count", || (shown(&agent)["spans"]["not_exported"] == 1).then_some(()));
        assert_eq!(shown(&agent)["spans"]["exported"], 0, "{wire}");
        agent.shutdown(Duration::from_secs(5)).unwrap();
        assert_eq!(receiver.received().len(), 1, "{wire}");
    }
}

#[test]
fn spans_that_wait_at_the_end_are_pushed_before_the_agent_stops_or_said_to_be_lost() {
    for (wire, receiver, otlp) in both(&Answer::Whole) {
        let agent = keeping(otlp.clone());
        (0..200).for_each(|_| serve(&agent));
        agent.shutdown(Duration::from_secs(20)).unwrap();
        let sent: usize = receiver.received().iter().map(|received| spans(received).len()).sum();
        assert_eq!(sent, 600, "{wire}");
    }
    let agent = keeping(Otlp::http("http://127.0.0.1:1"));
    serve(&agent);
    let error = agent.shutdown(GIVEN).unwrap_err();
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
}
