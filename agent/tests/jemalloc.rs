//! A program on jemalloc: the agent sees that it is, and what is allocated.

use std::time::{Duration, Instant};

use heartline::{Agent, HeapReport};

heartline::jemalloc!();

/// Looks at the heap until it is as `wanted`, and fails after a deadline.
#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
fn heap_until(agent: &Agent, wanted: impl Fn(&HeapReport) -> bool) -> HeapReport {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let heap = agent.heap();
        if wanted(&heap) {
            return heap;
        }
        assert!(Instant::now() < deadline, "the heap stayed as it was:\n{heap}");
        std::thread::yield_now();
    }
}

#[test]
fn what_the_program_allocates_and_frees_is_seen() {
    const BLOCK: u64 = 64 << 20;
    let agent = Agent::builder("jemalloc-test").listen("127.0.0.1:0").start().unwrap();
    let before = heap_until(&agent, |heap| heap.allocated_bytes.is_some());
    let allocated = before.allocated_bytes.unwrap();
    assert!(before.resident_bytes.unwrap() >= allocated && before.metadata_bytes.unwrap() > 0, "{before}");
    assert!(agent.snapshot().heap.unwrap().jemalloc);

    let block = vec![1_u8; usize::try_from(BLOCK).unwrap()];
    heap_until(&agent, |heap| {
        heap.allocated_bytes > Some(allocated + BLOCK * 9 / 10) && heap.rss_bytes.is_none_or(|rss| rss > BLOCK)
    });
    drop(block);
    heap_until(&agent, |heap| heap.allocated_bytes < Some(allocated + BLOCK / 10));
    agent.shutdown(Duration::from_secs(5)).unwrap();
}
