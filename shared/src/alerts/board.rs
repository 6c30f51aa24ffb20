//! What the engine tells: alert instances and the transitions between their states. How states come about is not known
//! here.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::dimension::Dimension;
use super::machine::Phase;
use super::rule::Level;
use super::samples::TargetKey;
use crate::catalog::prometheus_label;
use crate::label::Labels;
use crate::time::UnixMillis;

/// How an alert instance stands; on the wire in snake case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing is wrong.
    #[default]
    Inactive,
    /// It ended within the last fifteen minutes.
    Resolved,
    /// The condition holds, not yet long enough.
    Pending,
    /// The condition no longer holds; the alert keeps firing for a while.
    Recovering,
    /// It fires.
    Firing,
}

impl State {
    /// The word on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Inactive => "inactive",
            Self::Resolved => "resolved",
            Self::Pending => "pending",
            Self::Recovering => "recovering",
            Self::Firing => "firing",
        }
    }

    /// Whether it counts as firing: firing or recovering.
    pub fn is_firing(self) -> bool {
        matches!(self, Self::Firing | Self::Recovering)
    }

    pub(super) fn of(phase: Phase) -> Self {
        match phase {
            Phase::Inactive => Self::Inactive,
            Phase::Pending { .. } => Self::Pending,
            Phase::Firing { keep_firing_since: None, .. } => Self::Firing,
            Phase::Firing { .. } => Self::Recovering,
            Phase::Resolved { .. } => Self::Resolved,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One row of the board: an alert for one group of labels, or a rule that has no alert.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AlertInstance {
    /// The rule's name.
    pub name: String,
    /// The highest level that fires, else the highest that is pending, else the one that ended; `None` while inactive.
    pub level: Option<Level>,
    /// How it stands.
    pub state: State,
    /// The newest value; `None` without data. Of an inactive rule the worst over all groups.
    pub value: Option<f64>,
    /// What the value measures, as the thresholds are written; [`Dimension::format`] shows it.
    pub dimension: Dimension,
    /// The process it is about; `None` when the rule groups by something else.
    pub target: Option<TargetKey>,
    /// The group's labels and the rule's own. The target's are among them.
    pub labels: Labels,
    /// Since when it is in this state; `None` while inactive.
    pub since: Option<UnixMillis>,
    /// One line for people, value and labels filled in; empty while inactive.
    pub summary: String,
    /// More for people; `None` when the rule has none.
    pub description: Option<String>,
    /// Where to read what to do; `None` when the rule names none.
    pub runbook: Option<String>,
    /// The rule's kind: `alert` unless it says otherwise.
    pub kind: String,
    /// The alert that makes this one pointless; such a row is shown, dimmed, and nobody is told.
    pub inhibited_by: Option<String>,
    /// Whether it fires because nothing is heard any more.
    pub no_data: bool,
    /// Each level of its own, mildest first; empty for a rule that has no alert.
    pub levels: Vec<LevelStatus>,
}

/// How one level of an alert instance stands.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LevelStatus {
    /// The level.
    pub level: Level,
    /// How it stands.
    pub state: State,
    /// Whether this is the level's no-data alert.
    pub no_data: bool,
    /// Since when it is in this state; `None` while inactive.
    pub since: Option<UnixMillis>,
    /// When it began to fire, also while recovering; `None` while it does not fire.
    pub fired_at: Option<UnixMillis>,
}

impl LevelStatus {
    pub(super) fn new(level: Level, no_data: bool, phase: Phase) -> Self {
        let since = match phase {
            Phase::Inactive => None,
            Phase::Pending { active_at } => Some(active_at),
            Phase::Firing { keep_firing_since: Some(since), .. } => Some(since),
            Phase::Firing { fired_at, .. } => Some(fired_at),
            Phase::Resolved { resolved_at, .. } => Some(resolved_at),
        };
        let fired_at = match phase {
            Phase::Firing { fired_at, .. } => Some(fired_at),
            Phase::Inactive | Phase::Pending { .. } | Phase::Resolved { .. } => None,
        };
        Self { level, state: State::of(phase), no_data, since, fired_at }
    }
}

impl AlertInstance {
    /// When the first of the levels that fire now began to; unlike `since` it outlasts an escalation and a recovery.
    /// `None` while none fires.
    pub fn fired_at(&self) -> Option<UnixMillis> {
        self.levels.iter().filter_map(|level| level.fired_at).min()
    }

    /// A stable identity of this alert at one level: a hash of its labels, as Prometheus names them, with `alertname` and
    /// `severity`.
    pub fn fingerprint(&self, level: Level) -> u64 {
        let mut pairs: Vec<(String, &str)> =
            self.labels.iter().map(|(name, value)| (prometheus_label(name), value)).collect();
        pairs.push(("alertname".to_owned(), &self.name));
        pairs.push(("severity".to_owned(), level.name()));
        if self.no_data {
            pairs.push(("reason".to_owned(), "no_data"));
        }
        pairs.sort_unstable();
        let separated = pairs.iter().flat_map(|(name, value)| [name.as_bytes(), &[0xff], value.as_bytes(), &[0xff]]);
        separated.flatten().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) // FNV-1a, 64 bits
        })
    }

    /// The value for people; `no value` without data.
    pub fn shown_value(&self) -> String {
        self.value.map_or_else(|| "no value".to_owned(), |value| self.dimension.format(value))
    }
}

/// What happened to an alert instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A condition began to hold; nobody is told yet.
    Pending,
    /// It began to fire.
    Firing,
    /// It got worse.
    Escalated,
    /// It got milder and still fires.
    DeEscalated,
    /// It ended.
    Resolved,
}

impl Change {
    /// Whether somebody wants to know.
    pub fn is_notified(self) -> bool {
        self != Self::Pending
    }
}

/// A change of one alert instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Transition {
    /// The evaluation that saw it.
    pub at: UnixMillis,
    /// What happened.
    pub change: Change,
    /// The level that fired before; `None` when none did.
    pub from: Option<Level>,
    /// The level that fires, or pends; `None` when the alert ended.
    pub to: Option<Level>,
    /// The instance after the change; `inhibited_by` says whether anybody should be told.
    pub instance: AlertInstance,
}
