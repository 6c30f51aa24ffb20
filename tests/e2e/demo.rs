//! The first thing a newcomer does: the demo without a screen, and what it prints.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_tests::binaries::{binary, repository};
use heartline_tests::program::Program;
use heartline_tests::ticks::{Target, Tick};

/// Twenty seconds of demo, and starting and ending around them.
const LIMIT: Duration = Duration::from_mins(3);

#[test]
fn the_demo_prints_all_six_kinds_and_every_alert_and_exits_with_success() -> Result<()> {
    let mut demo = Program::start(binary("heartline-demo")?, &["--headless", "20s", "--json"])?;
    let status = demo.wait(LIMIT)?;
    ensure!(status.success(), "the demo ended with {status}: {}", demo.report());
    let out = demo.out();
    let last = out.last().with_context(|| format!("the demo printed nothing: {}", demo.report()))?;
    let tick = Tick::parse(last)?;
    ensure!(tick.targets.len() == 1, "one target expected: {last}");
    ensure!(tick.targets[0].state == "fresh", "the shop is not fresh: {last}");
    for (figure, value) in figures(&tick.targets[0]) {
        ensure!(value.is_some_and(|value| value > 0.0), "{figure} is {value:?}, more than 0 expected: {last}");
    }
    let completed: f64 = tick.targets[0].queues.iter().filter_map(|queue| queue.completed).sum();
    let depth_known = tick.targets[0].queues.iter().all(|queue| queue.waiting.is_some());
    ensure!(completed > 0.0 && depth_known, "{completed} jobs completed, depths known: {depth_known}: {last}");
    for rule in shipped_rules()? {
        let row = tick.alerts.iter().find(|row| row.name == rule);
        let row = row.with_context(|| format!("no state of alert {rule}: {last}"))?;
        let known = ["inactive", "pending", "firing", "recovering", "resolved"];
        ensure!(known.contains(&row.state.as_str()), "alert {rule} is {}", row.state);
    }
    Ok(())
}

/// The figures of the six kinds that must not be zero.
fn figures(target: &Target) -> Vec<(String, Option<f64>)> {
    let requests = &target.requests;
    let pool = target.pools.first();
    let mut figures = vec![
        ("requests in total".to_owned(), requests.total),
        ("requests a second".to_owned(), requests.rate),
        ("requests' p50".to_owned(), requests.p50_seconds),
        ("requests' p95".to_owned(), requests.p95_seconds),
        ("requests' p99".to_owned(), requests.p99_seconds),
        ("queries in total".to_owned(), target.queries.total),
        ("queries a second".to_owned(), target.queries.rate),
        ("queries' p95".to_owned(), target.queries.p95_seconds),
        ("the pool's size".to_owned(), pool.and_then(|pool| pool.max)),
        ("the pool's connections".to_owned(), pool.and_then(|pool| Some(pool.used? + pool.idle?))),
        ("bytes allocated".to_owned(), target.heap.allocated_bytes),
        ("bytes resident".to_owned(), target.heap.resident_bytes),
    ];
    for tier in ["l1", "l2"] {
        let ratio = target.caches.iter().filter(|cache| cache.tier == tier).filter_map(|cache| cache.hit_ratio);
        figures.push((format!("the hit ratio of {tier}"), ratio.reduce(f64::max)));
    }
    figures
}

/// The names of the shipped rules.
fn shipped_rules() -> Result<Vec<String>> {
    let file: toml::Table = toml::from_str(&fs::read_to_string(repository().join("alerts.toml"))?)?;
    let rules = file.get("alert").and_then(toml::Value::as_array).context("alerts.toml has alerts")?;
    rules.iter().map(|rule| Ok(rule["name"].as_str().context("an alert has a name")?.to_owned())).collect()
}

#[test]
fn the_demo_refuses_an_unknown_option_with_a_usable_message() -> Result<()> {
    let mut demo = Program::start(binary("heartline-demo")?, &["--headles", "20s"])?;
    let status = demo.wait(LIMIT)?;
    ensure!(status.code() == Some(2), "a usage error ends with 2, not {status}");
    let said = demo.err().join("\n");
    ensure!(said.contains("--headles"), "the message does not name the option: {said}");
    Ok(())
}
