//! The histograms of all series, behind one lock; who may hold it and when is the recorder's business.

use std::ops::Range;
use std::sync::Arc;

use heartline_shared::buckets::{BUCKETS_MAX, Cells};
use heartline_shared::{Grid, GridKind};

use super::counts::Counts;
use super::log::Entry;
use super::series::{SeriesId, Shape};

/// Slots are made in groups of this many.
const SLOTS_STEP: usize = 32;
/// What folding leaves for the next reader, before it allocates itself.
const PENDING_MAX: usize = 256;

/// Bytes of a series in a store, without its counts.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

/// Every series' counts, as far as they were folded here.
#[derive(Debug)]
pub(super) struct Store {
    slots: Vec<Slot>,
    /// Counts that need memory which was not there when they were folded.
    pending: Vec<Pending>,
    rank: Rank,
    /// Entries that found no room here, for the first store.
    refused: Vec<u64>,
}

/// Whether every series has room reserved in this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rank {
    First,
    Further,
}

/// So many values in a bucket that its series has no memory for yet.
#[derive(Debug, Clone, Copy)]
struct Pending {
    series: SeriesId,
    bucket: u16,
    /// 1, or 65,536 that were carried.
    is_carry: bool,
}

/// The counts of one series while it is read.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Counts by bucket of the grid, 0 outside of `used`.
    counts: Box<[u64; BUCKETS_MAX]>,
    used: Range<usize>,
    sum: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: Box::new([0; BUCKETS_MAX]), used: 0..0, sum: 0 }
    }
}

impl Tally {
    /// Bytes of a tally.
    pub(super) const BYTES: usize = size_of::<Self>() + size_of::<[u64; BUCKETS_MAX]>();

    /// Forgets the series that was read before.
    pub(super) fn clear(&mut self) {
        self.counts[self.used.clone()].fill(0);
        (self.used, self.sum) = (0..0, 0);
    }

    /// Everything that was read.
    pub(super) fn histogram(&self) -> heartline_shared::Histogram {
        let first = u16::try_from(self.used.start).unwrap_or(u16::MAX);
        heartline_shared::Histogram::from_dense(first, self.counts[self.used.clone()].iter().copied(), self.sum)
    }

    fn add(&mut self, bucket: usize, count: u64) {
        let Some(tallied) = self.counts.get_mut(bucket) else { return };
        *tallied = tallied.wrapping_add(count);
        let used = if self.used.is_empty() { bucket..bucket } else { self.used.clone() };
        self.used = used.start.min(bucket)..used.end.max(bucket + 1);
    }
}

/// What a record touches of its series beside the count: one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Slot {
    counts: Counts,
    sum: u64,
    /// The shape's; of any grid while there is none, and no counts either.
    cells: Cells,
    shape: Option<Arc<Shape>>,
    /// Counts by group of buckets, once memory is short.
    coarse: Option<Box<Counts>>,
}

impl Slot {
    fn empty() -> Self {
        let cells = Grid::of(GridKind::Duration).cells().clone();
        Self { counts: Counts::new(), sum: 0, cells, shape: None, coarse: None }
    }

    /// Adds to a bucket whatever memory that takes; where memory is short and the first store has this slot, to the
    /// bucket's group.
    fn add(&mut self, bucket: usize, amount: u64, rank: Rank) {
        let Some(shape) = &self.shape else { return };
        let (budget, buckets) = (&shape.budget, shape.grid.len());
        if !self.counts.reaches(bucket) {
            let bytes = self.counts.bytes_to_reach(bucket, buckets);
            if budget.grow(bytes) {
                self.counts.reach(bucket, buckets);
            } else if rank == Rank::Further {
                budget.exceed(bytes);
                self.counts.reach(bucket, buckets);
            }
        }
        if self.counts.reaches(bucket) {
            budget.exceed(self.counts.add(bucket, amount));
            return;
        }
        let group = shape.grid.group(bucket);
        let coarse = self.coarse.get_or_insert_with(|| Box::new(Counts::new()));
        let before = coarse.bytes();
        coarse.reach(group, shape.grid.groups());
        coarse.add(group, amount);
        budget.draw(coarse.bytes() - before);
    }

