//! Whether the agent counts what happened: its totals against the load generator's and the shop's own books, exactly.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use heartline_shared::Snapshot;
use heartline_tests::readings::{Totals, differences, total, totals};
use heartline_tests::shop::{LoadCounts, RequestTotal, Setup, Shop, Truth};
use heartline_tests::waiting::wait_until;
use serde_json::Value;

const LOAD_SECONDS: u64 = 20;
const LIMIT: Duration = Duration::from_mins(2);

/// Clients at once that go away while their requests are being answered.
const LEAVING_CLIENTS: usize = 40;
/// How often so many come, until one of them is gone before its answer.
const ROUNDS_MAX: usize = 5;

/// All requests that the agent lists.
const OPEN_REQUESTS_URL: &str = "/api/v1/inflight?limit=1152";
const REQUESTS: &str = "http.server.request.duration";
const REQUEST_LABELS: [&str; 3] = ["http.request.method", "http.route", "http.response.status_code"];

#[test]
fn totals_equal_the_load_generators_and_the_services_own_counts() -> Result<()> {
    let shop = Shop::start(Setup::default())?;
    let load = shop.load("basic", LOAD_SECONDS)?;
    wait_until(LIMIT, "the load to arrive", || Ok((total(&shop.snapshot()?, REQUESTS) > 300).then_some(())))?;
    let departed = leave_in_the_middle(&shop)?;
    let counts = load.counts(LIMIT)?;
    ensure!(counts.unanswered.is_empty(), "the load has requests without an answer: {:?}", counts.unanswered);
    let seen: u64 = counts.requests.iter().map(|line| line.count).sum();
    ensure!(seen > 50 * LOAD_SECONDS, "only {seen} requests in {LOAD_SECONDS} s: there was no load to compare");
    wait_until(LIMIT, "all counts to agree", || agreement(&shop, &counts, &departed).map(Some))?;
    Ok(())
}

/// What became of the clients that went away.
#[derive(Debug, Default)]
struct Departed {
    /// Gone before their answer.
    unanswered: u64,
    /// The answers of those that had one sooner.
    answered: Vec<RequestTotal>,
}

/// A client that waits for its answer.
struct Client {
    id: String,
    stream: TcpStream,
}

impl Client {
    fn ask(shop: &Shop, id: String) -> Result<Self> {
        let mut stream = TcpStream::connect(shop.address())?;
        stream.set_read_timeout(Some(LIMIT))?;
        let address = shop.address();
        write!(stream, "GET /users/1/orders HTTP/1.1\r\nHost: {address}\r\nx-request-id: {id}\r\n\r\n")?;
        Ok(Self { id, stream })
    }

    fn has_answer(&self) -> Result<bool> {
        self.stream.set_nonblocking(true)?;
        let is_there = matches!(self.stream.peek(&mut [0]), Ok(1));
        self.stream.set_nonblocking(false)?;
        Ok(is_there)
    }

    /// The status of the answer, if there was one.
    fn status(mut self) -> Result<Option<u16>> {
        let mut answer = Vec::new();
        self.stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8_lossy(&answer);
        let status = answer.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).map(str::parse).transpose()?;
        ensure!(status.is_some() || answer.is_empty(), "{} was answered {answer:?}", self.id);
        Ok(status)
    }
}

/// Clients that go while they are being answered. However slow this machine is, each knows whether it was answered.
fn leave_in_the_middle(shop: &Shop) -> Result<Departed> {
    shop.fault("slow-query", true, None)?;
    let mut departed = Departed::default();
    for round in 0..ROUNDS_MAX {
        leave_at_once(shop, round, &mut departed)?;
        if departed.unanswered > 0 {
            break;
        }
    }
    shop.fault("slow-query", false, None)?;
    ensure!(departed.unanswered > 0, "all {} clients were answered before they could leave", departed.answered.len());
    Ok(departed)
}

fn leave_at_once(shop: &Shop, round: usize, departed: &mut Departed) -> Result<()> {
    let ask = |at| Client::ask(shop, format!("leaving-{round}-{at}"));
    let clients: Vec<Client> = (0..LEAVING_CLIENTS).map(ask).collect::<Result<_>>()?;
    let mut coming: Vec<&Client> = clients.iter().collect();
    wait_until(LIMIT, "the clients' requests to be in flight", || {
        let open = open_requests(shop)?;
        let mut still_coming = Vec::new();
        for client in &coming {
            if !open.contains(&client.id) && !client.has_answer()? {
                still_coming.push(*client);
            }
        }
        coming = still_coming;
        Ok(coming.is_empty().then_some(()))
    })?;
    // nothing more will be sent: to the shop that is a client that is gone, and here it can be read what it did
    clients.iter().try_for_each(|client| client.stream.shutdown(Shutdown::Write))?;
    for client in clients {
        match client.status()? {
            None => departed.unanswered += 1,
            Some(status) => departed.answered.push(RequestTotal {
                method: "GET".to_owned(),
                route: Some("/users/{id}/orders".to_owned()),
                status,
                count: 1,
            }),
        }
    }
    Ok(())
}

/// The ids of the requests that are being answered now.
fn open_requests(shop: &Shop) -> Result<BTreeSet<String>> {
    let page: Value = serde_json::from_str(&shop.agent_page(OPEN_REQUESTS_URL)?)?;
    let requests = page["requests"].as_array().context("open requests come in a list")?;
    Ok(requests.iter().filter_map(|request| Some(request["request_id"].as_str()?.to_owned())).collect())
}

fn in_flight(snapshot: &Snapshot) -> u64 {
    total(snapshot, "http.server.active_requests")
}

/// An error as long as anything differs; work that a request left behind may still be under way.
fn agreement(shop: &Shop, load: &LoadCounts, departed: &Departed) -> Result<()> {
    let before = shop.truth()?;
    let snapshot = shop.snapshot()?;
    let after = shop.truth()?;
    ensure!(works_done(&before) == works_done(&after), "the shop is still at work");
    let mut found = request_differences(&snapshot, load.requests.iter().chain(&departed.answered));
    found.extend(query_differences(&snapshot, &before));
    found.extend(cache_differences(&snapshot, &before));
    found.extend(job_differences(&snapshot, &before));
    let cancelled = cancelled(&snapshot);
    if cancelled != departed.unanswered {
        found.push(format!("{} clients left, the agent saw {cancelled}", departed.unanswered));
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
fn request_differences<'a>(snapshot: &Snapshot, load: impl Iterator<Item = &'a RequestTotal>) -> Vec<String> {
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
