//! A snapshot as OTLP's messages, encoded: the metrics that `/metrics` shows, under their OpenTelemetry names. Who gets the
//! bytes is not known here.
//!
//! Nothing but the bytes is made: a service with ten thousand series exports them every minute. Field numbers are those of
//! [`metrics.proto`][proto].
//!
//! [proto]: https://github.com/open-telemetry/opentelemetry-proto/blob/main/opentelemetry/proto/metrics/v1/metrics.proto

use heartline_shared::catalog::Kind;
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries};
use heartline_shared::{Exponential, Grid, Labels, Snapshot, UnixMillis};
#[cfg(any(test, feature = "opentelemetry_sdk"))]
use opentelemetry_proto::tonic::metrics::v1::{Metric, metric::Data};
use prost::Message as _;
use prost::bytes::Bytes;

use super::resource;
use super::starts::Starts;
use crate::config::OtlpHistograms;
use crate::exporters::message::Message;
use crate::exporters::prometheus::{Boundary, Classic, Named, Selection};
use crate::exporters::protobuf::FILLED_MAX;
use crate::snapshot::{Exemplar, Exemplified};

/// The conventions that names follow.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
const CUMULATIVE: u64 = 2;

/// Numbers of fields.
mod field {
    pub(super) const REQUEST_RESOURCE_METRICS: u32 = 1;
    pub(super) const RESOURCE_METRICS_RESOURCE: u32 = 1;
    pub(super) const RESOURCE_METRICS_SCOPE_METRICS: u32 = 2;
    pub(super) const SCOPE_METRICS_SCOPE: u32 = 1;
    pub(super) const SCOPE_METRICS_METRICS: u32 = 2;
    /// Of `ResourceMetrics` and of `ScopeMetrics`.
    pub(super) const SCHEMA_URL: u32 = 3;
    pub(super) const SCOPE_NAME: u32 = 1;
    pub(super) const SCOPE_VERSION: u32 = 2;
    pub(super) const METRIC_NAME: u32 = 1;
    pub(super) const METRIC_DESCRIPTION: u32 = 2;
    pub(super) const METRIC_UNIT: u32 = 3;
    pub(super) const METRIC_GAUGE: u32 = 5;
    pub(super) const METRIC_SUM: u32 = 7;
    pub(super) const METRIC_HISTOGRAM: u32 = 9;
    pub(super) const METRIC_EXPONENTIAL: u32 = 10;
    /// Of every kind.
    pub(super) const DATA_POINTS: u32 = 1;
    pub(super) const TEMPORALITY: u32 = 2;
    pub(super) const SUM_IS_MONOTONIC: u32 = 3;
    /// Of points of every kind.
    pub(super) const START_TIME: u32 = 2;
    pub(super) const TIME: u32 = 3;
    pub(super) const NUMBER_VALUE: u32 = 4;
    pub(super) const NUMBER_ATTRIBUTES: u32 = 7;
    /// Of histograms of either kind.
    pub(super) const COUNT: u32 = 4;
    pub(super) const SUM: u32 = 5;
    pub(super) const EXPLICIT_COUNTS: u32 = 6;
    pub(super) const EXPLICIT_BOUNDS: u32 = 7;
    pub(super) const EXPLICIT_EXEMPLARS: u32 = 8;
    pub(super) const EXPLICIT_ATTRIBUTES: u32 = 9;
    pub(super) const EXPONENTIAL_ATTRIBUTES: u32 = 1;
    pub(super) const EXPONENTIAL_SCALE: u32 = 6;
    pub(super) const EXPONENTIAL_ZERO_COUNT: u32 = 7;
    pub(super) const EXPONENTIAL_POSITIVE: u32 = 8;
    pub(super) const EXPONENTIAL_EXEMPLARS: u32 = 11;
    pub(super) const EXPONENTIAL_ZERO_THRESHOLD: u32 = 14;
    pub(super) const BUCKETS_OFFSET: u32 = 1;
    pub(super) const BUCKETS_COUNTS: u32 = 2;
    pub(super) const EXEMPLAR_TIME: u32 = 2;
    pub(super) const EXEMPLAR_VALUE: u32 = 3;
    pub(super) const EXEMPLAR_TRACE: u32 = 5;
    pub(super) const EXEMPLAR_ATTRIBUTES: u32 = 7;
    pub(super) const KEY: u32 = 1;
    pub(super) const VALUE: u32 = 2;
    pub(super) const VALUE_TEXT: u32 = 1;
}

