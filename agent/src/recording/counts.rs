//! Counts of neighbouring buckets, as far out as values were seen; which buckets they are is the series' business.

use std::ops::Range;

use heartline_shared::buckets::Cells;

use super::log::Entry;
use super::series::{SeriesId, VALUE_MAX};

/// Ranges begin and end at multiples of this.
const STEP: usize = 16;

/// The counts of a range of buckets, 0 outside of it.
///
/// A count has 16 bits here and what does not fit in `carries`: there a count of 1 is 65,536, or 65,536 times the one
/// before. A series whose values lie within two decades takes half a kilobyte.
#[derive(Debug)]
pub(super) struct Counts {
    low: Box<[u16]>,
    /// The bucket of the first of them.
    first: usize,
    carries: Option<Box<Carries>>,
}

/// One list of counts for each sixteen bits; few series have any.
#[derive(Debug, Default)]
struct Carries(Vec<Box<[u16]>>);

impl Counts {
    pub(super) fn new() -> Self {
        Self { low: Box::default(), first: 0, carries: None }
    }

    /// Adds one; `false` outside of the range, and when the count went from 65,535 to 0: then 65,536 are to be
    /// [added](Self::add).
    #[inline]
    pub(super) fn increment(&mut self, bucket: usize) -> bool {
        let Some(count) = self.low.get_mut(bucket.wrapping_sub(self.first)) else { return false };
        *count = count.wrapping_add(1);
        *count != 0
    }

    /// Counts a value; does not when its bucket [refuses](Self::increment) or `cells` do not know it.
    #[inline]
    pub(super) fn count(&mut self, cells: &Cells, value: u64) -> bool {
        self.increment(cells.bucket(value))
    }

    /// [Counts](Self::count) the leading `entries` that are of this series. Returns those behind them, the sum of what was
    /// counted, and a value that was not: then it is that of the entry before.
    #[inline]
    pub(super) fn count_all<'a, E: Entry>(
        &mut self,
        cells: &Cells,
        (series, entries): (SeriesId, &'a [E]),
    ) -> (&'a [E], u64, Option<u64>) {
        let mut rest = entries;
        let mut sum = 0_u64;
        while let [entry, others @ ..] = rest {
            // entries of one series differ from its smallest one by their values
            let value = entry.load().wrapping_sub(series.entry(0));
            if value > VALUE_MAX {
                break;
            }
            rest = others;
            if !self.count(cells, value) {
                return (rest, sum, Some(value));
            }
            sum = sum.wrapping_add(value);
        }
        (rest, sum, None)
    }

    /// Adds to a bucket of the range; returns how many bytes that took. Does nothing outside of the range.
    pub(super) fn add(&mut self, bucket: usize, amount: u64) -> usize {
        let at = bucket.wrapping_sub(self.first);
        let before = self.bytes();
        let Some(low) = self.low.get_mut(at) else { return 0 };
        let mut amount = add_to(low, amount);
        let mut level = 0;
        while amount > 0 {
            let carries = &mut self.carries.get_or_insert_default().0;
            if carries.len() == level {
                carries.push(vec![0; self.low.len()].into());
            }
            amount = add_to(&mut carries[level][at], amount);
            level += 1;
        }
        self.bytes() - before
    }

    /// How many bytes [`reach`](Self::reach) would take.
    pub(super) fn bytes_to_reach(&self, bucket: usize, buckets: usize) -> usize {
        let more = self.range_with(bucket, buckets).len().saturating_sub(self.low.len());
        more * size_of::<u16>() * (1 + self.carries().len())
    }

    /// Extends the range to a bucket, with some room beyond; there are so many buckets.
    pub(super) fn reach(&mut self, bucket: usize, buckets: usize) {
        let range = self.range_with(bucket, buckets);
        let at = self.first.saturating_sub(range.start);
        let extended = |counts: &[u16]| {
            let mut more: Box<[u16]> = vec![0; range.len()].into();
            more.iter_mut().skip(at).zip(counts).for_each(|(more, count)| *more = *count);
            more
        };
        self.low = extended(&self.low);
        self.first = range.start;
        if let Some(carries) = &mut self.carries {
            carries.0.iter_mut().for_each(|carry| *carry = extended(carry));
        }
    }

