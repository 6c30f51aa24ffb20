//! How much the program ever asked jemalloc for, read from the allocator's own counters; what that means is not known here.
#![expect(unsafe_code, reason = "the crate has no safe way to read the counters of a size class")]

use tikv_jemalloc_ctl::raw;

/// What jemalloc calls all arenas together.
const ALL_ARENAS: usize = 4096;

/// What all threads ever asked for. What a thread's cache gave is counted when the cache is next filled or drained, so that the
/// newest may be missing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Turnover {
    pub(super) allocations: u64,
    /// As jemalloc rounds sizes up.
    pub(super) bytes: u64,
}

/// The counters of all size classes, some 230; none where this jemalloc does not say.
#[derive(Debug, Default)]
pub(super) struct SizeClasses(Vec<SizeClass>);

#[derive(Debug)]
struct SizeClass {
    /// The name of its counter.
    requests: [usize; 6],
    bytes: u64,
}

impl SizeClasses {
    pub(super) fn look_up() -> Self {
        Self::known().unwrap_or_default()
    }

    fn known() -> Option<Self> {
        let small = of_kind(b"arenas.nbins\0", b"stats.arenas.0.bins.0.nrequests\0", b"arenas.bin.0.size\0")?;
        let large =
            of_kind(b"arenas.nlextents\0", b"stats.arenas.0.lextents.0.nrequests\0", b"arenas.lextent.0.size\0")?;
        Some(Self(small.into_iter().chain(large).collect()))
    }

    /// As of the allocator's current epoch. Takes tens of microseconds.
    pub(super) fn turnover(&self) -> Option<Turnover> {
        if self.0.is_empty() {
            return None;
        }
        let mut turnover = Turnover { allocations: 0, bytes: 0 };
        for class in &self.0 {
            // SAFETY: the name is that of a 64-bit counter.
            let requests = unsafe { raw::read_mib::<u64>(&class.requests) }.ok()?;
            turnover.allocations = turnover.allocations.wrapping_add(requests);
            turnover.bytes = turnover.bytes.wrapping_add(requests.wrapping_mul(class.bytes));
        }
        Some(turnover)
    }
}

fn of_kind(classes: &[u8], requests: &[u8], size: &[u8]) -> Option<Vec<SizeClass>> {
    let (mut counter, mut bytes) = ([0; 6], [0; 4]);
    raw::name_to_mib(requests, &mut counter).ok()?;
    raw::name_to_mib(size, &mut bytes).ok()?;
    counter[2] = ALL_ARENAS;
    // SAFETY: the number of classes is an `unsigned`.
    let classes = unsafe { raw::read::<u32>(classes) }.ok()?;
    let of_class = |class: u32| {
        (counter[4], bytes[2]) = (class as usize, class as usize);
        // SAFETY: the name above is that of a size, in each class.
        let bytes = unsafe { raw::read_mib::<usize>(&bytes) }.ok()? as u64;
        Some(SizeClass { requests: counter, bytes })
    };
    (0..classes).map(of_class).collect()
}
