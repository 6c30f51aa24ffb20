//! What numbers measure, what products and quotients of them measure, and how a value is written for people.
//! How numbers are read is not known here.

use serde::Serialize;

/// What a number measures; values are canonical: seconds, bytes, ratio 0 to 1, per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// A plain number that may also be written as a percentage or as true and false.
    Number,
    /// Countable things.
    Count,
    /// A share or a quotient of equal dimensions.
    Ratio,
    /// 0 or 1.
    Flag,
    /// Seconds.
    Time,
    /// Bytes.
    Bytes,
    /// Things per second.
    PerSecond,
    /// Bytes per second.
    BytesPerSecond,
    /// Any other product of seconds and bytes.
    Other {
        /// Power of the second.
        seconds: i8,
        /// Power of the byte.
        bytes: i8,
    },
}

impl Dimension {
    /// The dimension of a metric's values.
    pub(super) fn of_unit(unit: &str, is_gauge: bool) -> Self {
        match unit {
            "s" => Self::Time,
            "By" => Self::Bytes,
            "By/s" => Self::BytesPerSecond,
            "1" if is_gauge => Self::Ratio,
            "1" => Self::Flag,
            "" => Self::Number,
            annotated if annotated.starts_with('{') && annotated.ends_with("}/s") => Self::PerSecond,
            _ => Self::Count,
        }
    }

    /// Per second of this dimension.
    pub(super) fn per_second(self) -> Self {
        let (seconds, bytes) = self.powers();
        Self::of_powers(seconds.saturating_sub(1), bytes)
    }

    /// The sum's dimension, or `None` when the two do not add up.
    pub(super) fn plus(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Flag, Self::Flag) => Some(Self::Count),
            (a, b) if a == b => Some(a),
            (Self::Number, b) if b.powers() == (0, 0) => Some(b),
            (a, Self::Number) if a.powers() == (0, 0) => Some(a),
            _ => None,
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        let (a, b) = (self.powers(), other.powers());
        match (self, other) {
            (Self::Number | Self::Ratio | Self::Flag, other) => other,
            (this, Self::Number | Self::Ratio | Self::Flag) => this,
            _ => Self::of_powers(a.0.saturating_add(b.0), a.1.saturating_add(b.1)),
        }
    }

    pub(super) fn over(self, other: Self) -> Self {
        let (a, b) = (self.powers(), other.powers());
        match (self, other) {
            (this, Self::Number) => this,
            _ if a == b => Self::Ratio,
            _ => Self::of_powers(a.0.saturating_sub(b.0), a.1.saturating_sub(b.1)),
        }
    }

    /// How this dimension is called in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "a plain number",
            Self::Count => "a count",
            Self::Ratio => "a ratio",
            Self::Flag => "a flag",
            Self::Time => "a time",
            Self::Bytes => "a size in bytes",
            Self::PerSecond => "a rate per second",
            Self::BytesPerSecond => "bytes per second",
            Self::Other { .. } => "a product of units",
        }
    }

    /// An example of a quantity of this dimension.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Number | Self::Count | Self::Other { .. } => "100",
            Self::Ratio => "5%",
            Self::Flag => "true",
            Self::Time => "500ms",
            Self::Bytes => "512MiB",
            Self::PerSecond => "20/s",
            Self::BytesPerSecond => "10MB/s",
        }
    }

    /// Writes a value for people: `1.24 s`, `12 %`, `3.1 GiB`. Not-a-number is `no value`.
    ///
    /// ```
    /// use heartline_shared::alerts::Dimension;
    ///
    /// assert_eq!(Dimension::Time.format(1.2384), "1.24 s");
    /// assert_eq!(Dimension::Time.format(5400.0), "1h 30m");
    /// assert_eq!(Dimension::Ratio.format(0.12), "12 %");
    /// assert_eq!(Dimension::Bytes.format(3.1 * 1024.0 * 1024.0 * 1024.0), "3.1 GiB");
    /// assert_eq!(Dimension::PerSecond.format(17.26), "17.3/s");
    /// ```
    pub fn format(self, value: f64) -> String {
        if value.is_nan() {
            return "no value".to_owned();
        }
        if value.is_infinite() {
            return if value > 0.0 { "infinite" } else { "minus infinite" }.to_owned();
        }
        match self {
            Self::Number | Self::Count | Self::Other { .. } => significant(value),
            Self::Ratio => format!("{} %", significant(value * 100.0)),
            Self::Flag => flag(value),
            Self::Time => time(value),
            Self::Bytes => bytes(value),
            Self::PerSecond => format!("{}/s", significant(value)),
            Self::BytesPerSecond => format!("{}/s", bytes(value)),
        }
    }

    fn powers(self) -> (i8, i8) {
        match self {
            Self::Number | Self::Count | Self::Ratio | Self::Flag => (0, 0),
            Self::Time => (1, 0),
            Self::Bytes => (0, 1),
            Self::PerSecond => (-1, 0),
            Self::BytesPerSecond => (-1, 1),
            Self::Other { seconds, bytes } => (seconds, bytes),
        }
    }

    fn of_powers(seconds: i8, bytes: i8) -> Self {
        match (seconds, bytes) {
            (0, 0) => Self::Number,
            (1, 0) => Self::Time,
            (0, 1) => Self::Bytes,
            (-1, 0) => Self::PerSecond,
            (-1, 1) => Self::BytesPerSecond,
            _ => Self::Other { seconds, bytes },
        }
    }
}

