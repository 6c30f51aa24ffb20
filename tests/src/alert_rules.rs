//! The shipped alert rules with every duration divided, so that a rule which waits minutes is seen to fire in seconds.
//! Thresholds, signals and names stay as shipped; there is no second copy of the rules.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use toml::{Table, Value};

use crate::binaries::repository;

/// Keys whose values are durations, wherever they stand.
const DURATIONS: &[&str] = &["every", "over", "for", "keep_firing_for", "no_data_for"];

/// No duration becomes shorter, so that at least one evaluation lies within.
const SHORTEST: Duration = Duration::from_secs(1);

/// No window becomes shorter, so that a rate has several samples of a target that is polled once a second.
const SHORTEST_WINDOW: Duration = Duration::from_secs(5);

/// Writes the repository's `alerts.toml` with its durations divided by `factor` to `file`.
///
/// # Errors
/// When the rules cannot be read or contain a duration that is none.
pub fn write_scaled(factor: u32, file: &Path) -> Result<()> {
    let shipped = repository().join("alerts.toml");
    let text = fs::read_to_string(&shipped).with_context(|| format!("the shipped rules {}", shipped.display()))?;
    fs::write(file, scaled(&text, factor)?)?;
    Ok(())
}

fn scaled(text: &str, factor: u32) -> Result<String> {
    ensure!(factor > 0, "durations cannot be divided by 0");
    let mut rules: Table = toml::from_str(text)?;
    scale_table(&mut rules, factor)?;
    Ok(toml::to_string(&rules)?)
}

fn scale_table(table: &mut Table, factor: u32) -> Result<()> {
    for (key, value) in table.iter_mut() {
        match value {
            Value::String(duration) if DURATIONS.contains(&key.as_str()) => {
                *duration = shorter(key, duration, factor)?;
            }
            other => scale_value(other, factor)?,
        }
    }
    Ok(())
}

fn scale_value(value: &mut Value, factor: u32) -> Result<()> {
    match value {
        Value::Table(table) => scale_table(table, factor),
        Value::Array(values) => values.iter_mut().try_for_each(|value| scale_value(value, factor)),
        _ => Ok(()),
    }
}

fn shorter(key: &str, text: &str, factor: u32) -> Result<String> {
    let duration = duration(text).with_context(|| format!("{key} = \"{text}\" is no duration"))?;
    if duration.is_zero() {
        return Ok(text.to_owned());
    }
    let least = if key == "over" { SHORTEST_WINDOW } else { SHORTEST };
    let least = least.min(duration);
    Ok(format!("{}ms", (duration / factor).max(least).as_millis()))
}

/// Reads `1h30m`; `None` when it is none.
fn duration(text: &str) -> Option<Duration> {
    let mut sum = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, behind) = rest.split_at(rest.find(|character: char| !character.is_ascii_digit())?);
        let (unit, behind) =
            behind.split_at(behind.find(|character: char| character.is_ascii_digit()).unwrap_or(behind.len()));
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        sum += Duration::from_millis(number.parse::<u64>().ok()?.checked_mul(millis)?);
        rest = behind;
    }
    Some(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_divided_wherever_it_stands_and_nothing_else_changes() {
        let rules = r#"
            [defaults]
            every = "15s"
            for = "0s"
            [[alert]]
            name = "A"
            signal = "forecast(a, 2h)"
            over = "1h30m"
            for = "10m"
            warning = "> 1m"
            only_if = { signal = "b", over = "5m" }
        "#;
        let scaled: Table = toml::from_str(&scaled(rules, 20).unwrap()).unwrap();
        let expected = r#"
            [defaults]
            every = "1000ms"
            for = "0s"
            [[alert]]
            name = "A"
            signal = "forecast(a, 2h)"
            over = "270000ms"
            for = "30000ms"
            warning = "> 1m"
            only_if = { signal = "b", over = "15000ms" }
        "#;
        assert_eq!(scaled, toml::from_str::<Table>(expected).unwrap());
    }

    #[test]
    fn a_window_keeps_room_for_several_samples() {
        assert_eq!(shorter("over", "1m", 60).unwrap(), "5000ms");
        assert_eq!(shorter("for", "1m", 600).unwrap(), "1000ms");
        assert_eq!(shorter("over", "2s", 10).unwrap(), "2000ms");
    }

    #[test]
    fn a_text_that_is_no_duration_is_named() {
        let error = scaled("[defaults]\nover = \"soon\"\n", 2).unwrap_err();
        assert!(format!("{error:#}").contains("over = \"soon\""), "{error:#}");
    }
}
