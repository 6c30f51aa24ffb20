//! Frames summed up by metric: one window, or a row of them as the points of a chart. Where frames come from is not known
//! here.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::frame::{Decoder, SeriesId, Sums, Value};
use heartline_shared::{Grid, GridKind, Histogram, Kind, Labels, UnixMillis};

use super::Range;
use super::lane::Kept;

/// Bytes of definitions or frames that are read in one step: a millisecond or two.
pub(super) const STEP_BYTES: usize = 64 << 10;
/// Series that are named in one step.
const STEP_SERIES: usize = 1_024;

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

/// A window that is being summed up, a step at a time, so that nobody waits for all of it.
pub(super) struct Summing {
    reading: Reading,
    frames: std::vec::IntoIter<Kept>,
    sums: Sums,
    counted: Option<Counts>,
    series: BTreeMap<String, Vec<(Labels, Value)>>,
    span: Duration,
    at: UnixMillis,
}

type Counts = Box<dyn Iterator<Item = (SeriesId, Value)> + Send>;

/// Definitions of series that are being read, a step at a time.
pub(super) struct Reading {
    definitions: Vec<u8>,
    read: usize,
    decoder: Decoder,
}

impl Reading {
    pub(super) fn of(definitions: Vec<u8>) -> Self {
        Self { definitions, read: 0, decoder: Decoder::new() }
    }

    /// Reads about [`STEP_BYTES`]; how many it were, 0 at the end.
    fn step(&mut self) -> usize {
        let end = self.definitions.len().min(self.read + STEP_BYTES);
        let bytes = end - self.read;
        self.decoder.push(&self.definitions[self.read..end]);
        while self.decoder.next_event().is_some() {}
        self.read = end;
        bytes
    }
}

impl Summing {
    /// The sum of frames, oldest first, whose series are defined in `definitions`.
    pub(super) fn of(frames: Vec<Kept>, definitions: Vec<u8>) -> Self {
        Self {
            reading: Reading::of(definitions),
            frames: frames.into_iter(),
            sums: Sums::default(),
            counted: None,
            series: BTreeMap::new(),
            span: Duration::ZERO,
            at: UnixMillis(0),
        }
    }

    /// Does a part of the work: of definitions and frames about [`STEP_BYTES`], of series [`STEP_SERIES`]. How much it was;
    /// 0 when everything is done.
    pub(super) fn step(&mut self) -> usize {
        match self.reading.step() {
            0 => {}
            bytes => return bytes,
        }
        let mut bytes = 0;
        while bytes < STEP_BYTES
            && let Some(frame) = self.frames.next()
        {
            self.sums.add(&frame.bytes);
            bytes += frame.bytes.len().max(1);
        }
        if bytes == 0 { self.name_series() } else { bytes }
    }

    fn name_series(&mut self) -> usize {
        if self.counted.is_none() {
            (self.span, self.at) = (self.sums.span(), self.sums.at());
        }
        let sums = &mut self.sums;
        let counted = self.counted.get_or_insert_with(|| Box::new(std::mem::take(sums).into_values()));
        let mut named = 0;
        for (id, value) in counted.take(STEP_SERIES) {
            named += 1;
            if let Some(known) = self.reading.decoder.series(id) {
                self.series.entry(known.name.clone()).or_default().push((known.labels.clone(), value));
            }
        }
        named
    }

    /// The window, once a step did nothing.
    pub(super) fn finish(self) -> Window {
        let grid = |kind| self.reading.decoder.grid(kind);
        let grids = [GridKind::Duration, GridKind::Count].map(grid);
        Window { span: self.span, at: self.at, series: self.series, grids }
    }
}

impl Window {
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

/// The points of one metric that are being made, a step at a time.
pub(super) struct Plotting {
    reading: Reading,
    frames: Vec<Kept>,
    made: usize,
    metric: String,
    range: Range,
    wanted: Option<(HashSet<SeriesId>, Option<Kind>)>,
    points: Vec<Point>,
}

impl Plotting {
    /// The points of one metric in steps of a range, oldest first; steps without frames are left out. A frame that is longer
    /// than a step is a point of its own.
    pub(super) fn of(frames: Vec<Kept>, definitions: Vec<u8>, metric: &str, range: Range) -> Self {
        Self {
            reading: Reading::of(definitions),
            frames,
            made: 0,
            metric: metric.to_owned(),
            range,
            wanted: None,
            points: Vec::new(),
        }
    }

    /// Does a part of the work, as [`Summing::step`]; one point is never divided.
    pub(super) fn step(&mut self) -> usize {
        match self.reading.step() {
            0 => {}
            bytes => return bytes,
        }
        let step = u64::try_from(self.range.step.as_millis()).unwrap_or(u64::MAX).max(1);
        let slot = |frame: &Kept| (frame.at - frame.span() / 2).0 / step;
        let (ids, kind) = self.wanted.get_or_insert_with(|| series_of(&self.reading.decoder, &self.metric));
        let mut bytes = 0;
        for together in self.frames[self.made..].chunk_by(|a, b| slot(a) == slot(b)) {
            if bytes >= STEP_BYTES {
                break;
            }
            let mut sums = Sums::default();
            for frame in together {
                sums.add_some(&frame.bytes, |id| ids.contains(&id));
                bytes += frame.bytes.len().max(1);
            }
            let begin = together.first().map_or(UnixMillis(0), |frame| frame.at - frame.span());
            let longer = sums.span() > self.range.step.mul_f64(1.5);
            let at = if longer { begin } else { UnixMillis(slot(&together[0]) * step) };
            self.points.push(point(at, &sums, *kind));
            self.made += together.len();
        }
        bytes
    }

    /// The points, once a step did nothing.
    pub(super) fn finish(self) -> Vec<Point> {
        self.points
    }
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
