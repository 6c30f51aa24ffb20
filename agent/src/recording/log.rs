//! HOT: what one thread writes down until it is folded. No lock, no allocation, no system call; what the entries mean
//! is not known here.

use super::sync::Mutex;
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Entries of a block: few enough that folding them takes less than a microsecond.
pub(super) const BLOCK_ENTRIES: usize = if cfg!(heartline_loom) { 2 } else { 256 };
/// Two blocks, so that the owner can go on in one while the other cannot be folded yet.
const ENTRIES: usize = 2 * BLOCK_ENTRIES;
/// Counters that have a place of their own in every log.
pub(super) const COUNTER_SLOTS: usize = if cfg!(heartline_loom) { 2 } else { 128 };

/// The log of one thread, a ring: its owner writes, its owner or the reader folds.
///
/// Entry number `n` is at place `n % ENTRIES`. Whenever [`push`](Self::push) returns there is room for another entry: a
/// push that fills a block says so, and its caller makes room then.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Log {
    /// How many entries were ever written; only the owner writes it, and counts for itself too.
    written: AtomicUsize,
    /// How many of them are in a store or in the reader's hands; only the holder of `folding` writes it.
    folded: AtomicUsize,
    folding: Mutex<()>,
    /// The store that the owner folds into; only the owner writes it.
    home: AtomicUsize,
    entries: [AtomicU64; ENTRIES],
    /// Counts of the counters that have a place here; only the owner adds.
    slots: [AtomicU64; COUNTER_SLOTS],
}

/// An entry where it was written, or a copy of one.
pub(super) trait Entry {
    /// The entry.
    fn load(&self) -> u64;
}

impl Entry for AtomicU64 {
    #[inline]
    fn load(&self) -> u64 {
        self.load(Ordering::Relaxed)
    }
}

impl Entry for u64 {
    #[inline]
    fn load(&self) -> u64 {
        *self
    }
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            written: AtomicUsize::new(0),
            folded: AtomicUsize::new(0),
            folding: Mutex::new(()),
            home: AtomicUsize::new(0),
            entries: std::array::from_fn(|_| AtomicU64::new(0)),
            slots: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// How many entries were ever written: where the owner goes on.
    pub(super) fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// Writes an entry down as the `written`-th; `false` when it filled a block: then the caller makes room before the next
    /// one. Only the owner calls this. It says how many it wrote, because what a thread keeps at hand is there sooner than
    /// the log is.
    #[inline]
    pub(super) fn push(&self, written: usize, entry: u64) -> bool {
        self.entries[written % ENTRIES].store(entry, Ordering::Relaxed);
        // publishes the entry to a reader that loads the number
        self.written.store(written.wrapping_add(1), Ordering::Release);
        !written.wrapping_add(1).is_multiple_of(BLOCK_ENTRIES)
    }

    /// The fault that the model of this log must find: the number says that the entry is there before it is.
    #[cfg(all(test, heartline_loom))]
    pub(super) fn push_with_planted_fault(&self, written: usize, entry: u64) -> bool {
        self.written.store(written.wrapping_add(1), Ordering::Release);
        self.entries[written % ENTRIES].store(entry, Ordering::Relaxed);
        !written.wrapping_add(1).is_multiple_of(BLOCK_ENTRIES)
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

    /// Makes room for a block without waiting: folds what there is, or finds that a block is still free; `false` when none
    /// is, because the reader copies or `fold` refuses. Only the owner calls this, when [`push`](Self::push) said so.
    pub(super) fn make_room(&self, fold: impl FnOnce([&[AtomicU64]; 2]) -> bool) -> bool {
        if let Some(_folding) = self.folding.try_lock() {
            let written = self.written.load(Ordering::Relaxed);
            if fold(self.unfolded(written)) {
                self.folded.store(written, Ordering::Release);
                return true;
            }
        }
        // acquires what the reader has copied, so that it may be written over
        let unfolded = self.written.load(Ordering::Relaxed).wrapping_sub(self.folded.load(Ordering::Acquire));
        unfolded <= BLOCK_ENTRIES
    }

    /// Makes room, waiting at most while the reader copies. Only the owner calls this.
    pub(super) fn make_room_waiting(&self, fold: impl FnOnce([&[AtomicU64]; 2])) {
        let _folding = self.folding.lock();
        let written = self.written.load(Ordering::Relaxed);
        fold(self.unfolded(written));
        self.folded.store(written, Ordering::Release);
    }

    /// Copies out what was not folded yet and calls it folded; the reader folds the copy.
    pub(super) fn drain(&self, fold: impl FnOnce(&[u64])) {
        let mut copy = [0; ENTRIES];
        let copied = self.copy(&mut copy);
        if copied > 0 {
            fold(&copy[..copied]);
        }
    }

    fn copy(&self, copy: &mut [u64; ENTRIES]) -> usize {
        let _folding = self.folding.lock();
        let written = self.written.load(Ordering::Acquire);
        let unfolded = self.unfolded(written).into_iter().flatten();
        let copied = copy.iter_mut().zip(unfolded).map(|(copy, entry)| *copy = entry.load(Ordering::Relaxed)).count();
        self.folded.store(written, Ordering::Release);
        copied
    }

    /// The entries up to the `written`-th that were not folded, oldest first. The caller holds `folding`.
    fn unfolded(&self, written: usize) -> [&[AtomicU64]; 2] {
        let folded = self.folded.load(Ordering::Relaxed);
        let (from, count) = (folded % ENTRIES, written.wrapping_sub(folded).min(ENTRIES));
        let (before_wrap, at) = self.entries.split_at(from);
        let at_end = count.min(at.len());
        [&at[..at_end], &before_wrap[..count - at_end]]
    }
}
