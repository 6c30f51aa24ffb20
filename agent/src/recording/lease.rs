//! HOT: the log of the calling thread, and what is done when there is none or it is full.
#![expect(
    unsafe_code,
    reason = "a thread-local with a destructor says at each access whether it still lives: the hot one has none"
)]

use std::cell::{Cell, OnceCell};
use std::ptr;
use std::sync::LazyLock;

use super::log::Log;
use super::recorder::Recorder;
use super::series::{SeriesId, VALUE_MAX};
use super::sync::Arc;

static RECORDER: LazyLock<Recorder> = LazyLock::new(|| {
    // where it is not known, two stores do
    Recorder::new(std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
});

thread_local! {
    static HOT: Hot = const { Hot { log: Cell::new(ptr::null()), written: Cell::new(0) } };
    static LEASE: Lease = const { Lease(OnceCell::new()) };
}

/// What a record looks at: one cache line, of which no access asks whether it is there.
struct Hot {
    /// The log in the lease; null while there is none.
    log: Cell<*const Log>,
    /// How many entries were ever written to it.
    written: Cell<usize>,
}

/// The log that a thread has as long as it lives.
struct Lease(OnceCell<Arc<Log>>);

impl Drop for Lease {
    fn drop(&mut self) {
        HOT.with(|hot| hot.log.set(ptr::null()));
        if let Some(log) = self.0.take() {
            RECORDER.part(log);
        }
    }
}

/// What all agents of this process record with.
pub(crate) fn recorder() -> &'static Recorder {
    &RECORDER
}

/// Records a value of a series.
#[inline]
pub(crate) fn record(series: SeriesId, value: u64) {
    if value > VALUE_MAX || !HOT.with(|hot| hot.record(series.entry(value))) {
        record_slowly(series, value);
    }
}

/// Adds to the counter that has this place; `false` when the thread has no log and cannot get one.
#[inline]
pub(crate) fn add(slot: usize, amount: u64) -> bool {
    HOT.with(|hot| hot.log().map(|log| log.add(slot, amount)).is_some()) || add_slowly(slot, amount)
}

/// The first record of a thread, values that no entry holds, and records after the thread's locals are gone.
#[cold]
#[inline(never)]
fn record_slowly(series: SeriesId, value: u64) {
    if value > VALUE_MAX || !begin() || !HOT.with(|hot| hot.record(series.entry(value))) {
        RECORDER.record_directly(series, value);
    }
}

#[cold]
#[inline(never)]
fn add_slowly(slot: usize, amount: u64) -> bool {
    begin() && HOT.with(|hot| hot.log().map(|log| log.add(slot, amount)).is_some())
}

/// One record in 256 fills a block.
#[cold]
#[inline(never)]
fn make_room(log: &Log) {
    RECORDER.make_room(log);
}

/// Gets the thread a log, if it has none; `false` when the thread's locals are gone.
fn begin() -> bool {
    LEASE.try_with(Lease::begin).is_ok()
}

impl Hot {
    #[inline]
    fn log(&self) -> Option<&Log> {
        // SAFETY: null, or the log in this thread's lease, which sets null before it lets the log go; the reference ends
        // within a call of this module, and the thread-local is not reachable from another thread
        unsafe { self.log.get().as_ref() }
    }

    /// Writes an entry down, if the thread has a log.
    #[inline]
    fn record(&self, entry: u64) -> bool {
        let Some(log) = self.log() else { return false };
        let written = self.written.get();
        self.written.set(written.wrapping_add(1));
        if !log.push(written, entry) {
            make_room(log);
        }
        true
    }
}

impl Lease {
    fn begin(&self) {
        // nothing that this calls records: a global allocator must not, and would wait in `attach` for itself
        let log = self.0.get_or_init(|| RECORDER.attach());
        HOT.with(|hot| {
            hot.written.set(log.written());
            hot.log.set(Arc::as_ptr(log));
        });
    }
}
