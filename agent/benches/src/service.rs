//! A service that says hello, observed in every way its users choose from; how it is driven is not known here.

use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::get;
use heartline::Agent;
use tower_layer::layer_fn;
use tower_service::Service;

/// What is asked of the service.
pub const PATH: &str = "/users/42";
/// What it answers.
pub const ANSWER: &str = "hello";

const ROUTE: &str = "/users/{id}";

/// The ways, bare first, then a layer that does nothing, then ours.
pub const ALL: [&str; 11] = [
    "bare",
    "an empty layer",
    "heartline in the handler",
    "heartline around the handler",
    "heartline as a layer",
    "heartline as any tower layer",
    "TraceLayer, no subscriber",
    "TraceLayer, formatting",
    "axum-prometheus",
    "axum-otel-metrics",
    "opentelemetry-instrumentation-tower",
];

async fn hello() -> &'static str {
    ANSWER
}

fn agent() -> Result<Agent, heartline::Error> {
    Agent::builder("bench").without_listener().start()
}

/// The service observed in this way, and the agent if it is ours.
///
/// # Errors
/// When the agent does not start.
pub fn observed(how: &str) -> Result<(Router, Option<Agent>), heartline::Error> {
    let plain = Router::new().route(ROUTE, get(hello));
    let router = match how {
        "an empty layer" => plain.layer(layer_fn(Empty)),
        "heartline in the handler" => {
            let agent = agent()?;
            let route = agent.route("GET", ROUTE);
            let hello = async move || {
                let request = route.start();
                let answer = ANSWER;
                request.finish(200);
                answer
            };
            return Ok((Router::new().route(ROUTE, get(hello)), Some(agent)));
        }
        "heartline around the handler" => {
            let agent = agent()?;
            return Ok((Router::new().route(ROUTE, get(agent.timed(ROUTE, hello))), Some(agent)));
        }
        "heartline as a layer" => {
            let agent = agent()?;
            return Ok((plain.layer(agent.axum_layer()), Some(agent)));
        }
        "heartline as any tower layer" => {
            let agent = agent()?;
            return Ok((plain.layer(agent.http_layer()), Some(agent)));
        }
        "TraceLayer, no subscriber" => plain.layer(tower_http::trace::TraceLayer::new_for_http()),
        "TraceLayer, formatting" => traced(plain),
        "axum-prometheus" => {
            let (layer, handle) = axum_prometheus::PrometheusMetricLayer::pair();
            std::mem::forget(handle); // lives as long as the process, as in a service
            plain.layer(layer)
        }
        "axum-otel-metrics" => {
            use opentelemetry_sdk_0_32::metrics::{ManualReader, SdkMeterProvider};
            let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).build();
            let layer = axum_otel_metrics::HttpMetricsLayerBuilder::new().with_provider(provider.clone()).build();
            std::mem::forget(provider); // as above
            plain.layer(layer)
        }
        "opentelemetry-instrumentation-tower" => {
            use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
            let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).build();
            opentelemetry::global::set_meter_provider(provider);
            plain.layer(opentelemetry_instrumentation_tower::http::server::Layer::new())
        }
        _ => plain,
    };
    Ok((router, None))
}

/// Spans and answers at the level of information, formatted and written nowhere.
fn traced(plain: Router) -> Router {
    use tower_http::trace::{DefaultMakeSpan, DefaultOnResponse, TraceLayer};
    use tracing_subscriber::filter::LevelFilter;
    let subscriber = tracing_subscriber::fmt().with_writer(std::io::sink).with_max_level(LevelFilter::INFO);
    subscriber.init();
    let level = tracing::Level::INFO;
    plain.layer(
        TraceLayer::new_for_http()
            .make_span_with(DefaultMakeSpan::new().level(level))
            .on_response(DefaultOnResponse::new().level(level)),
    )
}

/// A layer's service that passes everything on.
#[derive(Debug, Clone)]
struct Empty<S>(S);

impl<S: Service<Request, Response = Response>> Service<Request> for Empty<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        self.0.call(request)
    }
}
