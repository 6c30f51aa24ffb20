//! The one bucket grid that every histogram uses, so that each export is an exact coarsening of it.
//!
//! Boundaries are upper-inclusive, as in OpenTelemetry and Prometheus: bucket `i` holds `bound[i-1] < v <= bound[i]`,
//! and one bucket past the last boundary holds everything above it. Values and boundaries are integers in the grid's
//! resolution: nanoseconds for durations, the plain number for sizes and counts.
//!
//! Durations use the base-2 exponential boundaries `2^(k/32)` seconds (scale 5 of the [OpenTelemetry exponential
//! histogram][exp], about 1.1 % relative error at the middle of a bucket) from 1 µs to 1 h, united with the explicit
//! boundaries of the catalogue. Sizes and counts use scale 3 from 1 to 2^40, united with 0 and the powers of two.
//!
//! Buckets form groups for when memory is short: a quarter as many, each ending at a boundary of a scale that is coarser
//! by two or at an explicit one, so that thresholds stay exact.
//!
//! [exp]: https://opentelemetry.io/docs/specs/otel/metrics/data-model/#exponentialhistogram

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::catalog;
use crate::error::Error;

/// `2^(j/32)` for `j` in `0..32`, in units of `2^-63`, rounded down.
pub(crate) const ROOTS: [u64; 32] = [
    0x8000_0000_0000_0000,
    0x82cd_8698_ac2b_a1d7,
    0x85aa_c367_cc48_7b14,
    0x8898_0e80_92da_8527,
    0x8b95_c1e3_ea8b_d6e6,
    0x8ea4_398b_45cd_53c0,
    0x91c3_d373_ab11_c336,
    0x94f4_efa8_fef7_0961,
    0x9837_f051_8db8_a96f,
    0x9b8d_39b9_d54e_5538,
    0x9ef5_3260_91a1_11ad,
    0xa270_4303_0c49_6818,
    0xa5fe_d6a9_b151_38ea,
    0xa9a1_5ab4_ea7c_0ef8,
    0xad58_3eea_42a1_4ac6,
    0xb123_f581_d2ac_258f,
    0xb504_f333_f9de_6484,
    0xb8fb_af47_62fb_9ee9,
    0xbd08_a39f_580c_36be,
    0xc12c_4cca_6670_9456,
    0xc567_2a11_5506_dadd,
    0xc9b9_bd86_6e2f_27a2,
    0xce24_8c15_1f84_80e3,
    0xd2a8_1d91_f12a_e45a,
    0xd744_fcca_d69d_6af4,
    0xdbfb_b797_daf2_3755,
    0xe0cc_deec_2a94_e111,
    0xe5b9_06e7_7c83_48a8,
    0xeac0_c6e7_dd24_392e,
    0xefe4_b99b_dcda_f5cb,
    0xf525_7d15_2486_cc2c,
    0xfa83_b2db_722a_033a,
];

/// Table cells per octave, as a power of two: a cell is 0.8 to 1.6 % wide, and an exponential bucket 2.2 %, so that only an
/// explicit boundary shares a cell with another one.
const CELL_BITS: u32 = 6;
/// Cells for 64 octaves, so that a look-up need not check that it stays inside.
const CELLS: usize = 64 << CELL_BITS;
/// A table entry has its bucket above these bits, and below them what carries into it when a value above the boundary is
/// added.
const BUCKET_SHIFT: u32 = 51;

/// Nanoseconds in a second: the resolution of the duration grid.
const NANOS: u64 = 1_000_000_000;
const DURATION_MIN: u64 = 1_000;
const DURATION_MAX: u64 = 3_600 * NANOS;
const COUNT_MAX: u64 = 1 << 40;
/// Above every boundary, and small enough that a float and the lower bits of a table entry hold it.
const VALUE_CAP: u64 = 1 << (BUCKET_SHIFT - 1);

/// How many buckets a grid may have, and so how many boundaries a service may add: about a hundred.
pub const BUCKETS_MAX: usize = 1_152;
/// Exponential boundaries of the grid from one end of a group to the next.
const BOUNDS_PER_GROUP: usize = 4;

/// Which grid a histogram uses; on the wire `"duration"` or `"count"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GridKind {
    /// Nanoseconds from 1 µs to 1 h; exported in seconds.
    Duration,
    /// Bytes, rows, items: integers from 0 to 2^40.
    Count,
}

