//! HOT: what one thread writes down until it is folded. No lock, no allocation, no system call; what the entries mean
//! is not known here.

use crossbeam_utils::CachePadded;

use super::sync::Mutex;
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Entries of a block: few enough that folding them takes less than a microsecond.
pub(super) const BLOCK_ENTRIES: usize = if cfg!(heartline_loom) { 2 } else { 128 };
/// Counters that have a place of their own in every log.
pub(super) const COUNTER_SLOTS: usize = if cfg!(heartline_loom) { 2 } else { 128 };

/// Copied entries of a block.
pub(super) type Entries = [u64; BLOCK_ENTRIES];

/// The log of one thread: its owner writes, its owner and the reader fold.
///
/// Two blocks, so that the owner can go on in one while the other is being copied or cannot be folded yet.
#[derive(Debug)]
pub(super) struct Log {
    /// The block that the owner writes to, and the store it folds into; nobody else writes these.
    current: AtomicUsize,
    home: AtomicUsize,
    blocks: [CachePadded<Block>; 2],
    /// Counts of the counters that have a place here; only the owner adds.
    slots: [AtomicU64; COUNTER_SLOTS],
}

/// Entries that were written, of which the first `folded` are in a store already.
#[derive(Debug)]
struct Block {
    /// Written by the owner only; set back to 0 only under the lock.
    len: AtomicUsize,
    entries: [AtomicU64; BLOCK_ENTRIES],
    folded: Mutex<usize>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            current: AtomicUsize::new(0),
            home: AtomicUsize::new(0),
            blocks: std::array::from_fn(|_| CachePadded::new(Block::new())),
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Writes an entry down; `false` when there is no room. Only the owner calls this.
    #[inline]
    pub(super) fn push(&self, entry: u64) -> bool {
        self.blocks[self.current.load(Ordering::Relaxed) % 2].push(entry)
    }

    /// The fault that the model of this log must find: the length says that the entry is there before it is.
    #[cfg(all(test, heartline_loom))]
    pub(super) fn push_with_planted_fault(&self, entry: u64) -> bool {
        let block = &self.blocks[self.current.load(Ordering::Relaxed) % 2];
        let len = block.len.load(Ordering::Relaxed);
        let Some(place) = block.entries.get(len) else { return false };
        block.len.store(len + 1, Ordering::Release);
        place.store(entry, Ordering::Relaxed);
        true
    }

    /// Adds to a counter's place; only the owner calls this.
    #[inline]
    pub(super) fn add(&self, slot: usize, amount: u64) {
        let place = &self.slots[slot % COUNTER_SLOTS];
        place.store(place.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// What was added to a counter's place.
    pub(super) fn added(&self, slot: usize) -> u64 {
        self.slots[slot % COUNTER_SLOTS].load(Ordering::Relaxed)
    }

    /// Sets a counter's place to 0, once its counter has no handle and so nobody adds.
    pub(super) fn clear(&self, slot: usize) {
        self.slots[slot % COUNTER_SLOTS].store(0, Ordering::Relaxed);
    }

    /// The store that the owner folds into.
    pub(super) fn home(&self) -> usize {
        self.home.load(Ordering::Relaxed)
    }

    /// The owner moves to another store.
    pub(super) fn set_home(&self, home: usize) {
        self.home.store(home, Ordering::Relaxed);
    }

    /// Makes room for an entry without waiting; `false` when both blocks are full and `fold` refuses. Only the owner
    /// calls this, when [`push`](Self::push) found no room.
    pub(super) fn make_room(&self, mut fold: impl FnMut(&[u64]) -> bool) -> bool {
        let full = self.current.load(Ordering::Relaxed) % 2;
        let other = 1 - full;
        let goes_on = if self.blocks[full].fold_if_free(&mut fold) {
            // what was left over when this block could not be folded
            self.blocks[other].fold_if_free(&mut fold);
            full
        } else if self.blocks[other].has_room() || self.blocks[other].fold_if_free(&mut fold) {
            other
        } else {
            return false;
        };
        self.current.store(goes_on, Ordering::Relaxed);
        true
    }

    /// Makes room, waiting at most for a copy of one block. Only the owner calls this.
    pub(super) fn make_room_waiting(&self, mut fold: impl FnMut(&[u64])) {
        let full = self.current.load(Ordering::Relaxed) % 2;
        self.blocks[full].fold_waiting(&mut fold);
    }

    /// Copies out what was not folded yet and calls it folded; the reader folds the copies.
    pub(super) fn drain(&self, mut fold: impl FnMut(&[u64])) {
        for block in &self.blocks {
            let mut copy = [0; BLOCK_ENTRIES];
            let copied = block.copy(&mut copy);
            if copied > 0 {
                fold(&copy[..copied]);
            }
        }
    }
}

impl Block {
    fn new() -> Self {
        Self { len: AtomicUsize::new(0), entries: std::array::from_fn(|_| AtomicU64::new(0)), folded: Mutex::new(0) }
    }

    #[inline]
    fn push(&self, entry: u64) -> bool {
        let len = self.len.load(Ordering::Relaxed);
        let Some(place) = self.entries.get(len) else { return false };
        place.store(entry, Ordering::Relaxed);
        // publishes the entry to a reader that loads the length
        self.len.store(len + 1, Ordering::Release);
        true
    }

    fn has_room(&self) -> bool {
        self.len.load(Ordering::Relaxed) < BLOCK_ENTRIES
    }

    /// Owner: empties the block if nobody copies it and `fold` agrees.
    fn fold_if_free(&self, fold: &mut impl FnMut(&[u64]) -> bool) -> bool {
        let Some(mut folded) = self.folded.try_lock() else { return false };
        let mut copy = [0; BLOCK_ENTRIES];
        let rest = self.load(*folded, &mut copy);
        if rest > 0 && !fold(&copy[..rest]) {
            return false;
        }
        *folded = 0;
        self.len.store(0, Ordering::Relaxed);
        true
    }

    /// Owner: empties the block.
    fn fold_waiting(&self, fold: &mut impl FnMut(&[u64])) {
        let mut folded = self.folded.lock();
        let mut copy = [0; BLOCK_ENTRIES];
        let rest = self.load(*folded, &mut copy);
        fold(&copy[..rest]);
        *folded = 0;
        self.len.store(0, Ordering::Relaxed);
    }

    /// Reader: copies what is new; returns how much it is.
    fn copy(&self, copy: &mut Entries) -> usize {
        let mut folded = self.folded.lock();
        let new = self.load(*folded, copy);
        *folded += new;
        new
    }

    /// Loads the entries behind the first `from`; returns how many they are. The caller holds the lock, so that the owner
    /// does not start the block anew meanwhile.
    fn load(&self, from: usize, copy: &mut Entries) -> usize {
        let len = self.len.load(Ordering::Acquire);
        let new = self.entries.get(from..len).unwrap_or_default();
        copy.iter_mut().zip(new).for_each(|(copy, entry)| *copy = entry.load(Ordering::Relaxed));
        new.len()
    }
}
