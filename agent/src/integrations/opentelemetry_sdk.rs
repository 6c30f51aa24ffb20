//! Lets metrics of a host's own OpenTelemetry SDK ride along with the agent's: one request to the collector carries both. How it
//! is sent and what the answer means is the exporter's business.
//!
//! The SDK's reader says when: each of its exports is one request with its metrics and everything the agent knows, each below
//! its own resource. The agent's own pushes pause meanwhile; when the reader is late by half of the agent's interval, or
//! stopped, they go on. What a receiver does with the request concerns both: the reader is told as the result of its export,
//! the agent counts its points in `otel.sdk.exporter.metric_data_point.exported`. When a receiver takes a request of both
//! only in part, or refuses it, nobody can say whose points those were: for an hour both then go in requests of their own, and
//! each learns its own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use prost::Message as _;
use tokio::sync::oneshot;

use crate::exporters::otlp::{Along, Asking, count};
use crate::{Agent, Error};

/// What one export may take, tries again included: OpenTelemetry's default of `OTEL_METRIC_EXPORT_TIMEOUT`.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);

impl Agent {
    /// An exporter for the service's own OpenTelemetry SDK, whose metrics then go to the receiver of
    /// [`otlp`](crate::AgentBuilder::otlp) in one request with the agent's. Cumulative, as the agent's are.
    ///
    /// Shut the SDK's provider down before the agent: an export after [`shutdown`](Self::shutdown) fails.
    ///
    /// ```no_run
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
    ///
    /// let agent = heartline::Agent::builder("shop").without_listener().otlp("http://127.0.0.1:4318").start()?;
    /// let reader = PeriodicReader::builder(agent.sdk_metric_exporter()?).build();
    /// let provider = SdkMeterProvider::builder().with_reader(reader).build();
    /// // … and at the end
    /// provider.shutdown()?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Setting`] when the agent pushes nothing, so that there is no receiver.
    pub fn sdk_metric_exporter(&self) -> Result<SdkMetricExporter, Error> {
        let asking = self.asking().ok_or_else(|| Error::Setting {
            setting: "otlp",
            value: String::new(),
            reason: "the agent pushes nothing that metrics of the SDK could ride along with; give it a receiver with \
                     AgentBuilder::otlp"
                .to_owned(),
        })?;
        Ok(SdkMetricExporter { asking, is_shut_down: AtomicBool::new(false) })
    }
}

/// Exports metrics of the OpenTelemetry SDK together with the agent's; see [`Agent::sdk_metric_exporter`].
#[derive(Debug)]
pub struct SdkMetricExporter {
    asking: Asking,
    is_shut_down: AtomicBool,
}

impl PushMetricExporter for SdkMetricExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        if self.is_shut_down.load(Ordering::Relaxed) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        let request = ExportMetricsServiceRequest::from(metrics);
        let scopes = request.resource_metrics.iter().flat_map(|resource| &resource.scope_metrics);
        let points = scopes.flat_map(|scope| &scope.metrics).map(count).sum();
        let along = Along { body: request.encode_to_vec().into(), points };
        drop(request);
        let (reply, replied) = oneshot::channel();
        let reply = Box::new(move |pushed| drop(reply.send(pushed))); // a reader that ended is not told
        self.asking.ask(Some(along), EXPORT_TIMEOUT, reply).map_err(OTelSdkError::InternalFailure)?;
        let ended = |_| Err("the agent was shut down meanwhile".to_owned());
        replied.await.unwrap_or_else(ended).map_err(OTelSdkError::InternalFailure)
    }

    /// Nothing is held back.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.is_shut_down.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn temporality(&self) -> Temporality {
        Temporality::Cumulative
    }
}
