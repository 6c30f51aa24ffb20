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
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::Source;
use super::access::{Caller, Policy, Via};
use super::connections::{Connections, Place};
use super::router::{Answered, Router};
use super::socket::{Socket, Stream};
#[cfg(feature = "tls")]
use super::tls::Tls;
use crate::clock::Tick;
use crate::config::{Listen, TlsFiles};

/// Bytes that the head of a request may take; a longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 8 << 10;
/// How often overdue answers are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// The first pause after the port could not be had; it doubles up to [`RETRY_PAUSE_MAX`].
const RETRY_PAUSE_MIN: Duration = Duration::from_secs(1);
const RETRY_PAUSE_MAX: Duration = Duration::from_mins(1);
/// The first pause after a client could not be accepted, such as when the process is out of descriptors; it doubles up to
/// [`ACCEPT_PAUSE_MAX`].
const ACCEPT_PAUSE_MIN: Duration = Duration::from_millis(100);
const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);
/// How often the files of TLS are looked at.
const FILES_INTERVAL: Duration = Duration::from_secs(5);
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
    pub(crate) address: Listen,
    /// Who may ask.
    pub(crate) policy: Policy,
    /// The files of TLS; without them HTTP is served as it is.
    pub(crate) tls: Option<TlsFiles>,
    /// Whether to serve other machines without TLS. Even then a read token is needed.
    pub(crate) insecure_remote: bool,
    /// How long clients may take.
    pub(crate) deadlines: Deadlines,
}

impl Options {
    /// Why this address must not be opened, if so.
    fn refusal(&self) -> Option<&'static str> {
        if self.address.is_local() {
            None
        } else if self.policy.read_token.is_none() {
            Some("other machines could read it: set a read token, or listen on 127.0.0.1")
        } else if self.tls.is_none() && !self.insecure_remote {
            Some(
                "the token would cross the network unencrypted: serve TLS, listen on 127.0.0.1 behind a TLS proxy, or allow it with insecure_remote(true)",
            )
        } else {
            None
        }
    }
}

/// Where the endpoint listens; `None` while it does not.
pub(crate) type BoundAddress = Arc<Mutex<Option<SocketAddr>>>;

/// Why the endpoint does not listen; `None` while it does.
pub(crate) type Trouble = Arc<Mutex<Option<String>>>;

/// The endpoint with its port, if it could be had.
pub(crate) struct Endpoint {
    options: Options,
    bound: BoundAddress,
    trouble: Trouble,
    opened: Option<Opened>,
    logged_at: Option<Duration>,
}

impl Endpoint {
    /// Tries to bind the port; [`serve`](Self::serve) goes on trying. Must be called inside the agent's runtime. Where
    /// it listens is put into `bound`.
    pub(crate) fn bind(options: Options, bound: BoundAddress) -> Self {
        let mut endpoint = Self { options, bound, trouble: Trouble::default(), opened: None, logged_at: None };
        match endpoint.options.refusal() {
            Some(reason) => {
                let address = &endpoint.options.address;
                *endpoint.trouble.lock() = Some(format!("the endpoint is not opened on {address}: {reason}"));
                tracing::error!(%address, reason, "the heartline endpoint is not opened; the service goes on without it");
            }
            None => endpoint.try_bind(),
        }
        endpoint
    }

    /// Where it says why it does not listen.
    pub(crate) fn trouble(&self) -> Trouble {
        Arc::clone(&self.trouble)
    }

    /// Answers clients until it is dropped.
    pub(crate) async fn serve(mut self, source: Arc<dyn Source>) {
        if self.options.refusal().is_some() {
            return;
        }
        let mut pause = RETRY_PAUSE_MIN;
        let opened = loop {
            if let Some(opened) = self.opened.take() {
                break opened;
            }
            sleep(pause).await;
            pause = (pause * 2).min(RETRY_PAUSE_MAX);
            self.try_bind();
        };
        let router = Arc::new(Router::new(source, self.options.policy.clone()));
        self.accept(&opened, &router).await;
    }

