//! An honest client that keeps a pace and measures how long each answer takes.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use quanta::Instant;

/// One request on a connection of its own: status, the whole answer, and how long it took.
pub(crate) fn ask(address: SocketAddr, head: &str, limit: Duration) -> Option<(u16, String, Duration)> {
    let start = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, limit).ok()?;
    stream.set_read_timeout(Some(limit)).ok()?;
    let (first, rest) = head
        .split_once('\n')
        .map_or((head, String::new()), |(first, rest)| (first, format!("{}\r\n", rest.replace('\n', "\r\n"))));
    write!(stream, "{first} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{rest}\r\n").ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer, start.elapsed()))
}

/// Scrapes `path` `times` times, one each `pace`; gives how long each took, `None` for one without a whole 200.
pub(crate) fn scrape(address: SocketAddr, path: &str, times: u32, pace: Duration) -> Vec<Option<Duration>> {
    let (_never, clock) = mpsc::channel::<()>();
    let start = Instant::now();
    let one = |at: u32| {
        let _ = clock.recv_timeout((pace * at).saturating_sub(start.elapsed()));
        let (status, answer, took) = ask(address, &format!("GET {path}"), Duration::from_secs(5))?;
        let length: usize =
            answer.to_ascii_lowercase().split("content-length: ").nth(1)?.split('\r').next()?.parse().ok()?;
        let whole = answer.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() == length);
        (status == 200 && whole).then_some(took)
    };
    (0..times).map(one).collect()
}

/// The slowest, or none if one failed.
pub(crate) fn slowest(scrapes: &[Option<Duration>]) -> Option<Duration> {
    scrapes.iter().copied().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max())
}
