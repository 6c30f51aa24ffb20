//! Gives meaning to the names of a signal: metrics, attributes, functions, other signals; and checks kinds and
//! dimensions. Values and time are not known here.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::diagnostic::{did_you_mean, one_of};
use super::dimension::Dimension;
use super::quantity::Refusal;
use super::signal::{Call, Expression, Function, Limit, Matcher, Selector, Test, anchored};
use super::syntax::{self, Argument, ArgumentValue, CallTree, MatcherTree, Named, Operator, SelectorTree, Tree};
use super::vocabulary::{Aggregator, BUILT_IN_SIGNALS, MetricShape, Vocabulary, built_in};
use crate::catalog::Kind;

/// How many parts a signal may have once the signals it names are written out.
const PARTS_MAX: usize = 128;
/// Parts, names of signals among them, after which writing out stops.
const WRITTEN_MAX: usize = 8 * PARTS_MAX;
/// How many signals may name each other in a row.
const NESTED_MAX: usize = 32;
const FUNCTIONS: [&str; 15] = [
    "last",
    "avg",
    "min",
    "max",
    "rate",
    "increase",
    "quantile",
    "p95",
    "mean",
    "share",
    "share_over",
    "share_under",
    "slope",
    "forecast",
    "time_to",
];

/// Resolves the signals of one rule or of `[signals]`.
pub(super) struct Resolver<'v> {
    pub(super) vocabulary: &'v Vocabulary,
    /// `[signals]`; `None` for one that is already known to be wrong.
    pub(super) signals: &'v BTreeMap<String, Option<Tree>>,
    /// The rule's `agg`.
    pub(super) aggregator: Option<Aggregator>,
}

/// What a tree means, or everything that is wrong with it. An empty list of refusals means that the fault lies in a signal
/// of `[signals]` and is reported there.
pub(super) type Resolved = Result<(Expression, Dimension), Vec<Refusal>>;

impl Resolver<'_> {
    pub(super) fn resolve(&self, tree: &Tree, text: &str) -> Resolved {
        let (refusals, written) = (RefCell::default(), Cell::new(0));
        let pass =
            Pass { resolver: self, refusals, aggregator: self.aggregator, within: Vec::new(), written: &written };
        let whole = 0..text.len();
        let found = pass.tree(tree);
        let mut refusals = pass.refusals.into_inner();
        let too_long = |refusals: &mut Vec<Refusal>| {
            let message = format!("the signal has more than {PARTS_MAX} parts once its signals are written out");
            refusals.push(Refusal { place: 0..text.len(), message, help: "split the rule".to_owned() });
        };
        if written.get() > WRITTEN_MAX {
            too_long(&mut refusals);
        }
        if let Some((expression, _)) = &found
            && refusals.is_empty()
        {
            let constant = expression.selectors().next().is_none();
            if constant {
                let help = "use a metric: last(process.uptime)".to_owned();
                refusals.push(Refusal { place: whole, message: "the signal is a constant".to_owned(), help });
            } else if expression.size() > PARTS_MAX {
                too_long(&mut refusals);
            }
        }
        match found {
            Some(found) if refusals.is_empty() => Ok(found),
            _ => Err(refusals),
        }
    }
}

struct Pass<'r, 'v> {
    resolver: &'r Resolver<'v>,
    refusals: RefCell<Vec<Refusal>>,
    aggregator: Option<Aggregator>,
    /// The signals that are being written out, outermost first.
    within: Vec<&'r str>,
    /// How many parts were written out so far, in all passes of the signal.
    written: &'r Cell<usize>,
}

type Found = Option<(Expression, Dimension)>;

