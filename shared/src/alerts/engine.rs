//! The alert engine: rules and samples to states and transitions, a pure function of what it is given.
//! Where samples come from and who is told is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::assemble::RULE_EVALUATION_FAILED;
use super::board::{AlertInstance, Change, State, Transition};
use super::dimension::Dimension;
use super::evaluate::{EvaluationError, Moment, Vector};
use super::file::AlertFile;
use super::inhibition::{self, Inhibition};
use super::instance::{Instance, Reading, inactive_row};
use super::quantity::Direction;
use super::rule::{Clause, Level, NoData, Rule, Subject, Variant};
use super::samples::Samples;
use crate::label::Labels;
use crate::time::UnixMillis;

/// Evaluates the rules of one [`AlertFile`] and remembers how each alert stands.
///
/// ```
/// use heartline_shared::alerts::{AlertFile, Engine, Samples, State};
/// use heartline_shared::UnixMillis;
///
/// let file = AlertFile::parse(r#"
///     version = 1
///     [[alert]]
///     name = "Young"
///     signal = "last(process.uptime)"
///     warning = "< 1m"
/// "#, "alerts.toml").unwrap();
/// let mut engine = Engine::new(&file);
/// let samples = Samples::for_file(&file);
/// assert!(engine.evaluate(&samples, UnixMillis(15_000)).is_empty());
/// assert_eq!(engine.board()[0].state, State::Inactive);
/// ```
#[derive(Debug, Clone)]
pub struct Engine {
    rules: Vec<RuleState>,
    inhibitions: Vec<Inhibition>,
    board: Vec<AlertInstance>,
}

/// A rule, or an override of it, with the alerts it has.
#[derive(Debug, Clone)]
struct RuleState {
    variant: Variant,
    evaluated_at: Option<UnixMillis>,
    instances: BTreeMap<Labels, Instance>,
    values: Vector,
    ever_seen: bool,
    failure: Option<Failure>,
}

#[derive(Debug, Clone)]
struct Failure {
    since: UnixMillis,
    reason: String,
}

/// A change before inhibition is known.
struct Pending {
    at: UnixMillis,
    change: Change,
    from: Option<Level>,
    to: Option<Level>,
    row: AlertInstance,
}

impl Engine {
    /// An engine for the rules of `file`, with no alerts.
    pub fn new(file: &AlertFile) -> Self {
        let enabled = file.variants.iter().filter(|variant| variant.rule.enabled);
        let rules = enabled.cloned().map(RuleState::new).collect();
        let mut engine = Self { rules, inhibitions: file.inhibitions.clone(), board: Vec::new() };
        engine.board = engine.rows();
        engine
    }

    /// Evaluates every rule whose time has come, at the newest multiple of its interval that is not after `now`.
    ///
    /// Call it as often as you like: between two multiples nothing happens, and a multiple that was missed is not made
    /// up. Time that steps back changes nothing.
    pub fn evaluate(&mut self, samples: &Samples, now: UnixMillis) -> Vec<Transition> {
        let mut pending = Vec::new();
        let mut evaluated = false;
        for rule in &mut self.rules {
            let at = aligned(now, rule.variant.rule.every);
            if rule.evaluated_at.is_none_or(|before| at > before) {
                rule.evaluated_at = Some(at);
                pending.extend(rule.evaluate(samples, at));
                evaluated = true;
            }
        }
        if evaluated {
            self.board = self.rows();
        }
        pending.into_iter().map(|pending| self.transition(pending)).collect()
    }

    /// Every alert instance, and one inactive row for each rule that has none, in the order of the file.
    pub fn board(&self) -> &[AlertInstance] {
        &self.board
    }

    /// The values a rule had at its newest evaluation, per group of labels; empty for a rule that is not there or has no
    /// data.
    pub fn values(&self, rule: &str) -> impl Iterator<Item = (&Labels, f64)> {
        let of_rule = self.rules.iter().filter(move |it| it.variant.rule.name == rule);
        of_rule.flat_map(|it| it.values.iter().map(|(labels, value)| (labels, *value)))
    }

    /// Rules that never had any data since the engine or the rule was new: perhaps a metric nobody records.
    pub fn never_seen(&self) -> impl Iterator<Item = &str> {
        let seen: BTreeSet<&str> =
            self.rules.iter().filter(|it| it.ever_seen).map(|it| it.variant.rule.name.as_str()).collect();
        let all: BTreeSet<&str> = self.rules.iter().map(|it| it.variant.rule.name.as_str()).collect();
        let never: Vec<&str> = all.difference(&seen).copied().collect();
        never.into_iter()
    }

