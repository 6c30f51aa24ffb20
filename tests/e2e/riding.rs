//! A host that has metrics of its own in the OpenTelemetry SDK, exported with the agent's to a real collector: both are there,
//! each as its own service's.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline::{Agent, Otlp};
use heartline_tests::servers::{Point, Rotel};
use heartline_tests::waiting::wait_until;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};

const LIMIT: Duration = Duration::from_mins(1);
/// Nothing is exported but what is asked for.
const NEVER: Duration = Duration::from_hours(1);

#[test]
fn metrics_of_the_sdk_and_of_the_agent_arrive_together_over_both_protocols() -> Result<()> {
    let rotel = Rotel::start()?;
    for (wire, otlp) in [("http", Otlp::http(rotel.http())), ("grpc", Otlp::grpc(rotel.grpc()).gzip(true))] {
        let service = format!("shop-{wire}");
        let agent = Agent::builder(&*service).without_listener().otlp(otlp.interval(NEVER)).start()?;
        agent.flush(LIMIT)?; // its first push is over, and the next is due in an hour
        let reader = PeriodicReader::builder(agent.sdk_metric_exporter()?).with_interval(NEVER).build();
        let resource = Resource::builder().with_service_name(format!("host-{wire}")).build();
        let provider = SdkMeterProvider::builder().with_reader(reader).with_resource(resource).build();
        let meter = provider.meter("host");
        meter.u64_counter("host.orders").build().add(7, &[]);
        meter.f64_histogram("host.parse.duration").with_unit("s").build().record(0.25, &[]);
        agent.route("GET", "/carts/{id}").start().finish(200);
        provider.force_flush().with_context(|| format!("the export over {wire}"))?;
        let find = |points: &[Point], name: &str, service: &str| {
            let is_of = |point: &&Point| {
                point.name == name && point.resource.get("service.name").is_some_and(|of| of.as_str() == Some(service))
            };
            points.iter().find(is_of).cloned()
        };
        let (orders, parsed, requests) = wait_until(LIMIT, "the metrics of both", || {
            let points = rotel.points()?;
            let theirs = format!("host-{wire}");
            let found = || {
                let orders = find(&points, "host.orders", &theirs)?;
                let parsed = find(&points, "host.parse.duration", &theirs)?;
                let requests = find(&points, "http.server.request.duration", &service)?;
                Some((orders, parsed, requests))
            };
            Ok(found())
        })?;
        ensure!((orders.value, orders.monotonic, orders.temporality) == (Some(7.0), true, 2), "{wire}: {orders:?}");
        ensure!((parsed.count, parsed.sum) == (Some(1), Some(0.25)), "{wire}: {parsed:?}");
        ensure!(requests.count == Some(1), "{wire}: {requests:?}");
        provider.shutdown()?;
        agent.shutdown(LIMIT)?;
    }
    Ok(())
}