    /// Adds everything to `tally`.
    fn read(&self, tally: &mut Tally) -> Option<&Arc<Shape>> {
        let shape = self.shape.as_ref()?;
        tally.sum = tally.sum.wrapping_add(self.sum);
        self.counts.each(|bucket, count| tally.add(bucket, count));
        if let Some(coarse) = &self.coarse {
            coarse.each(|group, count| tally.add(shape.grid.last_in_group(group), count));
        }
        Some(shape)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(shape) = &self.shape else { return };
        shape.budget.give_back(self.counts.bytes());
        shape.budget.undraw(self.coarse.as_ref().map_or(0, |coarse| coarse.bytes()));
    }
}

impl Store {
    pub(super) fn new(rank: Rank) -> Self {
        Self { slots: Vec::new(), pending: Vec::new(), rank, refused: Vec::new() }
    }

    /// Adds the values of a log's entries. `shape_of` is asked for a series that this store has not seen. Returns the
    /// entries that only the first store has room for; none, unless memory is short.
    #[must_use]
    pub(super) fn fold(
        &mut self,
        entries: &[impl Entry],
        shape_of: impl Fn(SeriesId) -> Option<Arc<Shape>>,
    ) -> Vec<u64> {
        let ends = [entries.first(), entries.last()].map(|entry| entry.map(|entry| SeriesId::of(entry.load())));
        if ends[0] == ends[1] {
            self.fold_runs(entries, &shape_of);
        } else {
            self.fold_mixed(entries, &shape_of);
        }
        std::mem::take(&mut self.refused)
    }

    /// Folds entries of which many neighbours are of one series.
    fn fold_runs(&mut self, entries: &[impl Entry], shape_of: &impl Fn(SeriesId) -> Option<Arc<Shape>>) {
        let mut rest = entries;
        while let [first, others @ ..] = rest {
            let series = SeriesId::of(first.load());
            let Some(Slot { counts, sum, cells, shape: Some(_), .. }) = self.slots.get_mut(series.index()) else {
                rest = if self.open(series, shape_of) { rest } else { others };
                continue;
            };
            let (others, counted, refused) = counts.count_all(cells, (series, rest));
            *sum = sum.wrapping_add(counted);
            rest = others;
            if let Some(value) = refused {
                self.count_slowly(series, value);
            }
        }
    }

    /// Folds entries of which few neighbours are of one series.
    fn fold_mixed(&mut self, entries: &[impl Entry], shape_of: &impl Fn(SeriesId) -> Option<Arc<Shape>>) {
        for entry in entries.iter().map(Entry::load) {
            let series = SeriesId::of(entry);
            let value = entry - series.entry(0);
            let Some(slot) = self.slots.get_mut(series.index()) else {
                self.fold_runs(&[entry], shape_of);
                continue;
            };
            // a slot of no series has no counts
            if slot.counts.count(&slot.cells, value) {
                slot.sum = slot.sum.wrapping_add(value);
            } else if slot.shape.is_some() {
                self.count_slowly(series, value);
            } else {
                self.fold_runs(&[entry], shape_of);
            }
        }
    }

    /// Makes the slot of a series, if it has none; `false` for a series that no handle has.
    #[cold]
    fn open(&mut self, series: SeriesId, shape_of: &impl Fn(SeriesId) -> Option<Arc<Shape>>) -> bool {
        let at = series.index();
        if self.slots.get(at).is_some_and(|slot| slot.shape.is_some()) {
            return true;
        }
        let Some(shape) = shape_of(series) else { return false };
        if self.slots.len() <= at {
            let slots = (at + 1).next_multiple_of(SLOTS_STEP).max(self.slots.len() / 4 * 5);
            self.slots.reserve_exact(slots - self.slots.len());
            self.slots.resize_with(slots, Slot::empty);
        }
        let slot = &mut self.slots[at];
        slot.cells = shape.grid.cells().clone();
        slot.shape = Some(shape);
        true
    }

