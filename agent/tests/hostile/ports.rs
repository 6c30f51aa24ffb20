//! A host whose port is taken, or that has no descriptors left: it goes on, it is told once, and it is served again when
//! there is room.

use std::fs::File;
use std::io::BufRead as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heartline::Agent;
use nix::sys::resource::{Resource, setrlimit};
use quanta::Instant;

use super::client::ask;
use super::host::Host;

/// Descriptors that the host may have: enough to start, soon used up.
const DESCRIPTORS: u64 = 64;
/// Where the host is to listen; without it on a free port.
const ADDRESS: &str = "HEARTLINE_ADDRESS_OF_TEST";
const PATIENCE: Duration = Duration::from_secs(30);

/// The other side of these tests: `take` uses every descriptor up, `give` gives them back, `count` says how far the host's
/// own counter has come, `address` where the agent listens, `another` what comes of starting a second agent.
pub(crate) fn live_with_few_descriptors() {
    setrlimit(Resource::RLIMIT_NOFILE, DESCRIPTORS, DESCRIPTORS).unwrap();
    let address = std::env::var(ADDRESS).unwrap_or_else(|_| "127.0.0.1:0".to_owned());
    let agent = Agent::builder("host").listen(address).start().unwrap();
    let (orders, working) = (agent.counter("orders", &[]), AtomicBool::new(true));
    let known = |address: Option<SocketAddr>| address.unwrap_or(([0, 0, 0, 0], 0).into());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while working.load(Ordering::Relaxed) {
                orders.add(1);
                std::thread::yield_now();
            }
        });
        println!("listens on {}", known(agent.local_addr()));
        let mut files = Vec::new();
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            match line.as_str() {
                "take" => {
                    files.extend(std::iter::from_fn(|| File::open("/dev/null").ok()));
                    println!("took {}", files.len());
                }
                "give" => {
                    files.clear();
                    println!("gave");
                }
                "another" => match Agent::builder("another").listen("127.0.0.1:0").start() {
                    Ok(another) => println!("another listens: {}", another.local_addr().is_some()),
                    Err(error) => println!("another listens: {error}"),
                },
                "address" => println!("now on {}", known(agent.local_addr())),
                _ => println!("counted {}", agent.snapshot().family("orders").unwrap().numbers[0].value),
            }
        }
        working.store(false, Ordering::Relaxed);
    });
}

fn start(address: Option<SocketAddr>) -> Host {
    Host::start_with("descriptors traces", |command| {
        command.stderr(Stdio::piped());
        address.map(|address| command.env(ADDRESS, address.to_string()));
    })
}

/// Whether the host's own counter goes on.
fn goes_on(host: &mut Host) -> bool {
    let mut counted = || -> f64 {
        host.tell("count");
        host.said("counted ").parse().unwrap()
    };
    let (start, before) = (Instant::now(), counted());
    while start.elapsed() < PATIENCE {
        if counted() > before {
            return true;
        }
    }
    false
}

/// Asks until there is an answer or patience ends.
fn served(address: SocketAddr) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if ask(address, "GET /livez", Duration::from_secs(1)).is_some_and(|(status, ..)| status == 200) {
            return true;
        }
    }
    false
}

fn warnings<'a>(log: &'a str, part: &str) -> Vec<&'a str> {
    log.lines().filter(|line| line.contains("WARN") && line.contains(part)).collect()
}

#[test]
fn without_descriptors_the_host_goes_on_is_told_once_and_is_served_again_when_they_return() {
    let mut host = start(None);
    assert!(served(host.address));
    host.tell("take");
    let taken: u64 = host.said("took ").parse().unwrap();
    assert!(taken > 0 && taken < DESCRIPTORS);
    // three clients wait in the kernel's queue, for longer than several tries
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(host.address).unwrap()).collect();
    assert!(ask(host.address, "GET /livez", Duration::from_secs(2)).is_none(), "answered without a descriptor");
    host.tell("another");
    let refused = host.said("another listens: ");
    assert!(refused.contains("open files"), "an agent that cannot start says why: {refused}");
    assert!(goes_on(&mut host));
    host.tell("give");
    host.said("gave");
    host.tell("another");
    assert_eq!(host.said("another listens: "), "true");
    assert!(served(host.address), "served again");
    drop(clients);
    let log = host.end();
    assert_eq!(warnings(&log, "cannot accept a client").len(), 1, "{log}");
}

#[test]
fn a_port_that_is_taken_is_told_once_and_had_when_it_is_free() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut host = start(Some(address));
    assert_eq!(host.address.port(), 0, "the host runs without the port");
    assert!(goes_on(&mut host));
    drop(taken);
    assert!(served(address), "it listens once the port is free");
    host.tell("address");
    assert_eq!(host.said("now on "), address.to_string());
    let log = host.end();
    assert_eq!(warnings(&log, "cannot listen").len(), 1, "{log}");
}
