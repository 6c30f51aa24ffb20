//! Reads the fields of `[defaults]`, `[[alert]]` and `[[override]]` that may stand in more than one of them.
//! What they mean together is decided in `assemble`.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::document::{Fields, Text};
use super::quantity::{Condition, Refusal};
use super::rule::Level;
use super::vocabulary::Aggregator;

/// Evaluations more often than this show nothing new: agents are asked about once a second.
const EVERY_MIN: Duration = Duration::from_secs(1);
const EVERY_MAX: Duration = Duration::from_hours(1);

/// A condition and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Written<'t> {
    pub(super) condition: Condition,
    pub(super) text: Text<'t>,
}

/// What a table says about a rule; absent where it says nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings<'t> {
    pub(super) every: Option<Duration>,
    pub(super) over: Option<Duration>,
    pub(super) by: Option<Vec<Text<'t>>>,
    pub(super) aggregator: Option<Aggregator>,
    pub(super) hold: Option<Duration>,
    pub(super) keep_firing_for: Option<Duration>,
    pub(super) no_data: Option<Policy>,
    pub(super) no_data_for: Option<(Duration, Range<usize>)>,
    pub(super) labels: Vec<(Text<'t>, Text<'t>)>,
    pub(super) conditions: BTreeMap<Level, Written<'t>>,
    pub(super) recover: BTreeMap<Level, Written<'t>>,
    pub(super) margin: Option<(f64, Text<'t>)>,
    pub(super) min_events: Option<(u64, Range<usize>)>,
    pub(super) summary: Option<Text<'t>>,
    pub(super) description: Option<String>,
    pub(super) runbook: Option<String>,
    pub(super) enabled: Option<bool>,
}

/// The words of `no_data`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    Ok,
    Keep,
    Alert,
}

impl<'t> Settings<'t> {
    /// The fields that all three tables have.
    fn common(fields: &mut Fields<'t>) -> Self {
        Self {
            over: positive(fields, "over"),
            hold: fields.duration("for"),
            keep_firing_for: fields.duration("keep_firing_for"),
            no_data: fields.choice("no_data", &[("ok", Policy::Ok), ("keep", Policy::Keep), ("alert", Policy::Alert)]),
            no_data_for: positive(fields, "no_data_for").map(|span| (span, fields.key_span("no_data_for"))),
            labels: labels(fields),
            ..Self::default()
        }
    }

    /// The fields of `[defaults]`.
    pub(super) fn defaults(fields: &mut Fields<'t>) -> Self {
        let common = Self::common(fields);
        Self { every: interval(fields), by: fields.texts("by"), ..common }
    }

    /// The fields that an `[[override]]` may change.
    pub(super) fn changes(fields: &mut Fields<'t>) -> Self {
        let common = Self::common(fields);
        Self {
            conditions: conditions(fields),
            recover: recover(fields),
            margin: margin(fields),
            min_events: fields.integer("min_events").map(|count| (count, fields.key_span("min_events"))),
            summary: fields.text("summary"),
            description: fields.string("description"),
            runbook: fields.string("runbook"),
            enabled: fields.flag("enabled"),
            ..common
        }
    }

    /// The fields of an `[[alert]]`, without what identifies it and what it watches.
    pub(super) fn alert(fields: &mut Fields<'t>) -> Self {
        let changes = Self::changes(fields);
        Self {
            every: interval(fields),
            by: fields.texts("by"),
            aggregator: fields.choice("agg", &Aggregator::CHOICES),
            ..changes
        }
    }

