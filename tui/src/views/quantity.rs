//! Numbers as an engineer reads them: three significant digits and a unit, never wider than its column. Where a number
//! comes from is not known here.

use std::time::Duration;

/// What is written for a number nobody knows.
pub const UNKNOWN: &str = "–";

/// Seconds as `340µs`, `12.3ms`, `1.24s`, `2m05s`, `3h12m`, `4d02h`: at most six columns.
pub fn seconds(value: f64) -> String {
    let span = value.abs();
    if !value.is_finite() {
        UNKNOWN.to_owned()
    } else if span < 1e-9 {
        "0s".to_owned()
    } else if span < 999.5e-9 {
        scaled(value * 1e9, "ns")
    } else if span < 999.5e-6 {
        scaled(value * 1e6, "µs")
    } else if span < 0.9995 {
        scaled(value * 1e3, "ms")
    } else if span < 59.95 {
        scaled(value, "s")
    } else {
        age(Duration::try_from_secs_f64(span).unwrap_or(Duration::MAX))
    }
}

/// Whole seconds as `7s`, `2m05s`, `3h12m`, `4d02h`, `210d`: at most six columns.
pub fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    if minutes == 0 {
        format!("{seconds}s")
    } else if hours == 0 {
        format!("{minutes}m{:02}s", seconds % 60)
    } else if days == 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else if days < 100 {
        format!("{days}d{:02}h", hours % 24)
    } else {
        format!("{}d", days.min(99_999))
    }
}

/// Bytes as `512 B`, `1.50 KiB`, `412 MiB`: at most eight columns up to a pebibyte.
pub fn bytes(value: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    if !value.is_finite() {
        return UNKNOWN.to_owned();
    }
    let (mut scale, mut unit) = (value, 0);
    while scale.abs() >= 999.5 && unit + 1 < UNITS.len() {
        scale /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{scale:.0} B") } else { scaled(scale, &format!(" {}", UNITS[unit])) }
}

/// Bytes per second with a sign: `+1.20 MiB/s`, `-3.00 KiB/s`, `0 B/s`.
pub fn bytes_per_second(value: f64) -> String {
    if value.abs() < 0.5 {
        return "0 B/s".to_owned();
    }
    format!("{}{}/s", if value > 0.0 { "+" } else { "-" }, bytes(value.abs()))
}

/// A ratio as `0%`, `0.04%`, `1.3%`, `97%`, `100%`: at most six columns.
pub fn percent(ratio: f64) -> String {
    let value = ratio * 100.0;
    if !value.is_finite() {
        UNKNOWN.to_owned()
    } else if value == 0.0 {
        "0%".to_owned()
    } else if value.abs() < 0.01 {
        "<0.01%".to_owned()
    } else if value.abs() < 1.0 {
        format!("{value:.2}%")
    } else if value.abs() < 9.95 {
        format!("{value:.1}%")
    } else if (99.0..100.0).contains(&value) {
        format!("{:.1}%", (value * 10.0).floor() / 10.0) // never rounded up to a perfect score
    } else {
        format!("{value:.0}%")
    }
}

/// A count or a rate as `0`, `<0.01`, `0.25`, `3.4`, `842`, `12.4k`, `1.20M`: at most five columns.
pub fn count(value: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    if !value.is_finite() {
        return UNKNOWN.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let span = value.abs();
    if span < 0.005 {
        return "<0.01".to_owned();
    }
    if span < 0.995 {
        return format!("{value:.2}");
    }
    if span < 9.95 && value.fract() != 0.0 {
        return format!("{value:.1}");
    }
    if span < 9999.5 {
        return format!("{value:.0}");
    }
    let (mut scale, mut unit) = (value, 0);
    while scale.abs() >= 999.5 && unit + 1 < UNITS.len() {
        scale /= 1000.0;
        unit += 1;
    }
    scaled(scale, UNITS[unit])
}

/// Three significant digits.
fn scaled(value: f64, unit: &str) -> String {
    let span = value.abs();
    if span < 9.995 {
        format!("{value:.2}{unit}")
    } else if span < 99.95 {
        format!("{value:.1}{unit}")
    } else {
        format!("{value:.0}{unit}")
    }
}

/// The same for a number that may be unknown.
pub fn known(value: Option<f64>, write: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), write)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_three_digits_and_the_unit_that_fits() {
        let written = [0.0, 3.4e-7, 0.000_34, 0.012_34, 0.999_6, 1.236, 59.96, 125.0, 11_520.0, 352_800.0].map(seconds);
        assert_eq!(written, ["0s", "340ns", "340µs", "12.3ms", "1.00s", "1.24s", "59s", "2m05s", "3h12m", "4d02h"]);
    }

    #[test]
    fn bytes_are_binary_and_say_so() {
        let written = [0.0, 1000.0, 1536.0, 412.0 * 1024.0 * 1024.0, 1.25 * 1024.0 * 1024.0 * 1024.0].map(bytes);
        assert_eq!(written, ["0 B", "0.98 KiB", "1.50 KiB", "412 MiB", "1.25 GiB"]);
        assert_eq!(bytes_per_second(-2048.0), "-2.00 KiB/s");
        assert_eq!(bytes_per_second(0.1), "0 B/s");
    }

    #[test]
    fn a_ratio_below_one_is_never_written_as_all() {
        let written = [0.0, 0.000_01, 0.0042, 0.013, 0.97, 0.9999, 1.0].map(percent);
        assert_eq!(written, ["0%", "<0.01%", "0.42%", "1.3%", "97%", "99.9%", "100%"]);
    }

    #[test]
    fn counts_are_exact_up_to_ten_thousand() {
        let written = [0.0, 0.25, 3.44, 50.0, 1490.7, 9999.0, 12_400.0, 1_200_000.0].map(count);
        assert_eq!(written, ["0", "0.25", "3.4", "50", "1491", "9999", "12.4k", "1.20M"]);
    }

    #[test]
    fn a_count_above_nothing_is_never_written_as_nothing() {
        let written = [0.0, -0.0, 1.0 / 300.0, -1.0 / 300.0, 0.004_9, 0.005].map(count);
        assert_eq!(written, ["0", "0", "<0.01", "<0.01", "<0.01", "0.01"]);
    }

    #[test]
    fn an_unknown_number_is_a_dash_and_never_zero() {
        assert_eq!(known(None, seconds), UNKNOWN);
        assert_eq!([seconds(f64::NAN), bytes(f64::INFINITY), percent(f64::NAN), count(f64::NAN)], [UNKNOWN; 4]);
    }

    proptest! {
        #[test]
        fn no_number_outgrows_its_column(value in 0.0_f64..1e13) {
            prop_assert!(seconds(value).chars().count() <= 6, "{}", seconds(value));
            prop_assert!(bytes(value).chars().count() <= 8, "{}", bytes(value));
            prop_assert!(count(value).chars().count() <= 5, "{}", count(value));
            prop_assert!(percent(value / 1e13).chars().count() <= 6, "{}", percent(value / 1e13));
        }
    }
}
