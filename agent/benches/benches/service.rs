//! What observing its requests costs a whole service: requests a second by wrk, every way in turn, and instructions a
//! request by callgrind. `--instructions` leaves wrk out, `--smoke` asks each of them a few times. wrk and valgrind must be
//! installed. With the feature `heap` all of them use jemalloc, whose cost does not depend on which neighbours are free.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Command, ExitCode, Stdio};

use heartline_bench::asking::ask_in_memory;
use heartline_bench::callgrind::instructions_measured;
use heartline_bench::ended;
use heartline_bench::service::{ALL, PATH, observed};

#[cfg(feature = "heap")]
heartline::jemalloc!();

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Rounds of wrk, each way in turn, and seconds of one.
const ROUNDS: usize = 5;
const SECONDS: &str = "3s";
/// Requests that callgrind counts, and those before them, after which everything is there that a request needs.
const REQUESTS: usize = 20_000;
const BEFORE: usize = 1_000;

/// Serves on a port of its own, which it prints, until it is killed.
fn serve(how: &str) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let (router, _agent) = observed(how)?;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        axum::serve(listener, router).await?;
        Ok(())
    })
}

/// Requests a second of one round.
fn requests_a_second(how: &str) -> Outcome<f64> {
    let mut server = Command::new(std::env::current_exe()?).args(["--serve", how]).stdout(Stdio::piped()).spawn()?;
    let mut address = String::new();
    let said = server.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut address));
    let asked = said.transpose().map_err(Into::into).and_then(|_| wrk(address.trim()));
    server.kill()?;
    server.wait()?;
    asked
}

fn wrk(address: &str) -> Outcome<f64> {
    let url = format!("http://{address}{PATH}");
    let output = Command::new("wrk")
        .args(["-t1", "-c32", "-d", SECONDS, &url])
        .output()
        .map_err(|error| format!("running wrk: {error}; install it to measure throughput"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.contains("Non-2xx") || said.contains("Socket errors") {
        return Err(format!("{url} did not answer all: {said}").into());
    }
    let figure = said.lines().find_map(|line| line.trim().strip_prefix("Requests/sec:")?.trim().parse().ok());
    figure.ok_or_else(|| format!("wrk said {said:?}").into())
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Without `rounds` of wrk, instructions only.
fn measure(rounds: usize) -> Outcome<()> {
    let mut throughput = ALL.map(|_| Vec::new());
    for _ in 0..rounds {
        for (how, figures) in ALL.iter().zip(&mut throughput) {
            figures.push(requests_a_second(how)?);
        }
    }
    let throughput = throughput.map(median);
    let mut instructions_of = Vec::new();
    for how in ALL {
        instructions_of.push(instructions_measured(&[], &["--worker", how], REQUESTS as u64)? / REQUESTS as u64);
    }
    println!(
        "{:<38}{:>12}{:>10}{:>14}{:>12}{:>16}",
        "", "requests/s", "of bare", "instructions", "above bare", "above empty"
    );
    for ((how, throughput_of), instructions) in ALL.iter().zip(throughput).zip(&instructions_of) {
        let above = |base: u64| i128::from(*instructions) - i128::from(base);
        println!(
            "{how:<38}{throughput_of:>12.0}{:>9.0} %{instructions:>14}{:>12}{:>16}",
            100.0 * throughput_of / throughput[0],
            above(instructions_of[0]),
            above(instructions_of[1]),
        );
    }
    Ok(())
}

fn smoke() -> Outcome<()> {
    for how in ALL {
        let counted = ask_in_memory(how, 20, 30)?;
        if counted != 50 {
            return Err(format!("{how} counted {counted} of 50 requests").into());
        }
    }
    println!("all {} ways answer, and ours count every request", ALL.len());
    Ok(())
}

fn run(arguments: &[&str]) -> Outcome<()> {
    match arguments {
        ["--worker", how, requests] => ask_in_memory(how, BEFORE, requests.parse()?).map(drop),
        ["--serve", how] => serve(how),
        arguments if arguments.contains(&"--smoke") => smoke(),
        arguments if arguments.contains(&"--instructions") => measure(0),
        _ => measure(ROUNDS),
    }
}

fn main() -> ExitCode {
    ended("a whole service", run)
}
