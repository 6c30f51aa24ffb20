//! The samples of one series, oldest first, bounded by who keeps it. Targets, metrics and windows of rules are not known
//! here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::samples::LOOKBACK;
use crate::buckets::{Grid, GridKind};
use crate::histogram::Histogram;
use crate::snapshot::{Family, Snapshot};
use crate::time::UnixMillis;

const NUMBER_BYTES: usize = 16;
const SERIES_BYTES: usize = 256;

/// The samples of one series.
#[derive(Debug, Clone)]
pub(super) enum Series {
    Numbers(Ring<f64>),
    Histograms {
        /// Upper bounds of the buckets, ascending, without infinity.
        boundaries: Arc<[f64]>,
        ring: Ring<Arc<Classic>>,
    },
}

/// A histogram as Prometheus has it: cumulative counts up to each boundary.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Classic {
    /// Counts at or below each boundary, and the count of all values last.
    pub(super) cumulative: Box<[f64]>,
    /// The sum of the values in the metric's unit.
    pub(super) sum: f64,
}

/// Turns the histograms of one family into classic ones, as the agent's page for Prometheus has them.
pub(super) struct Coarse {
    grid: Arc<Grid>,
    /// The metric's boundaries and those the service added to its grid.
    boundaries: Arc<[f64]>,
    /// The bucket of the grid that each boundary ends.
    ends: Vec<usize>,
}

impl Coarse {
    /// `None` when the grid lacks one of the boundaries.
    pub(super) fn new(snapshot: &Snapshot, family: &Family, usual: &Arc<[f64]>) -> Option<Self> {
        let kind = family.grid_kind();
        let grid = snapshot.grid(kind).ok()?;
        let extra = snapshot.extra_boundaries.get(&kind).filter(|extra| !extra.is_empty());
        let boundaries = extra.map_or_else(|| Arc::clone(usual), |extra| united(usual, extra, kind));
        let ends: Option<Vec<usize>> = boundaries.iter().map(|bound| grid.boundary(*bound)).collect();
        Some(Self { ends: ends?, grid, boundaries })
    }

    /// An empty series for such histograms.
    pub(super) fn series(&self) -> Series {
        Series::Histograms { boundaries: Arc::clone(&self.boundaries), ring: Ring::default() }
    }

    /// Adds a sample, which shares its value with the one before when nothing was recorded in between. A series with other
    /// boundaries is begun anew.
    pub(super) fn push(&self, series: &mut Series, at: UnixMillis, histogram: &Histogram) {
        if !matches!(series, Series::Histograms { boundaries, .. } if *boundaries == self.boundaries) {
            *series = self.series();
        }
        let Series::Histograms { ring, .. } = series else { return };
        let value = self.classic(histogram);
        let unchanged = ring.points.back().filter(|(_, before)| **before == value);
        let value = unchanged.map_or_else(|| Arc::new(value), |(_, before)| Arc::clone(before));
        ring.push(at, value);
    }

    fn classic(&self, histogram: &Histogram) -> Classic {
        let mut buckets = histogram.buckets.iter().peekable();
        let mut below = 0_u64;
        let mut cumulative: Vec<f64> = Vec::with_capacity(self.ends.len() + 1);
        for end in &self.ends {
            while let Some((_, count)) = buckets.next_if(|(index, _)| usize::from(*index) <= *end) {
                below = below.saturating_add(*count);
            }
            cumulative.push(below as f64);
        }
        cumulative.push(histogram.count as f64);
        Classic { cumulative: cumulative.into(), sum: histogram.sum_in_unit(&self.grid) }
    }
}

/// Both sets of boundaries in one, the second given in the grid's resolution.
fn united(usual: &[f64], extra: &[u64], kind: GridKind) -> Arc<[f64]> {
    let extra = extra.iter().map(|&bound| bound as f64 / kind.per_unit() as f64);
    let mut boundaries: Vec<f64> = usual.iter().copied().chain(extra).collect();
    boundaries.sort_by(f64::total_cmp);
    boundaries.dedup();
    boundaries.into()
}

impl Series {
    pub(super) fn newest(&self) -> Option<UnixMillis> {
        match self {
            Self::Numbers(ring) => ring.newest(),
            Self::Histograms { ring, .. } => ring.newest(),
        }
    }

    pub(super) fn oldest(&self) -> Option<UnixMillis> {
        match self {
            Self::Numbers(ring) => ring.points.front().map(|(at, _)| *at),
            Self::Histograms { ring, .. } => ring.points.front().map(|(at, _)| *at),
        }
    }

    /// The newest sample at or before `at`, whether or not the series ended since.
    pub(super) fn newest_at_or_before(&self, at: UnixMillis) -> Option<UnixMillis> {
        match self {
            Self::Numbers(ring) => ring.newest_at_or_before(at),
            Self::Histograms { ring, .. } => ring.newest_at_or_before(at),
        }
    }

    pub(super) fn mark_stale(&mut self, at: UnixMillis) {
        match self {
            Self::Numbers(ring) => ring.mark_stale(at),
            Self::Histograms { ring, .. } => ring.mark_stale(at),
        }
    }

