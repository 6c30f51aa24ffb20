//! Servers that are slow, wrong or hostile, and what polling them gives; good servers beside them must not notice.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use heartline_shared::frame::MEDIA_TYPE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::clock::Clock;
use crate::model::fixture::Document;
use crate::source::past_fixture::stream;
use crate::source::traces::fixture::{kept, open, row};
use crate::source::{Feed, Outcome, Pace, Target, Tokens, Traces};

const DEADLINE: Duration = Duration::from_secs(20);
/// Requests before a late past comes.
const POLLS_BEFORE_PAST: usize = 8;
const QUICK: Duration = Duration::from_millis(50);

/// How a server answers.
#[derive(Debug, Clone)]
enum Manner {
    /// These bytes, and the end of the connection.
    Bytes(Vec<u8>),
    /// Takes the request and never answers.
    Silent,
    /// Begins an answer and sends a byte now and then, for ever.
    Dripping,
    /// A fresh document for each request.
    Good,
    /// The same, and these bytes for a request for the history.
    Remembering(Vec<u8>),
    /// The same, but those only after some more documents.
    RememberingLate(Vec<u8>),
    /// A fresh document for each request, and these documents for requests for its open and kept requests.
    Telling([Vec<u8>; 2]),
    /// What this makes of the `since` that was asked for, if any, and of how many requests there were.
    Changing(fn(Option<u64>, u64) -> Vec<u8>),
}

/// A server on a port of its own; it ends with the runtime of its test.
#[derive(Debug)]
struct Server {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Server {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, manner.clone(), Arc::clone(&seen)));
            }
        });
        Self { address, heads }
    }

    fn target(&self) -> Target {
        Target::parse(&self.address.to_string()).unwrap()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, manner: Manner, heads: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1_024]);
    while !head.ends_with(b"\r\n\r\n") {
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        head.extend_from_slice(&buffer[..read]);
    }
    let asked = String::from_utf8_lossy(&head).into_owned();
    let asks_for = |name: &str| asked.split(['?', ' ']).nth(1).is_some_and(|path| path.ends_with(name));
    let nth = {
        let mut heads = heads.lock().unwrap();
        heads.push(String::from_utf8_lossy(&head).to_ascii_lowercase());
        heads.len() as u64
    };
    match manner {
        Manner::Bytes(bytes) => stream.write_all(&bytes).await?,
        Manner::RememberingLate(past) if asks_for("/history") => {
            let polled = || heads.lock().unwrap().len() as u64 >= nth + POLLS_BEFORE_PAST as u64;
            let mut beat = tokio::time::interval(QUICK);
            while !polled() {
                beat.tick().await;
            }
            let kind = format!("content-type: {MEDIA_TYPE}\r\n");
            stream.write_all(&answer("200 OK", &kind, &past)).await?;
        }
        Manner::Silent => std::future::pending().await,
        Manner::Dripping => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            let mut beat = tokio::time::interval(QUICK);
            loop {
                stream.write_all(b" ").await?;
                beat.tick().await;
            }
        }
        Manner::Remembering(past) if asks_for("/history") => {
            let kind = format!("content-type: {MEDIA_TYPE}\r\n");
            stream.write_all(&answer("200 OK", &kind, &past)).await?;
        }
        Manner::Telling(documents) if asks_for("/inflight") => {
            stream.write_all(&answer("200 OK", "", &documents[0])).await?;
        }
        Manner::Telling(documents) if asks_for("/traces") => {
            stream.write_all(&answer("200 OK", "", &documents[1])).await?;
        }
        Manner::Changing(make) => {
            let head = String::from_utf8_lossy(&head).into_owned();
            let since = head.split_once("?since=").map(|(_, rest)| rest.split(' ').next().unwrap().parse().unwrap());
            stream.write_all(&make(since, nth)).await?;
        }
        Manner::Good | Manner::Remembering(_) | Manner::RememberingLate(_) | Manner::Telling(_) => {
            stream.write_all(&answer("200 OK", "", &document(nth))).await?;
        }
    }
    stream.shutdown().await
}

fn document(second: u64) -> Vec<u8> {
    serde_json::to_vec(&Document::at(second).requests("/", "200", 3, 0.01).snapshot()).unwrap()
}

fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A document, or with `since` one of changes.
fn sent(document: &Document, since: Option<u64>) -> Vec<u8> {
    let mut wire = serde_json::to_value(document.snapshot()).unwrap();
    if let Some(since) = since {
        wire["since"] = since.into();
    }
    answer("200 OK", "", wire.to_string().as_bytes())
}

/// A request is always there, and orders change.
fn whole(second: u64) -> Document {
    changed(second).requests("/", "200", 3, 0.01)
}

fn changed(second: u64) -> Document {
    Document::at(second).number("shop.orders", &[], second as f64)
}

/// The outcomes of polls until there are so many good ones.
async fn outcomes(server: &Server, count: usize) -> Vec<Outcome> {
    let mut feed = feed(&[server.target()], &Tokens::default());
    let mut all = Vec::new();
    let collect = async {
        while all.len() < count {
            all.extend(feed.next().await);
        }
    };
    tokio::time::timeout(DEADLINE, collect).await.unwrap();
    all
}

fn bomb() -> Vec<u8> {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![b' '; 1 << 20];
    (0..64).for_each(|_| gzip.write_all(&zeros).unwrap());
    answer("200 OK", "content-encoding: gzip\r\n", &gzip.finish().unwrap())
}

fn feed(targets: &[Target], tokens: &Tokens) -> Feed {
    Feed::start(targets, tokens, Pace { interval: QUICK, past: false }, Clock::start()).unwrap()
}

/// The first outcome of the only target.
async fn first(manner: Manner) -> Outcome {
    let server = Server::start(manner).await;
    let mut feed = feed(&[server.target()], &Tokens::default());
    tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().remove(0)
}

async fn failure(manner: Manner) -> String {
    first(manner).await.answer.unwrap_err().explanation().to_string()
}

fn remembering_feed(target: Target) -> Feed {
    Feed::start(&[target], &Tokens::default(), Pace { interval: QUICK, past: true }, Clock::start()).unwrap()
}

#[tokio::test]
async fn what_a_target_remembers_is_asked_for_once_and_damage_in_it_is_passed_over() {
    let documents: Vec<_> =
        (0..5).map(|second| Document::at(second).requests("/", "200", 3, 0.01).snapshot()).collect();
    let mut bytes = stream(&documents[..3]);
    bytes.extend(b"damage");
    bytes.extend(stream(&documents[3..]));
    let server = Server::start(Manner::Remembering(bytes)).await;
    let mut feed = remembering_feed(server.target());
    let pasts = tokio::time::timeout(DEADLINE, async {
        loop {
            feed.next().await;
            let pasts = feed.take_pasts();
            if !pasts.is_empty() {
                return pasts;
            }
        }
    });
    let pasts = pasts.await.unwrap();
    let newest = pasts[0].outcome.answer.as_ref().unwrap().snapshot.ts_ms;
    let times: Vec<_> = pasts[0].documents().map(|(at, document)| (at, document.ts_ms)).collect();
    assert!(!times.is_empty() && times.iter().all(|(_, theirs)| *theirs <= newest), "{times:?}");
    assert!(times.iter().all(|(ours, theirs)| pasts[0].outcome.at.since(*ours) == newest.since(*theirs)));
    let asked = || server.heads().iter().filter(|head| head.contains("/api/v1/history")).count();
    let before = asked();
    for _ in 0..5 {
        feed.next().await;
    }
    assert_eq!((asked(), before, feed.take_pasts().len()), (2, 2, 0), "each part is asked for once");
}

#[tokio::test]
async fn a_target_that_keeps_no_history_or_sends_something_else_is_polled_all_the_same() {
    for manner in [Manner::Good, Manner::Remembering(b"<html>no frames</html>".to_vec())] {
        let server = Server::start(manner).await;
        let mut feed = remembering_feed(server.target());
        for _ in 0..5 {
            let outcomes = tokio::time::timeout(DEADLINE, feed.next()).await.unwrap();
            assert!(outcomes[0].answer.is_ok());
        }
        assert!(feed.take_pasts().iter().all(|past| past.documents().count() == 0));
    }
}

/// What arrives about the requests of the attended target.
async fn traces(feed: &mut Feed) -> Traces {
    let arrive = async {
        loop {
            feed.next().await;
            if let Some(traces) = feed.take_traces() {
                return traces;
            }
        }
    };
    tokio::time::timeout(DEADLINE, arrive).await.unwrap()
}

