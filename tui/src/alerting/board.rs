//! What is shown of the alerts: one row for each, the newest transitions, and what is wrong with the rules. How alerts
//! are decided is not known here.

use std::collections::VecDeque;
use std::time::Duration;

use heartline_shared::UnixMillis;
/// How bad an alert is, and how it stands.
pub use heartline_shared::alerts::{Level, State as AlertState};

use super::rules::Mistake;
use crate::text::Text;

/// How many transitions are kept.
pub const TRANSITIONS_MAX: usize = 500;

/// One alert of one target; or a rule that watches nothing yet, as one inactive row without a target.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertRow {
    /// The rule's name.
    pub name: Text,
    /// How bad it is: the highest level that fires, else the highest that is pending, else the one that ended, else the
    /// rule's highest.
    pub level: Level,
    /// How it stands.
    pub state: AlertState,
    /// The alert that makes this one pointless; nobody needs to act on such a row.
    pub inhibited_by: Option<Text>,
    /// Whether it fires because nothing is heard any more.
    pub no_data: bool,
    /// Whether its rule never had any data: perhaps a metric nobody records.
    pub never_seen: bool,
    /// The value it looks at, in seconds, bytes, a ratio or a count; `None` while there is no data.
    pub value: Option<f64>,
    /// The value written for people, such as `1.24 s`; `None` while there is no data.
    pub value_text: Option<Text>,
    /// The threshold of the level, as the rule writes it, such as `> 1s`.
    pub threshold: Option<Text>,
    /// Which target it is about, as the user named it; `None` for a rule that watches nothing yet.
    pub target: Option<Text>,
    /// What tells the alert from others of its rule, beside the target: the pool, the cache, the queue; without a target
    /// also the service, as `job`.
    pub labels: Vec<(Text, Text)>,
    /// Since when it stands like this; `None` while inactive.
    pub since: Option<UnixMillis>,
    /// When it began to fire, at whatever level and also while it recovers; `None` while it does not fire.
    pub fired_at: Option<UnixMillis>,
    /// How long the condition must hold before it fires.
    pub hold: Duration,
    /// One line for people.
    pub summary: Text,
    /// Where to read what to do.
    pub runbook: Option<Text>,
}

impl AlertRow {
    /// Whether it fires, and no other alert makes it pointless.
    pub(crate) fn counts(&self) -> bool {
        self.state.is_firing() && self.inhibited_by.is_none()
    }
}

/// A change of one alert.
#[derive(Debug, Clone, PartialEq)]
pub struct TransitionRow {
    /// When it changed.
    pub at: UnixMillis,
    /// The rule's name.
    pub name: Text,
    /// How bad it is now, or was when it ended.
    pub level: Level,
    /// How it stands now.
    pub state: AlertState,
    /// Which target it is about.
    pub target: Option<Text>,
    /// What tells the alert from others of its rule.
    pub labels: Vec<(Text, Text)>,
    /// One line for people.
    pub summary: Text,
}

/// Everything shown of the alerts.
#[derive(Debug, Clone, Default)]
pub struct Board {
    /// The alerts: firing first, the worst first, then by name and target. Inactive ones are here too.
    pub rows: Vec<AlertRow>,
    /// The newest changes, the newest last; at most [`TRANSITIONS_MAX`].
    pub transitions: VecDeque<TransitionRow>,
    /// Where the rules in force come from: a path, or `built-in rules`.
    pub source: Text,
    /// What is wrong with the rules that were read last.
    pub problems: Problems,
}

/// What is wrong with the rules; no mistakes when nothing is. Other rules are in force meanwhile.
#[derive(Debug, Clone, Default)]
pub struct Problems {
    /// The mistakes, in the order of the file.
    pub mistakes: Vec<Mistake>,
    /// The file that has them.
    pub file: Text,
    /// Which rules are in force meanwhile, in words.
    pub in_force: Text,
}

impl Board {
    /// The alerts of one target, by its name.
    pub fn of_target<'a>(&'a self, target: &'a Text) -> impl Iterator<Item = &'a AlertRow> {
        self.rows.iter().filter(move |row| row.target.as_ref() == Some(target))
    }

    /// How many alerts of this level fire, of those that another one does not make pointless.
    pub fn firing(&self, level: Level) -> usize {
        self.rows.iter().filter(|row| row.level == level && row.counts()).count()
    }

    /// How bad the worst firing alert is, of those that another one does not make pointless.
    pub fn worst(&self) -> Option<Level> {
        self.rows.iter().filter(|row| row.counts()).map(|row| row.level).max()
    }

    /// Adds a change; the oldest leaves when there are too many.
    pub fn remember(&mut self, transition: TransitionRow) {
        if self.transitions.len() == TRANSITIONS_MAX {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition);
    }

    /// Puts the most urgent alert on top.
    pub fn sort(&mut self) {
        self.rows.sort_by(|a, b| {
            let urgency = |row: &AlertRow| (std::cmp::Reverse(row.state), std::cmp::Reverse(row.level));
            let subject = |row: &AlertRow| (row.name.clone(), row.target.clone(), row.labels.clone());
            urgency(a).cmp(&urgency(b)).then_with(|| subject(a).cmp(&subject(b)))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, level: Level, state: AlertState) -> AlertRow {
        AlertRow {
            name: Text::new(name),
            level,
            state,
            inhibited_by: None,
            no_data: false,
            never_seen: false,
            value: None,
            value_text: None,
            threshold: None,
            target: Some(Text::new("shop")),
            labels: Vec::new(),
            since: None,
            fired_at: None,
            summary: Text::default(),
            runbook: None,
            hold: Duration::ZERO,
        }
    }

    #[test]
    fn the_most_urgent_alert_is_on_top() {
        let mut board = Board {
            rows: vec![
                row("calm", Level::Critical, AlertState::Inactive),
                row("b", Level::Warning, AlertState::Firing),
                row("soon", Level::Critical, AlertState::Pending),
                row("a", Level::Critical, AlertState::Firing),
            ],
            ..Board::default()
        };
        board.sort();
        let order: Vec<&str> = board.rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(order, ["a", "b", "soon", "calm"]);
        assert_eq!((board.worst(), board.firing(Level::Warning)), (Some(Level::Critical), 1));
    }

    #[test]
    fn an_inhibited_alert_is_not_counted() {
        let inhibited =
            AlertRow { inhibited_by: Some(Text::new("Cause")), ..row("a", Level::Critical, AlertState::Firing) };
        let board = Board { rows: vec![inhibited], ..Board::default() };
        assert_eq!((board.worst(), board.firing(Level::Critical)), (None, 0));
    }

    #[test]
    fn old_transitions_leave() {
        let mut board = Board::default();
        for at in 0..600 {
            board.remember(TransitionRow {
                at: UnixMillis(at),
                name: Text::new("a"),
                level: Level::Info,
                state: AlertState::Firing,
                target: None,
                labels: Vec::new(),
                summary: Text::default(),
            });
        }
        assert_eq!((board.transitions.len(), board.transitions[0].at), (TRANSITIONS_MAX, UnixMillis(100)));
    }
}
