//! What a rule says once it is read and checked. How it was written and how it is evaluated are not known here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dimension::Dimension;
use super::quantity::{Comparison, Condition, Quantity};
use super::signal::{Matcher, Signal};
use super::summary::Template;
use super::vocabulary::Aggregator;
use crate::label::Labels;

/// How bad an alert is; ordered, `Critical` being the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Worth knowing.
    Info,
    /// Somebody should look today.
    Warning,
    /// Somebody should look now.
    Critical,
}

impl Level {
    /// From the mildest to the worst.
    pub const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Critical];

    pub(super) const CHOICES: [(&'static str, Self); 3] =
        [("info", Self::Info), ("warning", Self::Warning), ("critical", Self::Critical)];

    /// The word in the file and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One `[[alert]]`, complete: defaults filled in, every name resolved.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique in the file.
    pub name: String,
    /// What is watched.
    pub subject: Subject,
    /// The levels it has, mildest first; never empty.
    pub thresholds: Vec<Threshold>,
    /// The window of windowed functions.
    pub over: Duration,
    /// The labels that tell its instances apart.
    pub by: Vec<String>,
    /// How series are grouped, where the rule differs from the catalogue.
    pub aggregator: Option<Aggregator>,
    /// How long a condition must hold before the alert fires (`for`).
    pub hold: Duration,
    /// How long the alert keeps firing after the condition ends.
    pub keep_firing_for: Duration,
    /// The evaluation interval; evaluations happen at multiples of it since 1970.
    pub every: Duration,
    /// Windows with fewer events are ignored; absent when every window counts.
    pub min_events: Option<u64>,
    /// A second condition without which the alert stays silent.
    pub only_if: Option<Clause>,
    /// What happens while there is no data.
    pub no_data: NoData,
    /// For routing: `alert` unless the rule says otherwise.
    pub kind: String,
    /// Labels every instance carries beside those of `by`.
    pub labels: Labels,
    /// One line for people.
    pub summary: Template,
    /// More for people; absent when the file has none.
    pub description: Option<String>,
    /// Where to read what to do; absent when the file names none.
    pub runbook: Option<String>,
    /// Whether it is evaluated.
    pub enabled: bool,
}

impl Rule {
    /// How values of the rule are shown: the signal's dimension, written as the thresholds are.
    pub fn shown_as(&self) -> Dimension {
        match &self.subject {
            Subject::Signal(signal) => match self.thresholds.first().and_then(|it| it.condition) {
                Some(condition) => condition.quantity.notation.shown_as(signal.dimension),
                None => signal.dimension,
            },
            Subject::Any(clauses) | Subject::All(clauses) => {
                clauses.first().map_or(Dimension::Number, Clause::shown_as)
            }
        }
    }

    /// The signals it reads, guards included.
    pub(super) fn clauses(&self) -> Vec<(&Signal, Duration)> {
        let mut signals = match &self.subject {
            Subject::Signal(signal) => vec![(signal, self.over)],
            Subject::Any(clauses) | Subject::All(clauses) => clauses.iter().map(|it| (&it.signal, it.over)).collect(),
        };
        signals.extend(self.only_if.iter().map(|guard| (&guard.signal, guard.over)));
        signals
    }
}

/// What a rule watches.
#[derive(Debug, Clone)]
pub enum Subject {
    /// One value, compared with the threshold of each level.
    Signal(Signal),
    /// Fires when one of several conditions holds.
    Any(Vec<Clause>),
    /// Fires when all of several conditions hold.
    All(Vec<Clause>),
}

/// A signal with its condition: an entry of `any` or `all`, or `only_if`.
#[derive(Debug, Clone)]
pub struct Clause {
    /// What is watched.
    pub signal: Signal,
    /// What must hold.
    pub condition: Condition,
    /// The window.
    pub over: Duration,
    /// The value of a known instance without any series; absent when such an instance is skipped.
    pub empty: Option<f64>,
}

impl Clause {
    /// How its values are shown.
    pub fn shown_as(&self) -> Dimension {
        self.condition.quantity.notation.shown_as(self.signal.dimension)
    }
}

/// One level of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Threshold {
    /// The level.
    pub level: Level,
    /// What makes it fire; absent for `any` and `all`, whose entries have conditions of their own.
    pub condition: Option<Condition>,
    /// What must hold before it clears; absent when it clears as soon as `condition` ends.
    pub recover: Option<Condition>,
}

impl Threshold {
    /// Whether the level holds at `value`, given whether it is pending or firing already.
    ///
    /// A loaded level stays until the recover condition is met; not-a-number holds nothing.
    pub(super) fn holds(&self, value: f64, loaded: bool) -> bool {
        let fires = self.condition.is_some_and(|condition| condition.holds(value));
        let stays = |recover: Condition| recover.comparison.negated().holds(value, recover.quantity.value);
        fires || (loaded && self.recover.is_some_and(stays))
    }
}

/// The recover condition `margin` beyond a threshold: `> 5%` with a margin of 0.2 recovers at `< 4%`.
pub(super) fn recover_at_margin(condition: Condition, margin: f64) -> Condition {
    let bound = condition.quantity.value;
    let (comparison, sign) = match condition.comparison {
        Comparison::Greater | Comparison::GreaterOrEqual => (Comparison::Less, -1.0),
        _ => (Comparison::Greater, 1.0),
    };
    let value = bound + sign * bound.abs() * margin;
    Condition { comparison, quantity: Quantity { value, notation: condition.quantity.notation } }
}

/// What happens to an instance whose series are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoData {
    /// Its conditions are false.
    Ok,
    /// A firing alert keeps firing, for at most this long after the last sample.
    Keep(Duration),
    /// The alert fires once nothing was heard for five minutes, until this long after the last sample.
    Alert(Duration),
}

/// One rule for one part of the targets: the rule itself, or an `[[override]]` of it.
#[derive(Debug, Clone)]
pub(super) struct Variant {
    pub(super) rule: Rule,
    /// Series that do not satisfy all of these are not looked at.
    pub(super) scope: Vec<Matcher>,
}
