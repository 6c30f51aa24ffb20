//! A query with its variables replaced, and what it reads. Where queries come from is not known here.

use std::time::Duration;

use anyhow::{Result, anyhow};
use heartline_shared::catalog::{Kind, Metric};
use promql_parser::label::MatchOp;
use promql_parser::parser::{AggregateExpr, Expr, VectorSelector, parse};

use crate::names::{self, Part};

/// What stands for Grafana's variables.
#[derive(Debug, Clone)]
pub struct Values {
    /// For `$__rate_interval`.
    pub rate_interval: String,
    /// For `$__range`.
    pub range: String,
    /// For a variable that picks values of a label.
    pub label: String,
}

/// A range that no board writes itself, so that it tells where `$__rate_interval` stood.
const MARKED_INTERVAL: Duration = Duration::from_secs(241);
/// The objective of a budget, in percent.
const OBJECTIVE: &str = "99.9";

impl Default for Values {
    fn default() -> Self {
        Self { rate_interval: "4m1s".to_owned(), range: "1h".to_owned(), label: ".+".to_owned() }
    }
}

impl Values {
    /// The query as Grafana would send it.
    pub fn replace(&self, query: &str) -> String {
        let mut out = String::with_capacity(query.len());
        let mut rest = query;
        while let Some(at) = rest.find('$') {
            out.push_str(&rest[..at]);
            let name = &rest[at + 1..];
            let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(name.len());
            out.push_str(match &name[..end] {
                "__rate_interval" | "__interval" => &self.rate_interval,
                "__range" => &self.range,
                "objective" => OBJECTIVE,
                _ => &self.label,
            });
            rest = &name[end..];
        }
        out + rest
    }
}

/// The query with values that only a parser needs.
pub fn substitute(query: &str) -> String {
    Values::default().replace(query)
}

/// One selector of a query and where it stands.
#[derive(Debug, Clone)]
pub struct Read {
    /// The series' name; of a selector by a pattern of names, each name is a `Read` of its own.
    pub name: String,
    /// The metric of the catalogue, unless Prometheus writes the series itself or nobody knows it.
    pub metric: Option<&'static Metric>,
    /// Which series of the metric.
    pub part: Option<Part>,
    /// Its matchers: label, whether by pattern, value.
    pub matchers: Vec<(String, bool, String)>,
    /// Its range; absent for the newest sample.
    pub range: Option<Duration>,
    /// The functions and aggregations around it, innermost first.
    pub around: Vec<String>,
    /// The labels that aggregations around it keep, and those that operators match on.
    pub grouped_by: Vec<String>,
}

impl Read {
    /// Whether its range is `$__rate_interval`.
    pub fn is_per_interval(&self) -> bool {
        self.range == Some(MARKED_INTERVAL)
    }

    /// The function or aggregation it stands in.
    pub fn inside(&self) -> &str {
        self.around.first().map_or("", String::as_str)
    }

    /// Whether it only grows.
    pub fn is_cumulative(&self) -> bool {
        self.metric.is_some_and(|metric| matches!(metric.kind, Kind::Counter | Kind::Histogram))
    }

    /// Whether it has exactly this matcher.
    pub fn has_matcher(&self, label: &str, value: &str) -> bool {
        self.matchers.iter().any(|(name, pattern, text)| name == label && *pattern && text == value)
    }
}

/// Every selector of a query as a dashboard writes it, variables not replaced.
///
/// # Errors
/// When it is no PromQL.
pub fn selectors(query: &str) -> Result<Vec<Read>> {
    // variables inside quotes stay, so that matchers can be recognised
    let kept = Values { label: "$".to_owned(), ..Values::default() };
    let expression = parse(&replace_outside_quotes(query, &kept)).map_err(|error| anyhow!("{error}: {query}"))?;
    let mut found = Vec::new();
    walk(&expression, &mut Vec::new(), &mut Vec::new(), &mut found);
    Ok(found)
}

fn replace_outside_quotes(query: &str, values: &Values) -> String {
    let part = |(at, part): (usize, &str)| if at % 2 == 0 { values.replace(part) } else { part.to_owned() };
    query.split('"').enumerate().map(part).collect::<Vec<_>>().join("\"")
}

