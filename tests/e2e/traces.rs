//! Traces that cross two reference services, as a real collector passes them on to an independent decoder: whole, named by the
//! conventions, the same that both agents show; and a collector that is away while spans wait. The decoder keeps each span
//! as often as it came, which a store that replaces what it has would hide.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_tests::servers::{Rotel, Span};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;
use reqwest::blocking::Client;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_mins(2);
/// How often the shops push here.
const INTERVAL_MS: u64 = 500;
/// What clocks of two processes may differ by.
const CLOCKS_NS: u64 = 20_000_000;
/// Requests of which an agent keeps the spans for a receiver that is away.
const WAITING_MAX: u64 = 256;

/// A trace that a client began, and its own span.
const CLIENT_TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";

type Headers<'a> = &'a [(&'a str, &'a str)];

/// A shop that pushes its spans.
fn pushing(service: &str, (protocol, url): (&str, &str), arguments: &[&str]) -> Setup {
    let arguments = arguments.iter().map(|argument| (*argument).to_owned());
    let setup = Setup { arguments: arguments.chain(["--otlp".to_owned()]).collect(), ..Setup::default() };
    setup
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .with("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS.to_string())
        .with("OTEL_SERVICE_NAME", service)
        .with("OTEL_RESOURCE_ATTRIBUTES", format!("service.instance.id={service}-1"))
}

/// Two shops, the second of which takes the first one's payments, slowly.
struct Two {
    rotel: Rotel,
    orders: Shop,
    payments: Shop,
    client: Client,
}

/// One order, as the backend and both agents have it.
struct Order {
    spans: Vec<Span>,
    /// The rows of both agents, the first shop's first.
    rows: [Value; 2],
}

impl Two {
    fn start(protocol: &str) -> Result<Self> {
        let rotel = Rotel::start()?;
        let url = if protocol == "grpc" { rotel.grpc() } else { rotel.http() };
        let receiver = (protocol, url.as_str());
        let payments = Shop::start(pushing("payments", receiver, &["--fault", "slow-query"]))?;
        let orders = Shop::start(pushing("orders", receiver, &["--payments", payments.url()]))?;
        let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { rotel, orders, payments, client })
    }

    /// Places an order with these headers, and waits until the backend has as many spans of it as the agents show.
    fn order(&self, user: u32, headers: Headers<'_>) -> Result<Order> {
        let url = format!("{}/users/{user}", self.orders.url());
        let wanted = json!({"product_id": 1, "quantity": 1});
        let put = self.client.post(format!("{url}/cart/items")).json(&wanted).send()?;
        ensure!(put.status() == 201, "putting a product into a cart: {}", put.status());
        let id = format!("order-{user}");
        let mut placing = self.client.post(format!("{url}/orders")).header("x-request-id", &id);
        for (name, value) in headers {
            placing = placing.header(*name, *value);
        }
        let placed = placing.send()?.status();
        ensure!(placed == 201, "placing an order: {placed}; {}", self.payments.report());
        let first = wait_until(LIMIT, "the order among the slow requests", || {
            Ok(slow(&self.orders, "")?.into_iter().find(|row| row["request_id"] == *id))
        })?;
        let trace = first["trace_id"].as_str().context("a slow request has a trace")?.to_owned();
        let second = wait_until(LIMIT, "the payment among the slow requests", || {
            Ok(slow(&self.payments, &format!("&trace_id={trace}"))?.pop())
        })?;
        let expected = rows_of(&first)?.len() + rows_of(&second)?.len();
        let spans = wait_until(LIMIT, "the spans at the collector", || {
            let spans: Vec<Span> = self.rotel.spans()?.into_iter().filter(|span| span.trace_id == trace).collect();
            ensure!(spans.len() >= expected, "{} of {expected} arrived", spans.len());
            Ok(Some(spans))
        })?;
        Ok(Order { spans, rows: [first, second] })
    }
}

fn traces(shop: &Shop, parameters: &str) -> Result<Value> {
    Ok(serde_json::from_str(&shop.agent_page(&format!("/api/v1/traces?limit=64{parameters}"))?)?)
}

fn slow(shop: &Shop, parameters: &str) -> Result<Vec<Value>> {
    Ok(traces(shop, parameters)?["requests"]["slowest"].as_array().context("a list")?.clone())
}

fn rows_of(row: &Value) -> Result<&Vec<Value>> {
    row["spans"].as_array().with_context(|| format!("no spans were kept of {row}"))
}

fn text<'a>(span: &'a Span, key: &str) -> Option<&'a str> {
    span.attributes.get(key)?.as_str()
}

fn instance(span: &Span) -> &str {
    span.resource.get("service.instance.id").and_then(Value::as_str).unwrap_or_default()
}

