//! The shop's side of the payment provider: HTTP with a deadline, behind a circuit breaker.

use std::time::Duration;

use anyhow::Context;
use heartline::trace::OutboundSpan;
use heartline::{Agent, Breaker, BreakerState};
use reqwest::Url;
use tower::util::BoxCloneSyncService;
use tower::{ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{CircuitBreakerError, CircuitBreakerLayer, CircuitState, SlidingWindowType};

use super::provider::{Charge, Receipt};
use crate::clock::Stopwatch;

/// How long the provider may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Half of the calls of the last ten seconds must fail, and at least five must have been made.
const WINDOW: Duration = Duration::from_secs(10);
const CALLS_MIN: usize = 5;
const FAILURE_RATE: f64 = 0.5;
/// How long the breaker stays open before it lets two calls through to find out.
const OPEN_FOR: Duration = Duration::from_secs(10);
const PROBES: usize = 2;

/// Why no money was taken. Either way it can be taken later.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChargeError {
    /// The breaker is open: the provider was not asked.
    #[error("the payment provider has failed of late and is not asked for {OPEN_FOR:?}")]
    CircuitOpen,
    /// The provider was asked and failed.
    #[error("the payment provider failed: {0}")]
    Provider(String),
}

/// The way to the payment provider: cheap to clone.
#[derive(Clone)]
pub(crate) struct Gateway {
    service: BoxCloneSyncService<Charge, Receipt, CircuitBreakerError<reqwest::Error>>,
    breaker: Breaker,
    client: reqwest::Client,
    url: String,
}

impl Gateway {
    /// To the provider at `url`.
    pub(crate) fn new(url: String, agent: &Agent) -> anyhow::Result<Self> {
        let breaker = agent.breaker("payment");
        let watched = breaker.clone();
        let layer = CircuitBreakerLayer::builder()
            .name("payment")
            .sliding_window_type(SlidingWindowType::TimeBased)
            .sliding_window_duration(WINDOW)
            .minimum_number_of_calls(CALLS_MIN)
            .failure_rate_threshold(FAILURE_RATE)
            .wait_duration_in_open(OPEN_FOR)
            .permitted_calls_in_half_open(PROBES)
            .on_state_transition(move |_, to| {
                watched.state(match to {
                    CircuitState::Closed => BreakerState::Closed,
                    CircuitState::Open => BreakerState::Open,
                    CircuitState::HalfOpen => BreakerState::HalfOpen,
                });
            })
            .build()?;
        let client = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).no_proxy().build()?;
        let charges = Url::parse(&format!("{url}/charges"))
            .with_context(|| format!("reading the payment provider's URL {url}; it is of the form http://host:port"))?;
        let asked = client.clone();
        let call = service_fn(move |charge: Charge| {
            let (request, span) = (asked.post(charges.clone()).json(&charge), call_to(&charges));
            async move { observed(request, span).await?.error_for_status()?.json::<Receipt>().await }
        });
        let service = BoxCloneSyncService::new(layer.layer_fn(call));
        Ok(Self { service, breaker, client, url })
    }

    /// Takes the money; the provider's reference on success.
    pub(crate) async fn charge(&self, order_id: i64, amount_cents: i64) -> Result<String, ChargeError> {
        let watch = Stopwatch::start();
        match self.service.clone().oneshot(Charge { order_id, amount_cents }).await {
            Ok(receipt) => {
                self.breaker.success(watch.elapsed());
                Ok(receipt.reference)
            }
            Err(CircuitBreakerError::OpenCircuit) => {
                self.breaker.rejected();
                Err(ChargeError::CircuitOpen)
            }
            Err(CircuitBreakerError::Inner(error)) => {
                self.breaker.failure(watch.elapsed());
                Err(ChargeError::Provider(error.to_string()))
            }
        }
    }

    /// Asks the provider for a sign of life, past the breaker.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        let answer = self.client.get(format!("{}/status", self.url)).send().await.map_err(|error| error.to_string())?;
        answer.error_for_status().map(drop).map_err(|error| error.to_string())
    }
}

/// A charge as a span of the request that it is made for.
fn call_to(charges: &Url) -> OutboundSpan {
    let (host, port) = (charges.host_str().unwrap_or_default(), charges.port_or_known_default().unwrap_or_default());
    heartline::trace::outbound("POST /charges").server(host, port)
}

/// Sends a request as that span; the provider's own spans are part of it.
async fn observed(request: reqwest::RequestBuilder, call: OutboundSpan) -> Result<reqwest::Response, reqwest::Error> {
    let mut headers = reqwest::header::HeaderMap::new();
    call.inject(&mut headers);
    match request.headers(headers).send().await {
        Ok(answer) => {
            call.finish(answer.status().as_u16());
            Ok(answer)
        }
        Err(error) => {
            call.failed(if error.is_timeout() { "timeout" } else { "connection" });
            Err(error)
        }
    }
}
