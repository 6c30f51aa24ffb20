//! Interrupts this process at even distances of the processor time that it uses, and copies registers and stack of what it
//! interrupts. What is on a stack is not known here.
//!
//! One signal handler, `SIGPROF`, from [`Sampling::begin`] until it is dropped; then what was there before is there again.
//! It runs on whatever thread of the service uses the processor, so it makes two system calls and touches memory that was
//! there before, nothing else.
#![expect(
    unsafe_code,
    reason = "a signal handler, its timer and the registers that it is given cannot be had otherwise"
)]

use std::ffi::{c_int, c_void};
use std::mem::{size_of, zeroed};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;

use super::door::Door;

/// Copies that wait to be read. They are read each five milliseconds, so that this is enough for 6,400 a second.
const COPIES: usize = 32;
/// Words that are copied of one stack: 64 KiB. What is called from deeper is not seen.
const WORDS: usize = 8 << 10;
const WORD_BYTES: usize = size_of::<u64>();
/// The stack is read in parts that end with pages, because a part is read whole or not at all.
const PART_BYTES: usize = 4 << 10;
const PARTS: usize = WORDS * WORD_BYTES / PART_BYTES + 1;
/// How long the end waits for handlers that are running.
const PATIENCE: Duration = Duration::from_secs(1);

/// States of a copy.
const FREE: u32 = 0;
const WRITING: u32 = 1;
const FULL: u32 = 2;

/// What the handler writes to; closed while nothing is sampled.
static COPYING: Door<Copies> = Door::closed();
/// The signal is the process's, so there is one profile at a time, whichever agent takes it.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Sampling goes on until this is dropped.
pub(super) struct Sampling {
    copies: Arc<Copies>,
    before: libc::sigaction,
    _turn: Turn,
}

/// Nobody else samples this process.
struct Turn;

impl Turn {
    fn take() -> Option<Self> {
        TAKEN.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok().then_some(Self)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        TAKEN.store(false, Ordering::Release);
    }
}

/// Why nothing is sampled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// This process is sampled already.
    Running,
    /// The signal or its timer is in somebody else's use.
    InUse(&'static str),
    /// The system does not let us.
    Forbidden(String),
}

/// Registers that unwinding begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Registers {
    /// The next instruction.
    pub(super) program_counter: u64,
    pub(super) stack_pointer: u64,
    pub(super) frame_pointer: u64,
    /// Where the function returns to; 0 on processors that keep it on the stack.
    pub(super) link: u64,
}

/// One interruption.
pub(super) struct Sample<'c> {
    /// The system's number of the thread.
    pub(super) thread: u32,
    pub(super) registers: Registers,
    copy: &'c Copied,
}

struct Copies {
    places: Vec<Copied>,
    next: AtomicUsize,
    lost: AtomicU64,
}

struct Copied {
    state: AtomicU32,
    thread: AtomicU32,
    registers: [AtomicU64; 4],
    /// Where the stack was copied from, and how many bytes of it there were.
    from: AtomicU64,
    bytes: AtomicUsize,
    stack: Vec<AtomicU64>,
}

impl Sampling {
    /// Samples after each `period` of processor time, that of all threads together.
    ///
    /// # Errors
    /// What stands in the way.
    pub(super) fn begin(period: Duration) -> Result<Self, Obstacle> {
        let turn = Turn::take().ok_or(Obstacle::Running)?;
        let before = unused_signal()?;
        let copies = Arc::new(Copies::new());
        copies.try_reading()?;
        // the handler finds it from here on, and `drop` keeps it until no handler is running
        COPYING.open(&copies);
        let sampling = Self { copies, before, _turn: turn };
        install(on_tick as *const () as usize, libc::SA_SIGINFO | libc::SA_RESTART | libc::SA_ONSTACK)
            .and_then(|()| set_timer(period))
            .map_err(|errno| Obstacle::Forbidden(format!("the system gives no profiling timer: {errno}")))?;
        Ok(sampling)
    }

