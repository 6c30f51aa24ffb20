//! The only place that reads a clock: the cycle counter for durations, the boot-time clock for uptime and timers,
//! the wall clock for timestamps.
#![expect(clippy::disallowed_methods, reason = "this is the module that the other modules are sent to")]

use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heartline_shared::UnixMillis;
use nix::time::ClockId;

/// Calibrated against the system's clock when it is first used, which takes up to a fifth of a second.
static COUNTER: LazyLock<quanta::Clock> = LazyLock::new(quanta::Clock::new);

/// Calibrates the cycle counter, so that the first request does not wait for it.
pub(crate) fn calibrate() {
    LazyLock::force(&COUNTER);
}

/// A reading of the cycle counter, for durations of requests and queries. Costs one `rdtsc` where the counter is
/// invariant and one `clock_gettime` elsewhere (see the crate quanta); cycles become nanoseconds once, as a difference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp(u64);

impl Stamp {
    /// Now.
    #[inline]
    pub(crate) fn now() -> Self {
        Self(COUNTER.raw())
    }

    /// The reading itself, for where only a number fits.
    #[inline]
    pub(crate) fn cycles(self) -> u64 {
        self.0
    }

    /// The reading that gave [`cycles`](Self::cycles).
    pub(crate) fn of_cycles(cycles: u64) -> Self {
        Self(cycles)
    }

    /// Nanoseconds from `self` to `later`; 0 if a core's counter lags behind.
    #[inline]
    pub(crate) fn nanos_until(self, later: Self) -> u64 {
        COUNTER.delta_as_nanos(self.0, later.0)
    }

    /// The reading `nanos` before this one, as near as the counter's calibration has it.
    #[cfg(feature = "tracing")]
    pub(crate) fn before(self, nanos: u64) -> Self {
        // a long piece of counter says how many cycles a nanosecond has
        const PIECE: u64 = 1 << 32;
        let piece_nanos = u128::from(COUNTER.delta_as_nanos(0, PIECE)).max(1);
        let cycles = u128::from(nanos) * u128::from(PIECE) / piece_nanos;
        Self(self.0.saturating_sub(u64::try_from(cycles).unwrap_or(u64::MAX)))
    }

    /// Nanoseconds since `self`.
    #[inline]
    pub(crate) fn elapsed_nanos(self) -> u64 {
        self.nanos_until(Self::now())
    }

    /// Time since `self`.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.elapsed_nanos())
    }
}

/// A point on both time lines: what collectors get instead of a clock.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tick {
    /// Time since the machine booted, suspend included; never steps.
    pub(crate) mono: Duration,
    /// Wall time; may step.
    pub(crate) wall: UnixMillis,
}

impl Tick {
    /// Now.
    pub(crate) fn now() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = UnixMillis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX));
        Self { mono: since_boot(), wall }
    }
}

/// Nanoseconds from 1970 until now by the wall clock.
#[cfg(feature = "tracing")]
pub(crate) fn wall_nanos() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> Duration {
    read(ClockId::CLOCK_BOOTTIME)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn since_boot() -> Duration {
    read(ClockId::CLOCK_MONOTONIC)
}

/// CPU time that the calling thread has used.
pub(crate) fn thread_cpu_time() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU time that all threads of this process have used.
#[cfg(feature = "cpu-profile")]
pub(crate) fn process_cpu_time() -> Duration {
    read(ClockId::CLOCK_PROCESS_CPUTIME_ID)
}

/// A clock that this kind of system has; 0 where it has not.
fn read(clock: ClockId) -> Duration {
    let Ok(time) = clock.now() else { return Duration::ZERO };
    let seconds = u64::try_from(time.tv_sec()).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_lags_behind_gives_zero_and_not_a_panic() {
        let earlier = Stamp::now();
        let later = Stamp::now();
        assert_eq!(later.nanos_until(earlier), 0);
    }

    #[test]
    fn the_boot_time_clock_moves_forward() {
        let (first, second) = (Tick::now(), Tick::now());
        assert!(second.mono >= first.mono && first.wall.0 > 1_700_000_000_000);
    }
}
