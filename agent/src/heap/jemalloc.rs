//! jemalloc's own statistics, if it is the allocator of this program.

use std::hint::black_box;

use tikv_jemalloc_ctl::{epoch, stats, thread};

/// Bytes, as jemalloc counted them when the epoch was advanced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Statistics {
    pub(super) allocated: usize,
    pub(super) active: usize,
    pub(super) resident: usize,
    pub(super) mapped: usize,
    pub(super) retained: usize,
    pub(super) metadata: usize,
}

/// Whether the program allocates through jemalloc: its count of this thread moves when we allocate.
pub(super) fn is_global_allocator() -> bool {
    let Ok(counter) = thread::allocatedp::read() else { return false };
    let before = counter.get();
    drop(black_box(Box::new([0_u8; 4096])));
    counter.get() > before
}

/// The statistics of now. Advancing the epoch merges the figures of all arenas and may take a millisecond: not for a
/// thread of the host.
pub(super) fn read() -> Option<Statistics> {
    epoch::advance().ok()?;
    Some(Statistics {
        allocated: stats::allocated::read().ok()?,
        active: stats::active::read().ok()?,
        resident: stats::resident::read().ok()?,
        mapped: stats::mapped::read().ok()?,
        retained: stats::retained::read().ok()?,
        metadata: stats::metadata::read().ok()?,
    })
}