    /// Goes on with the rules of a changed file. An alert keeps its state where rule, level and labels are the same;
    /// those whose rule, level or labels are gone end, which is what is returned.
    pub fn reload(&mut self, file: &AlertFile) -> Vec<Transition> {
        let earlier = std::mem::replace(self, Self::new(file));
        for rule in &mut self.rules {
            let same = |it: &&RuleState| it.key() == rule.key();
            if let Some(before) = earlier.rules.iter().find(same) {
                rule.adopt(before);
            }
        }
        self.board = self.rows();
        let kept: BTreeSet<_> =
            self.board.iter().filter(|row| row.state.is_firing()).map(|row| subject(&self.rules, row)).collect();
        let at = earlier.rules.iter().filter_map(|rule| rule.evaluated_at).max().unwrap_or_default();
        let ended = |row: &&AlertInstance| row.state.is_firing() && !kept.contains(&subject(&earlier.rules, row));
        let end = |row: &AlertInstance| Transition {
            at,
            change: Change::Resolved,
            from: row.level,
            to: None,
            instance: AlertInstance { state: State::Resolved, since: Some(at), ..row.clone() },
        };
        earlier.board.iter().filter(ended).map(end).collect()
    }

    fn transition(&self, pending: Pending) -> Transition {
        let Pending { at, change, from, to, mut row } = pending;
        let same = self.board.iter().find(|shown| shown.name == row.name && shown.labels == row.labels);
        row.inhibited_by = same.and_then(|shown| shown.inhibited_by.clone());
        Transition { at, change, from, to, instance: row }
    }

    fn rows(&self) -> Vec<AlertInstance> {
        let mut rows: Vec<AlertInstance> = Vec::new();
        let mut at = 0;
        while at < self.rules.len() {
            let name = &self.rules[at].variant.rule.name;
            let variants = self.rules[at..].iter().take_while(|it| it.variant.rule.name == *name).count();
            let variants = &self.rules[at..at + variants];
            let before = rows.len();
            rows.extend(variants.iter().flat_map(RuleState::rows));
            if rows.len() == before {
                rows.push(inactive(variants));
            }
            at += variants.len();
        }
        rows.extend(self.rules.iter().filter_map(RuleState::failure_row));
        inhibit(&self.inhibitions, &mut rows);
        rows
    }
}

/// What a row is about, whatever labels its rule adds: the rule's name and the group's labels.
fn subject<'r>(rules: &[RuleState], row: &'r AlertInstance) -> (&'r str, Vec<(&'r str, &'r str)>) {
    let is_of = |rule: &&RuleState| {
        let rule = &rule.variant.rule;
        rule.name == row.name && rule.labels.iter().all(|(name, value)| row.labels.value(name) == Some(value))
    };
    let added = rules.iter().find(is_of).map(|rule| &rule.variant.rule.labels);
    let is_added = |name: &str| added.is_some_and(|added| added.value(name).is_some());
    (&row.name, row.labels.iter().filter(|(name, _)| !is_added(name)).collect())
}

/// The row of a rule without alerts: the worst value over its variants.
fn inactive(variants: &[RuleState]) -> AlertInstance {
    let rule = &variants[0].variant.rule;
    let above = rule.thresholds.first().and_then(|it| it.condition).map(|it| it.comparison.direction());
    let values = variants.iter().flat_map(|it| it.values.iter()).filter(|(_, value)| !value.is_nan());
    let worst = values.reduce(|worst, it| {
        let worse = match above {
            Some(Direction::Below) => it.1 < worst.1,
            _ => it.1 > worst.1,
        };
        if worse { it } else { worst }
    });
    inactive_row(rule, worst.map(|(labels, value)| (labels, *value)))
}

/// Marks the rows that another one makes pointless.
fn inhibit(inhibitions: &[Inhibition], rows: &mut [AlertInstance]) {
    let subject = |row: &AlertInstance, matcher: &inhibition::AlertMatch| {
        let (name, level, kind, labels) = (row.name.as_str(), row.level, row.kind.as_str(), &row.labels);
        matcher.matches(&inhibition::Subject { name, level, kind, labels })
    };
    for rule in inhibitions {
        let of_labels = |row: &AlertInstance| -> Vec<String> {
            rule.equal.iter().map(|name| row.labels.value(name).unwrap_or_default().to_owned()).collect()
        };
        let firing = rows.iter().filter(|row| row.state.is_firing() && subject(row, &rule.source));
        let sources: Vec<(Vec<String>, String)> = firing.map(|row| (of_labels(row), row.name.clone())).collect();
        for row in rows.iter_mut().filter(|row| row.state > State::Resolved) {
            // An alert on both sides is not inhibited: it would silence itself.
            if row.inhibited_by.is_none() && subject(row, &rule.target) && !subject(row, &rule.source) {
                let labels = of_labels(row);
                row.inhibited_by = sources.iter().find(|(equal, _)| *equal == labels).map(|(_, name)| name.clone());
            }
        }
    }
}

