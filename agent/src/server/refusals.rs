//! What the service's log is told about callers who were refused: who was refused why, but never what they sent, and not
//! more lines than a person reads, however many there are.

use std::time::Duration;

use parking_lot::Mutex;

use super::access::Caller;

/// Lines within [`WINDOW`]; the rest is counted in the first line of the next window.
const LINES_MAX: u32 = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// Refusals told and not told.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Told>);

#[derive(Debug, Clone, Copy, Default)]
struct Told {
    since: Option<Duration>,
    lines: u32,
    untold: u64,
}

impl Refusals {
    /// A security event at `now`: `tracing` target `heartline::security`, level WARN.
    pub(super) fn tell(&self, reason: &'static str, caller: Caller, now: Duration) {
        let Some(untold) = self.line(now) else { return };
        let address = caller.address.map(|address| address.to_string());
        let address = address.as_deref().unwrap_or("local");
        tracing::warn!(target: "heartline::security", reason, address, untold, "the heartline endpoint refused a request");
    }

    /// Whether to write a line, and how many were not written before it.
    fn line(&self, now: Duration) -> Option<u64> {
        let mut told = self.0.lock();
        if told.since.is_none_or(|since| now.saturating_sub(since) >= WINDOW) {
            *told = Told { since: Some(now), lines: 0, untold: told.untold };
        }
        if told.lines >= LINES_MAX {
            told.untold += 1;
            return None;
        }
        told.lines += 1;
        Some(std::mem::take(&mut told.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_refusals_is_ten_lines_a_minute_and_none_is_lost() {
        let refusals = Refusals::default();
        let lines = (0..1_000).filter(|_| refusals.line(Duration::from_secs(1)).is_some()).count();
        assert_eq!(lines, 10);
        assert_eq!(refusals.line(Duration::from_secs(61)), Some(990));
        assert_eq!(refusals.line(Duration::from_secs(62)), Some(0));
    }
}
