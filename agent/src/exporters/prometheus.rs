//! A snapshot as Prometheus text (format 0.0.4) or OpenMetrics 1.0: names and labels translated as Prometheus translates
//! OpenTelemetry's, so that scraping gives the series that pushing gives; who asks and how it is sent is not known here.
//!
//! Histograms become classic `_bucket` series at the catalogue's boundaries: exact, because each is a boundary of the
//! grid. In the text format `le` is written as Prometheus' OTLP receiver writes it (`1`), in OpenMetrics as that format
//! asks (`1.0`). No timestamps, no `otel_scope_*`, and neither `job` nor `instance`: the scraper sets these.

use std::collections::HashSet;
use std::fmt::Write as _;

use heartline_shared::catalog::{self, Kind, Metric};
use heartline_shared::snapshot::{Family, HistogramSeries};
use heartline_shared::{Grid, GridKind, Histogram, Labels, Snapshot};

use super::naming::Naming;
use crate::snapshot::{Exemplar, Exemplified};

const SAMPLE_SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];
/// Units that OpenMetrics is told: its family names must end in them.
const UNITS: [&str; 3] = ["seconds", "bytes", "ratio"];

/// Which metrics a scrape asked for by `?name[]=`; empty selects all.
///
/// A metric is named by its Prometheus name, by the name of one of a histogram's samples (`…_bucket`), or by its
/// OpenTelemetry name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection(HashSet<String>);

impl Selection {
    /// Reads the `name[]` parameters of a query string; others are not for us.
    pub(crate) fn from_query(query: &str) -> Self {
        let pairs = form_urlencoded::parse(query.as_bytes());
        Self(pairs.filter(|(name, _)| name == "name[]").map(|(_, value)| value.into_owned()).collect())
    }

    /// Whether everything is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn selects(&self, prometheus: &str, family: &Family) -> bool {
        let sample = || SAMPLE_SUFFIXES.iter().any(|suffix| self.0.contains(&format!("{prometheus}{suffix}")));
        self.is_everything()
            || self.0.contains(prometheus)
            || self.0.contains(family.name.as_ref())
            || family.kind == Kind::Histogram && sample()
    }
}

/// Which text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Text {
    /// Prometheus' text format 0.0.4.
    Prometheus,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

/// Writes the selected metrics of `snapshot`, those of the catalogue first. Only OpenMetrics has room for exemplars.
pub(crate) fn render_selected(
    (snapshot, exemplars): (&Snapshot, &Exemplified),
    selection: &Selection,
    text: Text,
    out: &mut String,
) {
    let classic = Classic::of(snapshot);
    let mut page = Page { out, text, classic: &classic, exemplars, opening: String::new() };
    if selection.is_everything() {
        page.target(snapshot);
    }
    for family in classic.families(selection) {
        page.family(&family);
    }
    if text == Text::OpenMetrics {
        page.out.push_str("# EOF\n");
    } else if selection.is_everything() {
        for (name, family) in classic.hidden() {
            // Two metrics of the service whose names differ only in characters that Prometheus does not have.
            let _ = writeln!(page.out, "# {:?} is not shown: another metric is called {name} here", family.name);
        }
    }
}

/// A snapshot as Prometheus sees it: its metrics under their Prometheus names, each name once, and the classic
/// boundaries of its histograms. A grid is missing when its boundaries are broken, and its histograms are then left out.
pub(super) struct Classic<'a> {
    snapshot: &'a Snapshot,
    duration: Option<std::sync::Arc<Grid>>,
    count: Option<std::sync::Arc<Grid>>,
    named: Vec<(String, &'a Family, Option<&'static Metric>)>,
    hidden: Vec<(String, &'a Family)>,
}

/// One metric as Prometheus sees it.
pub(super) struct Named<'a> {
    pub(super) name: &'a str,
    pub(super) family: &'a Family,
    pub(super) help: &'a str,
    pub(super) boundaries: Vec<Boundary>,
}