impl Order {
    fn named(&self, name: &str) -> Result<&Span> {
        let mut found = self.spans.iter().filter(|span| span.name == name);
        let span = found.next().with_context(|| format!("no span is called {name}: {:#?}", self.names()))?;
        ensure!(found.next().is_none(), "several spans are called {name}");
        Ok(span)
    }

    fn names(&self) -> Vec<&str> {
        self.spans.iter().map(|span| span.name.as_str()).collect()
    }

    /// One tree below `parent`, if the client has one: each span once, its parent there, within the time of its parent.
    fn is_whole(&self, parent: Option<&str>) -> Result<()> {
        let by_id: BTreeMap<&str, &Span> = self.spans.iter().map(|span| (span.span_id.as_str(), span)).collect();
        ensure!(by_id.len() == self.spans.len(), "a span came twice: {:#?}", self.names());
        let root = self.named("POST /users/{id}/orders")?;
        ensure!(root.parent_span_id.as_deref() == parent, "{root:?}");
        for span in self.spans.iter().filter(|span| span.span_id != root.span_id) {
            let parent = span.parent_span_id.as_deref().context("a second root")?;
            let parent = by_id.get(parent).with_context(|| format!("{span:?} is an orphan"))?;
            let tolerance = if instance(span) == instance(parent) { 0 } else { CLOCKS_NS };
            let is_within = span.start + tolerance >= parent.start && span.end <= parent.end + tolerance;
            ensure!(span.start <= span.end && is_within, "{span:#?} is outside of {parent:#?}");
        }
        let (taken, asked) = (self.named("POST /payments/charges")?, self.named("POST /charges")?);
        ensure!(taken.parent_span_id.as_ref() == Some(&asked.span_id), "{taken:?} is no part of {asked:?}");
        ensure!((instance(root), instance(asked), instance(taken)) == ("orders-1", "orders-1", "payments-1"));
        ensure!((&*root.kind, &*asked.kind, &*taken.kind) == ("server", "client", "server"));
        let instances: BTreeSet<&str> = self.spans.iter().map(instance).collect();
        ensure!(instances.len() == 2, "{instances:?}");
        Ok(())
    }

    /// What both agents show is what arrived: ids, parents, names.
    fn is_shown(&self) -> Result<()> {
        let arrived = self.spans.iter().map(|span| json!([span.span_id, span.parent_span_id, span.name, span.kind]));
        let shown = self.rows.iter().map(rows_of).collect::<Result<Vec<_>>>()?;
        let shown = shown.into_iter().flatten();
        let shown = shown.map(|row| json!([row["span_id"], row["parent_span_id"], row["name"], row["kind"]]));
        let sorted = |rows: &mut dyn Iterator<Item = Value>| {
            let mut rows: Vec<String> = rows.map(|row| row.to_string()).collect();
            rows.sort();
            rows
        };
        let (arrived, shown) = (sorted(&mut arrived.into_iter()), sorted(&mut shown.into_iter()));
        ensure!(arrived == shown, "{arrived:#?} arrived, and {shown:#?} is shown");
        Ok(())
    }
}

/// Names, kinds and attributes by OpenTelemetry's conventions for HTTP and databases.
fn by_the_conventions(span: &Span) -> Result<()> {
    let has = |key: &str| span.attributes.contains_key(key);
    let of_http = |path: &str| {
        let (method, path) = (text(span, "http.request.method"), text(span, path));
        let named = method.zip(path).map(|(method, path)| format!("{method} {path}"));
        let status = span.attributes.get("http.response.status_code").and_then(Value::as_u64);
        named.as_ref() == Some(&span.name) && status.is_some_and(|status| (200..300).contains(&status))
    };
    let follows = match span.kind.as_str() {
        "server" => of_http("http.route") && text(span, "url.scheme") == Some("http"),
        "client" if has("db.system.name") => {
            text(span, "db.system.name") == Some("sqlite") && text(span, "db.query.summary") == Some(&span.name)
        }
        "client" => of_http("url.template") && text(span, "server.address") == Some("127.0.0.1") && has("server.port"),
        _ => span.kind == "internal" && !has("http.request.method") && !has("db.query.summary"),
    };
    ensure!(follows, "{span:#?} does not follow the conventions");
    ensure!(span.failed == has("error.type"), "{span:#?}");
    ensure!(span.scope == "heartline" && span.schema.starts_with("https://opentelemetry.io/schemas/"), "{span:#?}");
    for key in ["service.name", "service.instance.id", "service.version", "host.name", "telemetry.sdk.name"] {
        ensure!(span.resource.contains_key(key), "the resource has no {key}: {:?}", span.resource);
    }
    Ok(())
}

