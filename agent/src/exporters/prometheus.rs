//! A snapshot as Prometheus text (format 0.0.4): names and labels translated as Prometheus translates OpenTelemetry's,
//! so that scraping gives the series that pushing gives; who asks and how it is sent is not known here.
//!
//! Histograms become classic `_bucket` series at the catalogue's boundaries: exact, because each is a boundary of the
//! grid. `le` is written as Prometheus' OTLP receiver writes it (`1`, not `1.0`). No timestamps, no `otel_scope_*`, and
//! neither `job` nor `instance`: the scraper sets these.

use std::collections::HashSet;
use std::fmt::Write as _;

use heartline_shared::catalog::{self, Kind, Metric};
use heartline_shared::snapshot::{Family, HistogramSeries};
use heartline_shared::{Grid, GridKind, Labels, Snapshot};

/// The media type of what [`render`] writes.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

const SAMPLE_SUFFIXES: [&str; 3] = ["_bucket", "_sum", "_count"];

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

    fn selects(&self, prometheus: &str, family: &Family) -> bool {
        let sample = || SAMPLE_SUFFIXES.iter().any(|suffix| self.0.contains(&format!("{prometheus}{suffix}")));
        self.is_everything()
            || self.0.contains(prometheus)
            || self.0.contains(family.name.as_ref())
            || family.kind == Kind::Histogram && sample()
    }
}

/// Writes every metric of `snapshot`.
pub(crate) fn render(snapshot: &Snapshot, out: &mut String) {
    render_selected(snapshot, &Selection::default(), out);
}

/// Writes the selected metrics of `snapshot`, those of the catalogue first.
pub(crate) fn render_selected(snapshot: &Snapshot, selection: &Selection, out: &mut String) {
    let mut page = Page { out, taken: HashSet::new(), grids: Grids::of(snapshot) };
    if selection.is_everything() {
        page.target(snapshot);
    }
    let translated = snapshot.metrics.iter().map(|family| {
        let metric = catalog::find(&family.name);
        (catalog::prometheus_name(&family.name, &family.unit, family.kind), family, metric)
    });
    let (built_in, custom): (Vec<_>, Vec<_>) = translated.partition(|(_, _, metric)| metric.is_some());
    for (name, family, metric) in built_in.iter().chain(&custom) {
        if selection.selects(name, family) {
            page.family(name, family, *metric);
        }
    }
}

/// The grids of one document; a kind is missing when its boundaries are broken, and its histograms are then left out.
struct Grids<'a> {
    snapshot: &'a Snapshot,
    duration: Option<std::sync::Arc<Grid>>,
    count: Option<std::sync::Arc<Grid>>,
}

impl<'a> Grids<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let grid = |kind| snapshot.grid(kind).ok();
        Self { snapshot, duration: grid(GridKind::Duration), count: grid(GridKind::Count) }
    }

    fn grid(&self, kind: GridKind) -> Option<&Grid> {
        match kind {
            GridKind::Duration => self.duration.as_deref(),
            GridKind::Count => self.count.as_deref(),
        }
    }

    /// The classic boundaries of a histogram, each with the last bucket of the grid at or below it.
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

struct Boundary {
    upper: f64,
    last_bucket: usize,
}

/// The text under construction. Each metric claims its sample names, so that no name is written twice.
struct Page<'a> {
    out: &'a mut String,
    taken: HashSet<String>,
    grids: Grids<'a>,
}

