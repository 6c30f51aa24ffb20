//! `[[slo]]`: service level objectives, read and checked. Burn rates are not computed here.

use std::time::Duration;

use super::assemble::Context;
use super::dimension::Dimension;
use super::document::{Fields, Text};
use super::quantity::{Notation, Quantity};
use super::resolve::Resolver;
use super::rule::Level;
use super::settings::report;
use super::signal::Signal;
use super::syntax;

/// A promise about a share of bad events.
#[derive(Debug, Clone)]
pub struct Slo {
    /// Unique in the file.
    pub name: String,
    /// The share of good events that is promised, between 0 and 1.
    pub objective: f64,
    /// The time over which it is promised.
    pub period: Duration,
    /// The share of bad events.
    pub bad: Signal,
    /// The labels that tell its instances apart.
    pub by: Vec<String>,
    /// The burn-rate windows.
    pub windows: Vec<BurnWindow>,
    /// Below this many events per second nothing is concluded; absent when any number will do.
    pub min_rate: Option<f64>,
    /// The level of fast burning.
    pub page: Level,
    /// The level of slow burning.
    pub ticket: Level,
    /// Where to read what to do; absent when the file names none.
    pub runbook: Option<String>,
}

/// One pair of windows: the budget burns at `factor` in both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BurnWindow {
    /// How many times faster than the budget allows.
    pub factor: f64,
    /// The long window.
    pub long: Duration,
    /// The short window, which ends the alert soon after the burning ends.
    pub short: Duration,
    /// Whether somebody is woken.
    pub pages: bool,
}

const fn window(factor: f64, long_minutes: u64, short_minutes: u64, pages: bool) -> BurnWindow {
    let (long, short) = (Duration::from_secs(long_minutes * 60), Duration::from_secs(short_minutes * 60));
    BurnWindow { factor, long, short, pages }
}

/// The windows of Google's Site Reliability Workbook for a period of 30 days.
const GOOGLE_30D: [BurnWindow; 4] = [
    window(14.4, 60, 5, true),
    window(6.0, 6 * 60, 30, true),
    window(3.0, 24 * 60, 2 * 60, false),
    window(1.0, 3 * 24 * 60, 6 * 60, false),
];

/// Reads every `[[slo]]`.
pub(super) fn read(tables: Vec<Fields<'_>>, context: &Context<'_>) -> Vec<Slo> {
    tables.into_iter().filter_map(|table| slo(table, context)).collect()
}

fn slo(mut table: Fields<'_>, context: &Context<'_>) -> Option<Slo> {
    let name = table.required_text("name");
    let objective = table.required_text("objective").and_then(|text| objective(&table, &text));
    let period = table.duration("period").unwrap_or(Duration::from_hours(720));
    let bad = table.required_text("bad").and_then(|text| signal(&table, &text, context));
    let by = table.strings("by").unwrap_or_else(|| vec!["job".to_owned()]);
    let windows = table.choice("windows", &[("google-30d", GOOGLE_30D)]).unwrap_or(GOOGLE_30D).to_vec();
    let min_rate = table.text("min_rate").and_then(|text| rate(&table, &text));
    let (mut page, mut ticket) = (Level::Critical, Level::Warning);
    if let Some(mut severity) = table.table("severity") {
        page = severity.choice("page", &Level::CHOICES).unwrap_or(page);
        ticket = severity.choice("ticket", &Level::CHOICES).unwrap_or(ticket);
        severity.finish();
    }
    let runbook = table.string("runbook");
    table.finish();
    let (name, objective, bad) = (name?.value.to_owned(), objective?, bad?);
    Some(Slo { name, objective, period, bad, by, windows, min_rate, page, ticket, runbook })
}

fn objective(table: &Fields<'_>, text: &Text<'_>) -> Option<f64> {
    let quantity = Quantity::parse(text.value).ok().filter(|it| it.notation == Notation::Percent);
    let objective = quantity.map(|it| it.value).filter(|value| *value > 0.0 && *value < 1.0);
    if objective.is_none() {
        let help = Some("write it like `99.9%`".to_owned());
        table.problems.report(text.span.clone(), "an objective is a percentage between 0% and 100%", help);
    }
    objective
}

fn rate(table: &Fields<'_>, text: &Text<'_>) -> Option<f64> {
    let quantity = Quantity::parse(text.value).ok().filter(|it| it.notation == Notation::PerSecond);
    if quantity.is_none() {
        let help = Some("write it like `0.1/s`".to_owned());
        table.problems.report(text.span.clone(), "`min_rate` is a rate", help);
    }
    quantity.map(|it| it.value)
}

fn signal(table: &Fields<'_>, text: &Text<'_>, context: &Context<'_>) -> Option<Signal> {
    let resolver = Resolver { vocabulary: context.vocabulary, signals: context.signals, aggregator: None };
    let tree = syntax::parse(text.value).map_err(|refusal| report(table, text, refusal)).ok()?;
    let (expression, dimension) = match resolver.resolve(&tree, text.value) {
        Ok(found) => found,
        Err(refusals) => {
            for refusal in refusals {
                report(table, text, refusal);
            }
            return None;
        }
    };
    if dimension != Dimension::Ratio {
        let help = Some("use share(…), such as http.error_ratio".to_owned());
        table.problems.report(text.span.clone(), format!("`bad` is a share, not {}", dimension.name()), help);
        return None;
    }
    Some(Signal { text: text.value.to_owned(), dimension, expression })
}
