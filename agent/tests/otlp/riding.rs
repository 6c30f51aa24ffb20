//! Metrics of a host's own OpenTelemetry SDK that ride along with the agent's, against receivers that take a request of both, or
//! not. Knows the public APIs and the wire only.

use std::sync::Arc;
use std::time::Duration;

use heartline::integrations::SdkMetricExporter;
use heartline::{Agent, Otlp};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider, Temporality};
use parking_lot::Mutex;

use super::receiver::{Answer, Received, Receiver};
use super::{LIMIT, POINTS, points};

/// Nothing is exported but what is asked for.
const NEVER: Duration = Duration::from_hours(1);
const ORDERS: &str = "host.orders";
const REQUESTS: &str = "http.server.request.duration";

/// A host with metrics of its own beside the agent's.
struct Host {
    agent: Agent,
    provider: SdkMeterProvider,
    told: Told,
}

/// What the newest export came to; a provider that is flushed says no more than that it failed.
type Told = Arc<Mutex<Option<Result<(), String>>>>;

/// The agent's exporter, with what it tells the SDK's reader noted down.
struct Noted(SdkMetricExporter, Told);

impl PushMetricExporter for Noted {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let exported = self.0.export(metrics).await;
        *self.1.lock() = Some(exported.as_ref().copied().map_err(ToString::to_string));
        exported
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.0.temporality()
    }
}

impl Host {
    fn start(otlp: Otlp) -> Self {
        let otlp = otlp.interval(NEVER).timeout(Duration::from_secs(10));
        let agent = Agent::builder("shop").without_listener().otlp(otlp).start().unwrap();
        agent.flush(LIMIT).unwrap(); // the agent's first push comes soon by itself: not any more
        let told = Told::default();
        let exporter = Noted(agent.sdk_metric_exporter().unwrap(), Arc::clone(&told));
        let reader = PeriodicReader::builder(exporter).with_interval(NEVER).build();
        let resource = Resource::builder().with_service_name("host").build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        provider.meter("host").u64_counter(ORDERS).build().add(7, &[]);
        agent.route("GET", "/carts/{id}").start().finish(200);
        Self { agent, provider, told }
    }

    fn export(&self) -> Result<(), String> {
        let flushed = self.provider.force_flush();
        let told = self.told.lock().take().unwrap();
        assert_eq!(flushed.is_ok(), told.is_ok(), "the SDK takes the exporter's word");
        told
    }

    /// How many of the agent's own points were sent in vain for this reason, or none.
    fn own_points(&self, error: Option<&str>) -> f64 {
        let snapshot = self.agent.snapshot();
        assert!(snapshot.family(POINTS).is_some());
        points(&snapshot, error)
    }
}

/// The service of each resource in a request, with how many points it has.
fn resources(request: &Received) -> Vec<(String, usize)> {
    let of = request.decoded().resource_metrics.into_iter().map(|of| {
        let text = format!("{:?}", of.resource);
        let service = if text.contains("\"host\"") { "host" } else { "shop" };
        let metrics: Vec<_> = of.scope_metrics.into_iter().flat_map(|scope| scope.metrics).collect();
        let has = |name: &str| metrics.iter().any(|metric| metric.name == name);
        assert!(has(if service == "host" { ORDERS } else { REQUESTS }), "{metrics:?}");
        (service.to_owned(), metrics.len())
    });
    of.collect()
}

fn services(request: &Received) -> Vec<String> {
    resources(request).into_iter().map(|(service, _)| service).collect()
}

/// A receiver of each protocol that answers so to the first request of both, and a host that exports to it.
fn both(answer: &Answer) -> [(&'static str, Receiver, Host); 2] {
    let [http, grpc] = Receiver::of_two(answer);
    let hosts = [Host::start(Otlp::http(http.url())), Host::start(Otlp::grpc(grpc.url()).gzip(true))];
    let [over_http, over_grpc] = hosts;
    [("http", http, over_http), ("grpc", grpc, over_grpc)]
}

#[test]
fn one_request_has_the_metrics_of_both_each_below_its_own_resource() {
    for (wire, receiver, host) in both(&Answer::Whole) {
        let before = host.own_points(None);
        host.export().unwrap();
        let received = receiver.received();
        assert_eq!(received.len(), 2, "{wire}: the agent's own, and one of both");
        assert_eq!(services(&received[1]), ["host", "shop"], "{wire}");
        assert!(host.own_points(None) > before, "{wire}");
        host.provider.shutdown().unwrap();
        host.agent.shutdown(LIMIT).unwrap();
        let last = receiver.received();
        assert_eq!(services(last.last().unwrap()), ["shop"], "{wire}: the agent goes on alone");
    }
}

#[test]
fn what_may_be_tried_again_is_while_the_reader_waits() {
    for (wire, receiver, host) in both(&Answer::Status(503, None)) {
        host.export().unwrap();
        let received = receiver.received();
        assert_eq!(received.len(), 3, "{wire}");
        assert_eq!(received[1].body, received[2].body, "{wire}: the same request");
        assert_eq!(services(&received[2]), ["host", "shop"], "{wire}");
    }
}

#[test]
fn a_refusal_is_told_to_both_and_later_each_goes_in_a_request_of_its_own() {
    for ((wire, receiver, host), error) in both(&Answer::Status(400, None)).into_iter().zip(["400", "INVALID_ARGUMENT"])
    {
        let told = host.export().unwrap_err();
        assert!(told.contains(error) && told.contains(&receiver.url()), "{wire}: {told}");
        assert!(host.own_points(Some(error)) > 0.0, "{wire}");
        host.export().unwrap();
        let apart: Vec<_> = receiver.received()[2..].iter().map(services).collect();
        assert_eq!(apart, [["host"], ["shop"]], "{wire}");
    }
}

#[test]
fn a_partial_success_is_told_to_both_and_counted_at_most_once_for_each_point() {
    for (wire, receiver, host) in both(&Answer::Partial(3)) {
        let told = host.export().unwrap_err();
        assert!(told.contains("3 of"), "{wire}: {told}");
        assert_eq!(host.own_points(Some("rejected")), 3.0, "{wire}");
        host.export().unwrap();
        let apart: Vec<_> = receiver.received()[2..].iter().map(services).collect();
        assert_eq!(apart, [["host"], ["shop"]], "{wire}: never sent again, and then apart");
        assert_eq!(host.own_points(Some("rejected")), 3.0, "{wire}");
    }
}

#[test]
fn a_remark_of_the_receiver_is_no_failure() {
    for (wire, receiver, host) in both(&Answer::Partial(0)) {
        host.export().unwrap();
        host.export().unwrap();
        let together: Vec<_> = receiver.received()[1..].iter().map(services).collect();
        assert_eq!(together, [["host", "shop"], ["host", "shop"]], "{wire}");
    }
}

#[test]
fn an_export_after_the_agents_end_fails_and_without_a_receiver_there_is_no_exporter() {
    for (wire, _receiver, host) in both(&Answer::Whole) {
        host.agent.shutdown(LIMIT).unwrap();
        let told = host.export().unwrap_err();
        assert!(told.contains("shut down"), "{wire}: {told}");
    }
    let agent = Agent::builder("shop").without_listener().start().unwrap();
    let error = agent.sdk_metric_exporter().unwrap_err().to_string();
    assert!(error.contains("AgentBuilder::otlp"), "{error}");
}
