//! The histograms of all series as pages of counts, behind one lock; who may hold it and when is the recorder's business.

use std::sync::Arc;

use heartline_shared::buckets::BUCKETS_MAX;

use super::pages::{Arena, BUCKETS_PER_PAGE, PAGE_BYTES, PageId};
use super::series::{SeriesId, Shape, value_of};

/// Pages of a series at the grid's own precision.
const FINE_PAGES: usize = BUCKETS_MAX / BUCKETS_PER_PAGE;
/// Pages of a series in groups of buckets.
const COARSE_PAGES: usize = 13;
const SLOTS_PER_CHUNK: usize = 32;

/// Bytes of a series in a store, without its pages.
pub(crate) const SLOT_BYTES: usize = size_of::<Slot>();

type SlotChunk = Box<[Slot; SLOTS_PER_CHUNK]>;

/// Every series' counts, as far as they were folded here.
#[derive(Debug)]
pub(super) struct Store {
    slots: Vec<Option<SlotChunk>>,
    arena: Arena,
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

#[derive(Debug)]
struct Slot {
    shape: Option<Arc<Shape>>,
    sum: u64,
    pages: Pages,
}

/// Where a series' counts are, by bucket or, once memory is short, by group of buckets.
#[derive(Debug)]
struct Pages {
    fine: [PageId; FINE_PAGES],
    coarse: [PageId; COARSE_PAGES],
}

/// The counts of one series while it is read.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Counts by bucket of the grid.
    pub(crate) counts: Box<[u64]>,
    pub(crate) sum: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { counts: vec![0; FINE_PAGES * BUCKETS_PER_PAGE].into(), sum: 0 }
    }
}

impl Tally {
    /// Forgets the series that was read before.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.sum = 0;
    }
}

impl Slot {
    const EMPTY: Self = Self { shape: None, sum: 0, pages: Pages { fine: [0; FINE_PAGES], coarse: [0; COARSE_PAGES] } };
}

impl Store {
    pub(super) fn new(rank: Rank) -> Self {
        Self { slots: Vec::new(), arena: Arena::new(), rank, refused: Vec::new() }
    }

    /// Adds the values of a log's entries. `shape_of` is asked for a series that this store has not seen. Returns the
    /// entries that only the first store has room for; none, unless memory is short.
    #[must_use]
    pub(super) fn fold(&mut self, entries: &[u64], shape_of: impl Fn(SeriesId) -> Option<Arc<Shape>>) -> Vec<u64> {
        for run in entries.chunk_by(|a, b| SeriesId::of(*a) == SeriesId::of(*b)) {
            let Some(&first) = run.first() else { continue };
            let Some(slot) = slot_of(&mut self.slots, SeriesId::of(first), &shape_of) else { continue };
            let Slot { shape: Some(shape), sum, pages } = slot else { continue };
            let grid = &*shape.grid;
            for &entry in run {
                let value = value_of(entry);
                let bucket = grid.index(value);
                let page = pages.fine.get(bucket / BUCKETS_PER_PAGE).copied().unwrap_or(0);
                if self.arena.increment(page, bucket) || pages.add(shape, (&mut self.arena, self.rank), bucket, 1) {
                    *sum = sum.wrapping_add(value);
                } else {
                    self.refused.push(entry);
                }
            }
        }
        std::mem::take(&mut self.refused)
    }

    /// Adds one value of any size; the first store has room for all.
    pub(super) fn add(&mut self, series: SeriesId, value: u64, shape_of: impl Fn(SeriesId) -> Option<Arc<Shape>>) {
        let Some(slot) = slot_of(&mut self.slots, series, &shape_of) else { return };
        let Some(shape) = &slot.shape else { return };
        slot.sum = slot.sum.wrapping_add(value);
        slot.pages.add(shape, (&mut self.arena, self.rank), shape.grid.index(value), 1);
    }

