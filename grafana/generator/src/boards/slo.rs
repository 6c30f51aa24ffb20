//! Is the promise kept, and how fast is what may fail being used up?

use super::{CHOSEN_TIME, FAILED_REQUESTS, REQUESTS};
use crate::board::Board;
use crate::panel::Panel;
use crate::template::share;
use crate::thresholds::Steps;
use crate::variable::Variable;

/// The promise is about this time.
const PERIOD: &str = "30d";
/// Burn rates that alerts look at: window, the rate at which the budget of 30 days burns too fast.
const BURNING: [(&str, f64); 4] = [("1h", 14.4), ("6h", 6.0), ("1d", 3.0), ("3d", 1.0)];
const WINDOWS: &str = "burn rates have the windows of the alerts on them, and the promise its own period";

/// The share of good requests that is promised, in percent.
pub(super) fn objective() -> Variable {
    Variable::Choice { name: "objective", label: "Objective in %", values: &["99.9", "99", "99.5", "99.95", "99.99"] }
}

fn failed(window: &str) -> String {
    share(&format!("{FAILED_REQUESTS}[{window}]"), &format!("{REQUESTS}[{window}]"), "")
}

fn burn(window: &str) -> String {
    format!("({}) / (1 - $objective / 100)", failed(window))
}

pub(super) fn board() -> Board {
    Board::new("heartline-slo", "SLO", "Is the promise kept, and how fast is what may fail being used up?")
        .variable(objective())
        .stats(stats())
        .row("The budget", budget())
        .row("Burn rates", rates())
        .row("Who uses it up", culprits())
}

fn stats() -> Vec<Panel> {
    let (left, hour) = (format!("1 - {}", burn(PERIOD)), burn("1h"));
    let good = Steps::falling("red", &[(0.0, "orange"), (0.25, "green")]);
    let mut panels = vec![
        Panel::stat(
            "Objective",
            "The promised share of requests that do not fail; chosen above.",
            "vector($objective / 100)",
        )
        .unit("percentunit"),
        Panel::stat(
            "Kept, 30 days",
            "Share of requests that did not fail in 30 days, as far as data reaches back.",
            format!("1 - {}", failed(PERIOD)),
        ),
        Panel::stat(
            "Budget left",
            "Of the failures allowed in 30 days. Negative: the promise is broken; stop risky changes.",
            left,
        )
        .unit("percentunit")
        .steps(good),
        Panel::stat(
            "Burn rate, 1 h",
            "How many times faster than allowed. 14.4 uses 2 % of the month's budget in an hour: act now.",
            hour,
        )
        .unit("short")
        .steps(Steps::rising(&[(1.0, "orange"), (14.4, "red")])),
        Panel::stat(
            "Failed, 30 days",
            "Requests that failed.",
            format!("sum(increase({FAILED_REQUESTS}[{PERIOD}])) or vector(0)"),
        )
        .unit("short"),
        Panel::stat("Requests, 30 days", "All requests.", format!("sum(increase({REQUESTS}[{PERIOD}]))")).unit("short"),
    ];
    panels = panels.into_iter().map(|panel| panel.windowed(WINDOWS)).collect();
    panels
}

fn budget() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Budget over time",
            "Of the failures allowed in 30 days, at each time. A cliff is an incident, a slope a steady fault.",
        )
        .query("left", format!("1 - {}", burn(PERIOD)))
        .unit("percentunit")
        .drawn_steps(Steps::falling("red", &[(0.0, "green")]))
        .windowed(WINDOWS),
        Panel::lines("Failed requests", "Share that failed now, for comparison with the incident channel.")
            .query("failed", share(FAILED_REQUESTS, REQUESTS, ""))
            .from_zero(),
    ]
}

fn rates() -> Vec<Panel> {
    BURNING
        .iter()
        .map(|(window, most)| {
            Panel::lines(
                &format!("Burn rate over {window}"),
                &format!(
                    "1 uses the budget up in exactly 30 days; from {most} on somebody should {}.",
                    if *most >= 6.0 { "be woken" } else { "write a ticket" }
                ),
            )
            .query(window, burn(window))
            .unit("short")
            .from_zero()
            .drawn_steps(Steps::rising(&[(*most, if *most >= 6.0 { "red" } else { "orange" })]))
            .windowed(WINDOWS)
        })
        .collect()
}

fn culprits() -> Vec<Panel> {
    vec![
        Panel::table("Failures by route", "What used the budget up within the chosen time. Mend the first row first.")
            .query(
                "Failed",
                format!(
                    "sum by (http_request_method, http_route, error_type) (increase({FAILED_REQUESTS}[$__range])) > 0"
                ),
            )
            .column_unit("short")
            .windowed(CHOSEN_TIME)
            .sorted_by("Failed")
            .leads_to("heartline-http", "HTTP"),
    ]
}
