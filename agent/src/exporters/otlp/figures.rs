//! What the agent says of its own exports: points by what became of them, how long requests took, how old the newest data is
//! that arrived.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use heartline_shared::Labels;

use crate::config::Protocol;
use crate::registry::{Registry, Room};
use crate::snapshot::{Collector, Families, Tick};

const POINTS: &str = "otel.sdk.exporter.metric_data_point.exported";
pub(super) const TOOK: &str = "otel.sdk.exporter.operation.duration";
const LAG: &str = "heartline.export.lag";

/// Written by the exporter, read with the process's own figures.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    registry: Arc<Registry>,
    component: &'static str,
    arrived: Arc<AtomicU64>,
    bytes: Arc<AtomicUsize>,
}

impl Figures {
    /// Of an agent that starts at `now`; nothing arrived yet, and nothing older than that is missing.
    pub(crate) fn new(registry: Arc<Registry>, bytes: Arc<AtomicUsize>, protocol: Protocol, now: Tick) -> Self {
        let component = match protocol {
            Protocol::Http => "otlp_http_metric_exporter/0",
            Protocol::Grpc => "otlp_grpc_metric_exporter/0",
        };
        let arrived = Arc::new(AtomicU64::new(millis(now.mono)));
        let figures = Self { registry, component, arrived, bytes };
        figures.points(None, 0);
        figures
    }

    /// Says how many bytes the exporter keeps.
    pub(super) fn keeps(&self, bytes: usize) {
        self.bytes.store(bytes, Ordering::Relaxed);
    }

    /// Counts points that arrived, or did not and why.
    pub(super) fn points(&self, failure: Option<&str>, points: u64) {
        self.registry.counter(POINTS, self.labels(failure), Room::Reserved).add(points);
    }

    /// How long one request took.
    pub(super) fn took(&self, failure: Option<&str>, duration: Duration) {
        self.registry.histogram(TOOK, self.labels(failure), Room::Reserved).record(duration);
    }

    /// Everything that was known at `read` has arrived.
    pub(super) fn arrived(&self, read: Duration) {
        self.arrived.store(millis(read), Ordering::Relaxed);
    }

    fn labels(&self, failure: Option<&str>) -> Labels {
        let labels = Labels::from_pairs([("otel.component.name", self.component)]);
        failure.into_iter().fold(labels, |labels, kind| labels.with("error.type", kind))
    }
}

impl Collector for Figures {
    fn collect(&mut self, into: &mut Families, now: Tick) {
        let lag = Duration::from_millis(millis(now.mono).saturating_sub(self.arrived.load(Ordering::Relaxed)));
        into.number(LAG, Labels::from_pairs([("exporter", self.component)]), lag.as_secs_f64());
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