    /// Whether a bucket is in the range.
    pub(super) fn reaches(&self, bucket: usize) -> bool {
        bucket.wrapping_sub(self.first) < self.low.len()
    }

    /// The range of buckets.
    pub(super) fn range(&self) -> Range<usize> {
        self.first..self.first + self.low.len()
    }

    /// Calls `add` with each bucket that has a count, and with its count.
    pub(super) fn each(&self, mut add: impl FnMut(usize, u64)) {
        for ((at, &low), bucket) in self.low.iter().enumerate().zip(self.first..) {
            let carried = self.carries().iter().rev().fold(0_u64, |sum, carry| sum << 16 | u64::from(carry[at]));
            let count = carried << 16 | u64::from(low);
            if count > 0 {
                add(bucket, count);
            }
        }
    }

    /// All counts, with the bucket of the first of them, where none has more than sixteen bits.
    pub(super) fn narrow(&self) -> Option<(usize, &[u16])> {
        self.carries.is_none().then_some((self.first, &self.low))
    }

    /// Bytes of the counts.
    pub(super) fn bytes(&self) -> usize {
        self.low.len() * size_of::<u16>() * (1 + self.carries().len())
    }

    fn carries(&self) -> &[Box<[u16]>] {
        self.carries.as_ref().map_or(&[], |carries| &carries.0)
    }

    /// The range that contains a bucket too; it grows by a quarter at least, so that it seldom does.
    fn range_with(&self, bucket: usize, buckets: usize) -> Range<usize> {
        let range = self.range();
        let slack = range.len() / 4;
        let (start, end) = match bucket {
            _ if range.is_empty() => (bucket, bucket + 1),
            below if below < range.start => (below.min(range.start.saturating_sub(slack)), range.end),
            above if above >= range.end => (range.start, (above + 1).max(range.end + slack)),
            _ => (range.start, range.end),
        };
        start / STEP * STEP..end.next_multiple_of(STEP).min(buckets.next_multiple_of(STEP))
    }
}

/// Adds to sixteen bits; returns what is carried.
fn add_to(count: &mut u16, amount: u64) -> u64 {
    let sum = u64::from(*count) + (amount & 0xffff);
    *count = u16::try_from(sum & 0xffff).unwrap_or(u16::MAX);
    (sum >> 16) + (amount >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(counts: &Counts) -> Vec<(usize, u64)> {
        let mut all = Vec::new();
        counts.each(|bucket, count| all.push((bucket, count)));
        all
    }

    #[test]
    fn counts_go_on_past_sixteen_and_thirty_two_bits() {
        let mut counts = Counts::new();
        counts.reach(3, 1_000);
        let mut taken = counts.add(3, 65_534);
        for _ in 0..3 {
            if !counts.increment(3) {
                taken += counts.add(3, 1 << 16);
            }
        }
        assert_eq!((all(&counts), taken), (vec![(3, 65_537)], counts.bytes() / 2));
        counts.add(3, u64::from(u32::MAX) * 7);
        assert_eq!(all(&counts), [(3, 65_537 + u64::from(u32::MAX) * 7)]);
        counts.add(3, u64::MAX >> 1);
        assert_eq!(all(&counts), [(3, 65_537 + u64::from(u32::MAX) * 7 + (u64::MAX >> 1))]);
    }

    #[test]
    fn what_was_counted_stays_where_it_is_when_the_range_grows_to_either_side() {
        let mut counts = Counts::new();
        let mut taken = 0;
        for bucket in [500, 480, 1_001, 7, 0, 1_002] {
            taken += counts.bytes_to_reach(bucket, 1_003);
            counts.reach(bucket, 1_003);
            taken += counts.add(bucket, 100_000 + bucket as u64);
        }
        let expected = [0, 7, 480, 500, 1_001, 1_002].map(|bucket| (bucket, 100_000 + bucket as u64));
        assert_eq!((all(&counts), counts.bytes()), (expected.to_vec(), taken));
    }

    #[test]
    fn a_bucket_outside_of_the_range_is_refused() {
        let mut counts = Counts::new();
        assert!(!counts.increment(5));
        counts.reach(40, 1_000);
        assert_eq!([31, 32, 47, 48].map(|bucket| counts.increment(bucket)), [false, true, true, false]);
    }
}
