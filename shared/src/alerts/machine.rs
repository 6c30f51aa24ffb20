//! The state of one level of one alert instance: Prometheus' machine of `rules/alerting.go`.
//! Conditions, labels and levels are not known here.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::UnixMillis;

/// How long an ended alert is remembered, and shown as resolved.
pub const RESOLVED_RETENTION: Duration = Duration::from_mins(15);

/// Where one level stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Its condition does not hold.
    #[default]
    Inactive,
    /// Its condition holds, not yet long enough.
    Pending {
        /// Since when it holds.
        active_at: UnixMillis,
    },
    /// It fires.
    Firing {
        /// Since when its condition held.
        active_at: UnixMillis,
        /// Since when it fires.
        fired_at: UnixMillis,
        /// Since when its condition no longer holds, while it keeps firing; absent while it holds.
        keep_firing_since: Option<UnixMillis>,
    },
    /// It fired, and ended a short time ago.
    Resolved {
        /// When it began to fire.
        fired_at: UnixMillis,
        /// When it ended.
        resolved_at: UnixMillis,
    },
}

/// How long conditions must hold, and how long alerts outlast them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    pub(super) hold: Duration,
    pub(super) keep_firing_for: Duration,
}

impl Phase {
    /// Pending or firing: the recover condition applies instead of the threshold.
    pub(super) fn is_loaded(self) -> bool {
        matches!(self, Self::Pending { .. } | Self::Firing { .. })
    }

    pub(super) fn is_firing(self) -> bool {
        matches!(self, Self::Firing { .. })
    }

    /// The phase after an evaluation at `at` that found the condition `active` or not.
    #[must_use]
    pub(super) fn step(self, active: bool, timing: Timing, at: UnixMillis) -> Self {
        if active { self.step_active(timing, at) } else { self.step_inactive(timing, at) }
    }

    fn step_active(self, timing: Timing, at: UnixMillis) -> Self {
        let (active_at, fired_at) = match self {
            Self::Inactive | Self::Resolved { .. } => (at, None),
            Self::Pending { active_at } => (active_at, None),
            Self::Firing { active_at, fired_at, .. } => (active_at, Some(fired_at)),
        };
        if at.since(active_at) < timing.hold {
            return Self::Pending { active_at };
        }
        Self::Firing { active_at, fired_at: fired_at.unwrap_or(at), keep_firing_since: None }
    }

    fn step_inactive(self, timing: Timing, at: UnixMillis) -> Self {
        match self {
            Self::Inactive | Self::Pending { .. } => Self::Inactive,
            Self::Firing { active_at, fired_at, keep_firing_since } => {
                let since = keep_firing_since.unwrap_or(at);
                if at.since(since) < timing.keep_firing_for {
                    return Self::Firing { active_at, fired_at, keep_firing_since: Some(since) };
                }
                Self::Resolved { fired_at, resolved_at: at }
            }
            Self::Resolved { resolved_at, .. } if at.since(resolved_at) > RESOLVED_RETENTION => Self::Inactive,
            Self::Resolved { .. } => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per evaluation, 15 s apart: what is active goes in, what is shown comes out.
    fn run(active: &str, hold: u64, keep: u64) -> String {
        let timing = Timing { hold: Duration::from_secs(hold), keep_firing_for: Duration::from_secs(keep) };
        let mut phase = Phase::Inactive;
        let step = |(tick, active): (usize, char)| {
            phase = phase.step(active == 'x', timing, UnixMillis(1_000_000 + tick as u64 * 15_000));
            match phase {
                Phase::Inactive => '.',
                Phase::Pending { .. } => 'p',
                Phase::Firing { keep_firing_since: None, .. } => 'F',
                Phase::Firing { .. } => 'k',
                Phase::Resolved { .. } => 'r',
            }
        };
        active.chars().enumerate().map(step).collect()
    }

    #[test]
    fn follows_the_table() {
        for (active, hold, keep, shown) in [
            ("..x.", 0, 0, "..Fr"),              // for = 0 fires in the same tick
            ("xxxxxx", 60, 0, "ppppFF"),         // active at 0 s, firing at 60 s: the fifth evaluation
            ("xxx.xxxxxx", 60, 0, "ppp.ppppFF"), // an interruption begins the wait anew
            ("x....", 0, 30, "Fkkrr"),           // keeps firing for less than 30 s, gone at 30 s
            ("x.x..", 0, 30, "FkFkk"),           // coming back clears the wait
            ("x.x", 0, 0, "FrF"),                // from resolved it fires again
            ("x.x", 30, 0, "p.p"),
        ] {
            assert_eq!(run(active, hold, keep), shown, "{active} for={hold} keep={keep}");
        }
    }

    #[test]
    fn resolved_is_forgotten_after_fifteen_minutes() {
        let shown = run(&format!("x{}", ".".repeat(65)), 0, 0);
        assert_eq!(shown.find('.'), Some(62), "{shown}"); // resolved at tick 1, forgotten at tick 62: 15 min 15 s later
    }

    #[test]
    fn a_raised_for_puts_a_young_alert_back_to_pending() {
        let brief = Timing { hold: Duration::ZERO, keep_firing_for: Duration::ZERO };
        let long = Timing { hold: Duration::from_mins(1), ..brief };
        let firing = Phase::Inactive.step(true, brief, UnixMillis(0));
        assert_eq!(firing.step(true, long, UnixMillis(15_000)), Phase::Pending { active_at: UnixMillis(0) });
    }
}
