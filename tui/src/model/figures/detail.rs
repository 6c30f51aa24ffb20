//! Charts of one route or one query, computed from the frames when they are asked for: as far back as frames are kept.

use heartline_shared::{Histogram, Labels};

use crate::model::chart::{Axis, Chart};
use crate::model::frames::{Frame, Frames};
use crate::model::store::{SeriesId, Store, Value};
use crate::text::Text;

const REQUESTS: &str = "http.server.request.duration";
const QUERIES: &str = "db.client.operation.duration";

/// The values of such a chart, one for each column; a column shows the frames that overlap it.
pub(in crate::model) fn columns(store: &Store, frames: &Frames, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
    let Some((metric, percentile)) = subject(chart) else { return vec![None; axis.columns] };
    let series: Vec<SeriesId> = store
        .metric(metric)
        .map(|metric| {
            metric.series.iter().filter(|series| belongs(chart, &series.labels)).map(|series| series.id).collect()
        })
        .unwrap_or_default();
    let grid = store.grid("s");
    let (start, width) = axis.edges();
    let column = |index: u64| {
        let from = start.0.saturating_add(index.saturating_mul(width));
        let overlaps = |frame: &&Frame| (frame.at - frame.span).0 < from.saturating_add(width) && frame.at.0 > from;
        let (mut seconds, mut sum) = (0.0, Histogram::default());
        for frame in frames.iter().filter(overlaps) {
            seconds += frame.span.as_secs_f64();
            merge(frame, &series, &mut sum);
        }
        match percentile {
            _ if seconds <= 0.0 => None,
            true => sum.quantile(grid, 0.95),
            false => Some(sum.count as f64 / seconds),
        }
    };
    (0..axis.columns as u64).map(column).collect()
}

fn merge(frame: &Frame, series: &[SeriesId], sum: &mut Histogram) {
    for id in series {
        if let Some(Value::Histogram(increase)) = frame.increase(*id) {
            sum.merge(increase);
        }
    }
}

/// The metric a chart is about, and whether it shows a percentile.
fn subject(chart: &Chart) -> Option<(&'static str, bool)> {
    match chart {
        Chart::RouteRate { .. } => Some((REQUESTS, false)),
        Chart::RouteP95 { .. } => Some((REQUESTS, true)),
        Chart::QuerySummaryRate { .. } => Some((QUERIES, false)),
        Chart::QuerySummaryP95 { .. } => Some((QUERIES, true)),
        _ => None,
    }
}

fn belongs(chart: &Chart, labels: &Labels) -> bool {
    let is = |name: &str, wanted: &Text| Text::new(labels.value(name).unwrap_or_default()) == *wanted;
    match chart {
        Chart::RouteRate { method, route } | Chart::RouteP95 { method, route } => {
            is("http.request.method", method) && is("http.route", &route.clone().unwrap_or_default())
        }
        Chart::QuerySummaryRate { system, summary } | Chart::QuerySummaryP95 { system, summary } => {
            is("db.query.summary", summary) && is("db.system.name", system)
        }
        _ => false,
    }
}
