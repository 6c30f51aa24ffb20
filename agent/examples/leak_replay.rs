//! Runs the leak detector over recorded series and prints what it says of each: the first suspicion and its forecast.
//!
//! ```text
//! cargo run --release -p heartline --example leak_replay -- FILE > predictions.jsonl
//! ```
//!
//! `NAME=VALUE` before FILE changes a threshold of the judgement, to see how much it matters; the names are the fields
//! of `Tuning` in `agent/src/heap/trend/judgement.rs`.
//!
//! FILE holds one JSON object a line, as `tests/leakbench` makes them: `id`, `limit_bytes`, `restarts_s`, and arrays of
//! the same length `t` (seconds), `allocated`, `resident`, `requests_per_s`, and optionally `cached_bytes`, what
//! registered caches say they hold. Samples are fed in their order; nothing else of a line is read. One object a line
//! comes out: `{"id", "verdict": "leak"|"no_leak", "alarm_time", "ttl_s", "ttl_lo", "ttl_hi", "slope", "evidence"}`.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use heartline::{DEFAULT_LEAK_PATIENCE, Leak, LeakDetector, LeakVerdict, MemorySample};
use serde::Deserialize;
use serde_json::{Value, json};

/// One series; fields that a detector must not see are not read.
#[derive(Deserialize)]
struct Series {
    id: String,
    limit_bytes: Option<f64>,
    #[serde(default)]
    restarts_s: Vec<f64>,
    t: Vec<f64>,
    allocated: Vec<f64>,
    resident: Vec<f64>,
    requests_per_s: Vec<f64>,
    #[serde(default)]
    cached_bytes: Vec<f64>,
}

impl Series {
    fn sample(&self, at: usize) -> Option<(Duration, MemorySample)> {
        let sample = MemorySample {
            used: *self.allocated.get(at)?,
            cached: self.cached_bytes.get(at).copied().unwrap_or_default(),
            resident: self.resident.get(at).copied(),
            limit: self.limit_bytes,
            requests_per_second: self.requests_per_s.get(at).copied(),
        };
        Some((Duration::try_from_secs_f64(*self.t.get(at)?).ok()?, sample))
    }

    /// The time of the first suspicion and what was said then.
    fn replay(&self, mut detector: LeakDetector) -> Option<(f64, LeakVerdict)> {
        let mut restarts = self.restarts_s.iter().peekable();
        for at in 0..self.t.len() {
            while restarts.next_if(|restart| self.t[at] >= **restart).is_some() {
                detector.restart();
            }
            if let Some((now, sample)) = self.sample(at) {
                detector.observe(now, sample);
            }
            if detector.verdict().leak == Leak::Suspected {
                return Some((self.t[at], detector.verdict().clone()));
            }
        }
        None
    }
}

fn prediction(series: &Series, detector: LeakDetector) -> Value {
    let Some((at, verdict)) = series.replay(detector) else {
        return json!({"id": series.id, "verdict": "no_leak", "alarm_time": null});
    };
    let interval = verdict.seconds_to_limit_interval;
    json!({
        "id": series.id,
        "verdict": "leak",
        "alarm_time": at,
        "ttl_s": verdict.seconds_to_limit,
        "ttl_lo": interval.map(|[low, _]| low),
        "ttl_hi": interval.map(|[_, high]| high),
        "slope": verdict.growth_bytes_per_second,
        "evidence": verdict.evidence,
    })
}

/// The detector with thresholds changed as `NAME=VALUE`.
fn detector(changes: &[String]) -> Result<LeakDetector, String> {
    let change = |detector: LeakDetector, text: &String| {
        let parsed = text.split_once('=').and_then(|(name, value)| Some((name, value.parse().ok()?)));
        let (name, value) = parsed.ok_or_else(|| format!("{text:?} is not NAME=VALUE with a number"))?;
        detector.with_threshold(name, value).ok_or_else(|| format!("there is no threshold {name:?}"))
    };
    changes.iter().try_fold(LeakDetector::new(DEFAULT_LEAK_PATIENCE), change)
}

fn run(path: &str, changes: &[String]) -> Result<(), String> {
    let detector = detector(changes)?;
    let file = File::open(path).map_err(|error| format!("cannot open {path}: {error}"))?;
    let mut out = BufWriter::new(io::stdout().lock());
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{path}, line {}", number + 1);
        let line = line.map_err(|error| format!("cannot read {}: {error}", place()))?;
        if line.trim().is_empty() {
            continue;
        }
        let series: Series =
            serde_json::from_str(&line).map_err(|error| format!("{} is no series: {error}", place()))?;
        writeln!(out, "{}", prediction(&series, detector.clone()))
            .map_err(|error| format!("cannot write the predictions: {error}"))?;
    }
    out.flush().map_err(|error| format!("cannot write the predictions: {error}"))
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(path) = arguments.pop() else {
        let usage = "usage: leak_replay [NAME=VALUE ...] FILE   (one series a line, see tests/leakbench/README.md)";
        let _ = writeln!(io::stderr(), "{usage}");
        return ExitCode::from(2);
    };
    match run(&path, &arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "leak_replay: {error}");
            ExitCode::FAILURE
        }
    }
}