/// Places an order of each kind, and holds what arrived against what it must be.
fn crosses_whole(protocol: &str) -> Result<()> {
    let two = Two::start(protocol)?;
    let sampled = format!("00-{CLIENT_TRACE}-{CLIENT_SPAN}-01");
    let broken = format!("00-{CLIENT_TRACE}-{}-01", CLIENT_SPAN.to_uppercase());
    let state = ("tracestate", "rojo=00f067aa0ba902b7");
    let kinds: [(Headers<'_>, Option<&str>); 3] = [
        (&[], None),
        (&[("traceparent", &sampled), state], Some(CLIENT_SPAN)),
        (&[("traceparent", &broken), state], None),
    ];
    for (user, (headers, parent)) in (11..).zip(kinds) {
        let order = two.order(user, headers)?;
        let of = || format!("an order with {headers:?}");
        order.is_whole(parent).and_then(|()| order.is_shown()).with_context(of)?;
        order.spans.iter().try_for_each(by_the_conventions).with_context(of)?;
        let is_the_clients = order.spans[0].trace_id == CLIENT_TRACE;
        ensure!(is_the_clients == parent.is_some(), "{}: {}", of(), order.spans[0].trace_id);
        let passed_on = if parent.is_some() { state.1 } else { "" };
        let alike = |span: &Span| span.sampled == parent.is_some() && span.trace_state == passed_on;
        ensure!(order.spans.iter().all(alike), "{}: {:#?}", of(), order.spans);
        println!("over {protocol}: {} spans: {:?}", order.spans.len(), order.names());
    }
    Ok(())
}

#[test]
fn over_http_a_trace_of_two_services_arrives_whole() -> Result<()> {
    crosses_whole("http/protobuf")
}

#[test]
fn over_grpc_a_trace_of_two_services_arrives_whole() -> Result<()> {
    crosses_whole("grpc")
}

/// What an agent counts of requests whose spans it kept.
#[derive(Debug, Clone, Copy)]
struct Counted {
    kept: u64,
    exported: u64,
    lost: u64,
}

fn counted(shop: &Shop) -> Result<Counted> {
    let document = traces(shop, "&spans=none")?;
    let number = |value: &Value| value.as_u64().with_context(|| format!("no number in {document}"));
    let spans = &document["spans"];
    let without = number(&spans["unkept"])? + number(&spans["requests_without_spans"])?;
    Ok(Counted {
        kept: number(&document["requests"]["count"])? - without,
        exported: number(&spans["exported"])?,
        lost: number(&spans["not_exported"])?,
    })
}

/// Waits until nothing waits any more, and the backend has each request that is counted as exported, once.
fn settled(shop: &Shop, rotel: &Rotel) -> Result<Counted> {
    wait_until(LIMIT, "all spans to be exported or lost", || {
        let counted = counted(shop)?;
        ensure!(counted.exported + counted.lost == counted.kept, "{counted:?}");
        let spans = rotel.spans()?;
        let ids: BTreeSet<(&str, &str)> = spans.iter().map(|span| (&*span.trace_id, &*span.span_id)).collect();
        let roots = spans.iter().filter(|span| span.kind == "server").count() as u64;
        ensure!(roots == counted.exported && ids.len() == spans.len(), "{roots} arrived, {counted:?}");
        Ok(Some(counted))
    })
}

fn ask(shop: &Shop, times: u64) -> Result<()> {
    (0..times).try_for_each(|_| {
        let (status, _) = shop.get("/products/1")?;
        ensure!(status == 200, "{status}");
        Ok(())
    })
}

#[test]
fn while_the_collector_is_away_the_newest_spans_wait_none_arrives_twice_and_lost_ones_are_counted() -> Result<()> {
    let mut rotel = Rotel::start()?;
    let shop = Shop::start(pushing("orders", ("grpc", &rotel.grpc()), &["--slow-request", "0"]))?;
    ask(&shop, 20)?;
    let before = settled(&shop, &rotel)?;
    ensure!((before.exported, before.lost) == (20, 0), "{before:?}");
    rotel.kill();
    ask(&shop, 100)?;
    let waiting = counted(&shop)?;
    ensure!((waiting.kept, waiting.exported, waiting.lost) == (120, 20, 0), "{waiting:?}");
    rotel.bring_back()?;
    let back = settled(&shop, &rotel)?;
    ensure!((back.exported, back.lost) == (120, 0), "{back:?}");
    rotel.kill();
    let more = 2 * WAITING_MAX;
    ask(&shop, more)?;
    let lost = counted(&shop)?.lost;
    // beside those that wait, one request to the receiver holds some
    ensure!((1..=more - WAITING_MAX).contains(&lost), "{lost} were lost");
    rotel.bring_back()?;
    let end = settled(&shop, &rotel)?;
    ensure!((end.kept, end.lost) == (120 + more, lost), "{end:?}");
    let newest = slow(&shop, "")?.into_iter().max_by_key(|row| row["ended_at_ms"].as_u64()).context("a request")?;
    let arrived = rotel.spans()?.iter().any(|span| newest["span_id"] == *span.span_id);
    ensure!(arrived, "the newest of those that are shown did not arrive");
    println!("collector away: {before:?}, {waiting:?}, {back:?}, {end:?}");
    Ok(())
}
