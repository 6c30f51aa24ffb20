//! What each series of a process had counted up to now, as bytes: a series that counted nothing since is passed over and
//! copied without being read. What a frame looks like is not known here.

use super::SeriesId;
use super::values::{read_buckets, write_buckets};
use super::wire::{Input, Output};
use crate::histogram::Histogram;

/// What series had counted, by ascending number.
#[derive(Debug, Default)]
pub(super) struct Memory {
    out: Output,
    scratch: Output,
    next: u64,
}

/// What one series had counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Had<'a> {
    Count(f64),
    Histogram(HadHistogram<'a>),
}

/// What a histogram had counted; its buckets are read only if they are asked for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct HadHistogram<'a> {
    pub(super) count: u64,
    pub(super) sum: u64,
    buckets: &'a [u8],
}

/// Series being read.
#[derive(Debug)]
pub(super) struct Remembered<'a> {
    input: Input<'a>,
    next: u64,
}

impl Memory {
    /// An empty one with room for about as much as another holds, and an eighth more.
    pub(super) fn like(other: &Self) -> Self {
        let bytes = other.out.0.len();
        Self { out: Output(Vec::with_capacity(bytes + bytes / 8)), ..Self::default() }
    }

    pub(super) fn bytes(&self) -> usize {
        self.out.0.capacity() + self.scratch.0.capacity()
    }

    pub(super) fn iter(&self) -> Remembered<'_> {
        Remembered { input: Input(&self.out.0), next: 0 }
    }

    fn head(&mut self, id: SeriesId, is_histogram: bool) {
        let id = u64::from(id);
        self.out.number((id.saturating_sub(self.next) << 1) | u64::from(is_histogram));
        self.next = id + 1;
    }

    pub(super) fn count(&mut self, id: SeriesId, number: f64) {
        self.head(id, false);
        self.out.0.extend_from_slice(&number.to_bits().to_le_bytes());
    }

    pub(super) fn histogram(&mut self, id: SeriesId, histogram: &Histogram) {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.0.clear();
        write_buckets(&mut scratch, &histogram.buckets);
        let buckets = &scratch.0;
        self.had(id, Had::Histogram(HadHistogram { count: histogram.count, sum: histogram.sum, buckets }));
        self.scratch = scratch;
    }

    /// The same as before.
    pub(super) fn had(&mut self, id: SeriesId, had: Had<'_>) {
        match had {
            Had::Count(number) => self.count(id, number),
            Had::Histogram(HadHistogram { count, sum, buckets }) => {
                self.head(id, true);
                self.out.number(count);
                self.out.number(sum);
                self.out.number(buckets.len() as u64);
                self.out.0.extend_from_slice(buckets);
            }
        }
    }

    /// Gives back room that writing took.
    pub(super) fn settle(&mut self) {
        self.scratch = Output::default();
    }
}

impl Remembered<'_> {
    /// Nothing is remembered.
    pub(super) fn nothing() -> Self {
        Self { input: Input(&[]), next: 0 }
    }
}

impl<'a> Iterator for Remembered<'a> {
    type Item = (SeriesId, Had<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let head = self.input.number()?;
        let id = self.next + (head >> 1);
        self.next = id + 1;
        let found = if head & 1 == 0 {
            Had::Count(self.input.float()?)
        } else {
            let (count, sum) = (self.input.number()?, self.input.number()?);
            let bytes = self.input.count()?;
            Had::Histogram(HadHistogram { count, sum, buckets: self.input.take(bytes)? })
        };
        Some((SeriesId::try_from(id).ok()?, found))
    }
}

impl HadHistogram<'_> {
    /// Its buckets, in place of those in `buckets`.
    pub(super) fn read(&self, buckets: &mut Vec<(u16, u64)>) {
        buckets.clear();
        if !self.buckets.is_empty() {
            read_buckets(&mut Input(self.buckets), buckets); // as they were written here
        }
    }
}