impl Pass<'_, '_> {
    fn refuse<T>(&self, place: &Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Option<T> {
        let refusal = Refusal { place: place.clone(), message: message.into(), help: help.into() };
        self.refusals.borrow_mut().push(refusal);
        None
    }

    fn tree(&self, tree: &Tree) -> Found {
        let written = self.written.get() + 1;
        self.written.set(written);
        match tree {
            // a few names that double each other are more than any memory holds; it is said once
            _ if written > WRITTEN_MAX => None,
            Tree::Number(number) => Some((Expression::Number(*number), Dimension::Number)),
            Tree::Signal(named) => self.signal(named),
            Tree::Call(call) => self.call(call),
            Tree::Binary { operator, left, right, place } => {
                let (left, right) = (self.tree(left), self.tree(right));
                let ((left, a), (right, b)) = (left?, right?);
                let dimension = match operator {
                    Operator::Times => a.times(b),
                    Operator::Over => a.over(b),
                    Operator::Plus | Operator::Minus => {
                        if let Some(dimension) = a.plus(b) {
                            dimension
                        } else {
                            let message = format!("{} and {} do not add up", a.name(), b.name());
                            return self.refuse(place, message, "add and subtract only what is measured alike");
                        }
                    }
                };
                let (left, right) = (Box::new(left), Box::new(right));
                Some((Expression::Binary { operator: *operator, left, right }, dimension))
            }
        }
    }

    fn signal(&self, named: &Named) -> Found {
        if self.within.contains(&named.name.as_str()) {
            return self.refuse(&named.place, format!("signal `{}` uses itself", named.name), "break the circle");
        }
        let (tree, aggregator) = match (self.resolver.signals.get(&named.name), built_in(&named.name)) {
            (Some(Some(tree)), _) => (tree.clone(), self.aggregator),
            (Some(None), _) => return None,
            (None, Some(signal)) => {
                let tree = syntax::parse(signal.signal).expect("a test parses every built-in signal");
                (tree, self.aggregator.or(signal.aggregator))
            }
            (None, None) => return self.unknown_signal(named),
        };
        if self.within.len() >= NESTED_MAX {
            return self.refuse(&named.place, format!("signals are nested more than {NESTED_MAX} deep"), "name fewer");
        }
        let within = [self.within.as_slice(), &[named.name.as_str()]].concat();
        let (refusals, written) = (RefCell::default(), self.written);
        let inner = Pass { resolver: self.resolver, refusals, aggregator, within, written };
        let found = inner.tree(&tree);
        for refusal in inner.refusals.into_inner() {
            let message = if refusal.message.contains("uses itself") {
                refusal.message
            } else {
                format!("in signal `{}`: {}", named.name, refusal.message)
            };
            self.refuse::<()>(&named.place, message, refusal.help);
        }
        found
    }

    fn unknown_signal(&self, named: &Named) -> Found {
        if let Some(metric) = self.resolver.vocabulary.find(&named.name) {
            let function = match metric.kind {
                Kind::Counter => "rate",
                Kind::UpDownCounter | Kind::Gauge => "last",
                Kind::Histogram => "p95",
            };
            let help = format!("write {function}({})", named.name);
            return self.refuse(&named.place, format!("`{}` is a metric, not a signal", named.name), help);
        }
        let own = self.resolver.signals.keys().map(String::as_str);
        let known: Vec<&str> = BUILT_IN_SIGNALS.iter().map(|it| it.name).chain(own).collect();
        let all = || format!("signals are {}", one_of(known.iter().copied()));
        let help = did_you_mean(&named.name, known.iter().copied()).unwrap_or_else(all);
        self.refuse(&named.place, format!("no signal is called `{}`", named.name), help)
    }

    fn call(&self, call: &CallTree) -> Found {
        let mut arguments = Arguments { pass: self, call, next: 0 };
        let selector = arguments.selector();
        let kind = FunctionKind::of(&call.function.name);
        let Some(kind) = kind else {
            let help = did_you_mean(&call.function.name, FUNCTIONS);
            let all = || format!("functions are {} and p50 to p999", one_of(FUNCTIONS));
            let message = format!("no function is called `{}`", call.function.name);
            return self.refuse(&call.function.place, message, help.unwrap_or_else(all));
        };
        let selector = selector?;
        self.check_kind(&kind, call, &selector)?;
        let function = arguments.function(&kind, &selector)?;
        arguments.finish()?;
        let dimension = kind.dimension(&selector.metric);
        let aggregator = self.aggregator.unwrap_or(kind.default_aggregator(&selector.metric));
        Some((Expression::Call(Call { function, selector, aggregator }), dimension))
    }

    fn check_kind(&self, kind: &FunctionKind, call: &CallTree, selector: &Selector) -> Option<()> {
        let metric = &selector.metric;
        if kind.accepts(metric.kind) {
            return Some(());
        }
        let (is, instead) = match metric.kind {
            Kind::Counter => ("a counter", "rate, increase or share"),
            Kind::UpDownCounter | Kind::Gauge => ("a gauge", "last, avg, min, max, slope, forecast or time_to"),
            Kind::Histogram => ("a histogram", "p50 to p999, quantile, mean, rate, increase, share or share_over"),
        };
        let message = format!("`{}` is {is}; {} does not apply", metric.name, call.function.name);
        self.refuse(&call.function.place, message, format!("use {instead}"))
    }

    fn selector(&self, tree: &SelectorTree) -> Option<Selector> {
        let Some(metric) = self.resolver.vocabulary.find(&tree.metric.name) else {
            let help = if self.resolver.signals.contains_key(&tree.metric.name) || built_in(&tree.metric.name).is_some()
            {
                "a signal stands alone, without a function".to_owned()
            } else {
                self.resolver.vocabulary.advice(&tree.metric.name)
            };
            return self.refuse(&tree.metric.place, format!("no metric is called `{}`", tree.metric.name), help);
        };
        let matchers: Vec<Option<Matcher>> = tree.matchers.iter().map(|it| self.matcher(it, &metric)).collect();
        let matchers: Option<Vec<Matcher>> = matchers.into_iter().collect();
        Some(Selector { metric, matchers: matchers? })
    }

    fn matcher(&self, tree: &MatcherTree, metric: &Arc<MetricShape>) -> Option<Matcher> {
        let name = &tree.attribute.name;
        if !metric.label_names().any(|known| known == name) {
            let all = || format!("it has {}", one_of(metric.label_names()));
            let help = did_you_mean(name, metric.label_names()).unwrap_or_else(all);
            return self.refuse(&tree.attribute.place, format!("`{}` has no attribute `{name}`", metric.name), help);
        }
        let wanted = &tree.text.name;
        let pattern = || match anchored(wanted) {
            Ok(pattern) => Some(pattern),
            Err(reason) => {
                let message = format!("'{wanted}' is no regular expression: {reason}");
                self.refuse(&tree.text.place, message, "RE2 syntax; it must match the whole value")
            }
        };
        let test = match tree.operator {
            "=" => Test::Equal(wanted.clone()),
            "!=" => Test::NotEqual(wanted.clone()),
            "=~" => Test::Matches(pattern()?),
            _ => Test::MatchesNot(pattern()?),
        };
        Some(Matcher { label: name.clone(), test })
    }
}

/// The functions as they are written, before their arguments are read.
#[derive(Debug, Clone, Copy, PartialEq)]
enum FunctionKind {
    Last,
    Avg,
    Min,
    Max,
    Rate,
    Increase,
    Quantile(Option<f64>),
    Mean,
    Share,
    ShareOver,
    ShareUnder,
    Slope,
    Forecast,
    TimeTo,
}

impl FunctionKind {
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "last" => Self::Last,
            "avg" => Self::Avg,
            "min" => Self::Min,
            "max" => Self::Max,
            "rate" => Self::Rate,
            "increase" => Self::Increase,
            "quantile" => Self::Quantile(None),
            "mean" => Self::Mean,
            "share" => Self::Share,
            "share_over" => Self::ShareOver,
            "share_under" => Self::ShareUnder,
            "slope" => Self::Slope,
            "forecast" => Self::Forecast,
            "time_to" => Self::TimeTo,
            _ => Self::Quantile(Some(percentile(name)?)),
        })
    }

    fn accepts(self, kind: Kind) -> bool {
        let gauge = matches!(kind, Kind::Gauge | Kind::UpDownCounter);
        match self {
            Self::Rate | Self::Increase | Self::Share => !gauge,
            Self::Quantile(_) | Self::Mean | Self::ShareOver | Self::ShareUnder => kind == Kind::Histogram,
            _ => gauge,
        }
    }

    fn dimension(self, metric: &MetricShape) -> Dimension {
        let of_events = metric.kind == Kind::Histogram;
        let unit = Dimension::of_unit(&metric.unit, metric.kind == Kind::Gauge);
        match self {
            Self::Rate if of_events => Dimension::PerSecond,
            Self::Increase if of_events => Dimension::Count,
            Self::Rate | Self::Slope => unit.per_second(),
            Self::Share | Self::ShareOver | Self::ShareUnder => Dimension::Ratio,
            Self::TimeTo => Dimension::Time,
            _ => unit,
        }
    }

    /// Counted events add up; values of the moment follow the catalogue.
    fn default_aggregator(self, metric: &MetricShape) -> Aggregator {
        match self {
            Self::Rate | Self::Increase => Aggregator::Sum,
            _ => metric.aggregator,
        }
    }
}

