//! Signals whose names are resolved and whose dimensions are checked: what the engine evaluates.
//! How they were written is not known here.

use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::dimension::Dimension;
use super::syntax::Operator;
use super::vocabulary::{Aggregator, MetricShape};

/// A signal: its text, what it computes and what that measures.
#[derive(Debug, Clone)]
pub struct Signal {
    /// As it was written.
    pub text: String,
    /// What its values measure.
    pub dimension: Dimension,
    pub(super) expression: Expression,
}

impl Signal {
    /// The metrics it reads.
    pub fn metrics(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.expression.selectors().map(|selector| selector.metric.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The greatest value it can have: a quantile never exceeds the last boundary of its histogram.
    pub(super) fn ceiling(&self) -> Option<f64> {
        match &self.expression {
            Expression::Call(Call { function: Function::Quantile(_), selector, .. }) => {
                selector.metric.boundaries.last().copied()
            }
            Expression::Call(Call {
                function: Function::Share | Function::ShareOver(_) | Function::ShareUnder(_),
                ..
            }) => Some(1.0),
            _ => None,
        }
    }
}

/// A checked expression.
#[derive(Debug, Clone)]
pub(super) enum Expression {
    Number(f64),
    Call(Call),
    Binary { operator: Operator, left: Box<Expression>, right: Box<Expression> },
}

impl Expression {
    /// Every selector, in the order they were written.
    pub(super) fn selectors(&self) -> Box<dyn Iterator<Item = &Selector> + '_> {
        match self {
            Self::Number(_) => Box::new(std::iter::empty()),
            Self::Call(call) => match &call.function {
                Function::TimeTo(limit) => Box::new([&call.selector, &limit.selector].into_iter()),
                _ => Box::new(std::iter::once(&call.selector)),
            },
            Self::Binary { left, right, .. } => Box::new(left.selectors().chain(right.selectors())),
        }
    }

    /// Every call, in the order they were written.
    pub(super) fn calls(&self) -> Box<dyn Iterator<Item = &Call> + '_> {
        match self {
            Self::Number(_) => Box::new(std::iter::empty()),
            Self::Call(call) => Box::new(std::iter::once(call)),
            Self::Binary { left, right, .. } => Box::new(left.calls().chain(right.calls())),
        }
    }

    /// How many nodes the tree has.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Number(_) | Self::Call(_) => 1,
            Self::Binary { left, right, .. } => 1 + left.size() + right.size(),
        }
    }
}

/// A function of series.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) function: Function,
    pub(super) selector: Selector,
    pub(super) aggregator: Aggregator,
}

impl Call {
    /// Whether it counts events, so that `min_events` has something to count.
    pub(super) fn counts_events(&self) -> bool {
        use crate::catalog::Kind;
        matches!(self.selector.metric.kind, Kind::Counter | Kind::Histogram)
    }
}

/// What is computed from the series of a selector.
#[derive(Debug, Clone)]
pub(super) enum Function {
    Last,
    Avg,
    Min,
    Max,
    Rate,
    Increase,
    Quantile(f64),
    Mean,
    Share,
    /// The share of values above a boundary of the metric.
    ShareOver(f64),
    ShareUnder(f64),
    Slope,
    Forecast(Duration),
    TimeTo(Limit),
}

/// The metric that [`Function::TimeTo`] approaches.
#[derive(Debug, Clone)]
pub(super) struct Limit {
    pub(super) selector: Selector,
    pub(super) aggregator: Aggregator,
}

/// The series of a metric that satisfy every matcher.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub(super) metric: Arc<MetricShape>,
    pub(super) matchers: Vec<Matcher>,
}

/// A test of one label; a label that is not there has the empty value, as in Prometheus.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub(super) label: String,
    pub(super) test: Test,
}

#[derive(Debug, Clone)]
pub(super) enum Test {
    Equal(String),
    NotEqual(String),
    Matches(Regex),
    MatchesNot(Regex),
}

impl Test {
    pub(super) fn holds(&self, value: &str) -> bool {
        match self {
            Self::Equal(text) => text == value,
            Self::NotEqual(text) => text != value,
            Self::Matches(pattern) => pattern.is_match(value),
            Self::MatchesNot(pattern) => !pattern.is_match(value),
        }
    }

    /// The opposite test.
    pub(super) fn negated(self) -> Self {
        match self {
            Self::Equal(text) => Self::NotEqual(text),
            Self::NotEqual(text) => Self::Equal(text),
            Self::Matches(pattern) => Self::MatchesNot(pattern),
            Self::MatchesNot(pattern) => Self::Matches(pattern),
        }
    }
}

/// A pattern that must match the whole value, as in Prometheus.
pub(super) fn anchored(pattern: &str) -> Result<Regex, String> {
    const COMPILED_BYTES_MAX: usize = 1 << 18;
    let whole = regex::RegexBuilder::new(&format!("^(?s:{pattern})$")).size_limit(COMPILED_BYTES_MAX).build();
    // The first check gives a message about the pattern as it was written.
    regex::RegexBuilder::new(pattern).size_limit(COMPILED_BYTES_MAX).build().and(whole).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the pattern is too large".to_owned(),
        error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
    })
}