fn aligned(now: UnixMillis, every: Duration) -> UnixMillis {
    let every = u64::try_from(every.as_millis()).unwrap_or(u64::MAX).max(1);
    UnixMillis(now.0 / every * every)
}

impl RuleState {
    fn new(variant: Variant) -> Self {
        let (instances, values) = (BTreeMap::new(), Vector::new());
        Self { variant, evaluated_at: None, instances, values, ever_seen: false, failure: None }
    }

    fn key(&self) -> (&str, Option<&str>) {
        let rule = &self.variant.rule;
        (&rule.name, rule.labels.value("override"))
    }

    fn adopt(&mut self, earlier: &Self) {
        self.evaluated_at = earlier.evaluated_at;
        self.values = earlier.values.clone();
        self.ever_seen = earlier.ever_seen;
        let by_same = self.variant.rule.by == earlier.variant.rule.by;
        for (group, before) in earlier.instances.iter().filter(|_| by_same) {
            let mut instance = Instance::new(&self.variant.rule);
            instance.adopt(before);
            if !instance.is_forgotten() {
                self.instances.insert(group.clone(), instance);
            }
        }
    }

    fn evaluate(&mut self, samples: &Samples, at: UnixMillis) -> Vec<Pending> {
        match self.readings(samples, at) {
            Ok(readings) => {
                let mut pending: Vec<Pending> = self.recovered(at).into_iter().collect();
                pending.extend(self.step(readings, at));
                pending
            }
            Err(error) => self.failed(&error, at).into_iter().collect(),
        }
    }

    /// States stay untouched: nothing ends because of an error.
    fn failed(&mut self, error: &EvaluationError, at: UnixMillis) -> Option<Pending> {
        let first = self.failure.is_none();
        let since = self.failure.as_ref().map_or(at, |failure| failure.since);
        self.failure = Some(Failure { since, reason: error.to_string() });
        let row = self.failure_row().filter(|_| first)?;
        Some(Pending { at, change: Change::Firing, from: None, to: row.level, row })
    }

    fn recovered(&mut self, at: UnixMillis) -> Option<Pending> {
        let row = self.failure_row()?;
        self.failure = None;
        let row = AlertInstance { state: State::Resolved, since: Some(at), ..row };
        Some(Pending { at, change: Change::Resolved, from: row.level, to: None, row })
    }

    fn step(&mut self, readings: BTreeMap<Labels, Reading>, at: UnixMillis) -> Vec<Pending> {
        let rule = &self.variant.rule;
        let gone = Reading { value: None, dimension: rule.shown_as(), allowed: false, holds: None, last_seen: None };
        let groups: BTreeSet<Labels> = readings.keys().chain(self.instances.keys()).cloned().collect();
        let mut pending = Vec::new();
        for group in groups {
            let reading = readings.get(&group).unwrap_or(&gone);
            let instance = self.instances.entry(group.clone()).or_insert_with(|| Instance::new(rule));
            if let Some((change, from)) = instance.step(rule, reading, at) {
                let row = instance.row(rule, &group);
                let to = if change == Change::Resolved { None } else { row.level };
                pending.push(Pending { at, change, from, to, row });
            }
        }
        self.instances.retain(|_, instance| !instance.is_forgotten());
        self.ever_seen |= readings.values().any(|reading| reading.value.is_some());
        self.values = readings.into_iter().filter_map(|(group, reading)| Some((group, reading.value?))).collect();
        pending
    }

    fn rows(&self) -> impl Iterator<Item = AlertInstance> {
        self.instances.iter().map(|(group, instance)| instance.row(&self.variant.rule, group))
    }

    fn failure_row(&self) -> Option<AlertInstance> {
        let failure = self.failure.as_ref()?;
        let rule = &self.variant.rule;
        let mut labels = Labels::from_pairs([("rule", rule.name.clone())]);
        if let Some(part) = rule.labels.value("override") {
            labels.set("override", part);
        }
        Some(AlertInstance {
            name: RULE_EVALUATION_FAILED.to_owned(),
            level: Some(Level::Warning),
            state: State::Firing,
            dimension: Dimension::Number,
            target: None,
            labels,
            since: Some(failure.since),
            summary: format!("rule {} cannot be evaluated: {}", rule.name, failure.reason),
            kind: "alert".to_owned(),
            ..inactive_row(rule, None)
        })
    }