    /// Adds what another store counted.
    pub(super) fn add_tally(&mut self, series: SeriesId, tally: &Tally, shape: &Arc<Shape>) {
        let Some(slot) = slot_of(&mut self.slots, series, &|_| Some(Arc::clone(shape))) else { return };
        slot.sum = slot.sum.wrapping_add(tally.sum);
        for (bucket, &count) in tally.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            slot.pages.add(shape, (&mut self.arena, self.rank), bucket, count);
        }
    }

    /// Adds the counts of a series to `tally`; says with which shape they were counted.
    pub(super) fn read(&self, series: SeriesId, tally: &mut Tally) -> Option<&Arc<Shape>> {
        let chunk = self.slots.get(series.index() / SLOTS_PER_CHUNK)?.as_ref()?;
        let slot = &chunk[series.index() % SLOTS_PER_CHUNK];
        let shape = slot.shape.as_ref()?;
        tally.sum = tally.sum.wrapping_add(slot.sum);
        for (page, first) in slot.pages.fine.iter().zip((0..).step_by(BUCKETS_PER_PAGE)).filter(|(page, _)| **page != 0)
        {
            let counts = &mut tally.counts[first..first + BUCKETS_PER_PAGE];
            counts.iter_mut().zip(self.arena.read(*page)).for_each(|(count, more)| *count += more);
        }
        for (page, first) in
            slot.pages.coarse.iter().zip((0..).step_by(BUCKETS_PER_PAGE)).filter(|(page, _)| **page != 0)
        {
            for (group, count) in (first..).zip(self.arena.read(*page)).filter(|(_, count)| *count > 0) {
                tally.counts[shape.grid.last_in_group(group)] += count;
            }
        }
        Some(shape)
    }

    /// Forgets a series and gives its pages back.
    pub(super) fn clear(&mut self, series: SeriesId) {
        let chunk = self.slots.get_mut(series.index() / SLOTS_PER_CHUNK);
        let Some(chunk) = chunk.and_then(Option::as_mut) else { return };
        let slot = std::mem::replace(&mut chunk[series.index() % SLOTS_PER_CHUNK], Slot::EMPTY);
        let Some(shape) = slot.shape else { return };
        let mut release = |pages: &[PageId]| pages.iter().map(|&page| self.arena.release(page)).sum::<usize>();
        let (fine, coarse) = (release(&slot.pages.fine) * PAGE_BYTES, release(&slot.pages.coarse) * PAGE_BYTES);
        shape.budget.give_back(fine);
        shape.budget.undraw(coarse);
    }

    /// Whether no series has values here.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.iter().flatten().all(|chunk| chunk.iter().all(|slot| slot.shape.is_none()))
    }

    /// How many series this store may hold.
    pub(super) fn series_end(&self) -> usize {
        self.slots.len() * SLOTS_PER_CHUNK
    }

    /// Has memory ready for what comes, so that folding seldom allocates.
    pub(super) fn stock(&mut self) {
        self.arena.stock();
    }

    /// Bytes that no budget counts: slots beside the first store's, and what is ready for what comes.
    pub(super) fn spare_bytes(&self) -> usize {
        let chunks = self.slots.iter().flatten();
        let slots = chunks.flat_map(|chunk| chunk.iter());
        let uncounted = slots.filter(|slot| self.rank == Rank::Further || slot.shape.is_none()).count();
        self.slots.capacity() * size_of::<Option<SlotChunk>>() + uncounted * SLOT_BYTES + self.arena.spare_bytes()
    }
}

/// The slot of a series; `None` for a series that no handle has.
#[inline]
fn slot_of<'a>(
    slots: &'a mut Vec<Option<SlotChunk>>,
    series: SeriesId,
    shape_of: &impl Fn(SeriesId) -> Option<Arc<Shape>>,
) -> Option<&'a mut Slot> {
    let (chunk, at) = (series.index() / SLOTS_PER_CHUNK, series.index() % SLOTS_PER_CHUNK);
    if slots.get(chunk).and_then(Option::as_ref).is_none_or(|chunk| chunk[at].shape.is_none()) {
        open(slots, series, shape_of(series)?);
    }
    slots.get_mut(chunk)?.as_mut().map(|chunk| &mut chunk[at])
}

#[cold]
fn open(slots: &mut Vec<Option<SlotChunk>>, series: SeriesId, shape: Arc<Shape>) {
    let (chunk, at) = (series.index() / SLOTS_PER_CHUNK, series.index() % SLOTS_PER_CHUNK);
    if slots.len() <= chunk {
        slots.resize_with(chunk + 1, || None);
    }
    let chunk = slots[chunk].get_or_insert_with(|| Box::new([const { Slot::EMPTY }; SLOTS_PER_CHUNK]));
    chunk[at].shape = Some(shape);
}

impl Pages {
    /// Adds to a bucket whose page may not exist or may be full; refuses only in a further store, when memory is short.
    #[cold]
    fn add(&mut self, shape: &Shape, (arena, rank): (&mut Arena, Rank), bucket: usize, amount: u64) -> bool {
        let budget = &shape.budget;
        let fine = &mut self.fine[(bucket / BUCKETS_PER_PAGE).min(FINE_PAGES - 1)];
        if *fine == 0 && budget.grow(PAGE_BYTES) {
            *fine = arena.take();
        }
        if *fine != 0 {
            budget.exceed(arena.add(*fine, bucket, amount) * PAGE_BYTES);
            return true;
        }
        if rank == Rank::Further {
            return false;
        }
        let group = shape.grid.group(bucket);
        let coarse = &mut self.coarse[(group / BUCKETS_PER_PAGE).min(COARSE_PAGES - 1)];
        let mut taken = 0;
        if *coarse == 0 {
            *coarse = arena.take();
            taken = PAGE_BYTES;
        }
        taken += arena.add(*coarse, group, amount) * PAGE_BYTES;
        budget.draw(taken);
        true
    }
}
