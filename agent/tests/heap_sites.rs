//! A program on jemalloc that leaks: the agent names the function, how fast it leaks, and what stays, by a clock that
//! the test owns; and what it began to sample ends with it. One test a process, because sampling is the process's.
#![expect(unsafe_code, reason = "jemalloc's settings are read and written by name")]

use std::collections::VecDeque;
use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use heartline::{Agent, Leak, Sampling};
use tikv_jemalloc_ctl::raw;

heartline::jemalloc!();

const RECORD_BYTES: usize = 1_000;
/// jemalloc gives 1,000 bytes a place of 1,024.
const PLACE_BYTES: f64 = 1_024.0;
/// Two thousand each round, and ten seconds a round: a dump takes the machine's own time, a two-hundredth of which is what
/// the profiler may spend.
const RECORDS: usize = 2_000;
const ROUND: Duration = Duration::from_secs(10);
const ROUNDS: u32 = 180;

struct Service {
    forgotten: Vec<Vec<u8>>,
    recent: VecDeque<Vec<u8>>,
}

impl Service {
    #[inline(never)]
    fn forget_sessions(&mut self) {
        for _ in 0..RECORDS {
            self.forgotten.push(black_box(vec![1; RECORD_BYTES]));
        }
    }

    /// Holds as much as it leaks in five rounds, and no more.
    #[inline(never)]
    fn remember_recent(&mut self) {
        for _ in 0..2 * RECORDS {
            self.recent.push_back(black_box(vec![2; RECORD_BYTES]));
        }
        let too_many = self.recent.len().saturating_sub(5 * RECORDS);
        self.recent.drain(..too_many);
    }
}

/// Lets the clock stand until the dump that was begun is read, which is on a thread of the agent's. A thread that has just
/// begun still has the name of the one that began it.
#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
fn settle() {
    let own = fs::read_link("/proc/thread-self").expect("Linux has it"); // ends in task/ID
    let name = comm("/proc/thread-self/comm".as_ref());
    let deadline = Instant::now() + Duration::from_mins(1);
    let reads = |task: fs::DirEntry| {
        let thread = comm(&task.path().join("comm"));
        own.file_name() != Some(&task.file_name()) && (thread == name || thread.starts_with("heartline-heap"))
    };
    while fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.flatten().any(reads)) {
        assert!(Instant::now() < deadline, "a dump is read for a minute");
        std::thread::yield_now();
    }
}

fn comm(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_leaking_function_is_named_with_its_growth_and_the_busy_one_is_not() {
    let agent = Agent::builder("leaking").without_listener().leak_patience(ROUND * ROUNDS / 2).start().unwrap();
    // its rounds are the test's from now on
    agent.shutdown(Duration::from_secs(5)).unwrap();
    let before = agent.heap().sites.expect("the sampler has run");
    assert_eq!((before.sampling, before.sites.len()), (Sampling::Off, 0), "off until watched");

    let mut service = Service { forgotten: Vec::new(), recent: VecDeque::new() };
    for round in 1..=ROUNDS {
        service.forget_sessions();
        service.remember_recent();
        agent.collect_at(ROUND * round);
        settle();
    }
    agent.collect_at(ROUND * ROUNDS); // shows what was read last
    let heap = agent.heap();
    assert_eq!(heap.leak, Leak::Suspected, "{heap}");
    let sites = heap.sites.clone().unwrap();
    let site = &sites.sites[0];
    assert!(site.function.contains("forget_sessions"), "{heap}");
    assert!(site.file.as_deref().is_some_and(|file| file.ends_with("tests/heap_sites.rs")), "{heap}");
    assert!(site.line.is_some_and(|line| line > 20), "{heap}");
    let growth = site.growth_bytes_per_second.unwrap_or_else(|| panic!("it does not grow:\n{heap}"));
    let truth = RECORDS as f64 * PLACE_BYTES / ROUND.as_secs_f64();
    assert!((growth / truth - 1.0).abs() < 0.3, "{growth} for {truth}:\n{heap}");
    assert!(site.share.is_some_and(|share| (0.7..1.3).contains(&share)), "{heap}");
    assert!(site.survival.is_some_and(|survival| survival > 0.9), "{heap}");
    let busy = sites.sites.iter().find(|site| site.function.contains("remember_recent"));
    assert!(busy.is_none_or(|busy| !busy.growing), "it holds the same all the time:\n{heap}");
    assert!(heap.evidence.iter().any(|reason| reason.contains("forget_sessions")), "{heap}");
    drop(service);
}

/// Whether jemalloc samples allocations.
fn is_sampled() -> bool {
    // SAFETY: a boolean.
    unsafe { raw::read(b"prof.active\0") }.expect("profiling is available")
}

/// What the service itself may do.
fn sample(active: bool) {
    // SAFETY: a boolean.
    unsafe { raw::write(b"prof.active\0", active) }.expect("profiling is available");
}

/// An agent that samples allocations, for as long as it is there.
#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
fn sampling_agent() -> Agent {
    let agent = Agent::builder("sampling").without_listener().start().expect("an agent starts");
    agent.sample_heap(Duration::from_hours(1)).expect("jemalloc is the allocator");
    let deadline = Instant::now() + Duration::from_secs(30);
    while agent.heap().sites.is_none_or(|sites| sites.sampling != Sampling::Active) {
        assert!(Instant::now() < deadline, "it does not sample:\n{}", agent.heap());
        std::thread::yield_now();
    }
    assert!(is_sampled());
    agent
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
fn what_the_agent_began_to_sample_ends_with_it_and_what_the_service_samples_does_not() {
    // twice, because the next agent of a process is as good as the first
    for _ in 0..2 {
        let agent = sampling_agent();
        agent.shutdown(Duration::from_secs(10)).unwrap();
        assert!(!is_sampled(), "it was shut down");
        // by a clock of its own it can go on, and ends with the last handle
        agent.collect_at(Duration::from_mins(1));
        agent.collect_at(Duration::from_mins(2));
        assert!(is_sampled());
        drop(agent.clone());
        assert!(is_sampled(), "there is another handle");
        drop(agent);
        assert!(!is_sampled(), "the last handle was dropped");
    }
    let dropped = sampling_agent();
    drop(dropped);
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_sampled() {
        assert!(Instant::now() < deadline, "it goes on without an agent");
        std::thread::yield_now();
    }

    sample(true);
    let guest = sampling_agent();
    guest.shutdown(Duration::from_secs(10)).unwrap();
    assert!(is_sampled(), "it is the service's own");
    sample(false);

    // of two agents at a time one samples, and the other goes on when it is gone
    let (first, second) = (sampling_agent(), sampling_agent());
    first.shutdown(Duration::from_secs(10)).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_sampled() {
        assert!(Instant::now() < deadline, "the second agent does not sample");
        std::thread::yield_now();
    }
    second.shutdown(Duration::from_secs(10)).unwrap();
    assert!(!is_sampled());
}
