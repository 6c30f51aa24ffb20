//! How many clients are connected, how long each has made no progress, and which one goes when there are too many. What
//! they ask for is not known here.
//!
//! A connection is in one of two phases: its client owes a request, or we owe an answer. When the house is full, or the
//! answers that nobody fetches hold too much memory, the connection that has been in its phase for longest ends. An
//! honest client is through in milliseconds, so it is never that one, however many slow ones there are.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;

use crate::clock::Tick;

/// Clients that may be connected at once.
pub(super) const CONNECTIONS_MAX: usize = 64;
/// Bytes of answers that may wait for slow readers; the answer that is being written now is always allowed.
const UNFETCHED_BYTES_MAX: usize = 4 << 20;

/// The connected clients.
#[derive(Debug, Default, Clone)]
pub(super) struct Connections(Arc<Mutex<Vec<Arc<Client>>>>);

#[derive(Debug)]
struct Client {
    progress: Mutex<Progress>,
    end: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Progress {
    phase: Phase,
    since: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The client owes us a request, or the rest of one.
    Request,
    /// We owe the client an answer of so many bytes; `begun` once the first byte was written.
    Answer { bytes: usize, begun: bool },
}

/// A place among the connected clients; leaving it gives it back.
#[derive(Debug)]
pub(super) struct Place(Seat);

/// One client among the others, as the answer that goes to it sees it.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    connections: Connections,
    client: Arc<Client>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.connections.0.lock().retain(|client| !Arc::ptr_eq(client, &self.0.client));
    }
}

impl Connections {
    /// A place for a new client. When there is none, the client that has made no progress for longest loses its own.
    pub(super) fn admit(&self, now: Duration) -> Place {
        let progress = Mutex::new(Progress { phase: Phase::Request, since: now });
        let client = Arc::new(Client { progress, end: Notify::new() });
        let mut clients = self.0.lock();
        if clients.len() >= CONNECTIONS_MAX {
            end_oldest(&mut clients, |_| true);
        }
        clients.push(Arc::clone(&client));
        Place(Seat { connections: self.clone(), client })
    }

    /// Ends the clients whose answer has been waiting longer than `deadline`.
    pub(super) fn end_overdue(&self, now: Duration, deadline: Duration) {
        self.0.lock().retain(|client| {
            let Progress { phase, since } = *client.progress.lock();
            let overdue = phase != Phase::Request && now.saturating_sub(since) > deadline;
            if overdue {
                client.end.notify_one();
            }
            !overdue
        });
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// Ends the client that is longest in its phase, among those that `counts`.
fn end_oldest(clients: &mut Vec<Arc<Client>>, counts: impl Fn(&Arc<Client>) -> bool) {
    let counting = clients.iter().enumerate().filter(|(_, client)| counts(client));
    let oldest = counting.min_by_key(|(_, client)| client.progress.lock().since).map(|(at, _)| at);
    if let Some(at) = oldest {
        clients.remove(at).end.notify_one();
    }
}

impl Place {
    /// Completes when the client must go.
    pub(super) async fn ended(&self) {
        self.0.client.end.notified().await;
    }

    /// What answers report their progress to.
    pub(super) fn seat(&self) -> &Seat {
        &self.0
    }

    /// Wraps the client's socket so that the end of an answer is seen.
    pub(super) fn watch<S>(&self, stream: S) -> Watched<S> {
        Watched { io: TokioIo::new(stream), client: Arc::clone(&self.0.client) }
    }
}

impl Seat {
    /// The request is complete and an answer of `bytes`, or the next chunk of one, goes out from now. Answers that slow
    /// readers leave unfetched make room for it.
    pub(super) fn answering(&self, bytes: usize, now: Duration) {
        *self.client.progress.lock() = Progress { phase: Phase::Answer { bytes, begun: false }, since: now };
        let mut clients = self.connections.0.lock();
        let others = |client: &Arc<Client>| !Arc::ptr_eq(client, &self.client) && client.unfetched() > 0;
        while clients.iter().map(|client| client.unfetched()).sum::<usize>() > UNFETCHED_BYTES_MAX
            && clients.iter().any(others)
        {
            end_oldest(&mut clients, others);
        }
    }
}

impl Client {
    fn unfetched(&self) -> usize {
        match self.progress.lock().phase {
            Phase::Answer { bytes, .. } => bytes,
            Phase::Request => 0,
        }
    }

    fn wrote(&self) {
        if let Phase::Answer { begun, .. } = &mut self.progress.lock().phase {
            *begun = true;
        }
    }

    /// Everything that was written has left: hyper flushes when nothing is left in its own buffer.
    fn flushed(&self) {
        let mut progress = self.progress.lock();
        if let Phase::Answer { begun: true, .. } = progress.phase {
            *progress = Progress { phase: Phase::Request, since: Tick::now().mono };
        }
    }
}

/// A client's socket that reports when an answer has been handed to the kernel completely.
#[derive(Debug)]
pub(super) struct Watched<S> {
    io: TokioIo<S>,
    client: Arc<Client>,
}

impl<S: AsyncRead + Unpin> Read for Watched<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Write for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(cx, buf));
        self.client.wrote();
        Poll::Ready(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.io).poll_flush(cx));
        self.client.flushed();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, bufs));
        self.client.wrote();
        Poll::Ready(written)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn has_ended(place: &Place) -> bool {
        place.ended().now_or_never().is_some()
    }

    #[test]
    fn the_client_without_progress_for_longest_makes_room() {
        let connections = Connections::default();
        let places: Vec<Place> = (0..CONNECTIONS_MAX as u64).map(|at| connections.admit(seconds(at))).collect();
        places[0].seat().answering(10, seconds(100));
        let newest = connections.admit(seconds(101));
        assert_eq!(connections.len(), CONNECTIONS_MAX);
        let ended: Vec<usize> = (0..places.len()).filter(|&at| has_ended(&places[at])).collect();
        assert_eq!(ended, [1], "the first one made progress since");
        assert!(!has_ended(&newest));
    }

    #[test]
    fn leaving_gives_the_place_back() {
        let connections = Connections::default();
        let place = connections.admit(seconds(1));
        drop(place);
        assert_eq!(connections.len(), 0);
    }

    #[test]
    fn an_answer_that_nobody_fetches_ends_at_its_deadline() {
        let connections = Connections::default();
        let (idle, slow) = (connections.admit(seconds(0)), connections.admit(seconds(0)));
        slow.seat().answering(10, seconds(5));
        connections.end_overdue(seconds(15), seconds(10));
        assert!(!has_ended(&slow), "exactly at the deadline");
        connections.end_overdue(seconds(16), seconds(10));
        assert!(has_ended(&slow) && !has_ended(&idle));
    }

    #[test]
    fn unfetched_answers_make_room_for_the_next_one_oldest_first() {
        let connections = Connections::default();
        let places: Vec<Place> = (0..5).map(|_| connections.admit(seconds(0))).collect();
        for (at, place) in places.iter().enumerate() {
            place.seat().answering(UNFETCHED_BYTES_MAX / 3, seconds(at as u64));
        }
        let ended: Vec<bool> = places.iter().map(has_ended).collect();
        assert_eq!(ended, [true, true, false, false, false]);
        let large = connections.admit(seconds(9));
        large.seat().answering(UNFETCHED_BYTES_MAX * 2, seconds(9));
        assert!(!has_ended(&large), "the answer that is written now is always allowed");
    }
}