    /// Hands over what was copied since the last time.
    pub(super) fn read(&self, mut visit: impl FnMut(&Sample<'_>)) {
        for copy in &self.copies.places {
            if copy.state.load(Ordering::Acquire) == FULL {
                let [program_counter, stack_pointer, frame_pointer, link] =
                    [0, 1, 2, 3].map(|at: usize| copy.registers[at].load(Ordering::Relaxed));
                let registers = Registers { program_counter, stack_pointer, frame_pointer, link };
                visit(&Sample { thread: copy.thread.load(Ordering::Relaxed), registers, copy });
                copy.state.store(FREE, Ordering::Release);
            }
        }
    }

    /// Interruptions of which there is no copy: too many came at once, or the stack could not be read.
    pub(super) fn lost(&self) -> u64 {
        self.copies.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        let _ = set_timer(Duration::ZERO); // it was set before, so it can be set
        // what is ours goes; a handler that somebody else put there meanwhile stays
        if current().is_ok_and(|now| now.sa_sigaction == on_tick as *const () as usize) {
            // a signal that is on its way is thrown away by being ignored; by default it would end the process
            let _ = install(libc::SIG_IGN, 0);
            // SAFETY: this is what the system gave us.
            unsafe { libc::sigaction(libc::SIGPROF, &raw const self.before, ptr::null_mut()) };
        }
        let mut waited = Duration::ZERO;
        let left = COPYING.close(|| {
            waited += Duration::from_millis(1);
            std::thread::sleep(Duration::from_millis(1));
            waited < PATIENCE
        });
        if !left {
            // a thread was stopped in the handler, by a debugger for example: better two megabytes than a fault
            std::mem::forget(Arc::clone(&self.copies));
        }
    }
}

impl Sample<'_> {
    /// The word at an address of the stack; `None` where it was not copied.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        let offset = usize::try_from(address.checked_sub(self.copy.from.load(Ordering::Relaxed))?).ok()?;
        let inside = offset.is_multiple_of(WORD_BYTES) && offset < self.copy.bytes.load(Ordering::Relaxed);
        inside.then(|| self.copy.stack[offset / WORD_BYTES].load(Ordering::Relaxed))
    }
}

impl Copies {
    fn new() -> Self {
        let places = (0..COPIES).map(|_| Copied::new()).collect();
        Self { places, next: AtomicUsize::new(0), lost: AtomicU64::new(0) }
    }

    /// Reads our own memory once: some sandboxes do not let a process do this.
    fn try_reading(&self) -> Result<(), Obstacle> {
        let here = 0_u64;
        let (copy, address) = (&self.places[0], (&raw const here).expose_provenance() as u64);
        copy.fill(address).map_err(|errno| {
            Obstacle::Forbidden(format!(
                "this process may not read its own stack by process_vm_readv ({errno}); allow that system call in its sandbox"
            ))
        })
    }

