//! What an export over OTLP costs, ours beside the plain OpenTelemetry SDK's of the same data, to the same sink: instructions
//! of the whole process by callgrind, allocations of all its threads, bytes on the wire. Ends in how many times ours theirs is.
//!
//! `--smoke` exports a hundred series by each and holds the requests against each other; `--small` leaves 10,000 series out.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::alloc::System;
use std::error::Error;
use std::process::ExitCode;

use flate2::read::GzDecoder;
use heartline_bench::callgrind::instructions;
use heartline_bench::exporting::{Case, Form, VALUES, Who, ready};
use heartline_bench::sink::Sink;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use prost::Message as _;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Exports over which instructions are a mean: many where they are cheap.
const ROUNDS_SMALL: u64 = 8;
const ROUNDS_LARGE: u64 = 3;
const METRIC: &str = "bench.duration";

/// What one export takes.
#[derive(Debug, Clone, Copy)]
struct Cost {
    instructions: u64,
    allocations: usize,
    allocated: usize,
    wire: u64,
}

fn measure(case: Case<'_>, sink: &Sink) -> Result<Cost, Box<dyn Error>> {
    let mut export = ready(case)?;
    export()?; // buffers and connections are there afterwards
    sink.take();
    let region = Region::new(ALLOCATOR);
    export()?;
    let counted = region.change();
    let wire = sink.take().bytes;
    drop(export);
    let rounds = if case.series > 1_000 { ROUNDS_LARGE } else { ROUNDS_SMALL };
    let (series, gzip) = (case.series.to_string(), case.gzip.to_string());
    let worker = ["--worker", case.who.name(), case.form.name(), &series, &gzip, case.url];
    let instructions = instructions(&worker, rounds)?;
    Ok(Cost { instructions, allocations: counted.allocations, allocated: counted.bytes_allocated, wire })
}

fn compare(form: Form, (series, gzip): (usize, bool), sink: &Sink) -> Result<(), Box<dyn Error>> {
    let url = sink.url();
    let cost = |who| measure(Case { who, form, series, gzip, url: &url }, sink);
    let (ours, theirs) = (cost(Who::Ours)?, cost(Who::Theirs)?);
    let coding = if gzip { "gzip" } else { "plain" };
    for (who, cost) in [(Who::Ours, ours), (Who::Theirs, theirs)] {
        println!(
            "{:<22}{series:>7}{coding:>7}  {:<14}{:>14}{:>10}{:>9}{:>12}{:>12}",
            form.name(),
            who.name(),
            cost.instructions,
            cost.instructions / series as u64,
            cost.allocations,
            cost.allocated,
            cost.wire
        );
    }
    let ratio = |theirs: f64, ours: f64| theirs / ours;
    println!(
        "{:<22}{series:>7}{coding:>7}  {:<14}{:>13.2}x{:>18.2}x{:>11.2}x{:>11.2}x",
        form.name(),
        "theirs by ours",
        ratio(theirs.instructions as f64, ours.instructions as f64),
        ratio(theirs.allocations as f64, ours.allocations as f64),
        ratio(theirs.allocated as f64, ours.allocated as f64),
        ratio(theirs.wire as f64, ours.wire as f64),
    );
    Ok(())
}

/// What is exported of the bench's own metric: points, and values or the sum of counters.
fn contents(body: &[u8]) -> Result<(usize, u64), Box<dyn Error>> {
    let request = ExportMetricsServiceRequest::decode(body)?;
    let scopes = request.resource_metrics.iter().flat_map(|of| &of.scope_metrics);
    let metric = scopes.flat_map(|of| &of.metrics).find(|metric| metric.name == METRIC);
    let data = metric.and_then(|metric| metric.data.as_ref()).ok_or("the metric is not in the request")?;
    Ok(match data {
        Data::Sum(sum) => {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small whole numbers")]
            let value = |value| match value {
                Some(Value::AsInt(value)) => value as u64,
                Some(Value::AsDouble(value)) => value as u64,
                None => 0,
            };
            (sum.data_points.len(), sum.data_points.iter().map(|point| value(point.value)).sum())
        }
        Data::Histogram(of) => (of.data_points.len(), of.data_points.iter().map(|point| point.count).sum()),
        Data::ExponentialHistogram(of) => (of.data_points.len(), of.data_points.iter().map(|point| point.count).sum()),
        Data::Gauge(_) | Data::Summary(_) => return Err("the metric has another kind".into()),
    })
}

/// Both export the same.
fn smoke(sink: &Sink) -> Result<(), Box<dyn Error>> {
    const SERIES: usize = 100;
    let url = sink.url();
    for form in Form::ALL {
        let total = if form == Form::Counters { (1..=SERIES).sum() } else { SERIES * VALUES };
        for (who, gzip) in [(Who::Ours, false), (Who::Ours, true), (Who::Theirs, false), (Who::Theirs, true)] {
            ready(Case { who, form, series: SERIES, gzip, url: &url })?()?;
            let body = sink.take().body;
            let mut plain = Vec::new();
            if gzip {
                std::io::Read::read_to_end(&mut GzDecoder::new(&*body), &mut plain)?;
            } else {
                plain = body;
            }
            let found = contents(&plain)?;
            if found != (SERIES, total as u64) {
                return Err(format!("{who:?} exported {found:?} as {form:?}, not {:?}", (SERIES, total)).into());
            }
        }
    }
    println!("both export the same in {} forms", Form::ALL.len());
    Ok(())
}

/// Exports so many times; what is counted is the difference to fewer.
fn work(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let [who, form, series, gzip, url, rounds] = arguments else { return Err("a worker has six arguments".into()) };
    let who = if who == Who::Ours.name() { Who::Ours } else { Who::Theirs };
    let form = Form::ALL.into_iter().find(|known| known.name() == form).ok_or("no such form")?;
    let mut export = ready(Case { who, form, series: series.parse()?, gzip: gzip.parse()?, url })?;
    (0..rounds.parse::<u64>()?).try_for_each(|_| export())
}

fn run(arguments: &[String]) -> Result<(), Box<dyn Error>> {
    let is_asked = |option: &str| arguments.iter().any(|argument| argument == option);
    if let [first, rest @ ..] = arguments
        && first == "--worker"
    {
        return work(rest);
    }
    let sink = Sink::start()?;
    if is_asked("--smoke") {
        return smoke(&sink);
    }
    println!(
        "{:<22}{:>7}{:>7}  {:<14}{:>14}{:>10}{:>9}{:>12}{:>12}",
        "", "series", "", "", "instructions", "each", "allocs", "allocated", "wire bytes"
    );
    let sizes: &[usize] = if is_asked("--small") { &[1_000] } else { &[1_000, 10_000] };
    for &series in sizes {
        for form in Form::ALL {
            for gzip in [false, true] {
                compare(form, (series, gzip), &sink)?;
            }
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("measuring exports: {error}");
            ExitCode::FAILURE
        }
    }
}
