//! Can the figures be trusted, and what does measuring cost?

use crate::board::Board;
use crate::panel::Panel;
use crate::template::quantile;
use crate::thresholds::Steps;

pub(super) fn board() -> Board {
    Board::new("heartline-agent", "Agent", "Can the figures be trusted, and what does measuring cost?")
        .stats(stats())
        .row("What was recorded and what was not", records())
        .row("What it costs", costs())
        .folded("Export to a collector", export())
        .folded("Its own alerts and actions", own())
}

fn stats() -> Vec<Panel> {
    let none = Steps::rising(&[(1e-9, "red")]);
    vec![
        Panel::stat("Recorded", "Records offered to the agents per second.", "sum(rate(heartline_offered_total))"),
        Panel::stat("Lost", "Records that were not stored, per second. Anything but zero: figures are too low; the reason is below.", "sum(rate(heartline_dropped_total))")
            .steps(none.clone()),
        Panel::stat("Series", "Series the agents hold.", "sum(heartline_series_count)"),
        Panel::stat("Coarser", "Instances whose histograms became coarser because their memory budget is nearly used up: raise it, or name fewer things.", "sum(heartline_series_coarse)")
            .unit("short")
            .steps(Steps::rising(&[(1.0, "orange")])),
        Panel::stat("Memory", "Bytes the largest agent holds.", "max(heartline_agent_memory_bytes)"),
        Panel::stat("CPU", "Share of one core that the busiest agent's own threads use.", "max(rate(heartline_agent_cpu_time_seconds_total))").unit("percentunit"),
        Panel::stat("Callbacks", "Callbacks of the service that failed per second, probes and checks: their figures are missing.", "sum(rate(heartline_callback_failures_total))")
            .steps(none),
    ]
}

fn records() -> Vec<Panel> {
    vec![
        Panel::lines("Recorded", "Records per second by instance.")
            .query("{{instance}}", "sum by (job, instance) (rate(heartline_offered_total))")
            .from_zero(),
        Panel::lines(
            "Lost, by reason",
            "`misuse` is a fault in how the service calls the agent; others are limits that were hit.",
        )
        .query("{{reason}}", "sum by (reason) (rate(heartline_dropped_total))")
        .from_zero(),
        Panel::lines("Series", "Series held. Climbing without end: a label takes too many values.")
            .query("{{instance}}", "heartline_series_count")
            .from_zero(),
        Panel::lines(
            "Series over the limit",
            "New series that went to the overflow series, by metric: its labels take too many values.",
        )
        .query("{{metric}}", "sum by (metric) (rate(heartline_series_dropped_total))")
        .from_zero(),
        Panel::lines(
            "Callbacks that failed",
            "By callback: a probe or check of the service that panicked, hung or failed.",
        )
        .query("{{callback}}", "sum by (callback) (rate(heartline_callback_failures_total))")
        .from_zero(),
        Panel::lines("Coarser histograms", "1 once an instance records in coarser buckets.")
            .query("{{instance}}", "heartline_series_coarse")
            .unit("short")
            .between(0.0, 1.0),
    ]
}

fn costs() -> Vec<Panel> {
    vec![
        Panel::lines("Memory of the agent", "Against its budget; see how it was started.")
            .query("{{instance}}", "heartline_agent_memory_bytes")
            .from_zero(),
        Panel::lines("CPU of the agent", "Share of one core its own threads use: serving, exporting, sampling.")
            .query("{{instance}}", "rate(heartline_agent_cpu_time_seconds_total)")
            .unit("percentunit")
            .from_zero(),
    ]
}

fn export() -> Vec<Panel> {
    vec![
        Panel::lines("Age of what arrived", "Age of the newest data that reached the collector. Climbing: the collector is away; nothing is lost, totals are cumulative.")
            .query("{{exporter}} {{instance}}", "heartline_export_lag_seconds")
            .from_zero(),
        Panel::lines("Data points exported", "By outcome: with an error type they were refused.")
            .query("{{otel_component_name}} {{error_type}}", "sum by (otel_component_name, error_type) (rate(otel_sdk_exporter_metric_data_point_exported_total))")
            .from_zero(),
        Panel::lines("How long exports take, p95", "Slow exports: the collector is overloaded or far away.")
            .query("{{otel_component_name}}", quantile(0.95, "otel_sdk_exporter_operation_duration_seconds", "otel_component_name"))
            .from_zero(),
    ]
}

fn own() -> Vec<Panel> {
    vec![
        Panel::states("Alerts the agents see themselves", "Where the service evaluates alerts in its own process.")
            .query("{{alert_name}} {{instance}}", r#"max by (job, instance, alert_name) (heartline_alert_status{alert_state="firing"}) * 2 or max by (job, instance, alert_name) (heartline_alert_status{alert_state="pending"})"#)
            .words(&[("0", "well", "green"), ("1", "pending", "yellow"), ("2", "firing", "red")])
            .unit("none"),
        Panel::lines("Requests to admin routes", "By outcome. Refused ones that you did not make are somebody guessing tokens.")
            .query("{{route}} {{outcome}}", "sum by (route, outcome) (rate(heartline_admin_requests_total))")
            .from_zero(),
    ]
}
