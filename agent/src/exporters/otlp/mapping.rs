//! A snapshot as OTLP's messages, encoded: the metrics that `/metrics` shows, under their OpenTelemetry names. Who gets the
//! bytes is not known here.
//!
//! One metric at a time is a message in memory; what is kept is the encoded request.

use heartline_shared::catalog::Kind;
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries};
use heartline_shared::{Grid, Labels, Snapshot, UnixMillis};
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1 as otlp;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint,
    Metric, NumberDataPoint, Sum, metric::Data,
};
use prost::Message;
use prost::bytes::{BufMut as _, Bytes, BytesMut};

use super::resource;
use super::starts::Starts;
use crate::config::OtlpHistograms;
use crate::exporters::prometheus::{Boundary, Classic, Named, Selection};
use crate::exporters::protobuf::exponential;
use crate::snapshot::{Exemplar, Exemplified};

/// The conventions that names follow.
pub(super) const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

/// Keys of the fields that hold messages and texts: `number << 3 | 2`.
mod key {
    pub(super) const REQUEST_RESOURCE_METRICS: u8 = 0x0a;
    pub(super) const RESOURCE_METRICS_RESOURCE: u8 = 0x0a;
    pub(super) const RESOURCE_METRICS_SCOPE_METRICS: u8 = 0x12;
    pub(super) const SCOPE_METRICS_SCOPE: u8 = 0x0a;
    pub(super) const SCOPE_METRICS_METRICS: u8 = 0x12;
    pub(super) const SCHEMA_URL: u8 = 0x1a;
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
}

impl Mapping {
    pub(super) fn new(histograms: OtlpHistograms, attributes: Vec<(String, String)>) -> Self {
        Self { histograms, attributes, starts: Starts::default() }
    }

    /// The request that pushes everything in `snapshot`.
    pub(super) fn request(&mut self, snapshot: &Snapshot, exemplars: &Exemplified) -> Request {
        let classic = Classic::of(snapshot);
        let mut metrics = BytesMut::new();
        let mut points = 0;
        self.starts.begin(snapshot.ts_ms);
        for named in classic.families(&Selection::default()) {
            let metric = self.metric((snapshot, exemplars), &named, classic.grid(named.family.grid_kind()));
            if let Some(metric) = metric {
                points += count(&metric);
                put(&mut metrics, key::SCOPE_METRICS_METRICS, &metric);
            }
        }
        self.starts.end();
        Request { body: self.wrapped(snapshot, &metrics), points }
    }

