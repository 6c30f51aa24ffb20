//! What others read from the agent: promtool's opinion of the metrics page, and a real Prometheus' numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use heartline_shared::catalog::{Kind, METRICS, find};
use heartline_shared::exponential::finest_scale;
use heartline_shared::snapshot::{Family, HistogramSeries};
use heartline_shared::{Exponential, Grid};
use heartline_tests::readings::{Totals, differences, totals};
use heartline_tests::servers::{Prometheus, check_metrics};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;

const LIMIT: Duration = Duration::from_mins(2);

/// Paths that are asked for with a trace, and their routes.
const TRACED: [(&str, &str); 2] = [("/products?limit=5", "/products"), ("/products/1", "/products/{id}")];

/// Metrics and the labels they are compared by.
const COMPARED: &[(&str, &[&str])] = &[
    ("http.server.request.duration", &["http.request.method", "http.route", "http.response.status_code"]),
    ("db.client.operation.duration", &["db.system.name", "db.query.summary"]),
    ("heartline.cache.requests", &["cache.name", "cache.tier", "cache.result"]),
    ("heartline.cache.writes", &["cache.name", "cache.tier"]),
    ("heartline.job.enqueued", &["queue.name", "job.name"]),
    ("heartline.job.completed", &["queue.name", "job.name", "job.outcome"]),
];

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics_page() -> Result<()> {
    let shop = Shop::start(Setup::default())?;
    shop.load("basic", 5)?.counts(LIMIT)?;
    let page = shop.agent_page("/metrics")?;
    for expected in ["http_server_request_duration_seconds_bucket", "heartline_cache_requests_total", "jemalloc_"] {
        ensure!(page.contains(expected), "there is no {expected} on the page:\n{page}");
    }
    let complaints = check_metrics(&page)?;
    let complaints: Vec<&str> = complaints.lines().filter(|line| !is_about_a_prescribed_name(line)).collect();
    ensure!(complaints.is_empty(), "promtool complains:\n{}", complaints.join("\n"));
    Ok(())
}

/// promtool would keep `_count` for histograms, while OpenTelemetry prescribes names such as `process.thread.count`, and
/// Prometheus' own translation of those keeps the ending. Names of the catalogue that end so are therefore fine.
fn is_about_a_prescribed_name(complaint: &str) -> bool {
    let (name, rest) = complaint.split_once(' ').unwrap_or((complaint, ""));
    let prescribed = METRICS
        .iter()
        .any(|metric| metric.name.rsplit('.').next() == Some("count") && metric.prometheus_name() == name);
    prescribed && rest.ends_with("should not have \"_count\" suffix")
}

#[test]
fn a_real_prometheus_reads_the_same_totals() -> Result<()> {
    let shop = Shop::start(Setup::default())?;
    let prometheus = Prometheus::start(shop.agent_url().trim_start_matches("http://"))?;
    shop.load("basic", 10)?.counts(LIMIT)?;
    wait_until(LIMIT, "Prometheus to read the same totals", || same_totals(&shop, &prometheus).map(Some))?;
    Ok(())
}

#[test]
fn a_real_prometheus_reads_native_histograms_and_their_quantiles_are_ours() -> Result<()> {
    let shop = Shop::start(Setup::default())?;
    let prometheus = Prometheus::start_with_native_histograms(shop.agent_url().trim_start_matches("http://"))?;
    shop.load("basic", 10)?.counts(LIMIT)?;
    wait_until(LIMIT, "Prometheus to agree about quantiles", || same_quantiles(&shop, &prometheus).map(Some))?;
    Ok(())
}