/// A classic boundary with the last bucket of the grid at or below it.
pub(super) struct Boundary {
    pub(super) upper: f64,
    last_bucket: usize,
}

impl Boundary {
    /// The values at or below each boundary; that of all values is not among them.
    pub(super) fn cumulative(boundaries: &[Self], histogram: &Histogram) -> impl Iterator<Item = (f64, u64)> {
        let mut buckets = histogram.buckets.iter().peekable();
        let mut below = 0_u64;
        boundaries.iter().map(move |boundary| {
            while let Some((_, count)) = buckets.next_if(|(bucket, _)| usize::from(*bucket) <= boundary.last_bucket) {
                below = below.saturating_add(*count);
            }
            (boundary.upper, below)
        })
    }
}

impl<'a> Classic<'a> {
    pub(super) fn of(snapshot: &'a Snapshot) -> Self {
        let grid = |kind| snapshot.grid(kind).ok();
        let translated = snapshot.metrics.iter().map(|family| {
            let name = catalog::prometheus_name(&family.name, &family.unit, family.kind);
            (name, family, catalog::find(&family.name))
        });
        let (built_in, custom): (Vec<_>, Vec<_>) = translated.partition(|(_, _, metric)| metric.is_some());
        let mut taken = HashSet::new();
        if snapshot.version.is_some() {
            taken.insert("target_info".to_owned());
        }
        let (mut named, mut hidden) = (Vec::with_capacity(built_in.len() + custom.len()), Vec::new());
        for (name, family, metric) in built_in.into_iter().chain(custom) {
            if claim(&mut taken, &name, family.kind) {
                named.push((name, family, metric));
            } else {
                hidden.push((name, family));
            }
        }
        Self { snapshot, duration: grid(GridKind::Duration), count: grid(GridKind::Count), named, hidden }
    }

    /// The selected metrics, those of the catalogue first.
    pub(super) fn families<'s>(&'s self, selection: &'s Selection) -> impl Iterator<Item = Named<'s>> {
        let selected = self.named.iter().filter(|(name, family, _)| selection.selects(name, family));
        selected.map(|(name, family, metric)| {
            let help = if family.help().is_empty() { "A metric of the service." } else { family.help() };
            let boundaries = if family.histograms.is_empty() { Vec::new() } else { self.boundaries(family, *metric) };
            Named { name, family, help, boundaries }
        })
    }

    fn hidden(&self) -> &[(String, &'a Family)] {
        &self.hidden
    }

    pub(super) fn grid(&self, kind: GridKind) -> Option<&Grid> {
        match kind {
            GridKind::Duration => self.duration.as_deref(),
            GridKind::Count => self.count.as_deref(),
        }
    }

    /// The classic boundaries of a histogram.
    fn boundaries(&self, family: &Family, metric: Option<&Metric>) -> Vec<Boundary> {
        let kind = family.grid_kind();
        let Some(grid) = self.grid(kind) else { return Vec::new() };
        let listed = metric.map_or_else(|| catalog::custom_boundaries(&family.unit), |metric| metric.boundaries);
        let extra = self.snapshot.extra_boundaries.get(&kind).into_iter().flatten();
        let extra = extra.map(|&bound| bound as f64 / kind.per_unit() as f64);
        let mut bounds: Vec<f64> = listed.iter().copied().chain(extra).collect();
        bounds.sort_by(f64::total_cmp);
        bounds.dedup();
        let exact = |upper: f64| Some(Boundary { upper, last_bucket: grid.boundary(upper)? });
        bounds.into_iter().filter_map(exact).collect()
    }
}

/// Each metric claims its sample names, so that no name is written twice.
fn claim(taken: &mut HashSet<String>, name: &str, kind: Kind) -> bool {
    let suffixes: &[&str] = if kind == Kind::Histogram { &SAMPLE_SUFFIXES } else { &[] };
    let names: Vec<String> =
        std::iter::once("").chain(suffixes.iter().copied()).map(|suffix| format!("{name}{suffix}")).collect();
    let free = !name.is_empty() && !names.iter().any(|name| taken.contains(name));
    if free {
        taken.extend(names);
    }
    free
}

/// The text under construction.
struct Page<'a> {
    out: &'a mut String,
    text: Text,
    classic: &'a Classic<'a>,
    exemplars: &'a Exemplified,
    /// What the buckets of one series begin with.
    opening: String,
}

