//! Label values from outside, from one byte to 64 KiB, each another one: what the agent keeps stays within its budget, the
//! routes of the service stay exact, and what found no room is counted. Knows the public API only.
//!
//! 10^6 values as part of `./test`; `HEARTLINE_LABELS=10000000 ./test proofs label_values` makes 10^7.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use heartline::{Agent, Route, Snapshot};
use heartline_proofs::allocator::Counting;
use heartline_proofs::random::Random;
use heartline_proofs::repetitions;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const BUDGET: usize = 16 << 20;
const LONGEST: usize = 64 << 10;
const FLOODS: u64 = 4;
const ROUTES: u64 = 100;
const STATUSES: [u16; 3] = [200, 404, 500];

/// Text of which every value is a part.
fn text() -> String {
    let mut random = Random::new(11);
    (0..2 * LONGEST).map(|_| char::from(b' ' + u8::try_from(random.below(95)).unwrap_or(0))).collect()
}

/// A value that no other is equal to, as long as one byte or 64 KiB or anything between, short ones as often as long ones.
fn value<'a>(text: &'a str, random: &mut Random, unique: &'a mut String) -> &'a str {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 65,536")]
    let length = (LONGEST as f64).powf(random.uniform()).round() as usize;
    let start = random.index(LONGEST);
    unique.clear();
    let _ = write!(unique, "{:x}", random.draw());
    unique.push_str(&text[start..start + length]);
    &unique[..length]
}

/// One thread's share: into metrics of every kind, by every way that a label from outside can come.
fn flood(agent: &Agent, text: &str, seed: u64, values: u64) {
    let (mut random, mut unique) = (Random::new(seed), String::new());
    let (queue, query) = (agent.queue("mail"), agent.query("sqlite", "SELECT carts"));
    for i in 0..values {
        let value = value(text, &mut random, &mut unique);
        let (one, two) = ([("name", value)], [("name", value), ("other", value)]);
        let latency = Duration::from_nanos(random.latency(1e7));
        match i % 6 {
            0 => agent.counter("flood.events", &one).increment(),
            1 => agent.gauge("flood.level", &one).set(1.0),
            2 => agent.histogram("flood.duration", &one).record(latency),
            3 => agent.histogram("flood.duration", &two).record(latency),
            4 => query.record(latency, Err(value)),
            _ => queue.start(value).failed(value),
        }
    }
}

/// Requests of every route; each status first comes while the flood is on.
fn serve(routes: &[Route], over: &AtomicBool) -> u64 {
    let mut rounds = 0;
    while rounds == 0 || !over.load(Ordering::Relaxed) {
        for route in routes {
            for status in STATUSES {
                route.start().finish(status);
            }
        }
        rounds += 1;
        std::thread::yield_now();
    }
    // and once more when nothing is left
    for route in routes {
        route.start().failed(None, "late");
    }
    rounds
}

fn check_routes(snapshot: &Snapshot, rounds: u64) {
    let durations = snapshot.family("http.server.request.duration").expect("requests were served");
    for route in 0..ROUTES {
        let name = format!("/routes/{route}");
        let of_route = || durations.histograms.iter().filter(|series| series.labels.value("http.route") == Some(&name));
        for status in STATUSES {
            let is_status = |label: Option<&str>| label == Some(status.to_string().as_str());
            let series = of_route().find(|series| is_status(series.labels.value("http.response.status_code")));
            let series = series.unwrap_or_else(|| panic!("{name} has no series of status {status}"));
            assert_eq!(series.histogram.count, rounds, "{name} {status}");
        }
        let late = of_route().find(|series| series.labels.value("error.type") == Some("late"));
        assert_eq!(late.map(|series| series.histogram.count), Some(1), "{name} after the flood");
    }
    assert_eq!(durations.histograms.len() as u64, ROUTES * (STATUSES.len() as u64 + 1), "no request is in overflow");
}