fn walk(expression: &Expr, around: &mut Vec<String>, grouped: &mut Vec<String>, found: &mut Vec<Read>) {
    match expression {
        Expr::Paren(inner) => walk(&inner.expr, around, grouped, found),
        Expr::Unary(inner) => walk(&inner.expr, around, grouped, found),
        Expr::Subquery(inner) => walk(&inner.expr, around, grouped, found),
        Expr::Aggregate(aggregate) => walk_aggregate(aggregate, around, grouped, found),
        Expr::Binary(binary) => {
            let matching = binary.modifier.as_ref().and_then(|modifier| modifier.matching.as_ref());
            let depth = grouped.len();
            grouped.extend(matching.iter().flat_map(|labels| labels.labels().labels.clone()));
            walk(&binary.lhs, around, grouped, found);
            walk(&binary.rhs, around, grouped, found);
            grouped.truncate(depth);
        }
        Expr::Call(call) => {
            around.insert(0, call.func.name.to_owned());
            call.args.args.iter().for_each(|argument| walk(argument, around, grouped, found));
            around.remove(0);
        }
        Expr::VectorSelector(selector) => found.extend(reads(selector, None, around, grouped)),
        Expr::MatrixSelector(selector) => found.extend(reads(&selector.vs, Some(selector.range), around, grouped)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn walk_aggregate(
    aggregate: &AggregateExpr,
    around: &mut Vec<String>,
    grouped: &mut Vec<String>,
    found: &mut Vec<Read>,
) {
    let depth = grouped.len();
    grouped.extend(aggregate.modifier.iter().flat_map(|modifier| modifier.labels().labels.clone()));
    around.insert(0, aggregate.op.to_string());
    walk(&aggregate.expr, around, grouped, found);
    around.remove(0);
    grouped.truncate(depth);
}

fn reads(selector: &VectorSelector, range: Option<Duration>, around: &[String], grouped: &[String]) -> Vec<Read> {
    let by_pattern = |op: &MatchOp| matches!(op, MatchOp::Re(_) | MatchOp::NotRe(_));
    let all = selector.matchers.matchers.iter();
    let matchers: Vec<(String, bool, String)> =
        all.map(|it| (it.name.clone(), by_pattern(&it.op), it.value.clone())).collect();
    let listed = matchers.iter().find(|(label, ..)| label == "__name__").map(|(.., names)| names.clone());
    let names = selector.name.clone().or(listed).unwrap_or_default();
    let read = |name: &str| {
        let known = names::find(name);
        Read {
            name: name.to_owned(),
            metric: known.map(|(metric, _)| metric),
            part: known.map(|(_, part)| part),
            matchers: matchers.iter().filter(|(label, ..)| label != "__name__").cloned().collect(),
            range,
            around: around.to_vec(),
            grouped_by: grouped.to_vec(),
        }
    };
    names.split('|').map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_become_values() {
        let values = Values { rate_interval: "5s".into(), range: "2m".into(), label: "x|y".into() };
        let query = r#"rate(a{b=~"$job", c=~"$instance|"}[$__rate_interval]) + increase(a[$__range]) * $objective"#;
        assert_eq!(values.replace(query), r#"rate(a{b=~"x|y", c=~"x|y|"}[5s]) + increase(a[2m]) * 99.9"#);
    }

    #[test]
    fn a_selector_knows_what_stands_around_it() {
        let query = r#"sum by (job, le) (rate(tokio_schedule_delay_seconds_bucket{job=~"$job"}[$__rate_interval]))"#;
        let [read] = &selectors(query).unwrap()[..] else { panic!("one selector") };
        assert_eq!((read.metric.unwrap().name, read.part), ("tokio.schedule.delay", Some(Part::Bucket)));
        assert_eq!((read.inside(), read.around.as_slice()), ("rate", &["rate".to_owned(), "sum".to_owned()][..]));
        assert_eq!(read.grouped_by, ["job", "le"]);
        assert!(read.is_per_interval() && read.has_matcher("job", "$job"));
    }

    #[test]
    fn a_pattern_of_names_reads_each() {
        let query = r#"{__name__=~"tokio_schedule_delay_seconds|tokio_schedule_delay_seconds_count", job=~"$job"}"#;
        let names: Vec<String> = selectors(query).unwrap().into_iter().map(|read| read.name).collect();
        assert_eq!(names, ["tokio_schedule_delay_seconds", "tokio_schedule_delay_seconds_count"]);
    }
}
