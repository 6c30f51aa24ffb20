//! What identifies a series between a log and a store, and how a record is written down; its name is not known here.

use std::sync::Arc;

use heartline_shared::Grid;

use super::budget::Budget;

/// Bits of the value in an entry of a log; the series has the others.
const VALUE_BITS: u32 = 40;
/// The largest value that an entry holds: 18 minutes in nanoseconds. Larger ones take the slow way.
pub(crate) const VALUE_MAX: u64 = (1 << VALUE_BITS) - 1;
/// How many series a process can have at a time.
const SERIES_MAX: u32 = (1 << (u64::BITS - VALUE_BITS)) - 1;

/// A series of this process, as long as its handle lives. It is kept where entries have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SeriesId(u64);

impl SeriesId {
    /// The series that nobody reads: for those beyond the sixteen millionth.
    pub(super) const SINK: Self = Self(0);

    /// The `index`-th series, the sink when there cannot be that many.
    pub(super) fn from_index(index: usize) -> Self {
        let index = u32::try_from(index).ok().filter(|&index| index <= SERIES_MAX);
        index.map_or(Self::SINK, |index| Self(u64::from(index) << VALUE_BITS))
    }

    #[inline]
    pub(super) const fn index(self) -> usize {
        (self.0 >> VALUE_BITS) as usize
    }

    /// A value of this series, at most [`VALUE_MAX`].
    #[inline]
    pub(super) const fn entry(self, value: u64) -> u64 {
        self.0 | value
    }

    /// The series of an entry.
    #[inline]
    pub(super) const fn of(entry: u64) -> Self {
        Self(entry & !VALUE_MAX)
    }
}

/// What the histograms of one grid and one agent have in common.
#[derive(Debug)]
pub(crate) struct Shape {
    pub(crate) grid: Arc<Grid>,
    pub(crate) budget: Arc<Budget>,
}

impl Shape {
    /// The shape of a series that no registry owns and no budget bounds: the agent's own, one of a kind.
    pub(crate) fn unbounded(grid: Arc<Grid>) -> Arc<Self> {
        Arc::new(Self { grid, budget: Arc::new(Budget::new(usize::MAX)) })
    }

    /// Bytes that a series needs however short memory is: counts of all groups, up to 2^32 in each.
    pub(crate) fn reserved_bytes(&self) -> usize {
        2 * self.grid.groups() * size_of::<u16>() + size_of::<super::counts::Counts>()
    }
}
