//! One alert instance: a rule's levels for one group of labels. Other instances and inhibition are not known here.

use super::board::{AlertInstance, Change, LevelStatus, State};
use super::dimension::Dimension;
use super::machine::{Phase, Timing};
use super::rule::{Level, NoData, Rule};
use super::samples::TargetKey;
use crate::label::Labels;
use crate::time::UnixMillis;

/// What an evaluation found for one group.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reading {
    /// The value; `None` when the group has no sample.
    pub(super) value: Option<f64>,
    /// How the value is shown.
    pub(super) dimension: Dimension,
    /// Whether `min_events` and `only_if` let the rule speak.
    pub(super) allowed: bool,
    /// Whether `any` or `all` holds; `None` for a rule of one signal, whose thresholds decide.
    pub(super) holds: Option<bool>,
    /// When the group was last heard of; `None` when the rule does not ask.
    pub(super) last_seen: Option<UnixMillis>,
}

/// The levels of one group and what was last seen.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub(super) slots: Vec<Slot>,
    pub(super) value: Option<f64>,
    dimension: Dimension,
    /// The value while it last fired or pended: what the summary of a resolved alert tells.
    told: Option<f64>,
    /// The level that was said to fire and not yet to have ended: an alert that pends again meanwhile has not.
    announced: Option<Level>,
}

/// The machine of one level, or of the no-data alert.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Slot {
    pub(super) level: Level,
    pub(super) no_data: bool,
    pub(super) phase: Phase,
}

impl Instance {
    pub(super) fn new(rule: &Rule) -> Self {
        let mut slots: Vec<Slot> = rule
            .thresholds
            .iter()
            .map(|threshold| Slot { level: threshold.level, no_data: false, phase: Phase::Inactive })
            .collect();
        if let (NoData::Alert(_), Some(worst)) = (rule.no_data, rule.thresholds.last()) {
            slots.push(Slot { level: worst.level, no_data: true, phase: Phase::Inactive });
        }
        Self { slots, value: None, dimension: rule.shown_as(), told: None, announced: None }
    }

    /// One evaluation. Returns what changed, if anything did, with the level that was last said to fire.
    pub(super) fn step(&mut self, rule: &Rule, reading: &Reading, at: UnixMillis) -> Option<(Change, Option<Level>)> {
        let timing = Timing { hold: rule.hold, keep_firing_for: rule.keep_firing_for };
        let (before, pended) = (self.announced, self.pending_level());
        for slot in &mut self.slots {
            let active = slot.is_active(rule, reading, at);
            slot.phase = slot.phase.step(active, timing, at);
        }
        self.value = reading.value;
        self.dimension = reading.dimension;
        if self.slots.iter().any(|slot| slot.phase.is_loaded()) && reading.value.is_some() {
            self.told = reading.value;
        }
        let firing = self.firing_level();
        let change = match (before, firing) {
            (None, Some(_)) => Change::Firing,
            (Some(before), Some(after)) if after > before => Change::Escalated,
            (Some(before), Some(after)) if after < before => Change::DeEscalated,
            (Some(_), None) if self.pending_level().is_none() => Change::Resolved,
            (_, None) if pended.is_none() && self.pending_level().is_some() => Change::Pending,
            _ => return None,
        };
        if change.is_notified() {
            self.announced = firing;
        }
        Some((change, before))
    }

    pub(super) fn is_forgotten(&self) -> bool {
        self.announced.is_none() && self.slots.iter().all(|slot| slot.phase == Phase::Inactive)
    }

    pub(super) fn firing_level(&self) -> Option<Level> {
        self.slots.iter().filter(|slot| slot.phase.is_firing()).map(|slot| slot.level).max()
    }

    fn pending_level(&self) -> Option<Level> {
        let pending = |slot: &&Slot| matches!(slot.phase, Phase::Pending { .. });
        self.slots.iter().filter(pending).map(|slot| slot.level).max()
    }

