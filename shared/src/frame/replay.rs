//! Frames back into cumulative snapshots: what a recording is replayed as. Where the bytes come from is not known here.

use std::collections::BTreeMap;

use super::decoder::Decoder;
use super::definition::Series;
use super::{Damage, Event, Frame, SeriesId, Value};
use crate::catalog;
use crate::histogram::Histogram;
use crate::snapshot::{Family, HistogramSeries, NumberSeries, SCHEMA_VERSION, Snapshot};

/// Turns a stream of frames into the snapshots they were made of. Counters and histograms are exact from the first full
/// frame on; after a lost frame they lack what it counted, until the next full one.
#[derive(Debug, Default)]
pub struct Replay {
    decoder: Decoder,
    totals: BTreeMap<SeriesId, Value>,
}

/// What a replay came upon.
#[derive(Debug, Clone, PartialEq)]
pub enum Replayed {
    /// The state at the end of a frame.
    Snapshot(Box<Snapshot>),
    /// Bytes that could not be read.
    Damage(Damage),
}

impl Replay {
    /// A replay at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes);
    }

    /// Says that no more bytes come.
    pub fn finish(&mut self) {
        self.decoder.finish();
    }

    /// What comes next; `None` when more bytes are needed, or when it was finished and all is read.
    pub fn next_state(&mut self) -> Option<Replayed> {
        loop {
            match self.decoder.next_event()? {
                Event::Process(_) => self.totals.clear(),
                Event::Damage(damage) => return Some(Replayed::Damage(damage)),
                Event::Frame(frame) => {
                    let snapshot = self.snapshot(frame);
                    return Some(Replayed::Snapshot(Box::new(snapshot)));
                }
            }
        }
    }

    fn snapshot(&mut self, frame: Frame) -> Snapshot {
        self.totals.retain(|_, value| !frame.full && !matches!(value, Value::Level(_)));
        for (id, value) in frame.values {
            match (self.totals.get_mut(&id), value) {
                (Some(Value::Increase(total)), Value::Increase(more)) => *total += more,
                (Some(Value::Histogram(total)), Value::Histogram(more)) => total.merge(&more),
                (_, value) => drop(self.totals.insert(id, value)),
            }
        }
        let process = self.decoder.process().cloned().unwrap_or_default();
        Snapshot {
            schema_version: SCHEMA_VERSION,
            service: process.service,
            version: process.version,
            instance_id: process.instance_id,
            started_at: process.started_at.to_string(),
            started_at_ms: process.started_at,
            timestamp: frame.at.to_string(),
            ts_ms: frame.at,
            seq: frame.seq,
            uptime_seconds: frame.uptime.as_secs_f64(),
            extra_boundaries: process.extra_boundaries,
            metrics: self.families(),
            heap: frame.heap,
            checks: frame.checks,
        }
    }

    fn families(&self) -> Vec<Family> {
        let mut families: BTreeMap<&str, Family> = BTreeMap::new();
        for (id, value) in &self.totals {
            let Some(series) = self.decoder.series(*id) else { continue };
            let family = families.entry(&series.name).or_insert_with(|| empty_family(series));
            let labels = series.labels.clone();
            match value {
                Value::Increase(value) | Value::Level(value) => {
                    family.numbers.push(NumberSeries { labels, value: *value });
                }
                Value::Histogram(histogram) => {
                    family.histograms.push(HistogramSeries { labels, histogram: Histogram::clone(histogram) });
                }
            }
        }
        let sorted = families.into_values().map(|mut family| {
            family.numbers.sort_by(|a, b| a.labels.cmp(&b.labels));
            family.histograms.sort_by(|a, b| a.labels.cmp(&b.labels));
            family
        });
        sorted.collect()
    }
}

fn empty_family(series: &Series) -> Family {
    let name = catalog::find(&series.name).map_or_else(|| series.name.clone().into(), |metric| metric.name.into());
    let help = series.help.clone().map(Into::into);
    let (kind, unit) = (series.kind, series.unit.clone().into());
    Family { name, kind, unit, help, numbers: Vec::new(), histograms: Vec::new() }
}
