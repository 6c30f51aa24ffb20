//! A service under load for 24 simulated hours while nobody scrapes: what the agent keeps does not grow. Knows the public
//! API only, and the method that lets a test own time.
#![expect(clippy::print_stdout, reason = "the figure that was reached is part of the result")]

use std::time::Duration;

use heartline::{Agent, PoolStatus};
use heartline_proofs::allocator::Counting;
use heartline_proofs::random::Random;
use heartline_proofs::repetitions;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Rounds of the agent in a day.
const DAY: u64 = 24 * 3_600;
/// What may be had in reserve at one moment and not at another: 64 KiB, and as much for a look of the leak detector, which
/// goes on for some samples and has its windows full only after hours.
const SLACK: usize = 128 << 10;
const HOUR: u64 = 3_600;
/// What the flight recorder may keep: so little that it is full within the first hour.
const HISTORY: usize = 128 << 10;

#[test]
fn nothing_grows_in_a_day_without_a_scraper() {
    let seconds = repetitions("HEARTLINE_IDLE_SECONDS", DAY).max(6 * HOUR);
    let nothing = ALLOCATOR.live();
    let agent = Agent::builder("idle").without_listener().history_bytes(HISTORY).start().unwrap();
    agent.shutdown(Duration::from_secs(5)).unwrap(); // rounds are made here, with a clock of their own
    let _pool = agent.pool("primary", || PoolStatus { max: 10, size: 5, idle: 3, pending: Some(1) });
    let routes = ["/", "/carts", "/carts/{id}", "/orders", "/orders/{id}"].map(|route| agent.route("GET", route));
    let (query, queue) = (agent.query("sqlite", "SELECT carts"), agent.queue("mail"));
    let work = agent.histogram("work.duration", &[]);
    let mut random = Random::new(5);
    let (mut after_an_hour, mut most) = (0, 0);
    for second in 1..=seconds {
        // threads come and go, too: each tenth second its work is done on a new one
        let mut serve = || {
            for route in &routes {
                route.start().finish(if random.below(50) == 0 { 500 } else { 200 });
            }
            query.record(Duration::from_nanos(random.latency(1e6)), Ok(3));
            queue.enqueued();
            queue.start("welcome").completed();
            (0..20).for_each(|_| work.record(Duration::from_nanos(random.latency(1e7))));
        };
        if second % 10 == 0 {
            std::thread::scope(|threads| drop(threads.spawn(serve)));
        } else {
            serve();
        }
        agent.collect_at(Duration::from_secs(second));
        let live = ALLOCATOR.live() - nothing;
        if second <= HOUR {
            after_an_hour = after_an_hour.max(live);
        }
        most = most.max(live);
    }
    let live = ALLOCATOR.live() - nothing;
    println!(
        "{} simulated hours without a scraper: at most {} KiB in the first hour, {} KiB at the end, at most {} KiB",
        seconds / HOUR,
        after_an_hour >> 10,
        live >> 10,
        most >> 10,
    );
    assert!(most <= after_an_hour + SLACK, "{after_an_hour} bytes in the first hour, then up to {most}");
    let counted = agent.snapshot().family("work.duration").unwrap().histograms[0].histogram.count;
    assert_eq!(counted, 20 * seconds);
}