/// Three significant digits, whole from 100 on, without trailing zeros.
fn significant(value: f64) -> String {
    let magnitude = value.abs();
    let decimals = match magnitude {
        _ if magnitude >= 99.95 => 0,
        _ if magnitude >= 9.995 => 1,
        _ if magnitude >= 0.9995 || magnitude == 0.0 => 2,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 3 and 15 decimals")]
        _ => (2.0 - magnitude.log10().floor()).clamp(3.0, 15.0) as usize,
    };
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn flag(value: f64) -> String {
    match value {
        0.0 => "false".to_owned(),
        1.0 => "true".to_owned(),
        other => significant(other),
    }
}

fn time(seconds: f64) -> String {
    const STEPS: [(f64, &str); 3] = [(1e-9, "ns"), (1e-6, "µs"), (1e-3, "ms")];
    let magnitude = seconds.abs();
    if magnitude >= 59.995 {
        return long_time(seconds);
    }
    let small = STEPS.iter().find(|(step, _)| magnitude != 0.0 && magnitude < step * 999.5);
    let (step, unit) = small.unwrap_or(&(1.0, "s"));
    format!("{} {unit}", significant(seconds / step))
}

/// The two greatest of days, hours, minutes and seconds.
fn long_time(seconds: f64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; centuries are long enough")]
    let whole = seconds.abs().round() as u64;
    let first = UNITS.iter().position(|(size, _)| whole >= *size).unwrap_or(UNITS.len() - 1);
    let (size, unit) = UNITS[first];
    let sign = if seconds < 0.0 { "-" } else { "" };
    let head = format!("{sign}{}{unit}", whole / size);
    match UNITS.get(first + 1) {
        Some((lower, lower_unit)) if whole % size / lower > 0 => format!("{head} {}{lower_unit}", whole % size / lower),
        _ => head,
    }
}

fn bytes(value: f64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut scaled, mut at) = (value, 0);
    while scaled.abs() >= 1023.95 && at + 1 < UNITS.len() {
        scaled /= 1024.0;
        at += 1;
    }
    let decimals = usize::from(at > 0 && scaled.abs() < 99.95);
    let text = format!("{scaled:.decimals$}");
    format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_for_people() {
        let cases = [
            (Dimension::Time, 0.0, "0 s"),
            (Dimension::Time, 0.000_25, "250 µs"),
            (Dimension::Time, 0.85, "850 ms"),
            (Dimension::Time, 1.0, "1 s"),
            (Dimension::Time, 59.0, "59 s"),
            (Dimension::Time, 90.0, "1m 30s"),
            (Dimension::Time, 93_600.0, "1d 2h"),
            (Dimension::Ratio, 0.0085, "0.85 %"),
            (Dimension::Ratio, 1.0, "100 %"),
            (Dimension::Bytes, 512.0, "512 B"),
            (Dimension::Bytes, 1536.0, "1.5 KiB"),
            (Dimension::Bytes, 1024.0 * 1024.0, "1 MiB"),
            (Dimension::BytesPerSecond, 2_097_152.0, "2 MiB/s"),
            (Dimension::Count, 1234.0, "1234"),
            (Dimension::Count, 0.333_333, "0.333"),
            (Dimension::Flag, 1.0, "true"),
            (Dimension::Number, f64::NAN, "no value"),
            (Dimension::Number, f64::INFINITY, "infinite"),
        ];
        for (dimension, value, text) in cases {
            assert_eq!(dimension.format(value), text, "{dimension:?} {value}");
        }
    }

    #[test]
    fn dimensions_of_products_and_quotients() {
        use Dimension::{Bytes, BytesPerSecond, Count, Number, PerSecond, Ratio, Time};
        assert_eq!(Bytes.over(Bytes), Ratio);
        assert_eq!(Bytes.over(Time), BytesPerSecond);
        assert_eq!(PerSecond.over(PerSecond), Ratio);
        assert_eq!(Count.over(Count), Ratio);
        assert_eq!(Bytes.over(BytesPerSecond), Time);
        assert_eq!(Time.times(Number), Time);
        assert_eq!(Count.per_second(), PerSecond);
        assert_eq!(Time.plus(Bytes), None);
        assert_eq!(Number.plus(Ratio), Some(Ratio));
    }
}
