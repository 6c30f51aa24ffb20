//! Where the processor's time goes, for as long as somebody with the admin token asked: which functions run, by call stack.
//!
//! * `sampler` interrupts the process each so many milliseconds of processor time and copies what it finds: registers and
//!   the stack above them. It is the only place of the agent that installs a signal handler, and takes it back.
//!   `door` is how the handler finds what it writes to, and how that is taken away.
//! * `walker` makes call stacks of these copies; `taking` brings the two together, on a thread of the agent's.
//! * `taken` is what came of it, with names; `profiler` decides whether and for how long.
//!
//! On Linux, x86_64 and aarch64; `elsewhere` says so to those who ask on other systems.
//!
//! # Why copies
//! A handler that unwinds the stack where it interrupts it takes locks of the dynamic linker that the interrupted thread or
//! another that waits for memory may hold: profilers that do it have stopped services for good, with an allocator that
//! unwinds too (heap profiles of jemalloc) above all. And wrong unwinding information makes it read what is not there. Here
//! the handler takes no lock, allocates nothing, reads memory through a system call that fails instead of faulting, and
//! is done after some ten microseconds; unwinding is arithmetic on the copy.
//!
//! # What it costs
//! Nothing before the first profile. While one is taken: a signal each [`period`](Taken::period) of processor time, which
//! may interrupt a system call (as `SIGPROF` of any profiler does; it is restarted where the system can), one thread, and
//! memory of the agent: 2 MiB for copies, and the unwinding tables of the program, some percent of its file. Afterwards
//! names are looked up, for tens of milliseconds. All of it is given back.

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod door;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod sampler;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod taking;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod walker;

mod profiler;
mod taken;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "elsewhere.rs"]
mod taking;

pub(crate) use profiler::{HERTZ_DEFAULT, HERTZ_MAX, Profiler, Refusal, SECONDS_DEFAULT, SECONDS_MAX, Wanted};
pub(crate) use taken::{Stack, Taken};
