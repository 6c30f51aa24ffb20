//! The allocator that a service opts into, with what heap profiling needs set at start; sampling it is done elsewhere.

#[doc(hidden)]
pub use tikv_jemallocator::Jemalloc;

/// Makes jemalloc the global allocator of the program, with heap profiling available and off.
///
/// Write it once, at the top of `main.rs`. Profiling must be made available when the process starts, and costs nothing
/// until it is switched on. Options of your own go into the environment variable `_RJEM_MALLOC_CONF`.
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