impl Page<'_> {
    /// What is known of the process beyond `job` and `instance`, as OpenTelemetry's `target_info`.
    fn target(&mut self, snapshot: &Snapshot) {
        if let Some(version) = &snapshot.version {
            let mut labels = String::new();
            write_pair("service_version", version, &mut labels);
            let (name, kind) = match self.text {
                Text::Prometheus => ("target_info", "gauge"),
                Text::OpenMetrics => ("target", "info"),
            };
            self.head(name, kind, "What is known of the process.");
            self.sample("target_info", "", &labels, 1.0);
        }
    }

    fn family(&mut self, named: &Named<'_>) {
        let Named { name, family, help, boundaries } = named;
        let is_part = || SAMPLE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
        let kind = match family.kind {
            Kind::Counter => "counter",
            Kind::Histogram => "histogram",
            // OpenTelemetry's own names, which promtool takes for parts of a histogram unless they have no type
            Kind::UpDownCounter | Kind::Gauge if self.text == Text::Prometheus && is_part() => "untyped",
            Kind::UpDownCounter | Kind::Gauge => "gauge",
        };
        let base = match self.text {
            Text::OpenMetrics if family.kind == Kind::Counter => name.strip_suffix("_total").unwrap_or(name),
            _ => name,
        };
        self.head(base, kind, help);
        let series = family.numbers.iter().filter(|series| series.value.is_finite());
        let mut written = Written::new(family.numbers.iter().map(|series| &series.labels), false);
        for series in series {
            if let Some(labels) = written.labels(&series.labels) {
                self.sample(name, "", labels, series.value);
            }
        }
        let uppers: Vec<String> = boundaries.iter().map(|boundary| self.upper(boundary.upper)).collect();
        let mut written = Written::new(family.histograms.iter().map(|series| &series.labels), true);
        for series in &family.histograms {
            if let Some(labels) = written.labels(&series.labels) {
                self.histogram(named, labels, series, &uppers);
            }
        }
    }

    /// A boundary as the value of `le` and what stands behind it.
    fn upper(&self, upper: f64) -> String {
        match self.text {
            Text::Prometheus => format!("le=\"{upper}\"}} "),
            Text::OpenMetrics => format!("le=\"{upper:?}\"}} "),
        }
    }

    fn histogram(&mut self, named: &Named<'_>, labels: &str, series: &HistogramSeries, uppers: &[String]) {
        let name = named.name;
        let Some(grid) = self.classic.grid(named.family.grid_kind()) else { return };
        let sum = series.histogram.sum_in_unit(grid);
        let comma = if labels.is_empty() { "" } else { "," };
        let mut opening = std::mem::take(&mut self.opening);
        opening.clear();
        for part in [name, "_bucket{", labels, comma] {
            opening.push_str(part);
        }
        let exemplars = match self.text {
            Text::Prometheus => &[],
            Text::OpenMetrics => self.exemplars.of(&named.family.name, &series.labels),
        };
        let mut lower = f64::NEG_INFINITY;
        let mut bucket = |upper: f64, shown: &str, below: u64| {
            self.out.push_str(&opening);
            self.out.push_str(shown);
            self.out.push_str(itoa::Buffer::new().format(below));
            if let Some(exemplar) = Exemplar::newest(exemplars, lower, upper) {
                write_exemplar(exemplar, self.out);
            }
            self.out.push('\n');
            lower = upper;
        };
        for ((upper, below), shown) in Boundary::cumulative(&named.boundaries, &series.histogram).zip(uppers) {
            bucket(upper, shown, below);
        }
        bucket(f64::INFINITY, "le=\"+Inf\"} ", series.histogram.count);
        self.opening = opening;
        self.sample(name, "_sum", labels, sum);
        #[expect(clippy::cast_precision_loss, reason = "a count; exact below 2^53")]
        self.sample(name, "_count", labels, series.histogram.count as f64);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let mut help = help.replace('\\', r"\\").replace('\n', r"\n");
        if self.text == Text::OpenMetrics {
            help = help.replace('"', "\\\"");
        }
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        let unit = name.rsplit('_').next().and_then(|last| UNITS.into_iter().find(|unit| *unit == last));
        if let Some(unit) = unit.filter(|_| self.text == Text::OpenMetrics && kind != "info") {
            let _ = writeln!(self.out, "# UNIT {name} {unit}");
        }
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: f64) {
        let (open, close) = if labels.is_empty() { ("", " ") } else { ("{", "} ") };
        for part in [name, suffix, open, labels, close] {
            self.out.push_str(part);
        }
        write_number(value, self.out);
        self.out.push('\n');
    }
}

