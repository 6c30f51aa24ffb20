//! An allocator that counts what the program holds, and what one thread asked for; it knows nothing of who asks.
#![expect(unsafe_code, reason = "an allocator cannot be written without; this one forwards to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

thread_local! {
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counted. A proof installs it with `#[global_allocator]`.
///
/// It counts the bytes that were asked for; what the system's allocator adds to them is not the asker's doing.
#[derive(Debug)]
pub struct Counting {
    live: AtomicUsize,
    peak: AtomicUsize,
}

impl Counting {
    /// Nothing is held yet.
    #[expect(clippy::new_without_default, reason = "a static needs a const function")]
    pub const fn new() -> Self {
        Self { live: AtomicUsize::new(0), peak: AtomicUsize::new(0) }
    }

    /// Bytes held now, by all threads.
    pub fn live(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// The most bytes held since [`forget_peak`](Self::forget_peak).
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::Relaxed)
    }

    /// What is held now is the peak.
    pub fn forget_peak(&self) {
        self.peak.store(self.live(), Ordering::Relaxed);
    }

    /// Allocations and reallocations of the calling thread so far.
    pub fn calls() -> u64 {
        CALLS.get()
    }

    /// Allocations of the calling thread in the last of at most four runs of `work`, which ends with the first that makes none.
    /// Where the machine stops the agent's thread while it reads, records go into a store of their own, whose memory is taken
    /// once: a run that makes a hundred allocations or more is not followed by another.
    pub fn calls_once_settled(mut work: impl FnMut()) -> u64 {
        let mut calls = 0;
        for _ in 0..4 {
            let before = Self::calls();
            work();
            calls = Self::calls() - before;
            if calls == 0 || calls >= 100 {
                break;
            }
        }
        calls
    }

    fn took(&self, bytes: usize) {
        let live = self.live.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(live, Ordering::Relaxed);
    }
}

fn called() {
    // a thread that ends has no locals any more, and nobody measures it
    let _ = CALLS.try_with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: every call goes to the system's allocator as it came; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        called();
        self.took(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        called();
        self.took(layout.size());
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        called();
        self.took(size);
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
