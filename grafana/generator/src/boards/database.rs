//! Which query is slow, and is there a connection for it?

use super::REQUESTS;
use crate::board::Board;
use crate::panel::Panel;
use crate::template::{quantile, share};
use crate::variable::Variable;

const DURATION: &str = "db_client_operation_duration_seconds";
const POOL: &str = "db_client_connection_pool_name";

pub(super) fn board() -> Board {
    Board::new("heartline-db", "Database", "Which query is slow, and is there a connection for it?")
        .variable(Variable::of_label("pool", POOL, "db_client_connection_max"))
        .stats(stats())
        .row("Queries", vec![summaries()])
        .row("Over time", over_time())
        .row("Connection pools", pools())
        .folded("Connection pools: waiting, use, opening", pool_details())
}

/// Share of queries slower than 500 ms, the slow threshold and a boundary of the classic buckets.
fn slow_share(by: &str) -> String {
    let (group, with_by) =
        if by.is_empty() { (String::new(), String::new()) } else { (format!(" by ({by}) "), format!(" by ({by}) ")) };
    format!(
        "1 - histogram_fraction(0, 0.5, sum{group}(rate({DURATION}))) or \
         1 - sum{with_by}(rate({DURATION}_bucket{{le=\"0.5\"}})) / sum{with_by}(rate({DURATION}_count))"
    )
}

fn used(by: &str) -> String {
    format!(
        r#"sum by ({by}) (db_client_connection_count{{db_client_connection_state="used"}}) / sum by ({by}) (db_client_connection_max)"#
    )
}

