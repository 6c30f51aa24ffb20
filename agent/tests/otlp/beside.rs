//! The agent's layer beside that of tracing-opentelemetry with a tracer of the SDK: one trace, the same ids, and each span
//! exported once, whichever of the two is added first.

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{InMemorySpanExporter, Sampler, SdkTracerProvider, SpanData};
use serde_json::Value;
use tracing::{Dispatch, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::layer::SubscriberExt as _;

use super::spans::{get, hex, page, spans};
use super::*;

const REMOTE_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const REMOTE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A host with a tracer of its own, and an agent to which every request is slow.
struct Host {
    dispatch: Dispatch,
    exporter: InMemorySpanExporter,
    receiver: Receiver,
    agent: Agent,
    provider: SdkTracerProvider,
}

#[derive(Debug, Clone, Copy)]
enum First {
    Agents,
    Hosts,
}

/// What was exported, by whomever.
#[derive(Debug, PartialEq)]
struct Exported {
    trace: String,
    id: String,
    parent: Option<String>,
    name: String,
}

impl Host {
    fn new(first: First, sampler: Sampler) -> Self {
        let exporter = InMemorySpanExporter::default();
        let provider =
            SdkTracerProvider::builder().with_simple_exporter(exporter.clone()).with_sampler(sampler).build();
        let (ours, theirs) = (heartline::trace::layer(), tracing_opentelemetry::layer());
        let dispatch = match first {
            First::Agents => Dispatch::new(
                tracing_subscriber::registry().with(ours).with(theirs.with_tracer(provider.tracer("host"))),
            ),
            First::Hosts => Dispatch::new(
                tracing_subscriber::registry()
                    .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("host")))
                    .with(heartline::trace::layer()),
            ),
        };
        let receiver = Receiver::http(Answer::Whole);
        let builder = Agent::builder("shop").listen("127.0.0.1:0").slow_request(Duration::ZERO);
        let agent = builder.otlp_spans(Otlp::http(receiver.url()).interval(OFTEN)).start().unwrap();
        Self { dispatch, exporter, receiver, agent, provider }
    }

    fn both(sampler: &Sampler) -> [Self; 2] {
        [First::Agents, First::Hosts].map(|first| Self::new(first, sampler.clone()))
    }

    /// Serves a request, and gives the row that the agent shows of it.
    fn serve(&self, came_with: Option<&str>, work: impl FnOnce(&Agent)) -> Value {
        tracing::dispatcher::with_default(&self.dispatch, || {
            let mut guard = self.agent.route("POST", "/orders").start();
            if let Some(header) = came_with {
                guard.traceparent(header.as_bytes());
                guard.tracestate(b"rojo=1");
            }
            guard.spending(|| work(&self.agent));
            guard.finish(200);
        });
        let mut rows = get(&self.agent, "/api/v1/traces");
        rows["requests"]["slowest"].as_array_mut().unwrap().pop().unwrap()
    }

    /// What the host's own exporter got.
    fn own(&self) -> Vec<SpanData> {
        self.exporter.get_finished_spans().unwrap()
    }

    fn own_named(&self, name: &str) -> SpanData {
        self.own().into_iter().find(|span| span.name == name).unwrap_or_else(|| panic!("{name} in {:?}", self.own()))
    }

    fn pushed(&self) -> Vec<Span> {
        wait_for("spans", || self.receiver.received().first().map(spans))
    }

    /// All that arrives at a backend that both export to.
    fn exported(&self) -> Vec<Exported> {
        let own = self.own().into_iter().map(|span| Exported {
            trace: span.span_context.trace_id().to_string(),
            id: span.span_context.span_id().to_string(),
            parent: Some(span.parent_span_id.to_string()).filter(|id| id.bytes().any(|digit| digit != b'0')),
            name: span.name.into_owned(),
        });
        let pushed = self.pushed().into_iter().map(|span| Exported {
            trace: hex(&span.trace_id),
            id: hex(&span.span_id),
            parent: Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty()),
            name: span.name,
        });
        own.chain(pushed).collect()
    }
}

