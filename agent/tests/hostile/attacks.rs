//! slowhttptest from the system packages in its three modes, beside a scrape each second.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::client::{scrape, slowest};
use super::host::Host;

/// Seconds that each attack lasts.
const SECONDS: u32 = 12;
/// Growth of the process that nothing but an agent is in.
const GROWTH_MAX: u64 = 4 << 20;
/// Share of one core that the agent's threads may take.
const CPU_MAX: f64 = 0.05;

fn attack(mode: &[&str]) {
    let host = Host::start("plain");
    // what is made at the first request is no growth under attack
    assert!(slowest(&scrape(host.address, "/metrics", 20, Duration::from_millis(300))).is_some());
    let (memory, cpu) = (host.resident_bytes(), host.agent_cpu());
    let mut command = Command::new("slowhttptest");
    let url = format!("http://{}/api/v1/snapshot", host.address);
    command.args(["-c", "1000", "-r", "200", "-l", &SECONDS.to_string(), "-u", &url]).args(mode);
    let mut attacker =
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("apt-get install slowhttptest");
    let scrapes = scrape(host.address, "/metrics", SECONDS, Duration::from_secs(1));
    let share = host.agent_cpu().saturating_sub(cpu).as_secs_f64() / f64::from(SECONDS);
    let growth = host.resident_bytes().saturating_sub(memory);
    let _ = attacker.kill();
    let _ = attacker.wait();
    let slowest = slowest(&scrapes);
    println!("{mode:?}: slowest scrape {slowest:?}, +{} KiB, {:.1} % of a core", growth >> 10, share * 100.0);
    assert!(slowest.is_some_and(|slowest| slowest < Duration::from_secs(1)), "{scrapes:?}");
    assert!(growth <= GROWTH_MAX, "the process grew by {growth} bytes");
    // code that is not optimised says nothing about what a service pays
    assert!(share <= CPU_MAX || cfg!(debug_assertions), "{:.1} % of a core", share * 100.0);
}

#[test]
#[ignore = "measures; ./test hostile runs it"]
fn a_thousand_slow_heads_hurt_nobody() {
    attack(&["-H", "-i", "5"]);
}

#[test]
#[ignore = "measures; ./test hostile runs it"]
fn a_thousand_slow_bodies_hurt_nobody() {
    attack(&["-B", "-i", "5", "-s", "8192"]);
}

#[test]
#[ignore = "measures; ./test hostile runs it"]
fn a_thousand_slow_readers_hurt_nobody() {
    attack(&["-X", "-w", "1", "-y", "16", "-n", "5", "-z", "8", "-k", "3"]);
}
