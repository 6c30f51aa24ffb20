//! Puts a rule together from its own fields, the defaults and an override, and checks what only makes sense together:
//! dimensions, directions, labels, levels. Evaluation is not known here.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::diagnostic::{did_you_mean, one_of};
use super::dimension::Dimension;
use super::document::{Fields, Text};
use super::quantity::{Comparison, Condition, Direction};
use super::resolve::Resolver;
use super::rule::{Clause, Level, NoData, Rule, Subject, Threshold, recover_at_margin};
use super::settings::{Policy, Settings, Written, condition, positive, report};
use super::signal::{Call, Expression, Signal};
use super::summary::Template;
use super::syntax::{self, Tree};
use super::vocabulary::Vocabulary;
use crate::label::Labels;

const DEFAULT_EVERY: Duration = Duration::from_secs(15);
const DEFAULT_OVER: Duration = Duration::from_mins(5);
const DEFAULT_KEEP: Duration = Duration::from_mins(30);
const DEFAULT_SILENT: Duration = Duration::from_hours(1);
/// The name of the engine's own alert about rules that cannot be evaluated.
pub(super) const RULE_EVALUATION_FAILED: &str = "RuleEvaluationFailed";

/// What every rule of a file shares.
pub(super) struct Context<'v> {
    pub(super) vocabulary: &'v Vocabulary,
    pub(super) signals: &'v BTreeMap<String, Option<Tree>>,
    pub(super) runbook_base: Option<String>,
}

/// One `[[alert]]` as it was written, names not yet resolved.
pub(super) struct AlertTable<'t> {
    pub(super) name: Text<'t>,
    pub(super) settings: Settings<'t>,
    subject: SubjectText<'t>,
    only_if: Option<ClauseText<'t>>,
    severity: Option<(Level, Range<usize>)>,
    kind: Option<String>,
    pub(super) span: Range<usize>,
}

enum SubjectText<'t> {
    Signal(Text<'t>),
    Any(Vec<ClauseText<'t>>),
    All(Vec<ClauseText<'t>>),
}

struct ClauseText<'t> {
    signal: Text<'t>,
    is: Written<'t>,
    over: Option<Duration>,
    empty: Option<(f64, Range<usize>)>,
}

impl<'t> AlertTable<'t> {
    /// Reads one `[[alert]]`; what is missing or wrong is reported.
    pub(super) fn read(mut fields: Fields<'t>) -> Option<Self> {
        let name = fields.required_text("name").filter(|name| valid_name(&fields, name));
        if let Some(name) = &name {
            fields.what = format!("alert `{}`", name.value);
        }
        let subject = subject(&mut fields);
        let settings = Settings::alert(&mut fields);
        let only_if = fields.table("only_if").and_then(|table| clause(table, false));
        let severity = fields.choice("severity", &Level::CHOICES).map(|it| (it, fields.key_span("severity")));
        let kind = fields.string("kind");
        let span = name.as_ref().map_or(fields.span.clone(), |name| name.span.clone());
        fields.finish();
        Some(Self { name: name?, settings, subject: subject?, only_if, severity, kind, span })
    }
}

fn valid_name(fields: &Fields<'_>, name: &Text<'_>) -> bool {
    let mut characters = name.value.chars();
    let begins = characters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let valid = begins && characters.all(|c| c.is_ascii_alphanumeric() || c == '_');
    let help = |text: &str| Some(text.to_owned());
    if !valid {
        let message = format!("`{}` is no alert name", name.value);
        fields.problems.report(name.span.clone(), message, help("use letters, digits and _, beginning with a letter"));
    } else if name.value == RULE_EVALUATION_FAILED {
        let message = format!("`{RULE_EVALUATION_FAILED}` is the engine's own alert");
        fields.problems.report(name.span.clone(), message, help("choose another name"));
    }
    valid
}

fn subject<'t>(fields: &mut Fields<'t>) -> Option<SubjectText<'t>> {
    let given: Vec<&str> = ["signal", "any", "all"].into_iter().filter(|key| fields.has(key)).collect();
    let what = fields.what.clone();
    if given.len() > 1 {
        let help = Some("keep one of them".to_owned());
        fields.problems.report(fields.key_span(given[1]), format!("{what} has {}", given.join(" and ")), help);
    }
    let signal = fields.text("signal");
    let any = fields.tables("any");
    let all = fields.tables("all");
    if given.is_empty() {
        let help = Some("give it `signal`, `any` or `all`".to_owned());
        fields.problems.missing(fields.span.clone(), format!("{what} watches nothing"), help);
    }
    let clauses = |tables: Vec<Fields<'t>>| {
        let read: Vec<Option<ClauseText<'t>>> = tables.into_iter().map(|table| clause(table, true)).collect();
        read.into_iter().collect::<Option<Vec<_>>>().filter(|clauses| !clauses.is_empty())
    };
    match *given.first()? {
        "signal" => signal.map(SubjectText::Signal),
        "any" => clauses(any).map(SubjectText::Any),
        _ => clauses(all).map(SubjectText::All),
    }
}

