//! Numbers with units, durations, and conditions such as `> 5%`. Which signal a condition belongs to is not known here.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use serde::Serialize;

use super::dimension::Dimension;

/// How a quantity was written, which decides what it may be compared with and how values are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Notation {
    /// A number without a unit.
    Plain,
    /// `true` or `false`.
    Boolean,
    /// With `%`.
    Percent,
    /// With a unit of time.
    Time,
    /// With a unit of bytes.
    Bytes,
    /// With `/s` or `/min`.
    PerSecond,
    /// With a unit of bytes and `/s` or `/min`.
    BytesPerSecond,
}

impl Notation {
    /// Whether a signal of `dimension` can be compared with a quantity written so.
    pub(super) fn fits(self, dimension: Dimension) -> bool {
        match dimension {
            Dimension::Number => matches!(self, Self::Plain | Self::Percent | Self::Boolean),
            Dimension::Ratio => matches!(self, Self::Plain | Self::Percent),
            Dimension::Flag => matches!(self, Self::Plain | Self::Boolean),
            Dimension::Count | Dimension::Other { .. } => self == Self::Plain,
            Dimension::Time => self == Self::Time,
            Dimension::Bytes => self == Self::Bytes,
            Dimension::PerSecond => self == Self::PerSecond,
            Dimension::BytesPerSecond => self == Self::BytesPerSecond,
        }
    }

    /// How values are shown beside a threshold written so.
    pub(super) fn shown_as(self, dimension: Dimension) -> Dimension {
        match (dimension, self) {
            (Dimension::Ratio, Self::Plain) => Dimension::Number,
            (Dimension::Number, Self::Percent) => Dimension::Ratio,
            (Dimension::Number, Self::Boolean) => Dimension::Flag,
            _ => dimension,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "a plain number",
            Self::Boolean => "true or false",
            Self::Percent => "a percentage",
            Self::Time => "a time",
            Self::Bytes => "a size in bytes",
            Self::PerSecond => "a rate per second",
            Self::BytesPerSecond => "bytes per second",
        }
    }
}

/// A number with the unit it was written in; the value is canonical.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantity {
    /// In seconds, bytes, ratio 0 to 1, or per second.
    pub value: f64,
    /// How it was written.
    pub notation: Notation,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Comparison {
    /// `<`
    #[serde(rename = "<")]
    Less,
    /// `<=`
    #[serde(rename = "<=")]
    LessOrEqual,
    /// `>`
    #[serde(rename = ">")]
    Greater,
    /// `>=`
    #[serde(rename = ">=")]
    GreaterOrEqual,
    /// `==`
    #[serde(rename = "==")]
    Equal,
    /// `!=`
    #[serde(rename = "!=")]
    NotEqual,
}

impl Comparison {
    const ALL: [(&'static str, Self); 6] = [
        ("<=", Self::LessOrEqual),
        (">=", Self::GreaterOrEqual),
        ("==", Self::Equal),
        ("!=", Self::NotEqual),
        ("<", Self::Less),
        (">", Self::Greater),
    ];

    /// Whether `value` compares so with `bound`; not-a-number never does.
    #[expect(clippy::float_cmp, reason = "the language's == is IEEE equality, as Prometheus' is")]
    pub fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
            Self::Equal => value == bound,
            Self::NotEqual => value != bound && !value.is_nan(),
        }
    }

    /// Which way values get worse.
    pub fn direction(self) -> Direction {
        match self {
            Self::Greater | Self::GreaterOrEqual => Direction::Above,
            Self::Less | Self::LessOrEqual => Direction::Below,
            Self::Equal | Self::NotEqual => Direction::Exact,
        }
    }

    /// The comparison that holds exactly when this one does not, for values that are numbers.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Less => Self::GreaterOrEqual,
            Self::LessOrEqual => Self::Greater,
            Self::Greater => Self::LessOrEqual,
            Self::GreaterOrEqual => Self::Less,
            Self::Equal => Self::NotEqual,
            Self::NotEqual => Self::Equal,
        }
    }

    fn symbol(self) -> &'static str {
        Self::ALL.iter().find(|(_, it)| *it == self).map_or("", |(symbol, _)| symbol)
    }
}

/// Which way values get worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Greater is worse.
    Above,
    /// Less is worse.
    Below,
    /// One value is the bad one.
    Exact,
}

