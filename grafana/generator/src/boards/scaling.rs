//! Should there be more instances or fewer, and why?

use heartline_shared::alerts::{Clause, Subject};

use super::alerts::quantile;
use super::{ALERT_WINDOW, FAILED_REQUESTS, REQUESTS, SHARED_ALERTS};
use crate::board::Board;
use crate::panel::Panel;
use crate::template::share;
use crate::thresholds::{Steps, rule};

const BY: &str = "job, instance";
/// A panel of a scaling signal: title, help, query over the window.
type Signal = (&'static str, &'static str, fn(&str) -> String);

/// The signals of scaling advice, in the order of the rule `ScaleUp`.
const SIGNALS: [Signal; 4] = [
    (
        "CPU",
        "Above the line for two minutes: scale up. High with few requests: find what computes instead.",
        |window| format!("sum by ({BY}) (avg_over_time(process_cpu_utilization_ratio[{window}]))"),
    ),
    ("Requests per instance", "More than one instance should carry.", |window| {
        format!("sum by ({BY}) (rate({REQUESTS}[{window}]))")
    }),
    ("p95", "Slower than users like; more instances help only if CPU or the runtime is the cause.", |window| {
        quantile(0.95, "http_server_request_duration_seconds", BY, window)
    }),
    ("Errors", "Failures from overload go away with more instances, others do not.", |window| {
        share(&format!("{FAILED_REQUESTS}[{window}]"), &format!("{REQUESTS}[{window}]"), BY)
    }),
];

pub(super) fn board() -> Board {
    Board::new("heartline-scaling", "Scaling", "Should there be more instances or fewer, and why?")
        .stats(stats())
        .row("Advice", advice())
        .row("Why up: one of these above its line", signals())
        .row("Why down: all of these below their lines", down())
}

fn clauses(alert: &str) -> &'static [Clause] {
    match &rule(alert).subject {
        Subject::Any(clauses) | Subject::All(clauses) => clauses,
        Subject::Signal(_) => &[],
    }
}

fn window(clause: &Clause) -> String {
    heartline_shared::alerts::format_duration(clause.over)
}

/// The signal beside its threshold: 1 is the threshold.
fn pressure() -> String {
    let parts: Vec<String> = SIGNALS
        .iter()
        .zip(clauses("ScaleUp"))
        .map(|((title, _, query), clause)| {
            let query = query(&window(clause));
            format!(
                r#"label_replace(max(({query}) / {}), "signal", "{title}", "", "")"#,
                clause.condition.quantity.value
            )
        })
        .collect();
    format!("max({})", parts.join(" or "))
}

fn stats() -> Vec<Panel> {
    let advised = |alert: &str| format!(r#"max(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)"#);
    let stat = |title, help, alert, color| {
        Panel::stat(title, help, advised(alert))
            .words(&[("0", "no", "text"), ("1", "yes", color)])
            .unit("none")
            .exempt("target-instance-rule", SHARED_ALERTS)
    };
    vec![
        Panel::stat("Instances", "Instances that report.", format!("count(count by ({BY}) (process_uptime_seconds))")),
        stat("Scale up", "Whether more instances are advised. The panels below say why.", "ScaleUp", "orange"),
        stat("Scale down", "Whether fewer instances would do.", "ScaleDown", "blue"),
        Panel::stat(
            "Pressure",
            "The signal closest to its threshold, of the busiest instance: 1 is the threshold.",
            pressure(),
        )
        .unit("percentunit")
        .windowed(ALERT_WINDOW)
        .steps(Steps::rising(&[(0.8, "yellow"), (1.0, "orange")])),
        Panel::stat("Requests", "Requests per second over all instances.", format!("sum(rate({REQUESTS}))")),
        Panel::stat(
            "CPU limit",
            "CPUs that all instances together may use.",
            "sum(max by (job, instance) (heartline_cpu_limit))",
        ),
    ]
}

fn advice() -> Vec<Panel> {
    vec![
        Panel::states("Recommendation", "When more or fewer instances were advised. Both in turn within minutes: widen the gap between the thresholds.")
            .query(
                "{{job}}",
                r#"max by (job) (ALERTS{alertname="ScaleUp", alertstate="firing"}) * 2 or max by (job) (ALERTS{alertname="ScaleDown", alertstate="firing"}) or max by (job) (process_uptime_seconds) * 0"#,
            )
            .words(&[("0", "keep", "green"), ("1", "down", "blue"), ("2", "up", "orange")])
            .unit("none")
            .exempt("target-instance-rule", SHARED_ALERTS)
            .wide(12),
        Panel::lines("Instances", "Instances that report, by service.").query("{{job}}", format!("count by (job) (count by ({BY}) (process_uptime_seconds))")).from_zero().high(7),
    ]
}

fn signals() -> Vec<Panel> {
    SIGNALS
        .iter()
        .zip(clauses("ScaleUp"))
        .map(|((title, help, query), clause)| {
            Panel::lines(title, help)
                .query("{{instance}}", query(&window(clause)))
                .drawn_steps(Steps::rising(&[(clause.condition.quantity.value, "orange")]))
                .from_zero()
                .windowed(ALERT_WINDOW)
        })
        .collect()
}

fn down() -> Vec<Panel> {
    let rule = rule("ScaleDown");
    let [cpu, requests] = clauses("ScaleDown") else { return Vec::new() };
    let (cpu_query, requests_query) = (SIGNALS[0].2(&window(cpu)), SIGNALS[1].2(&window(requests)));
    let (cpu_most, requests_most) = (cpu.condition.quantity.value, requests.condition.quantity.value);
    // an instance without any requests serves none
    let requests_query = format!("({requests_query} or max by ({BY}) (process_uptime_seconds) * 0)");
    let hold = rule.hold.as_secs();
    let both = format!("(({cpu_query}) < bool {cpu_most}) * ({requests_query} < bool {requests_most})");
    vec![
        Panel::lines(
            "Both conditions held for",
            "Time within the rule's span in which both held. At the line the rule fires: one instance less.",
        )
        .query("{{instance}}", format!("{hold} * avg_over_time(({both})[{hold}s:15s])"))
        .unit("s")
        .between(0.0, rule.hold.as_secs_f64())
        .drawn_steps(Steps::rising(&[(rule.hold.as_secs_f64(), "blue")]))
        .windowed(ALERT_WINDOW)
        .wide(8),
        Panel::lines("CPU, to scale down", "Below the line as one of two conditions.")
            .query("{{instance}}", cpu_query)
            .drawn_steps(Steps::falling("blue", &[(cpu_most, "transparent")]))
            .from_zero()
            .windowed(ALERT_WINDOW)
            .wide(8),
        Panel::lines(
            "Requests, to scale down",
            "Below the line as the other condition; no series at all counts as none.",
        )
        .query("{{instance}}", requests_query)
        .unit("reqps")
        .drawn_steps(Steps::falling("blue", &[(requests_most, "transparent")]))
        .from_zero()
        .windowed(ALERT_WINDOW)
        .wide(8),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::query::selectors;
    use crate::template::complete;

    #[test]
    fn each_panel_reads_the_metrics_of_its_clause() {
        for alert in ["ScaleUp", "ScaleDown"] {
            for ((title, _, query), clause) in SIGNALS.iter().zip(clauses(alert)) {
                let query = complete(&query(&window(clause)), &[]);
                let mut read: Vec<&str> =
                    selectors(&query).unwrap().iter().filter_map(|it| it.metric.map(|metric| metric.name)).collect();
                read.dedup();
                assert_eq!(read, clause.signal.metrics(), "{alert}: {title}");
            }
        }
    }
}