    /// Counts a value that a series refused: one that lies beside several boundaries, or for which it has no memory here. That
    /// is had when the next reader comes.
    #[cold]
    fn count_slowly(&mut self, series: SeriesId, value: u64) {
        let Some(slot) = self.slots.get_mut(series.index()) else { return };
        let Some(shape) = &slot.shape else { return };
        let bucket = shape.grid.index(value);
        let is_beside_several = slot.cells.bucket(value) == Cells::CROWDED;
        if is_beside_several && slot.counts.increment(bucket) {
            slot.sum = slot.sum.wrapping_add(value);
            return;
        }
        // it was refused although it is in the range: the count has wrapped
        let is_carry = slot.counts.reaches(bucket);
        if !is_carry && self.rank == Rank::Further && shape.budget.is_short() {
            self.refused.push(series.entry(value));
            return;
        }
        slot.sum = slot.sum.wrapping_add(value);
        self.pending.push(Pending { series, bucket: u16::try_from(bucket).unwrap_or(u16::MAX), is_carry });
        if self.pending.len() >= PENDING_MAX {
            self.settle();
        }
    }

    /// Gets the memory for what was put off.
    fn settle(&mut self) {
        for Pending { series, bucket, is_carry } in self.pending.drain(..) {
            if let Some(slot) = self.slots.get_mut(series.index()) {
                slot.add(usize::from(bucket), if is_carry { 1 << 16 } else { 1 }, self.rank);
            }
        }
    }

    /// Adds one value of any size; the first store has room for all.
    pub(super) fn add(&mut self, series: SeriesId, value: u64, shape_of: impl Fn(SeriesId) -> Option<Arc<Shape>>) {
        self.open(series, &shape_of);
        let Some(slot) = self.slots.get_mut(series.index()) else { return };
        let Some(shape) = &slot.shape else { return };
        slot.sum = slot.sum.wrapping_add(value);
        slot.add(shape.grid.index(value), 1, self.rank);
    }

    /// Adds what another store counted, whatever memory that takes: it was published bucket by bucket.
    pub(super) fn add_tally(&mut self, series: SeriesId, tally: &Tally, shape: &Arc<Shape>) {
        self.open(series, &|_| Some(Arc::clone(shape)));
        let Some(slot) = self.slots.get_mut(series.index()) else { return };
        slot.sum = slot.sum.wrapping_add(tally.sum);
        for bucket in tally.used.clone().filter(|&bucket| tally.counts[bucket] > 0) {
            slot.add(bucket, tally.counts[bucket], Rank::Further);
        }
    }

    /// Adds the counts of a series to `tally`; says with which shape they were counted.
    pub(super) fn read(&mut self, series: SeriesId, tally: &mut Tally) -> Option<&Arc<Shape>> {
        self.settle();
        self.slots.get_mut(series.index())?.read(tally)
    }

    /// The values of a series where no other store has any; `None` when they need a [tally](Tally) all the same. Most readers
    /// get all series this way, at a third of the cost.
    pub(super) fn read_alone(&mut self, series: SeriesId) -> Option<heartline_shared::Histogram> {
        self.settle();
        let slot = self.slots.get(series.index()).filter(|slot| slot.coarse.is_none())?;
        let (first, counts) = slot.counts.narrow()?;
        Some(heartline_shared::Histogram::from_narrow(u16::try_from(first).ok()?, counts, slot.sum))
    }

    /// Forgets a series and gives its memory back.
    pub(super) fn clear(&mut self, series: SeriesId) {
        self.settle();
        if let Some(slot) = self.slots.get_mut(series.index()) {
            *slot = Slot::empty();
        }
    }

    /// Whether no series has values here.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().all(|slot| slot.shape.is_none())
    }

    /// How many series this store may hold.
    pub(super) fn series_end(&self) -> usize {
        self.slots.len()
    }

    /// Has memory ready for what comes, so that folding seldom allocates.
    pub(super) fn stock(&mut self) {
        self.settle();
        self.pending.reserve_exact(PENDING_MAX);
    }

    /// Bytes that no budget counts: slots beside the first store's, and what is ready for what comes.
    pub(super) fn spare_bytes(&self) -> usize {
        let counted = self.slots.iter().filter(|slot| self.rank == Rank::First && slot.shape.is_some()).count();
        let pending = self.pending.capacity() * size_of::<Pending>();
        (self.slots.capacity() - counted) * SLOT_BYTES + pending
    }
}
