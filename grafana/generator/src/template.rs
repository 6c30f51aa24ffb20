//! Completes the short queries that the boards write: selectors of the shared variables, ranges, native histograms.
//! Which queries there are is the boards' business.
//!
//! A board writes `sum by (http_route) (rate(http_server_request_duration_seconds_count{error_type!=""}))`. Completed,
//! every selector carries `job` and `instance`, and the board's own variables where the metric has their label; a range
//! that is not written is `$__rate_interval`; and the count or sum of a histogram is read from classic and from native
//! histograms alike, series by series, so that no series is missed or counted twice.

use std::fmt::Write as _;

use crate::names::{self, Part};

/// The range of `rate` and `increase` where a board writes none.
const RATE_INTERVAL: &str = "[$__rate_interval]";

/// A label that a board's own variable filters: `(label, variable)`.
pub type Filter = (&'static str, &'static str);

/// Completes one query.
pub fn complete(query: &str, filters: &[Filter]) -> String {
    let mut out = String::with_capacity(query.len() * 3);
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let (text, behind) = quoted(rest);
            out.push_str(text);
            rest = behind;
        } else if is_name_start(first) {
            rest = name(rest, filters, &mut out);
        } else if first == '$' {
            let end = rest[1..].find(|c| !is_name(c)).map_or(rest.len(), |end| end + 1);
            out.push_str(&rest[..end]);
            rest = &rest[end..];
        } else {
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    out
}

/// The quantile `q` of a histogram: from native histograms where there are some, otherwise from classic buckets.
/// `selector` is the histogram's name without suffix, with matchers or without; `by` lists labels.
pub fn quantile(q: f64, selector: &str, by: &str) -> String {
    let native = sum(by, &format!("rate({selector})"));
    let (metric, matchers) = selector.split_at(selector.find('{').unwrap_or(selector.len()));
    let with_le = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
    let classic = sum(&with_le, &format!("rate({metric}_bucket{matchers})"));
    format!("histogram_quantile({q}, {native}) or histogram_quantile({q}, {classic})")
}

/// The mean of a histogram.
pub fn mean(selector: &str, by: &str) -> String {
    let (metric, matchers) = selector.split_at(selector.find('{').unwrap_or(selector.len()));
    let part = |suffix| sum(by, &format!("rate({metric}_{suffix}{matchers})"));
    format!("{} / {}", part("sum"), part("count"))
}

/// The share of `part` in `whole`, both counters; 0 where `part` has no series, not a number without traffic.
pub fn share(part: &str, whole: &str, by: &str) -> String {
    let (part, whole) = (sum(by, &format!("rate({part})")), sum(by, &format!("rate({whole})")));
    format!("({part} or {whole} * 0) / {whole}")
}

fn sum(by: &str, what: &str) -> String {
    if by.is_empty() { format!("sum({what})") } else { format!("sum by ({by}) ({what})") }
}

/// Writes what begins with a name; gives what is behind it.
fn name<'a>(text: &'a str, filters: &[Filter], out: &mut String) -> &'a str {
    let (word, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
    if matches!(word, "rate" | "increase")
        && let Some((selector, behind)) = Selector::read_argument(rest)
    {
        out.push_str(&selector.per_interval(word, filters));
        return behind;
    }
    if let Some((selector, behind)) = Selector::read(text) {
        out.push_str(&selector.complete(filters));
        return behind;
    }
    out.push_str(word);
    rest
}

/// A metric with matchers and a range, as a board writes it.
#[derive(Debug)]
struct Selector<'a> {
    metric: &'a str,
    matchers: &'a str,
    range: &'a str,
}

impl<'a> Selector<'a> {
    /// `(metric{…}[…])`
    fn read_argument(text: &'a str) -> Option<(Self, &'a str)> {
        let (selector, behind) = Self::read(text.strip_prefix('(')?)?;
        Some((selector, behind.strip_prefix(')')?))
    }