/// Everything that was recorded is somewhere.
fn check_flood(snapshot: &Snapshot, values: u64) -> u64 {
    let numbers =
        |name: &str| snapshot.family(name).map_or(0.0, |family| family.numbers.iter().map(|it| it.value).sum());
    let histograms = |name: &str| {
        snapshot.family(name).map_or(0, |family| family.histograms.iter().map(|it| it.histogram.count).sum::<u64>())
    };
    let every_sixth = |first: u64| FLOODS * (0..values / FLOODS).filter(|i| i % 6 == first).count() as u64;
    assert_eq!(numbers("flood.events"), every_sixth(0) as f64);
    assert_eq!(histograms("flood.duration"), every_sixth(2) + every_sixth(3));
    assert_eq!(histograms("db.client.operation.duration"), every_sixth(4));
    assert_eq!(histograms("heartline.job.duration"), every_sixth(5));
    let dropped = numbers("heartline.series.dropped");
    assert!(dropped > 0.0, "nothing was refused, so nothing was shown");
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
    let dropped = dropped as u64;
    dropped
}

fn number(snapshot: &Snapshot, name: &str) -> f64 {
    snapshot.family(name).map_or(0.0, |family| family.numbers.iter().map(|series| series.value).sum())
}

#[test]
fn hostile_label_values_stay_within_the_budget_and_leave_the_routes_exact() {
    let values = repetitions("HEARTLINE_LABELS", 1_000_000) / FLOODS * FLOODS;
    let text = text();
    let nothing = ALLOCATOR.live();
    let agent = Agent::builder("flooded").without_listener().series_limit(usize::MAX).memory_budget(BUDGET);
    let agent = agent.start().unwrap();
    let routes: Vec<Route> = (0..ROUTES).map(|route| agent.route("GET", &format!("/routes/{route}"))).collect();
    let over = AtomicBool::new(false);
    let (rounds, peak) = std::thread::scope(|threads| {
        let serving = threads.spawn(|| serve(&routes, &over));
        let floods = (0..FLOODS).map(|seed| {
            let (agent, text) = (&agent, &text);
            threads.spawn(move || flood(agent, text, seed + 1, values / FLOODS))
        });
        let mut peak = 0;
        for flooding in floods.collect::<Vec<_>>() {
            while !flooding.is_finished() {
                peak = peak.max(ALLOCATOR.live() - nothing);
                std::thread::yield_now();
            }
            flooding.join().unwrap();
        }
        over.store(true, Ordering::Relaxed);
        (serving.join().unwrap(), peak)
    });
    let kept = ALLOCATOR.live() - nothing;
    agent.shutdown(Duration::from_secs(5)).unwrap();
    agent.collect_at(Duration::from_mins(1));
    let before = ALLOCATOR.live();
    let snapshot = agent.snapshot();
    let snapshot_bytes = ALLOCATOR.live() - before;
    check_routes(&snapshot, rounds);
    let dropped = check_flood(&snapshot, values);
    let own = number(&snapshot, "heartline.agent.memory");
    assert_eq!(
        number(&snapshot, "heartline.series.coarse"),
        1.0,
        "histograms became coarser before anything was refused"
    );
    println!(
        "{values} label values from 1 B to 64 KiB: {:.2} MiB kept of {} MiB, the agent says {:.2} MiB ({:+.1} %); at most \
         {:.2} MiB meanwhile; a snapshot of its {} series takes {:.2} MiB; {dropped} look-ups ended in overflow; {} routes \
         exact in {rounds} rounds",
        kept as f64 / f64::from(1 << 20),
        BUDGET >> 20,
        own / f64::from(1 << 20),
        (own / kept as f64 - 1.0) * 100.0,
        peak as f64 / f64::from(1 << 20),
        number(&snapshot, "heartline.series.count"),
        snapshot_bytes as f64 / f64::from(1 << 20),
        ROUTES,
    );
    assert!(kept <= BUDGET, "{kept} bytes kept");
    let values_in_hands = usize::try_from(FLOODS).unwrap_or(0) * 8 * LONGEST;
    assert!(peak <= BUDGET + values_in_hands, "{peak} bytes meanwhile");
    assert!((own / kept as f64 - 1.0).abs() <= 0.10, "the agent says {own}, the allocator {kept}");
}
