//! What a span costs under each layer, in instructions by callgrind and as ratios in one run: nothing, the registry alone,
//! ours, and the full OpenTelemetry layer unsampled and sampled. `--smoke` runs each of them once. valgrind must be installed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::process::ExitCode;

use heartline_bench::callgrind::{instructions_measured, measured};
use heartline_bench::ended;
use heartline_bench::spans::{ALL, Runner, SPANS};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Requests that callgrind counts, and those before them, after which everything is there that a request needs.
const REQUESTS: usize = 5_000;
const BEFORE: usize = 500;

fn worker(how: &str, requests: usize) -> Outcome<()> {
    let runner = Runner::new(how)?;
    runner.run(BEFORE);
    measured(|| runner.run(requests));
    Ok(())
}

fn measure() -> Outcome<()> {
    let mut counts = Vec::new();
    for how in ALL {
        let spans = REQUESTS as u64 * SPANS;
        counts.push(instructions_measured(&[], &["--worker", how], REQUESTS as u64)? / spans);
    }
    let (registry, ours) = (counts[1], counts[3]);
    println!("{:<38}{:>18}{:>16}{:>10}", "", "instructions/span", "above registry", "of ours");
    for (how, count) in ALL.iter().zip(&counts) {
        let above = i128::from(*count) - i128::from(registry);
        println!("{how:<38}{count:>18}{above:>16}{:>10.2}", *count as f64 / ours as f64);
    }
    Ok(())
}

fn smoke() -> Outcome<()> {
    for how in ALL {
        worker(how, 10)?;
    }
    println!("all {} ways run", ALL.len());
    Ok(())
}

fn run(arguments: &[&str]) -> Outcome<()> {
    match arguments {
        ["--worker", how, requests] => worker(how, requests.parse()?),
        arguments if arguments.contains(&"--smoke") => smoke(),
        _ => measure(),
    }
}

fn main() -> ExitCode {
    ended("spans", run)
}