    /// `metric{…}[…]`; nothing when the name is no metric.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (metric, rest) = text.split_at(text.find(|c| !is_name(c)).unwrap_or(text.len()));
        let known = names::find(metric).is_some() || names::foreign_labels(metric).is_some();
        if !known {
            return None;
        }
        let (matchers, rest) = bracketed(rest, '{', '}');
        let (range, rest) = bracketed(rest, '[', ']');
        Some((Self { metric, matchers, range }, rest))
    }

    fn complete(&self, filters: &[Filter]) -> String {
        self.named(self.metric, filters, self.range)
    }

    /// `rate(…)`; for the count or sum of a histogram, from either kind of histogram.
    fn per_interval(&self, function: &str, filters: &[Filter]) -> String {
        let range = if self.range.is_empty() { RATE_INTERVAL } else { self.range };
        let classic = format!("{function}({})", self.named(self.metric, filters, range));
        let (suffix, reader) = match names::find(self.metric) {
            Some((_, Part::Count)) => ("_count", "histogram_count"),
            Some((_, Part::Sum)) => ("_sum", "histogram_sum"),
            _ => return classic,
        };
        let native = self.metric.trim_end_matches(suffix);
        format!("({classic} or {reader}({function}({})))", self.named(native, filters, range))
    }

    fn named(&self, metric: &str, filters: &[Filter], range: &str) -> String {
        // alerts about what all instances share, such as a queue, have no instance
        let shared = match metric {
            "ALERTS" | "ALERTS_FOR_STATE" => r#"heartline="true", job=~"$job", instance=~"$instance|""#,
            _ => r#"job=~"$job", instance=~"$instance""#,
        };
        let mut text = format!("{metric}{{{shared}");
        let catalogued = names::find(metric).map(|(metric, _)| metric);
        for (label, variable) in filters {
            if catalogued.is_some_and(|metric| names::has_label(metric, label)) {
                let _ = write!(text, r#", {label}=~"${variable}""#);
            }
        }
        let own = self.matchers.trim_matches(['{', '}']);
        let separator = if own.is_empty() { "" } else { ", " };
        format!("{text}{separator}{own}}}{range}")
    }
}

/// `open…close` at the start, quoted text skipped; empty when there is none.
fn bracketed(text: &str, open: char, close: char) -> (&str, &str) {
    if !text.starts_with(open) {
        return ("", text);
    }
    let mut in_quotes = false;
    let end = text.find(|c| {
        in_quotes ^= c == '"';
        c == close && !in_quotes
    });
    text.split_at(end.map_or(text.len(), |end| end + close.len_utf8()))
}

fn quoted(text: &str) -> (&str, &str) {
    text.split_at(text[1..].find('"').map_or(text.len(), |end| end + 2))
}

fn is_name_start(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_'
}

fn is_name(c: char) -> bool {
    is_name_start(c) || c.is_ascii_digit() || c == ':'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_selector_gets_the_shared_matchers_and_the_filters_that_fit_it() {
        assert_eq!(
            complete(
                r#"sum(heartline_job_count{job_state="waiting"}) / process_uptime_seconds"#,
                &[("queue_name", "queue")]
            ),
            r#"sum(heartline_job_count{job=~"$job", instance=~"$instance", queue_name=~"$queue", job_state="waiting"}) / process_uptime_seconds{job=~"$job", instance=~"$instance"}"#
        );
    }

    #[test]
    fn a_range_that_is_written_stays() {
        assert_eq!(
            complete("rate(heartline_offered_total) + increase(heartline_offered_total[5m])", &[]),
            r#"rate(heartline_offered_total{job=~"$job", instance=~"$instance"}[$__rate_interval]) + increase(heartline_offered_total{job=~"$job", instance=~"$instance"}[5m])"#
        );
    }

    #[test]
    fn counts_of_histograms_are_read_from_either_kind() {
        assert_eq!(
            complete("sum(rate(tokio_schedule_delay_seconds_count))", &[]),
            r#"sum((rate(tokio_schedule_delay_seconds_count{job=~"$job", instance=~"$instance"}[$__rate_interval]) or histogram_count(rate(tokio_schedule_delay_seconds{job=~"$job", instance=~"$instance"}[$__rate_interval]))))"#
        );
    }

    #[test]
    fn words_in_quotes_and_variables_are_left_alone() {
        let query = r#"label_replace(vector($objective), "process_uptime_seconds", "", "", "")"#;
        assert_eq!(complete(query, &[]), query);
    }

    #[test]
    fn a_quantile_prefers_native_histograms_and_keeps_its_matchers_in_both() {
        assert_eq!(
            quantile(0.95, r#"m{a="b"}"#, "c"),
            r#"histogram_quantile(0.95, sum by (c) (rate(m{a="b"}))) or histogram_quantile(0.95, sum by (c, le) (rate(m_bucket{a="b"})))"#
        );
    }
}
