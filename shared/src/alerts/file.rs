//! A whole alert file: reads every section, reports every fault, and offers the checked rules.
//! Samples, states and time are not known here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use toml::de::DeTable;

use super::assemble::{AlertTable, Assembly, Context};
use super::diagnostic::{Diagnostic, Problems, Source, did_you_mean};
use super::document::{Fields, Text};
use super::inhibition::{self, Inhibition};
use super::notification::{self, Mute, Notifier, Routing};
use super::resolve::Resolver;
use super::rule::{Rule, Variant};
use super::settings::{Settings, report};
use super::signal::{Matcher, Test, anchored};
use super::slo::{self, Slo};
use super::syntax::{self, Tree};
use super::vocabulary::{Aggregator, MetricShape, Vocabulary};
use crate::buckets::{Grid, GridKind};
use crate::catalog::{self, Kind};

/// The only version of the language there is.
const VERSION: u64 = 1;
/// A larger file is refused unread.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// A checked `alerts.toml`.
///
/// ```
/// use heartline_shared::alerts::AlertFile;
///
/// let file = AlertFile::parse(r#"
///     version = 1
///     [[alert]]
///     name = "Slow"
///     signal = "p95(http.server.request.duration)"
///     warning = "> 1s"
/// "#, "alerts.toml").unwrap();
/// assert_eq!(file.rules()[0].name, "Slow");
///
/// let faults = AlertFile::parse("version = 1\n[[alert]]\nnam = 'x'", "alerts.toml").unwrap_err();
/// assert!(faults[0].to_string().contains("alerts.toml:2:1"));
/// ```
#[derive(Debug, Clone)]
pub struct AlertFile {
    pub(super) rules: Vec<Rule>,
    pub(super) variants: Vec<Variant>,
    pub(super) inhibitions: Vec<Inhibition>,
    slos: Vec<Slo>,
    notifiers: Vec<Notifier>,
    routing: Option<Routing>,
    mutes: Vec<Mute>,
}

/// A section that is read and checked, and that the engine does not act upon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotEvaluated {
    /// How the file calls it: `[[slo]]`.
    pub section: &'static str,
    /// How many entries there are.
    pub entries: usize,
    /// What is therefore missing, one sentence.
    pub consequence: &'static str,
}

impl AlertFile {
    /// Reads and checks an alert file.
    ///
    /// # Errors
    /// Every fault of the file, in the order of their places.
    pub fn parse(text: &str, file_name: &str) -> Result<Self, Vec<Diagnostic>> {
        let problems = Problems::new(Source { name: file_name, text });
        if text.len() > FILE_BYTES_MAX {
            problems.syntax(0..0, format!("the file is larger than {FILE_BYTES_MAX} bytes"));
            return Err(problems.into_sorted());
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            problems.syntax(error.span().unwrap_or(0..0), error.message().to_owned());
        }
        let fields = Fields::new("the file", root.get_ref(), 0..0, &problems);
        let file = Reader { problems: &problems }.file(fields);
        let faults = problems.into_sorted();
        if faults.is_empty() { Ok(file) } else { Err(faults) }
    }

    /// The rules in the order of the file, overrides not applied.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rule of this name.
    pub fn rule(&self, name: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.name == name)
    }

    /// Which alerts silence which.
    pub fn inhibitions(&self) -> &[Inhibition] {
        &self.inhibitions
    }

    /// Service level objectives.
    pub fn slos(&self) -> &[Slo] {
        &self.slos
    }

    /// Where alerts can be sent.
    pub fn notifiers(&self) -> &[Notifier] {
        &self.notifiers
    }

    /// Which alerts go where; absent when the file has no `[routing]`.
    pub fn routing(&self) -> Option<&Routing> {
        self.routing.as_ref()
    }

    /// Maintenance windows.
    pub fn mutes(&self) -> &[Mute] {
        &self.mutes
    }

    /// The sections of this file that are checked but that the engine does not act upon, so that a program can say so
    /// instead of letting its user believe otherwise. Empty when everything in the file takes effect.
    pub fn not_evaluated(&self) -> Vec<NotEvaluated> {
        let sections = [
            ("[[slo]]", self.slos.len(), "burn rates are not computed and their alerts never fire"),
            ("[[notify]]", self.notifiers.len(), "the engine reports transitions; it sends nothing itself"),
            (
                "[routing]",
                usize::from(self.routing.is_some()),
                "the engine reports transitions; it routes nothing itself",
            ),
            ("[[mute]]", self.mutes.len(), "maintenance windows silence nothing"),
        ];
        let used = sections.into_iter().filter(|(_, entries, _)| *entries > 0);
        used.map(|(section, entries, consequence)| NotEvaluated { section, entries, consequence }).collect()
    }
}

