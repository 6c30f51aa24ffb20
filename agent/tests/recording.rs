//! Recording allocates nothing once thread and series are known. Counts the allocations of the recording thread.

use std::time::{Duration, Instant};

use heartline::Agent;
use heartline::instruments::Histogram;

const RECORDS: u64 = if cfg!(debug_assertions) { 1_000_000 } else { 10_000_000 };

/// Latencies over two decades, the same ones again and again.
fn record(histogram: &Histogram, records: u64) {
    for i in 0..records {
        histogram.record(Duration::from_nanos(100_000 + i.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 9_900_000));
    }
}

/// Waits for the agent's next round, in which it gets memory ready.
fn wait_for_a_round(agent: &Agent) {
    #[expect(clippy::disallowed_methods, reason = "a deadline for a wait, in a test")]
    let deadline = Instant::now() + Duration::from_secs(10);
    let cpu_time = || {
        let snapshot = agent.snapshot();
        let family = snapshot.metrics.iter().find(|family| family.name == "heartline.agent.cpu.time");
        family.map(|family| family.numbers[0].value)
    };
    let before = cpu_time();
    while cpu_time() == before {
        #[expect(clippy::disallowed_methods, reason = "as above")]
        let now = Instant::now();
        assert!(now < deadline, "the agent did not collect for ten seconds");
        std::thread::yield_now();
    }
}

#[test]
fn ten_million_records_allocate_nothing() {
    let agent = Agent::builder("frugal").without_listener().start().unwrap();
    let (histogram, counter) = (agent.histogram("work.duration", &[("kind", "a")]), agent.counter("work", &[]));
    let route = agent.route("GET", "/carts/{id}");
    record(&histogram, 10_000);
    (0..10_000).for_each(|_| counter.increment());
    route.start().finish(200);
    wait_for_a_round(&agent);
    let allocated = allocation_counter::measure(|| {
        record(&histogram, RECORDS);
        (0..RECORDS).for_each(|_| counter.increment());
        (0..RECORDS / 10).for_each(|_| route.start().finish(200));
    });
    assert_eq!((allocated.count_total, allocated.bytes_total), (0, 0));
}