/// A comparison with a quantity: `> 5%`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Condition {
    /// The comparison.
    pub comparison: Comparison,
    /// What is compared with.
    pub quantity: Quantity,
}

impl Condition {
    /// Whether `value` meets it; not-a-number never does.
    pub fn holds(&self, value: f64) -> bool {
        self.comparison.holds(value, self.quantity.value)
    }

    /// Reads `> 5%`.
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let start = text.len() - text.trim_start().len();
        let rest = &text[start..];
        let Some((symbol, comparison)) = Comparison::ALL.iter().find(|(symbol, _)| rest.starts_with(symbol)) else {
            let help = format!("begin with <, <=, >, >=, == or !=, as in `> {}`", rest.trim());
            return Err(Refusal { place: 0..text.len(), message: "a condition begins with a comparison".into(), help });
        };
        let after = start + symbol.len();
        let quantity = Quantity::parse(&text[after..]).map_err(|refusal| refusal.moved(after))?;
        Ok(Self { comparison: *comparison, quantity })
    }

    /// Refuses a condition whose unit does not fit the signal.
    pub(super) fn fits(&self, dimension: Dimension) -> Result<(), (String, String)> {
        if self.quantity.notation.fits(dimension) {
            return Ok(());
        }
        let message = format!("the signal is {}, but this is {}", dimension.name(), self.quantity.notation.name());
        Err((message, format!("write it like `{} {}`", self.comparison.symbol(), dimension.example())))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dimension = match self.quantity.notation {
            Notation::Plain => Dimension::Number,
            Notation::Boolean => Dimension::Flag,
            Notation::Percent => Dimension::Ratio,
            Notation::Time => Dimension::Time,
            Notation::Bytes => Dimension::Bytes,
            Notation::PerSecond => Dimension::PerSecond,
            Notation::BytesPerSecond => Dimension::BytesPerSecond,
        };
        write!(f, "{} {}", self.comparison.symbol(), dimension.format(self.quantity.value))
    }
}

/// Why a small text was refused, and where inside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) place: Range<usize>,
    pub(super) message: String,
    pub(super) help: String,
}

impl Refusal {
    fn moved(mut self, by: usize) -> Self {
        self.place = self.place.start + by..self.place.end + by;
        self
    }
}

/// Name, notation, and the factor to canonical units; a negative factor divides, which keeps `300ms` exactly 0.3.
const UNITS: [(&str, Notation, f64); 18] = [
    ("", Notation::Plain, 1.0),
    ("%", Notation::Percent, -100.0),
    ("ns", Notation::Time, -1e9),
    ("us", Notation::Time, -1e6),
    ("ms", Notation::Time, -1e3),
    ("s", Notation::Time, 1.0),
    ("m", Notation::Time, 60.0),
    ("h", Notation::Time, 3_600.0),
    ("d", Notation::Time, 86_400.0),
    ("w", Notation::Time, 604_800.0),
    ("B", Notation::Bytes, 1.0),
    ("kB", Notation::Bytes, 1e3),
    ("MB", Notation::Bytes, 1e6),
    ("GB", Notation::Bytes, 1e9),
    ("KiB", Notation::Bytes, 1024.0),
    ("MiB", Notation::Bytes, 1_048_576.0),
    ("GiB", Notation::Bytes, 1_073_741_824.0),
    ("TiB", Notation::Bytes, 1_099_511_627_776.0),
];

impl Quantity {
    pub(super) fn parse(text: &str) -> Result<Self, Refusal> {
        let start = text.len() - text.trim_start().len();
        let body = text.trim();
        let place = start..start + body.len().max(1);
        if body == "true" || body == "false" {
            return Ok(Self { value: f64::from(u8::from(body == "true")), notation: Notation::Boolean });
        }
        let digits = body.find(|c: char| !(c.is_ascii_digit() || ".+-".contains(c))).unwrap_or(body.len());
        let (number, unit) = body.split_at(digits);
        let refuse = |message: String, help: &str| Refusal { place: place.clone(), message, help: help.to_owned() };
        let Ok(number) = number.parse::<f64>() else {
            return Err(refuse(
                format!("`{body}` is not a number with a unit"),
                "write it like `500ms`, `5%` or `100`",
            ));
        };
        let (unit, per) = match unit.trim().rsplit_once('/') {
            Some((unit, "s")) => (unit.trim_end(), Some(1.0)),
            Some((unit, "min")) => (unit.trim_end(), Some(60.0)),
            _ => (unit.trim(), None),
        };
        let found = UNITS.iter().find(|(name, _, _)| *name == unit);
        let known = "units are ns us ms s m h d w, %, /s /min, B kB MB GB KiB MiB GiB TiB";
        let Some((_, notation, factor)) = found else {
            return Err(refuse(format!("`{unit}` is not a unit"), known));
        };
        let notation = match (notation, per) {
            (_, None) => *notation,
            (Notation::Plain, Some(_)) => Notation::PerSecond,
            (Notation::Bytes, Some(_)) => Notation::BytesPerSecond,
            _ => return Err(refuse(format!("`{body}` cannot be per time"), known)),
        };
        let canonical = if *factor < 0.0 { number / -factor } else { number * factor };
        Ok(Self { value: canonical / per.unwrap_or(1.0), notation })
    }
}