    /// Drops what is not newer than `cut`, but never the newest sample; returns how many went.
    pub(super) fn drop_through(&mut self, cut: UnixMillis) -> usize {
        match self {
            Self::Numbers(ring) => ring.drop_through(cut),
            Self::Histograms { ring, .. } => ring.drop_through(cut),
        }
    }

    /// Drops samples that are less than `spacing` newer than the one kept before; returns how many went.
    pub(super) fn thin(&mut self, spacing: Duration) -> usize {
        match self {
            Self::Numbers(ring) => ring.thin(spacing),
            Self::Histograms { ring, .. } => ring.thin(spacing),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        SERIES_BYTES
            + match self {
                Self::Numbers(ring) => ring.points.len() * NUMBER_BYTES,
                Self::Histograms { ring, .. } => ring.points.len() * NUMBER_BYTES + ring.own_bytes,
            }
    }
}

/// The samples of one series, oldest first.
#[derive(Debug, Clone)]
pub(super) struct Ring<T> {
    points: VecDeque<(UnixMillis, T)>,
    /// Points in time at which the series was known to have ended.
    ends: VecDeque<UnixMillis>,
    /// Bytes of values that are not inline and not shared between samples.
    own_bytes: usize,
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { points: VecDeque::new(), ends: VecDeque::new(), own_bytes: 0 }
    }
}

impl<T: Weigh> Ring<T> {
    pub(super) fn push(&mut self, at: UnixMillis, value: T) {
        if self.points.back().is_none_or(|(_, before)| !before.shares_with(&value)) {
            self.own_bytes += value.own_bytes();
        }
        self.points.push_back((at, value));
    }

    pub(super) fn mark_stale(&mut self, at: UnixMillis) {
        let alive = self.ends.back().is_none_or(|end| self.newest().is_some_and(|newest| newest > *end));
        if alive {
            self.ends.push_back(at);
        }
    }

    pub(super) fn newest(&self) -> Option<UnixMillis> {
        self.points.back().map(|(at, _)| *at)
    }

    fn newest_at_or_before(&self, at: UnixMillis) -> Option<UnixMillis> {
        let after = self.points.partition_point(|(point, _)| *point <= at);
        self.points.get(after.checked_sub(1)?).map(|(point, _)| *point)
    }

    /// The samples in `(from, to]`.
    pub(super) fn window(&self, from: UnixMillis, to: UnixMillis) -> impl Iterator<Item = &(UnixMillis, T)> {
        let start = self.points.partition_point(|(at, _)| *at <= from);
        let end = self.points.partition_point(|(at, _)| *at <= to).max(start);
        self.points.range(start..end)
    }

    /// The newest sample in `(at - look-back, at]`, unless the series ended after it.
    pub(super) fn instant(&self, at: UnixMillis) -> Option<&T> {
        let after = self.points.partition_point(|(point, _)| *point <= at);
        let (point, value) = self.points.get(after.checked_sub(1)?)?;
        let ended = self.ends.iter().any(|end| *point < *end && *end <= at);
        (!ended && *point + LOOKBACK > at).then_some(value)
    }

    fn thin(&mut self, spacing: Duration) -> usize {
        let (before, newest) = (self.points.len(), self.newest());
        let mut kept: Option<UnixMillis> = None;
        self.points.retain(|(at, _)| {
            let keep = kept.is_none_or(|kept| at.since(kept) >= spacing) || Some(*at) == newest;
            if keep {
                kept = Some(*at);
            }
            keep
        });
        let mut own_bytes = 0;
        let mut last: Option<&T> = None;
        for (_, value) in &self.points {
            if last.is_none_or(|last| !last.shares_with(value)) {
                own_bytes += value.own_bytes();
            }
            last = Some(value);
        }
        self.own_bytes = own_bytes;
        before - self.points.len()
    }

    pub(super) fn drop_through(&mut self, cut: UnixMillis) -> usize {
        let before = self.points.len();
        while self.points.len() > 1 && self.points.front().is_some_and(|(at, _)| *at <= cut) {
            let Some((_, gone)) = self.points.pop_front() else { break };
            if self.points.front().is_none_or(|(_, next)| !next.shares_with(&gone)) {
                self.own_bytes -= gone.own_bytes();
            }
        }
        while self.ends.len() > 1 && self.ends.front().is_some_and(|at| *at <= cut) {
            self.ends.pop_front();
        }
        before - self.points.len()
    }
}

/// What a sample weighs beyond its place in the ring.
pub(super) trait Weigh {
    fn own_bytes(&self) -> usize;
    fn shares_with(&self, other: &Self) -> bool;
}

impl Weigh for f64 {
    fn own_bytes(&self) -> usize {
        0
    }

    fn shares_with(&self, _: &Self) -> bool {
        false
    }
}

impl Weigh for Arc<Classic> {
    fn own_bytes(&self) -> usize {
        const ALLOCATIONS_BYTES: usize = 64;
        self.cumulative.len() * size_of::<f64>() + ALLOCATIONS_BYTES
    }

    fn shares_with(&self, other: &Self) -> bool {
        Self::ptr_eq(self, other)
    }
}