impl GridKind {
    /// How many resolution units make one unit of the metric: 10^9 ns a second, or 1.
    pub const fn per_unit(self) -> u64 {
        match self {
            Self::Duration => NANOS,
            Self::Count => 1,
        }
    }

    /// The grid of a metric with this unit: `s` is a duration, everything else a count.
    pub fn for_unit(unit: &str) -> Self {
        if unit == "s" { Self::Duration } else { Self::Count }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Duration => "duration",
            Self::Count => "count",
        }
    }
}

/// Sorted integer boundaries with a table that finds the bucket of a value in one addition.
///
/// ```
/// use heartline_shared::{Grid, GridKind};
///
/// let grid = Grid::of(GridKind::Duration);
/// let half_a_second = 500_000_000;
/// let bucket = grid.index(half_a_second);
/// assert_eq!(grid.upper_bound(bucket), Some(half_a_second)); // upper-inclusive
/// assert_eq!(grid.index(half_a_second + 1), bucket + 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    kind: GridKind,
    bounds: Box<[u64]>,
    cells: Cells,
    /// The group of each bucket.
    group_of: Box<[u16]>,
    /// The last bucket of each group.
    last_in_group: Box<[u16]>,
}

static DURATION: LazyLock<Arc<Grid>> = LazyLock::new(|| built_in(GridKind::Duration));
static COUNT: LazyLock<Arc<Grid>> = LazyLock::new(|| built_in(GridKind::Count));

fn built_in(kind: GridKind) -> Arc<Grid> {
    Arc::new(Grid::with_bounds(kind, &[]).expect("the built-in boundaries fit; a test builds them"))
}

impl Grid {
    /// The built-in grid of this kind.
    pub fn of(kind: GridKind) -> Arc<Self> {
        Arc::clone(match kind {
            GridKind::Duration => &DURATION,
            GridKind::Count => &COUNT,
        })
    }

    /// The built-in grid united with `extra` boundaries, in the grid's resolution.
    ///
    /// # Errors
    /// A boundary outside the grid's range, or more boundaries than there is room for.
    pub fn with_bounds(kind: GridKind, extra: &[u64]) -> Result<Self, Error> {
        let (min, max) = match kind {
            GridKind::Duration => (DURATION_MIN, DURATION_MAX),
            GridKind::Count => (0, COUNT_MAX),
        };
        let outside = extra.iter().find(|bound| !(min..=max).contains(*bound));
        if let Some(&boundary) = outside {
            let reason = "it must lie from 1 µs to 1 h, or from 0 to 2^40 for counts";
            return Err(Error::Boundary { grid: kind.name(), boundary, reason });
        }
        let explicit: Vec<u64> =
            catalog::explicit_bounds(kind).chain(extra.iter().copied()).chain([min, max]).collect();
        let bounds = united(exponential_bounds(kind, min, max, 1), &explicit);
        if bounds.len() >= BUCKETS_MAX {
            let boundary = extra.last().copied().unwrap_or_default();
            let reason = "a grid has room for about 100 boundaries of the service's own";
            return Err(Error::Boundary { grid: kind.name(), boundary, reason });
        }
        let ends = united(exponential_bounds(kind, min, max, BOUNDS_PER_GROUP), &explicit);
        let (group_of, last_in_group) = groups(&bounds, &ends);
        let cells = Cells::of(&bounds);
        Ok(Self { kind, bounds: bounds.into(), cells, group_of, last_in_group })
    }

    /// Which kind of grid this is.
    pub fn kind(&self) -> GridKind {
        self.kind
    }

    /// The boundaries, ascending, in the grid's resolution.
    pub fn bounds(&self) -> &[u64] {
        &self.bounds
    }

    /// How many buckets there are: one more than boundaries.
    pub fn len(&self) -> usize {
        self.bounds.len() + 1
    }

    /// A grid always has buckets.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The bucket of `value`, in the grid's resolution.
    #[inline]
    pub fn index(&self, value: u64) -> usize {
        let bucket = self.cells.bucket(value);
        if bucket == Cells::CROWDED { self.index_in_crowd(value) } else { bucket }
    }

