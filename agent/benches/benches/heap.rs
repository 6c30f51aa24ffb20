//! What heap profiling costs: instructions of allocations and of a request with profiling not there, available, and
//! sampling each 256 KiB, by callgrind; and the processor time of a loop that does nothing but allocate while the agent
//! samples it, as it does when growth is watched. valgrind must be installed. `--smoke` does a little of each.
//!
//! `--shop PROGRAM` takes the processor time of a request of the reference service instead, the agent's own included, while wrk
//! asks as fast as it can; wrk must be installed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks")]

use std::error::Error;
use std::hint::black_box;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use heartline::{Agent, Sampling};
use heartline_bench::asking::ask_in_memory;
use heartline_bench::callgrind::{instructions_measured, measured};
use heartline_bench::{ended, shop};

heartline::jemalloc!();

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What jemalloc is told at start. The middle one is what `heartline::jemalloc!()` does without any variable.
const STATES: [(&str, &str); 3] = [
    ("not there", "prof:false"),
    ("available", "prof:true,prof_active:false"),
    ("sampling", "prof:true,prof_active:true,lg_prof_sample:18"),
];
const VARIABLE: &str = "_RJEM_MALLOC_CONF";
const SAMPLE_BYTES: f64 = 262_144.0;
/// Allocations, each released at once, that callgrind counts.
const SIZES: [usize; 4] = [64, 512, 4_096, 65_536];
const ALLOCATIONS: u64 = 400_000;
/// Requests that it counts, and those before them.
const REQUESTS: u64 = 10_000;
const BEFORE: usize = 1_000;
const SERVICE: &str = "heartline as a layer";
/// What the loop holds, and the largest of its allocations.
const HELD: usize = 4_096;
const BYTES_MAX: usize = 4_096;
/// Rounds of the loop, each unsampled and sampled, and how long each half is.
const ROUNDS: usize = 7;
const HALF: Duration = Duration::from_secs(3);
/// Of the reference service: rounds in each process, and how often all of them are started anew.
const SHOP_ROUNDS: usize = 3;
const SHOP_STARTS: usize = 4;
const SHOP_SAMPLING: &str = "prof:true,prof_active:true,lg_prof_sample:16";
const SHOP_SAMPLE_BYTES: f64 = 65_536.0;

fn allocate(size: usize, times: u64) {
    for _ in 0..times {
        drop(black_box(Vec::<u8>::with_capacity(black_box(size))));
    }
}

fn worker(what: &str, pieces: u64) -> Outcome<()> {
    match what.parse() {
        Ok(size) => measured(|| allocate(size, pieces)),
        Err(_) => ask_in_memory(what, BEFORE, usize::try_from(pieces)?).map(drop)?,
    }
    Ok(())
}

/// Instructions of one piece of work in each state.
fn counted(what: &str, pieces: u64) -> Outcome<[f64; STATES.len()]> {
    let mut figures = [0.0; STATES.len()];
    for ((_, setting), figure) in STATES.iter().zip(&mut figures) {
        *figure = instructions_measured(&[(VARIABLE, setting)], &["--worker", what], pieces)? as f64 / pieces as f64;
    }
    Ok(figures)
}

fn print_instructions() -> Outcome<()> {
    println!("{:<26}{:>12}{:>12}{:>12}{:>16}", "instructions", "not there", "available", "sampling", "of one sample");
    for size in SIZES {
        let [off, available, sampling] = counted(&size.to_string(), ALLOCATIONS)?;
        // jemalloc samples by bytes, so that these are so many of all
        let sample = (sampling - available) * SAMPLE_BYTES / size as f64;
        println!("{:<26}{off:>12.1}{available:>12.1}{sampling:>12.1}{sample:>16.0}", format!("allocate {size} bytes"));
    }
    let [off, available, sampling] = counted(SERVICE, REQUESTS)?;
    println!("{:<26}{off:>12.0}{available:>12.0}{sampling:>12.0}", "a request of a service");
    Ok(())
}

/// A thread that allocates all the time, and how far it is.
struct Loop {
    thread: String,
    done: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
}

