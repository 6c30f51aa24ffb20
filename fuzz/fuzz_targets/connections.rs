//! The endpoint's handling of a connection against hostile bytes, in pieces and with pauses of any length, read fast, slowly
//! or not at all. Whatever comes, it does not panic, the connection ends, what leaves it are whole HTTP answers of statuses
//! that the contract knows, and nothing that needs a token leaves it without one.
#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use heartline::{ActionOutcome, Agent, Check, Criticality, Wire};
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

const READ_TOKEN: &str = "read-token-read-token-read-token";
const ADMIN_TOKEN: &str = "admin-token-admin-token-admin-tok";
/// The name of the service: in documents that need a token only.
const SERVICE: &str = "the-fuzzed-service";
/// Statuses of the contract, those of hyper for what is no HTTP, and `100 Continue`.
const STATUSES: [u16; 19] =
    [100, 200, 202, 304, 400, 401, 403, 404, 405, 408, 409, 413, 414, 415, 429, 431, 501, 503, 505];
/// How long a client stays after its last byte: longer than each deadline of the endpoint.
const STAY: Duration = Duration::from_secs(11);

struct Host {
    runtime: Runtime,
    /// Without tokens, and with both.
    agents: [Agent; 2],
}

static HOST: LazyLock<Host> = LazyLock::new(|| {
    // the clock stands still while anything runs and jumps to the next deadline when nothing does
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    let agents = {
        let _inside = runtime.enter();
        [agent(false), agent(true)]
    };
    Host { runtime, agents }
});

fn agent(tokens: bool) -> Agent {
    let mut builder = Agent::builder(SERVICE).without_listener().instance_id("one").version("1.2.3");
    builder = builder.allowed_host("shop.internal").allowed_origin("https://ops.example").history_bytes(256 << 10);
    if tokens {
        builder = builder.read_token(READ_TOKEN).admin_token(ADMIN_TOKEN);
    }
    let agent = builder.start().expect("an agent");
    // what is served depends on the input alone: no rounds of its own
    let _ = agent.shutdown(Duration::from_secs(10));
    let route = agent.route("GET", "/products/{id}");
    (0..20).for_each(|_| route.start().finish(200));
    agent.query("sqlite", "SELECT products").record(Duration::from_millis(3), Ok(1));
    agent.cache("products", "l1").hit();
    agent.queue("email").start("send").failed("timeout");
    agent.health_check("database", Criticality::Critical, async || Check::pass());
    for name in ["cache.warm", "cache.invalidate", "jobs.retry", "jobs.clear", "search.reindex"] {
        agent.action(name, async |request| Ok(ActionOutcome::new(request.integer("limit").unwrap_or(1), 1)));
    }
    for second in 1..20 {
        route.start().finish(500);
        agent.collect_at(Duration::from_secs(second));
    }
    agent
}

/// How a client behaves: one byte.
#[derive(Clone, Copy)]
struct Manner(u8);

impl Manner {
    fn tokens(self) -> bool {
        self.0 & 1 == 1
    }

    /// Bytes that it sends at once.
    fn piece(self) -> usize {
        [usize::MAX, 1, 7, 64][usize::from(self.0 >> 1 & 3)]
    }

    /// How long it waits between two pieces.
    fn pause(self) -> Duration {
        Duration::from_millis([0, 100, 0, 4_000][usize::from(self.0 >> 3 & 3)])
    }

    /// Whether it fetches its answers.
    fn reads(self) -> bool {
        self.0 & 0xe0 != 0xe0
    }

    /// Whether it says that nothing follows.
    fn closes(self) -> bool {
        self.0 >> 5 & 1 == 1
    }

    fn on_loopback(self) -> bool {
        self.0 >> 6 & 1 == 0
    }
}

/// Sends `input` and gives what came back until the client left.
async fn talk(client: DuplexStream, input: &[u8], manner: Manner) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(client);
    let mut answers = Vec::new();
    let send = async {
        for piece in input.chunks(manner.piece().min(input.len().max(1))) {
            // nobody there any more, or nobody who reads
            if !matches!(timeout(STAY, to.write_all(piece)).await, Ok(Ok(()))) {
                return;
            }
            if !manner.pause().is_zero() {
                sleep(manner.pause()).await;
            }
        }
        if manner.closes() {
            let _ = to.shutdown().await;
        }
        sleep(STAY).await;
    };
    let receive = async {
        if manner.reads() {
            let _ = from.read_to_end(&mut answers).await;
        } else {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = send => {}
        () = receive => {}
    }
    answers
}

/// Checks one answer and gives what is behind it; `None` where the client left in the middle of it.
fn answer<'a>(bytes: &'a [u8], input: &[u8], tokens: bool) -> Option<&'a [u8]> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..end]).expect("a head is text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    assert!(head.starts_with("HTTP/1.1 ") || head.starts_with("HTTP/1.0 "), "{head}");
    assert!(STATUSES.contains(&status), "{head}");
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(have, _)| have.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    };
    let rest = &bytes[end..];
    let (body, behind) = if header("transfer-encoding") == Some("chunked") {
        chunked(rest)?
    } else {
        let length = header("content-length").map_or(0, |length| length.parse().expect("a length"));
        rest.split_at_checked(length).map(|(body, behind)| (body.to_vec(), behind))?
    };
    let presented = |token: &str| input.windows(token.len()).any(|part| part == token.as_bytes());
    let known = presented(READ_TOKEN) || presented(ADMIN_TOKEN);
    // a refusal may repeat what the client sent
    let served = status == 200 && body.windows(SERVICE.len()).any(|part| part == SERVICE.as_bytes());
    assert!(known || !tokens || !served, "served without a token: {head}");
    Some(behind)
}

/// The body in chunks and what is behind it.
fn chunked(mut rest: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut body = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..line]).ok().and_then(|size| usize::from_str_radix(size, 16).ok());
        let (chunk, behind) = rest[line + 2..].split_at_checked(size.expect("a size of a chunk"))?;
        let behind = behind.get(2..)?;
        if chunk.is_empty() {
            return Some((body, behind));
        }
        body.extend_from_slice(chunk);
        rest = behind;
    }
}

fuzz_target!(|input: &[u8]| {
    let [manner, input @ ..] = input else { return };
    let manner = Manner(*manner);
    let wire: Wire = HOST.agents[usize::from(manner.tokens())].wire();
    let answers = HOST.runtime.block_on(async {
        // as much as a kernel keeps for a client, in small
        let (client, server) = tokio::io::duplex(4 << 10);
        let serve = wire.serve(server, manner.on_loopback());
        let both = async { tokio::join!(serve, talk(client, input, manner)).1 };
        timeout(Duration::from_secs(100_000), both).await.expect("a connection ends when its client has left")
    });
    // an answer to HEAD or CONNECT announces a body that does not come
    let bodiless = [&b"HEAD"[..], b"CONNECT"].iter().any(|word| input.windows(word.len()).any(|part| part == *word));
    let mut rest = &answers[..];
    while !bodiless && !rest.is_empty() {
        let Some(behind) = answer(rest, input, manner.tokens()) else { break };
        rest = behind;
    }
});
