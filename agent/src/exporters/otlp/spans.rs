//! The loop that pushes kept spans: takes what waits, sends it, and says what became of it. Keeps one request at most beside
//! the queue, whose newest entries win.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::Labels;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::bytes::Bytes;
use tokio::sync::oneshot;

use super::client::Client;
use super::complaints::Complaints;
use super::exporter::chance;
use super::figures::TOOK;
use super::grpc;
use super::outcome::{Failure, Outcome};
use super::schedule::Schedule;
use super::span_mapping;
use crate::clock::Tick;
use crate::config::{Export, Protocol};
use crate::error::Error;
use crate::registry::{Registry, Room};
use crate::trace::Outbox;

/// How often what waits is sent, unless metrics are pushed more often; as long as OpenTelemetry's batches wait.
const INTERVAL_MAX: Duration = Duration::from_secs(5);
/// Requests of the service in one request.
const BATCH_MAX: usize = 64;
/// How long one request is tried; after that, newer spans are.
const PATIENCE: Duration = Duration::from_mins(5);

/// Pushes kept spans until it is told to stop.
pub(crate) struct SpanExporter {
    outbox: Arc<Outbox>,
    client: Client,
    resource: Resource,
    schedule: Schedule,
    registry: Arc<Registry>,
    component: &'static str,
    pending: Option<Batch>,
    complaints: Complaints,
}

/// Spans that were not delivered yet.
#[derive(Debug)]
struct Batch {
    body: Bytes,
    /// Requests of the service.
    requests: u64,
    spans: u64,
    made: Duration,
}

impl SpanExporter {
    /// Pushes what is put into `outbox`, as `export` says, as spans of `resource`.
    ///
    /// # Errors
    /// Why the authorities that TLS trusts cannot be read.
    pub(crate) fn new(
        export: &Export,
        outbox: Arc<Outbox>,
        resource: Resource,
        registry: Arc<Registry>,
    ) -> Result<Self, Error> {
        outbox.open();
        Ok(Self {
            outbox,
            client: Client::new(export, grpc::TRACES)?,
            resource,
            schedule: Schedule::new(export.interval.min(INTERVAL_MAX), Tick::now().mono, chance()),
            registry,
            component: match export.protocol {
                Protocol::Http => "otlp_http_span_exporter/0",
                Protocol::Grpc => "otlp_grpc_span_exporter/0",
            },
            pending: None,
            complaints: Complaints::new("spans", export.uri.to_string()),
        })
    }

    /// Runs until `stop` says how long the last push may take; the answer is why it did not arrive.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<Duration>) -> Result<(), String> {
        loop {
            let wait = self.schedule.wait(Tick::now().mono);
            let round = async {
                tokio::time::sleep(wait).await;
                self.push().await;
            };
            let budget = tokio::select! {
                () = round => continue,
                budget = &mut stop => budget.unwrap_or_default(),
            };
            return self.flush(budget).await;
        }
    }

    /// One attempt, if there is something to send.
    async fn push(&mut self) {
        let now = Tick::now().mono;
        if let Some(stale) = self.pending.take_if(|pending| now.saturating_sub(pending.made) >= PATIENCE) {
            self.outbox.lost(stale.requests);
        }
        let outcome = self.send(Duration::MAX).await;
        let now = Tick::now().mono;
        match outcome {
            Some(Outcome::Again(_, throttle)) => self.schedule.failed(now, throttle, chance()),
            _ => self.schedule.settled(now),
        }
    }

    /// The last push: of everything that waits, tried again while there is time.
    async fn flush(&mut self, budget: Duration) -> Result<(), String> {
        let began = Tick::now().mono;
        let left = || budget.saturating_sub(Tick::now().mono.saturating_sub(began));
        loop {
            match self.send(left()).await {
                None => return Ok(()),
                Some(Outcome::Delivered { .. }) => {}
                Some(Outcome::Refused(failure)) => return Err(self.complaints.said(&failure)),
                Some(Outcome::Again(failure, throttle)) => {
                    self.schedule.failed(Duration::ZERO, throttle, chance());
                    let wait = self.schedule.wait(Duration::ZERO);
                    if wait >= left() {
                        return Err(self.complaints.said(&failure));
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// What is to be sent next.
    fn next(&mut self) -> Option<&Batch> {
        if self.pending.is_none() {
            let taken = self.outbox.take(BATCH_MAX);
            if !taken.is_empty() {
                let (body, spans) = span_mapping::request(&taken, &self.resource);
                self.pending = Some(Batch { body, requests: taken.len() as u64, spans, made: Tick::now().mono });
            }
        }
        self.pending.as_ref()
    }

    /// Sends what is pending, or waits; it stays pending if it is to be sent again.
    async fn send(&mut self, budget: Duration) -> Option<Outcome> {
        let (body, requests, spans) = self.next().map(|batch| (batch.body.clone(), batch.requests, batch.spans))?;
        let began = Tick::now().mono;
        let outcome = self.client.send(body, budget).await;
        let now = Tick::now().mono;
        let failure = match &outcome {
            Outcome::Delivered { rejected, said } => {
                // which spans were rejected is not said: so many requests at most are not whole there
                let lost = requests.min(*rejected);
                self.outbox.exported(requests - lost);
                self.outbox.lost(lost);
                let complained = *rejected > 0 || !said.is_empty();
                complained.then(|| Failure::new("rejected", &format!("{rejected} of {spans} spans rejected: {said}")))
            }
            Outcome::Refused(failure) => {
                self.outbox.lost(requests);
                Some(failure.clone())
            }
            Outcome::Again(failure, _) => Some(failure.clone()),
        };
        let kind = failure.as_ref().filter(|_| !matches!(outcome, Outcome::Delivered { .. }));
        self.took(kind.map(|failure| &*failure.kind), now.saturating_sub(began));
        if !matches!(outcome, Outcome::Again(..)) {
            self.pending = None;
        }
        self.complaints.log(failure.as_ref(), now);
        Some(outcome)
    }

    fn took(&self, failure: Option<&str>, duration: Duration) {
        let labels = Labels::from_pairs([("otel.component.name", self.component)]);
        let labels = failure.into_iter().fold(labels, |labels, kind| labels.with("error.type", kind));
        self.registry.histogram(TOOK, labels, Room::Reserved).record(duration);
    }
}