impl Loop {
    fn start() -> Outcome<Self> {
        let (done, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, end) = (Arc::clone(&done), Arc::clone(&ended));
        let (said, thread) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let _ = said.send(std::fs::read_link("/proc/thread-self"));
            let mut held: Vec<Vec<u8>> = vec![Vec::new(); HELD];
            let goes_on = |number: usize| {
                count.store(number as u64, Ordering::Relaxed);
                !end.load(Ordering::Relaxed)
            };
            for number in (0_usize..).take_while(|number| !number.is_multiple_of(1_024) || goes_on(*number)) {
                held[number.wrapping_mul(7_919) % HELD] = vec![1; 16 + number.wrapping_mul(2_654_435_761) % BYTES_MAX];
            }
        });
        Ok(Self { thread: thread.recv()??.display().to_string(), done, ended })
    }

    /// Allocations and the processor seconds that they took, so far.
    fn so_far(&self) -> Outcome<(f64, f64)> {
        let said = std::fs::read_to_string(format!("/proc/{}/schedstat", self.thread))?;
        let nanos: f64 = said.split_whitespace().next().ok_or("the kernel keeps no schedstat")?.parse()?;
        Ok((self.done.load(Ordering::Relaxed) as f64, nanos / 1e9))
    }

    /// Allocations a processor second, over so long.
    fn pace(&self, span: Duration) -> Outcome<f64> {
        let (allocations, seconds) = self.so_far()?;
        std::thread::park_timeout(span);
        let (then, later) = self.so_far()?;
        Ok((then - allocations) / (later - seconds))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

/// Waits until the agent samples, or does not; how far apart samples are.
fn sampling(agent: &Agent, wanted: Sampling) -> Outcome<u64> {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let sites = agent.heap().sites.unwrap_or_default();
        // the distance is known once a profile was read
        if sites.sampling == wanted && (wanted != Sampling::Active || sites.sample_bytes.is_some()) {
            return Ok(sites.sample_bytes.unwrap_or_default());
        }
        if Instant::now() > deadline {
            return Err(format!("sampling did not become {wanted:?}: {:?}", sites.notes).into());
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

fn print_loop(rounds: usize, half: Duration) -> Outcome<()> {
    let agent = Agent::builder("bench").without_listener().start()?;
    let running = Loop::start()?;
    let (mut more, mut distance, mut unsampled) = (Vec::new(), 0, Vec::new());
    for _ in 0..rounds {
        sampling(&agent, Sampling::Off)?;
        let before = running.pace(half)?;
        // it is measured for a second before it begins
        agent.sample_heap(half + Duration::from_secs(8))?;
        distance = sampling(&agent, Sampling::Active)?;
        let sampled = running.pace(half)?;
        unsampled.push(before);
        more.push(100.0 * (before / sampled - 1.0));
    }
    more.sort_by(f64::total_cmp);
    unsampled.sort_by(f64::total_cmp);
    let gigabytes = unsampled[rounds / 2] * (BYTES_MAX / 2) as f64 / 1e9;
    println!(
        "a loop that allocates {gigabytes:.1} GB a second: {:+.1} % processor time while sampled each {} KiB (rounds {:+.1} to {:+.1})",
        more[rounds / 2],
        distance >> 10,
        more[0],
        more[rounds - 1],
    );
    Ok(())
}

/// Processor time of a request of the reference service where profiling is not there, where it is available, and where so many
/// more samples are taken than the agent takes that their cost stands out of the noise; of which the agent's has a share.
fn print_shop(program: &str) -> Outcome<()> {
    let (mut rounds, mut bytes) = (Vec::<[f64; STATES.len()]>::new(), 0);
    for _ in 0..SHOP_STARTS {
        // each time anew: where a process lies in memory makes percents
        let start = |setting: &str| shop::Shop::start(program, &[(VARIABLE, setting)]);
        let shops = [start(STATES[0].1)?, start(STATES[1].1)?, start(SHOP_SAMPLING)?];
        for _ in 0..SHOP_ROUNDS {
            let mut round = [0.0; STATES.len()];
            for (shop, seconds) in shops.iter().zip(&mut round) {
                *seconds = shop.seconds_a_request()?;
            }
            rounds.push(round);
        }
        bytes = shops[1].bytes_between_samples()?;
    }
    let of = |figure: fn(&[f64; STATES.len()]) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        let (middle, quarter) = (figures.len() / 2, figures.len() / 4);
        [figures[middle], figures[quarter], figures[figures.len() - 1 - quarter]]
    };
    let available = of(|round| 100.0 * (round[1] / round[0] - 1.0));
    let often = of(|round| 100.0 * (round[2] / round[1] - 1.0));
    let times = bytes as f64 / SHOP_SAMPLE_BYTES;
    // what is left are dumps: one to ten seconds apart, and at most a 200th of one core
    println!("a request of the reference service takes {:.1} us of processor time", 1e6 * of(|round| round[0])[0]);
    let print = |what: &str, [middle, low, high]: [f64; 3]| {
        println!("{what}: {middle:+.2} % (half of the rounds {low:+.2} to {high:+.2})");
    };
    print("profiling available, beside not there", available);
    print("a sample each 64 KiB, beside available", often);
    print(&format!("a sample each {} KiB, as the agent takes them, by that", bytes >> 10), often.map(|it| it / times));
    Ok(())
}

fn run(arguments: &[&str]) -> Outcome<()> {
    match arguments {
        ["--shop", program, ..] => print_shop(program),
        ["--worker", what, pieces] => worker(what, pieces.parse()?),
        arguments if arguments.contains(&"--smoke") => {
            worker("64", 1_000)?;
            worker(SERVICE, 10)?;
            print_loop(1, Duration::from_millis(200))
        }
        _ => {
            print_instructions()?;
            print_loop(ROUNDS, HALF)
        }
    }
}

fn main() -> ExitCode {
    ended("heap profiling", run)
}
