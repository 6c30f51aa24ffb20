//! The engine beside Prometheus: the same samples and the same expressions through promtool.
//!
//! Needs promtool (package `prometheus`, which `./test` installs) and fails without it.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use heartline_shared::alerts::{AlertFile, Engine, Samples};
use heartline_shared::buckets::GridKind;
use heartline_shared::{Grid, Histogram, UnixMillis, catalog};

use crate::documents::{Document, TARGET};

/// Between two samples; no edge of a window falls on one, so that both major versions of Prometheus select alike.
const STEP: u64 = 13;
const STEPS: u64 = 60;
/// A multiple of `STEP` and of no interval, for samples off the evaluation's grid.
const EVALUATE_AT: u64 = 600;

/// Latencies of request `n`, in milliseconds: a fixed walk over all buckets.
fn latency(n: u64) -> u64 {
    (n * n * 7919 + n * 104_729) % 12_000 + 1
}

/// Requests up to `step`; the process restarted at step 30.
fn latencies(step: u64) -> Histogram {
    let grid = Grid::of(GridKind::Duration);
    let mut histogram = Histogram::default();
    let since = if step >= 30 { 30 } else { 0 };
    for n in since * 5..step * 5 {
        histogram.record(&grid, latency(n) * 1_000_000);
    }
    histogram
}

fn memory(step: u64) -> f64 {
    (1_000_000 + step * step * 137 + latency(step)) as f64
}

fn engine_value(signal: &str, threshold: &str) -> f64 {
    let rules = format!(
        "version = 1\n[[alert]]\nname = 'A'\nover = '5m'\nevery = '30s'\nsignal = '{signal}'\nwarning = '{threshold}'"
    );
    let file = AlertFile::parse(&rules, "rules").unwrap_or_else(|faults| panic!("{}", faults[0]));
    let (mut samples, mut engine) = (Samples::for_file(&file), Engine::new(&file));
    let epoch = UnixMillis(1_800_000_000_000);
    for step in 0..STEPS {
        let document = Document::new()
            .histogram("http.server.request.duration", latencies(step))
            .number("process.memory.usage", &[], memory(step))
            .number("heartline.memory.limit", &[], 9_000_000.0);
        let at = epoch + Duration::from_secs(step * STEP);
        if at <= epoch + Duration::from_secs(EVALUATE_AT) {
            samples.record(&TARGET.key(), &document.snapshot(), at);
        }
    }
    engine.evaluate(&samples, epoch + Duration::from_secs(EVALUATE_AT));
    engine.values("A").next().map(|(_, value)| value).unwrap()
}

/// `value(step)` over all steps, as promtool's unit tests write series.
fn series(name: &str, value: impl Fn(u64) -> f64) -> String {
    let values: Vec<String> = (0..STEPS).map(|step| value(step).to_string()).collect();
    format!("      - series: '{name}'\n        values: '{}'\n", values.join(" "))
}

fn promtool_test(expressions: &[(&str, f64)]) -> String {
    let grid = Grid::of(GridKind::Duration);
    let mut yaml = format!("tests:\n  - interval: {STEP}s\n    input_series:\n");
    for bound in catalog::find("http.server.request.duration").unwrap().boundaries {
        let count = |step| latencies(step).count_at_or_below(&grid, *bound).unwrap() as f64;
        yaml.push_str(&series(&format!("d_bucket{{le=\"{bound}\"}}"), count));
    }
    yaml.push_str(&series("d_bucket{le=\"+Inf\"}", |step| latencies(step).count as f64));
    yaml.push_str(&series("d_count", |step| latencies(step).count as f64));
    yaml.push_str(&series("d_sum", |step| latencies(step).sum_in_unit(&grid)));
    yaml.push_str(&series("m", memory));
    yaml.push_str(&series("l", |_| 9_000_000.0));
    yaml.push_str("    promql_expr_test:\n");
    for (expression, value) in expressions {
        let tolerance = value.abs() * 1e-12;
        let _ = write!(
            yaml,
            "      - expr: 'abs(({expression}) - {value:?}) <= bool {tolerance:?}'\n        eval_time: {EVALUATE_AT}s\n        exp_samples:\n          - labels: '{{}}'\n            value: 1\n"
        );
    }
    yaml
}

#[test]
fn functions_give_what_prometheus_gives() {
    let version = Command::new("promtool").arg("--version").output();
    assert!(version.is_ok(), "promtool cannot be run ({version:?}); install the package prometheus, as ./test does");
    let cases = [
        ("rate(http.server.request.duration)", "> 1/s", "sum(rate(d_count[5m]))"),
        ("increase(http.server.request.duration)", "> 1", "sum(increase(d_count[5m]))"),
        ("p50(http.server.request.duration)", "> 1s", "histogram_quantile(0.5, sum by (le) (rate(d_bucket[5m])))"),
        ("p95(http.server.request.duration)", "> 1s", "histogram_quantile(0.95, sum by (le) (rate(d_bucket[5m])))"),
        (
            "quantile(http.server.request.duration, 0.01)",
            "> 1s",
            "histogram_quantile(0.01, sum by (le) (rate(d_bucket[5m])))",
        ),
        ("mean(http.server.request.duration)", "> 1s", "sum(rate(d_sum[5m])) / sum(rate(d_count[5m]))"),
        (
            "share_over(http.server.request.duration, 500ms)",
            "> 1%",
            "1 - sum(rate(d_bucket{le=\"0.5\"}[5m])) / sum(rate(d_count[5m]))",
        ),
        ("last(process.memory.usage)", "> 1B", "sum(m)"),
        ("avg(process.memory.usage)", "> 1B", "sum(avg_over_time(m[5m]))"),
        ("min(process.memory.usage)", "> 1B", "sum(min_over_time(m[5m]))"),
        ("max(process.memory.usage)", "> 1B", "sum(max_over_time(m[5m]))"),
        ("slope(process.memory.usage)", "> 1B/s", "sum(deriv(m[5m]))"),
        ("forecast(process.memory.usage, 2h)", "> 1B", "sum(predict_linear(m[5m], 7200))"),
        ("time_to(process.memory.usage, heartline.memory.limit)", "> 1s", "sum((l - m) / (deriv(m[5m]) > 0))"),
    ];
    let expressions: Vec<(&str, f64)> =
        cases.iter().map(|(signal, threshold, expression)| (*expression, engine_value(signal, threshold))).collect();
    let file = std::env::temp_dir().join(format!("heartline-parity-{}.yml", std::process::id()));
    std::fs::write(&file, promtool_test(&expressions)).unwrap();
    let output = Command::new("promtool").args(["test", "rules"]).arg(&file).output().unwrap();
    std::fs::remove_file(&file).unwrap();
    let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}