    /// What a loop over many values keeps at hand.
    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// The bucket of a value whose cell has several boundaries.
    #[cold]
    fn index_in_crowd(&self, value: u64) -> usize {
        let first = self.cells.first_of_crowd(value);
        first + self.bounds.iter().skip(first).take_while(|&&bound| bound < value).count()
    }

    /// How many groups of buckets there are.
    pub fn groups(&self) -> usize {
        self.last_in_group.len()
    }

    /// The group that a bucket belongs to; the last one for a bucket that is not there.
    #[inline]
    pub fn group(&self, bucket: usize) -> usize {
        self.group_of.get(bucket).map_or(self.last_in_group.len() - 1, |&group| usize::from(group))
    }

    /// The last bucket of a group: values whose bucket is forgotten count there, so that no threshold at the end of a
    /// group is wrong and no quantile too low.
    #[inline]
    pub fn last_in_group(&self, group: usize) -> usize {
        self.last_in_group.get(group).map_or(self.bounds.len(), |&bucket| usize::from(bucket))
    }

    /// The upper bound of a bucket, inclusive; `None` for the last one, which has none.
    pub fn upper_bound(&self, bucket: usize) -> Option<u64> {
        self.bounds().get(bucket).copied()
    }

    /// The lower bound of a bucket, exclusive; 0 for the first one, which holds 0 too.
    pub fn lower_bound(&self, bucket: usize) -> u64 {
        bucket.checked_sub(1).and_then(|below| self.bounds.get(below)).copied().unwrap_or(0)
    }

    /// The bucket whose upper bound is exactly `bound` (in the unit of the metric), if there is one.
    ///
    /// A threshold is exact in every export only where this is `Some`.
    pub fn boundary(&self, bound: f64) -> Option<usize> {
        let nearest = self.resolution(bound)?;
        // half a row or half a nanosecond is no boundary because one is near; a decimal fraction as a float is
        let is_exact = (bound * self.kind.per_unit() as f64 - nearest as f64).abs() <= nearest as f64 * 1e-9;
        self.bounds().binary_search(&nearest).ok().filter(|_| is_exact)
    }

    /// `value`, in the unit of the metric, as an integer of the grid's resolution; `None` when negative or not finite.
    pub fn resolution(&self, value: f64) -> Option<u64> {
        let scaled = (value * self.kind.per_unit() as f64).round();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
        (scaled.is_finite() && (0.0..1.8e19).contains(&scaled)).then_some(scaled as u64)
    }
}

/// Finds most buckets of one grid: a table of what is added to a value, so that its bucket stands in the highest bits.
///
/// A cell is a range of values. Where one boundary lies in it, a value above that carries into the next bucket. Clones share
/// the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cells(Arc<[u64; CELLS]>);

impl Cells {
    /// No bucket: the value lies beside several boundaries, and [`Grid::index`] tells which.
    pub const CROWDED: usize = (u64::MAX >> BUCKET_SHIFT) as usize;
    /// In an entry with one boundary, a value above it carries.
    const CARRY: u64 = (1 << BUCKET_SHIFT) - 1;

    /// The bucket of `value`, in the grid's resolution, or [`CROWDED`](Self::CROWDED).
    #[inline]
    pub fn bucket(&self, value: u64) -> usize {
        let capped = value.min(VALUE_CAP);
        (self.0[cell(capped)].wrapping_add(capped) >> BUCKET_SHIFT) as usize
    }

    /// The table of these boundaries, which are fewer than [`BUCKETS_MAX`] and sorted.
    fn of(bounds: &[u64]) -> Self {
        let mut cells = vec![0; CELLS];
        let mut next_cell = 0;
        let mut bucket = 0;
        for crowd in bounds.chunk_by(|a, b| cell(*a) == cell(*b)) {
            let at = cell(crowd[0]);
            cells[next_cell..at].fill(bucket << BUCKET_SHIFT);
            cells[at] = match crowd {
                [bound] => (bucket << BUCKET_SHIFT) + (Self::CARRY - bound),
                _ => (Self::CROWDED as u64) << BUCKET_SHIFT | bucket,
            };
            (next_cell, bucket) = (at + 1, bucket + crowd.len() as u64);
        }
        cells[next_cell..].fill(bucket << BUCKET_SHIFT);
        let cells: Arc<[u64]> = cells.into();
        Self(cells.try_into().unwrap_or_else(|_| unreachable!("so many were made")))
    }