struct Reader<'t> {
    problems: &'t Problems<'t>,
}

impl<'t> Reader<'t> {
    fn file(&self, mut fields: Fields<'t>) -> AlertFile {
        self.version(&mut fields);
        let (defaults, runbook_base) = Self::defaults(&mut fields);
        let vocabulary = Vocabulary::new(self.metrics(&mut fields));
        let signals = self.signals(&mut fields, &vocabulary);
        let context = Context { vocabulary: &vocabulary, signals: &signals, runbook_base };
        let alerts = self.alerts(&mut fields);
        let overrides = named("[[override]]", fields.tables("override"));
        let mut file = AlertFile {
            rules: Vec::new(),
            variants: Vec::new(),
            inhibitions: Vec::new(),
            slos: slo::read(named("[[slo]]", fields.tables("slo")), &context),
            notifiers: notification::notifiers(named("[[notify]]", fields.tables("notify"))),
            routing: None,
            mutes: Vec::new(),
        };
        let names: Vec<&str> = alerts.iter().map(|alert| alert.name.value).collect();
        file.inhibitions = inhibition::read(named("[[inhibit]]", fields.tables("inhibit")), &names);
        file.mutes = notification::mutes(named("[[mute]]", fields.tables("mute")), &names);
        file.routing = fields.table("routing").map(|mut table| {
            "[routing]".clone_into(&mut table.what);
            notification::routing(table, &file.notifiers, &names)
        });
        let overrides = self.overrides(overrides, &names);
        for alert in &alerts {
            let settings = alert.settings.clone().or(&defaults);
            let assembly = Assembly { context: &context, fields: &fields, alert, settings };
            let Some(rule) = assembly.rule() else { continue };
            file.variants.extend(Self::variants(&assembly, &rule, &overrides));
            file.rules.push(rule);
        }
        fields.finish();
        file
    }

    fn version(&self, fields: &mut Fields<'t>) {
        if !fields.has("version") {
            let help = Some("begin the file with `version = 1`".to_owned());
            fields.integer("version");
            return self.problems.missing(0..0, "the file does not say its version", help);
        }
        if let Some(version) = fields.integer("version").filter(|version| *version != VERSION) {
            let help = Some("this program reads version 1".to_owned());
            self.problems.report(fields.key_span("version"), format!("version {version} is not known"), help);
        }
    }

    fn defaults(fields: &mut Fields<'t>) -> (Settings<'t>, Option<String>) {
        let Some(mut table) = fields.table("defaults") else { return (Settings::default(), None) };
        "[defaults]".clone_into(&mut table.what);
        let settings = Settings::defaults(&mut table);
        let runbook_base = table.string("runbook_base");
        table.finish();
        (settings, runbook_base)
    }

    fn metrics(&self, fields: &mut Fields<'t>) -> BTreeMap<String, Arc<MetricShape>> {
        let mut declared = BTreeMap::new();
        for (name, table) in fields.named_tables("metrics") {
            if let Some(shape) = self.metric(&name, table) {
                declared.insert(name.value.to_owned(), Arc::new(shape));
            }
        }
        declared
    }

