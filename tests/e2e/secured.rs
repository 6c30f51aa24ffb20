//! Metrics pushed by TLS to a real server with certificates of a test's own authority: they arrive where both sides trust each
//! other, and nothing does where one of them does not.

use std::time::Duration;

use anyhow::{Result, ensure};
use heartline::{Agent, Otlp, Snapshot};
use heartline_tests::servers::{Certificates, Nginx, Rotel};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;

const LIMIT: Duration = Duration::from_mins(1);
const REQUESTS: &str = "http.server.request.duration";
const TOOK: &str = "otel.sdk.exporter.operation.duration";
/// Of a push that must fail.
const SOON: Duration = Duration::from_secs(3);

/// A collector behind a server that ends TLS and wants to see a certificate.
struct Secured {
    rotel: Rotel,
    nginx: Nginx,
    certificates: Certificates,
}

impl Secured {
    fn start() -> Result<Self> {
        let (rotel, certificates) = (Rotel::start()?, Certificates::make()?);
        let address = |url: String| url.trim_start_matches("http://").to_owned();
        let nginx = Nginx::secure(&certificates, &address(rotel.http()), &address(rotel.grpc()))?;
        Ok(Self { rotel, nginx, certificates })
    }

    /// Whether requests of this service reached the collector.
    fn has(&self, service: &str) -> Result<bool> {
        let of = |resource: Option<&serde_json::Value>| resource.is_some_and(|name| name.as_str() == Some(service));
        Ok(self.rotel.points()?.iter().any(|it| it.name == REQUESTS && of(it.resource.get("service.name"))))
    }
}

fn agent(service: &str, otlp: Otlp) -> Result<Agent> {
    let agent = Agent::builder(service).without_listener().otlp(otlp.interval(Duration::from_hours(1))).start()?;
    agent.route("GET", "/carts/{id}").start().finish(200);
    Ok(agent)
}

/// Pushes that failed, by what is said of them.
fn failures(snapshot: &Snapshot) -> Vec<String> {
    let series = snapshot.family(TOOK).map(|family| family.histograms.as_slice()).unwrap_or_default();
    series.iter().filter_map(|series| Some(series.labels.value("error.type")?.to_owned())).collect()
}

#[test]
fn metrics_arrive_by_tls_over_both_protocols_where_both_sides_trust_each_other() -> Result<()> {
    let secured = Secured::start()?;
    let (certificate, key) = secured.certificates.client();
    for (service, otlp) in
        [("over-http", Otlp::http(secured.nginx.http())), ("over-grpc", Otlp::grpc(secured.nginx.grpc()).gzip(true))]
    {
        let otlp = otlp.certificate_authority(secured.certificates.authority()).client_certificate(&certificate, &key);
        let agent = agent(service, otlp)?;
        agent.flush(LIMIT)?;
        wait_until(LIMIT, "its metrics", || Ok(secured.has(service)?.then_some(())))?;
        let failed = failures(&agent.snapshot());
        ensure!(failed.is_empty(), "{service}: {failed:?}");
    }
    Ok(())
}

#[test]
fn nothing_arrives_where_one_side_does_not_trust_the_other() -> Result<()> {
    let secured = Secured::start()?;
    let (certificate, key) = secured.certificates.client();
    let authority = secured.certificates.authority();
    let urls = [Otlp::http(secured.nginx.http()), Otlp::grpc(secured.nginx.grpc())];
    for (otlp, wire) in urls.into_iter().zip(["http", "grpc"]) {
        let strangers = [
            ("authority-unknown", otlp.clone().client_certificate(&certificate, &key)),
            ("nothing-shown", otlp.clone().certificate_authority(&authority)),
        ];
        for (case, otlp) in strangers {
            let service = format!("{case}-{wire}");
            let agent = agent(&service, otlp)?;
            let Err(told) = agent.flush(SOON) else { anyhow::bail!("{service}: the push arrived") };
            ensure!(told.to_string().contains("localhost"), "{service}: {told}");
            let failed = failures(&agent.snapshot());
            ensure!(!failed.is_empty(), "{service}: no failure is shown");
            ensure!(!secured.has(&service)?, "{service}: its metrics arrived");
        }
    }
    Ok(())
}

#[test]
fn the_variables_of_the_environment_name_the_certificates() -> Result<()> {
    let secured = Secured::start()?;
    let (certificate, key) = secured.certificates.client();
    let setup = Setup { arguments: vec!["--otlp".to_owned()], ..Setup::default() }
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", secured.nginx.grpc())
        .with("OTEL_EXPORTER_OTLP_CERTIFICATE", secured.certificates.authority().display().to_string())
        .with("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.display().to_string())
        .with("OTEL_EXPORTER_OTLP_CLIENT_KEY", key.display().to_string())
        .with("OTEL_METRIC_EXPORT_INTERVAL", "500")
        .with("OTEL_SERVICE_NAME", "by-variables");
    let shop = Shop::start(setup)?;
    shop.get("/healthz")?;
    wait_until(LIMIT, "its metrics", || Ok(secured.has("by-variables")?.then_some(())))
}