#[test]
#[expect(clippy::print_stdout, reason = "how many there were is shown")]
fn a_real_prometheus_keeps_exemplars_that_lead_to_the_traces_of_the_load() -> Result<()> {
    let shop = Shop::start(Setup::default())?;
    let prometheus = Prometheus::start(shop.agent_url().trim_start_matches("http://"))?;
    let client = reqwest::blocking::Client::new();
    // the trace of each request, and the route that it went to
    let mut sent: BTreeMap<String, &str> = BTreeMap::new();
    let kept = || prometheus.exemplars("http_server_request_duration_seconds_bucket");
    let mut number = 0_u64;
    let exemplars = wait_until(LIMIT, "Prometheus to keep exemplars of each route", || {
        for (path, route) in TRACED {
            number += 1;
            // as a tracing client makes them: 128 bits, 64 bits, and the flag that it is recorded
            let (trace, span) = (format!("{:016x}{number:016x}", 0x0af7_6519_16cd_43dd_u64), format!("{number:016x}"));
            let header = format!("00-{trace}-{span}-01");
            let answer = client.get(format!("{}{path}", shop.url())).header("traceparent", header).send()?;
            ensure!(answer.status().is_success(), "{path}: {}", answer.status());
            sent.insert(trace, route);
        }
        let exemplars = kept()?;
        let of_route = |route: &str| {
            exemplars.iter().filter(|it| it.series.get("http_route").is_some_and(|it| it == route)).count()
        };
        ensure!(TRACED.iter().all(|(_, route)| of_route(route) >= 3), "after {number} requests: {exemplars:?}");
        Ok(Some(exemplars))
    })?;
    let mut traced = 0;
    for exemplar in &exemplars {
        // checks of the load itself, which nobody traces, have their own ids
        let Some(trace) = exemplar.labels.get("trace_id") else { continue };
        let route = sent.get(trace).with_context(|| format!("nobody sent the trace of {exemplar:?}"))?;
        let bound: f64 = exemplar.series.get("le").context("a bucket has a boundary")?.parse()?;
        ensure!(exemplar.series.get("http_route").is_some_and(|it| it == route), "{exemplar:?} was sent to {route}");
        ensure!(exemplar.value > 0.0 && exemplar.value <= bound, "{exemplar:?} is not of its bucket");
        traced += 1;
    }
    ensure!(traced >= 3 * TRACED.len(), "{traced} of {} exemplars have traces", exemplars.len());
    println!("{traced} exemplars of {} in Prometheus lead to {} requests", exemplars.len(), sent.len());
    Ok(())
}

/// Buckets that a native histogram has before it gets coarser.
const NATIVE_BUCKETS_MAX: usize = 160;
/// What our own quantile may be off.
const OWN_TOLERANCE: f64 = 0.012;

/// By how much Prometheus' quantile may differ from ours: the two sides place it differently in its bucket, which is 2.2 %
/// wide at schema 5 and twice as wide at each below. A series whose values are spread far, as on a busy machine, is
/// coarser, and the sum is as coarse as the coarsest.
fn tolerance(family: &Family, grid: &Grid) -> f64 {
    let scale = |series: &HistogramSeries| {
        let mut buckets = Exponential::of(&series.histogram, grid, finest_scale(grid.kind()));
        while buckets.counts.iter().filter(|count| **count > 0).count() > NATIVE_BUCKETS_MAX {
            buckets = buckets.downscaled();
        }
        buckets.scale
    };
    let coarsest = family.histograms.iter().map(scale).min().unwrap_or(0);
    2_f64.powf(2_f64.powi(-coarsest)) - 1.0 + OWN_TOLERANCE
}

fn same_quantiles(shop: &Shop, prometheus: &Prometheus) -> Result<()> {
    let snapshot = shop.snapshot()?;
    let family = snapshot.family("http.server.request.duration").context("requests are counted")?;
    let grid = snapshot.grid(family.grid_kind())?;
    let mut all = heartline_shared::Histogram::default();
    for series in &family.histograms {
        all.merge(&series.histogram);
    }
    let count = prometheus.value("histogram_count(sum(http_server_request_duration_seconds))")?;
    ensure!(count == Some(all.count as f64), "{count:?} requests in native histograms, {} in ours", all.count);
    for quantile in [0.5, 0.9, 0.99] {
        let query = format!("histogram_quantile({quantile}, sum(http_server_request_duration_seconds))");
        let theirs = prometheus.value(&query)?.context("a native histogram has quantiles")?;
        let ours = all.quantile(&grid, quantile).context("requests have quantiles")?;
        let off = (theirs - ours).abs() / ours;
        ensure!(off <= tolerance(family, &grid), "p{quantile}: Prometheus says {theirs} s, the agent {ours} s");
    }
    Ok(())
}

fn same_totals(shop: &Shop, prometheus: &Prometheus) -> Result<()> {
    let snapshot = shop.snapshot()?;
    let mut found = Vec::new();
    for (metric, labels) in COMPARED {
        let ours = totals(&snapshot, metric, labels);
        ensure!(ours.values().sum::<u64>() > 0, "{metric} counted nothing");
        let theirs = prometheus_totals(prometheus, metric, labels)?;
        found.extend(
            differences(("the agent", &ours), ("Prometheus", &theirs))
                .into_iter()
                .map(|line| format!("{metric} {line}")),
        );
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(())
}

fn prometheus_totals(prometheus: &Prometheus, metric: &str, labels: &[&str]) -> Result<Totals> {
    let known = find(metric).expect("the compared metrics are in the catalogue");
    let suffix = if known.kind == Kind::Histogram { "_count" } else { "" };
    let labels: Vec<String> = labels.iter().map(|label| label.replace('.', "_")).collect();
    let query = format!("sum by ({}) ({}{suffix})", labels.join(", "), known.prometheus_name());
    prometheus.totals(&query, &labels)
}