/// An `ExportMetricsServiceRequest`, encoded.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) body: Bytes,
    /// Data points in it.
    pub(super) points: u64,
}

/// Makes requests of snapshots.
#[derive(Debug)]
pub(super) struct Mapping {
    histograms: OtlpHistograms,
    attributes: Vec<(String, String)>,
    pub(super) starts: Starts,
    /// Bytes of the newest request: the next one is about as long.
    length: usize,
    /// The histogram that is being written.
    exponential: Exponential,
}

impl Mapping {
    pub(super) fn new(histograms: OtlpHistograms, attributes: Vec<(String, String)>) -> Self {
        Self { histograms, attributes, starts: Starts::default(), length: 0, exponential: Exponential::default() }
    }

    /// The request that pushes everything in `snapshot`, whose series may be in any order.
    pub(super) fn request(&mut self, snapshot: &Snapshot, exemplars: &Exemplified) -> Request {
        let resource = resource::of(snapshot, &self.attributes).encode_to_vec();
        let mut body = Vec::with_capacity(self.length + self.length / 16);
        let mut points = 0;
        self.starts.begin(snapshot.ts_ms);
        Message(&mut body).message(field::REQUEST_RESOURCE_METRICS, |of_resource| {
            of_resource.bytes(field::RESOURCE_METRICS_RESOURCE, &resource);
            of_resource.message(field::RESOURCE_METRICS_SCOPE_METRICS, |of_scope| {
                of_scope.message(field::SCOPE_METRICS_SCOPE, |scope| {
                    scope.text(field::SCOPE_NAME, "heartline");
                    scope.text(field::SCOPE_VERSION, env!("CARGO_PKG_VERSION"));
                });
                points = self.metrics(of_scope, (snapshot, exemplars));
                of_scope.text(field::SCHEMA_URL, SCHEMA_URL);
            });
            of_resource.text(field::SCHEMA_URL, SCHEMA_URL);
        });
        self.starts.end();
        self.length = body.len();
        Request { body: body.into(), points }
    }

    /// Writes every metric that has a series that can be said; returns how many points these have.
    fn metrics(&mut self, into: &mut Message<'_>, (snapshot, exemplars): (&Snapshot, &Exemplified)) -> u64 {
        let classic = Classic::of(snapshot);
        let mut points = 0;
        for named in classic.families(&Selection::default()) {
            let series = named.family.numbers.iter().filter(|series| series.value.is_finite()).count();
            let grid = classic.grid(named.family.grid_kind());
            let series = match named.family.kind {
                Kind::Histogram => grid.map_or(0, |_| named.family.histograms.len()),
                _ => series,
            };
            if series > 0 {
                let times = Times::of(snapshot, named.family);
                into.message(field::SCOPE_METRICS_METRICS, |metric| {
                    self.metric(metric, (&named, exemplars), (grid, times));
                });
            }
            points += series as u64;
        }
        points
    }