/// The labels of a metric's series as text, each once: series that differ only in what Prometheus does not have are one
/// series to it, and the first is shown.
struct Written<'a> {
    naming: Naming,
    before: Option<&'a Labels>,
    /// The texts so far, where the labels alone do not tell series apart.
    seen: HashSet<String>,
    text: String,
}

impl<'a> Written<'a> {
    fn new(series: impl Iterator<Item = &'a Labels>, histogram: bool) -> Self {
        let naming = Naming::of(series, histogram);
        Self { naming, before: None, seen: HashSet::new(), text: String::new() }
    }

    /// The labels without braces; `None` for a series that is not shown. Series come sorted by their labels.
    fn labels(&mut self, labels: &'a Labels) -> Option<&str> {
        let repeated = self.before.replace(labels) == Some(labels);
        self.text.clear();
        self.naming.each(labels, |name, value| write_pair(name, value, &mut self.text));
        let shown = if self.naming.tells_apart() { !repeated } else { self.seen.insert(self.text.clone()) };
        shown.then_some(self.text.as_str())
    }
}

/// A whole number without its point, as most are.
fn write_number(value: f64, text: &mut String) {
    #[expect(clippy::cast_possible_truncation, reason = "checked: a whole number below 2^53")]
    let whole = value as i64;
    if value.abs() < 2_f64.powi(53) && whole as f64 == value {
        text.push_str(itoa::Buffer::new().format(whole));
    } else {
        let _ = write!(text, "{value}");
    }
}

/// An exemplar behind its sample. Names and values together are 128 characters at most: ids are cut to 64 bytes before.
fn write_exemplar(exemplar: &Exemplar, text: &mut String) {
    text.push_str(" # {");
    let mut labels = String::new();
    exemplar.labels.iter().for_each(|(name, value)| write_pair(name, value, &mut labels));
    text.push_str(&labels);
    let seconds = exemplar.at.0 as f64 / 1e3;
    let _ = write!(text, "}} {:?} {seconds:.3}", exemplar.value);
}

/// A name and its value, behind others.
fn write_pair(name: &str, value: &str, text: &mut String) {
    if !text.is_empty() {
        text.push(',');
    }
    text.push_str(name);
    text.push_str("=\"");
    write_escaped(value, text);
    text.push('"');
}

