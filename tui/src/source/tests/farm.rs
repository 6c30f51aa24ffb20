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
use crate::source::{Feed, Outcome, Pace, Target, Tokens};

const DEADLINE: Duration = Duration::from_secs(20);
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
    let asks_for_past = head.starts_with(b"GET /api/v1/history?");
    let nth = {
        let mut heads = heads.lock().unwrap();
        heads.push(String::from_utf8_lossy(&head).to_ascii_lowercase());
        heads.len() as u64
    };
    match manner {
        Manner::Bytes(bytes) => stream.write_all(&bytes).await?,
        Manner::Silent => std::future::pending().await,
        Manner::Dripping => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n").await?;
            let mut beat = tokio::time::interval(QUICK);
            loop {
                stream.write_all(b" ").await?;
                beat.tick().await;
            }
        }
        Manner::Remembering(past) if asks_for_past => {
            let kind = format!("content-type: {MEDIA_TYPE}\r\n");
            stream.write_all(&answer("200 OK", &kind, &past)).await?;
        }
        Manner::Good | Manner::Remembering(_) => stream.write_all(&answer("200 OK", "", &document(nth))).await?,
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
