//! Query parameters of the views: durations, moments, numbers and choices, each refused by name when it cannot be. What
//! they select is not known here.

use std::time::Duration;

use heartline_shared::UnixMillis;

/// The longest window or range that may be asked for.
const SPAN_MAX: Duration = Duration::from_hours(7 * 24);

/// A parameter that cannot be, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::server) struct BadParameter(pub(in crate::server) String);

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub(in crate::server) struct Parameters(Vec<(String, String)>);

impl Parameters {
    pub(in crate::server) fn of(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The value of a parameter; an empty one counts as not given.
    ///
    /// # Errors
    /// When it is given twice with different values.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, BadParameter> {
        let mut values = self.0.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str());
        let first = values.next().filter(|value| !value.is_empty());
        if values.any(|value| Some(value) != first) {
            return Err(BadParameter(format!("{name} is given twice; give it once")));
        }
        Ok(first)
    }

    /// A span of time: `90`, `90s`, `5m`, `1h`, `1d`; from a second to seven days.
    pub(super) fn span(&self, name: &str) -> Result<Option<Duration>, BadParameter> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        let refuse = |why: &str| BadParameter(format!("{name}={text:?} {why}; write it as 30s, 5m, 1h or 1d"));
        let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let seconds = match unit {
            "" | "s" => 1,
            "m" => 60,
            "h" => 3_600,
            "d" => 86_400,
            _ => return Err(refuse("is no span of time")),
        };
        let count: u64 = digits.parse().map_err(|_| refuse("is no span of time"))?;
        let span = Duration::from_secs(count.saturating_mul(seconds));
        if span.is_zero() || span > SPAN_MAX {
            return Err(refuse("is not between a second and seven days"));
        }
        Ok(Some(span))
    }

    /// A moment: RFC 3339, seconds or milliseconds since 1970, or a span before `now` such as `-15m`.
    pub(super) fn moment(&self, name: &str, now: UnixMillis) -> Result<Option<UnixMillis>, BadParameter> {
        /// Seconds of the year 5138; larger numbers are milliseconds.
        const SECONDS_MAX: f64 = 1e11;
        let Some(text) = self.text(name)? else { return Ok(None) };
        if let Some(before) = text.strip_prefix('-').filter(|before| !before.is_empty()) {
            let span = Self(vec![(name.to_owned(), before.to_owned())]).span(name)?;
            return Ok(span.map(|span| now - span));
        }
        let number = text.parse::<f64>().ok().filter(|number| (0.0..1e15).contains(number));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked")]
        let counted = number.map(|number| if number < SECONDS_MAX { number * 1e3 } else { number } as u64);
        let refuse = || {
            BadParameter(format!(
                "{name}={text:?} is no moment; write RFC 3339 (2026-11-20T23:59:47Z), seconds or milliseconds since 1970, \
                 or a span before now (-15m)"
            ))
        };
        counted.map(UnixMillis).or_else(|| UnixMillis::from_rfc3339(text)).map(Some).ok_or_else(refuse)
    }

    /// A whole number from 1 to `max`, `default` if it is not given.
    pub(super) fn limit(&self, name: &str, default: usize, max: usize) -> Result<usize, BadParameter> {
        let Some(text) = self.text(name)? else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (1..=max).contains(number));
        number.ok_or_else(|| BadParameter(format!("{name}={text:?} is no whole number from 1 to {max}")))
    }

    /// Yes or no; given without a value means yes.
    pub(super) fn flag(&self, name: &str) -> Result<bool, BadParameter> {
        match self.text(name)? {
            None => Ok(self.0.iter().any(|(have, _)| have == name)),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(text) => Err(BadParameter(format!("{name}={text:?} is neither true nor false"))),
        }
    }

    /// One of some words, the first if it is not given.
    pub(super) fn choice<T: Copy>(&self, name: &str, choices: &[(&str, T)]) -> Result<T, BadParameter> {
        let text = self.text(name)?;
        let (first, default) = choices[0];
        let wanted = text.unwrap_or(first);
        let found = choices.iter().find(|(word, _)| *word == wanted).map(|(_, choice)| *choice);
        if text.is_none() {
            return Ok(default);
        }
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        found.ok_or_else(|| BadParameter(format!("{name}={wanted:?} is not one of {}", words.join(", "))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Parameters {
        Parameters::of(query)
    }

    #[test]
    fn spans_have_units_and_limits() {
        for (query, seconds) in [("window=90", 90), ("window=90s", 90), ("window=5m", 300), ("window=7d", 604_800)] {
            assert_eq!(of(query).span("window"), Ok(Some(Duration::from_secs(seconds))), "{query}");
        }
        assert_eq!(of("window=&x=1").span("window"), Ok(None));
        for wrong in ["0", "8d", "5x", "m", "-5m", "1.5h", "99999999999999999999", "5 m"] {
            let error = of(&format!("window={wrong}")).span("window").unwrap_err().0;
            assert!(error.contains("window") && error.contains("5m"), "{error}");
        }
    }

    #[test]
    fn moments_are_understood_in_four_forms() {
        let now = UnixMillis(1_700_000_900_000);
        for text in ["2023-11-14T22:13:20Z", "1700000000", "1700000000000", "-15m", "2023-11-14T23:13:20%2B01:00"] {
            let moment = of(&format!("from={text}")).moment("from", now);
            assert_eq!(moment, Ok(Some(UnixMillis(1_700_000_000_000))), "{text}");
        }
        for wrong in ["yesterday", "NaN", "1e99", "-", "2023-13-01T00:00:00Z"] {
            assert!(of(&format!("from={wrong}")).moment("from", now).unwrap_err().0.contains("from="), "{wrong}");
        }
    }

    #[test]
    fn numbers_flags_and_words_are_checked() {
        assert_eq!((of("limit=5").limit("limit", 20, 100), of("").limit("limit", 20, 100)), (Ok(5), Ok(20)));
        assert!(of("limit=0").limit("limit", 20, 100).is_err() && of("limit=101").limit("limit", 20, 100).is_err());
        assert_eq!(
            [of("slow"), of("slow=1"), of("slow=false"), of("")].map(|it| it.flag("slow").unwrap()),
            [true, true, false, false]
        );
        assert!(of("slow=maybe").flag("slow").is_err());
        let choices = [("total", 1), ("p95", 2)];
        assert_eq!((of("sort=p95").choice("sort", &choices), of("").choice("sort", &choices)), (Ok(2), Ok(1)));
        assert!(of("sort=x").choice("sort", &choices).unwrap_err().0.contains("total, p95"));
        assert!(of("sort=a&sort=b").text("sort").unwrap_err().0.contains("twice"));
    }
}
