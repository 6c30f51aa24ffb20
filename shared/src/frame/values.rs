//! The values of a frame as bytes: reading them one by one, and writing them. How they were computed is not known here.

use super::wire::{Input, Malformed, Output};
use super::{SeriesId, Value};
use crate::buckets::BUCKETS_MAX;
use crate::histogram::Histogram;

const WHOLE_INCREASE: u64 = 0;
const FLOAT_INCREASE: u64 = 1;
const WHOLE_LEVEL: u64 = 2;
const FLOAT_LEVEL: u64 = 3;
const HISTOGRAM: u64 = 4;
const FORM_BITS: u32 = 3;
/// Integers that a float holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53

/// A value while it is read; a histogram's buckets are in the scratch list that was given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Read {
    Increase(f64),
    Level(f64),
    Histogram { sum: u64 },
}

/// Values being read, by ascending series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) input: Input<'a>,
    pub(super) left: usize,
    next: u64,
}

impl<'a> Values<'a> {
    pub(super) fn new(input: Input<'a>, count: usize) -> Self {
        Self { input, left: count, next: 0 }
    }

    /// The next value; its buckets replace those in `buckets`. `None` at the end.
    pub(super) fn read(&mut self, buckets: &mut Vec<(u16, u64)>) -> Option<Result<(SeriesId, Read), Malformed>> {
        self.left = self.left.checked_sub(1)?;
        Some(self.read_one(buckets).ok_or(Malformed))
    }

    fn read_one(&mut self, buckets: &mut Vec<(u16, u64)>) -> Option<(SeriesId, Read)> {
        let head = self.input.number()?;
        let id = self.next.checked_add(head >> FORM_BITS)?;
        self.next = id + 1;
        let read = match head & ((1 << FORM_BITS) - 1) {
            WHOLE_INCREASE => Read::Increase(self.input.signed()? as f64),
            FLOAT_INCREASE => Read::Increase(self.input.float()?),
            WHOLE_LEVEL => Read::Level(self.input.signed()? as f64),
            FLOAT_LEVEL => Read::Level(self.input.float()?),
            HISTOGRAM => {
                read_buckets(&mut self.input, buckets)?;
                Read::Histogram { sum: self.input.number()? }
            }
            _ => return None,
        };
        Some((SeriesId::try_from(id).ok()?, read))
    }
}

/// Reads ascending buckets with their counts.
pub(super) fn read_buckets(input: &mut Input<'_>, buckets: &mut Vec<(u16, u64)>) -> Option<()> {
    let count = input.count().filter(|count| *count <= BUCKETS_MAX + 1)?;
    buckets.clear();
    let (mut next, mut total) = (0_u64, 0_u64);
    for _ in 0..count {
        let head = input.number()?;
        let bucket = next.checked_add(head >> 1)?;
        let count = if head & 1 == 0 { 1 } else { input.number()?.checked_add(2)? };
        total = total.checked_add(count)?;
        buckets.push((u16::try_from(bucket).ok()?, count));
        next = bucket + 1;
    }
    Some(())
}

/// Writes ascending buckets with their counts; empty ones are left out.
pub(super) fn write_buckets(out: &mut Output, buckets: &[(u16, u64)]) {
    let filled = || buckets.iter().filter(|(_, count)| *count > 0);
    out.number(filled().count() as u64);
    let mut next = 0;
    for &(bucket, count) in filled() {
        let gap = u64::from(bucket).saturating_sub(next);
        next = u64::from(bucket) + 1;
        out.number((gap << 1) | u64::from(count != 1));
        if count != 1 {
            out.number(count - 2);
        }
    }
}

impl Read {
    /// The value on its own, with the buckets that were read.
    pub(super) fn into_value(self, buckets: &[(u16, u64)]) -> Value {
        match self {
            Self::Increase(number) => Value::Increase(number),
            Self::Level(number) => Value::Level(number),
            Self::Histogram { sum } => Value::Histogram(Histogram {
                count: buckets.iter().map(|(_, count)| count).sum(), // checked while reading
                sum,
                buckets: buckets.to_vec(),
            }),
        }
    }
}

/// Values being written, by ascending series.
#[derive(Debug, Default)]
pub(super) struct ValueWriter {
    pub(super) out: Output,
    pub(super) count: u64,
    next: u64,
}

impl ValueWriter {
    /// A writer with room for about as many bytes, and an eighth more.
    pub(super) fn with_room(bytes: usize) -> Self {
        Self { out: Output(Vec::with_capacity(bytes + bytes / 8)), ..Self::default() }
    }

    fn head(&mut self, id: SeriesId, form: u64) {
        let id = u64::from(id);
        debug_assert!(id >= self.next, "series ascend");
        self.out.number((id.saturating_sub(self.next) << FORM_BITS) | form);
        self.next = id + 1;
        self.count += 1;
    }

    pub(super) fn increase(&mut self, id: SeriesId, number: f64) {
        self.number(id, number, WHOLE_INCREASE);
    }

    pub(super) fn level(&mut self, id: SeriesId, number: f64) {
        self.number(id, number, WHOLE_LEVEL);
    }

    fn number(&mut self, id: SeriesId, number: f64, whole: u64) {
        let is_whole = number.fract() == 0.0 && number.abs() < EXACT && (number != 0.0 || number.is_sign_positive());
        if is_whole {
            self.head(id, whole);
            #[expect(clippy::cast_possible_truncation, reason = "integral and below 2^53")]
            self.out.signed(number as i64);
        } else {
            self.head(id, whole + 1);
            self.out.0.extend_from_slice(&number.to_bits().to_le_bytes());
        }
    }

    /// `buckets` ascend; empty ones are left out.
    pub(super) fn histogram(&mut self, id: SeriesId, buckets: &[(u16, u64)], sum: u64) {
        self.head(id, HISTOGRAM);
        write_buckets(&mut self.out, buckets);
        self.out.number(sum);
    }
}
