//! Registries full of histograms, ours and the peers', each with a way to read it as its users do; timing is not done here.
#![expect(clippy::unwrap_used, reason = "a bench that cannot set a peer up has nothing to measure")]

use heartline::Agent;
use heartline_shared::frame::Coder;

use crate::fixture::{FIXTURE, boundaries};

/// Values in each series: log-normal around 1 ms, a piece of the fixture.
const VALUES: usize = 256;
/// Bytes that the names of series may take in a recording.
const DEFINITIONS_BYTES: usize = 64 << 20;

/// One library with its series filled; reading returns how many bytes or series it made.
pub type Read = Box<dyn FnMut() -> usize>;

/// Ours and each peer with so many series.
pub fn of(name: &str, series: usize) -> Option<Read> {
    Some(match name {
        "heartline snapshot" => heartline(series, |agent| agent.snapshot().metrics.len()),
        "heartline JSON" => {
            heartline(series, |agent| serde_json::to_vec(&agent.snapshot()).map_or(0, |json| json.len()))
        }
        "heartline frame" => frame(series),
        "heartline text" => heartline(series, |agent| agent.scrape("text/plain").len()),
        "heartline OpenMetrics" => heartline(series, |agent| agent.scrape("application/openmetrics-text").len()),
        "heartline protobuf" => heartline(series, |agent| agent.scrape(PROTOBUF).len()),
        "metrics-exporter-prometheus" => metrics(series),
        #[cfg(feature = "protobuf")]
        "metrics-exporter, protobuf" => metrics_protobuf(series),
        "prometheus" => prometheus(series),
        #[cfg(feature = "protobuf")]
        "prometheus, protobuf" => prometheus_protobuf(series),
        "prometheus-client" => prometheus_client(series),
        "measured" => measured(series),
        _ => return None,
    })
}

/// The names that [`of`] knows.
pub const ALL: &[&str] = &[
    "heartline snapshot",
    "heartline frame",
    "heartline JSON",
    "heartline text",
    "heartline OpenMetrics",
    "heartline protobuf",
    "metrics-exporter-prometheus",
    #[cfg(feature = "protobuf")]
    "metrics-exporter, protobuf",
    "prometheus",
    #[cfg(feature = "protobuf")]
    "prometheus, protobuf",
    "prometheus-client",
    "measured",
];

/// What a Prometheus server asks for when it takes native histograms.
const PROTOBUF: &str = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

fn route(at: usize) -> String {
    format!("/api/v1/resources/{at:05}/items/{{id}}")
}

fn values(at: usize) -> impl Iterator<Item = usize> {
    (at * 7..at * 7 + VALUES).map(|value| value % FIXTURE.nanos.len())
}

fn heartline(series: usize, read: fn(&Agent) -> usize) -> Read {
    let agent = filled(series);
    Box::new(move || read(&agent))
}

/// A second of the flight recorder in which nothing was counted: all series are read, and what changed is coded.
fn frame(series: usize) -> Read {
    let agent = filled(series);
    let first = agent.snapshot();
    let mut coder = Coder::new(&first, DEFINITIONS_BYTES);
    let _ = coder.frame(&first);
    Box::new(move || coder.frame(&agent.snapshot()).map_or(0, |made| made.frame.len()))
}

fn filled(series: usize) -> Agent {
    let agent = Agent::builder("bench").without_listener().history_bytes(0).memory_budget(256 << 20);
    let agent = agent.series_limit(2 * series).start().unwrap();
    let family = agent.histogram_family("bench.duration", ["method", "route", "status"]);
    for at in 0..series {
        let histogram = family.histogram(["GET", &route(at), "200"]);
        values(at).for_each(|value| histogram.record(FIXTURE.durations[value]));
    }
    agent
}

fn metrics(series: usize) -> Read {
    use metrics_exporter_prometheus::PrometheusBuilder;
    let handle = metrics_filled(PrometheusBuilder::new().set_buckets(&boundaries()).unwrap(), series);
    Box::new(move || handle.render().len())
}

/// Native histograms as fine as ours, without the classic buckets that ours have beside them.
#[cfg(feature = "protobuf")]
fn metrics_protobuf(series: usize) -> Read {
    use metrics_exporter_prometheus::{Matcher, NativeHistogramConfig, PrometheusBuilder};
    let fine = NativeHistogramConfig::new(2_f64.powf(1.0 / 32.0), 160, 1e-6).unwrap();
    let named = Matcher::Full("bench_duration".to_owned());
    let handle = metrics_filled(PrometheusBuilder::new().set_native_histogram_for_metric(named, fine), series);
    Box::new(move || handle.render_protobuf().len())
}

fn metrics_filled(
    builder: metrics_exporter_prometheus::PrometheusBuilder,
    series: usize,
) -> metrics_exporter_prometheus::PrometheusHandle {
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for at in 0..series {
            let histogram =
                metrics::histogram!("bench_duration", "method" => "GET", "route" => route(at), "status" => "200");
            values(at).for_each(|value| histogram.record(FIXTURE.seconds[value]));
        }
    });
    handle
}

fn prometheus(series: usize) -> Read {
    prometheus_by(prometheus::TextEncoder::new(), series)
}

/// Classic buckets only: it has no native ones.
#[cfg(feature = "protobuf")]
fn prometheus_protobuf(series: usize) -> Read {
    prometheus_by(prometheus::ProtobufEncoder::new(), series)
}

fn prometheus_by(encoder: impl prometheus::Encoder + 'static, series: usize) -> Read {
    use prometheus::{HistogramOpts, HistogramVec, Registry};
    let family = HistogramVec::new(
        HistogramOpts::new("bench_duration", "d").buckets(boundaries()),
        &["method", "route", "status"],
    )
    .unwrap();
    let registry = Registry::new();
    registry.register(Box::new(family.clone())).unwrap();
    for at in 0..series {
        let histogram = family.with_label_values(&["GET", &route(at), "200"]);
        values(at).for_each(|value| histogram.observe(FIXTURE.seconds[value]));
    }
    Box::new(move || {
        let mut page = Vec::new();
        encoder.encode(&registry.gather(), &mut page).unwrap();
        page.len()
    })
}

fn prometheus_client(series: usize) -> Read {
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;
    type Labels = Vec<(&'static str, String)>;
    let family = Family::<Labels, Histogram, fn() -> Histogram>::new_with_constructor(|| Histogram::new(boundaries()));
    let mut registry = Registry::default();
    registry.register("bench_duration", "d", family.clone());
    for at in 0..series {
        let labels = vec![("method", "GET".to_owned()), ("route", route(at)), ("status", "200".to_owned())];
        let histogram = family.get_or_create_owned(&labels);
        values(at).for_each(|value| histogram.observe(FIXTURE.seconds[value]));
    }
    Box::new(move || {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        text.len()
    })
}

fn measured(series: usize) -> Read {
    let routes: Vec<String> = (0..series).map(route).collect();
    crate::peers::measured_rendering(&routes, values)
}