    /// One `[metrics."name"]`: a metric of the service's own, which the catalogue does not know.
    fn metric(&self, name: &Text<'t>, mut table: Fields<'t>) -> Option<MetricShape> {
        const KINDS: [(&str, Kind); 4] = [
            ("counter", Kind::Counter),
            ("up_down_counter", Kind::UpDownCounter),
            ("gauge", Kind::Gauge),
            ("histogram", Kind::Histogram),
        ];
        if catalog::find(name.value).is_some() {
            let help = Some("use it without declaring it".to_owned());
            self.problems.report(name.span.clone(), format!("`{}` is a built-in metric", name.value), help);
        }
        table.required_text("kind");
        let kind = table.choice("kind", &KINDS);
        let unit = table.string("unit").unwrap_or_default();
        let attributes = table.strings("attributes").unwrap_or_default();
        let aggregator = table.choice("aggregation", &Aggregator::CHOICES);
        let boundaries = table.numbers("boundaries");
        if let Some(boundaries) = &boundaries {
            self.check_boundaries(&table, kind, &unit, boundaries);
        }
        table.finish();
        let kind = kind?;
        let natural = if kind == Kind::Gauge { Aggregator::Avg } else { Aggregator::Sum };
        let usual = if kind == Kind::Histogram { catalog::custom_boundaries(&unit).to_vec() } else { Vec::new() };
        Some(MetricShape {
            name: name.value.to_owned(),
            kind,
            unit,
            attributes,
            aggregator: aggregator.unwrap_or(natural),
            boundaries: boundaries.unwrap_or(usual).into(),
        })
    }

    fn check_boundaries(&self, table: &Fields<'t>, kind: Option<Kind>, unit: &str, boundaries: &[f64]) {
        let span = table.key_span("boundaries");
        if kind.is_some_and(|kind| kind != Kind::Histogram) {
            return self.problems.report(span, "only a histogram has boundaries", Some("remove them".to_owned()));
        }
        if boundaries.is_empty() || !boundaries.is_sorted_by(|a, b| a < b) {
            let help = Some("list them in rising order, in the metric's unit".to_owned());
            return self.problems.report(span, "boundaries must rise", help);
        }
        let grid = Grid::of(GridKind::for_unit(unit));
        if let Some(stray) = boundaries.iter().find(|bound| grid.boundary(**bound).is_none()) {
            let near = grid.resolution(*stray).map(|value| grid.index(value)).and_then(|at| grid.upper_bound(at));
            let near = near.map(|bound| bound as f64 / grid.kind().per_unit() as f64);
            let help = near.map(|bound| format!("the next one is {bound}"));
            self.problems.report(
                span,
                format!("{stray} is no boundary of the bucket grid, so counts would be guesses"),
                help,
            );
        }
    }

    fn signals(&self, fields: &mut Fields<'t>, vocabulary: &Vocabulary) -> BTreeMap<String, Option<Tree>> {
        let texts = fields.named_texts("signals");
        let mut trees = BTreeMap::new();
        for (name, text) in &texts {
            let dotted = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            if !name.value.chars().all(dotted) || !name.value.starts_with(|c: char| c.is_ascii_alphabetic()) {
                let help = Some("use letters, digits, _ and dots, such as \"checkout.error_ratio\"".to_owned());
                self.problems.report(name.span.clone(), format!("`{}` is no signal name", name.value), help);
            }
            let tree = syntax::parse(text.value).map_err(|refusal| report(fields, text, refusal)).ok();
            trees.insert(name.value.to_owned(), tree);
        }
        let resolver = Resolver { vocabulary, signals: &trees, aggregator: None };
        let mut wrong = Vec::new();
        for (name, text) in &texts {
            let Some(Some(tree)) = trees.get(name.value) else { continue };
            let Err(refusals) = resolver.resolve(tree, text.value) else { continue };
            for refusal in refusals {
                report(fields, text, refusal);
            }
            wrong.push(name.value);
        }
        for name in wrong {
            trees.insert(name.to_owned(), None);
        }
        trees
    }