impl Page<'_> {
    /// What is known of the process beyond `job` and `instance`, as OpenTelemetry's `target_info`.
    fn target(&mut self, snapshot: &Snapshot) {
        if let Some(version) = &snapshot.version {
            let labels = labels_text(&Labels::from_pairs([("service.version", version.as_str())]), false);
            self.taken.insert("target_info".to_owned());
            self.head("target_info", "gauge", "What is known of the process.");
            self.sample("target_info", "", &labels, 1.0);
        }
    }

    fn family(&mut self, name: &str, family: &Family, metric: Option<&Metric>) {
        if !self.claim(name, family.kind) {
            // Two metrics of the service whose names differ only in characters that Prometheus does not have.
            let _ = writeln!(self.out, "# {:?} is not shown: another metric is called {name} here", family.name);
            return;
        }
        let kind = match family.kind {
            // OpenTelemetry's own names, which promtool takes for parts of a histogram unless they have no type
            Kind::UpDownCounter | Kind::Gauge if SAMPLE_SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) => {
                "untyped"
            }
            Kind::Counter => "counter",
            Kind::UpDownCounter | Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let help = family.help();
        self.head(name, kind, if help.is_empty() { "A metric of the service." } else { help });
        let mut seen = HashSet::new();
        for series in &family.numbers {
            let labels = labels_text(&series.labels, false);
            if series.value.is_finite() && seen.insert(labels.clone()) {
                self.sample(name, "", &labels, series.value);
            }
        }
        let boundaries = self.grids.boundaries(family, metric);
        for series in &family.histograms {
            let labels = labels_text(&series.labels, true);
            if seen.insert(labels.clone()) {
                self.histogram(name, &labels, series, (family.grid_kind(), &boundaries));
            }
        }
    }

    fn claim(&mut self, name: &str, kind: Kind) -> bool {
        let suffixes: &[&str] = if kind == Kind::Histogram { &SAMPLE_SUFFIXES } else { &[] };
        let names: Vec<String> =
            std::iter::once("").chain(suffixes.iter().copied()).map(|suffix| format!("{name}{suffix}")).collect();
        let free = !name.is_empty() && !names.iter().any(|name| self.taken.contains(name));
        if free {
            self.taken.extend(names);
        }
        free
    }

    fn histogram(&mut self, name: &str, labels: &str, series: &HistogramSeries, shape: (GridKind, &[Boundary])) {
        let (kind, boundaries) = shape;
        let Some(sum) = self.grids.grid(kind).map(|grid| series.histogram.sum_in_unit(grid)) else { return };
        let mut buckets = series.histogram.buckets.iter().peekable();
        let mut below = 0_u64;
        let comma = if labels.is_empty() { "" } else { "," };
        for Boundary { upper, last_bucket } in boundaries {
            while let Some((_, count)) = buckets.next_if(|(bucket, _)| usize::from(*bucket) <= *last_bucket) {
                below = below.saturating_add(*count);
            }
            let _ = writeln!(self.out, "{name}_bucket{{{labels}{comma}le=\"{upper}\"}} {below}");
        }
        let count = series.histogram.count;
        let _ = writeln!(self.out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
        self.sample(name, "_sum", labels, sum);
        #[expect(clippy::cast_precision_loss, reason = "a count; exact below 2^53")]
        self.sample(name, "_count", labels, count as f64);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let help = help.replace('\\', r"\\").replace('\n', r"\n");
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, suffix: &str, labels: &str, value: f64) {
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        let _ = writeln!(self.out, "{name}{suffix}{open}{labels}{close} {value}");
    }
}

/// Labels without the braces. Attributes that become the same label are joined by `;`, as OpenTelemetry asks; empty
/// values are left out, because to Prometheus an empty label is no label.
fn labels_text(labels: &Labels, histogram: bool) -> String {
    let mut named: Vec<(String, String)> = Vec::with_capacity(labels.len());
    for (name, value) in labels.iter().filter(|(_, value)| !value.is_empty()) {
        let label = label_name(name, histogram);
        match named.iter_mut().find(|(have, _)| *have == label) {
            Some((_, joined)) => {
                joined.push(';');
                joined.push_str(value);
            }
            None => named.push((label, value.to_owned())),
        }
    }
    let mut text = String::new();
    for (at, (name, value)) in named.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str(r"\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str(r"\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
    text
}

/// Names that Prometheus keeps for itself get a prefix: `__…` for every metric, `le` for histograms.
fn label_name(attribute: &str, histogram: bool) -> String {
    let label = catalog::prometheus_label(attribute);
    match label.as_str() {
        "" => "key".to_owned(),
        "le" if histogram => "exported_le".to_owned(),
        reserved if reserved.starts_with("__") => format!("key{reserved}"),
        _ => label,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use heartline_shared::Histogram;
    use heartline_shared::snapshot::NumberSeries;
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
        render(snapshot, &mut out);
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
    fn a_selection_names_a_metric_in_any_of_its_forms() {
        let page = snapshot(vec![
            durations("http.server.request.duration", Labels::empty(), &[5]),
            number("process.uptime", Kind::Gauge, "s", vec![(Labels::empty(), 5.0)]),
        ]);
        let types = |query: &str| {
            let mut out = String::new();
            render_selected(&page, &Selection::from_query(query), &mut out);
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