    fn metric(
        &mut self,
        metric: &mut Message<'_>,
        (named, exemplars): (&Named<'_>, &Exemplified),
        (grid, times): (Option<&Grid>, Times),
    ) {
        let family = named.family;
        metric.text(field::METRIC_NAME, &family.name);
        for (field, text) in [(field::METRIC_DESCRIPTION, family.help()), (field::METRIC_UNIT, &family.unit)] {
            if !text.is_empty() {
                metric.text(field, text);
            }
        }
        match (family.kind, grid) {
            (Kind::Gauge, _) => {
                metric.message(field::METRIC_GAUGE, |gauge| numbers(gauge, family, |_| 0, times));
            }
            (Kind::Counter | Kind::UpDownCounter, _) => metric.message(field::METRIC_SUM, |sum| {
                let is_monotonic = family.kind == Kind::Counter;
                let start = |series: &NumberSeries| {
                    if is_monotonic {
                        self.since(family, &series.labels, series.value, times)
                    } else {
                        times.started.map_or(0, nanos)
                    }
                };
                numbers(sum, family, start, times);
                sum.integer(field::TEMPORALITY, CUMULATIVE);
                sum.integer(field::SUM_IS_MONOTONIC, u64::from(is_monotonic));
            }),
            (Kind::Histogram, None) => {} // has no points and was not asked for
            (Kind::Histogram, Some(grid)) => self.histograms(metric, (named, exemplars), (grid, times)),
        }
    }

    fn histograms(
        &mut self,
        metric: &mut Message<'_>,
        (named, exemplars): (&Named<'_>, &Exemplified),
        (grid, times): (&Grid, Times),
    ) {
        let family = named.family;
        let form = match self.histograms {
            OtlpHistograms::Exponential => field::METRIC_EXPONENTIAL,
            OtlpHistograms::Explicit => field::METRIC_HISTOGRAM,
        };
        metric.message(form, |histogram| {
            for series in &family.histograms {
                let exemplars = exemplars.of(&family.name, &series.labels);
                histogram.message(field::DATA_POINTS, |point| match self.histograms {
                    OtlpHistograms::Exponential => self.exponential(point, (family, series, exemplars), (grid, times)),
                    OtlpHistograms::Explicit => self.explicit(point, (named, series, exemplars), (grid, times)),
                });
            }
            histogram.integer(field::TEMPORALITY, CUMULATIVE);
        });
    }

    fn exponential(
        &mut self,
        point: &mut Message<'_>,
        (family, series, exemplars): (&Family, &HistogramSeries, &[Exemplar]),
        (grid, times): (&Grid, Times),
    ) {
        let start = self.since(family, &series.labels, series.histogram.count as f64, times);
        let made = &mut self.exponential;
        made.refill_within(&series.histogram, grid, FILLED_MAX);
        attributes(point, field::EXPONENTIAL_ATTRIBUTES, &series.labels);
        point.fixed(field::START_TIME, start);
        point.fixed(field::TIME, times.now);
        point.fixed(field::COUNT, made.count);
        point.set_float(field::SUM, made.sum);
        point.signed(field::EXPONENTIAL_SCALE, i64::from(made.scale));
        point.fixed(field::EXPONENTIAL_ZERO_COUNT, made.zero_count);
        point.message(field::EXPONENTIAL_POSITIVE, |buckets| {
            buckets.signed(field::BUCKETS_OFFSET, i64::from(made.offset));
            buckets.integers(field::BUCKETS_COUNTS, &made.counts);
        });
        for event in exemplars {
            exemplar(point, field::EXPONENTIAL_EXEMPLARS, event);
        }
        point.float(field::EXPONENTIAL_ZERO_THRESHOLD, made.zero_threshold);
    }

    fn explicit(
        &mut self,
        point: &mut Message<'_>,
        (named, series, exemplars): (&Named<'_>, &HistogramSeries, &[Exemplar]),
        (grid, times): (&Grid, Times),
    ) {
        let histogram = &series.histogram;
        let start = self.since(named.family, &series.labels, histogram.count as f64, times);
        point.fixed(field::START_TIME, start);
        point.fixed(field::TIME, times.now);
        point.fixed(field::COUNT, histogram.count);
        point.set_float(field::SUM, histogram.sum_in_unit(grid));
        let mut below = 0;
        let mut counts = Vec::with_capacity(named.boundaries.len() + 1);
        for (_, at_or_below) in Boundary::cumulative(&named.boundaries, histogram) {
            counts.push(at_or_below.saturating_sub(std::mem::replace(&mut below, at_or_below)));
        }
        counts.push(histogram.count.saturating_sub(below));
        point.fixed_all(field::EXPLICIT_COUNTS, counts.iter().map(|count| count.to_le_bytes()));
        let bounds = named.boundaries.iter().map(|boundary| boundary.upper.to_le_bytes());
        point.fixed_all(field::EXPLICIT_BOUNDS, bounds);
        for event in exemplars {
            exemplar(point, field::EXPLICIT_EXEMPLARS, event);
        }
        attributes(point, field::EXPLICIT_ATTRIBUTES, &series.labels);
    }

    fn since(&mut self, family: &Family, labels: &Labels, value: f64, times: Times) -> u64 {
        let since = times.started.map(|started| self.starts.of(&family.name, labels, value, started));
        since.map_or(0, nanos).min(times.now)
    }
}

/// The times of one metric.
#[derive(Debug, Clone, Copy)]
struct Times {
    now: u64,
    /// Since when its first series count; `None` when it is not known.
    started: Option<UnixMillis>,
}

impl Times {
    fn of(snapshot: &Snapshot, family: &Family) -> Self {
        let started = if family.name.starts_with("system.") {
            None // since the machine booted, or its device was plugged in
        } else if family.name.starts_with("process.") {
            // by the system since the process began, which is before its agent did
            let uptime = snapshot.family("process.uptime").and_then(|family| Some(family.numbers.first()?.value));
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, as it should")]
            let began = uptime.map(|seconds| snapshot.ts_ms.0.saturating_sub((seconds * 1e3) as u64));
            Some(UnixMillis(began.unwrap_or(u64::MAX).min(snapshot.started_at_ms.0)))
        } else {
            Some(snapshot.started_at_ms)
        };
        // a wall clock that stepped back must not put a point before its own start
        Self { now: nanos(UnixMillis(snapshot.ts_ms.0.max(snapshot.started_at_ms.0))), started }
    }
}

fn numbers(into: &mut Message<'_>, family: &Family, mut start: impl FnMut(&NumberSeries) -> u64, times: Times) {
    for series in family.numbers.iter().filter(|series| series.value.is_finite()) {
        into.message(field::DATA_POINTS, |point| {
            point.fixed(field::START_TIME, start(series));
            point.fixed(field::TIME, times.now);
            point.set_float(field::NUMBER_VALUE, series.value);
            attributes(point, field::NUMBER_ATTRIBUTES, &series.labels);
        });
    }
}

/// An exemplar; an identifier that is no trace's is an attribute.
fn exemplar(point: &mut Message<'_>, field: u32, exemplar: &Exemplar) {
    point.message(field, |message| {
        message.fixed(field::EXEMPLAR_TIME, nanos(exemplar.at));
        message.set_float(field::EXEMPLAR_VALUE, exemplar.value);
        for (name, value) in &exemplar.labels {
            match u128::from_str_radix(value, 16) {
                Ok(trace) if *name == "trace_id" && value.len() == 32 => {
                    message.bytes(field::EXEMPLAR_TRACE, &trace.to_be_bytes());
                }
                _ => attribute(message, field::EXEMPLAR_ATTRIBUTES, name, value),
            }
        }
    });
}

fn attributes(point: &mut Message<'_>, field: u32, labels: &Labels) {
    labels.iter().for_each(|(name, value)| attribute(point, field, name, value));
}

fn attribute(into: &mut Message<'_>, field: u32, name: &str, value: &str) {
    into.message(field, |pair| {
        pair.text(field::KEY, name);
        pair.message(field::VALUE, |any| any.text(field::VALUE_TEXT, value));
    });
}

fn nanos(time: UnixMillis) -> u64 {
    time.0.saturating_mul(1_000_000)
}

/// Data points of a metric of somebody else.
#[cfg(any(test, feature = "opentelemetry_sdk"))]
pub(crate) fn count(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(summary)) => summary.data_points.len(),
        None => 0,
    };
    points as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use heartline_shared::GridKind;
    use heartline_shared::catalog::prometheus_name;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
    use opentelemetry_proto::tonic::metrics::v1::HistogramDataPoint;
    use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
    use proptest::prelude::*;

    use super::*;
    use crate::exporters::prometheus::{Text, render_selected};

    fn family(name: &'static str, kind: Kind, unit: &'static str) -> Family {
        let (name, unit) = (name.into(), unit.into());
        Family { name, kind, unit, help: None, numbers: vec![], histograms: vec![] }
    }

    fn numbers_of(name: &'static str, kind: Kind, unit: &'static str, values: &[(&'static str, f64)]) -> Family {
        let series = |&(label, value): &(&'static str, f64)| NumberSeries {
            labels: Labels::from_pairs([("queue.name", label)]),
            value,
        };
        Family { numbers: values.iter().map(series).collect(), ..family(name, kind, unit) }
    }

    fn histogram_of(name: &'static str, unit: &'static str, values: &[u64]) -> Family {
        let grid = Grid::of(GridKind::for_unit(unit));
        let mut histogram = heartline_shared::Histogram::default();
        for &value in values {
            histogram.record(&grid, value);
        }
        let labels = Labels::from_pairs([("http.route", "/carts/{id}")]);
        Family { histograms: vec![HistogramSeries { labels, histogram }], ..family(name, Kind::Histogram, unit) }
    }

    fn snapshot(mut metrics: Vec<Family>) -> Snapshot {
        metrics.sort_by(|a, b| a.name.cmp(&b.name));
        Snapshot {
            service: "shop".to_owned(),
            instance_id: "shop-1".to_owned(),
            started_at_ms: UnixMillis(1_000_000),
            ts_ms: UnixMillis(1_060_000),
            metrics,
            ..Snapshot::default()
        }
    }

    fn pushed(snapshot: &Snapshot, histograms: OtlpHistograms) -> ExportMetricsServiceRequest {
        let request = Mapping::new(histograms, vec![]).request(snapshot, &Exemplified::default());
        let decoded = ExportMetricsServiceRequest::decode(request.body.clone()).unwrap();
        let scope = &decoded.resource_metrics[0].scope_metrics[0];
        assert_eq!(scope.metrics.iter().map(count).sum::<u64>(), request.points);
        assert_eq!(decoded.encode_to_vec(), request.body.to_vec(), "encoded as the whole message is");
        decoded
    }

    fn labels(attributes: &[KeyValue], also: Option<String>) -> String {
        let pair = |pair: &KeyValue| match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
            Some(any_value::Value::StringValue(value)) => {
                format!("{}=\"{value}\"", heartline_shared::catalog::prometheus_label(&pair.key))
            }
            other => panic!("{other:?} is no text"),
        };
        let pairs: Vec<String> = attributes.iter().map(pair).chain(also.map(|le| format!("le=\"{le}\""))).collect();
        if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }
    }

    /// The samples that a receiver makes of a request, as Prometheus translates them.
    fn samples(request: &ExportMetricsServiceRequest) -> BTreeSet<String> {
        let mut samples = BTreeSet::new();
        for metric in &request.resource_metrics[0].scope_metrics[0].metrics {
            let (kind, points) = match metric.data.as_ref().unwrap() {
                Data::Gauge(gauge) => (Kind::Gauge, &gauge.data_points[..]),
                Data::Sum(sum) if sum.is_monotonic => (Kind::Counter, &sum.data_points[..]),
                Data::Sum(sum) => (Kind::UpDownCounter, &sum.data_points[..]),
                _ => (Kind::Histogram, &[][..]),
            };
            let name = prometheus_name(&metric.name, &metric.unit, kind);
            for point in points {
                let Some(Value::AsDouble(value)) = point.value else { panic!("{point:?}") };
                samples.insert(format!("{name}{} {value}", labels(&point.attributes, None)));
            }
            if let Some(Data::Histogram(histogram)) = &metric.data {
                histogram.data_points.iter().for_each(|point| buckets(&name, point, &mut samples));
            }
        }
        samples
    }

    fn buckets(name: &str, point: &HistogramDataPoint, samples: &mut BTreeSet<String>) {
        let mut below = 0;
        for (at, count) in point.bucket_counts.iter().enumerate() {
            below += count;
            let le = point.explicit_bounds.get(at).map_or("+Inf".to_owned(), f64::to_string);
            samples.insert(format!("{name}_bucket{} {below}", labels(&point.attributes, Some(le))));
        }
        let labels = labels(&point.attributes, None);
        samples.insert(format!("{name}_count{labels} {}", point.count));
        samples.insert(format!("{name}_sum{labels} {}", point.sum.unwrap()));
    }

    #[test]
    fn what_is_pushed_is_what_is_scraped_sample_by_sample() {
        let snapshot = snapshot(vec![
            numbers_of("heartline.job.enqueued", Kind::Counter, "{job}", &[("email", 7.0), ("sms", 0.0)]),
            numbers_of("heartline.job.count", Kind::UpDownCounter, "{job}", &[("email", -1.0)]),
            numbers_of("process.cpu.utilization", Kind::Gauge, "1", &[("email", 0.25)]),
            numbers_of("shop.unknown", Kind::Gauge, "", &[("email", f64::NAN), ("sms", 2.5)]),
            histogram_of(
                "http.server.request.duration",
                "s",
                &[1, 5_000_000, 299_000_000, 300_000_000, 400_000_000_000],
            ),
            histogram_of("db.client.response.returned_rows", "{row}", &[0, 1, 2, 5, 1 << 50]),
            histogram_of("shop.basket", "By", &[]),
        ]);
        let mut page = String::new();
        render_selected((&snapshot, &Exemplified::default()), &Selection::default(), Text::Prometheus, &mut page);
        let scraped: BTreeSet<String> = page.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        assert_eq!(samples(&pushed(&snapshot, OtlpHistograms::Explicit)), scraped);
        assert!(scraped.len() > 40, "{}", scraped.len());
    }

    #[test]
    fn series_start_when_they_began_and_gauges_do_not() {
        let mut first = snapshot(vec![
            numbers_of("heartline.job.enqueued", Kind::Counter, "{job}", &[("email", 7.0)]),
            numbers_of("process.cpu.time", Kind::Counter, "s", &[("user", 1.0)]),
            numbers_of("process.uptime", Kind::Gauge, "s", &[("", 90.0)]),
            numbers_of("system.disk.io", Kind::Counter, "By", &[("sda", 1e9)]),
        ]);
        let mut mapping = Mapping::new(OtlpHistograms::Exponential, vec![]);
        let starts = |mapping: &mut Mapping, snapshot: &Snapshot| -> Vec<u64> {
            let request =
                ExportMetricsServiceRequest::decode(mapping.request(snapshot, &Exemplified::default()).body).unwrap();
            let metrics = &request.resource_metrics[0].scope_metrics[0].metrics;
            let points = metrics.iter().flat_map(|metric| match metric.data.as_ref().unwrap() {
                Data::Gauge(gauge) => gauge.data_points.clone(),
                Data::Sum(sum) => sum.data_points.clone(),
                other => panic!("{other:?}"),
            });
            points.map(|point| point.start_time_unix_nano / 1_000_000_000).collect()
        };
        // the process began half a minute before its agent
        assert_eq!(starts(&mut mapping, &first), [1_000, 970, 0, 0]);
        first.ts_ms = UnixMillis(1_090_000);
        let email = Labels::from_pairs([("queue.name", "later")]);
        first.metrics[0].numbers.push(NumberSeries { labels: email, value: 1.0 });
        assert_eq!(starts(&mut mapping, &first), [1_000, 1_060, 970, 0, 0]);
    }

    #[test]
    fn the_resource_says_of_what_the_metrics_are_and_settings_win() {
        let mut named = snapshot(vec![]);
        named.version = Some("1.2.3".to_owned());
        let settings = vec![("host.name".to_owned(), "told".to_owned()), ("cloud.region".to_owned(), "eu".to_owned())];
        let request = Mapping::new(OtlpHistograms::default(), settings).request(&named, &Exemplified::default());
        let decoded = ExportMetricsServiceRequest::decode(request.body).unwrap();
        let resource = decoded.resource_metrics[0].resource.clone().unwrap();
        let value = |name: &str| {
            let mut found = resource.attributes.iter().filter(|pair| pair.key == name);
            let value = found.next().and_then(|pair| pair.value.clone()?.value);
            assert!(found.next().is_none(), "{name} occurs twice");
            value
        };
        let text = |text: &str| Some(any_value::Value::StringValue(text.to_owned()));
        for (name, expected) in [
            ("service.name", "shop"),
            ("service.instance.id", "shop-1"),
            ("service.version", "1.2.3"),
            ("host.name", "told"),
            ("cloud.region", "eu"),
            ("telemetry.sdk.language", "rust"),
        ] {
            assert_eq!(value(name), text(expected), "{name}");
        }
        assert_eq!(value("process.pid"), Some(any_value::Value::IntValue(i64::from(std::process::id()))));
        assert!(value("host.arch").is_some() && value("process.executable.name").is_some());
        assert_eq!(value("process.command_args"), None);
    }

    #[test]
    fn exemplars_carry_the_trace_that_they_stand_for() {
        let snapshot = snapshot(vec![histogram_of("http.server.request.duration", "s", &[5_000_000])]);
        let mut exemplars = Exemplified::default();
        let labels =
            vec![("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736".to_owned()), ("request_id", "r-1".to_owned())];
        let series = snapshot.metrics[0].histograms[0].labels.clone();
        let exemplar = Exemplar { value: 0.005, at: UnixMillis(1_050_000), labels };
        exemplars.add("http.server.request.duration", series, exemplar);
        let request = Mapping::new(OtlpHistograms::Exponential, vec![]).request(&snapshot, &exemplars);
        let decoded = ExportMetricsServiceRequest::decode(request.body).unwrap();
        let Some(Data::ExponentialHistogram(histogram)) =
            decoded.resource_metrics[0].scope_metrics[0].metrics[0].data.clone()
        else {
            panic!("no exponential histogram")
        };
        let [sent] = &histogram.data_points[0].exemplars[..] else { panic!("{histogram:?}") };
        assert_eq!(sent.trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
        assert_eq!(sent.filtered_attributes, [resource::text("request_id", "r-1")]);
        assert_eq!(sent.time_unix_nano, 1_050_000_000_000); // milliseconds as nanoseconds
    }

    proptest! {
        #[test]
        fn both_forms_of_a_histogram_hold_every_value_in_the_bucket_it_belongs_to(
            values in proptest::collection::vec(0..50_000_000_000_u64, 0..200),
        ) {
            let snapshot = snapshot(vec![histogram_of("http.server.request.duration", "s", &values)]);
            let of = |histograms| pushed(&snapshot, histograms).resource_metrics[0].scope_metrics[0].metrics[0].data.clone();
            let Some(Data::ExponentialHistogram(exponential)) = of(OtlpHistograms::Exponential) else { panic!() };
            let Some(Data::Histogram(explicit)) = of(OtlpHistograms::Explicit) else { panic!() };
            let (fine, coarse) = (&exponential.data_points[0], &explicit.data_points[0]);
            let sum = values.iter().sum::<u64>() as f64 / 1e9;
            prop_assert_eq!((fine.count, fine.sum), (values.len() as u64, Some(sum)));
            prop_assert_eq!((coarse.count, coarse.sum), (values.len() as u64, Some(sum)));
            let seconds = |nanos: u64| nanos as f64 / 1e9;
            for (at, &bound) in coarse.explicit_bounds.iter().enumerate() {
                let below: u64 = coarse.bucket_counts[..=at].iter().sum();
                let expected = values.iter().filter(|&&value| seconds(value) <= bound).count();
                prop_assert_eq!(below, expected as u64, "at or below {}", bound);
            }
            let positive = fine.positive.clone().unwrap();
            prop_assert_eq!(fine.zero_count + positive.bucket_counts.iter().sum::<u64>(), fine.count);
            prop_assert!(fine.scale <= 5 && positive.bucket_counts.iter().filter(|count| **count > 0).count() <= 160);
            // the formula of OpenTelemetry's data model; values of the grid's own resolution are at a bound or well off it
            let upper = |index: i32| (f64::from(index + 1) * f64::from(-fine.scale).exp2()).exp2();
            let mut below = fine.zero_count;
            for (index, count) in (positive.offset..).zip(&positive.bucket_counts) {
                below += count;
                let bound = upper(index) * (1.0 + 1e-12);
                let expected = values.iter().filter(|&&value| seconds(value) <= bound).count() as u64;
                prop_assert_eq!(below, expected, "at or below {}", bound);
            }
        }
    }
}