    /// The first boundary in the crowded cell of `value`.
    fn first_of_crowd(&self, value: u64) -> usize {
        (self.0[cell(value.min(VALUE_CAP))] & Self::CARRY) as usize
    }
}

/// Every `every`-th of the grid's boundaries `2^(k/per_octave)` of the metric's unit that lie from `min` to `max`.
fn exponential_bounds(kind: GridKind, min: u64, max: u64, every: usize) -> Vec<u64> {
    let step = every
        * match kind {
            GridKind::Duration => 1, // scale 5: 32 an octave
            GridKind::Count => 4,    // scale 3: 8 an octave
        };
    let octaves = -64_i32..64;
    let bound = |octave: i32, root: &u64| {
        let scaled = u128::from(*root) * u128::from(kind.per_unit());
        let shift = 63 - octave;
        u64::try_from(scaled.checked_shr(u32::try_from(shift).ok()?).unwrap_or(0)).ok()
    };
    octaves
        .flat_map(|octave| ROOTS.iter().step_by(step).filter_map(move |root| bound(octave, root)))
        .filter(|bound| (min..=max).contains(bound))
        .collect()
}

/// Both lists in one, ascending, without doubles.
fn united(mut bounds: Vec<u64>, more: &[u64]) -> Vec<u64> {
    bounds.extend(more);
    bounds.sort_unstable();
    bounds.dedup();
    bounds
}

/// The group of each bucket and the last bucket of each group; a group ends with the bucket whose upper bound is one of
/// `ends`, and the bucket above the last boundary is one of its own.
fn groups(bounds: &[u64], ends: &[u64]) -> (Box<[u16]>, Box<[u16]>) {
    let (mut group_of, mut last_in_group) = (Vec::with_capacity(bounds.len() + 1), Vec::with_capacity(ends.len() + 1));
    let is_end = |bucket: u16| bounds.get(usize::from(bucket)).is_none_or(|bound| ends.binary_search(bound).is_ok());
    for bucket in (0_u16..).take(bounds.len() + 1) {
        group_of.push(u16::try_from(last_in_group.len()).unwrap_or(u16::MAX));
        if is_end(bucket) {
            last_in_group.push(bucket);
        }
    }
    (group_of.into(), last_in_group.into())
}

