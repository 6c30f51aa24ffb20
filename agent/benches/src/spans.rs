//! A request with four spans and a warning, seen by each layer that a service may choose from; what is measured of it is not
//! known here.

use std::time::Duration;

use heartline::{Agent, Route};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider, Span, SpanData, SpanProcessor};
use tracing::subscriber::NoSubscriber;
use tracing::{Dispatch, info_span, warn};
use tracing_subscriber::layer::SubscriberExt as _;

/// The ways: nothing, then what every layer needs, then ours without and with a layer, then OpenTelemetry's.
pub const ALL: [&str; 6] = [
    "no subscriber",
    "registry only",
    "heartline's request, registry only",
    "heartline's request and layer",
    "tracing-opentelemetry, AlwaysOff",
    "tracing-opentelemetry, AlwaysOn",
];
/// Spans of one request.
pub const SPANS: u64 = 4;

/// Takes spans and keeps none.
#[derive(Debug)]
struct Drops;

impl SpanProcessor for Drops {
    fn on_start(&self, _: &mut Span, _: &opentelemetry::Context) {}

    fn on_end(&self, span: SpanData) {
        std::hint::black_box(&span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// What runs requests in one of the ways.
#[derive(Debug)]
pub struct Runner {
    dispatch: Dispatch,
    route: Option<Route>,
    _agent: Option<Agent>,
}

impl Runner {
    /// In this way.
    ///
    /// # Errors
    /// When the agent does not start.
    pub fn new(how: &str) -> Result<Self, heartline::Error> {
        let registry = tracing_subscriber::registry();
        let dispatch = match how {
            "no subscriber" => Dispatch::new(NoSubscriber::default()),
            "heartline's request and layer" => Dispatch::new(registry.with(heartline::trace::layer())),
            "tracing-opentelemetry, AlwaysOff" => open_telemetry(Sampler::AlwaysOff),
            "tracing-opentelemetry, AlwaysOn" => open_telemetry(Sampler::AlwaysOn),
            _ => Dispatch::new(registry),
        };
        let agent = how.starts_with("heartline").then(|| Agent::builder("bench").without_listener().start());
        let agent = agent.transpose()?;
        let route = agent.as_ref().map(|agent| agent.route("GET", "/users/{id}"));
        Ok(Self { dispatch, route, _agent: agent })
    }

    /// So many requests.
    pub fn run(&self, requests: usize) {
        tracing::dispatcher::with_default(&self.dispatch, || (0..requests).for_each(|number| self.request(number)));
    }

    fn request(&self, number: usize) {
        let Some(route) = &self.route else { return work(number) };
        let mut guard = route.start();
        guard.spending(|| work(number));
        guard.finish(200);
    }
}

fn open_telemetry(sampler: Sampler) -> Dispatch {
    let provider = SdkTracerProvider::builder().with_sampler(sampler).with_span_processor(Drops).build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("bench"));
    std::mem::forget(provider); // lives as long as the process, as in a service
    Dispatch::new(tracing_subscriber::registry().with(layer))
}

/// A span and three in it, one of which warns.
fn work(number: usize) {
    info_span!("request", http.route = "/users/{id}", http.request.method = "GET").in_scope(|| {
        info_span!("load", db.system.name = "sqlite").in_scope(|| std::hint::black_box(number));
        info_span!("price", job.number = number).in_scope(|| warn!(error.type = "stale", "the price is old"));
        info_span!("render").in_scope(|| std::hint::black_box(number));
    });
}
