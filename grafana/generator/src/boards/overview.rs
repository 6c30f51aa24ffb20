//! Is the service well, and if not, which part of it is to blame? The board an on-call engineer opens first.

use super::{CHOSEN_TIME, CPU, FAILED_REQUESTS, MEMORY, REQUESTS, SHARED_ALERTS};
use crate::board::Board;
use crate::panel::Panel;
use crate::template::{quantile, share};
use crate::thresholds::Steps;

const DURATION: &str = "http_server_request_duration_seconds";

pub(super) fn board() -> Board {
    Board::new("heartline-overview", "Overview", "Is the service well, and if not, which part of it is to blame?")
        .variable(super::slo::objective())
        .stats(stats())
        .row("Requests: rate, errors, duration", requests())
        .row("Resources: use and limits", resources())
        .row("What it depends on", dependencies())
        .row("Alerts and instances", alerts())
        .folded("Health checks", health())
}

fn stats() -> Vec<Panel> {
    let left = format!("1 - ({}) / (1 - $objective / 100)", share_over_range());
    vec![
        Panel::stat("Availability", "Share of requests that did not fail within the chosen time. Below the objective: open SLO to see how fast the budget burns.", format!("1 - {}", share_over_range()))
            .leads_to("heartline-slo", "SLO")
            .windowed(CHOSEN_TIME)
            .steps(Steps::falling("red", &[(0.99, "orange"), (0.999, "green")])),
        Panel::stat("Error budget left", "How much of the allowed failures of the chosen time is left. Negative: the objective is missed; stop risky changes.", left)
            .leads_to("heartline-slo", "SLO")
            .unit("percentunit")
            .windowed(CHOSEN_TIME)
            .steps(Steps::falling("red", &[(0.0, "orange"), (0.25, "green")])),
        Panel::stat("Requests", "Requests per second. A fall without a reason is an outage in front of the service.", format!("sum(rate({REQUESTS}))"))
            .leads_to("heartline-http", "HTTP"),
        Panel::stat("Errors", "Share of requests that failed. Open HTTP to see which route fails and with what.", share(FAILED_REQUESTS, REQUESTS, ""))
            .leads_to("heartline-http", "HTTP")
            .alert("HttpErrorRatio"),
        Panel::stat("p95", "The duration that 95 % of requests stay below, over all routes. Open HTTP for the slow route, Database for slow queries.", quantile(0.95, DURATION, ""))
            .leads_to("heartline-http", "HTTP")
            .alert("HttpLatencyP95"),
        Panel::stat("CPU", "The busiest instance: share of its CPU limit. High on all: add instances. High on one: look at its work.", format!("max({CPU})"))
            .leads_to("heartline-runtime", "Runtime")
            .alert("CpuUtilization"),
        Panel::stat("Memory", "The fullest instance: share of its memory limit. Open Memory to see whether it leaks and when it runs out.", format!("max({MEMORY})"))
            .leads_to("heartline-memory", "Memory")
            .alert("MemoryUtilization"),
        Panel::stat("Firing", "Alerts that fire now. The list below names them.", r#"sum(ALERTS{alertstate="firing"}) or vector(0)"#)
            .leads_to("heartline-alerts", "Alerts")
            .exempt("target-instance-rule", SHARED_ALERTS)
            .steps(Steps::rising(&[(1.0, "red")])),
    ]
}

fn share_over_range() -> String {
    share(&format!("{FAILED_REQUESTS}[$__range]"), &format!("{REQUESTS}[$__range]"), "")
}

fn requests() -> Vec<Panel> {
    vec![
        Panel::stack("Requests by status", "Requests per second by status. Growing 5xx: the service fails. Growing 4xx: a caller changed.")
            .query("{{http_response_status_code}}", format!("sum by (http_response_status_code) (rate({REQUESTS}))"))
            .leads_to("heartline-http", "HTTP"),
        Panel::lines("Error ratio", "Share of requests that failed, by instance. One instance alone: take it out. All: look at what they depend on.")
            .query("{{instance}}", share(FAILED_REQUESTS, REQUESTS, "job, instance"))
            .alert("HttpErrorRatio")
            .from_zero(),
        Panel::lines("Duration", "p50, p95 and p99 over all routes. Only p99 up: a few slow requests. All up: everything waits for the same thing.")
            .query("p50", quantile(0.5, DURATION, ""))
            .query("p95", quantile(0.95, DURATION, ""))
            .query("p99", quantile(0.99, DURATION, ""))
            .alert("HttpLatencyP95")
            .from_zero(),
        Panel::heatmap("Distribution of durations", "How many requests took how long. Two bands are two kinds of work; a band that moves up is what became slow.", DURATION),
    ]
}

fn resources() -> Vec<Panel> {
    vec![
        Panel::lines("CPU", "Share of the CPU limit by instance, user and system added.")
            .query("{{instance}}", CPU)
            .alert("CpuUtilization")
            .from_zero(),
        Panel::lines("Memory, its limit, and in 4 hours", "Resident memory against the limit, and where the line of the last half hour leads. Crossing the limit: open Memory for the cause.")
            .query("{{instance}} used", "process_memory_usage_bytes")
            .query("{{instance}} limit", "max by (job, instance) (heartline_memory_limit_bytes)")
            .query("{{instance}} in 4 h", "predict_linear(process_memory_usage_bytes[30m], 4 * 3600)")
            .leads_to("heartline-memory", "Memory")
            .from_zero(),
        Panel::lines("File descriptors", "Open descriptors against the limit. A steady rise is a leak of sockets or files.")
            .query("{{instance}} open", "process_unix_file_descriptor_count")
            .query("{{instance}} limit", "heartline_process_file_descriptor_limit")
            .from_zero(),
        Panel::lines("Threads", "Threads by instance. A rise under load is the blocking pool; a rise that stays is a leak.")
            .query("{{instance}}", "process_thread_count")
            .leads_to("heartline-runtime", "Runtime")
            .from_zero(),
    ]
}

fn dependencies() -> Vec<Panel> {
    vec![
        Panel::lines("Database p95", "How long queries take. Up together with requests: the database is the cause; open Database for the query.")
            .query("{{db_system_name}}", quantile(0.95, "db_client_operation_duration_seconds", "db_system_name"))
            .alert("DbLatencyP95")
            .leads_to("heartline-db", "Database")
            .wide(6),
        Panel::lines("Connections in use", "Share of each pool in use. At 100 % callers wait: look for slow queries or held connections.")
            .query("{{db_client_connection_pool_name}}", r#"sum by (db_client_connection_pool_name) (db_client_connection_count{db_client_connection_state="used"}) / sum by (db_client_connection_pool_name) (db_client_connection_max)"#)
            .alert("DbPoolUtilization")
            .leads_to("heartline-db", "Database")
            .between(0.0, 1.0)
            .wide(6),
        Panel::lines("Cache hit ratio", "Share of look-ups each cache answered. A fall sends the load to the database.")
            .query("{{cache_name}} {{cache_tier}}", share(r#"heartline_cache_requests_total{cache_result=~"hit|stale"}"#, "heartline_cache_requests_total", "cache_name, cache_tier"))
            .alert("CacheHitRatio")
            .leads_to("heartline-cache", "Cache")
            .between(0.0, 1.0)
            .wide(6),
        Panel::lines("Jobs waiting", "Waiting jobs by queue. Growing without end: workers are too slow or failing; open Jobs.")
            .query("{{queue_name}}", r#"max by (queue_name) (heartline_job_count{job_state="waiting"})"#)
            .leads_to("heartline-jobs", "Jobs")
            .from_zero()
            .wide(6),
    ]
}

fn alerts() -> Vec<Panel> {
    vec![
        Panel::table(
            "Alerts",
            "What fires or is about to. Start with critical ones; the board of the matching name goes deeper.",
        )
        .query("Count", "sum by (alertname, severity, alertstate, job, instance) (ALERTS)")
        .leads_to("heartline-alerts", "Alerts")
        .exempt("target-instance-rule", SHARED_ALERTS)
        .wide(10),
        Panel::table("Instances", "One row an instance: pick one above to see it alone. A young one restarted lately.")
            .query("Up for", "max by (job, instance) (process_uptime_seconds)")
            .trend("Requests", format!("sum by (job, instance) (rate({REQUESTS}))"))
            .query("Errors", share(FAILED_REQUESTS, REQUESTS, "job, instance"))
            .column_alert("HttpErrorRatio")
            .query("p95", quantile(0.95, DURATION, "job, instance"))
            .column_alert("HttpLatencyP95")
            .query("CPU", CPU)
            .column_alert("CpuUtilization")
            .query("Memory", MEMORY)
            .column_alert("MemoryUtilization")
            .wide(14),
    ]
}

fn health() -> Vec<Panel> {
    vec![
        Panel::states("Health checks", "Which check failed when. A critical one that fails takes the instance out of service.")
            .query("{{health_check}} {{instance}}", r#"max by (job, instance, health_check) (heartline_health_status{health_state="fail"} * 2) > 0 or max by (job, instance, health_check) (heartline_health_status{health_state="warn"}) > 0 or max by (job, instance, health_check) (heartline_health_status{health_state="pass"}) * 0"#)
            .words(&[("0", "pass", "green"), ("1", "warn", "orange"), ("2", "fail", "red")]),
        Panel::lines("How long checks take", "A check near its time limit says that what it asks is slow.")
            .query("{{health_check}}", quantile(0.95, "heartline_health_check_duration_seconds", "health_check"))
            .from_zero(),
        Panel::states("Circuit breakers", "Open: calls are refused at once and the callee gets rest. Look at the callee, not here.")
            .query("{{circuit_breaker_name}} {{instance}}", r#"max by (job, instance, circuit_breaker_name) (heartline_circuit_breaker_status{circuit_breaker_state="open"} * 2) > 0 or max by (job, instance, circuit_breaker_name) (heartline_circuit_breaker_status{circuit_breaker_state="half_open"}) > 0 or max by (job, instance, circuit_breaker_name) (heartline_circuit_breaker_status{circuit_breaker_state="closed"}) * 0"#)
            .words(&[("0", "closed", "green"), ("1", "half open", "orange"), ("2", "open", "red")])
            .wide(12),
        Panel::lines("Calls through breakers", "Calls by outcome. Rejected ones were not made; failures before them opened the breaker.")
            .query("{{circuit_breaker_name}} {{circuit_breaker_outcome}}", "sum by (circuit_breaker_name, circuit_breaker_outcome) (rate(heartline_circuit_breaker_calls_total))")
            .from_zero(),
        Panel::lines("How long calls through breakers take", "p95 by outcome. Slow failures are time-outs: shorten them so that the breaker opens sooner.")
            .query("{{circuit_breaker_name}} {{circuit_breaker_outcome}}", quantile(0.95, "heartline_circuit_breaker_call_duration_seconds", "circuit_breaker_name, circuit_breaker_outcome"))
            .from_zero(),
    ]
}