/// Each span once, of one trace, in one tree below `root`.
fn assert_whole(exported: &[Exported], root: Option<&str>) {
    let count = |id: &str| exported.iter().filter(|span| span.id == id).count();
    assert!(exported.iter().all(|span| count(&span.id) == 1 && span.trace == exported[0].trace), "{exported:#?}");
    let above = exported.iter().filter(|span| span.parent.as_deref().is_none_or(|parent| count(parent) == 0));
    let above: Vec<Option<&str>> = above.map(|span| span.parent.as_deref()).collect();
    assert_eq!(above, [root], "{exported:#?}");
}

fn named<'a>(row: &'a Value, name: &str) -> &'a Value {
    row["spans"].as_array().unwrap().iter().find(|span| span["name"] == name).unwrap_or_else(|| panic!("{name}: {row}"))
}

fn id(span: &SpanData) -> Value {
    span.span_context.span_id().to_string().into()
}

fn trace(span: &SpanData) -> Value {
    span.span_context.trace_id().to_string().into()
}

/// A span in a span, and a query in both.
fn load(agent: &Agent) {
    info_span!("load").in_scope(|| {
        agent.query("sqlite", "SELECT carts").start().ok(1);
        info_span!("price").in_scope(|| agent.query("sqlite", "SELECT prices").start().ok(1));
    });
}

/// The host's own way of reading headers: a span whose parent is what came.
fn server_span(header: Option<&str>) -> tracing::Span {
    let headers = header.into_iter().map(|value| ("traceparent".to_owned(), value.to_owned()));
    let span = info_span!("server", otel.kind = "server");
    span.set_parent(TraceContextPropagator::new().extract(&headers.collect::<std::collections::HashMap<_, _>>()))
        .unwrap();
    span
}

#[test]
fn spans_have_the_same_ids_here_and_there_and_each_is_exported_once() {
    for host in Host::both(&Sampler::AlwaysOn) {
        let row = host.serve(None, load);
        let [own_load, own_price] = ["load", "price"].map(|name| host.own_named(name));
        assert_eq!(row["trace_id"], trace(&own_load));
        assert_eq!(
            (&named(&row, "load")["span_id"], &named(&row, "price")["span_id"]),
            (&id(&own_load), &id(&own_price))
        );
        assert_eq!(named(&row, "price")["parent_span_id"], id(&own_load));
        let pushed = host.pushed();
        let names: Vec<&str> = pushed.iter().map(|span| span.name.as_str()).collect();
        assert_eq!(names, ["POST /orders", "SELECT carts", "SELECT prices"], "what the host does not export");
        assert_eq!(hex(&pushed[2].parent_span_id), own_price.span_context.span_id().to_string());
        assert!(pushed.iter().all(|span| span.flags & 1 == 1));
        assert_whole(&host.exported(), None);
    }
}

#[test]
fn what_the_host_does_not_sample_is_pushed_when_it_is_slow_with_the_hosts_ids() {
    for host in Host::both(&Sampler::AlwaysOff) {
        let mut seen = String::new();
        let row = host.serve(None, |agent| {
            info_span!("seen").in_scope(|| {
                load(agent);
                seen = tracing::Span::current().context().span().span_context().span_id().to_string();
                let mut headers = http::HeaderMap::new();
                assert!(heartline::trace::inject(&mut headers));
                let traceparent = headers["traceparent"].to_str().unwrap();
                assert!(traceparent.ends_with(&format!("-{seen}-00")), "{traceparent}");
            });
        });
        assert_eq!(named(&row, "seen")["span_id"], *seen);
        assert!(host.own().is_empty());
        assert_eq!(host.pushed().len(), 6);
        assert_whole(&host.exported(), None);
    }
}