fn telling() -> Manner {
    Manner::Telling([open(), kept(&[row("r-2", 998_000, None)], &[])].map(|document| document.to_string().into_bytes()))
}

#[tokio::test]
async fn only_the_attended_target_is_asked_for_its_requests_beside_its_snapshot() {
    let (quiet, server) = (Server::start(telling()).await, Server::start(telling()).await);
    let mounted = Target::parse(&format!("http://{}/ops/heartline", server.address)).unwrap();
    let mut feed = feed(&[quiet.target(), mounted], &Tokens::default());
    feed.attend(Some(1));
    let told = traces(&mut feed).await;
    assert_eq!((told.target, told.told.unwrap().requests.len()), (1, 2));
    let asked = |server: &Server| {
        let heads = server.heads();
        let of = |name: &str| heads.iter().filter(|head| head.contains(name)).count();
        (of("get /ops/heartline/api/v1/inflight?"), of("get /ops/heartline/api/v1/traces?"), of("/traces"))
    };
    assert_eq!(asked(&server), (1, 1, 1));
    feed.attend(Some(0));
    assert_eq!(traces(&mut feed).await.target, 0);
    feed.attend(None);
    assert!(feed.take_traces().is_none());
    for _ in 0..5 {
        feed.next().await;
    }
    assert_eq!((asked(&server), asked(&quiet).2), ((1, 1, 1), 1), "nobody is asked without need");
}

#[tokio::test]
async fn a_target_that_tells_nothing_of_its_requests_says_why_and_is_polled_all_the_same() {
    let missing = Manner::Bytes(answer("404 Not Found", "", b""));
    for (manner, why) in [(missing, "has no /api/v1/inflight"), (Manner::Good, "its open requests are not understood")]
    {
        let server = Server::start(manner).await;
        let mut feed = feed(&[server.target()], &Tokens::default());
        feed.attend(Some(0));
        let traces = traces(&mut feed).await;
        let said = traces.failure.unwrap().explanation().to_string();
        assert!(traces.told.is_none() && said.contains(why), "{said}");
        assert!(!tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().is_empty());
    }
}

#[tokio::test]
async fn past_and_polls_meet_without_a_hole_however_late_the_past_comes() {
    let documents: Vec<_> =
        (0..9).map(|second| Document::at(second).requests("/", "200", 3, 0.01).snapshot()).collect();
    let server = Server::start(Manner::RememberingLate(stream(&documents))).await;
    let mut feed = remembering_feed(server.target());
    let (mut past, mut next) = (None, vec![]);
    let collect = async {
        while past.is_none() {
            next = feed.next().await;
            past = feed.take_pasts().pop();
        }
        // what was taken together with the past comes after it
        let known = past.as_ref().and_then(|past| past.since.last()).map_or(0, |outcome| outcome.generation);
        if next[0].generation <= known {
            next = feed.next().await;
        }
    };
    tokio::time::timeout(DEADLINE, collect).await.unwrap();
    let past = past.unwrap();
    let since: Vec<u64> = past.since.iter().map(|outcome| outcome.generation).collect();
    let first = past.outcome.generation + 1;
    assert!(since.len() >= POLLS_BEFORE_PAST / 2, "{since:?}");
    assert_eq!(since, (first..).take(since.len()).collect::<Vec<_>>(), "none of them is missing");
    assert!(next[0].generation <= first + since.len() as u64, "{} after {since:?}", next[0].generation);
}

#[tokio::test]
async fn what_a_mounted_target_remembers_is_asked_for_under_its_prefix() {
    let documents = [Document::at(1).requests("/", "200", 3, 0.01).snapshot()];
    let server = Server::start(Manner::Remembering(stream(&documents))).await;
    let mut feed = remembering_feed(Target::parse(&format!("http://{}/ops", server.address)).unwrap());
    let past = async {
        while feed.take_pasts().is_empty() {
            feed.next().await;
        }
    };
    tokio::time::timeout(DEADLINE, past).await.unwrap();
    assert!(server.heads().iter().any(|head| head.starts_with("get /ops/api/v1/history?")));
}

#[tokio::test]
async fn a_good_answer_is_a_snapshot() {
    let outcome = first(Manner::Good).await;
    let answer = outcome.answer.unwrap();
    assert_eq!((answer.snapshot.service.as_str(), outcome.generation, answer.series_left_out), ("shop", 1, 0));
    assert_eq!(answer.bytes, document(1).len() as u64);
}

