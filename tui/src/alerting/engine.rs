//! Feeds what targets answered to the alert engine and turns its alerts into rows. The engine decides; nothing is decided
//! here.

use std::collections::BTreeMap;
use std::time::Duration;

use heartline_shared::alerts::{
    AlertFile, AlertInstance, Change, Engine, Needs, Rule, Samples, State, TargetKey, Transition,
};
use heartline_shared::{Labels, UnixMillis};

use super::board::{AlertRow, Board, Level, Problems, TransitionRow};
use super::rules::{Mistake, RuleFile, RuleSource};
use crate::source::Outcome;
use crate::text::Text;

/// The labels that a target's name stands for.
const TARGET_LABELS: [&str; 2] = ["job", "instance"];

/// The alerts over all targets.
#[derive(Debug)]
pub struct Alerting {
    file: Text,
    rules: AlertFile,
    engine: Engine,
    samples: Samples,
    board: Board,
    targets: Vec<Followed>,
    names: BTreeMap<TargetKey, Text>,
}

/// A target, and the process that answered there last.
#[derive(Debug)]
struct Followed {
    name: Text,
    process: Option<Process>,
}

/// A process, and how far it was.
#[derive(Debug, Clone, PartialEq)]
struct Process {
    /// What it calls itself.
    called: TargetKey,
    /// What its samples are kept under; no two targets have the same.
    key: TargetKey,
    started_at: UnixMillis,
    seq: u64,
}

impl Alerting {
    /// Alerts over targets of these names, with the rules of `file`. Where `rules` are wrong, that is shown, and
    /// `built_in` are in force.
    pub fn new(targets: impl IntoIterator<Item = Text>, file: Text, rules: RuleFile, built_in: AlertFile) -> Self {
        let (rules, mistakes, source) = match rules {
            Ok(rules) => (rules, Vec::new(), file.clone()),
            Err(mistakes) => (built_in, mistakes, RuleSource::BuiltIn.name()),
        };
        let targets = targets.into_iter().map(|name| Followed { name, process: None }).collect();
        let mut alerting = Self {
            engine: Engine::new(&rules),
            samples: Samples::for_file(&rules),
            board: Board { source, ..Board::default() },
            file,
            rules,
            targets,
            names: BTreeMap::new(),
        };
        alerting.tell_mistakes(mistakes);
        alerting.draw_up();
        alerting
    }

    /// What is shown.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Takes the result of a poll in: samples of an answer, or the end of a target's series when it failed.
    pub fn observe(&mut self, outcome: &Outcome) {
        let Some(target) = self.targets.get(outcome.target) else { return };
        let Ok(answer) = &outcome.answer else {
            if let Some(process) = &target.process {
                self.samples.mark_stale(&process.key, outcome.at);
            }
            return;
        };
        let snapshot = &*answer.snapshot;
        let called = TargetKey::of(snapshot);
        let key = self.key_of(outcome.target, &called);
        let process = Process { called, key, started_at: snapshot.started_at_ms, seq: snapshot.seq };
        let target = &mut self.targets[outcome.target];
        let before = target.process.replace(process.clone());
        if before.as_ref() == Some(&process) {
            return; // an old answer, sent again
        }
        if let Some(before) = before.filter(|before| before.key != process.key) {
            self.samples.mark_stale(&before.key, outcome.at);
        }
        self.names.insert(process.key.clone(), target.name.clone());
        self.samples.record(&process.key, snapshot, outcome.at);
    }

    /// What samples of a process that calls itself `called` are kept under: this, or the same with the name of its target
    /// where another target has it already. It stays the same while the target calls itself the same.
    fn key_of(&self, place: usize, called: &TargetKey) -> TargetKey {
        let target = &self.targets[place];
        if let Some(process) = target.process.as_ref().filter(|process| process.called == *called) {
            return process.key.clone();
        }
        let others = || self.targets.iter().enumerate().filter(|(at, _)| *at != place);
        let taken = |key: &TargetKey| others().filter_map(|(_, it)| it.process.as_ref()).any(|it| it.key == *key);
        let mut key = called.clone();
        while taken(&key) {
            key.instance = format!("{} ({})", key.instance, target.name);
        }
        key
    }