    /// Takes over the phases of the same levels of an instance of an earlier version of the rule.
    pub(super) fn adopt(&mut self, earlier: &Self) {
        for slot in &mut self.slots {
            let same = earlier.slots.iter().find(|it| it.level == slot.level && it.no_data == slot.no_data);
            slot.phase = same.map_or(slot.phase, |same| same.phase);
        }
        (self.value, self.told) = (earlier.value, earlier.told);
        // what the reload itself ends is not announced any more
        let goes_on = self.firing_level().is_some() || earlier.firing_level().is_none();
        self.announced = earlier.announced.filter(|_| goes_on && self.slots.iter().any(|slot| slot.phase.is_loaded()));
    }

    /// The row of the board.
    pub(super) fn row(&self, rule: &Rule, group: &Labels) -> AlertInstance {
        let shown = self.shown();
        let status = shown.map(|slot| LevelStatus::new(slot.level, slot.no_data, slot.phase));
        let told = self.value.or(self.told);
        let labels = labels(rule, group);
        let value = told.map_or_else(|| "no value".to_owned(), |value| self.dimension.format(value));
        AlertInstance {
            level: status.map(|status| status.level),
            state: status.map_or(State::Inactive, |status| status.state),
            value: self.value,
            dimension: self.dimension,
            since: status.and_then(|status| status.since),
            summary: rule.summary.render(&value, &labels),
            no_data: status.is_some_and(|status| status.no_data),
            levels: self.slots.iter().map(|slot| LevelStatus::new(slot.level, slot.no_data, slot.phase)).collect(),
            ..blank_row(rule, group, labels)
        }
    }

    /// The highest firing level, else the highest pending, else the one that ended last.
    fn shown(&self) -> Option<&Slot> {
        let rank = |slot: &&Slot| match slot.phase {
            Phase::Inactive => (0, UnixMillis(0), slot.level),
            Phase::Resolved { resolved_at, .. } => (1, resolved_at, slot.level),
            Phase::Pending { .. } => (2, UnixMillis(0), slot.level),
            Phase::Firing { .. } => (3, UnixMillis(0), slot.level),
        };
        self.slots.iter().filter(|slot| slot.phase != Phase::Inactive).max_by_key(rank)
    }
}

impl Slot {
    fn is_active(&self, rule: &Rule, reading: &Reading, at: UnixMillis) -> bool {
        let heard_within = |span| reading.last_seen.is_some_and(|seen| at.since(seen) <= span);
        if self.no_data {
            let NoData::Alert(memory) = rule.no_data else { return false };
            return !heard_within(super::samples::LOOKBACK) && heard_within(memory);
        }
        match (reading.value, reading.holds) {
            (Some(_), Some(holds)) => holds && reading.allowed,
            (Some(value), None) => {
                let threshold = rule.thresholds.iter().find(|threshold| threshold.level == self.level);
                reading.allowed && threshold.is_some_and(|it| it.holds(value, self.phase.is_loaded()))
            }
            (None, _) => match rule.no_data {
                NoData::Keep(span) => self.phase.is_firing() && heard_within(span),
                NoData::Ok | NoData::Alert(_) => false,
            },
        }
    }
}

/// The row of a rule that has no alert: its worst value, if it has one.
pub(super) fn inactive_row(rule: &Rule, worst: Option<(&Labels, f64)>) -> AlertInstance {
    let none = Labels::empty();
    let group = worst.map_or(&none, |(group, _)| group);
    let value = worst.map(|(_, value)| value);
    AlertInstance { value, ..blank_row(rule, group, labels(rule, group)) }
}

fn blank_row(rule: &Rule, group: &Labels, labels: Labels) -> AlertInstance {
    let target = match (group.value("job"), group.value("instance")) {
        (Some(job), Some(instance)) => Some(TargetKey { job: job.to_owned(), instance: instance.to_owned() }),
        _ => None,
    };
    AlertInstance {
        name: rule.name.clone(),
        level: None,
        state: State::Inactive,
        value: None,
        dimension: rule.shown_as(),
        target,
        labels,
        since: None,
        summary: String::new(),
        description: rule.description.clone(),
        runbook: rule.runbook.clone(),
        kind: rule.kind.clone(),
        inhibited_by: None,
        no_data: false,
        levels: Vec::new(),
    }
}

/// The group's labels and the rule's own.
fn labels(rule: &Rule, group: &Labels) -> Labels {
    let own = rule.labels.iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    own.fold(group.clone(), |labels, (name, value)| labels.with(name, value))
}