fn clause(mut fields: Fields<'_>, may_be_empty: bool) -> Option<ClauseText<'_>> {
    let signal = fields.required_text("signal");
    let is = fields.required_text("is").and_then(|text| condition(&fields, text));
    let over = positive(&mut fields, "over");
    let empty = if may_be_empty { fields.number("empty").map(|value| (value, fields.key_span("empty"))) } else { None };
    fields.finish();
    Some(ClauseText { signal: signal?, is: is?, over, empty })
}

/// Puts one rule together. Its faults are reported through `fields`, which may be any table of the file.
pub(super) struct Assembly<'a, 't> {
    pub(super) context: &'a Context<'a>,
    pub(super) fields: &'a Fields<'t>,
    pub(super) alert: &'a AlertTable<'t>,
    /// Defaults, alert and override in one.
    pub(super) settings: Settings<'t>,
}

impl Assembly<'_, '_> {
    pub(super) fn rule(&self) -> Option<Rule> {
        let before = self.fields.problems.count();
        let settings = &self.settings;
        let by = self.by();
        let over = settings.over.unwrap_or(DEFAULT_OVER);
        let subject = self.subject(over);
        let only_if = self.alert.only_if.as_ref().and_then(|clause| self.clause(clause, over));
        let thresholds = subject.as_ref().map(|subject| self.thresholds(subject)).unwrap_or_default();
        let rule = Rule {
            name: self.alert.name.value.to_owned(),
            subject: subject?,
            thresholds,
            over,
            by,
            aggregator: settings.aggregator,
            hold: settings.hold.unwrap_or_default(),
            keep_firing_for: settings.keep_firing_for.unwrap_or_default(),
            every: settings.every.unwrap_or(DEFAULT_EVERY),
            min_events: settings.min_events.as_ref().map(|(count, _)| *count),
            only_if,
            no_data: self.no_data(),
            kind: self.alert.kind.clone().unwrap_or_else(|| "alert".to_owned()),
            labels: Labels::from_pairs(
                settings.labels.iter().map(|(name, value)| (name.value.to_owned(), value.value)),
            ),
            summary: self.summary(),
            description: settings.description.clone(),
            runbook: settings.runbook.as_ref().map(|page| self.runbook(page)),
            enabled: settings.enabled.unwrap_or(true),
        };
        self.check_labels(&rule);
        self.check_events(&rule);
        (self.fields.problems.count() == before && !rule.thresholds.is_empty()).then_some(rule)
    }

    fn report(&self, span: Range<usize>, message: impl Into<String>, help: &str) {
        self.fields.problems.report(span, message, Some(help.to_owned()));
    }

    fn by(&self) -> Vec<String> {
        match &self.settings.by {
            Some(labels) => labels.iter().map(|label| label.value.to_owned()).collect(),
            None => vec!["job".to_owned(), "instance".to_owned()],
        }
    }

    fn subject(&self, over: Duration) -> Option<Subject> {
        let all = |clauses: &[ClauseText<'_>]| {
            let read: Vec<Option<Clause>> = clauses.iter().map(|it| self.clause(it, over)).collect();
            read.into_iter().collect::<Option<Vec<_>>>()
        };
        match &self.alert.subject {
            SubjectText::Signal(text) => self.signal(text).map(Subject::Signal),
            SubjectText::Any(clauses) => all(clauses).map(Subject::Any),
            SubjectText::All(clauses) => all(clauses).map(Subject::All),
        }
    }

    fn signal(&self, text: &Text<'_>) -> Option<Signal> {
        let resolver = Resolver {
            vocabulary: self.context.vocabulary,
            signals: self.context.signals,
            aggregator: self.settings.aggregator,
        };
        let tree = match syntax::parse(text.value) {
            Ok(tree) => tree,
            Err(refusal) => {
                report(self.fields, text, refusal);
                return None;
            }
        };
        match resolver.resolve(&tree, text.value) {
            Ok((expression, dimension)) => Some(Signal { text: text.value.to_owned(), dimension, expression }),
            Err(refusals) => {
                for refusal in refusals {
                    report(self.fields, text, refusal);
                }
                None
            }
        }
    }

    fn clause(&self, clause: &ClauseText<'_>, over: Duration) -> Option<Clause> {
        let signal = self.signal(&clause.signal)?;
        self.check_condition(&signal, &clause.is);
        let groups_by_target = self.by().iter().all(|label| label == "job" || label == "instance");
        if let Some((_, span)) = &clause.empty
            && !groups_by_target
        {
            let help = "group by job and instance, or leave `empty` out";
            self.report(span.clone(), "`empty` knows only targets, and the rule groups by more", help);
        }
        let condition = clause.is.condition;
        let empty = clause.empty.as_ref().map(|(value, _)| *value);
        Some(Clause { signal, condition, over: clause.over.unwrap_or(over), empty })
    }

    /// Unit and reach of a condition.
    fn check_condition(&self, signal: &Signal, written: &Written<'_>) {
        let span = written.text.span.clone();
        if let Err((message, help)) = written.condition.fits(signal.dimension) {
            return self.report(span, message, &help);
        }
        let Some(ceiling) = signal.ceiling() else { return };
        let bound = written.condition.quantity.value;
        let unreachable = match written.condition.comparison.direction() {
            Direction::Above => !written.condition.holds(ceiling),
            _ => bound > ceiling && written.condition.comparison == Comparison::Equal,
        };
        if unreachable {
            let top = signal.dimension.format(ceiling);
            let message = format!("`{}` can never hold: `{}` is at most {top}", written.text.value, signal.text);
            let help = match signal.dimension {
                Dimension::Ratio => "a share is at most 100 %".to_owned(),
                _ => format!("{top} is the last bucket boundary; stay below it"),
            };
            self.report(span, message, &help);
        }
    }

    fn thresholds(&self, subject: &Subject) -> Vec<Threshold> {
        let Subject::Signal(signal) = subject else { return self.single_level() };
        if let Some((_, span)) = &self.alert.severity {
            self.report(span.clone(), "`severity` belongs to `any` and `all`", "use `info`, `warning` or `critical`");
        }
        let mut thresholds: Vec<Threshold> = Vec::new();
        let mut milder: Option<&Written<'_>> = None;
        for (level, written) in &self.settings.conditions {
            self.check_condition(signal, written);
            if let Some(milder) = milder {
                self.check_order(milder, written);
            }
            let recover = self.recover(*level, written, signal);
            thresholds.push(Threshold { level: *level, condition: Some(written.condition), recover });
            milder = Some(written);
        }
        for (level, written) in &self.settings.recover {
            if !self.settings.conditions.contains_key(level) {
                let message = format!("`recover` has {level}, but the alert has no {level} threshold");
                self.report(written.text.span.clone(), message, "remove it, or add the threshold");
            }
        }
        if thresholds.is_empty() {
            let message = format!("alert `{}` has no threshold", self.alert.name.value);
            let help = format!("add `warning = \"> {}\"`", signal.dimension.example());
            self.fields.problems.missing(self.alert.span.clone(), message, Some(help));
        }
        thresholds
    }

    /// `any` and `all` have one level; thresholds beside them are refused.
    fn single_level(&self) -> Vec<Threshold> {
        for written in self.settings.conditions.values().chain(self.settings.recover.values()) {
            let message = "`any` and `all` have conditions of their own";
            self.report(written.text.span.clone(), message, "use `severity = \"warning\"` for the level");
        }
        if let Some((_, text)) = &self.settings.margin {
            self.report(text.span.clone(), "`margin` needs a single signal", "remove it");
        }
        let level = self.alert.severity.as_ref().map_or(Level::Warning, |(level, _)| *level);
        vec![Threshold { level, condition: None, recover: None }]
    }

    /// Levels point the same way and get further out.
    fn check_order(&self, milder: &Written<'_>, worse: &Written<'_>) {
        let (a, b) = (milder.condition, worse.condition);
        let span = worse.text.span.clone();
        if a.comparison.direction() != b.comparison.direction() {
            let message = format!("`{}` points another way than `{}`", worse.text.value, milder.text.value);
            return self.report(span, message, "all levels of an alert compare in one direction");
        }
        let (mild, bad) = (a.quantity.value, b.quantity.value);
        let reversed = match a.comparison.direction() {
            Direction::Above => bad < mild,
            Direction::Below => bad > mild,
            Direction::Exact => false,
        };
        if reversed {
            let message = format!("`{}` is reached before the milder `{}`", worse.text.value, milder.text.value);
            self.report(span, message, "a worse level needs a worse value");
        }
    }

    fn recover(&self, level: Level, threshold: &Written<'_>, signal: &Signal) -> Option<Condition> {
        let direction = threshold.condition.comparison.direction();
        if let Some(written) = self.settings.recover.get(&level) {
            self.check_recover(threshold, written, signal);
            return Some(written.condition);
        }
        let (margin, text) = self.settings.margin.as_ref()?;
        if direction == Direction::Exact {
            self.report(text.span.clone(), "`margin` needs a threshold with < or >", "remove it");
            return None;
        }
        if threshold.condition.quantity.value == 0.0 {
            let help = "give the level to clear at: recover = { warning = \"< …\" }";
            self.report(text.span.clone(), "a margin of the threshold 0 has no width", help);
            return None;
        }
        let recover = recover_at_margin(threshold.condition, *margin);
        self.check_reachable(recover, signal, text.span.clone());
        Some(recover)
    }

    /// Reports a recover condition that no value meets: the alert would fire for ever.
    fn check_reachable(&self, recover: Condition, signal: &Signal, span: Range<usize>) {
        let Some(ceiling) = signal.ceiling() else { return };
        if recover.comparison.direction() == Direction::Above && !recover.holds(ceiling) {
            let top = signal.dimension.format(ceiling);
            let message =
                format!("an alert that fires never clears: `{recover}`, and `{}` is at most {top}", signal.text);
            let help = "take a smaller margin, or say the level: recover = { warning = \"> 97%\" }";
            self.report(span, message, help);
        }
    }

    fn check_recover(&self, threshold: &Written<'_>, written: &Written<'_>, signal: &Signal) {
        let span = written.text.span.clone();
        if let Err((message, help)) = written.condition.fits(signal.dimension) {
            return self.report(span, message, &help);
        }
        self.check_reachable(written.condition, signal, span.clone());
        let (fire, clear) = (threshold.condition, written.condition);
        let (bound, back) = (fire.quantity.value, clear.quantity.value);
        let opposite = match fire.comparison.direction() {
            Direction::Above => clear.comparison.direction() == Direction::Below && back <= bound,
            Direction::Below => clear.comparison.direction() == Direction::Above && back >= bound,
            Direction::Exact => false,
        };
        if !opposite {
            let message =
                format!("`{}` does not lie on the good side of `{}`", written.text.value, threshold.text.value);
            self.report(
                span,
                message,
                "an alert clears at a better value than it fires at: \"> 1s\" clears at \"< 800ms\"",
            );
        }
    }

    fn no_data(&self) -> NoData {
        let given = self.settings.no_data_for.as_ref();
        let span = given.map(|(span, _)| *span);
        match self.settings.no_data.unwrap_or(Policy::Ok) {
            Policy::Ok => NoData::Ok,
            Policy::Keep => NoData::Keep(span.unwrap_or(DEFAULT_KEEP)),
            Policy::Alert => NoData::Alert(span.unwrap_or(DEFAULT_SILENT)),
        }
    }

    fn summary(&self) -> Template {
        let Some(text) = &self.settings.summary else { return Template::default() };
        let template = match Template::parse(text.value) {
            Ok(template) => template,
            Err(refusal) => {
                report(self.fields, text, refusal);
                return Template::default();
            }
        };
        let by = self.by();
        let own = self.settings.labels.iter().map(|(name, _)| name.value);
        let known: Vec<&str> = by.iter().map(String::as_str).chain(own).chain(["value"]).collect();
        for (name, place) in template.places() {
            if !known.contains(&name) {
                let all = || format!("it may have {}", one_of(known.iter().copied()));
                let help = did_you_mean(name, known.iter().copied()).unwrap_or_else(all);
                self.report(text.place(&place), format!("an instance of this alert has no `{name}`"), &help);
            }
        }
        template
    }

    fn runbook(&self, page: &str) -> String {
        match &self.context.runbook_base {
            Some(base) if !page.contains("://") => format!("{base}{page}"),
            _ => page.to_owned(),
        }
    }

    /// Every label of `by` exists on every metric of the rule.
    fn check_labels(&self, rule: &Rule) {
        let Some(labels) = &self.settings.by else { return };
        for (at, label) in labels.iter().enumerate() {
            if labels[..at].iter().any(|earlier| earlier.value == label.value) {
                self.report(label.span.clone(), format!("`by` names `{}` twice", label.value), "remove one");
            }
            let clauses = rule.clauses();
            let mut selectors = clauses.iter().flat_map(|(signal, _)| signal.expression.selectors());
            let without = selectors.find(|selector| !selector.metric.label_names().any(|name| name == label.value));
            if let Some(selector) = without {
                let metric = &selector.metric;
                let all = || format!("it has {}", one_of(metric.label_names()));
                let help = did_you_mean(label.value, metric.label_names()).unwrap_or_else(all);
                let message = format!("`{}` has no attribute `{}` to group by", metric.name, label.value);
                self.report(label.span.clone(), message, &help);
            }
        }
    }

    /// `min_events` needs something to count.
    fn check_events(&self, rule: &Rule) {
        let Some((_, span)) = &self.settings.min_events else { return };
        let counts = |expression: &Expression| expression.calls().any(Call::counts_events);
        let counted = matches!(&rule.subject, Subject::Signal(signal) if counts(&signal.expression));
        if !counted {
            let help = "it counts what a counter or histogram of `signal` saw in the window";
            self.report(span.clone(), "`min_events` has nothing to count in this alert", help);
        }
    }
}