/// `p95` is 0.95, `p999` is 0.999.
fn percentile(name: &str) -> Option<f64> {
    let digits = name.strip_prefix('p')?;
    let sensible = (digits.len() == 2 || (digits.len() == 3 && digits.starts_with('9'))) && digits != "00";
    if !sensible || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("0.{digits}").parse().ok()
}

/// Reads the arguments of a call one after the other.
struct Arguments<'c, 'r, 'v> {
    pass: &'c Pass<'r, 'v>,
    call: &'c CallTree,
    next: usize,
}

impl<'c> Arguments<'c, '_, '_> {
    fn function(&mut self, kind: &FunctionKind, selector: &Selector) -> Option<Function> {
        Some(match kind {
            FunctionKind::Last => Function::Last,
            FunctionKind::Avg => Function::Avg,
            FunctionKind::Min => Function::Min,
            FunctionKind::Max => Function::Max,
            FunctionKind::Rate => Function::Rate,
            FunctionKind::Increase => Function::Increase,
            FunctionKind::Quantile(Some(q)) => Function::Quantile(*q),
            FunctionKind::Quantile(None) => Function::Quantile(self.quantile()?),
            FunctionKind::Mean => Function::Mean,
            FunctionKind::Share => self.share(selector)?,
            FunctionKind::ShareOver => Function::ShareOver(self.boundary(selector)?),
            FunctionKind::ShareUnder => Function::ShareUnder(self.boundary(selector)?),
            FunctionKind::Slope => Function::Slope,
            FunctionKind::Forecast => Function::Forecast(self.duration()?),
            FunctionKind::TimeTo => Function::TimeTo(self.limit(selector)?),
        })
    }