#[test]
fn a_request_in_a_span_of_the_host_is_part_of_its_trace_however_the_host_read_the_headers() {
    for (read, came_with) in [(Some(REMOTE), Some(REMOTE)), (None, Some(REMOTE)), (Some(REMOTE), None), (None, None)] {
        for host in Host::both(&Sampler::AlwaysOn) {
            let row = tracing::dispatcher::with_default(&host.dispatch, || {
                server_span(read).in_scope(|| host.serve(came_with, load))
            });
            let server = host.own_named("server");
            assert_eq!((&row["trace_id"], &row["parent_span_id"]), (&trace(&server), &id(&server)));
            assert_eq!(row["trace_id"] == REMOTE_TRACE, read.is_some());
            assert_eq!(named(&row, "load")["span_id"], id(&host.own_named("load")));
            assert_whole(&host.exported(), read.map(|_| "00f067aa0ba902b7"));
            // a state belongs to the trace that it came with
            let state = if read.is_some() && came_with.is_some() { "rojo=1" } else { "" };
            assert!(host.pushed().iter().all(|span| span.trace_state == state), "{read:?} {came_with:?}");
        }
    }
}

#[test]
fn a_request_that_the_host_reads_in_a_span_within_it_is_in_the_trace_that_the_host_chose() {
    for (came_with, read, parent) in
        [(REMOTE, REMOTE, Some("00f067aa0ba902b7")), (OTHER, REMOTE, Some("00f067aa0ba902b7"))]
    {
        for host in Host::both(&Sampler::AlwaysOn) {
            let mut open = Value::Null;
            let row = host.serve(Some(came_with), |agent| {
                server_span(Some(read)).in_scope(|| {
                    load(agent);
                    open = get(agent, "/api/v1/inflight");
                });
            });
            assert_eq!((&row["trace_id"], &open["requests"][0]["trace_id"]), (&REMOTE_TRACE.into(), &row["trace_id"]));
            assert_eq!(named(&row, "server")["span_id"], id(&host.own_named("server")));
            assert_whole(&host.exported(), parent);
        }
    }
}

#[test]
fn a_span_that_the_host_puts_into_another_trace_than_the_request_keeps_an_id_of_the_agents() {
    for host in Host::both(&Sampler::AlwaysOn) {
        let row = host.serve(None, |agent| {
            load(agent);
            server_span(Some(OTHER)).in_scope(|| agent.query("sqlite", "SELECT others").start().ok(1));
        });
        assert_eq!(row["trace_id"], trace(&host.own_named("load")));
        assert_ne!(named(&row, "server")["span_id"], id(&host.own_named("server")));
        assert_eq!(named(&row, "SELECT others")["parent_span_id"], named(&row, "server")["span_id"]);
        let of_the_request = |span: &Exported| row["trace_id"] == *span.trace;
        assert_whole(&host.exported().into_iter().filter(of_the_request).collect::<Vec<_>>(), None);
    }
}

#[test]
fn a_context_that_is_attached_without_a_span_is_joined_like_a_header() {
    let host = Host::new(First::Agents, Sampler::AlwaysOn);
    let headers = std::collections::HashMap::from([("traceparent".to_owned(), REMOTE.to_owned())]);
    let attached = TraceContextPropagator::new().extract(&headers).attach();
    let row = host.serve(None, load);
    drop(attached);
    assert_eq!((&row["trace_id"], &row["parent_span_id"]), (&REMOTE_TRACE.into(), &"00f067aa0ba902b7".into()));
    assert_whole(&host.exported(), Some("00f067aa0ba902b7"));
}

#[test]
fn outgoing_requests_name_a_span_that_the_backend_will_have() {
    for host in Host::both(&Sampler::AlwaysOn) {
        let (mut within, mut call, mut outside) = (String::new(), String::new(), String::new());
        let carried = |inject: &dyn Fn(&mut http::HeaderMap) -> bool| {
            let mut headers = http::HeaderMap::new();
            assert!(inject(&mut headers));
            headers["traceparent"].to_str().unwrap().to_owned()
        };
        host.serve(None, |_| {
            info_span!("ask").in_scope(|| {
                within = carried(&heartline::trace::inject);
                let outbound = heartline::trace::outbound("POST /charges");
                call = carried(&|headers| outbound.inject(headers));
                outbound.finish(200);
            });
            outside = carried(&heartline::trace::inject);
        });
        let ask = host.own_named("ask").span_context;
        let expected = format!("00-{}-{}-01", ask.trace_id(), ask.span_id());
        assert_eq!([&within, &call, &outside], [&expected; 3]);
    }
}

