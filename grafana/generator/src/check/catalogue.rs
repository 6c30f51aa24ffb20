//! Queries against the catalogue: known metrics, known labels, functions that fit the kind; metrics that nobody shows.

use std::collections::BTreeSet;

use anyhow::Result;
use heartline_shared::catalog::{Kind, METRICS};

use super::document::{Dashboard, Fault};
use super::query::{Read, selectors};
use crate::names::{self, Part};
use crate::thresholds::shipped;

const RULE: &str = "catalogue";
/// Labels that every series has or that a query makes itself.
const EVERYWHERE: &[&str] = &["job", "instance", "signal"];

/// Metrics that no board and no alert uses, with the reason.
pub const NOT_SHOWN: &[(&str, &str)] = &[
    ("process.network.io", "no operating system counts it per process; it is in the catalogue for hosts that do"),
    ("db.client.connection.idle.min", "a setting that does not change; the service's configuration shows it"),
    ("db.client.connection.idle.max", "a setting that does not change; the service's configuration shows it"),
];

/// Everything in the queries of a dashboard that the catalogue does not know or that does not fit it.
pub fn faults(board: &Dashboard) -> Vec<Fault> {
    let mut found = Vec::new();
    for (panel, target) in board.targets() {
        for read in reads(&target.query) {
            found.extend(problems(&read).into_iter().map(|what| board.panel_fault(RULE, panel, what)));
        }
    }
    let listed =
        board.variables.iter().filter_map(|it| it.listed.as_ref().map(|listed| (it.name.clone(), listed.clone())));
    for (name, (selector, label)) in listed {
        let unlisted = |read: &Read| !has_label(read, &label);
        let wrong = reads(&selector).into_iter().flat_map(|read| {
            let missing = unlisted(&read).then(|| format!("{} has no label {label}", read.name));
            unknown(&read).into_iter().chain(missing).collect::<Vec<_>>()
        });
        found.extend(wrong.map(|what| board.fault(RULE, format!("variable {name}: {what}"))));
    }
    for (name, query) in &board.annotations {
        let wrong = reads(query).into_iter().flat_map(|read| problems(&read));
        found.extend(wrong.map(|what| board.fault(RULE, format!("annotation {name}: {what}"))));
    }
    found
}

/// Metrics of the catalogue that none of the dashboards and none of the shipped alerts uses, beside those that
/// [`NOT_SHOWN`] names.
pub fn unused(boards: &[Dashboard]) -> Vec<&'static str> {
    let mut used: BTreeSet<&str> = shown(boards);
    let alerts = shipped().rules().iter().flat_map(|rule| rule_metrics(rule));
    used.extend(alerts);
    let excused = |name: &str| NOT_SHOWN.iter().any(|(excused, _)| *excused == name);
    METRICS.iter().map(|metric| metric.name).filter(|name| !used.contains(name) && !excused(name)).collect()
}

/// Excuses of [`NOT_SHOWN`] for metrics that are shown after all, or that do not exist.
pub fn needless_excuses(boards: &[Dashboard]) -> Vec<&'static str> {
    let used = shown(boards);
    let exists = |name: &str| METRICS.iter().any(|metric| metric.name == name);
    NOT_SHOWN.iter().map(|(name, _)| *name).filter(|name| used.contains(name) || !exists(name)).collect()
}

fn shown(boards: &[Dashboard]) -> BTreeSet<&'static str> {
    let queries = boards.iter().flat_map(Dashboard::targets).map(|(_, target)| &target.query);
    queries.flat_map(|query| reads(query)).filter_map(|read| read.metric.map(|metric| metric.name)).collect()
}

fn rule_metrics(rule: &'static heartline_shared::alerts::Rule) -> Vec<&'static str> {
    use heartline_shared::alerts::Subject;
    match &rule.subject {
        Subject::Signal(signal) => signal.metrics(),
        Subject::Any(clauses) | Subject::All(clauses) => {
            clauses.iter().flat_map(|clause| clause.signal.metrics()).collect()
        }
    }
}

/// What a query reads; that it can be read at all is the linter's business.
fn reads(query: &str) -> Vec<Read> {
    let parsed: Result<Vec<Read>> = selectors(query);
    parsed.unwrap_or_default()
}

fn problems(read: &Read) -> Vec<String> {
    let mut found: Vec<String> = unknown(read).into_iter().collect();
    let labels = read.matchers.iter().map(|(label, ..)| label).chain(&read.grouped_by);
    found.extend(
        labels.filter(|label| !has_label(read, label)).map(|label| format!("{} has no label {label}", read.name)),
    );
    found.extend(misused(read));
    found
}

fn unknown(read: &Read) -> Option<String> {
    let known = read.metric.is_some() || names::foreign_labels(&read.name).is_some();
    (!known).then(|| format!("{} is not in the catalogue", read.name))
}

fn has_label(read: &Read, label: &str) -> bool {
    let foreign = names::foreign_labels(&read.name).is_some_and(|labels| labels.contains(&label));
    let bucket = label == "le" && read.part == Some(Part::Bucket);
    let own = read.metric.is_some_and(|metric| names::has_label(metric, label));
    EVERYWHERE.contains(&label) || foreign || bucket || own
}

/// A function that does not fit the kind of the metric.
fn misused(read: &Read) -> Option<String> {
    let metric = read.metric?;
    let function = read.inside();
    let wrong = match function {
        "rate" | "irate" | "increase" => !read.is_cumulative(),
        "deriv" | "predict_linear" | "avg_over_time" | "min_over_time" | "max_over_time" | "resets" | "changes" => {
            read.is_cumulative()
        }
        _ => read.is_cumulative(),
    };
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::UpDownCounter | Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    wrong.then(|| {
        format!(
            "{} is a {kind} and does not fit {}",
            read.name,
            if function.is_empty() { "a plain reading" } else { function }
        )
    })
}
