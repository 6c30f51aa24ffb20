//! Frames summed up by metric: one window, or a row of them as the points of a chart. Where frames come from is not known
//! here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::frame::{Decoder, SeriesId, Sums, Value};
use heartline_shared::{Grid, GridKind, Histogram, Kind, Labels, UnixMillis};

use super::Range;
use super::lane::Kept;

/// What was counted in a window of time, by metric.
#[derive(Debug)]
pub(crate) struct Window {
    /// How much time it covers; zero when nothing was recorded.
    pub(crate) span: Duration,
    /// When it ends.
    pub(crate) at: UnixMillis,
    series: BTreeMap<String, Vec<(Labels, Value)>>,
    grids: [Arc<Grid>; 2],
}

impl Window {
    /// The sum of frames, oldest first; `decoder` knows their series.
    pub(super) fn of(frames: &[&Kept], decoder: &Decoder) -> Self {
        let mut sums = Sums::default();
        for frame in frames {
            sums.add(&frame.bytes);
        }
        let (span, at) = (sums.span(), sums.at());
        let mut series: BTreeMap<String, Vec<(Labels, Value)>> = BTreeMap::new();
        for (id, value) in sums.into_values() {
            if let Some(known) = decoder.series(id) {
                series.entry(known.name.clone()).or_default().push((known.labels.clone(), value));
            }
        }
        Self { span, at, series, grids: [GridKind::Duration, GridKind::Count].map(|kind| decoder.grid(kind)) }
    }

    /// The series of a metric with what they counted, or their newest levels.
    pub(crate) fn series<'a>(&'a self, metric: &str) -> impl Iterator<Item = (&'a Labels, &'a Value)> + use<'a> {
        self.series.get(metric).into_iter().flatten().map(|(labels, value)| (labels, value))
    }

    /// The grid that histograms of this unit use.
    pub(crate) fn grid(&self, unit: &str) -> &Grid {
        &self.grids[usize::from(GridKind::for_unit(unit) == GridKind::Count)]
    }
}

/// What all series of one metric did during a step.
#[derive(Debug, Clone)]
pub(crate) struct Point {
    /// When the step began.
    pub(crate) at: UnixMillis,
    /// How much time it covers.
    pub(crate) span: Duration,
    /// What was counted, or recorded; `None` for a metric of levels.
    pub(crate) counted: Option<Counted>,
    /// The newest level of each series; empty for a metric that counts.
    pub(crate) levels: Vec<f64>,
}

/// What was counted during a step.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    /// The increase of a counter, or how many values a histogram recorded.
    pub(crate) increase: f64,
    /// The values of a histogram.
    pub(crate) histogram: Option<Histogram>,
}

/// The points of one metric in steps of a range, oldest first; steps without frames are left out. A frame that is longer
/// than a step is a point of its own.
pub(super) fn points(frames: &[&Kept], decoder: &Decoder, metric: &str, range: Range) -> Vec<Point> {
    let (ids, kind) = series_of(decoder, metric);
    let step = u64::try_from(range.step.as_millis()).unwrap_or(u64::MAX).max(1);
    let slot = |frame: &Kept| (frame.at - frame.span() / 2).0 / step;
    let mut points = Vec::new();
    for together in frames.chunk_by(|a, b| slot(a) == slot(b)) {
        let mut sums = Sums::default();
        for frame in together {
            sums.add_some(&frame.bytes, |id| ids.contains(&id));
        }
        let begin = together.first().map_or(UnixMillis(0), |frame| frame.at - frame.span());
        let at = if sums.span() > range.step.mul_f64(1.5) { begin } else { UnixMillis(slot(together[0]) * step) };
        points.push(point(at, &sums, kind));
    }
    points
}

fn series_of(decoder: &Decoder, metric: &str) -> (HashSet<SeriesId>, Option<Kind>) {
    let known = decoder.all_series().filter(|(_, series)| series.name == metric);
    let mut kind = None;
    let ids = known.inspect(|(_, series)| kind = Some(series.kind)).map(|(id, _)| id).collect();
    (ids, kind)
}

fn point(at: UnixMillis, sums: &Sums, kind: Option<Kind>) -> Point {
    let mut point = Point { at, span: sums.span(), counted: None, levels: Vec::new() };
    if matches!(kind, Some(Kind::Counter | Kind::Histogram)) {
        point.counted = Some(Counted::default());
    }
    for (_, value) in sums.values() {
        match (value, &mut point.counted) {
            (Value::Level(level), _) => point.levels.push(*level),
            (Value::Increase(more), Some(counted)) => counted.increase += more,
            (Value::Histogram(more), Some(counted)) => {
                counted.increase += more.count as f64;
                counted.histogram.get_or_insert_default().merge(more);
            }
            _ => {}
        }
    }
    point
}