    /// These settings where they say something, `base` elsewhere.
    pub(super) fn or(self, base: &Self) -> Self {
        let mut labels = base.labels.clone();
        labels.extend(self.labels);
        let mut conditions = base.conditions.clone();
        conditions.extend(self.conditions);
        let recover = match self.margin {
            Some(_) => self.recover,
            None => base.recover.clone().into_iter().chain(self.recover).collect(),
        };
        Self {
            every: self.every.or(base.every),
            over: self.over.or(base.over),
            by: self.by.or_else(|| base.by.clone()),
            aggregator: self.aggregator.or(base.aggregator),
            hold: self.hold.or(base.hold),
            keep_firing_for: self.keep_firing_for.or(base.keep_firing_for),
            no_data: self.no_data.or(base.no_data),
            no_data_for: self.no_data_for.or_else(|| base.no_data_for.clone()),
            labels,
            conditions,
            recover,
            margin: self.margin.or_else(|| base.margin.clone()),
            min_events: self.min_events.or_else(|| base.min_events.clone()),
            summary: self.summary.or_else(|| base.summary.clone()),
            description: self.description.or_else(|| base.description.clone()),
            runbook: self.runbook.or_else(|| base.runbook.clone()),
            enabled: self.enabled.or(base.enabled),
        }
    }
}

/// A duration that is more than nothing, if the key is there; a zero is reported.
pub(super) fn positive(fields: &mut Fields<'_>, key: &'static str) -> Option<Duration> {
    let span = fields.duration(key)?;
    if span.is_zero() {
        fields.problems.report(fields.key_span(key), format!("`{key}` cannot be zero"), None);
        return None;
    }
    Some(span)
}

fn interval(fields: &mut Fields<'_>) -> Option<Duration> {
    let every = fields.duration("every")?;
    if !(EVERY_MIN..=EVERY_MAX).contains(&every) {
        fields.problems.report(fields.key_span("every"), "`every` must lie from 1s to 1h", None);
        return None;
    }
    Some(every)
}

fn labels<'t>(fields: &mut Fields<'t>) -> Vec<(Text<'t>, Text<'t>)> {
    const RESERVED: [&str; 7] = ["alertname", "severity", "level", "job", "instance", "override", "reason"];
    let labels = fields.named_texts("labels");
    for (name, _) in &labels {
        if RESERVED.contains(&name.value) {
            let help = Some("choose another name".to_owned());
            fields.problems.report(name.span.clone(), format!("label `{}` is set by the engine", name.value), help);
        }
    }
    labels
}

/// A condition that is written at `text`; a refusal is reported.
pub(super) fn condition<'t>(fields: &Fields<'t>, text: Text<'t>) -> Option<Written<'t>> {
    match Condition::parse(text.value) {
        Ok(condition) => Some(Written { condition, text }),
        Err(refusal) => {
            report(fields, &text, refusal);
            None
        }
    }
}

/// Reports a refusal at its place inside `text`.
pub(super) fn report(fields: &Fields<'_>, text: &Text<'_>, refusal: Refusal) {
    fields.problems.report(text.place(&refusal.place), refusal.message, Some(refusal.help));
}

fn conditions<'t>(fields: &mut Fields<'t>) -> BTreeMap<Level, Written<'t>> {
    let mut conditions = BTreeMap::new();
    for (name, level) in Level::CHOICES {
        if let Some(text) = fields.text(name)
            && let Some(written) = condition(fields, text)
        {
            conditions.insert(level, written);
        }
    }
    conditions
}

fn recover<'t>(fields: &mut Fields<'t>) -> BTreeMap<Level, Written<'t>> {
    if fields.has("recover") && fields.has("margin") {
        let help = Some("keep one of them".to_owned());
        fields.problems.report(fields.key_span("margin"), "`recover` and `margin` say the same thing twice", help);
    }
    let Some(mut table) = fields.table("recover") else { return BTreeMap::new() };
    let recover = conditions(&mut table);
    table.finish();
    recover
}

fn margin<'t>(fields: &mut Fields<'t>) -> Option<(f64, Text<'t>)> {
    let text = fields.text("margin")?;
    let percent = text.value.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match percent {
        Some(percent) if percent > 0.0 && percent < 100.0 => Some((percent / 100.0, text)),
        _ => {
            let help = Some("write it like `margin = \"20%\"`".to_owned());
            fields.problems.report(text.span, "`margin` is a percentage between 0% and 100%", help);
            None
        }
    }
}