    /// Called by the handler.
    fn add(&self, thread: u32, registers: Registers) {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % COPIES;
        let Some(copy) = self.places.get(at) else { return };
        if copy.state.compare_exchange(FREE, WRITING, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        copy.thread.store(thread, Ordering::Relaxed);
        let Registers { program_counter, stack_pointer, frame_pointer, link } = registers;
        for (register, value) in copy.registers.iter().zip([program_counter, stack_pointer, frame_pointer, link]) {
            register.store(value, Ordering::Relaxed);
        }
        let read = copy.fill(stack_pointer);
        if read.is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        copy.state.store(if read.is_ok() { FULL } else { FREE }, Ordering::Release);
    }
}

impl Copied {
    fn new() -> Self {
        Self {
            state: AtomicU32::new(FREE),
            thread: AtomicU32::default(),
            registers: Default::default(),
            from: AtomicU64::default(),
            bytes: AtomicUsize::default(),
            stack: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// Copies the stack from `address` on, as much as there is.
    fn fill(&self, address: u64) -> Result<(), Errno> {
        let from = address & !(WORD_BYTES as u64 - 1);
        #[expect(clippy::cast_possible_truncation, reason = "only platforms of 64 bits come here")]
        let start = from as usize;
        let end = start.saturating_add(WORDS * WORD_BYTES);
        let mut parts: [libc::iovec; PARTS] = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; PARTS];
        let (mut count, mut at) = (0, start);
        while let Some(part) = parts.get_mut(count).filter(|_| at < end) {
            let next = (at & !(PART_BYTES - 1)).saturating_add(PART_BYTES).min(end);
            *part = libc::iovec { iov_base: ptr::with_exposed_provenance_mut(at), iov_len: next - at };
            (count, at) = (count + 1, next);
        }
        let to = libc::iovec { iov_base: self.stack.as_ptr().cast_mut().cast::<c_void>(), iov_len: WORDS * WORD_BYTES };
        // SAFETY: the system writes to `to` at most, whose words may be written by anyone at any time. What it reads it
        // checks itself: parts that are not there are not read.
        let read = unsafe {
            let (ours, theirs) = (&raw const to, parts.as_ptr());
            libc::syscall(libc::SYS_process_vm_readv, libc::getpid(), ours, 1_usize, theirs, count, 0_usize)
        };
        let bytes = usize::try_from(read).map_err(|_| Errno::last())?;
        self.from.store(from, Ordering::Relaxed);
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// The handler. On a thread of the service: no lock, no memory, no panic.
extern "C" fn on_tick(_signal: c_int, _about: *mut libc::siginfo_t, context: *mut c_void) {
    let errno = Errno::last_raw();
    if !context.is_null() {
        // SAFETY: with `SA_SIGINFO` the third argument is the context of what was interrupted.
        let registers = registers(unsafe { &*context.cast::<libc::ucontext_t>() });
        // SAFETY: takes nothing and cannot fail.
        let thread = unsafe { libc::syscall(libc::SYS_gettid) };
        COPYING.enter(|copies| copies.add(u32::try_from(thread).unwrap_or(0), registers));
    }
    Errno::set_raw(errno);
}

#[cfg(target_arch = "x86_64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let all = &context.uc_mcontext.gregs;
    #[expect(
        clippy::cast_sign_loss,
        clippy::indexing_slicing,
        reason = "registers by the numbers that the system gave them"
    )]
    let of = |number: c_int| all[number as usize].cast_unsigned();
    Registers {
        program_counter: of(libc::REG_RIP),
        stack_pointer: of(libc::REG_RSP),
        frame_pointer: of(libc::REG_RBP),
        link: 0,
    }
}

#[cfg(target_arch = "aarch64")]
fn registers(context: &libc::ucontext_t) -> Registers {
    let all = &context.uc_mcontext;
    Registers { program_counter: all.pc, stack_pointer: all.sp, frame_pointer: all.regs[29], link: all.regs[30] }
}

/// What is done on the signal, if nobody else uses it.
fn unused_signal() -> Result<libc::sigaction, Obstacle> {
    let forbidden = |errno: Errno| Obstacle::Forbidden(format!("the system does not tell about SIGPROF: {errno}"));
    let before = current().map_err(forbidden)?;
    if before.sa_sigaction != libc::SIG_DFL && before.sa_sigaction != libc::SIG_IGN {
        return Err(Obstacle::InUse("something else in this process handles SIGPROF, another profiler most likely"));
    }
    // SAFETY: all zeros is a timer that is not set, and the system writes over it.
    let mut timer: libc::itimerval = unsafe { zeroed() };
    // SAFETY: the pointer is to a timer.
    let read = unsafe { libc::getitimer(libc::ITIMER_PROF, &raw mut timer) };
    let running = timer.it_value.tv_sec != 0 || timer.it_value.tv_usec != 0;
    if read == 0 && running {
        return Err(Obstacle::InUse("something else in this process uses the profiling timer (ITIMER_PROF)"));
    }
    Ok(before)
}

fn current() -> Result<libc::sigaction, Errno> {
    // SAFETY: all zeros is the default action, and the system writes over it.
    let mut now: libc::sigaction = unsafe { zeroed() };
    // SAFETY: without a new action this only tells the present one.
    Errno::result(unsafe { libc::sigaction(libc::SIGPROF, ptr::null(), &raw mut now) })?;
    Ok(now)
}

fn install(handler: usize, flags: c_int) -> Result<(), Errno> {
    // SAFETY: all zeros is the default action with an empty mask.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    // SAFETY: the handler is `on_tick`, with the flags that it needs, or one of the system's constants.
    Errno::result(unsafe { libc::sigaction(libc::SIGPROF, &raw const action, ptr::null_mut()) }).map(|_| ())
}

/// Sets the timer of the process's processor time; zero ends it.
fn set_timer(period: Duration) -> Result<(), Errno> {
    let each = libc::timeval {
        tv_sec: libc::time_t::try_from(period.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_usec: libc::suseconds_t::from(period.subsec_micros()),
    };
    let timer = libc::itimerval { it_interval: each, it_value: each };
    // SAFETY: the pointer is to a timer; what was set before is not asked for.
    Errno::result(unsafe { libc::setitimer(libc::ITIMER_PROF, &raw const timer, ptr::null_mut()) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;
    use crate::clock::process_cpu_time;
    use crate::cpu::walker::Walker;

    /// The signal is the process's; tests of one process take turns.
    static ALONE: parking_lot::Mutex<()> = parking_lot::Mutex::new(());

    extern "C" fn of_the_service(_signal: c_int, _about: *mut libc::siginfo_t, _context: *mut c_void) {}

    #[inline(never)]
    fn spend(span: Duration) -> u64 {
        let (end, mut sum) = (process_cpu_time() + span, 0_u64);
        while process_cpu_time() < end {
            (0..10_000_u64).for_each(|number| sum = black_box(sum.wrapping_mul(31) ^ number));
        }
        sum
    }

    #[test]
    fn what_runs_is_interrupted_and_walked_to_its_outermost_call() {
        let _alone = ALONE.lock();
        let mut walker = Walker::of_this_process().unwrap();
        let sampling = Sampling::begin(Duration::from_millis(4)).unwrap();
        assert_eq!(Sampling::begin(Duration::from_millis(4)).err(), Some(Obstacle::Running));
        black_box(spend(Duration::from_millis(400)));
        let (mut samples, mut whole) = (0, 0);
        sampling.read(|sample| {
            let stack = walker.walk(sample);
            samples += 1;
            whole += usize::from(stack.whole && stack.addresses.len() > 3);
            assert!(walker.mappings.iter().any(|mapping| mapping.holds(stack.addresses[0] - 1)), "code was running");
        });
        assert!(samples >= 10, "{samples} of up to {COPIES}");
        assert!(whole * 10 >= samples * 9, "{whole} of {samples} to the end");
        drop(sampling);
        assert!(current().unwrap().sa_sigaction == libc::SIG_DFL, "the default is back");
        black_box(spend(Duration::from_millis(20))); // a signal that was late would end the process
        drop(Sampling::begin(Duration::from_millis(4)).unwrap());
    }

    #[test]
    fn a_handler_or_timer_of_the_service_is_left_alone() {
        let _alone = ALONE.lock();
        install(of_the_service as *const () as usize, libc::SA_SIGINFO).unwrap();
        let refused = Sampling::begin(Duration::from_millis(10)).err();
        assert!(matches!(refused, Some(Obstacle::InUse(what)) if what.contains("SIGPROF")), "{refused:?}");
        assert!(current().unwrap().sa_sigaction == of_the_service as *const () as usize);
        set_timer(Duration::from_secs(1_000)).unwrap();
        install(libc::SIG_IGN, 0).unwrap();
        let refused = Sampling::begin(Duration::from_millis(10)).err();
        assert!(matches!(refused, Some(Obstacle::InUse(what)) if what.contains("timer")), "{refused:?}");
        set_timer(Duration::ZERO).unwrap();
        drop(Sampling::begin(Duration::from_millis(10)).unwrap());
        assert!(current().unwrap().sa_sigaction == libc::SIG_IGN, "what was ignored is ignored again");
        install(libc::SIG_DFL, 0).unwrap();
    }
}
