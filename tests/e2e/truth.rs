//! Whether the agent counts what happened: its totals against the load generator's and the shop's own books, exactly.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use heartline_shared::Snapshot;
use heartline_tests::readings::{Totals, differences, total, totals};
use heartline_tests::shop::{LoadCounts, RequestTotal, Setup, Shop, Truth};
use heartline_tests::waiting::wait_until;

const LOAD_SECONDS: u64 = 20;
const LIMIT: Duration = Duration::from_mins(2);

/// Clients that go away while their request is being answered.
const LEAVING_CLIENTS: usize = 40;

const REQUESTS: &str = "http.server.request.duration";
const REQUEST_LABELS: [&str; 3] = ["http.request.method", "http.route", "http.response.status_code"];

#[test]
fn totals_equal_the_load_generators_and_the_services_own_counts() -> Result<()> {
    let shop = Shop::start(Setup::default())?;
    let load = shop.load("basic", LOAD_SECONDS)?;
    wait_until(LIMIT, "the load to arrive", || Ok((total(&shop.snapshot()?, REQUESTS) > 300).then_some(())))?;
    leave_in_the_middle(&shop)?;
    let counts = load.counts(LIMIT)?;
    ensure!(counts.unanswered.is_empty(), "the load has requests without an answer: {:?}", counts.unanswered);
    let seen: u64 = counts.requests.iter().map(|line| line.count).sum();
    ensure!(seen > 50 * LOAD_SECONDS, "only {seen} requests in {LOAD_SECONDS} s: there was no load to compare");
    wait_until(LIMIT, "all counts to agree", || agreement(&shop, &counts).map(Some))?;
    Ok(())
}

/// Clients that are gone before their answer is ready.
fn leave_in_the_middle(shop: &Shop) -> Result<()> {
    shop.fault("slow-query", true, None)?;
    let request = format!("GET /users/1/orders HTTP/1.1\r\nHost: {}\r\n\r\n", shop.address());
    let mut clients = Vec::new();
    for _ in 0..LEAVING_CLIENTS {
        let mut client = TcpStream::connect(shop.address())?;
        client.write_all(request.as_bytes())?;
        clients.push(client);
    }
    let enough = LEAVING_CLIENTS as u64;
    let all_in_flight = || Ok((in_flight(&shop.snapshot()?) >= enough).then_some(()));
    wait_until(LIMIT, "the clients' requests to be in flight", all_in_flight)?;
    drop(clients);
    shop.fault("slow-query", false, None)
}

fn in_flight(snapshot: &Snapshot) -> u64 {
    total(snapshot, "http.server.active_requests")
}

/// An error as long as anything differs; work that a request left behind may still be under way.
fn agreement(shop: &Shop, load: &LoadCounts) -> Result<()> {
    let before = shop.truth()?;
    let snapshot = shop.snapshot()?;
    let after = shop.truth()?;
    ensure!(works_done(&before) == works_done(&after), "the shop is still at work");
    let mut found = request_differences(&snapshot, &load.requests);
    found.extend(query_differences(&snapshot, &before));
    found.extend(cache_differences(&snapshot, &before));
    found.extend(job_differences(&snapshot, &before));
    let cancelled = cancelled(&snapshot);
    if cancelled != LEAVING_CLIENTS as u64 {
        found.push(format!("{LEAVING_CLIENTS} clients left, the agent saw {cancelled}"));
    }
    if in_flight(&snapshot) != 0 {
        found.push(format!("{} requests in flight, and nobody asks", in_flight(&snapshot)));
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(())
}

/// What moves while the shop is at work.
fn works_done(truth: &Truth) -> (u64, u64, u64) {
    let jobs = truth.jobs.iter().map(|line| line.enqueued + line.completed + line.retried + line.failed).sum();
    let lookups = truth.caches.iter().map(|line| line.hits + line.misses + line.errors + line.writes).sum();
    (truth.queries.iter().map(|line| line.total).sum(), lookups, jobs)
}

/// Answered requests by method, route and status. The operator's own routes are asked by this test, not by the load.
fn request_differences(snapshot: &Snapshot, load: &[RequestTotal]) -> Vec<String> {
    let mut agent = totals(snapshot, REQUESTS, &REQUEST_LABELS);
    agent.retain(|key, _| !key[1].starts_with("/admin") && !key[2].is_empty());
    let mut generator = Totals::new();
    for line in load {
        let route = line.route.clone().unwrap_or_default();
        *generator.entry(vec![line.method.clone(), route, line.status.to_string()]).or_default() += line.count;
    }
    differences(("the agent", &agent), ("the load generator", &generator))
}

/// Requests that ended without a status because the client went away.
fn cancelled(snapshot: &Snapshot) -> u64 {
    let by_error = totals(snapshot, REQUESTS, &["error.type"]);
    by_error.get(&vec!["cancelled".to_owned()]).copied().unwrap_or(0)
}

fn query_differences(snapshot: &Snapshot, truth: &Truth) -> Vec<String> {
    let agent = totals(snapshot, "db.client.operation.duration", &["db.query.summary"]);
    let shop = truth.queries.iter().map(|line| (vec![line.summary.clone()], line.total)).collect();
    differences(("the agent", &agent), ("the shop", &shop))
}

fn cache_differences(snapshot: &Snapshot, truth: &Truth) -> Vec<String> {
    let labels = ["cache.name", "cache.tier", "cache.result"];
    let agent = totals(snapshot, "heartline.cache.requests", &labels);
    let results = |line: &heartline_tests::shop::CacheTotal| {
        [("hit", line.hits), ("miss", line.misses), ("error", line.errors)]
            .map(|(result, count)| (vec![line.name.clone(), line.tier.clone(), result.to_owned()], count))
    };
    let shop = truth.caches.iter().flat_map(results).collect();
    differences(("the agent", &agent), ("the shop", &shop))
}

fn job_differences(snapshot: &Snapshot, truth: &Truth) -> Vec<String> {
    let mut agent = Totals::new();
    for (key, count) in totals(snapshot, "heartline.job.enqueued", &["queue.name"]) {
        *agent.entry(vec![key[0].clone(), "enqueued".to_owned()]).or_default() += count;
    }
    for (key, count) in totals(snapshot, "heartline.job.completed", &["queue.name", "job.outcome"]) {
        let outcome = if key[1] == "dead" { "failure" } else { &key[1] };
        *agent.entry(vec![key[0].clone(), outcome.to_owned()]).or_default() += count;
    }
    let events = |line: &heartline_tests::shop::JobTotal| {
        [("enqueued", line.enqueued), ("success", line.completed), ("retry", line.retried), ("failure", line.failed)]
            .map(|(event, count)| (vec![line.queue.clone(), event.to_owned()], count))
    };
    let shop = truth.jobs.iter().flat_map(events).collect();
    differences(("the agent", &agent), ("the shop", &shop))
}