    /// Evaluates the rules whose time has come; gives what changed.
    pub fn evaluate(&mut self, now: UnixMillis) -> Vec<TransitionRow> {
        let transitions = self.engine.evaluate(&self.samples, now);
        self.note(&transitions)
    }

    /// Goes on with changed rules; wrong ones are shown, and those before stay in force. Gives what changed.
    pub fn reload(&mut self, rules: RuleFile) -> Vec<TransitionRow> {
        match rules {
            Ok(rules) => {
                self.samples.set_needs(Needs::of(&rules));
                let transitions = self.engine.reload(&rules);
                self.rules = rules;
                self.board.source = self.file.clone();
                self.tell_mistakes(Vec::new());
                self.note(&transitions)
            }
            Err(mistakes) => {
                self.tell_mistakes(mistakes);
                Vec::new()
            }
        }
    }

    fn tell_mistakes(&mut self, mistakes: Vec<Mistake>) {
        let source = &self.board.source;
        let in_force = if mistakes.is_empty() || *source != self.file {
            source.clone()
        } else {
            Text::new(&format!("{source} as it was before"))
        };
        self.board.problems = Problems { mistakes, file: self.file.clone(), in_force };
    }

    fn note(&mut self, transitions: &[Transition]) -> Vec<TransitionRow> {
        let rows: Vec<TransitionRow> = transitions.iter().map(|transition| self.transition_row(transition)).collect();
        for row in &rows {
            self.board.remember(row.clone());
        }
        self.draw_up();
        rows
    }

    fn draw_up(&mut self) {
        let never_seen: Vec<&str> = self.engine.never_seen().collect();
        let rows = self.engine.board().iter().map(|instance| self.row(instance, &never_seen)).collect();
        self.board.rows = rows;
        self.board.sort();
    }

    fn row(&self, instance: &AlertInstance, never_seen: &[&str]) -> AlertRow {
        let rule = self.rules.rule(&instance.name);
        let highest = rule.and_then(|rule| rule.thresholds.last()).map_or(Level::Info, |threshold| threshold.level);
        let level = instance.level.unwrap_or(highest);
        let condition = rule.and_then(|rule| rule.thresholds.iter().find(|it| it.level == level)?.condition);
        AlertRow {
            name: Text::new(&instance.name),
            level,
            state: instance.state,
            inhibited_by: instance.inhibited_by.as_deref().map(Text::new),
            no_data: instance.no_data,
            never_seen: never_seen.contains(&instance.name.as_str()),
            value: instance.value.filter(|value| value.is_finite()),
            value_text: instance.value.map(|value| Text::new(&instance.dimension.format(value))),
            threshold: condition.map(|condition| Text::new(&condition.to_string())),
            target: self.target_of(instance),
            labels: labels_beside_target(instance, rule),
            since: instance.since,
            fired_at: instance.fired_at(),
            hold: rule.map_or(Duration::ZERO, |rule| rule.hold),
            summary: Text::new(&instance.summary),
            runbook: instance.runbook.as_deref().map(Text::new),
        }
    }

    fn transition_row(&self, transition: &Transition) -> TransitionRow {
        let instance = &transition.instance;
        let state = match transition.change {
            Change::Pending => State::Pending,
            Change::Resolved => State::Resolved,
            Change::Firing | Change::Escalated | Change::DeEscalated => instance.state,
        };
        TransitionRow {
            at: transition.at,
            name: Text::new(&instance.name),
            level: transition.to.or(transition.from).or(instance.level).unwrap_or(Level::Info),
            state,
            target: self.target_of(instance),
            labels: labels_beside_target(instance, self.rules.rule(&instance.name)),
            summary: Text::new(&instance.summary),
        }
    }

