//! The only file that reads a clock: wall time that no step of the machine's clock moves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use heartline_shared::UnixMillis;

/// Wall time, read once when the program starts and carried on by a monotonic clock that counts suspend.
///
/// Somebody who sets the machine's clock, or a time service that steps it, moves no age, no rate and no timer.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: UnixMillis,
    anchor: Duration,
}

impl Clock {
    /// A clock that starts at the wall time of now.
    pub fn start() -> Self {
        #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: UnixMillis(0) + wall, anchor: monotonic() }
    }

    /// The time of now; never less than before.
    pub fn now(&self) -> UnixMillis {
        self.started + monotonic().saturating_sub(self.anchor)
    }
}

/// Time since the machine started, suspend included.
#[cfg(target_os = "linux")]
fn monotonic() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Time since the first call; these systems' clock counts suspend by itself.
#[cfg(not(target_os = "linux"))]
fn monotonic() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
        std::time::Instant::now()
    });
    #[expect(clippy::disallowed_methods, reason = "this file is where clocks are read")]
    FIRST.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_at_wall_time_and_never_goes_back() {
        let clock = Clock::start();
        assert!(clock.now() > UnixMillis(1_700_000_000_000));
        let readings: Vec<UnixMillis> = (0..1_000).map(|_| clock.now()).collect();
        assert!(readings.is_sorted());
    }
}
