//! The allocator that a service opts into, with what heap profiling needs set at start; sampling it is done elsewhere.

#[doc(hidden)]
pub use tikv_jemallocator::Jemalloc;

/// Makes jemalloc the global allocator of the program, with heap profiling available and off.
///
/// Write it once, at the top of `main.rs`. Profiling must be made available when the process starts, and costs an allocation
/// thirteen instructions until it is switched on, which the agent does while growth of memory is watched or suspected, or
/// when it is asked to:
/// [`Agent::sample_heap`](crate::Agent::sample_heap), the action `heap.profile`, `/api/v1/profile/heap?seconds=30`.
/// Options of your own go into the environment variable `_RJEM_MALLOC_CONF`.
///
/// # What a build needs for call sites to be named
/// Profiles are taken on Linux and named in the process, from what the program carries. A release build needs
///
/// ```toml
/// [profile.release]
/// debug = "line-tables-only"   # functions, files and lines; more is not used
/// strip = false
/// ```
///
/// Without line tables (`debug = false`, or `strip = "debuginfo"`) functions are named, without file and line. Of a program
/// without symbols (`strip = true`, or `strip = "symbols"`) nothing is named. The report, the dashboard and `/api/v1/heap` say
/// so, verdict and growth are the same, and `/api/v1/profile/heap` gives a pprof with addresses and build ids, which a
/// machine that has the unstripped file puts names to. Functions that the compiler inlined are named too. Frames of the
/// allocator, the language's library and packages are left out: a call site is the innermost function of the
/// service's own code.
///
/// ```
/// heartline::jemalloc!();
///
/// fn main() {
///     println!("served by jemalloc: {}", vec![0_u8; 1 << 20].len());
/// }
/// ```
#[macro_export]
macro_rules! jemalloc {
    () => {
        #[global_allocator]
        static HEARTLINE_ALLOCATOR: $crate::jemalloc::Jemalloc = $crate::jemalloc::Jemalloc;

        /// Read by jemalloc before `main`: profiling available, off, one sample each 512 KiB once it is on.
        #[unsafe(export_name = "_rjem_malloc_conf")]
        pub static HEARTLINE_MALLOC_CONF: &[u8] = b"prof:true,prof_active:false,lg_prof_sample:19\0";
    };
}