    fn target_of(&self, instance: &AlertInstance) -> Option<Text> {
        let key = instance.target.as_ref()?;
        let unknown = || Text::new(&format!("{}/{}", key.job, key.instance));
        Some(self.names.get(key).cloned().unwrap_or_else(unknown))
    }
}

/// What tells an alert from others of its rule: not what its target says already, and not what the rule gives to each of
/// its alerts.
fn labels_beside_target(instance: &AlertInstance, rule: Option<&Rule>) -> Vec<(Text, Text)> {
    let own = |name: &str| rule.map(|rule| &rule.labels).and_then(|labels: &Labels| labels.value(name)).is_some();
    let said = |name: &str| instance.target.is_some() && TARGET_LABELS.contains(&name);
    let telling = instance.labels.iter().filter(|(name, _)| !said(name) && !own(name));
    telling.map(|(name, value)| (Text::new(name), Text::new(value))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::fixture::{Document, fails};

    const RULES: &str = r#"
version = 1
[[alert]]
name     = "QueueDepth"
signal   = "last(heartline.job.count{job.state='waiting'})"
by       = ["job", "instance", "queue.name"]
every    = "1s"
warning  = "> 10"
critical = "> 100"
summary  = "{value} jobs wait"
labels   = { team = "shop" }
"#;
    const START: u64 = 1_000_000;

    fn rules(text: &str) -> RuleFile {
        AlertFile::parse(text, "alerts.toml")
            .map_err(|problems| problems.iter().map(|problem| Mistake::new(&problem.to_string())).collect())
    }

    fn alerting() -> Alerting {
        let fallback = rules("version = 1\n").unwrap();
        Alerting::new([Text::new("shop:9464")], Text::new("alerts.toml"), rules(RULES), fallback)
    }

    fn waiting(second: u64, jobs: f64) -> Outcome {
        let labels = [("queue.name", "email"), ("job.state", "waiting")];
        Document::at(second).number("heartline.job.count", &labels, jobs).arrives(START + second * 1_000)
    }

    fn at(second: u64) -> UnixMillis {
        UnixMillis(START + second * 1_000)
    }

    #[test]
    fn a_rule_without_alerts_has_one_inactive_row() {
        let alerting = alerting();
        let [row] = &alerting.board().rows[..] else { panic!("{:?}", alerting.board()) };
        assert_eq!((row.name.as_str(), row.state, row.level), ("QueueDepth", State::Inactive, Level::Critical));
        assert_eq!((&row.target, &row.since, row.never_seen), (&None, &None, true));
    }

    #[test]
    fn an_alert_names_its_target_and_what_it_is_about() {
        let mut alerting = alerting();
        alerting.observe(&waiting(1, 50.0));
        let changed = alerting.evaluate(at(1));
        let row = &alerting.board().rows[0];
        assert_eq!((row.state, row.level, row.value), (State::Firing, Level::Warning, Some(50.0)));
        assert_eq!((row.target.as_ref().map(Text::as_str), row.since), (Some("shop:9464"), Some(at(1))));
        assert_eq!(row.labels, [(Text::new("queue.name"), Text::new("email"))]);
        assert_eq!((row.summary.as_str(), row.threshold.as_ref().map(Text::as_str)), ("50 jobs wait", Some("> 10")));
        let last = changed.last().unwrap();
        assert_eq!((last.state, last.level), (State::Firing, Level::Warning));
        assert_eq!(alerting.board().transitions.back(), Some(last));
    }

    #[test]
    fn an_alert_of_a_whole_service_says_whose_it_is() {
        let shared = RULES.replace("\"job\", \"instance\"", "\"job\"");
        let fallback = rules("version = 1\n").unwrap();
        let mut alerting = Alerting::new([Text::new("shop:9464")], Text::new("alerts.toml"), rules(&shared), fallback);
        alerting.observe(&waiting(1, 50.0));
        alerting.evaluate(at(1));
        let row = &alerting.board().rows[0];
        assert_eq!((row.state, &row.target), (State::Firing, &None));
        assert_eq!(row.labels, [("job", "shop"), ("queue.name", "email")].map(|(a, b)| (Text::new(a), Text::new(b))));
    }

    #[test]
    fn an_alert_keeps_its_beginning_while_it_gets_worse_and_recovers() {
        let slow = RULES.replace("every    = \"1s\"", "every    = \"1s\"\nkeep_firing_for = \"1m\"");
        let fallback = rules("version = 1\n").unwrap();
        let mut alerting = Alerting::new([Text::new("shop:9464")], Text::new("alerts.toml"), rules(&slow), fallback);
        for (second, jobs, state, since) in
            [(1, 50.0, State::Firing, 1), (2, 500.0, State::Firing, 2), (3, 1.0, State::Recovering, 3)]
        {
            alerting.observe(&waiting(second, jobs));
            alerting.evaluate(at(second));
            let row = &alerting.board().rows[0];
            assert_eq!((row.state, row.since, row.fired_at), (state, Some(at(since)), Some(at(1))));
        }
    }

    #[test]
    fn an_alert_resolves_and_says_so() {
        let mut alerting = alerting();
        alerting.observe(&waiting(1, 500.0));
        alerting.evaluate(at(1));
        assert_eq!(alerting.board().worst(), Some(Level::Critical));
        alerting.observe(&waiting(2, 1.0));
        let changed = alerting.evaluate(at(2));
        assert_eq!(changed.iter().map(|row| row.state).collect::<Vec<_>>(), [State::Resolved]);
        assert_eq!((alerting.board().rows[0].state, alerting.board().worst()), (State::Resolved, None));
    }

    #[test]
    fn a_failed_poll_ends_the_series_of_its_target() {
        let mut alerting = alerting();
        alerting.observe(&waiting(1, 50.0));
        alerting.evaluate(at(1));
        alerting.observe(&fails(at(2).0, "gone"));
        alerting.evaluate(at(3));
        assert!(!alerting.board().rows[0].state.is_firing(), "{:?}", alerting.board().rows[0]);
    }

    const NAMESAKES: &str = r#"
version = 1
[[alert]]
name     = "JobsDone"
signal   = "increase(heartline.job.completed)"
over     = "1m"
every    = "1s"
warning  = "> 0"
[[alert]]
name        = "ServiceSilent"
signal      = "last(process.uptime)"
every       = "1s"
critical    = "< 0s"
no_data     = "alert"
no_data_for = "1h"
"#;

    /// Two targets, and their documents at a second: both call themselves the same.
    fn namesakes() -> (Alerting, impl Fn(usize, u64) -> Outcome) {
        let names = ["host:9464", "host:9465"].map(Text::new);
        let file = rules(NAMESAKES).unwrap();
        let answer = |target: usize, second: u64| {
            let (done, started) = [(1000.0, 1_000), (5.0, 2_000)][target];
            let document = Document::of_process(started, Duration::from_secs(second))
                .number("process.uptime", &[], second as f64)
                .number("heartline.job.completed", &[], done);
            Outcome { target, ..document.arrives(at(second).0 + target as u64) }
        };
        (Alerting::new(names, Text::new("alerts.toml"), Ok(file.clone()), file), answer)
    }

    fn firing(alerting: &Alerting) -> Vec<(&str, Option<&str>)> {
        let rows = alerting.board().rows.iter().filter(|row| row.state.is_firing());
        rows.map(|row| (row.name.as_str(), row.target.as_ref().map(Text::as_str))).collect()
    }

    #[test]
    fn targets_that_call_themselves_the_same_are_kept_apart() {
        let (mut alerting, answer) = namesakes();
        for second in 1..=30 {
            // whoever answers first
            let order = if second % 2 == 0 { [0, 1] } else { [1, 0] };
            for target in order {
                alerting.observe(&answer(target, second));
            }
            alerting.evaluate(at(second + 1));
            assert_eq!(firing(&alerting), [], "at {second} s nothing increased");
        }
        let increases: Vec<f64> = alerting.engine.values("JobsDone").map(|(_, value)| value).collect();
        assert_eq!(increases, [0.0, 0.0]);
        assert_eq!(alerting.samples.targets().count(), 2);
    }

    #[test]
    fn silence_of_one_of_two_that_call_themselves_the_same_is_told_of_that_one() {
        for silent in [0, 1] {
            let (mut alerting, answer) = namesakes();
            for second in 1..=400 {
                let other = answer(1 - silent, second);
                let gone = Outcome { target: silent, ..fails(other.at.0, "gone") };
                alerting.observe(&other);
                alerting.observe(&if second > 20 { gone } else { answer(silent, second) });
                alerting.evaluate(at(second + 1));
            }
            let name = ["host:9464", "host:9465"][silent];
            assert_eq!(firing(&alerting), [("ServiceSilent", Some(name))]);
        }
    }

    #[test]
    fn a_name_that_a_target_gives_up_goes_to_whoever_takes_it_next() {
        let (mut alerting, answer) = namesakes();
        let called = |target, second, instance: &str| {
            let mut outcome = answer(target, second);
            let answered = outcome.answer.as_mut().unwrap();
            Arc::make_mut(&mut answered.snapshot).instance_id = instance.to_owned();
            outcome
        };
        let keys = |alerting: &Alerting| {
            let live = alerting.targets.iter().filter_map(|it| it.process.as_ref());
            live.map(|it| it.key.instance.clone()).collect::<Vec<_>>()
        };
        alerting.observe(&called(0, 1, "a"));
        alerting.observe(&called(1, 1, "a"));
        assert_eq!(keys(&alerting), ["a", "a (host:9465)"]);
        alerting.observe(&called(0, 2, "b"));
        alerting.observe(&called(1, 2, "a"));
        assert_eq!(keys(&alerting), ["b", "a (host:9465)"], "what is kept under a key stays there");
        alerting.observe(&called(1, 3, "c"));
        alerting.observe(&called(1, 4, "a"));
        assert_eq!(keys(&alerting), ["b", "a"]);
        let a = TargetKey { job: "shop".to_owned(), instance: "a".to_owned() };
        assert_eq!(alerting.names[&a].as_str(), "host:9465");
    }

    #[test]
    fn wrong_rules_are_shown_and_those_before_stay() {
        let mut alerting = alerting();
        alerting.observe(&waiting(1, 50.0));
        alerting.evaluate(at(1));
        alerting.reload(rules("version = 1\nwrong = true\n"));
        let problems = &alerting.board().problems;
        assert_eq!((problems.mistakes.len(), problems.in_force.as_str()), (1, "alerts.toml as it was before"));
        assert_eq!(alerting.board().rows[0].state, State::Firing);
        alerting.reload(rules(&RULES.replace("> 10\"", "> 20\"")));
        assert!(alerting.board().problems.mistakes.is_empty());
        assert_eq!(alerting.board().rows[0].state, State::Firing, "a changed threshold keeps the state");
        let ended = alerting.reload(rules("version = 1\n"));
        assert_eq!(ended.iter().map(|row| row.state).collect::<Vec<_>>(), [State::Resolved]);
    }

    #[test]
    fn wrong_rules_at_the_start_leave_the_fallback_in_force() {
        let fallback = rules(RULES).unwrap();
        let wrong = rules("version = 1\nwrong = true\n");
        let mut alerting = Alerting::new([Text::new("a")], Text::new("alerts.toml"), wrong, fallback);
        for _ in 0..2 {
            let problems = &alerting.board().problems;
            assert_eq!((alerting.board().rows.len(), problems.mistakes.len()), (1, 1));
            assert_eq!((problems.file.as_str(), problems.in_force.as_str()), ("alerts.toml", "built-in rules"));
            alerting.reload(rules("version = 1\nstill_wrong = true\n"));
        }
        alerting.reload(rules(RULES));
        assert_eq!((alerting.board().source.as_str(), alerting.board().problems.mistakes.len()), ("alerts.toml", 0));
    }
}
