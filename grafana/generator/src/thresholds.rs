//! Thresholds of the shipped alerts as Grafana draws them. How a panel looks otherwise is not known here.

use std::sync::OnceLock;

use heartline_shared::alerts::{AlertFile, Condition, Direction, Level, Rule, Subject};
use serde_json::{Value, json};

/// The rules that ship.
const SHIPPED: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../alerts.toml"));

/// The shipped rules, read once.
///
/// # Panics
/// When the shipped file is broken, which its own tests exclude.
pub fn shipped() -> &'static AlertFile {
    static FILE: OnceLock<AlertFile> = OnceLock::new();
    FILE.get_or_init(|| match AlertFile::parse(SHIPPED, "alerts.toml") {
        Ok(file) => file,
        Err(faults) => panic!("alerts.toml: {faults:?}"),
    })
}

/// The shipped rule `name`.
///
/// # Panics
/// When there is none: a board names an alert that was renamed.
pub fn rule(name: &str) -> &'static Rule {
    shipped().rule(name).unwrap_or_else(|| panic!("no alert is called {name} in alerts.toml"))
}

/// A value from which on, upwards, a colour holds; the first has no value.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// From here on; absent for the lowest.
    pub from: Option<f64>,
    /// Grafana's name of the colour.
    pub color: &'static str,
}

/// A scale from bad to good or from good to bad.
#[derive(Debug, Clone, PartialEq)]
pub struct Steps(pub Vec<Step>);

impl Steps {
    /// One colour whatever the value.
    pub fn plain(color: &'static str) -> Self {
        Self(vec![Step { from: None, color }])
    }

    /// Good at first, then worse from each value on.
    pub fn rising(steps: &[(f64, &'static str)]) -> Self {
        let above = steps.iter().map(|&(from, color)| Step { from: Some(from), color });
        Self(std::iter::once(Step { from: None, color: "green" }).chain(above).collect())
    }

    /// Bad at first, then better from each value on.
    pub fn falling(lowest: &'static str, steps: &[(f64, &'static str)]) -> Self {
        let above = steps.iter().map(|&(from, color)| Step { from: Some(from), color });
        Self(std::iter::once(Step { from: None, color: lowest }).chain(above).collect())
    }

    /// The thresholds of an alert.
    ///
    /// # Panics
    /// When there is no such alert.
    pub fn of(alert: &str) -> Self {
        let conditions = conditions(rule(alert), false);
        let below = conditions.iter().any(|(_, condition)| condition.comparison.direction() == Direction::Below);
        let bounds = conditions.iter().map(|(color, condition)| (condition.quantity.value, *color));
        if below { Self::from_below(bounds.collect()) } else { Self::rising(&bounds.collect::<Vec<_>>()) }
    }

    /// The thresholds of an alert as lines, those at which it clears included.
    ///
    /// # Panics
    /// When there is no such alert.
    pub fn lines_of(alert: &str) -> Self {
        let mut bounds: Vec<(f64, &'static str)> =
            conditions(rule(alert), true).into_iter().map(|(color, it)| (it.quantity.value, color)).collect();
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let above = bounds.into_iter().map(|(from, color)| Step { from: Some(from), color });
        Self(std::iter::once(Step { from: None, color: "transparent" }).chain(above).collect())
    }

    /// `< 2h` is orange below two hours: the colour of a bound holds under it, until the next lower bound.
    fn from_below(mut bounds: Vec<(f64, &'static str)>) -> Self {
        bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut steps = vec![Step { from: None, color: bounds.first().map_or("green", |bound| bound.1) }];
        for (at, bound) in bounds.iter().enumerate() {
            let color = bounds.get(at + 1).map_or("green", |next| next.1);
            steps.push(Step { from: Some(bound.0), color });
        }
        Self(steps)
    }

    /// As a panel writes it.
    pub fn json(&self) -> Value {
        let steps: Vec<Value> = self.0.iter().map(|step| json!({"value": step.from, "color": step.color})).collect();
        json!({"mode": "absolute", "steps": steps})
    }
}

/// Every bound of a rule with its colour; those at which it clears are lighter.
fn conditions(rule: &Rule, with_recovery: bool) -> Vec<(&'static str, Condition)> {
    let clauses = match &rule.subject {
        Subject::Signal(_) => Vec::new(),
        Subject::Any(clauses) | Subject::All(clauses) => {
            clauses.iter().map(|clause| ("orange", clause.condition)).collect()
        }
    };
    let fires = rule.thresholds.iter().filter_map(|it| Some((color(it.level), it.condition?)));
    let clears = rule.thresholds.iter().filter_map(|it| Some((light_color(it.level), it.recover?)));
    clauses.into_iter().chain(fires).chain(clears.filter(|_| with_recovery)).collect()
}

fn color(level: Level) -> &'static str {
    match level {
        Level::Info => "yellow",
        Level::Warning => "orange",
        Level::Critical => "red",
    }
}

fn light_color(level: Level) -> &'static str {
    match level {
        Level::Info => "light-yellow",
        Level::Warning => "light-orange",
        Level::Critical => "light-red",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(steps: &Steps) -> Vec<(Option<f64>, &str)> {
        steps.0.iter().map(|step| (step.from, step.color)).collect()
    }

    #[test]
    fn what_must_not_exceed_a_bound_is_red_above_it() {
        let expected = [(None, "green"), (Some(1.0), "orange"), (Some(2.0), "red")];
        assert_eq!(steps(&Steps::of("HttpLatencyP95")), expected);
    }

    #[test]
    fn what_must_not_fall_below_a_bound_is_red_under_it() {
        let expected = [(None, "red"), (Some(1800.0), "orange"), (Some(7200.0), "green")];
        assert_eq!(steps(&Steps::of("MemoryTimeToLimit")), expected);
        assert_eq!(steps(&Steps::of("CacheHitRatio")), [(None, "orange"), (Some(0.7), "green")]);
    }

    #[test]
    fn lines_show_where_an_alert_clears() {
        let lines = Steps::lines_of("HttpLatencyP95");
        let expected = [
            (None, "transparent"),
            (Some(0.8), "light-orange"),
            (Some(1.0), "orange"),
            (Some(1.6), "light-red"),
            (Some(2.0), "red"),
        ];
        assert_eq!(steps(&lines), expected);
    }
}
