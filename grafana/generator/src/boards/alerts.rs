//! What does each shipped alert see, how far is it from its thresholds, and how often did it fire?

use super::{ALERT_WINDOW, FAILED_REQUESTS, REQUESTS, SHARED_ALERTS};
use crate::board::Board;
use crate::panel::Panel;
use crate::template::share;
use crate::thresholds::{Steps, rule};

const BY: &str = "job, instance";
const DURATION: &str = "http_server_request_duration_seconds";
const QUERY: &str = "db_client_operation_duration_seconds";

pub(super) fn board() -> Board {
    Board::new(
        "heartline-alerts",
        "Alerts",
        "What does each alert see, how far is it from its thresholds, and how often did it fire?",
    )
    .stats(stats())
    .row("When they fired", history())
    .row("Requests", panels(&["HttpLatencyP95", "HttpErrorRatio"]))
    .row("Memory", panels(&["MemoryUtilization", "MemoryTimeToLimit", "HeapLeakSuspected"]))
    .row("Processor and runtime", panels(&["CpuUtilization", "RuntimeStall"]))
    .row("Caches", panels(&["CacheHitRatio", "CacheFull"]))
    .row("Database", panels(&["DbLatencyP95", "DbSlowQueries", "QueriesPerRequest", "DbPoolUtilization"]))
    .row("Jobs", panels(&["QueueDepth", "JobFailures"]))
    .row("Dependencies and silence", panels(&["CircuitOpen", "ServiceSilent"]))
}