/// The table cell of `value`, at most [`VALUE_CAP`]: the position of its highest bit and the `bits` bits behind it.
///
/// They are read from the bits of the float that the integer is converted to, which is exact as far as the grid goes. The
/// instruction that finds the highest bit of an integer would wait, on common processors, for the value found before.
#[inline]
const fn cell(value: u64) -> usize {
    const SHIFT: u32 = f64::MANTISSA_DIGITS - 1 - CELL_BITS;
    // two more, so that the octaves of a float, which are then 1,024 and more, begin at cell 0; a signed integer, because
    // that takes one instruction
    let float = (value + 2).cast_signed() as f64;
    (float.to_bits() >> SHIFT) as usize % CELLS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn linear_index(grid: &Grid, value: u64) -> usize {
        grid.bounds().iter().take_while(|&&bound| bound < value).count()
    }

    #[test]
    fn duration_grid_spans_one_microsecond_to_one_hour() {
        let grid = Grid::of(GridKind::Duration);
        assert_eq!(grid.bounds().first(), Some(&1_000));
        assert_eq!(grid.bounds().last(), Some(&3_600_000_000_000));
        assert!(grid.bounds().is_sorted_by(|a, b| a < b));
        assert!((1_016..1_080).contains(&grid.len()), "{}", grid.len());
    }

    #[test]
    fn every_catalogued_boundary_is_a_boundary_of_the_grid() {
        for metric in catalog::METRICS {
            let grid = Grid::of(GridKind::for_unit(metric.unit));
            for &bound in metric.boundaries {
                assert!(grid.boundary(bound).is_some(), "{} le {bound}", metric.name);
            }
        }
    }

    #[test]
    fn both_neighbours_of_every_boundary_land_on_their_own_side() {
        for kind in [GridKind::Duration, GridKind::Count] {
            let grid = Grid::of(kind);
            for (bucket, &bound) in grid.bounds().iter().enumerate() {
                assert_eq!(grid.index(bound), bucket, "at {bound}");
                assert_eq!(grid.index(bound + 1), bucket + 1, "above {bound}");
            }
            assert_eq!(grid.index(0), 0);
            assert_eq!(grid.index(u64::MAX), grid.bounds().len());
        }
    }

    #[test]
    fn a_bucket_is_at_most_two_point_two_percent_wide() {
        let grid = Grid::of(GridKind::Duration);
        for pair in grid.bounds().windows(2) {
            let ratio = pair[1] as f64 / pair[0] as f64;
            assert!(ratio < 1.023, "{pair:?} is {ratio}");
        }
    }

    #[test]
    fn groups_are_a_quarter_of_the_buckets_and_keep_every_explicit_boundary() {
        for kind in [GridKind::Duration, GridKind::Count] {
            let grid = Grid::of(kind);
            assert!(grid.groups() * 2 < grid.len(), "{} of {}", grid.groups(), grid.len());
            for bucket in 0..grid.len() {
                let last = grid.last_in_group(grid.group(bucket));
                assert!(last >= bucket && grid.group(last) == grid.group(bucket));
            }
            for bound in catalog::explicit_bounds(kind) {
                let bucket = grid.index(bound);
                assert_eq!(grid.last_in_group(grid.group(bucket)), bucket, "{bound} ends a group");
            }
        }
    }

    #[test]
    fn boundaries_however_close_together_are_told_apart() {
        let close = [123_456_789, 123_456_790, 123_456_791, 123_456_800];
        let grid = Grid::with_bounds(GridKind::Duration, &close).unwrap();
        let places = close.map(|bound| [grid.index(bound), grid.index(bound + 1)]);
        let first = places[0][0];
        assert_eq!(places, [[0, 1], [1, 2], [2, 3], [3, 4]].map(|at| at.map(|at| first + at)));
    }

    #[test]
    fn few_cells_are_crowded() {
        for (kind, most) in [(GridKind::Duration, 20), (GridKind::Count, 0)] {
            let grid = Grid::of(kind);
            let crowded = grid.cells.0.iter().filter(|entry| *entry >> BUCKET_SHIFT == Cells::CROWDED as u64).count();
            assert!(crowded <= most, "{crowded} of {kind:?}");
        }
    }

    #[test]
    fn a_grid_refuses_more_boundaries_than_a_series_has_room_for() {
        let extra: Vec<u64> = (0..400).map(|i| 2_000 + i * 7_919_000).collect();
        assert!(Grid::with_bounds(GridKind::Duration, &extra).unwrap_err().to_string().contains("about 100"));
    }

    #[test]
    fn what_is_only_near_a_boundary_is_none() {
        let (duration, count) = (Grid::of(GridKind::Duration), Grid::of(GridKind::Count));
        assert_eq!((count.boundary(0.5), count.boundary(1.4), duration.boundary(0.000_001_000_4)), (None, None, None));
        assert!(count.boundary(0.0).is_some() && count.boundary(1.0).is_some() && duration.boundary(0.3).is_some());
    }

    #[test]
    fn a_boundary_of_the_service_becomes_exact() {
        let grid = Grid::with_bounds(GridKind::Duration, &[123_456_789]).unwrap();
        assert_eq!(grid.upper_bound(grid.index(123_456_789)), Some(123_456_789));
    }

    #[test]
    fn a_boundary_out_of_range_says_what_would_fit() {
        let error = Grid::with_bounds(GridKind::Duration, &[999]).unwrap_err();
        assert!(error.to_string().contains("from 1 µs to 1 h"), "{error}");
    }

    proptest! {
        #[test]
        fn the_table_finds_the_bucket_that_a_scan_finds(value in 0_u64..4_000_000_000_000, extra in 1_000_u64..1_000_000_000) {
            let plain = Grid::of(GridKind::Duration);
            prop_assert_eq!(plain.index(value), linear_index(&plain, value));
            if let Ok(grid) = Grid::with_bounds(GridKind::Duration, &[extra]) {
                prop_assert_eq!(grid.index(value), linear_index(&grid, value));
            }
            let count = Grid::of(GridKind::Count);
            prop_assert_eq!(count.index(value), linear_index(&count, value));
        }
    }
}
