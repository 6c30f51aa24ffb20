//! What the values of a query measure, derived from the units of the catalogue, and Grafana's name for it.
//! How a panel looks is not known here.

use heartline_shared::catalog::Kind;
use promql_parser::parser::{Expr, VectorSelector};

use crate::names::{self, Part};

/// A product of seconds and bytes, or a count of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dimension {
    /// Power of the second.
    pub seconds: i8,
    /// Power of the byte.
    pub bytes: i8,
    /// What is counted, as UCUM annotates it (`request`); empty for a plain number.
    pub things: String,
    /// Whether it is a share: a quotient of equals.
    pub share: bool,
}

impl Dimension {
    fn of_powers(seconds: i8, bytes: i8) -> Self {
        Self { seconds, bytes, things: String::new(), share: false }
    }

    fn number() -> Self {
        Self::of_powers(0, 0)
    }

    fn share() -> Self {
        Self { share: true, ..Self::number() }
    }

    /// Whether it is a plain number, which takes part in every sum and product.
    fn is_number(&self) -> bool {
        *self == Self::number()
    }

    fn of_unit(unit: &str, kind: Kind) -> Self {
        match unit {
            "s" => Self::of_powers(1, 0),
            "By" => Self::of_powers(0, 1),
            "By/s" => Self::of_powers(-1, 1),
            "1" if kind == Kind::Gauge => Self::share(),
            counted => Self { things: counted.trim_matches(['{', '}', '1']).to_owned(), ..Self::number() },
        }
    }

    fn per_second(self) -> Self {
        Self { seconds: self.seconds - 1, share: false, ..self }
    }

    fn over(self, other: &Self) -> Self {
        let powers = (self.seconds - other.seconds, self.bytes - other.bytes);
        match powers {
            _ if other.is_number() || (other.share && !self.share) => self,
            (0, 0) if self.things == other.things => Self::share(),
            (seconds, bytes) => Self { things: self.things, ..Self::of_powers(seconds, bytes) },
        }
    }

    fn times(self, other: Self) -> Self {
        let plain = |it: &Self| it.is_number() || it.share;
        match (plain(&self), plain(&other)) {
            (_, true) => self,
            (true, false) => other,
            _ => Self::of_powers(self.seconds + other.seconds, self.bytes + other.bytes),
        }
    }

    /// The unit of a panel that shows it. A second per second, such as CPU time, is a share of one core.
    pub fn grafana_unit(&self) -> &'static str {
        match (self.seconds, self.bytes, self.share) {
            (_, _, true) => "percentunit",
            (1, 0, _) => "s",
            (0, 1, _) => "bytes",
            (-1, 1, _) => "binBps",
            (-1, 0, _) if self.things == "request" => "reqps",
            (-1, 0, _) => "cps",
            _ => "short",
        }
    }
}

/// What a completed query measures; nothing when it reads no metric of the catalogue.
pub fn of(expression: &Expr) -> Option<Dimension> {
    match expression {
        Expr::Paren(inner) => of(&inner.expr),
        Expr::Unary(inner) => of(&inner.expr),
        Expr::Subquery(inner) => of(&inner.expr),
        Expr::Aggregate(inner) if inner.op.to_string() == "count" => Some(Dimension::number()),
        Expr::Aggregate(inner) => of(&inner.expr),
        Expr::NumberLiteral(_) => Some(Dimension::number()),
        Expr::VectorSelector(selector) => of_selector(selector),
        Expr::MatrixSelector(selector) => of_selector(&selector.vs),
        Expr::Binary(binary) => of_binary(&binary.op.to_string(), &binary.lhs, &binary.rhs),
        Expr::Call(call) => of_call(call.func.name, &call.args.args),
        Expr::StringLiteral(_) | Expr::Extension(_) => None,
    }
}

/// What the values of the metric `name` measure; of a histogram, those that were recorded.
pub fn of_values(name: &str) -> Option<Dimension> {
    names::find(name).map(|(metric, _)| Dimension::of_unit(metric.unit, metric.kind))
}

fn of_binary(operator: &str, left: &Expr, right: &Expr) -> Option<Dimension> {
    let (left, right) = (of(left), of(right));
    match operator {
        "/" => Some(left?.over(&right?)),
        "*" => Some(left?.times(right?)),
        "and" | "unless" | "==" | "!=" | ">" | "<" | ">=" | "<=" => left,
        _ => match (left, right) {
            (Some(left), Some(right)) if left.is_number() => Some(right),
            (left, right) => left.or(right),
        },
    }
}