#[tokio::test]
async fn a_compressed_answer_is_a_snapshot() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&document(1)).unwrap();
    let bytes = answer("200 OK", "content-encoding: gzip\r\n", &gzip.finish().unwrap());
    let outcome = first(Manner::Bytes(bytes)).await;
    assert_eq!(outcome.answer.unwrap().bytes, document(1).len() as u64);
}

#[tokio::test]
async fn wrong_answers_are_explained() {
    let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{\"schema".to_vec();
    let cases = [
        (answer("500 Internal Server Error", "", b"boom"), "answered 500"),
        (answer("401 Unauthorized", "", b""), "pass it with --token-file"),
        (answer("404 Not Found", "", b""), "is this the address of a heartline agent?"),
        (answer("302 Found", "location: http://evil/\x1b[31m\r\n", b""), "no usable HTTP answer"),
        (answer("302 Found", "location: http://169.254.169.254/\r\n", b""), "redirects to http://169.254.169.254/"),
        (answer("200 OK", "", b"<html>\x1b]0;owned\x07"), "is not a snapshot"),
        (answer("200 OK", "", br#"{"schema_version": "x\u001b[31m"}"#), "is not a snapshot"),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), "no usable HTTP answer"),
        (broken, "broke off"),
        (bomb(), "longer than 8 MiB"),
    ];
    for (bytes, reason) in cases {
        let explanation = failure(Manner::Bytes(bytes)).await;
        assert!(explanation.contains(reason), "{explanation}");
        assert!(!explanation.contains('\u{1b}'), "{explanation:?}");
    }
}

#[tokio::test]
async fn a_closed_port_is_explained() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::parse(&listener.local_addr().unwrap().to_string()).unwrap();
    drop(listener);
    let mut feed = feed(&[target], &Tokens::default());
    let outcome = tokio::time::timeout(DEADLINE, feed.next()).await.unwrap().remove(0);
    let explanation = outcome.answer.unwrap_err().explanation().to_string();
    assert!(explanation.contains("is the service running"), "{explanation}");
}

#[tokio::test]
async fn endless_answers_end_after_five_seconds() {
    let (drip, silence) = tokio::join!(first(Manner::Dripping), first(Manner::Silent));
    for outcome in [drip, silence] {
        assert!(outcome.answer.unwrap_err().explanation().as_str().contains("no complete answer"));
        assert!((Duration::from_secs(5)..Duration::from_secs(7)).contains(&outcome.took), "{:?}", outcome.took);
    }
}

#[tokio::test]
async fn hostile_targets_delay_no_good_one() {
    let mut servers = Vec::new();
    for _ in 0..10 {
        for manner in [Manner::Silent, Manner::Dripping, Manner::Bytes(bomb()), Manner::Bytes(b"garbage".to_vec())] {
            servers.push(Server::start(manner).await);
        }
    }
    let hostile = servers.len();
    for _ in 0..10 {
        servers.push(Server::start(Manner::Good).await);
    }
    let targets: Vec<Target> = servers.iter().map(Server::target).collect();
    let mut feed = feed(&targets, &Tokens::default());
    let mut answered = vec![0_u32; targets.len()];
    let all_good = async {
        while answered[hostile..].iter().any(|count| *count < 10) {
            for outcome in feed.next().await {
                answered[outcome.target] += u32::from(outcome.answer.is_ok());
            }
        }
    };
    tokio::time::timeout(DEADLINE, all_good).await.unwrap();
    assert!(answered[..hostile].iter().all(|count| *count == 0));
}

#[tokio::test]
async fn a_token_reaches_its_own_origin_only() {
    let (own, other) = (Server::start(Manner::Good).await, Server::start(Manner::Good).await);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens");
    std::fs::write(&path, format!("http://{} canary-token\n", own.address)).unwrap();
    let targets = [own.target(), other.target()];
    let mut feed = feed(&targets, &Tokens::read(&path, &targets).unwrap());
    let both = async {
        while own.heads().is_empty() || other.heads().is_empty() {
            feed.next().await;
        }
    };
    tokio::time::timeout(DEADLINE, both).await.unwrap();
    assert!(own.heads()[0].contains("authorization: bearer canary-token"));
    assert!(!other.heads().concat().contains("canary"));
}

#[tokio::test]
async fn a_slow_reader_sees_the_newest_outcome_of_each_target() {
    let server = Server::start(Manner::Good).await;
    let mut feed = feed(&[server.target()], &Tokens::default());
    let polled = async {
        while server.heads().len() < 5 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, polled).await.unwrap();
    let outcomes = feed.next().await;
    assert_eq!(outcomes.len(), 1);
    assert!(outcomes[0].generation >= 4, "{}", outcomes[0].generation);
}

#[tokio::test]
async fn a_target_is_asked_for_what_changed_and_the_whole_is_made_of_it() {
    let honest = |since: Option<u64>, nth| match since {
        None => sent(&whole(nth), None),
        Some(_) => sent(&changed(nth), since),
    };
    let server = Server::start(Manner::Changing(honest)).await;
    let outcomes = outcomes(&server, 6).await;
    let answers: Vec<_> = outcomes.iter().map(|outcome| outcome.answer.as_ref().unwrap()).collect();
    for answer in &answers {
        let second = answer.snapshot.seq / 1_000;
        assert_eq!(*answer.snapshot, whole(second).snapshot(), "as if it had been sent whole");
    }
    let heads = server.heads();
    assert!(!heads[0].contains("since=") && heads[1..].iter().all(|head| head.contains("since=")), "{heads:?}");
    let (sent, all) = (answers[5].bytes, serde_json::to_vec(&whole(6).snapshot()).unwrap().len() as u64);
    assert!(sent < all, "{sent} of {all} bytes");
}

#[tokio::test]
async fn what_a_target_says_of_changes_is_not_believed() {
    const LIE: f64 = 666.0;
    type Make = fn(Option<u64>, u64) -> Vec<u8>;
    fn lie(second: u64) -> Document {
        Document::at(second).number("shop.orders", &[], LIE)
    }
    let liars: [(&str, Make); 4] = [
        ("changes of a document that was not asked about", |since, nth| match since {
            None => sent(&whole(nth), None),
            Some(since) => sent(&lie(nth), Some(since + 1)),
        }),
        ("older than what is known", |since, nth| match since {
            None => sent(&whole(nth), None),
            Some(_) => sent(&lie(0), since),
        }),
        ("another process under the same number", |since, nth| match since {
            None => sent(&whole(nth), None),
            Some(_) => sent(&lie(nth).edit(|it| it.started_at_ms.0 += 5), since),
        }),
        ("an agent that does not know changes", |since, nth| match since {
            None => sent(&whole(nth), None),
            Some(_) => answer("400 Bad Request", "", b"{}"),
        }),
    ];
    for (name, make) in liars {
        let server = Server::start(Manner::Changing(make)).await;
        for outcome in outcomes(&server, 5).await {
            let snapshot = outcome.answer.expect(name).snapshot;
            assert_eq!(*snapshot, whole(snapshot.seq / 1_000).snapshot(), "{name}");
        }
        let asked = server.heads().iter().filter(|head| head.contains("since=")).count();
        let knows = !name.contains("does not know");
        assert!(if knows { asked > 1 } else { asked == 1 }, "{name}: asked for changes {asked} times");
    }
    let always: Make = |since, nth| sent(&lie(nth), Some(since.unwrap_or(3)));
    let explanation = failure(Manner::Changing(always)).await;
    assert!(explanation.contains("where the whole snapshot was asked for"), "{explanation}");
}

#[tokio::test]
async fn a_restart_between_two_polls_is_seen_in_the_next_document() {
    let restarting = |since: Option<u64>, nth| match (since, nth) {
        (None, 1) => sent(&whole(900), None),
        (Some(_), 2) => sent(&changed(901), since),
        // the new process has a document of that number too, by chance
        (Some(_), 3) => sent(&Document::of_process(5_000_000, Duration::from_secs(950)), since),
        _ => sent(&Document::of_process(5_000_000, Duration::from_secs(951)), None),
    };
    let server = Server::start(Manner::Changing(restarting)).await;
    let third = outcomes(&server, 3).await.remove(2).answer.unwrap();
    assert_eq!((third.snapshot.started_at_ms.0, third.snapshot.metrics.len()), (5_000_000, 0));
}
