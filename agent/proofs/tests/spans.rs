//! Requests with spans, queries and fields allocate nothing once their trees have their memory, counted by an allocator that
//! this program installs for itself; it knows nothing of how trees are kept.

use std::time::Duration;

use heartline::Agent;
use heartline_proofs::allocator::Counting;
use heartline_proofs::repetitions;
use tracing_subscriber::layer::SubscriberExt;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

const SPANS: u64 = 4;

#[test]
fn a_hundred_thousand_requests_with_spans_allocate_nothing() {
    let requests = repetitions("HEARTLINE_REQUESTS", 100_000);
    let agent = Agent::builder("test").without_listener().slow_request(Duration::from_hours(1)).start().unwrap();
    let route = agent.route("GET", "/carts/{id}");
    let (query, pool) = (agent.query("sqlite", "SELECT carts"), agent.pool("primary", Default::default));
    let subscriber = tracing_subscriber::registry().with(heartline::trace::layer());
    let serve = |number: u64| {
        let mut guard = route.start();
        guard.traceparent(b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        guard.spending(|| {
            for _ in 0..SPANS {
                let span = tracing::info_span!(
                    "load",
                    job.number = number,
                    http.route = "/carts/{id}",
                    error = tracing::field::Empty
                );
                span.in_scope(|| {
                    drop(pool.wait());
                    query.start().ok(number);
                    tracing::warn!(error.type = "timeout", number, "again");
                });
                span.record("error", format_args!("attempt {number}"));
            }
        });
        guard.finish(200);
    };
    tracing::subscriber::with_default(subscriber, || {
        (0..1_000).for_each(serve);
        assert_eq!(Counting::calls_once_settled(|| (0..requests).for_each(serve)), 0, "allocations");
    });
}