/// Reads `1h30m`. Units must fall: `30m1h` is refused.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 6] =
        [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    const MAX_MS: u64 = 366 * 86_400_000;
    let (mut rest, mut total, mut next) = (text, 0_u64, 0);
    if text.is_empty() {
        return Err("it is empty".to_owned());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: u64 = number.parse().map_err(|_| format!("`{rest}` does not begin with a whole number"))?;
        let found = UNITS.iter().position(|(name, _)| *name == unit);
        let at = found.ok_or_else(|| match unit {
            "" => format!("`{number}` has no unit"),
            unit => format!("`{unit}` is not ms, s, m, h, d or w"),
        })?;
        if at < next {
            return Err(format!("`{unit}` must stand before smaller units and only once"));
        }
        let span = number.checked_mul(UNITS[at].1).and_then(|span| total.checked_add(span));
        total = span.filter(|total| *total <= MAX_MS).ok_or("it is longer than a year")?;
        (rest, next) = (after, at + 1);
    }
    Ok(Duration::from_millis(total))
}

/// Writes `1h30m`, as the fields of an alert file are written.
pub fn format_duration(span: Duration) -> String {
    const UNITS: [(u128, &str); 6] =
        [(604_800_000, "w"), (86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let mut rest = span.as_millis();
    let mut text = String::new();
    for (size, unit) in UNITS {
        if rest >= size {
            text = format!("{text}{}{unit}", rest / size);
            rest %= size;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_canonical() {
        let cases = [
            ("> 1s", 1.0, Notation::Time),
            (">=500ms", 0.5, Notation::Time),
            ("< 80 %", 0.8, Notation::Percent),
            ("> 120/min", 2.0, Notation::PerSecond),
            ("> 500/s", 500.0, Notation::PerSecond),
            ("> 1 MiB/s", 1_048_576.0, Notation::BytesPerSecond),
            ("> 1.5GB", 1.5e9, Notation::Bytes),
            ("< -3", -3.0, Notation::Plain),
            ("== true", 1.0, Notation::Boolean),
        ];
        for (text, value, notation) in cases {
            let quantity = Condition::parse(text).unwrap().quantity;
            assert!((quantity.value - value).abs() < 1e-9 && quantity.notation == notation, "{text}: {quantity:?}");
        }
    }

    #[test]
    fn a_refused_condition_says_where_and_what_instead() {
        let cases =
            [("1s", 0..2, "begins with a comparison"), ("> 5 parsecs", 2..11, "not a unit"), ("> ", 2..3, "number")];
        for (text, place, message) in cases {
            let refusal = Condition::parse(text).unwrap_err();
            assert_eq!(refusal.place, place, "{text}");
            assert!(refusal.message.contains(message) && !refusal.help.is_empty(), "{refusal:?}");
        }
    }

    #[test]
    fn durations_read_and_write_the_same() {
        for text in ["0s", "500ms", "1h30m", "1w2d", "90s", "1d1ms"] {
            let span = parse_duration(text).unwrap();
            assert_eq!(parse_duration(&format_duration(span)), Ok(span), "{text}");
        }
        for text in ["", "5", "m", "5x", "30m1h", "1h1h", "-5s", "99999999999999999999s", "1.5h", "400d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn not_a_number_meets_no_condition() {
        for text in ["> 0", "< 0", "== 0", "!= 0", ">= 0", "<= 0"] {
            assert!(!Condition::parse(text).unwrap().holds(f64::NAN), "{text}");
        }
    }
}
