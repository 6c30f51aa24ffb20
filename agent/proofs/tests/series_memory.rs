//! What a histogram series costs, by number of series and of threads, and whether the agent's own figure agrees with the
//! allocator's. Realistic latencies: log-normal over two decades. Knows the public API only.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::process::{Command, Output};
use std::sync::Barrier;
use std::time::Duration;

use heartline::Agent;
use heartline::instruments::Histogram;
use heartline_proofs::allocator::Counting;
use heartline_proofs::random::Random;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What a run in a process of its own measures.
const CONFIGURATION: &str = "HEARTLINE_MEMORY_CONFIGURATION";
/// Records a series gets: enough that nearly every bucket of its two decades is used.
const RECORDS_PER_SERIES: usize = 1_000;
/// Rounds of the agent after which stores that were opened while threads collided are given up.
const CALM_ROUNDS: u64 = 12;
/// Without a flight recorder, which has bytes of its own.
const BYTES_PER_SERIES_MAX: usize = 2_500;
/// How far the agent's own figure may be from the allocator's.
const OWN_ERROR_MAX: f64 = 0.10;

/// What one configuration takes.
struct Measured {
    /// By the allocator, beyond what the agent took before it had series.
    bytes: usize,
    /// The same by the agent.
    own: usize,
    /// All the agent takes, by the allocator and by the agent.
    total: usize,
    own_total: usize,
}

fn own_bytes(agent: &Agent) -> usize {
    let snapshot = agent.snapshot();
    let family = snapshot.family("heartline.agent.memory").expect("the agent has collected");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bytes, far below 2^53")]
    let bytes = family.numbers[0].value as usize;
    bytes
}

/// A second passes, and another.
fn settle(agent: &Agent) {
    (1..=CALM_ROUNDS).for_each(|second| agent.collect_at(Duration::from_secs(second)));
}

fn measure(series: usize, threads: usize, history: usize) -> Measured {
    let nothing = ALLOCATOR.live();
    let agent = Agent::builder("memory")
        .without_listener()
        .series_limit(100_000)
        .history_bytes(history)
        .start()
        .expect("it needs a thread");
    agent.shutdown(Duration::from_secs(5)).expect("it ends"); // rounds are made here
    settle(&agent);
    let (empty, own_empty) = (ALLOCATOR.live(), own_bytes(&agent));
    // the names and handles of the service are its own; what the agent keeps for them is counted
    let names: Vec<String> = (0..series).map(|name| format!("/api/v1/things/{name}/{{id}}")).collect();
    let mut handles: Vec<Histogram> = Vec::with_capacity(series);
    let of_service = ALLOCATOR.live() - empty;
    for name in &names {
        handles.push(agent.histogram("memory.duration", &[("http.request.method", "GET"), ("http.route", name)]));
    }
    let (recorded, read) = (Barrier::new(threads + 1), Barrier::new(threads + 1));
    let record = |thread: u64| {
        let mut random = Random::new(thread + 1);
        let mut medians = Random::new(3);
        let medians: Vec<f64> = (0..256).map(|_| 1e6 * 10_f64.powf(2.0 * medians.uniform())).collect();
        for i in 0..series * RECORDS_PER_SERIES / threads {
            let series = if i % 64 < 48 { random.index(series) } else { i % series };
            handles[series].record(Duration::from_nanos(random.latency(medians[series % 256])));
        }
        drop(medians);
        recorded.wait();
        read.wait(); // alive, as a service's threads are, while memory is counted
    };
    std::thread::scope(|all| {
        for thread in 0..threads as u64 {
            all.spawn(move || record(thread));
        }
        recorded.wait();
        settle(&agent);
        let (live, own) = (ALLOCATOR.live() - of_service, own_bytes(&agent));
        read.wait();
        Measured { bytes: live - empty, own: own - own_empty, total: live - nothing, own_total: own }
    })
}

#[test]
fn a_series_takes_two_and_a_half_kilobytes_and_the_agent_knows_it() {
    // each in a process of its own: what all agents of a process share would be counted again
    let grid =
        [100, 1_000, 10_000].into_iter().flat_map(|series| [1, 8].map(|threads| format!("{series} {threads} 0")));
    let with_history = [format!("1000 8 {}", 4 << 20)];
    let runs = grid.chain(with_history).map(|configuration| {
        let run = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "one_configuration_is_within_its_bounds", "--ignored", "--nocapture"])
            .env(CONFIGURATION, configuration)
            .output();
        run.expect("this program can be run again")
    });
    let runs: Vec<Output> = runs.collect();
    for run in &runs {
        let said = String::from_utf8_lossy(&run.stdout);
        said.lines().filter(|line| line.contains("bytes a series")).for_each(|line| println!("{line}"));
    }
    for run in runs {
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    }
}

/// Run by the test above, with the number of series, of threads, and of bytes for the flight recorder.
#[test]
#[ignore = "run in a process of its own by another test"]
fn one_configuration_is_within_its_bounds() {
    let configuration = std::env::var(CONFIGURATION).expect("set by the test above");
    let mut numbers = configuration.split(' ').map(|number| number.parse::<usize>().expect("a number"));
    let (series, threads) = (numbers.next().expect("series"), numbers.next().expect("threads"));
    let history = numbers.next().expect("bytes of history");
    let measured = measure(series, threads, history);
    let (bytes, own) = (measured.bytes / series, measured.own / series);
    let off = measured.own_total as f64 / measured.total as f64 - 1.0;
    println!(
        "{series:6} series, {threads} threads, {history} bytes of history: {bytes} bytes a series, the agent says {own}; \
         all it keeps: {} KiB, it says {} KiB ({:+.1} %)",
        measured.total / 1_024,
        measured.own_total / 1_024,
        off * 100.0,
    );
    assert!(bytes <= BYTES_PER_SERIES_MAX || history > 0, "{bytes} bytes a series");
    assert!(off.abs() <= OWN_ERROR_MAX, "the agent's own figure is off by {:.1} %", off * 100.0);
}
