//! Which route is slow or failing, for whom, and since when?

use super::{FAILED_REQUESTS, REQUESTS};
use crate::board::Board;
use crate::panel::Panel;
use crate::template::{mean, quantile, share};
use crate::thresholds::Steps;
use crate::variable::Variable;

const DURATION: &str = "http_server_request_duration_seconds";

pub(super) fn board() -> Board {
    Board::new("heartline-http", "HTTP", "Which route is slow or failing, for whom, and since when?")
        .variable(Variable::of_histogram("route", "http_route", DURATION))
        .stats(stats())
        .row("Routes", vec![routes()])
        .row("Over time", over_time())
        .folded("Sizes of bodies", sizes())
        .folded("Calls to others", clients())
}

fn stats() -> Vec<Panel> {
    vec![
        Panel::stat("Requests", "Requests per second to the chosen routes.", format!("sum(rate({REQUESTS}))")),
        Panel::stat(
            "Errors",
            "Share of requests that failed. The table below names the route.",
            share(FAILED_REQUESTS, REQUESTS, ""),
        )
        .alert("HttpErrorRatio"),
        Panel::stat(
            "p50",
            "Half of the requests are faster. Up means that everybody waits.",
            quantile(0.5, DURATION, ""),
        ),
        Panel::stat("p95", "95 % are faster. This is what the latency alert watches.", quantile(0.95, DURATION, ""))
            .alert("HttpLatencyP95"),
        Panel::stat(
            "p99",
            "99 % are faster. Up alone: a few requests wait for something rare.",
            quantile(0.99, DURATION, ""),
        ),
        Panel::stat(
            "In flight",
            "Requests being served now. Rising at an even rate: requests became slower.",
            "sum(http_server_active_requests)",
        ),
    ]
}

fn routes() -> Panel {
    let by = "http_request_method, http_route";
    Panel::table("Routes", "Sorted by time spent: the first row is where an improvement helps most. Red cells are what alerts would fire for.")
        .trend("Requests", format!("sum by ({by}) (rate({REQUESTS}))"))
        .query("Errors", share(FAILED_REQUESTS, REQUESTS, by))
        .column_alert("HttpErrorRatio")
        .query("p50", quantile(0.5, DURATION, by))
        .query("p95", quantile(0.95, DURATION, by))
        .column_alert("HttpLatencyP95")
        .query("p99", quantile(0.99, DURATION, by))
        .query("Time spent", format!("sum by ({by}) (rate({DURATION}_sum))"))
        .column_unit("s")
        .sorted_by("Time spent")
        .high(12)
}

fn over_time() -> Vec<Panel> {
    vec![
        Panel::stack(
            "Requests by route",
            "Requests per second. A route that grows alone has a new or a broken caller.",
        )
        .query(
            "{{http_request_method}} {{http_route}}",
            format!("sum by (http_request_method, http_route) (rate({REQUESTS}))"),
        ),
        Panel::stack(
            "Requests by status",
            "Statuses of the chosen routes: 429 is the rate limit, 503 overload, 500 a fault.",
        )
        .query("{{http_response_status_code}}", format!("sum by (http_response_status_code) (rate({REQUESTS}))")),
        Panel::lines(
            "Errors by kind",
            "Failures per second by kind of error. The kind says where to look: a time-out, a panic, a status.",
        )
        .query("{{error_type}} {{http_route}}", format!("sum by (error_type, http_route) (rate({FAILED_REQUESTS}))"))
        .from_zero(),
        Panel::lines("Slowest routes, p95", "The five slowest routes. Open Database when they share a query.")
            .query(
                "{{http_request_method}} {{http_route}}",
                format!("topk(5, {})", quantile(0.95, DURATION, "http_request_method, http_route")),
            )
            .alert("HttpLatencyP95")
            .leads_to("heartline-db", "Database")
            .from_zero(),
        Panel::heatmap(
            "Distribution of durations",
            "How many requests took how long. A second band far up is a time-out or a lock.",
            DURATION,
        ),
        Panel::lines(
            "In flight by method",
            "Requests being served. It follows rate times duration; if it climbs alone, requests hang.",
        )
        .query("{{http_request_method}}", "sum by (http_request_method) (http_server_active_requests)")
        .from_zero(),
        Panel::lines("Faster than 300 ms", "Share of requests within 300 ms, which is what scaling advice watches.")
            .query("share", under(0.3))
            .between(0.0, 1.0)
            .drawn_steps(Steps::falling("red", &[(0.95, "green")])),
        Panel::lines("Mean duration", "Mean by route. Far above p50: a few very slow requests.")
            .query("{{http_route}}", mean(DURATION, "http_route"))
            .from_zero(),
    ]
}

/// The share of requests that took at most `seconds`, which is a boundary of the classic buckets.
fn under(seconds: f64) -> String {
    format!(
        "histogram_fraction(0, {seconds}, sum(rate({DURATION}))) or \
         sum(rate({DURATION}_bucket{{le=\"{seconds}\"}})) / sum(rate({DURATION}_count))"
    )
}

fn sizes() -> Vec<Panel> {
    let size = |title, metric: &str| {
        Panel::lines(title, "p50 and p99 of bodies; recorded where the service asks for it. Large answers are slow whatever the server does.")
            .query("p50 {{http_route}}", quantile(0.5, metric, "http_route"))
            .query("p99 {{http_route}}", quantile(0.99, metric, "http_route"))
            .from_zero()
    };
    vec![
        size("Request bodies", "http_server_request_body_size_bytes"),
        size("Response bodies", "http_server_response_body_size_bytes"),
    ]
}

fn clients() -> Vec<Panel> {
    const CALLS: &str = "http_client_request_duration_seconds";
    vec![
        Panel::lines("Calls by server", "Outbound requests per second. None where there should be some: the caller is stuck or the breaker is open.")
            .query("{{server_address}}", format!("sum by (server_address) (rate({CALLS}_count))"))
            .from_zero(),
        Panel::lines("Calls that failed", "Share of outbound requests that failed, by server. That server's owner should know.")
            .query("{{server_address}}", share(&format!(r#"{CALLS}_count{{error_type!=""}}"#), &format!("{CALLS}_count"), "server_address"))
            .from_zero(),
        Panel::lines("p95 by server", "How long others take. Our own p95 cannot be better than what it waits for.")
            .query("{{server_address}}", quantile(0.95, CALLS, "server_address"))
            .from_zero(),
        Panel::lines("Calls in flight", "Outbound requests that wait for an answer. Climbing: the other side hangs; check the time-out.")
            .query("{{server_address}}", "sum by (server_address) (http_client_active_requests)")
            .from_zero(),
    ]
}
