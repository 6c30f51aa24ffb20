//! What is pushed over OTLP: through a real collector to an independent decoder, over gRPC and HTTP, held against the
//! agent's own document, its metrics page and a real Prometheus; and a collector that is killed and comes back.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_shared::catalog::{Kind, prometheus_label, prometheus_name};
use heartline_shared::{Exponential, Histogram, Labels, Snapshot};
use heartline_tests::readings::{page_samples, sample_name, total};
use heartline_tests::servers::{Point, Prometheus, Rotel};
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;

const LIMIT: Duration = Duration::from_mins(2);
const REQUESTS: &str = "http.server.request.duration";
/// How often the shop pushes here.
const INTERVAL_MS: u64 = 500;
/// Cumulative, as OTLP numbers it.
const CUMULATIVE: u32 = 2;
/// Megabytes that resident memory may differ by before and after a collector was away: what an allocator may keep, not what
/// unsent requests would take.
const SLACK_MB: f64 = 24.0;

fn pushing(protocol: &str, url: String, histograms: &str) -> Setup {
    let setup = Setup { arguments: vec!["--otlp".to_owned()], ..Setup::default() };
    setup
        .with("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .with("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        .with("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .with("OTEL_METRIC_EXPORT_INTERVAL", INTERVAL_MS.to_string())
        .with("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", histograms)
        .with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
}

#[test]
fn over_grpc_every_exponential_bucket_arrives() -> Result<()> {
    let rotel = Rotel::start()?;
    let shop = Shop::start(pushing("grpc", rotel.grpc(), "base2_exponential_bucket_histogram"))?;
    shop.load("basic", 8)?.counts(LIMIT)?;
    let compared = same_as_the_document(&shop, &rotel)?;
    ensure!(compared.numbers > 100 && compared.histograms > 30, "too little was at rest: {compared:?}");
    println!("over grpc: {compared:?}");
    Ok(())
}

#[test]
fn over_http_every_explicit_bucket_arrives_and_pulling_gives_the_same_series() -> Result<()> {
    let rotel = Rotel::start()?;
    let shop = Shop::start(pushing("http/protobuf", rotel.http(), "explicit_bucket_histogram"))?;
    let prometheus = Prometheus::start(shop.agent_url().trim_start_matches("http://"))?;
    shop.load("basic", 8)?.counts(LIMIT)?;
    let compared = same_as_the_document(&shop, &rotel)?;
    ensure!(compared.numbers > 100 && compared.histograms > 30, "too little was at rest: {compared:?}");
    let series = wait_until(LIMIT, "the same series by both ways", || pulled_and_pushed(&shop, &rotel, &prometheus))?;
    println!("over http: {compared:?}, {series} samples pulled and pushed alike");
    Ok(())
}

/// How much was compared.
#[derive(Debug, Default)]
struct Compared {
    numbers: usize,
    histograms: usize,
    quantiles: usize,
    /// Series that moved meanwhile: what was pushed lies between.
    moving: usize,
}

/// Holds what reached the collector against the documents before and after it.
fn same_as_the_document(shop: &Shop, rotel: &Rotel) -> Result<Compared> {
    wait_until(LIMIT, "the collector to have what the agent has", || {
        let before = shop.snapshot()?;
        let points = wait_until(LIMIT, "a push after that", || {
            let points = rotel.points()?;
            Ok(points.iter().any(|point| point.name == REQUESTS && point.time >= nanos(&before)).then_some(points))
        })?;
        let after = shop.snapshot()?;
        compare(&before, &points, &after).map(Some)
    })
}

fn nanos(snapshot: &Snapshot) -> u64 {
    snapshot.ts_ms.0 * 1_000_000
}

fn compare(before: &Snapshot, points: &[Point], after: &Snapshot) -> Result<Compared> {
    let mut compared = Compared::default();
    let newest = points.iter().map(|point| point.time).max().unwrap_or_default();
    let pushed: BTreeMap<(&str, Labels), &Point> = points
        .iter()
        .filter(|point| point.time >= newest.saturating_sub(1))
        .map(|point| ((point.name.as_str(), Labels::from_pairs(point.attributes.clone())), point))
        .collect();
    for (earlier, family) in before.metrics.iter().filter_map(|family| Some((family, after.family(&family.name)?))) {
        let grid = after.grid(family.grid_kind())?;
        let find = |labels: &Labels| {
            let found = pushed.get(&(family.name.as_ref(), labels.clone()));
            found.copied().with_context(|| format!("{} {labels} did not arrive", family.name))
        };
        for (old, new) in earlier
            .numbers
            .iter()
            .filter_map(|old| Some((old, family.numbers.iter().find(|new| new.labels == old.labels)?)))
        {
            let point = find(&old.labels)?;
            let value = point.value.context("a number")?;
            ensure!(point.monotonic == (family.kind == Kind::Counter), "{} is {:?}", family.name, point.kind);
            ensure!(family.kind == Kind::Gauge || point.temporality == CUMULATIVE, "{point:?}");
            if old.value == new.value {
                compared.numbers += usize::from(family.kind == Kind::Gauge || value == new.value);
                let same = value == new.value || family.kind != Kind::Counter;
                ensure!(same, "{} {}: {value} was pushed and {} is so", family.name, old.labels, new.value);
            } else {
                compared.moving += 1;
                let between = family.kind != Kind::Counter || (old.value..=new.value).contains(&value);
                ensure!(between, "{} {}: {value} is outside {} to {}", family.name, old.labels, old.value, new.value);
            }
        }
        for (old, new) in earlier
            .histograms
            .iter()
            .filter_map(|old| Some((old, family.histograms.iter().find(|new| new.labels == old.labels)?)))
        {
            let point = find(&old.labels)?;
            let count = point.count.context("a count")?;
            ensure!((old.histogram.count..=new.histogram.count).contains(&count), "{point:?}");
            if old.histogram != new.histogram {
                compared.moving += 1;
                continue;
            }
            compared.histograms += 1;
            compared.quantiles += same_histogram(point, &new.histogram, &grid)
                .with_context(|| format!("{} {}", family.name, old.labels))?;
        }
    }
    Ok(compared)
}

/// Every bucket; and the quantiles that a reader of exponential buckets finds. Says how many of these.
fn same_histogram(point: &Point, ours: &Histogram, grid: &heartline_shared::Grid) -> Result<usize> {
    ensure!(point.sum == Some(ours.sum_in_unit(grid)), "sums {:?} and {}", point.sum, ours.sum_in_unit(grid));
    let counts = point.counts.as_deref().unwrap_or_default();
    if let Some(bounds) = &point.bounds {
        let mut below = 0;
        for (bound, count) in bounds.iter().zip(counts) {
            below += count;
            ensure!(Some(below) == ours.count_at_or_below(grid, *bound), "at or below {bound}: {below}");
        }
        ensure!(counts.iter().sum::<u64>() == ours.count && counts.len() == bounds.len() + 1, "{point:?}");
        return Ok(0);
    }
    let scale = point.scale.context("a scale")?;
    let expected = Exponential::of(ours, grid, scale);
    ensure!(expected.counts == counts && Some(expected.offset) == point.offset, "buckets of {point:?}");
    ensure!(Some(expected.zero_count) == point.zero_count, "zeros of {point:?}");
    let mut quantiles = 0;
    let width = (-f64::from(scale)).exp2().exp2();
    for q in [0.5, 0.95, 0.99].into_iter().filter(|_| ours.count > 0) {
        let dashboard = ours.quantile(grid, q).context("a quantile")?;
        let theirs = quantile(point, scale, q);
        // both name the middle of the bucket of the same rank, and a bucket is this wide
        let alike = dashboard <= 1e-6 || (dashboard / theirs).max(theirs / dashboard) <= width;
        ensure!(alike, "q {q}: {dashboard} here, {theirs} from the exponential buckets at scale {scale}");
        quantiles += 1;
    }
    Ok(quantiles)
}

/// As a backend finds it: the geometric middle of the bucket of that rank.
fn quantile(point: &Point, scale: i32, q: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    let rank = q * point.count.unwrap_or_default() as f64;
    let mut below = point.zero_count.unwrap_or_default();
    let base = (-f64::from(scale)).exp2();
    for (index, count) in (point.offset.unwrap_or_default()..).zip(point.counts.as_deref().unwrap_or_default()) {
        #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
        let is_before = (below as f64) < rank;
        below += count;
        #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
        let reaches = below as f64 >= rank;
        if is_before && reaches {
            return ((f64::from(index) + 0.5) * base).exp2();
        }
    }
    1e-6 // among the zeros
}

/// Series by series: what the collector got is what the page shows and what Prometheus read, wherever the page stood still.
fn pulled_and_pushed(shop: &Shop, rotel: &Rotel, prometheus: &Prometheus) -> Result<Option<usize>> {
    let first = page_samples(&shop.agent_page("/metrics")?);
    let asked = shop.snapshot()?;
    let points = wait_until(LIMIT, "a push after that", || {
        let points = rotel.points()?;
        Ok(points.iter().any(|point| point.name == REQUESTS && point.time > nanos(&asked)).then_some(points))
    })?;
    let read = prometheus.samples("{job=\"shop\"}")?;
    let second = page_samples(&shop.agent_page("/metrics")?);
    let newest = points.iter().map(|point| point.time).max().unwrap_or_default();
    let pushed: BTreeMap<String, f64> =
        points.iter().filter(|point| point.time == newest).flat_map(translated).collect();
    let names = |samples: &BTreeMap<String, f64>| -> BTreeSet<String> {
        samples.keys().filter(|name| !name.starts_with("target_info")).cloned().collect()
    };
    let (pulled, sent) = (names(&second), names(&pushed));
    let differ: Vec<&String> = pulled.symmetric_difference(&sent).collect();
    ensure!(differ.is_empty(), "only pulled or only pushed: {differ:?}");
    let mut alike = 0;
    for (name, value) in second.iter().filter(|(name, value)| first.get(*name) == Some(value)) {
        let Some(theirs) = pushed.get(name) else { continue };
        let volatile = ["_utilization", "_ratio", "heartline_export_lag"].iter().any(|part| name.contains(part));
        ensure!(volatile || theirs == value, "{name}: {value} on the page, {theirs} pushed");
        ensure!(volatile || read.get(name) == Some(value), "{name}: {value} here, {:?} in Prometheus", read.get(name));
        alike += usize::from(!volatile);
    }
    ensure!(alike > 500, "only {alike} samples stood still");
    Ok(Some(alike))
}

/// The samples that Prometheus makes of a point.
fn translated(point: &Point) -> Vec<(String, f64)> {
    let kind = match point.kind.as_str() {
        "gauge" => Kind::Gauge,
        "sum" if point.monotonic => Kind::Counter,
        "sum" => Kind::UpDownCounter,
        _ => Kind::Histogram,
    };
    let name = prometheus_name(&point.name, &point.unit, kind);
    let labels: Vec<(String, &str)> =
        point.attributes.iter().map(|(name, value)| (prometheus_label(name), value.as_str())).collect();
    let sample = |suffix: &str, le: Option<&str>| {
        let own = labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| (name.as_str(), *value));
        sample_name(&format!("{name}{suffix}"), own.chain(le.map(|le| ("le", le))))
    };
    if let Some(value) = point.value {
        return vec![(sample("", None), value)];
    }
    #[expect(clippy::cast_precision_loss, reason = "counts of a test")]
    let number = |count: u64| count as f64;
    let mut samples = vec![
        (sample("_count", None), number(point.count.unwrap_or_default())),
        (sample("_sum", None), point.sum.unwrap_or_default()),
    ];
    let mut below = 0;
    for (at, count) in point.counts.iter().flatten().enumerate() {
        below += count;
        let bound = point.bounds.as_ref().and_then(|bounds| bounds.get(at)).copied().unwrap_or(f64::INFINITY);
        samples.push((sample("_bucket", Some(&bound.to_string())), number(below)));
    }
    samples
}

/// How long the collector is away; `HEARTLINE_COLLECTOR_AWAY` seconds, 20 otherwise.
fn away() -> Result<u64> {
    match std::env::var("HEARTLINE_COLLECTOR_AWAY") {
        Ok(seconds) => seconds.parse().with_context(|| format!("HEARTLINE_COLLECTOR_AWAY={seconds} is no number")),
        Err(_) => Ok(20),
    }
}

/// The agent's own figure grows meanwhile: by its history, as it does without any exporter (`unhindered` holds the two against
/// each other); the history's own limit is 8 MB.
#[test]
fn a_collector_that_was_killed_has_exact_totals_once_it_is_back_and_memory_stayed_flat() -> Result<()> {
    let seconds = away()?;
    let mut rotel = Rotel::start()?;
    let shop = Shop::start(pushing("grpc", rotel.grpc(), "base2_exponential_bucket_histogram"))?;
    // caches reach their size; so does the pool, which otherwise opens connections, each with pages of its own, when this machine
    // is slower than before
    shop.fault("pool-exhaustion", true, None)?;
    shop.load("basic", 8)?.counts(LIMIT)?;
    shop.fault("pool-exhaustion", false, None)?;
    wait_until(LIMIT, "a first push", || Ok((!rotel.points()?.is_empty()).then_some(())))?;
    let load = shop.load("basic", seconds)?;
    rotel.kill();
    let before = (own_bytes(&shop.snapshot()?)?, resident(&shop)?);
    load.counts(LIMIT + Duration::from_secs(seconds))?;
    let during = shop.snapshot()?;
    let after = (own_bytes(&during)?, resident(&shop)?);
    let lag = number(&during, "heartline.export.lag")?;
    #[expect(clippy::cast_precision_loss, reason = "seconds of a test")]
    let expected = seconds as f64 - 3.0;
    ensure!(lag >= expected, "the lag is {lag} s after {seconds} s without a collector");
    ensure!(after.0 < before.0 + 4e6, "the agent held {} bytes, and {} later", before.0, after.0);
    ensure!(after.1 < before.1 + SLACK_MB, "resident: {} MB, and {} MB later", before.1, after.1);
    rotel.bring_back()?;
    wait_until(LIMIT, "the lag to be short again", || {
        Ok((number(&shop.snapshot()?, "heartline.export.lag")? < 5.0).then_some(()))
    })?;
    let compared = same_as_the_document(&shop, &rotel)?;
    let requests = total(&shop.snapshot()?, REQUESTS);
    println!(
        "away for {seconds} s: agent {} -> {} bytes, resident {:.1} -> {:.1} MB, lag {lag:.1} s; afterwards {requests} requests, {compared:?}",
        before.0, after.0, before.1, after.1
    );
    Ok(())
}

fn number(snapshot: &Snapshot, metric: &str) -> Result<f64> {
    let family = snapshot.family(metric).with_context(|| format!("there is no {metric}"))?;
    Ok(family.numbers.first().with_context(|| format!("{metric} has no series"))?.value)
}

fn own_bytes(snapshot: &Snapshot) -> Result<f64> {
    number(snapshot, "heartline.agent.memory")
}

/// Megabytes of the shop.
fn resident(shop: &Shop) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", shop.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
}
