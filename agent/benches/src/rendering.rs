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
        "prometheus" => prometheus(series),
        "prometheus-client" => prometheus_client(series),
        "measured" => measured(series),
        _ => return None,
    })
}

/// The names that [`of`] knows.
pub const ALL: [&str; 10] = [
    "heartline snapshot",
    "heartline frame",
    "heartline JSON",
    "heartline text",
    "heartline OpenMetrics",
    "heartline protobuf",
    "metrics-exporter-prometheus",
    "prometheus",
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
    let recorder = PrometheusBuilder::new().set_buckets(&boundaries()).unwrap().build_recorder();
    let handle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        for at in 0..series {
            let histogram =
                metrics::histogram!("bench_duration", "method" => "GET", "route" => route(at), "status" => "200");
            values(at).for_each(|value| histogram.record(FIXTURE.seconds[value]));
        }
    });
    Box::new(move || handle.render().len())
}

fn prometheus(series: usize) -> Read {
    use prometheus::{Encoder, HistogramOpts, HistogramVec, Registry, TextEncoder};
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
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        text.len()
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
