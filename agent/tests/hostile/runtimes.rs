//! The agent beside a host whose runtime is stuck, and how long it takes to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use heartline::Agent;
use quanta::Instant;

use super::client::scrape;
use super::host::{Host, black_hole, within};

#[test]
#[ignore = "measures; ./test hostile runs it"]
fn scrapes_are_answered_while_every_worker_of_the_host_is_blocked() {
    let host = Host::start("blocked");
    let scrapes = scrape(host.address, "/metrics", 300, Duration::from_millis(100));
    let fast = scrapes.iter().filter(|took| took.is_some_and(|took| took < Duration::from_millis(250))).count();
    println!("{fast} of 300 scrapes within 250 ms, slowest {:?}", scrapes.iter().max());
    assert!(fast >= 297, "{fast} of 300");
}

fn started() -> Agent {
    let agent = Agent::builder("stops").listen("127.0.0.1:0").start().unwrap();
    // a callback that hangs and a client that never asks: what a stop could wait for
    let _ = agent.pool("hangs", || {
        loop {
            std::thread::park();
        }
    });
    agent
}

/// How long `stop` takes at most, over `runs` agents, with a client connected that reads nothing.
fn slowest_stop(runs: u32, stop: impl Fn(Agent)) -> Duration {
    let one = |_| {
        let agent = started();
        let _client = std::net::TcpStream::connect(agent.local_addr().unwrap()).unwrap();
        let start = Instant::now();
        stop(agent);
        start.elapsed()
    };
    (0..runs).map(one).max().unwrap_or_default()
}

#[test]
#[ignore = "measures; ./test hostile runs it"]
fn a_hundred_stops_take_what_they_were_given_at_most() {
    let second = Duration::from_secs(1);
    let (_hole, _address) = black_hole();
    let plain = slowest_stop(25, |agent| agent.shutdown(second).unwrap());
    let twice = slowest_stop(25, |agent| {
        agent.shutdown(second).unwrap();
        agent.shutdown(second).unwrap();
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asynchronous = slowest_stop(25, |agent| runtime.block_on(async { agent.shutdown(second).unwrap() }));
    let dropped = slowest_stop(15, drop);
    println!("plain {plain:?}, twice {twice:?}, async {asynchronous:?}, drop {dropped:?}");
    let limit = Duration::from_millis(1_100);
    assert!([plain, twice, asynchronous, dropped].into_iter().all(|took| took <= limit));
    assert!(within(Duration::from_secs(30), stops_in_a_panic_hook).is_some_and(|slowest| slowest <= limit));
}

fn stops_in_a_panic_hook() -> Duration {
    let calls = Arc::new(AtomicU32::new(0));
    let mut slowest = Duration::ZERO;
    for _ in 0..10 {
        let (agent, counted) = (started(), Arc::clone(&calls));
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |_| {
            let _ = agent.shutdown(Duration::from_secs(1));
            counted.fetch_add(1, Ordering::Relaxed);
        }));
        let start = Instant::now();
        let _ = std::panic::catch_unwind(|| panic!("the host panics"));
        slowest = slowest.max(start.elapsed());
        drop(std::panic::take_hook());
        std::panic::set_hook(before);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 10);
    slowest
}
