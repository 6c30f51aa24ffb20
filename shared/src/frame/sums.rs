//! Frames of one process added up: a longer frame, or all that was counted in a window. Names of series are not known
//! here.

use std::time::Duration;

use super::block::{self, FRAME};
use super::head::Head;
use super::values::{Read, ValueWriter};
use super::wire::Output;
use super::{SERIES_MAX, SeriesId, Value};
use crate::histogram::Histogram;
use crate::time::UnixMillis;

/// The sum of frames. Increases and histograms add up; a level is the newest one.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    values: Vec<Option<Value>>,
    head: Head,
    frames: usize,
    buckets: Vec<(u16, u64)>,
}

impl Sums {
    /// Adds a frame, which must be a whole block as a coder made it, later than those before. `false` when it is none; what
    /// was read of it stays added.
    pub fn add(&mut self, frame: &[u8]) -> bool {
        self.add_some(frame, |_| true)
    }

    /// The same with the series that are `wanted` only.
    pub fn add_some(&mut self, frame: &[u8], wanted: impl Fn(SeriesId) -> bool) -> bool {
        let Some((head, mut values)) = block::payload_of(FRAME, frame).and_then(Head::read) else { return false };
        self.head = Head { span: self.head.span.saturating_add(head.span), ..head };
        self.frames += 1;
        let mut buckets = std::mem::take(&mut self.buckets);
        let mut sound = true;
        while let Some(read) = values.read(&mut buckets) {
            let Ok((id, read)) = read else {
                sound = false;
                break;
            };
            if wanted(id) {
                sound &= self.add_value(id, read, &buckets);
            }
        }
        self.buckets = buckets;
        sound
    }

    fn add_value(&mut self, id: SeriesId, read: Read, buckets: &[(u16, u64)]) -> bool {
        let Some(at) = usize::try_from(id).ok().filter(|at| *at < SERIES_MAX) else { return false };
        if at >= self.values.len() {
            self.values.resize(at + 1, None);
        }
        match (&mut self.values[at], read) {
            (Some(Value::Increase(sum)), Read::Increase(more)) => *sum += more,
            (Some(Value::Histogram(sum)), Read::Histogram { sum: more }) => add_buckets(sum, buckets, more),
            (place, read) => *place = Some(read.into_value(buckets)),
        }
        true
    }

    /// The span of a frame, the uptime at its end, and the wall time then; `None` when it is no whole frame.
    pub fn time_of(frame: &[u8]) -> Option<(Duration, Duration, UnixMillis)> {
        let (head, _) = block::payload_of(FRAME, frame).and_then(Head::read)?;
        Some((head.span, head.uptime, head.at))
    }

    /// How much time the frames cover.
    pub fn span(&self) -> Duration {
        self.head.span
    }

    /// How many frames were added.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// When the newest of them ended; zero without any.
    pub fn at(&self) -> UnixMillis {
        self.head.at
    }

    /// What one series counted, or its newest level.
    pub fn value(&self, id: SeriesId) -> Option<&Value> {
        self.values.get(usize::try_from(id).ok()?)?.as_ref()
    }

    /// All values by ascending series.
    pub fn values(&self) -> impl Iterator<Item = (SeriesId, &Value)> {
        (0..).zip(&self.values).filter_map(|(id, value)| Some((id, value.as_ref()?)))
    }

    /// The same, taken out.
    pub fn into_values(self) -> impl Iterator<Item = (SeriesId, Value)> {
        (0..).zip(self.values).filter_map(|(id, value)| Some((id, value?)))
    }

    /// The sum as one frame, a block; `None` without frames, or when it is longer than a block may be.
    pub fn frame(&self) -> Option<Vec<u8>> {
        let mut writer = ValueWriter::default();
        for (id, value) in self.values() {
            match value {
                Value::Increase(number) => writer.increase(id, *number),
                Value::Level(number) => writer.level(id, *number),
                Value::Histogram(histogram) => writer.histogram(id, &histogram.buckets, histogram.sum),
            }
        }
        (self.frames > 0).then(|| self.head.frame(&writer, &Output::default())).flatten()
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.values.clear();
        (self.head, self.frames) = (Head::default(), 0);
    }
}

fn add_buckets(histogram: &mut Histogram, more: &[(u16, u64)], sum: u64) {
    let mut at = 0;
    for &(bucket, count) in more {
        at += histogram.buckets[at..].partition_point(|(have, _)| *have < bucket);
        match histogram.buckets.get_mut(at) {
            Some((have, total)) if *have == bucket => *total = total.saturating_add(count),
            _ => histogram.buckets.insert(at, (bucket, count)),
        }
        histogram.count = histogram.count.saturating_add(count);
    }
    histogram.sum = histogram.sum.wrapping_add(sum);
}