    fn alerts(&self, fields: &mut Fields<'t>) -> Vec<AlertTable<'t>> {
        let mut alerts: Vec<AlertTable<'t>> = Vec::new();
        for alert in named("[[alert]]", fields.tables("alert")).into_iter().filter_map(AlertTable::read) {
            if alerts.iter().any(|earlier| earlier.name.value == alert.name.value) {
                let help = Some("names are unique; use levels or [[override]] for variants".to_owned());
                let message = format!("there is another alert `{}`", alert.name.value);
                self.problems.report(alert.name.span.clone(), message, help);
            }
            alerts.push(alert);
        }
        alerts
    }

    fn overrides(&self, tables: Vec<Fields<'t>>, names: &[&str]) -> Vec<Override<'t>> {
        let mut overrides = Vec::new();
        for mut table in tables {
            let alert = table.required_text("alert");
            let matched = table.named_texts("match");
            let settings = Settings::changes(&mut table);
            let span = table.key_span("match");
            table.finish();
            if let Some(alert) = alert.as_ref().filter(|alert| !names.contains(&alert.value)) {
                let help = did_you_mean(alert.value, names.iter().copied());
                self.problems.report(alert.span.clone(), format!("no alert is called `{}`", alert.value), help);
            }
            let [(label, value)] = matched.as_slice() else {
                let help = Some("write match = { job = \"reports\" }, or \"=~report.*\" for a pattern".to_owned());
                self.problems.report(span, "an override matches exactly one label", help);
                continue;
            };
            let (Some(alert), Some(test)) = (alert, self.test(value)) else { continue };
            overrides.push(Override { alert: alert.value, label: label.clone(), value: value.value, test, settings });
        }
        overrides
    }

    fn test(&self, value: &Text<'t>) -> Option<Test> {
        let Some(pattern) = value.value.strip_prefix("=~") else { return Some(Test::Equal(value.value.to_owned())) };
        match anchored(pattern) {
            Ok(pattern) => Some(Test::Matches(pattern)),
            Err(reason) => {
                self.problems.report(value.span.clone(), format!("no regular expression: {reason}"), None);
                None
            }
        }
    }

    /// The rule without what its overrides take, then each override without what earlier ones take.
    fn variants(assembly: &Assembly<'_, 't>, rule: &Rule, overrides: &[Override<'t>]) -> Vec<Variant> {
        let mut taken: Vec<Matcher> = Vec::new();
        let mut variants = Vec::new();
        for change in overrides.iter().filter(|change| change.alert == rule.name) {
            let clauses = rule.clauses();
            let mut selectors = clauses.iter().flat_map(|(signal, _)| signal.expression.selectors());
            if let Some(lacking) = selectors.find(|it| !it.metric.label_names().any(|name| name == change.label.value))
            {
                let message = format!("`{}` has no attribute `{}`", lacking.metric.name, change.label.value);
                let help = did_you_mean(change.label.value, lacking.metric.label_names());
                assembly.fields.problems.report(change.label.span.clone(), message, help);
                continue;
            }
            let settings = change.settings.clone().or(&assembly.settings);
            let variant = Assembly { settings, ..*assembly }.rule();
            let label = change.label.value.to_owned();
            let matcher = Matcher { label, test: change.test.clone() };
            if let Some(mut rule) = variant {
                let equals = if change.value.starts_with("=~") { "" } else { "=" };
                rule.labels.set("override", format!("{}{equals}{}", change.label.value, change.value));
                variants.push(Variant { rule, scope: [taken.clone(), vec![matcher.clone()]].concat() });
            }
            taken.push(Matcher { test: matcher.test.negated(), ..matcher });
        }
        variants.insert(0, Variant { rule: rule.clone(), scope: taken });
        variants
    }
}

struct Override<'t> {
    alert: &'t str,
    label: Text<'t>,
    value: &'t str,
    test: Test,
    settings: Settings<'t>,
}

fn named<'t>(section: &str, mut tables: Vec<Fields<'t>>) -> Vec<Fields<'t>> {
    for table in &mut tables {
        section.clone_into(&mut table.what);
    }
    tables
}
