//! Gives memory that the allocator holds free back to the system; why somebody wants that is not known here.
#![expect(unsafe_code, reason = "the crate has no safe way to run a command of jemalloc that takes and gives no value")]

use std::ptr::null_mut;

use super::jemalloc::{Statistics, is_global_allocator, read};

/// Bytes that are free and resident, as if purged.
pub(crate) fn purgeable() -> Result<(u64, u64), String> {
    Ok((free(statistics()?), 0))
}

/// Purges every arena: bytes that were free and resident, and how many fewer are resident now. Takes milliseconds.
pub(crate) fn purge() -> Result<(u64, u64), String> {
    let before = statistics()?;
    // SAFETY: the name ends in a zero byte; the command takes no new value and gives no old one, so both are null.
    let status =
        unsafe { tikv_jemalloc_sys::mallctl(c"arena.4096.purge".as_ptr(), null_mut(), null_mut(), null_mut(), 0) };
    if status != 0 {
        return Err(format!("jemalloc refused to purge its arenas: {}", std::io::Error::from_raw_os_error(status)));
    }
    let after = statistics()?;
    Ok((free(before), before.resident.saturating_sub(after.resident) as u64))
}

fn free(statistics: Statistics) -> u64 {
    statistics.resident.saturating_sub(statistics.active + statistics.metadata) as u64
}

fn statistics() -> Result<Statistics, String> {
    let missing = || "jemalloc is not the allocator of this program; it is with heartline::jemalloc!()".to_owned();
    if is_global_allocator() { read().ok_or_else(missing) } else { Err(missing()) }
}
