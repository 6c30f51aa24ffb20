//! A program on jemalloc: the agent sees that it is, and what is allocated.

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use heartline::{Agent, HeapReport};

heartline::jemalloc!();

const TOKEN: &str = "the-admin-token-of-this-test-0123456789";

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

/// A metric of the newest snapshot.
fn figure(agent: &Agent, metric: &str) -> f64 {
    agent.snapshot().family(metric).map_or(0.0, |family| family.numbers.iter().map(|series| series.value).sum())
}

#[test]
fn what_was_ever_allocated_is_counted_although_it_was_freed() {
    const BLOCK: usize = 4 << 20;
    let agent = Agent::builder("turnover").listen("127.0.0.1:0").start().unwrap();
    heap_until(&agent, |_| figure(&agent, "heartline.heap.allocated") > 0.0);
    let [bytes, count] =
        ["heartline.heap.allocated", "heartline.heap.allocations"].map(|metric| figure(&agent, metric));
    for _ in 0..100 {
        drop(black_box(vec![1_u8; BLOCK]));
    }
    let grown = |metric, before| figure(&agent, metric) - before;
    heap_until(&agent, |_| grown("heartline.heap.allocated", bytes) >= 100.0 * BLOCK as f64);
    assert!(grown("heartline.heap.allocations", count) >= 100.0);
    assert!(grown("heartline.heap.allocated", bytes) < 200.0 * BLOCK as f64);
    agent.shutdown(Duration::from_secs(5)).unwrap();
}

fn asked(address: SocketAddr, path: &str) -> (String, Vec<u8>) {
    let mut stream = TcpStream::connect(address).expect("the agent listens");
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {TOKEN}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the agent reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the agent answers");
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    (String::from_utf8_lossy(&answer[..end]).into_owned(), answer.split_off(end + 4))
}

#[test]
fn the_heap_is_served_as_a_document_and_as_a_report() {
    let agent = Agent::builder("served").listen("127.0.0.1:0").start().unwrap();
    let address = agent.local_addr().unwrap();
    heap_until(&agent, |heap| heap.allocated_bytes.is_some() && heap.sites.is_some());
    let (head, body) = asked(address, "/api/v1/heap");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let document: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(document["allocated_bytes"].as_u64() > Some(1 << 10), "{document}");
    let states = [&document["service"], &document["jemalloc"], &document["leak"], &document["sites"]["sampling"]];
    assert_eq!(serde_json::json!(states), serde_json::json!(["served", true, "none", "off"]));
    let (head, body) = asked(address, "/api/v1/heap?format=text");
    assert!(head.contains("text/plain"), "{head}");
    assert!(body.starts_with(b"heap: no leak"), "{}", String::from_utf8_lossy(&body));
    agent.shutdown(Duration::from_secs(5)).unwrap();
}

#[inline(never)]
fn keep_orders() -> Vec<Vec<u8>> {
    (0..40_000).map(|_| black_box(vec![1_u8; 2_000])).collect()
}

#[test]
fn a_profile_that_is_asked_for_has_what_was_allocated_meanwhile() {
    let agent = Agent::builder("profiled").listen("127.0.0.1:0").admin_token(TOKEN).start().unwrap();
    let address = agent.local_addr().unwrap();
    let (head, _) = asked(address, "/api/v1/profile/heap");
    assert!(head.starts_with("HTTP/1.1 409"), "nothing is sampled, so there is nothing to take: {head}");

    let waits = std::thread::spawn(move || asked(address, "/api/v1/profile/heap?seconds=6&format=collapsed"));
    // the time that was asked for has begun a second before the first sites are told, and is not over yet
    heap_until(&agent, |heap| heap.sites.as_ref().is_some_and(|sites| sites.sampled_seconds > 0.0));
    let orders = keep_orders();
    let (head, body) = waits.join().unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let profile = String::from_utf8(body).unwrap();
    let bytes = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    let kept: f64 = profile.lines().filter(|line| line.contains("keep_orders")).filter_map(bytes).sum();
    let truth = 40_000.0 * 2_048.0;
    assert!((kept / truth - 1.0).abs() < 0.5, "{kept} of {truth}:\n{profile}");

    let (head, _) = asked(address, "/api/v1/profile/heap?seconds=301");
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    heap_until(&agent, |heap| heap.sites.as_ref().is_some_and(|sites| sites.sampling == heartline::Sampling::Off));
    drop(orders);
    agent.shutdown(Duration::from_secs(5)).unwrap();
}
