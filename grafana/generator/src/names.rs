//! The names under which Prometheus shows the metrics of the catalogue. What their values mean to a board is not known here.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use heartline_shared::catalog::{Kind, METRICS, Metric, prometheus_label};

/// Which series of a metric a name means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The value of a counter or gauge.
    Value,
    /// The cumulative buckets of a classic histogram.
    Bucket,
    /// The sum of a classic histogram.
    Sum,
    /// How many values a classic histogram holds.
    Count,
    /// A native histogram as a whole.
    Native,
}

/// Series that Prometheus itself writes, with the labels a board may use.
pub const FOREIGN: &[(&str, &[&str])] = &[
    ("ALERTS", &["alertname", "alertstate", "severity", "heartline"]),
    ("ALERTS_FOR_STATE", &["alertname", "severity", "heartline"]),
    ("target_info", &["service_version"]),
];

/// The metric and the part of it that Prometheus shows under `name`.
pub fn find(name: &str) -> Option<(&'static Metric, Part)> {
    static NAMES: OnceLock<BTreeMap<String, (&'static Metric, Part)>> = OnceLock::new();
    NAMES.get_or_init(all).get(name).copied()
}

/// The labels of the foreign series `name`.
pub fn foreign_labels(name: &str) -> Option<&'static [&'static str]> {
    FOREIGN.iter().find(|(known, _)| *known == name).map(|(_, labels)| *labels)
}

/// Whether series of `metric` carry the Prometheus label `label`, beside `job` and `instance`.
pub fn has_label(metric: &Metric, label: &str) -> bool {
    metric.attributes.iter().any(|attribute| prometheus_label(attribute) == label)
}

fn all() -> BTreeMap<String, (&'static Metric, Part)> {
    let mut names = BTreeMap::new();
    for metric in METRICS {
        let name = metric.prometheus_name();
        if metric.kind == Kind::Histogram {
            for (suffix, part) in [("_bucket", Part::Bucket), ("_sum", Part::Sum), ("_count", Part::Count)] {
                names.insert(format!("{name}{suffix}"), (metric, part));
            }
            names.insert(name, (metric, Part::Native));
        } else {
            names.insert(name, (metric, Part::Value));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_of_a_metric_is_found_and_nothing_else() {
        let part = |name| find(name).map(|(metric, part)| (metric.name, part));
        assert_eq!(part("process_uptime_seconds"), Some(("process.uptime", Part::Value)));
        assert_eq!(part("tokio_schedule_delay_seconds_bucket"), Some(("tokio.schedule.delay", Part::Bucket)));
        assert_eq!(part("tokio_schedule_delay_seconds"), Some(("tokio.schedule.delay", Part::Native)));
        assert_eq!(part("process_uptime_seconds_bucket"), None);
        assert_eq!(part("process_uptime"), None);
    }
}