    fn take(&mut self, wanted: &str) -> Option<&'c Argument> {
        let argument = self.call.arguments.get(self.next);
        self.next += 1;
        if argument.is_none() {
            let message = format!("{} needs {wanted}", self.call.function.name);
            return self.pass.refuse(&self.call.place, message, format!("give it {wanted} as another argument"));
        }
        argument
    }

    fn wrong<T>(&self, argument: &Argument, wanted: &str) -> Option<T> {
        let message = format!("{} needs {wanted} here", self.call.function.name);
        self.pass.refuse(&argument.place, message, format!("write {wanted}"))
    }

    fn selector(&mut self) -> Option<Selector> {
        let argument = self.take("a metric")?;
        match &argument.value {
            ArgumentValue::Selector(tree) => self.pass.selector(tree),
            _ => self.wrong(argument, "a metric"),
        }
    }

    fn duration(&mut self) -> Option<Duration> {
        let argument = self.take("a duration such as 2h")?;
        match argument.value {
            ArgumentValue::Duration(span) => Some(span),
            _ => self.wrong(argument, "a duration such as 2h"),
        }
    }

    fn quantile(&mut self) -> Option<f64> {
        let argument = self.take("a quantile such as 0.95")?;
        match argument.value {
            ArgumentValue::Number(q) if (0.0..=1.0).contains(&q) => Some(q),
            _ => self.wrong(argument, "a quantile from 0 to 1"),
        }
    }

    fn share(&self, selector: &Selector) -> Option<Function> {
        if selector.matchers.is_empty() {
            let help = format!("say which part: share({}{{error.type!=''}})", selector.metric.name);
            return self.pass.refuse(&self.call.place, "the share of everything is always 1", help);
        }
        Some(Function::Share)
    }

    /// The bound of `share_over`: exactly one of the metric's boundaries.
    fn boundary(&mut self, selector: &Selector) -> Option<f64> {
        let argument = self.take("a bucket boundary")?;
        let unit = Dimension::of_unit(&selector.metric.unit, false);
        let bound = match argument.value {
            ArgumentValue::Duration(span) if unit == Dimension::Time => span.as_secs_f64(),
            ArgumentValue::Number(number) if unit != Dimension::Time => number,
            _ => return self.wrong(argument, &format!("{} such as {}", unit.name(), unit.example())),
        };
        let boundaries = &selector.metric.boundaries;
        let same = |boundary: &&f64| (**boundary - bound).abs() <= boundary.abs() * 1e-12;
        if let Some(boundary) = boundaries.iter().find(same) {
            return Some(*boundary);
        }
        let shown: Vec<String> = boundaries.iter().map(|&it| unit.format(it).replace(' ', "")).collect();
        let message = format!("{} is no bucket boundary of `{}`", unit.format(bound), selector.metric.name);
        self.pass.refuse(&argument.place, message, format!("boundaries are {}", shown.join(", ")))
    }

    fn limit(&mut self, selector: &Selector) -> Option<Limit> {
        let argument = self.take("the metric of its limit")?;
        let ArgumentValue::Selector(tree) = &argument.value else {
            return self.wrong(argument, "the metric of its limit");
        };
        let limit = self.pass.selector(tree)?;
        if !FunctionKind::Last.accepts(limit.metric.kind) {
            return self.wrong(argument, "a gauge as its limit");
        }
        if limit.metric.unit != selector.metric.unit {
            let message =
                format!("`{}` and `{}` are measured in different units", selector.metric.name, limit.metric.name);
            return self.pass.refuse(&argument.place, message, "the limit needs the unit of what approaches it");
        }
        let aggregator = self.pass.aggregator.unwrap_or(limit.metric.aggregator);
        Some(Limit { selector: limit, aggregator })
    }

    fn finish(&self) -> Option<()> {
        match self.call.arguments.get(self.next) {
            None => Some(()),
            Some(extra) => {
                let message = format!("{} takes {} here", self.call.function.name, plural(self.next));
                self.pass.refuse(&extra.place, message, "the window is a field of its own: over = \"5m\"")
            }
        }
    }
}