fn of_call(function: &str, arguments: &[Box<Expr>]) -> Option<Dimension> {
    let last = arguments.last().and_then(|argument| of(argument));
    match function {
        "rate" | "irate" | "deriv" => last.map(Dimension::per_second),
        "histogram_count" => arguments.first().map(|argument| counted(&argument.to_string())),
        "histogram_quantile" => arguments.last().and_then(|argument| values_of_histogram(argument)),
        "histogram_fraction" => Some(Dimension::share()),
        "changes" | "resets" | "count_over_time" | "absent" | "vector" | "time" => Some(Dimension::number()),
        "predict_linear" | "clamp_max" | "clamp_min" | "label_replace" | "round" => {
            arguments.first().and_then(|argument| of(argument))
        }
        _ => last,
    }
}

/// A count per second where the histogram's rate was taken, a count otherwise.
fn counted(argument: &str) -> Dimension {
    let seconds = if argument.contains("rate(") { -1 } else { 0 };
    Dimension { things: counted_by(argument).to_owned(), ..Dimension::of_powers(seconds, 0) }
}

/// What a histogram counts: requests, or just events.
fn counted_by(name: &str) -> &'static str {
    if name.contains("http_server_request") || name.contains("http_client_request") { "request" } else { "event" }
}

fn values_of_histogram(expression: &Expr) -> Option<Dimension> {
    match expression {
        Expr::Paren(inner) => values_of_histogram(&inner.expr),
        Expr::Aggregate(inner) => values_of_histogram(&inner.expr),
        Expr::Call(call) => call.args.args.last().and_then(|argument| values_of_histogram(argument)),
        Expr::MatrixSelector(selector) => histogram_unit(&selector.vs),
        Expr::VectorSelector(selector) => histogram_unit(selector),
        _ => None,
    }
}

fn histogram_unit(selector: &VectorSelector) -> Option<Dimension> {
    of_values(selector.name.as_deref()?)
}

fn of_selector(selector: &VectorSelector) -> Option<Dimension> {
    let name = selector.name.as_deref()?;
    let (metric, part) = names::find(name)?;
    Some(match part {
        Part::Count | Part::Bucket => Dimension { things: counted_by(name).to_owned(), ..Dimension::number() },
        Part::Value | Part::Sum | Part::Native => Dimension::of_unit(metric.unit, metric.kind),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use promql_parser::parser::parse;

    fn unit(query: &str) -> &'static str {
        of(&parse(query).unwrap()).unwrap().grafana_unit()
    }

    #[test]
    fn units_follow_from_the_catalogue() {
        for (query, expected) in [
            ("process_memory_usage_bytes", "bytes"),
            ("sum(rate(process_disk_io_bytes_total[1m]))", "binBps"),
            ("sum(rate(http_server_request_duration_seconds_count[1m]))", "reqps"),
            ("histogram_count(rate(http_server_request_duration_seconds[1m]))", "reqps"),
            ("sum(rate(heartline_job_enqueued_total[1m]))", "cps"),
            ("histogram_quantile(0.9, sum by (le) (rate(http_server_request_duration_seconds_bucket[1m])))", "s"),
            ("histogram_quantile(0.9, sum(rate(http_server_request_body_size_bytes[1m])))", "bytes"),
            ("rate(tokio_schedule_delay_seconds_sum[1m]) / rate(tokio_schedule_delay_seconds_count[1m])", "s"),
            ("process_memory_usage_bytes / heartline_memory_limit_bytes", "percentunit"),
            ("process_cpu_utilization_ratio", "percentunit"),
            (
                "1 - sum(rate(heartline_cache_writes_total[1m])) / sum(rate(heartline_cache_writes_total[1m]))",
                "percentunit",
            ),
            (
                "(heartline_memory_limit_bytes - process_memory_usage_bytes) / deriv(process_memory_usage_bytes[1m])",
                "s",
            ),
            ("count(process_uptime_seconds)", "short"),
            ("heartline_memory_leak_suspected", "short"),
        ] {
            assert_eq!(unit(query), expected, "{query}");
        }
    }
}
