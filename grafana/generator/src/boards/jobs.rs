//! Is background work done in time, and what of it fails?

use super::ALERT_WINDOW;
use crate::board::Board;
use crate::panel::Panel;
use crate::template::quantile;
use crate::variable::Variable;

const DURATION: &str = "heartline_job_duration_seconds";
const WAIT: &str = "heartline_job_wait_duration_seconds";
/// All instances of a service share a queue and report the same depth.
const WAITING: &str = r#"max by (job, queue_name) (heartline_job_count{job_state="waiting"})"#;

pub(super) fn board() -> Board {
    Board::new("heartline-jobs", "Jobs", "Is background work done in time, and what of it fails?")
        .variable(Variable::of_label("queue", "queue_name", "heartline_job_count"))
        .stats(stats())
        .row("Queues", queues())
        .row("Time", time())
        .row("Failures", failures())
        .folded("Workers", workers())
}

fn stats() -> Vec<Panel> {
    vec![
        Panel::stat("Waiting", "Jobs that wait in the chosen queues.", format!("sum({WAITING})")).alert("QueueDepth"),
        Panel::stat(
            "Oldest",
            "Age of the oldest waiting job. It says better than the depth whether work is late.",
            "max(heartline_job_oldest_age_seconds)",
        ),
        Panel::stat("Enqueued", "Jobs put on queues per second.", "sum(rate(heartline_job_enqueued_total))"),
        Panel::stat(
            "Ended",
            "Runs that ended per second, retries and failures included.",
            "sum(rate(heartline_job_completed_total))",
        ),
        Panel::stat(
            "Failed, 10 min",
            "Jobs that failed for good in ten minutes.",
            r#"sum(increase(heartline_job_completed_total{job_outcome=~"failure|dead"}[10m]))"#,
        )
        .windowed(ALERT_WINDOW)
        .alert("JobFailures"),
        Panel::stat("Wait p95", "From enqueueing to the start.", quantile(0.95, WAIT, "")),
        Panel::stat("Run p95", "From the start to the end.", quantile(0.95, DURATION, "")),
    ]
}

fn queues() -> Vec<Panel> {
    vec![
        Panel::table(
            "Queues",
            "Sorted by waiting jobs. Late and growing: add workers, or find why each run takes long.",
        )
        .query("Waiting", "max by (queue_name) (heartline_job_count{job_state=\"waiting\"})")
        .column_alert("QueueDepth")
        .query("Oldest", "max by (queue_name) (heartline_job_oldest_age_seconds)")
        .trend("Ended", "sum by (queue_name) (rate(heartline_job_completed_total))")
        .query("Wait p95", quantile(0.95, WAIT, "queue_name"))
        .query("Run p95", quantile(0.95, DURATION, "queue_name"))
        .query(
            "Failed, 10 min",
            r#"sum by (queue_name) (increase(heartline_job_completed_total{job_outcome=~"failure|dead"}[10m]))"#,
        )
        .column_alert("JobFailures")
        .windowed(ALERT_WINDOW)
        .sorted_by("Waiting"),
        Panel::stack(
            "Jobs by state",
            "Waiting should come and go; retrying that stays is a dependency that is away; failed only grows.",
        )
        .query("{{job_state}}", "sum by (job_state) (max by (job, queue_name, job_state) (heartline_job_count))"),
        Panel::lines(
            "In and out",
            "Enqueued against ended. As long as the first is above the second, the queue grows.",
        )
        .query("enqueued {{queue_name}}", "sum by (queue_name) (rate(heartline_job_enqueued_total))")
        .query(
            "ended {{queue_name}}",
            r#"sum by (queue_name) (rate(heartline_job_completed_total{job_outcome!="retry"}))"#,
        )
        .from_zero(),
        Panel::lines("Waiting by queue", "Depth of each queue.")
            .query("{{queue_name}}", WAITING)
            .alert("QueueDepth")
            .from_zero(),
        Panel::lines("Oldest waiting job", "Age by queue. A line at 45 degrees: nobody takes jobs from it.")
            .query("{{queue_name}}", "max by (job, queue_name) (heartline_job_oldest_age_seconds)")
            .from_zero(),
    ]
}

fn time() -> Vec<Panel> {
    vec![
        Panel::lines("Waiting, p95", "From enqueueing to the start, by queue.")
            .query("{{queue_name}}", quantile(0.95, WAIT, "queue_name"))
            .from_zero(),
        Panel::lines(
            "Runs, p95",
            "How long runs take, by job. Longer runs of the same job: what it calls became slow.",
        )
        .query("{{job_name}}", quantile(0.95, DURATION, "job_name"))
        .from_zero(),
        Panel::heatmap("Distribution of runs", "How many runs took how long.", DURATION),
        Panel::heatmap("Distribution of waiting", "How many jobs waited how long.", WAIT),
    ]
}

fn failures() -> Vec<Panel> {
    let by_kind = |outcome: &str| {
        format!(r#"sum by (job_name, error_type) (rate(heartline_job_completed_total{{job_outcome=~"{outcome}"}}))"#)
    };
    vec![
        Panel::lines(
            "Failures by kind",
            "Jobs given up per second. The kind says whom to ask: a refused address, a time-out, a panic.",
        )
        .query("{{job_name}} {{error_type}}", by_kind("failure|dead"))
        .from_zero(),
        Panel::lines(
            "Retries by kind",
            "Runs that will be tried again. Many retries load what already struggles: lengthen the back-off.",
        )
        .query("{{job_name}} {{error_type}}", by_kind("retry"))
        .from_zero(),
        Panel::stack("Runs by outcome", "All runs that ended.")
            .query("{{job_outcome}}", "sum by (job_outcome) (rate(heartline_job_completed_total))")
            .wide(24),
    ]
}

fn workers() -> Vec<Panel> {
    vec![
        Panel::stack(
            "Workers by state",
            "All busy while jobs wait: add workers. Idle while jobs wait: they cannot take them.",
        )
        .query(
            "{{queue_name}} {{job_worker_state}}",
            "sum by (queue_name, job_worker_state) (heartline_job_worker_count)",
        ),
        Panel::lines("Jobs active", "Jobs being run, by queue; flat at the number of workers means they are all busy.")
            .query("{{queue_name}}", r#"max by (job, queue_name) (heartline_job_count{job_state="active"})"#)
            .from_zero(),
    ]
}