fn write_escaped(value: &str, text: &mut String) {
    if !value.bytes().any(|byte| matches!(byte, b'\\' | b'"' | b'\n')) {
        return text.push_str(value);
    }
    for character in value.chars() {
        match character {
            '\\' => text.push_str(r"\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str(r"\n"),
            other => text.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use heartline_shared::snapshot::NumberSeries;
    use heartline_shared::{Histogram, UnixMillis};
    use proptest::prelude::*;

    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    fn labels<const N: usize>(pairs: [(&'static str, &str); N]) -> Labels {
        Labels::from_pairs(pairs)
    }

    fn number(name: &'static str, kind: Kind, unit: &'static str, series: Vec<(Labels, f64)>) -> Family {
        let numbers = series.into_iter().map(|(labels, value)| NumberSeries { labels, value }).collect();
        Family { name: name.into(), kind, unit: unit.into(), help: None, numbers, histograms: vec![] }
    }

    fn durations(name: &'static str, labels: Labels, nanos: &[u64]) -> Family {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        for &value in nanos {
            histogram.record(&grid, value);
        }
        let histograms = vec![HistogramSeries { labels, histogram }];
        Family { name: name.into(), kind: Kind::Histogram, unit: "s".into(), help: None, numbers: vec![], histograms }
    }

    fn snapshot(mut metrics: Vec<Family>) -> Snapshot {
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        Snapshot { metrics, ..Snapshot::default() }
    }

    fn text(snapshot: &Snapshot) -> String {
        let mut out = String::new();
        render_selected((snapshot, &Exemplified::default()), &Selection::default(), Text::Prometheus, &mut out);
        out
    }

    #[test]
    fn the_page_is_what_prometheus_expects() {
        let cart = labels([("http.request.method", "GET"), ("http.route", "/cart"), ("url.scheme", "http")]);
        let times = [4 * MILLISECOND, 300 * MILLISECOND, 300 * MILLISECOND + 1, 20_000 * MILLISECOND];
        let mut page = snapshot(vec![
            durations("http.server.request.duration", cart, &times),
            number("process.uptime", Kind::Gauge, "s", vec![(Labels::empty(), 12.5)]),
            number(
                "process.cpu.time",
                Kind::Counter,
                "s",
                vec![(labels([("cpu.mode", "system")]), 1.0), (labels([("cpu.mode", "user")]), 3.25)],
            ),
            number("process.cpu.utilization", Kind::Gauge, "1", vec![(labels([("cpu.mode", "user")]), 0.5)]),
        ]);
        page.version = Some("1.4.2".to_owned());
        let expected = r#"# HELP target_info What is known of the process.
# TYPE target_info gauge
target_info{service_version="1.4.2"} 1
# HELP http_server_request_duration_seconds How long requests took, by route, method and status.
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.005"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.01"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.025"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.05"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.075"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.1"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.25"} 1
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.3"} 2
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.5"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="0.75"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="1"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="2"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="2.5"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="5"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="7.5"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="10"} 3
http_server_request_duration_seconds_bucket{http_request_method="GET",http_route="/cart",url_scheme="http",le="+Inf"} 4
http_server_request_duration_seconds_sum{http_request_method="GET",http_route="/cart",url_scheme="http"} 20.604000001
http_server_request_duration_seconds_count{http_request_method="GET",http_route="/cart",url_scheme="http"} 4
# HELP process_cpu_time_seconds_total CPU time of the process.
# TYPE process_cpu_time_seconds_total counter
process_cpu_time_seconds_total{cpu_mode="system"} 1
process_cpu_time_seconds_total{cpu_mode="user"} 3.25
# HELP process_cpu_utilization_ratio Share of the CPU limit the process uses.
# TYPE process_cpu_utilization_ratio gauge
process_cpu_utilization_ratio{cpu_mode="user"} 0.5
# HELP process_uptime_seconds Time since the process started.
# TYPE process_uptime_seconds gauge
process_uptime_seconds 12.5
"#;
        assert_eq!(text(&page), expected);
    }

    #[test]
    fn open_metrics_names_families_without_total_writes_floats_and_ends() {
        let mut page = snapshot(vec![
            durations("checkout", labels([("a", "\"")]), &[300 * MILLISECOND]),
            number("process.cpu.time", Kind::Counter, "s", vec![(Labels::empty(), 3.25)]),
            number("process.thread.count", Kind::UpDownCounter, "{thread}", vec![(Labels::empty(), 4.0)]),
        ]);
        page.version = Some("1".to_owned());
        let mut out = String::new();
        render_selected((&page, &Exemplified::default()), &Selection::default(), Text::OpenMetrics, &mut out);
        for expected in [
            "# TYPE target info\ntarget_info{service_version=\"1\"} 1\n",
            "# TYPE process_cpu_time_seconds counter\n# UNIT process_cpu_time_seconds seconds\nprocess_cpu_time_seconds_total 3.25\n",
            "# TYPE process_thread_count gauge\nprocess_thread_count 4\n",
            "checkout_seconds_bucket{a=\"\\\"\",le=\"1.0\"} 1\n",
        ] {
            assert!(out.contains(expected), "{expected}\n{out}");
        }
        assert!(out.ends_with("\n# EOF\n") && !out.contains("# TYPE process_cpu_time_seconds_total"));
    }

    #[test]
    fn every_boundary_of_every_catalogued_histogram_is_written() {
        for metric in catalog::METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
            let histogram = Histogram { count: 1, sum: 7, buckets: vec![(0, 1)] };
            let histograms = vec![HistogramSeries { labels: Labels::empty(), histogram }];
            let family = Family { histograms, ..number(metric.name, Kind::Histogram, metric.unit, vec![]) };
            let written = text(&snapshot(vec![family])).matches("_bucket{le=").count();
            assert_eq!(written, metric.boundaries.len() + 1, "{}", metric.name);
        }
    }

    #[test]
    fn values_and_help_are_escaped_and_unknown_numbers_left_out() {
        let mut family = number(
            "orders",
            Kind::Gauge,
            "",
            vec![(labels([("path", "C:\\a\"b\nc")]), 1e21), (labels([("path", "unknown")]), f64::NAN)],
        );
        family.help = Some("Two\nlines \\ one.".into());
        let page = text(&snapshot(vec![family]));
        assert_eq!(
            page,
            "# HELP orders Two\\nlines \\\\ one.\n# TYPE orders gauge\n\
             orders{path=\"C:\\\\a\\\"b\\nc\"} 1000000000000000000000\n"
        );
    }

    #[test]
    fn labels_that_prometheus_keeps_for_itself_get_another_name() {
        let odd = labels([("__name__", "x"), ("a.b", "1"), ("a_b", "2"), ("empty", ""), ("le", "3"), ("9", "n")]);
        let page = text(&snapshot(vec![durations("custom.time", odd, &[5])]));
        let count = page.lines().find(|line| line.starts_with("custom_time_seconds_count")).unwrap();
        assert_eq!(count, r#"custom_time_seconds_count{_9="n",key__name__="x",a_b="1;2",exported_le="3"} 1"#);
    }

    #[test]
    fn a_name_that_is_taken_is_said_and_not_written_twice() {
        let one = |name| number(name, Kind::Gauge, "", vec![(Labels::empty(), 1.0)]);
        let page = text(&snapshot(vec![
            one("a.b"),
            one("a_b"),
            durations("orders", Labels::empty(), &[]),
            one("orders.seconds.count"),
        ]));
        assert_eq!(page.matches("# TYPE a_b gauge").count(), 1);
        assert!(page.contains(r#"# "a_b" is not shown: another metric is called a_b here"#), "{page}");
        assert_eq!(page.matches("\norders_seconds_count ").count(), 1, "{page}");
    }

    #[test]
    fn a_gauge_that_is_named_like_a_part_of_a_histogram_has_no_type() {
        let threads = number("process.thread.count", Kind::UpDownCounter, "{thread}", vec![(Labels::empty(), 4.0)]);
        assert!(
            text(&snapshot(vec![threads])).contains("# TYPE process_thread_count untyped\nprocess_thread_count 4\n")
        );
    }

    #[test]
    fn a_custom_metric_cannot_take_the_name_of_a_built_in_one() {
        let built_in = number("process.uptime", Kind::Gauge, "s", vec![(Labels::empty(), 5.0)]);
        let custom = number("process.uptime.seconds", Kind::Gauge, "", vec![(Labels::empty(), 6.0)]);
        let page = text(&snapshot(vec![custom, built_in]));
        assert!(page.contains("process_uptime_seconds 5\n") && !page.contains("process_uptime_seconds 6"), "{page}");
    }

    #[test]
    fn the_boundaries_a_service_added_are_written_too() {
        let mut page = snapshot(vec![durations("checkout", Labels::empty(), &[])]);
        page.extra_boundaries = BTreeMap::from([(GridKind::Duration, vec![200 * MILLISECOND])]);
        let grid = page.grid(GridKind::Duration).unwrap();
        page.metrics[0].histograms[0].histogram.record(&grid, 150 * MILLISECOND);
        let page = text(&page);
        assert!(page.contains("le=\"0.1\"} 0\n") && page.contains("le=\"0.2\"} 1\n"), "{page}");
    }

    #[test]
    fn exemplars_stand_behind_their_buckets_in_openmetrics_alone() {
        let series = labels([("http.route", "/cart")]);
        let name = "http.server.request.duration";
        let page = snapshot(vec![durations(name, series.clone(), &[30 * MILLISECOND, 20_000 * MILLISECOND])]);
        let mut exemplars = Exemplified::default();
        let exemplar =
            |value, at, id: &str| Exemplar { value, at: UnixMillis(at), labels: vec![("trace_id", id.to_owned())] };
        exemplars.add(name, series.clone(), exemplar(0.03, 1_500, "a"));
        exemplars.add(name, series.clone(), exemplar(0.04, 2_500, "b"));
        exemplars.add(name, series, exemplar(20.0, 3_000, "c\"\n"));
        let render = |text| {
            let mut out = String::new();
            render_selected((&page, &exemplars), &Selection::default(), text, &mut out);
            out
        };
        let open = render(Text::OpenMetrics);
        let shown: Vec<&str> = open.lines().filter(|line| line.contains(" # {")).collect();
        assert_eq!(
            shown,
            [
                "http_server_request_duration_seconds_bucket{http_route=\"/cart\",le=\"0.05\"} 1 # {trace_id=\"b\"} 0.04 2.500",
                "http_server_request_duration_seconds_bucket{http_route=\"/cart\",le=\"+Inf\"} 2 # {trace_id=\"c\\\"\\n\"} 20.0 3.000",
            ]
        );
        assert!(!render(Text::Prometheus).contains(" # {"));
    }

    #[test]
    fn a_selection_names_a_metric_in_any_of_its_forms() {
        let page = snapshot(vec![
            durations("http.server.request.duration", Labels::empty(), &[5]),
            number("process.uptime", Kind::Gauge, "s", vec![(Labels::empty(), 5.0)]),
        ]);
        let types = |query: &str| {
            let mut out = String::new();
            render_selected(
                (&page, &Exemplified::default()),
                &Selection::from_query(query),
                Text::Prometheus,
                &mut out,
            );
            out.matches("# TYPE").count()
        };
        assert_eq!(types(""), 2);
        assert_eq!(types("other=1"), 2);
        assert_eq!(types("name[]=process_uptime_seconds"), 1);
        assert_eq!(types("name%5B%5D=process.uptime&name[]=http_server_request_duration_seconds_bucket"), 2);
        assert_eq!(types("name[]=nothing"), 0);
    }

    proptest! {
        #[test]
        fn every_bucket_is_what_the_raw_values_give(
            nanos in prop::collection::vec(0_u64..20_000_000_000, 0..100),
            value in "\\PC{0,12}|[\\n\"\\\\]{1,4}",
        ) {
            let family = durations("db.client.operation.duration", labels([("db.query.summary", &value)]), &nanos);
            let page = text(&snapshot(vec![family]));
            let buckets: Vec<&str> = page.lines().filter(|line| line.contains("_bucket{")).collect();
            for bucket in &buckets {
                let (series, count) = bucket.rsplit_once(' ').unwrap();
                let bound = series.rsplit_once("le=\"").unwrap().1.trim_end_matches("\"}");
                let bound: f64 = bound.replace("+Inf", "inf").parse().unwrap();
                let expected = nanos.iter().filter(|nanos| **nanos as f64 <= bound * 1e9).count();
                prop_assert_eq!(count.parse::<usize>().unwrap(), expected, "le {}", bound);
            }
            prop_assert_eq!(buckets.len(), 10);
        }
    }
}
