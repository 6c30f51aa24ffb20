//! jemalloc's own statistics, if it is the allocator of this program.

use std::hint::black_box;

use tikv_jemalloc_ctl::{epoch, stats, thread};

use super::trend::bytes_text;

/// Memory that holds nothing is spoken of from this much on, when it is also this share of what it is part of.
const IDLE_BYTES: usize = 32 << 20;
const IDLE_SHARE: f64 = 0.2;

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

impl Statistics {
    /// What resident memory holds beside allocations, where that is much. jemalloc's manual calls the first one
    /// [external fragmentation](https://jemalloc.net/jemalloc.3.html#stats.active).
    pub(super) fn idle(&self) -> Vec<String> {
        let much = |idle: usize, whole: usize| {
            let share = idle as f64 / whole.max(1) as f64;
            (idle >= IDLE_BYTES && share >= IDLE_SHARE).then(|| (bytes_text(idle as f64), share * 100.0))
        };
        let scattered = much(self.active.saturating_sub(self.allocated), self.active);
        let scattered = scattered.map(|(bytes, share)| {
            format!("fragmentation, not a leak: {bytes} ({share:.0} %) of the pages in use hold nothing, but none of these is empty")
        });
        let spare = much(self.resident.saturating_sub(self.active).saturating_sub(self.metadata), self.resident);
        let spare = spare.map(|(bytes, share)| {
            format!("{bytes} ({share:.0} %) of resident memory are empty pages that the allocator has not given back: the action heap.purge does")
        });
        scattered.into_iter().chain(spare).collect()
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_holds_nothing_is_named_when_it_is_much() {
        const MIB: usize = 1 << 20;
        let dense = Statistics {
            allocated: 390 * MIB,
            active: 400 * MIB,
            resident: 420 * MIB,
            mapped: 500 * MIB,
            retained: 0,
            metadata: 10 * MIB,
        };
        assert_eq!(dense.idle(), Vec::<String>::new());
        let scattered = Statistics { allocated: 300 * MIB, ..dense };
        assert_eq!(
            scattered.idle(),
            [
                "fragmentation, not a leak: 100.0 MiB (25 %) of the pages in use hold nothing, but none of these is empty"
            ]
        );
        let spare = Statistics { resident: 600 * MIB, ..dense };
        assert_eq!(
            spare.idle(),
            [
                "190.0 MiB (32 %) of resident memory are empty pages that the allocator has not given back: the action heap.purge does"
            ]
        );
        let small = Statistics { allocated: MIB, active: 20 * MIB, resident: 50 * MIB, ..dense };
        assert_eq!(small.idle(), Vec::<String>::new());
    }
}
