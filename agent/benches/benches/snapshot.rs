//! What reading all series costs by their number, ours in each form beside the peers rendering theirs: time, instructions,
//! allocations.
//! `--smoke` reads a hundred series once. Instructions are counted by callgrind, which must be installed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks")]

use std::process::ExitCode;
use std::time::Instant;

use heartline_bench::callgrind::{instructions_measured, measured};
use heartline_bench::rendering::{ALL, of};

/// Reads over which time is a median.
const READS: usize = 15;
const ROUNDS: u64 = 4;

fn micros(mut read: impl FnMut() -> usize) -> f64 {
    let mut times: Vec<f64> = (0..READS)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(read());
            start.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[READS / 2]
}

fn row(name: &str, series: usize) -> std::io::Result<()> {
    let Some(mut read) = of(name, series) else { return Ok(()) };
    read();
    let mut size = 0;
    let allocations = allocation_counter::measure(|| size = read()).count_total;
    let micros = micros(read);
    // what the agent's thread does each second, slow as all is under callgrind, is not counted
    let instructions = instructions_measured(&[], &["--worker", name, &series.to_string()], ROUNDS)? / ROUNDS;
    println!(
        "{name:<30}{series:>8}{micros:>12.0}{:>10.2}{instructions:>16}{:>12}{allocations:>13}{size:>12}",
        micros / series as f64,
        instructions / series as u64
    );
    Ok(())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, series, rounds, ..] = arguments.as_slice()
        && first == "--worker"
    {
        let read = series.parse().ok().and_then(|series| of(name, series));
        let (Some(mut read), Ok(rounds)) = (read, rounds.parse::<usize>()) else { return ExitCode::FAILURE };
        read();
        measured(|| {
            (0..rounds).for_each(|_| {
                std::hint::black_box(read());
            });
        });
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--smoke") {
        let read = |name: &&str| of(name, 100).map_or(0, |mut read| read());
        let empty: Vec<&&str> = ALL.iter().filter(|name| read(name) == 0).collect();
        println!("read by everybody but {empty:?}");
        return if empty.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    println!(
        "{:<30}{:>8}{:>12}{:>10}{:>16}{:>12}{:>13}{:>12}",
        "", "series", "us", "us each", "instructions", "each", "allocations", "bytes"
    );
    for series in [100, 1_000, 10_000] {
        for &name in ALL {
            if let Err(error) = row(name, series) {
                println!("{name} with {series} series: {error}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
