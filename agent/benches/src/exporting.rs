//! The same data in our agent and in the plain OpenTelemetry SDK, each with a way to export it over OTLP as its users do:
//! HTTP/protobuf, from a thread of the library's own. Counting is not done here.

use std::error::Error;
use std::time::Duration;

use heartline::BuiltInCheck::{Cache, Exporter, Memory, Pool, Queue, Runtime};
use heartline::{Agent, AgentBuilder, Otlp, OtlpHistograms};
use heartline_shared::catalog::custom_boundaries;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_otlp::{Compression, MetricExporter, Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::metrics::{Aggregation, Instrument, PeriodicReader, SdkMeterProvider, Stream};

use crate::fixture::FIXTURE;

/// Values in each series: log-normal around 1 ms, a piece of the fixture.
pub const VALUES: usize = 256;
/// Nothing is exported but what is asked for.
const NEVER: Duration = Duration::from_hours(24);
/// Counting instructions makes everything slow.
const PATIENCE: Duration = Duration::from_mins(10);
const METRIC: &str = "bench.duration";

/// What is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Counters.
    Counters,
    /// Histograms with the boundaries that OpenTelemetry recommends for requests.
    Explicit,
    /// Exponential histograms at scale 5, ours and theirs: the same buckets.
    Exponential,
    /// Exponential histograms as each makes them unless told otherwise.
    ExponentialDefaults,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Counters, Self::Explicit, Self::Exponential, Self::ExponentialDefaults];

    /// As it is shown and said to a worker.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Explicit => "explicit",
            Self::Exponential => "exponential, scale 5",
            Self::ExponentialDefaults => "exponential, defaults",
        }
    }
}

/// Who exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The agent.
    Ours,
    /// opentelemetry_sdk with opentelemetry-otlp.
    Theirs,
}

impl Who {
    /// As it is shown and said to a worker.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ours => "heartline",
            Self::Theirs => "OpenTelemetry",
        }
    }
}

/// One export by one of them.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// By whom.
    pub who: Who,
    /// Of what.
    pub form: Form,
    /// Of how many series.
    pub series: usize,
    /// Whether the request is compressed.
    pub gzip: bool,
    /// Whereto.
    pub url: &'a str,
}

/// Exports once and waits until the receiver answered.
pub type Export = Box<dyn FnMut() -> Result<(), Box<dyn Error>>>;

/// Fills the series.
///
/// # Errors
/// When the library cannot be set up.
pub fn ready(case: Case<'_>) -> Result<Export, Box<dyn Error>> {
    match case.who {
        Who::Ours => ours(case),
        Who::Theirs => theirs(case),
    }
}

fn route(at: usize) -> String {
    format!("/api/v1/resources/{at:05}/items/{{id}}")
}

fn values(at: usize) -> impl Iterator<Item = usize> {
    (at * 7..at * 7 + VALUES).map(|value| value % FIXTURE.nanos.len())
}

fn ours(case: Case<'_>) -> Result<Export, Box<dyn Error>> {
    let histograms = if case.form == Form::Explicit { OtlpHistograms::Explicit } else { OtlpHistograms::Exponential };
    let otlp = Otlp::http(case.url).interval(NEVER).timeout(PATIENCE).gzip(case.gzip).histograms(histograms);
    let agent = Agent::builder("bench").without_listener().history_bytes(0).memory_budget(256 << 20);
    let checks = [Pool, Cache, Queue, Memory, Runtime, Exporter]; // they read everything now and then
    let agent = checks.into_iter().fold(agent, AgentBuilder::without_built_in_check);
    let agent = agent.series_limit(2 * case.series).otlp(otlp).start()?;
    agent.flush(PATIENCE)?; // so that its first own one does not come meanwhile
    let labels = ["method", "route", "status"];
    if case.form == Form::Counters {
        let family = agent.counter_family(METRIC, labels);
        (0..case.series).for_each(|at| family.counter(["GET", &route(at), "200"]).add(1 + at as u64));
    } else {
        let family = agent.histogram_family(METRIC, labels);
        for at in 0..case.series {
            let histogram = family.histogram(["GET", &route(at), "200"]);
            values(at).for_each(|value| histogram.record(FIXTURE.durations[value]));
        }
    }
    Ok(Box::new(move || Ok(agent.flush(PATIENCE)?)))
}

fn theirs(case: Case<'_>) -> Result<Export, Box<dyn Error>> {
    let exporter = MetricExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
    let exporter = exporter.with_endpoint(format!("{}/v1/metrics", case.url)).with_timeout(PATIENCE);
    let exporter = if case.gzip { exporter.with_compression(Compression::Gzip) } else { exporter }.build()?;
    let reader = PeriodicReader::builder(exporter).with_interval(NEVER).build();
    let view = move |_: &Instrument| {
        let stream = Stream::builder().with_cardinality_limit(case.series + 1);
        let exponential = |max_scale, max_size, record_min_max| Aggregation::Base2ExponentialHistogram {
            max_size,
            max_scale,
            record_min_max,
        };
        let stream = match case.form {
            Form::Exponential => stream.with_aggregation(exponential(5, 512, false)), // ours has no extremes
            Form::ExponentialDefaults => stream.with_aggregation(exponential(20, 160, true)),
            Form::Counters | Form::Explicit => stream,
        };
        stream.build().ok()
    };
    let provider = SdkMeterProvider::builder().with_reader(reader).with_view(view).build();
    provider.force_flush()?;
    fill(&provider.meter("bench"), case);
    Ok(Box::new(move || Ok(provider.force_flush()?)))
}

fn fill(meter: &Meter, case: Case<'_>) {
    let labels =
        |at| [KeyValue::new("method", "GET"), KeyValue::new("route", route(at)), KeyValue::new("status", "200")];
    if case.form == Form::Counters {
        let counter = meter.u64_counter(METRIC).build();
        (0..case.series).for_each(|at| counter.add(1 + at as u64, &labels(at)));
        return;
    }
    let histogram = meter.f64_histogram(METRIC).with_unit("s").with_boundaries(custom_boundaries("s").to_vec()).build();
    for at in 0..case.series {
        let labels = labels(at);
        values(at).for_each(|value| histogram.record(FIXTURE.seconds[value], &labels));
    }
}