    fn readings(&self, samples: &Samples, at: UnixMillis) -> Result<BTreeMap<Labels, Reading>, EvaluationError> {
        let rule = &self.variant.rule;
        let moment = Moment { samples, at, over: rule.over, by: &rule.by, scope: &self.variant.scope };
        let mut readings = match &rule.subject {
            Subject::Signal(signal) => {
                let values = moment.values(&signal.expression)?;
                let dimension = rule.shown_as();
                let reading =
                    |value| Reading { value: Some(value), dimension, allowed: true, holds: None, last_seen: None };
                values.into_iter().map(|(group, value)| (group, reading(value))).collect()
            }
            Subject::Any(clauses) => any(&clause_values(clauses, &moment)?),
            Subject::All(clauses) => all(&clause_values(clauses, &moment)?),
        };
        guard(rule, &moment, &mut readings)?;
        if rule.no_data != NoData::Ok {
            remember(rule, &moment, &mut readings);
        }
        Ok(readings)
    }
}

/// The values of each clause, known instances without series filled in.
fn clause_values<'c>(clauses: &'c [Clause], moment: &Moment<'_>) -> Result<Vec<(&'c Clause, Vector)>, EvaluationError> {
    let values = |clause: &'c Clause| {
        let moment = Moment { over: clause.over, ..*moment };
        let mut values = moment.values(&clause.signal.expression)?;
        if let Some(empty) = clause.empty {
            for group in moment.live_groups() {
                values.entry(group).or_insert(empty);
            }
        }
        Ok((clause, values))
    };
    clauses.iter().map(values).collect()
}

/// Groups of which some clause has a value; the first clause that holds gives the value.
fn any(clauses: &[(&Clause, Vector)]) -> BTreeMap<Labels, Reading> {
    let mut readings: BTreeMap<Labels, Reading> = BTreeMap::new();
    for (clause, values) in clauses {
        for (group, value) in values {
            let holds = clause.condition.holds(*value);
            let reading = Reading {
                value: Some(*value),
                dimension: clause.shown_as(),
                allowed: true,
                holds: Some(holds),
                last_seen: None,
            };
            let known = readings.entry(group.clone()).or_insert_with(|| reading.clone());
            if holds && known.holds != Some(true) {
                *known = reading;
            }
        }
    }
    readings
}

/// Groups of which every clause has a value; the first clause gives the value.
fn all(clauses: &[(&Clause, Vector)]) -> BTreeMap<Labels, Reading> {
    let Some(((first, values), rest)) = clauses.split_first() else { return BTreeMap::new() };
    let reading = |(group, value): (&Labels, &f64)| {
        let others: Option<Vec<bool>> =
            rest.iter().map(|(clause, values)| Some(clause.condition.holds(*values.get(group)?))).collect();
        let holds = first.condition.holds(*value) && others?.into_iter().all(|holds| holds);
        let (value, dimension) = (Some(*value), first.shown_as());
        Some((group.clone(), Reading { value, dimension, allowed: true, holds: Some(holds), last_seen: None }))
    };
    values.iter().filter_map(reading).collect()
}

/// Silences groups with too few events, and those whose `only_if` does not hold.
fn guard(rule: &Rule, moment: &Moment<'_>, readings: &mut BTreeMap<Labels, Reading>) -> Result<(), EvaluationError> {
    if let (Some(least), Subject::Signal(signal)) = (rule.min_events, &rule.subject) {
        let events = moment.events(&signal.expression);
        for (group, reading) in readings.iter_mut() {
            reading.allowed &= events.get(group).is_some_and(|seen| *seen >= least as f64);
        }
    }
    if let Some(clause) = &rule.only_if {
        let values = Moment { over: clause.over, ..*moment }.values(&clause.signal.expression)?;
        for (group, reading) in readings.iter_mut() {
            reading.allowed &= values.get(group).is_some_and(|value| clause.condition.holds(*value));
        }
    }
    Ok(())
}

/// Adds when each group was last heard of, and the groups that have no value any more.
fn remember(rule: &Rule, moment: &Moment<'_>, readings: &mut BTreeMap<Labels, Reading>) {
    let dimension = rule.shown_as();
    for (signal, _) in rule.clauses().into_iter().take(1) {
        for (group, seen) in moment.last_seen(&signal.expression) {
            let gone = || Reading { value: None, dimension, allowed: false, holds: None, last_seen: None };
            readings.entry(group).or_insert_with(gone).last_seen = Some(seen);
        }
    }
}
