//! The one list of built-in metrics: name, unit, kind, help, attributes, default aggregation, classic boundaries.
//! Agent, dashboard, panels and alert rules are checked against it; where the values come from is not known here.

mod metrics;

use serde::{Deserialize, Serialize};

use crate::buckets::GridKind;

pub use metrics::METRICS;

/// What a metric's numbers mean; on the wire in snake case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A cumulative sum that only grows, since the start of the process.
    Counter,
    /// A sum that also falls; values of several series add up.
    UpDownCounter,
    /// A value of the moment; values of several series do not add up.
    Gauge,
    /// Cumulative buckets with count and sum.
    Histogram,
}

/// How series of one metric become one value when a rule or panel groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregation {
    /// Additive instruments.
    Sum,
    /// Limits, flags, ages.
    Max,
    /// Ratios of the moment.
    Avg,
}

/// One built-in metric.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metric {
    /// OpenTelemetry name, dotted.
    pub name: &'static str,
    /// What its numbers mean.
    pub kind: Kind,
    /// UCUM unit as OpenTelemetry writes it: `s`, `By`, `1`, `{request}`, or empty.
    pub unit: &'static str,
    /// One sentence for people; the `# HELP` text.
    pub help: &'static str,
    /// The attributes its series may carry.
    pub attributes: &'static [&'static str],
    /// How series are grouped unless a rule says otherwise.
    pub aggregation: Aggregation,
    /// Boundaries of the classic `_bucket` series, in `unit`; empty unless a histogram.
    pub boundaries: &'static [f64],
}

impl Metric {
    /// The name Prometheus shows, suffixes included, without `_bucket`, `_sum`, `_count`.
    pub fn prometheus_name(&self) -> String {
        prometheus_name(self.name, self.unit, self.kind)
    }
}

/// The built-in metric of this OpenTelemetry name.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// The classic boundaries of a histogram that is not in the catalogue: those of the catalogue's metric of the same unit.
pub fn custom_boundaries(unit: &str) -> &'static [f64] {
    let like = match unit {
        "s" => "http.server.request.duration",
        "By" => "http.server.request.body.size",
        _ => "db.client.response.returned_rows",
    };
    find(like).map_or(&[], |metric| metric.boundaries)
}

/// Every explicit boundary of this grid's metrics, in the grid's resolution; unsorted, with repeats.
pub(crate) fn explicit_bounds(kind: GridKind) -> impl Iterator<Item = u64> {
    METRICS
        .iter()
        .filter(move |metric| metric.kind == Kind::Histogram && GridKind::for_unit(metric.unit) == kind)
        .flat_map(|metric| metric.boundaries)
        .map(move |bound| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "catalogued, small, positive")]
            let integer = (bound * kind.per_unit() as f64).round() as u64;
            integer
        })
}

/// Translates an OpenTelemetry name as Prometheus' `UnderscoreEscapingWithSuffixes` does.
///
/// ```
/// use heartline_shared::catalog::{Kind, prometheus_name};
///
/// assert_eq!(prometheus_name("heartline.job.completed", "{job}", Kind::Counter), "heartline_job_completed_total");
/// assert_eq!(prometheus_name("process.cpu.utilization", "1", Kind::Gauge), "process_cpu_utilization_ratio");
/// assert_eq!(prometheus_name("heartline.memory.growth", "By/s", Kind::Gauge), "heartline_memory_growth_bytes_per_second");
/// ```
pub fn prometheus_name(name: &str, unit: &str, kind: Kind) -> String {
    let mut tokens: Vec<String> = name
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == ':'))
        .filter(|token| !token.is_empty())
        .map(str::to_owned)
        .collect();
    for word in unit_words(unit) {
        if !tokens.iter().any(|token| token == word) {
            tokens.push(word.to_owned());
        }
    }
    match kind {
        Kind::Counter => {
            tokens.retain(|token| token != "total");
            tokens.push("total".to_owned());
        }
        Kind::Gauge if unit == "1" => {
            tokens.retain(|token| token != "ratio");
            tokens.push("ratio".to_owned());
        }
        _ => {}
    }
    let joined = tokens.join("_");
    if joined.starts_with(|c: char| c.is_ascii_digit()) { format!("_{joined}") } else { joined }
}

/// The words a unit appends; annotations in braces and the unit 1 append nothing.
fn unit_words(unit: &str) -> Vec<&str> {
    let word = |part| match part {
        "s" => "seconds",
        "ms" => "milliseconds",
        "By" => "bytes",
        "Hz" => "hertz",
        "%" => "percent",
        other => other,
    };
    match unit.split_once('/') {
        _ if unit.is_empty() || unit == "1" || unit.contains('{') => Vec::new(),
        Some((amount, "s")) => vec![word(amount), "per", "second"],
        _ => vec![word(unit)],
    }
}

/// An attribute name as a Prometheus label: every character outside `[A-Za-z0-9_]` becomes `_`.
pub fn prometheus_label(attribute: &str) -> String {
    let mut label: String =
        attribute.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if label.starts_with(|c: char| c.is_ascii_digit()) {
        label.insert(0, '_');
    }
    label
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_name_occurs_twice_in_either_form() {
        let names: HashSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        let translated: HashSet<_> = METRICS.iter().map(Metric::prometheus_name).collect();
        assert_eq!((names.len(), translated.len()), (METRICS.len(), METRICS.len()));
    }

    #[test]
    fn histograms_and_only_they_have_ascending_boundaries() {
        for metric in METRICS {
            assert_eq!(metric.kind == Kind::Histogram, !metric.boundaries.is_empty(), "{}", metric.name);
            assert!(metric.boundaries.is_sorted_by(|a, b| a < b), "{}", metric.name);
        }
    }

    #[test]
    fn no_attribute_collides_with_the_target_labels() {
        for metric in METRICS {
            assert!(!metric.attributes.iter().any(|name| ["job", "instance", "le"].contains(name)), "{}", metric.name);
        }
    }

    #[test]
    fn help_is_a_sentence() {
        for metric in METRICS {
            assert!(metric.help.ends_with('.') && metric.help.len() > 10, "{}", metric.name);
        }
    }

    #[test]
    fn names_translate_as_prometheus_translates_them() {
        let expected = [
            ("http.server.request.duration", "http_server_request_duration_seconds"),
            ("http.server.active_requests", "http_server_active_requests"),
            ("db.client.connection.timeouts", "db_client_connection_timeouts_total"),
            ("process.cpu.time", "process_cpu_time_seconds_total"),
            ("jemalloc.resident", "jemalloc_resident_bytes"),
            ("heartline.memory.leak.suspected", "heartline_memory_leak_suspected"),
            ("heartline.health.status", "heartline_health_status"),
            ("tokio.runtime.utilization", "tokio_runtime_utilization_ratio"),
            ("heartline.agent.memory", "heartline_agent_memory_bytes"),
            ("heartline.offered", "heartline_offered_total"),
        ];
        for (name, translated) in expected {
            assert_eq!(find(name).unwrap().prometheus_name(), translated);
        }
    }
}
