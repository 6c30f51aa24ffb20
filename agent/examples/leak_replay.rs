//! Runs the leak detector over recorded series and prints what it says of each: the first suspicion and its forecast.
//!
//! ```text
//! cargo run --release -p heartline --example leak_replay -- FILE > predictions.jsonl
//! ```
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
    fn replay(&self) -> Option<(f64, LeakVerdict)> {
        let mut detector = LeakDetector::new(DEFAULT_LEAK_PATIENCE);
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

fn prediction(series: &Series) -> Value {
    let Some((at, verdict)) = series.replay() else {
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

fn run(path: &str) -> Result<(), String> {
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
        writeln!(out, "{}", prediction(&series)).map_err(|error| format!("cannot write the predictions: {error}"))?;
    }
    out.flush().map_err(|error| format!("cannot write the predictions: {error}"))
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(path), None) = (arguments.next(), arguments.next()) else {
        let _ = writeln!(io::stderr(), "usage: leak_replay FILE   (one series a line, see tests/leakbench/README.md)");
        return ExitCode::from(2);
    };
    match run(&path) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "leak_replay: {error}");
            ExitCode::FAILURE
        }
    }
}