#[test]
fn spans_that_are_never_entered_and_parents_that_are_named_have_the_hosts_ids() {
    let host = Host::new(First::Agents, Sampler::AlwaysOn);
    let row = host.serve(None, |_| {
        let outer = info_span!("outer");
        info_span!(parent: &outer, "inner").in_scope(|| drop(info_span!("never entered")));
    });
    for name in ["outer", "inner", "never entered"] {
        assert_eq!(named(&row, name)["span_id"], id(&host.own_named(name)), "{name}");
    }
    assert_eq!(named(&row, "inner")["parent_span_id"], id(&host.own_named("outer")));
}

#[test]
fn a_host_that_does_not_activate_contexts_has_the_same_ids_too() {
    let host = Host::new(First::Agents, Sampler::AlwaysOn);
    let tracer = host.provider.tracer("host");
    let theirs = tracing_opentelemetry::layer().with_tracer(tracer).with_context_activation(false);
    let subscriber = tracing_subscriber::registry().with(heartline::trace::layer()).with(theirs);
    let host = Host { dispatch: Dispatch::new(subscriber), ..host };
    let row = host.serve(None, |agent| server_span(Some(REMOTE)).in_scope(|| load(agent)));
    assert_eq!(row["trace_id"], REMOTE_TRACE);
    for name in ["server", "load", "price"] {
        assert_eq!(named(&row, name)["span_id"], id(&host.own_named(name)), "{name}");
    }
    assert_whole(&host.exported(), Some("00f067aa0ba902b7"));
}

#[test]
fn an_exemplar_of_a_fast_request_names_the_trace_that_the_host_samples() {
    for (sampler, is_named) in [(Sampler::AlwaysOn, true), (Sampler::AlwaysOff, false)] {
        let host = Host::new(First::Hosts, sampler);
        let agent = Agent::builder("fast").listen("127.0.0.1:0").slow_request(Duration::from_hours(1)).start().unwrap();
        let mut seen = String::new();
        tracing::dispatcher::with_default(&host.dispatch, || {
            let mut guard = agent.route("GET", "/carts").start();
            guard.spending(|| {
                info_span!("load").in_scope(|| {
                    seen = tracing::Span::current().context().span().span_context().trace_id().to_string();
                });
            });
            guard.finish(200);
        });
        let page = page(&agent, "/metrics", "application/openmetrics-text");
        assert_eq!(page.contains(&format!("trace_id=\"{seen}\"")), is_named, "{page}");
    }
}

#[test]
fn a_layer_of_theirs_without_a_tracer_changes_nothing() {
    let subscriber =
        tracing_subscriber::registry().with(heartline::trace::layer()).with(tracing_opentelemetry::layer());
    let host = Host { dispatch: Dispatch::new(subscriber), ..Host::new(First::Agents, Sampler::AlwaysOn) };
    let row = host.serve(Some(REMOTE), load);
    assert_eq!((&row["trace_id"], &row["parent_span_id"]), (&REMOTE_TRACE.into(), &"00f067aa0ba902b7".into()));
    assert!(host.own().is_empty());
    assert_eq!(host.pushed().len(), 5);
    assert_whole(&host.exported(), Some("00f067aa0ba902b7"));
}

#[test]
fn an_agent_that_is_to_push_no_spans_pushes_none() {
    let receiver = Receiver::http(Answer::Whole);
    let otlp = Otlp::http(receiver.url()).interval(OFTEN);
    let builder = Agent::builder("shop").listen("127.0.0.1:0").slow_request(Duration::ZERO);
    let agent = builder.otlp(otlp).without_otlp_spans().start().unwrap();
    agent.route("GET", "/carts").start().finish(200);
    wait_for("metrics", || receiver.received().first().cloned());
    assert!(get(&agent, "/api/v1/traces")["spans"]["exported"].is_null());
}
