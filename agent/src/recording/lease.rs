//! HOT: the log of the calling thread, and what is done when there is none or it is full.

use std::cell::OnceCell;
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
    static LEASE: Lease = const { Lease(OnceCell::new()) };
}

/// The log that a thread has as long as it lives.
struct Lease(OnceCell<Arc<Log>>);

impl Drop for Lease {
    fn drop(&mut self) {
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
    if value > VALUE_MAX || !LEASE.try_with(|lease| lease.record(series.entry(value))).unwrap_or(false) {
        record_slowly(series, value);
    }
}

/// Adds to the counter that has this place; `false` when the thread has no log and cannot get one.
#[inline]
pub(crate) fn add(slot: usize, amount: u64) -> bool {
    let add = |lease: &Lease| lease.0.get().map(|log| log.add(slot, amount)).is_some();
    LEASE.try_with(add).unwrap_or(false) || add_slowly(slot, amount)
}

/// The first record of a thread, values that no entry holds, and records after the thread's locals are gone.
#[cold]
#[inline(never)]
fn record_slowly(series: SeriesId, value: u64) {
    let record = |lease: &Lease| {
        lease.log();
        lease.record(series.entry(value))
    };
    if value > VALUE_MAX || !LEASE.try_with(record).unwrap_or(false) {
        RECORDER.record_directly(series, value);
    }
}

/// One record in a hundred fills a block.
#[cold]
#[inline(never)]
fn make_room(log: &Log) {
    RECORDER.make_room(log);
}

#[cold]
#[inline(never)]
fn add_slowly(slot: usize, amount: u64) -> bool {
    LEASE.try_with(|lease| lease.log().add(slot, amount)).is_ok()
}

impl Lease {
    /// Writes an entry down, if the thread has a log.
    #[inline]
    fn record(&self, entry: u64) -> bool {
        let Some(log) = self.0.get() else { return false };
        if !log.push(entry) {
            make_room(log);
        }
        true
    }

    fn log(&self) -> &Log {
        if self.0.get().is_none() {
            // an allocator that records could come here again meanwhile: then its log is the thread's
            if let Err(second) = self.0.set(RECORDER.attach()) {
                RECORDER.part(second);
            }
        }
        self.0.get_or_init(|| RECORDER.attach())
    }
}