fn stats() -> Vec<Panel> {
    vec![
        Panel::stat("Queries", "Queries per second.", format!("sum(rate({DURATION}_count))")),
        Panel::stat(
            "Per request",
            "Queries per request. A jump without a release of its own is a query inside a loop.",
            format!("sum(rate({DURATION}_count)) / sum(rate({REQUESTS}))"),
        )
        .unit("short")
        .alert("QueriesPerRequest"),
        Panel::stat(
            "p95",
            "95 % of queries are faster. The table below names the slow one.",
            quantile(0.95, DURATION, ""),
        )
        .alert("DbLatencyP95"),
        Panel::stat("Slow", "Share of queries over 500 ms. Look for a missing index or a lock.", slow_share(""))
            .alert("DbSlowQueries"),
        Panel::stat(
            "Errors",
            "Share of queries that failed, by whatever cause.",
            share(&format!(r#"{DURATION}_count{{error_type!=""}}"#), &format!("{DURATION}_count"), ""),
        ),
        Panel::stat(
            "Fullest pool",
            "The pool with the largest share of connections in use.",
            format!("max({})", used(POOL)),
        )
        .alert("DbPoolUtilization"),
        Panel::stat(
            "Waiting",
            "Callers that wait for a connection now. More than none for long: the pool is too small or connections are held.",
            "sum(db_client_connection_pending_requests)",
        ),
    ]
}

fn summaries() -> Panel {
    let by = "db_query_summary";
    Panel::table("Queries by total time", "The first row takes most of the database's time: improve it first. Often and fast belongs into a cache; rare and slow needs an index.")
        .trend("Queries", format!("sum by ({by}) (rate({DURATION}_count))"))
        .query("Total time", format!("sum by ({by}) (rate({DURATION}_sum))"))
        .column_unit("s")
        .query("p50", quantile(0.5, DURATION, by))
        .query("p95", quantile(0.95, DURATION, by))
        .column_alert("DbLatencyP95")
        .query("p99", quantile(0.99, DURATION, by))
        .query("Slow", slow_share(by))
        .column_alert("DbSlowQueries")
        .sorted_by("Total time")
        .high(12)
}

fn over_time() -> Vec<Panel> {
    vec![
        Panel::stack("Queries by summary", "Queries per second. One that grows faster than requests do is called in a loop.")
            .query("{{db_query_summary}}", format!("topk(10, sum by (db_query_summary) (rate({DURATION}_count)))")),
        Panel::lines("Duration", "p50, p95 and p99 of all queries. All up: the database itself is slow. Only p99: one query is.")
            .query("p50", quantile(0.5, DURATION, ""))
            .query("p95", quantile(0.95, DURATION, ""))
            .query("p99", quantile(0.99, DURATION, ""))
            .alert("DbLatencyP95")
            .from_zero(),
        Panel::heatmap("Distribution of durations", "How many queries took how long. A band at a round number is a lock time-out.", DURATION),
        Panel::lines("Slow queries", "Queries over the slow threshold, per second, by summary.")
            .query("{{db_query_summary}}", "sum by (db_query_summary) (rate(heartline_db_slow_operations_total))")
            .from_zero(),
        Panel::lines("Errors by kind", "Failed queries per second by kind. Time-outs point to locks, refusals to the pool or the server.")
            .query("{{error_type}}", format!(r#"sum by (error_type) (rate({DURATION}_count{{error_type!=""}})) or label_replace(0 * sum(rate({DURATION}_count)), "error_type", "any", "", "")"#))
            .from_zero(),
        Panel::lines("Rows per query, p95", "Rows that queries returned; recorded where the service asks for it. Thousands of rows for one page want a limit.")
            .query("{{db_query_summary}}", quantile(0.95, "db_client_response_returned_rows", "db_query_summary"))
            .from_zero(),
    ]
}

fn pools() -> Vec<Panel> {
    vec![
        Panel::stack("Connections by state", "Connections in use and idle. All in use at the limit: callers wait.")
            .query(
                "{{db_client_connection_pool_name}} {{db_client_connection_state}}",
                format!("sum by ({POOL}, db_client_connection_state) (db_client_connection_count)"),
            ),
        Panel::lines(
            "Utilisation",
            "Share of each pool in use. Near 100 %: shorten transactions first, then enlarge the pool.",
        )
        .query("{{db_client_connection_pool_name}} {{instance}}", used(&format!("job, instance, {POOL}")))
        .alert("DbPoolUtilization")
        .between(0.0, 1.0),
        Panel::lines(
            "Waiting for a connection",
            "Callers in the queue of the pool. They add their waiting to every request.",
        )
        .query("{{db_client_connection_pool_name}}", format!("sum by ({POOL}) (db_client_connection_pending_requests)"))
        .from_zero(),
        Panel::lines(
            "Most connections",
            "The limit of each pool over all instances; keep it below what the database allows.",
        )
        .query("{{db_client_connection_pool_name}}", format!("sum by ({POOL}) (db_client_connection_max)"))
        .from_zero(),
    ]
}

fn pool_details() -> Vec<Panel> {
    let p95 = |metric: &str| quantile(0.95, metric, POOL);
    vec![
        Panel::lines(
            "Waiting time, p95",
            "How long callers waited for a connection. It is part of every request's duration.",
        )
        .query("{{db_client_connection_pool_name}}", p95("db_client_connection_wait_time_seconds"))
        .from_zero()
        .wide(6),
        Panel::lines(
            "Held, p95",
            "How long connections were held. Much longer than queries take: they are held across other work.",
        )
        .query("{{db_client_connection_pool_name}}", p95("db_client_connection_use_time_seconds"))
        .from_zero()
        .wide(6),
        Panel::lines(
            "Opening, p95",
            "How long opening a connection took. Slow: name resolution, TLS or an overloaded server.",
        )
        .query("{{db_client_connection_pool_name}}", p95("db_client_connection_create_time_seconds"))
        .from_zero()
        .wide(6),
        Panel::lines("Gave up waiting", "Callers that waited too long. Each one is a failed request.")
            .query(
                "{{db_client_connection_pool_name}}",
                format!("sum by ({POOL}) (rate(db_client_connection_timeouts_total))"),
            )
            .from_zero()
            .wide(6),
    ]
}