fn stats() -> Vec<Panel> {
    let count = |severity: &str| format!(r#"sum(ALERTS{{alertstate="firing", severity="{severity}"}}) or vector(0)"#);
    let stat = |title, help, query: String, color| {
        Panel::stat(title, help, query)
            .steps(Steps::rising(&[(1.0, color)]))
            .exempt("target-instance-rule", SHARED_ALERTS)
    };
    vec![
        stat("Critical", "Somebody should look now.", count("critical"), "red"),
        stat("Warning", "Somebody should look today.", count("warning"), "orange"),
        stat("Info", "Worth knowing.", count("info"), "yellow"),
        stat("Pending", "Conditions that hold, but not for long enough yet.", r#"sum(ALERTS{alertstate="pending"}) or vector(0)"#.to_owned(), "yellow"),
        stat("Activations", "How often conditions began to hold within the chosen time. Many short ones are flapping: give the alert a recover level or a longer `for`.", format!("sum({FLAPS}) or vector(0)"), "yellow")
            .unit("short"),
        stat("Alerts that were active", "How many alerts were active at all within the chosen time.", format!("count({FLAPS}) or vector(0)"), "yellow")
            .unit("short"),
    ]
}

/// How often each alert instance became active: its time of activation changed, and there was a first one.
const FLAPS: &str = "changes(ALERTS_FOR_STATE[$__range]) + 1";

fn history() -> Vec<Panel> {
    vec![
        Panel::states("States", "When each alert was pending and firing. Several that begin together have one cause: the first is the closest to it.")
            .query(
                "{{alertname}} {{severity}} {{instance}}",
                r#"max by (alertname, severity, job, instance) (ALERTS{alertstate="firing"}) * 2 or max by (alertname, severity, job, instance) (ALERTS{alertstate="pending"})"#,
            )
            .words(&[("1", "pending", "yellow"), ("2", "firing", "red")])
            .unit("none")
            .exempt("target-instance-rule", SHARED_ALERTS)
            .wide(16)
            .high(10),
        Panel::table("Flapping", "How often each became active within the chosen time.")
            .query("Times", format!("sum by (alertname, severity) ({FLAPS})"))
            .column_unit("short")
            .sorted_by("Times")
            .exempt("target-instance-rule", SHARED_ALERTS)
            .wide(8)
            .high(10),
    ]
}

fn panels(alerts: &[&'static str]) -> Vec<Panel> {
    alerts.iter().map(|name| panel(name)).collect()
}

/// The value an alert compares, over the alert's own window, with its thresholds and where it clears.
fn panel(name: &'static str) -> Panel {
    let rule = rule(name);
    let help = format!("What {name} compares, over its own window. Lines: thresholds; lighter ones: where it clears.");
    let labels: Vec<String> = rule
        .by
        .iter()
        .filter(|label| *label != "job")
        .map(|label| format!("{{{{{}}}}}", label.replace('.', "_")))
        .collect();
    Panel::lines(name, &help).query(&labels.join(" "), signal(name)).alert_lines(name).windowed(ALERT_WINDOW)
}

/// The signal of a shipped alert in PromQL.
///
/// # Panics
/// When the alert is not among those shown here.
fn signal(name: &str) -> String {
    match name {
        "HttpLatencyP95" => quantile(0.95, DURATION, BY, "5m"),
        "HttpErrorRatio" => share(&format!("{FAILED_REQUESTS}[1m]"), &format!("{REQUESTS}[1m]"), BY),
        "MemoryUtilization" => format!("sum by ({BY}) (avg_over_time(process_memory_usage_bytes[5m])) / max by ({BY}) (heartline_memory_limit_bytes)"),
        "MemoryTimeToLimit" => format!("(max by ({BY}) (heartline_memory_limit_bytes) - sum by ({BY}) (process_memory_usage_bytes)) / (sum by ({BY}) (deriv(process_memory_usage_bytes[30m])) > 0)"),
        "HeapLeakSuspected" => format!("max by ({BY}) (heartline_memory_leak_suspected)"),
        "CpuUtilization" => format!("sum by ({BY}) (avg_over_time(process_cpu_utilization_ratio[5m]))"),
        "RuntimeStall" => quantile(0.99, "tokio_schedule_delay_seconds", BY, "1m"),
        "CacheHitRatio" => share(
            r#"heartline_cache_requests_total{cache_result=~"hit|stale"}[10m]"#,
            "heartline_cache_requests_total[10m]",
            "job, instance, cache_name, cache_tier",
        ),
        "CacheFull" => "sum by (job, instance, cache_name, cache_tier) (heartline_cache_size_bytes) / max by (job, instance, cache_name, cache_tier) (heartline_cache_limit_bytes)".to_owned(),
        "DbLatencyP95" => quantile(0.95, QUERY, "job, instance, db_system_name", "5m"),
        "DbSlowQueries" => format!(
            "1 - sum by ({BY}) (rate({QUERY}_bucket{{le=\"0.5\"}}[5m])) / sum by ({BY}) (rate({QUERY}_count[5m])) or \
             1 - histogram_fraction(0, 0.5, sum by ({BY}) (rate({QUERY}[5m])))"
        ),
        "QueriesPerRequest" => format!("sum by ({BY}) (rate({QUERY}_count[2m])) / sum by ({BY}) (rate({REQUESTS}[2m]))"),
        "DbPoolUtilization" => {
            let by = "job, instance, db_client_connection_pool_name";
            format!(r#"sum by ({by}) (avg_over_time(db_client_connection_count{{db_client_connection_state="used"}}[2m])) / max by ({by}) (db_client_connection_max)"#)
        }
        "QueueDepth" => r#"max by (job, queue_name) (heartline_job_count{job_state="waiting"})"#.to_owned(),
        "JobFailures" => r#"sum by (job, queue_name) (increase(heartline_job_completed_total{job_outcome="failure"}[10m]))"#.to_owned(),
        "CircuitOpen" => r#"max by (job, instance, circuit_breaker_name) (heartline_circuit_breaker_status{circuit_breaker_state="open"})"#.to_owned(),
        "ServiceSilent" => format!("max by ({BY}) (process_uptime_seconds)"),
        other => panic!("the board of alerts does not know the signal of {other}"),
    }
}

/// As rules compute it: classic buckets first, native histograms where there are no others.
pub(super) fn quantile(q: f64, metric: &str, by: &str, window: &str) -> String {
    format!(
        "histogram_quantile({q}, sum by ({by}, le) (rate({metric}_bucket[{window}]))) or \
         histogram_quantile({q}, sum by ({by}) (rate({metric}[{window}])))"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use heartline_shared::alerts::{Rule, Signal, Subject, format_duration};

    use super::*;
    use crate::check::query::selectors;
    use crate::template::complete;
    use crate::thresholds::shipped;

    fn with_signal() -> Vec<(&'static Rule, &'static Signal)> {
        let signal = |rule: &'static Rule| match &rule.subject {
            Subject::Signal(signal) => Some((rule, signal)),
            _ => None,
        };
        shipped().rules().iter().filter_map(signal).collect()
    }

    #[test]
    fn every_shipped_alert_about_one_signal_has_a_panel() {
        let titles: Vec<String> = board().panels().map(|panel| panel.title.clone()).collect();
        for (rule, _) in with_signal() {
            assert!(titles.contains(&rule.name), "{} has no panel", rule.name);
        }
    }

    #[test]
    fn a_signal_reads_the_metrics_of_its_alert_over_the_windows_of_its_alert() {
        for (rule, expected) in with_signal() {
            let query = complete(&signal(&rule.name), &[]);
            let read: BTreeSet<&str> =
                selectors(&query).unwrap().iter().filter_map(|it| it.metric.map(|metric| metric.name)).collect();
            assert_eq!(read.into_iter().collect::<Vec<_>>(), expected.metrics(), "{}", rule.name);
            let window = format!("[{}]", format_duration(rule.over));
            assert!(!query.contains('[') || query.contains(&window), "{}: {query} has no {window}", rule.name);
            assert_eq!(query.matches('[').count(), query.matches(&window).count(), "{}: {query}", rule.name);
        }
    }
}
