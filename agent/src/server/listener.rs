//! The port: binding it, refusing to open it to the network unprotected, trying again when it is taken, and one task for
//! each client. What is answered is not known here.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Source;
use super::access::{Caller, Policy, Via};
use super::connections::{Connections, Place};
use super::router::{Answered, Router};
use crate::clock::Tick;

/// Bytes that the head of a request may take; a longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How often overdue answers are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// The first pause after the port could not be had; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);
/// The pause after a client could not be accepted, such as when the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The same trouble is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_hours(1);

/// How long clients may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadlines {
    /// From the connection, or the last answer, to the end of the next request's head.
    pub(crate) head: Duration,
    /// From the request to the last byte of the answer.
    pub(crate) answer: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { head: Duration::from_secs(5), answer: Duration::from_secs(10) }
    }
}

/// What the endpoint is told.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Where to listen; port 0 takes a free one.
    pub(crate) address: SocketAddr,
    /// Who may ask.
    pub(crate) policy: Policy,
    /// Whether to serve other machines without TLS. Even then a read token is needed.
    pub(crate) insecure_remote: bool,
    /// How long clients may take.
    pub(crate) deadlines: Deadlines,
}

impl Options {
    /// Why this address must not be opened, if so.
    fn refusal(&self) -> Option<&'static str> {
        if self.address.ip().is_loopback() {
            None
        } else if self.policy.read_token.is_none() {
            Some("other machines could read it: set a read token, or listen on 127.0.0.1")
        } else if !self.insecure_remote {
            Some(
                "the token would cross the network unencrypted: listen on 127.0.0.1 behind a TLS proxy, or allow it with insecure_remote(true)",
            )
        } else {
            None
        }
    }
}

/// Where the endpoint listens; `None` while it does not.
pub(crate) type BoundAddress = Arc<Mutex<Option<SocketAddr>>>;

/// The endpoint with its port, if it could be had.
pub(crate) struct Endpoint {
    options: Options,
    bound: BoundAddress,
    listener: Option<TcpListener>,
    logged_at: Option<Duration>,
}

impl Endpoint {
    /// Tries to bind the port; [`serve`](Self::serve) goes on trying. Must be called inside the agent's runtime. Where
    /// it listens is put into `bound`.
    pub(crate) fn bind(options: Options, bound: BoundAddress) -> Self {
        let mut endpoint = Self { options, bound, listener: None, logged_at: None };
        match endpoint.options.refusal() {
            Some(reason) => {
                let address = endpoint.options.address;
                tracing::error!(%address, reason, "the heartline endpoint is not opened; the service goes on without it");
            }
            None => endpoint.try_bind(),
        }
        endpoint
    }

    /// Answers clients until it is dropped.
    pub(crate) async fn serve(mut self, source: Arc<dyn Source>) {
        if self.options.refusal().is_some() {
            return;
        }
        let mut pause = RETRY_PAUSE_MIN;
        let listener = loop {
            if let Some(listener) = self.listener.take() {
                break listener;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
            self.try_bind();
        };
        let router = Arc::new(Router::new(source, self.options.policy.clone()));
        self.accept(&listener, &router).await;
    }

    fn try_bind(&mut self) {
        match self.bind_now() {
            Ok((listener, address)) => {
                tracing::info!(%address, "the heartline endpoint listens");
                *self.bound.lock() = Some(address);
                self.listener = Some(listener);
            }
            Err(error) => {
                let address = self.options.address;
                self.log_seldom(|| {
                    tracing::warn!(%address, %error, "the heartline endpoint cannot listen; it tries again in the background");
                });
            }
        }
    }

    fn bind_now(&self) -> std::io::Result<(TcpListener, SocketAddr)> {
        let listener = std::net::TcpListener::bind(self.options.address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok((TcpListener::from_std(listener)?, address))
    }

    async fn accept(&mut self, listener: &TcpListener, router: &Arc<Router>) {
        let connections = Connections::default();
        // Dropping the set ends every client with the endpoint.
        let mut clients = JoinSet::new();
        let mut sweep = interval(SWEEP_INTERVAL.min(self.options.deadlines.answer));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        let place = connections.admit(Tick::now().mono);
                        let via = if self.options.address.ip().is_loopback() { Via::Loopback } else { Via::Other };
                        let caller = Caller { via, address: Some(from.ip()) };
                        let client = serve_client(stream, place, caller, Arc::clone(router), self.options.deadlines.head);
                        clients.spawn(client);
                    }
                    Err(error) => {
                        self.log_seldom(|| tracing::warn!(%error, "the heartline endpoint cannot accept a client"));
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                _ = sweep.tick() => connections.end_overdue(Tick::now().mono, self.options.deadlines.answer),
                Some(_) = clients.join_next() => {}
            }
        }
    }

    fn log_seldom(&mut self, log: impl FnOnce()) {
        let now = Tick::now().mono;
        if self.logged_at.is_none_or(|logged_at| now.saturating_sub(logged_at) >= LOG_INTERVAL) {
            self.logged_at = Some(now);
            log();
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        *self.bound.lock() = None;
    }
}

/// One client, until it leaves, fails, or has to make room.
async fn serve_client(stream: TcpStream, place: Place, caller: Caller, router: Arc<Router>, head_deadline: Duration) {
    let _ = stream.set_nodelay(true); // without it answers are only slower
    let io = place.watch(stream);
    let answer = service_fn(|request: Request<Incoming>| {
        let (router, seat) = (Arc::clone(&router), place.seat().clone());
        async move {
            let mut answer = router.answer(request, caller, Tick::now().mono).await;
            let bytes = answer.body().size_hint().exact().unwrap_or(0);
            seat.answering(usize::try_from(bytes).unwrap_or(usize::MAX), Tick::now().mono);
            answer.body_mut().report_to(move |bytes| seat.answering(bytes, Tick::now().mono));
            Answered::Ok(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_deadline)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, answer);
    tokio::select! {
        // A client that breaks the protocol or hangs up is its own trouble, not ours.
        _ = connection => {}
        () = place.ended() => {}
    }
}

#[cfg(test)]
mod tests;