    fn try_bind(&mut self) {
        match Opened::open(&self.options) {
            Ok(opened) => {
                let port = opened.socket.local_addr();
                let address = port.map_or_else(|| self.options.address.to_string(), |address| address.to_string());
                tracing::info!(address, "the heartline endpoint listens");
                *self.bound.lock() = port;
                *self.trouble.lock() = None;
                self.opened = Some(opened);
            }
            Err(error) => {
                let address = self.options.address.to_string();
                let trouble = format!("the endpoint cannot listen on {address}: {error}; it is tried again");
                *self.trouble.lock() = Some(trouble);
                self.log_seldom(|| {
                    tracing::warn!(
                        address,
                        error,
                        "the heartline endpoint cannot listen; it tries again in the background"
                    );
                });
            }
        }
    }

    async fn accept(&mut self, opened: &Opened, router: &Arc<Router>) {
        let connections = Connections::default();
        // Dropping the set ends every client with the endpoint.
        let mut clients = JoinSet::new();
        let mut sweep = interval(SWEEP_INTERVAL.min(self.options.deadlines.answer));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut files = interval(FILES_INTERVAL);
        let via = match &self.options.address {
            Listen::Tcp(address) if address.ip().is_loopback() => Via::Loopback,
            Listen::Tcp(_) | Listen::Unix(_) => Via::Other,
        };
        let mut pause = ACCEPT_PAUSE_MIN;
        loop {
            tokio::select! {
                accepted = opened.socket.accept() => match accepted {
                    Ok((stream, address)) => {
                        pause = ACCEPT_PAUSE_MIN;
                        let place = connections.admit(Tick::now().mono);
                        let caller = Caller { via, address };
                        let secured = opened.secured(stream);
                        clients.spawn(serve_client(secured, place, caller, Arc::clone(router), self.options.deadlines.head));
                    }
                    Err(error) => {
                        self.log_seldom(|| tracing::warn!(%error, "the heartline endpoint cannot accept a client"));
                        sleep(pause).await;
                        pause = (pause * 2).min(ACCEPT_PAUSE_MAX);
                    }
                },
                _ = sweep.tick() => connections.end_overdue(Tick::now().mono, self.options.deadlines.answer),
                _ = files.tick() => opened.read_files_again(),
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

/// What is open while the endpoint listens.
struct Opened {
    socket: Socket,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
}

impl Opened {
    fn open(options: &Options) -> Result<Self, String> {
        #[cfg(feature = "tls")]
        let tls = options.tls.clone().map(Tls::read).transpose()?;
        let socket = Socket::bind(&options.address).map_err(|error| error.to_string())?;
        #[cfg(feature = "tls")]
        return Ok(Self { socket, tls });
        #[cfg(not(feature = "tls"))]
        Ok(Self { socket })
    }

    /// The connection once it is encrypted; at once where it is not to be.
    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, reason = "only TLS needs more than the stream"))]
    fn secured(&self, stream: Stream) -> impl Future<Output = Option<Stream>> + Send + use<> {
        #[cfg(feature = "tls")]
        let acceptor = self.tls.as_ref().map(Tls::acceptor);
        async move {
            #[cfg(feature = "tls")]
            return match (acceptor, stream) {
                (Some(acceptor), Stream::Tcp(tcp)) => {
                    acceptor.accept(tcp).await.ok().map(|encrypted| Stream::Tls(Box::new(encrypted)))
                }
                (_, stream) => Some(stream),
            };
            #[cfg(not(feature = "tls"))]
            Some(stream)
        }
    }

    #[cfg_attr(not(feature = "tls"), expect(clippy::unused_self, reason = "only TLS needs more than the stream"))]
    fn read_files_again(&self) {
        #[cfg(feature = "tls")]
        match self.tls.as_ref().map(Tls::read_again) {
            Some(Ok(true)) => tracing::info!("the heartline endpoint uses a new certificate"),
            Some(Err(error)) => tracing::warn!(error, "the heartline endpoint keeps its certificate"),
            Some(Ok(false)) | None => {}
        }
    }
}

/// One client, until it leaves, fails, or has to make room.
pub(super) async fn serve_client<S: AsyncRead + AsyncWrite + Unpin>(
    secured: impl Future<Output = Option<S>>,
    place: Place,
    caller: Caller,
    router: Arc<Router>,
    head_deadline: Duration,
) {
    let stream = tokio::select! {
        secured = timeout(head_deadline, secured) => secured,
        () = place.ended() => return,
    };
    let Ok(Some(stream)) = stream else { return };
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
