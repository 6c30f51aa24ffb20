//! What the agent pushes, wired together, and the service's own ways to have it pushed. What is on the wire is the exporter's
//! business.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::Agent;
use super::core::{Core, Stage};
use super::thread::Push;
use crate::error::Error;
use crate::exporters::otlp::{Asking, Exporter, Figures};
use crate::snapshot::Tick;

impl Agent {
    /// Pushes everything known now and waits until it arrived, tried again while there is time: for a job that ends before a
    /// push is due, say. Blocks this thread meanwhile, and may be called on any. Values that are collected rather than recorded
    /// are at most about a second old. Does nothing where metrics are not pushed.
    ///
    /// # Errors
    /// [`Error::Flush`] when they did not arrive within `timeout`, were refused, or the agent was shut down.
    pub fn flush(&self, timeout: Duration) -> Result<(), Error> {
        let Some(asking) = self.asking() else { return Ok(()) };
        asking.flush(timeout).map_err(Error::Flush)
    }

    /// Who has metrics pushed, where they are.
    pub(crate) fn asking(&self) -> Option<Asking> {
        self.0.asking.clone()
    }
}

/// What pushes.
type Pushing = Option<Push>;

/// What pushes the metrics of `core`, and the spans that it keeps, if it was told to; and who asks for a push of metrics.
pub(super) fn push(core: &Arc<Core>) -> Result<(Pushing, Option<Asking>), Error> {
    let (metrics, asking) = push_metrics(core)?.unzip();
    let (metrics, spans) = match (metrics, push_spans(core)?) {
        (Some(metrics), Some(spans)) => (metrics, spans),
        (one, other) => return Ok((one.or(other), asking)),
    };
    let push: Push = Box::new(move |stop| {
        Box::pin(async move {
            let (stop_metrics, metrics_told) = oneshot::channel();
            let (stop_spans, spans_told) = oneshot::channel();
            let tell = async {
                let budget = stop.await.unwrap_or_default();
                let _ = (stop_metrics.send(budget), stop_spans.send(budget)); // one that ended is told nothing
            };
            let ((), metrics, spans) = tokio::join!(tell, metrics(metrics_told), spans(spans_told));
            metrics.and(spans)
        })
    });
    Ok((Some(push), asking))
}

fn push_metrics(core: &Arc<Core>) -> Result<Option<(Push, Asking)>, Error> {
    let Some(export) = core.config.export()? else { return Ok(None) };
    let figures =
        Figures::new(Arc::clone(&core.registry), Arc::clone(&core.export_bytes), export.protocol, Tick::now());
    core.add_collector(Stage::Process, figures.clone());
    let read = Arc::clone(core);
    let read = move |now| (read.unsorted(now), read.requests.exemplars());
    let (asking, asked) = Asking::channel();
    let exporter = Exporter::new(&export, read, figures, asked)?;
    Ok(Some((Box::new(move |stop| Box::pin(exporter.run(stop))), asking)))
}

#[cfg(feature = "tracing")]
fn push_spans(core: &Arc<Core>) -> Result<Pushing, Error> {
    use crate::exporters::otlp::{SpanExporter, resource};

    let Some(export) = core.config.span_export()? else { return Ok(None) };
    let resource = resource(&core.snapshot(Tick::now()), &export.attributes);
    let (outbox, registry) = (Arc::clone(&core.requests.outbox), Arc::clone(&core.registry));
    let exporter = SpanExporter::new(&export, outbox, resource, registry)?;
    Ok(Some(Box::new(move |stop| Box::pin(exporter.run(stop)))))
}

#[cfg(not(feature = "tracing"))]
#[expect(clippy::unnecessary_wraps, reason = "with the feature it fails and gives something")]
fn push_spans(_core: &Arc<Core>) -> Result<Pushing, Error> {
    Ok(None)
}