    /// The encoded metrics within their scope, resource and request.
    fn wrapped(&self, snapshot: &Snapshot, metrics: &[u8]) -> Bytes {
        let scope = InstrumentationScope {
            name: "heartline".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let (mut before, mut after) = (BytesMut::new(), BytesMut::new());
        put(&mut before, key::SCOPE_METRICS_SCOPE, &scope);
        head(&mut after, key::SCHEMA_URL, SCHEMA_URL.len());
        after.put_slice(SCHEMA_URL.as_bytes());
        let in_scope = before.len() + metrics.len() + after.len();
        let mut of_resource = BytesMut::new();
        put(&mut of_resource, key::RESOURCE_METRICS_RESOURCE, &resource::of(snapshot, &self.attributes));
        head(&mut of_resource, key::RESOURCE_METRICS_SCOPE_METRICS, in_scope);
        let in_resource = of_resource.len() + in_scope + after.len();
        let mut body = BytesMut::with_capacity(in_resource + 16);
        head(&mut body, key::REQUEST_RESOURCE_METRICS, in_resource);
        for part in [&of_resource[..], &before, metrics, &after, &after] {
            body.put_slice(part);
        }
        body.freeze()
    }

    /// One metric; `None` when it has no series that can be said.
    fn metric(
        &mut self,
        (snapshot, exemplars): (&Snapshot, &Exemplified),
        named: &Named<'_>,
        grid: Option<&Grid>,
    ) -> Option<Metric> {
        let family = named.family;
        let times = Times::of(snapshot, family);
        let exemplars =
            |series: &HistogramSeries| exemplars.of(&family.name, &series.labels).iter().map(said).collect();
        let data = match (family.kind, self.histograms) {
            (Kind::Gauge, _) => Data::Gauge(Gauge { data_points: numbers(family, |_| 0, times) }),
            (Kind::Counter | Kind::UpDownCounter, _) => {
                let is_monotonic = family.kind == Kind::Counter;
                let start = |series: &NumberSeries| {
                    if is_monotonic {
                        self.since(family, &series.labels, series.value, times)
                    } else {
                        times.started.map_or(0, nanos)
                    }
                };
                let data_points = numbers(family, start, times);
                Data::Sum(Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic })
            }
            (Kind::Histogram, OtlpHistograms::Exponential) => {
                let grid = grid?;
                let point = |series: &HistogramSeries| ExponentialHistogramDataPoint {
                    exemplars: exemplars(series),
                    ..self.exponential(family, series, (grid, times))
                };
                let data_points: Vec<_> = family.histograms.iter().map(point).collect();
                Data::ExponentialHistogram(ExponentialHistogram { data_points, aggregation_temporality: CUMULATIVE })
            }
            (Kind::Histogram, OtlpHistograms::Explicit) => {
                let grid = grid?;
                let point = |series: &HistogramSeries| HistogramDataPoint {
                    exemplars: exemplars(series),
                    ..self.explicit(named, series, (grid, times))
                };
                let data_points: Vec<_> = family.histograms.iter().map(point).collect();
                Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE })
            }
        };
        let metric = Metric {
            name: family.name.clone().into_owned(),
            description: family.help().to_owned(),
            unit: family.unit.clone().into_owned(),
            data: Some(data),
            ..Metric::default()
        };
        (count(&metric) > 0).then_some(metric)
    }

    fn exponential(
        &mut self,
        family: &Family,
        series: &HistogramSeries,
        (grid, times): (&Grid, Times),
    ) -> ExponentialHistogramDataPoint {
        let made = exponential(&series.histogram, grid);
        ExponentialHistogramDataPoint {
            attributes: attributes(&series.labels),
            start_time_unix_nano: self.since(family, &series.labels, made.count as f64, times),
            time_unix_nano: times.now,
            count: made.count,
            sum: Some(made.sum),
            scale: made.scale,
            zero_count: made.zero_count,
            zero_threshold: made.zero_threshold,
            positive: Some(Buckets { offset: made.offset, bucket_counts: made.counts }),
            ..ExponentialHistogramDataPoint::default()
        }
    }

    fn explicit(
        &mut self,
        named: &Named<'_>,
        series: &HistogramSeries,
        (grid, times): (&Grid, Times),
    ) -> HistogramDataPoint {
        let histogram = &series.histogram;
        let mut explicit_bounds = Vec::with_capacity(named.boundaries.len());
        let mut bucket_counts = Vec::with_capacity(named.boundaries.len() + 1);
        let mut below = 0;
        for (upper, at_or_below) in Boundary::cumulative(&named.boundaries, histogram) {
            explicit_bounds.push(upper);
            bucket_counts.push(at_or_below.saturating_sub(std::mem::replace(&mut below, at_or_below)));
        }
        bucket_counts.push(histogram.count.saturating_sub(below));
        HistogramDataPoint {
            attributes: attributes(&series.labels),
            start_time_unix_nano: self.since(named.family, &series.labels, histogram.count as f64, times),
            time_unix_nano: times.now,
            count: histogram.count,
            sum: Some(histogram.sum_in_unit(grid)),
            bucket_counts,
            explicit_bounds,
            ..HistogramDataPoint::default()
        }
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

fn numbers(family: &Family, mut start: impl FnMut(&NumberSeries) -> u64, times: Times) -> Vec<NumberDataPoint> {
    let known = family.numbers.iter().filter(|series| series.value.is_finite());
    let point = known.map(|series| NumberDataPoint {
        attributes: attributes(&series.labels),
        start_time_unix_nano: start(series),
        time_unix_nano: times.now,
        value: Some(Value::AsDouble(series.value)),
        ..NumberDataPoint::default()
    });
    point.collect()
}

/// An exemplar; an identifier that is no trace's is an attribute.
fn said(exemplar: &Exemplar) -> otlp::Exemplar {
    let mut made = otlp::Exemplar {
        time_unix_nano: nanos(exemplar.at),
        value: Some(otlp::exemplar::Value::AsDouble(exemplar.value)),
        ..otlp::Exemplar::default()
    };
    for (name, value) in &exemplar.labels {
        match u128::from_str_radix(value, 16) {
            Ok(trace) if *name == "trace_id" && value.len() == 32 => made.trace_id = trace.to_be_bytes().to_vec(),
            _ => made.filtered_attributes.push(resource::text(name, value)),
        }
    }
    made
}

fn attributes(labels: &Labels) -> Vec<KeyValue> {
    labels.iter().map(|(name, value)| resource::text(name, value)).collect()
}

fn nanos(time: UnixMillis) -> u64 {
    time.0.saturating_mul(1_000_000)
}

fn count(metric: &Metric) -> u64 {
    let points = match &metric.data {
        Some(Data::Gauge(gauge)) => gauge.data_points.len(),
        Some(Data::Sum(sum)) => sum.data_points.len(),
        Some(Data::Histogram(histogram)) => histogram.data_points.len(),
        Some(Data::ExponentialHistogram(histogram)) => histogram.data_points.len(),
        Some(Data::Summary(_)) | None => 0,
    };
    points as u64
}

/// A field that is a message.
fn put(into: &mut BytesMut, key: u8, message: &impl Message) {
    head(into, key, message.encoded_len());
    into.reserve(message.encoded_len());
    message.encode(into).expect("a buffer that grows has room");
}

/// The key and the length of a field.
fn head(into: &mut BytesMut, key: u8, length: usize) {
    into.put_u8(key);
    prost::encode_length_delimiter(length, into).expect("a buffer that grows has room");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use heartline_shared::GridKind;
    use heartline_shared::catalog::prometheus_name;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value;
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
