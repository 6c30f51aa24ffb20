//! jemalloc's own profiler: whether it is there, switching it, and its dump. What is in a dump is not known here.
#![expect(unsafe_code, reason = "the crate has no safe way to write settings, nor to name a file that is not static")]

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;

use tikv_jemalloc_ctl::raw;

use crate::heap::jemalloc::is_global_allocator;
use crate::heap::turnover::SizeClasses;

const LINUX_ONLY: &str = "heap profiles are taken on Linux only";

/// Whether sampling can be switched on.
///
/// # Errors
/// Says why not and what to do about it.
pub(super) fn availability() -> Result<(), &'static str> {
    if !is_global_allocator() {
        return Err("jemalloc is not the allocator of this program; heartline::jemalloc!() makes it so");
    }
    // SAFETY: both are booleans that jemalloc only reads out.
    let [built, begun] = [&b"config.prof\0"[..], b"opt.prof\0"].map(|name| unsafe { raw::read::<bool>(name) });
    match (built, begun) {
        (Ok(true), Ok(true)) if cfg!(target_os = "linux") => Ok(()),
        (Ok(true), Ok(true)) => Err(LINUX_ONLY),
        (Ok(true), _) => Err(
            "profiling was not made available when the process began: use heartline::jemalloc!(), or start it with _RJEM_MALLOC_CONF=prof:true,prof_active:false",
        ),
        _ => Err("this jemalloc was built without profiling; heartline::jemalloc!() brings one that has it"),
    }
}

/// Whether allocations are sampled now, by whomever.
pub(super) fn is_active() -> bool {
    // SAFETY: a boolean.
    unsafe { raw::read::<bool>(b"prof.active\0") }.unwrap_or(false)
}

/// Starts or pauses sampling; what was sampled stays.
pub(super) fn set_active(active: bool) -> Result<(), String> {
    // SAFETY: a boolean.
    unsafe { raw::write(b"prof.active\0", active) }
        .map_err(|error| format!("jemalloc refused to switch sampling {}: {error}", if active { "on" } else { "off" }))
}

/// Forgets all samples; the next are taken each two to the power of `lg_sample_bytes` bytes on average.
pub(super) fn reset(lg_sample_bytes: usize) -> Result<(), String> {
    // SAFETY: the setting is a size.
    unsafe { raw::write(b"prof.reset\0", lg_sample_bytes) }
        .map_err(|error| format!("jemalloc refused to begin a profile: {error}"))
}

/// Allocations of this thread are not sampled from now on: the agent's own are nobody's leak.
pub(crate) fn exclude_this_thread() {
    // SAFETY: a boolean. Without profiling there is no such setting, and nothing to exclude.
    let _ = unsafe { raw::write(b"thread.prof.active\0", false) };
}

/// The bytes that all threads ever asked for, also those that their caches gave; `None` when jemalloc does not say.
pub(super) fn ever_allocated() -> Option<f64> {
    tikv_jemalloc_ctl::epoch::advance().ok()?;
    SizeClasses::look_up().turnover().map(|turnover| turnover.bytes as f64)
}

/// Everything that is sampled and live, as jemalloc writes it, in memory only. Takes milliseconds, and a thread whose
/// allocation is sampled meanwhile may wait for some of them.
pub(super) fn dump() -> Result<File, String> {
    let mut file = in_memory()?;
    let path = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    // SAFETY: the setting is a pointer to a string that ends in a zero byte and lives until jemalloc has read it.
    unsafe { raw::write(b"prof.dump\0", path.as_ptr()) }
        .map_err(|error| format!("jemalloc could not write a heap profile: {error}"))?;
    file.seek(SeekFrom::Start(0)).map_err(|error| format!("reading the heap profile: {error}"))?;
    Ok(file)
}

#[cfg(target_os = "linux")]
fn in_memory() -> Result<File, String> {
    use nix::sys::memfd::{MFdFlags, memfd_create};

    memfd_create("heartline-heap-profile", MFdFlags::MFD_CLOEXEC)
        .map(File::from)
        .map_err(|error| format!("no memory for a heap profile: {error}"))
}

/// Never asked for: see [`availability`].
#[cfg(not(target_os = "linux"))]
fn in_memory() -> Result<File, String> {
    Err(LINUX_ONLY.to_owned())
}