fn plural(count: usize) -> String {
    if count == 1 { "one argument".to_owned() } else { format!("{count} arguments") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Resolved {
        let vocabulary = Vocabulary::default();
        let signals = BTreeMap::from([
            ("mine".to_owned(), Some(syntax::parse("rate(http.server.request.duration) * 2").unwrap())),
            ("a".to_owned(), Some(syntax::parse("b").unwrap())),
            ("b".to_owned(), Some(syntax::parse("a").unwrap())),
        ]);
        let resolver = Resolver { vocabulary: &vocabulary, signals: &signals, aggregator: None };
        resolver.resolve(&syntax::parse(text).unwrap(), text)
    }

    #[test]
    fn every_built_in_signal_resolves() {
        for signal in BUILT_IN_SIGNALS {
            assert!(resolved(signal.name).is_ok(), "{}", signal.name);
        }
    }

    #[test]
    fn dimensions_follow_the_catalogue() {
        for (text, dimension) in [
            ("p95(http.server.request.duration)", Dimension::Time),
            ("http.rate", Dimension::PerSecond),
            ("http.error_ratio", Dimension::Ratio),
            ("rate(db.client.operation.duration) / rate(http.server.request.duration)", Dimension::Ratio),
            ("slope(process.memory.usage)", Dimension::BytesPerSecond),
            ("time_to(process.memory.usage, heartline.memory.limit)", Dimension::Time),
            ("rate(process.cpu.time)", Dimension::Number),
            ("increase(heartline.job.completed{job.outcome='failure'})", Dimension::Count),
            ("last(heartline.circuit_breaker.status)", Dimension::Flag),
            ("mine", Dimension::PerSecond),
        ] {
            assert_eq!(resolved(text).unwrap().1, dimension, "{text}");
        }
    }

    #[test]
    fn refusals_name_the_fault_and_what_to_write() {
        for (text, message, help) in [
            ("rate(http.server.request.duratoin)", "no metric", "did you mean `http.server.request.duration`?"),
            ("rate(my.orders)", "no metric", "[metrics.\"my.orders\"]"),
            ("rat(process.cpu.time)", "no function", "did you mean `rate`?"),
            ("p95(process.memory.usage)", "is a gauge", "use last"),
            ("last(process.cpu.time)", "is a counter", "use rate"),
            ("process.uptime", "is a metric", "last(process.uptime)"),
            ("http.rates", "no signal", "did you mean `http.rate`?"),
            ("share(http.server.request.duration)", "always 1", "say which part"),
            ("share_over(db.client.operation.duration, 400ms)", "no bucket boundary", "500ms"),
            ("share_over(db.client.operation.duration, 5)", "needs a time", "500ms"),
            ("time_to(process.memory.usage, process.uptime)", "different units", "unit"),
            ("last(process.uptime{a='b'})", "no attribute `a`", "it has `job` or `instance`"),
            ("last(heartline.job.count{job.stat='x'})", "no attribute", "did you mean `job.state`?"),
            ("last(heartline.job.count{job.state=~'('})", "no regular expression", "RE2"),
            ("p95(http.server.request.duration) + last(process.memory.usage)", "do not add up", "alike"),
            ("2 * 3", "constant", "metric"),
            ("a", "uses itself", "circle"),
            ("quantile(http.server.request.duration, 95)", "needs a quantile", "0 to 1"),
            ("rate(process.cpu.time, 5m)", "takes one argument", "over"),
            ("forecast(process.memory.usage)", "needs a duration", "2h"),
        ] {
            let refusals = resolved(text).unwrap_err();
            let first = refusals.first().unwrap();
            assert!(first.message.contains(message) && first.help.contains(help), "{text}: {refusals:?}");
        }
    }

    #[test]
    fn signals_that_grow_by_naming_each_other_are_refused_before_they_are_written_out() {
        let (vocabulary, depth) = (Vocabulary::default(), 60);
        let signal = |text: String| Some(syntax::parse(&text).unwrap());
        let mut signals = BTreeMap::from([
            ("s0".to_owned(), signal("http.rate".to_owned())),
            ("n0".to_owned(), signal("http.rate".to_owned())),
        ]);
        for at in 1..=depth {
            signals.insert(format!("s{at}"), signal(format!("s{0} + s{0}", at - 1)));
            signals.insert(format!("n{at}"), signal(format!("n{}", at - 1)));
        }
        let resolver = Resolver { vocabulary: &vocabulary, signals: &signals, aggregator: None };
        let refused = |text: &str| resolver.resolve(&syntax::parse(text).unwrap(), text).unwrap_err();
        for (text, message) in [("s20", "more than 128 parts"), ("n60", "nested more than 32 deep")] {
            assert!(refused(text).iter().any(|refusal| refusal.message.contains(message)), "{:?}", refused(text));
            assert!(refused(text).len() < 10);
        }
        assert!(resolver.resolve(&syntax::parse("s5 + n20").unwrap(), "s5 + n20").is_ok());
    }

    #[test]
    fn every_fault_of_a_signal_is_reported() {
        assert_eq!(resolved("rate(x.y) + rate(z.w) + rat(process.cpu.time)").unwrap_err().len(), 3);
    }

    #[test]
    fn percentiles_have_two_or_three_digits() {
        assert_eq!(percentile("p50"), Some(0.5));
        assert_eq!(percentile("p999"), Some(0.999));
        for name in ["p", "p5", "p100", "p00", "p9999", "pxx", "q95"] {
            assert_eq!(percentile(name), None, "{name}");
        }
    }
}
