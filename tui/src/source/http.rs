//! One poll of one agent over HTTP, within its deadlines and limits. When to poll is not decided here.
//!
//! A target can be slow, wrong or hostile: a connection has one second and the whole answer five, redirects are not
//! followed, and at most 8 MiB are read after decompression. Large documents wait for room, so that many at once do not
//! fill the memory; targets that have answered well before do not queue behind those that have not.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::Snapshot;
use heartline_shared::frame::MEDIA_TYPE;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::document::{self, Read};
use super::known::Known;
use super::past::{self, Past};
use super::traces::{self, Told};
use super::{Answer, Failure, Outcome};
use crate::clock::Clock;

/// How long a connection may take.
pub const CONNECT_MAX: Duration = Duration::from_secs(1);
/// How long a whole poll may take.
pub const POLL_MAX: Duration = Duration::from_secs(5);
/// How long the past may take.
const PAST_MAX: Duration = Duration::from_secs(5);
/// How long a document may be after decompression, in bytes.
pub const DOCUMENT_BYTES_MAX: usize = 8 << 20;
/// From this size on a document needs room of its own.
const LARGE_BYTES: usize = 512 << 10;
/// From this size on a document is parsed off the runtime's threads.
const PARSE_INLINE_BYTES: usize = 64 << 10;

/// A client for all targets.
///
/// # Errors
/// When the system's TLS settings cannot be read.
pub(super) fn client() -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("heartline/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_MAX)
        .pool_max_idle_per_host(1)
        .http1_only()
        .no_proxy()
        .build()
}

/// Room for large documents, shared by all targets.
#[derive(Debug)]
pub(super) struct Room {
    proven: Arc<Semaphore>,
    unproven: Arc<Semaphore>,
    parsing: Arc<Semaphore>,
    /// Pasts that are being received or read.
    pasts: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { proven: places(2), unproven: places(2), parsing: places(1), pasts: places(2) }
    }
}

/// How one agent is asked.
#[derive(Debug, Clone)]
pub(super) struct Link {
    pub(super) client: Client,
    pub(super) url: Url,
    pub(super) token: Option<HeaderValue>,
    pub(super) room: Arc<Room>,
    pub(super) series_bytes_max: usize,
}

/// What came of one request.
#[derive(Debug)]
enum Asked {
    Answer {
        answer: Answer,
        /// It came as changes.
        changed: bool,
    },
    /// Changes that do not fit what is known: of another process, or of another document.
    Unfit { bytes: u64 },
    /// The agent does not know how to send changes.
    Refused,
}

impl Link {
    /// Asks for a snapshot, or what changed since the one that is known. `proven` tells whether the target's newest answer was
    /// good.
    pub(super) async fn poll(&self, proven: bool, known: &mut Known) -> Result<Answer, Failure> {
        let exchange = tokio::time::timeout(POLL_MAX, self.exchange(proven, known)).await;
        let late = || format!("no complete answer from {} within {} s", self.place(), POLL_MAX.as_secs());
        exchange.unwrap_or_else(|_| Err(late())).map_err(|explanation| Failure::new(&explanation))
    }

    /// Waits until few enough others are asked for what they remember.
    pub(super) async fn turn_for_past(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.room.pasts).acquire_owned().await.ok()
    }

    /// Asks for what the target remembers of the time before `outcome`; `None` where it keeps no history, or does not send
    /// it in time.
    pub(super) async fn past(&self, outcome: Outcome, turn: OwnedSemaphorePermit) -> Option<Past> {
        let streams = tokio::time::timeout(PAST_MAX, self.histories()).await.ok()??;
        let (since, series_bytes_max) = (vec![], self.series_bytes_max);
        Some(Past { outcome, since, streams, series_bytes_max, _permit: turn })
    }

    async fn histories(&self) -> Option<Vec<Vec<u8>>> {
        let mut streams = Vec::new();
        for query in past::QUERIES {
            streams.push(self.history(self.url_beside(("history", query))?).await?);
        }
        Some(streams)
    }

    /// Asks for the requests that are open and those that were slow or failed.
    pub(super) async fn traces(&self, clock: Clock) -> Result<(Told, u64), Failure> {
        let exchange = async {
            let [open, kept] = traces::QUERIES;
            let (open, first_permit) = self.beside(open).await?;
            let at = clock.now(); // which the time that it says belongs to
            let (kept, second_permit) = self.beside(kept).await?;
            let (bytes, bodies) = (open.len() + kept.len(), [open, kept]);
            let told = if bytes <= PARSE_INLINE_BYTES {
                traces::read(&bodies, at)
            } else {
                let turn = Arc::clone(&self.room.parsing).acquire_owned().await.ok();
                let parse = tokio::task::spawn_blocking(move || {
                    let told = traces::read(&bodies, at);
                    drop((bodies, first_permit, second_permit, turn));
                    told
                });
                parse.await.unwrap_or_else(|error| Err(format!("reading the answer failed ({error})")))
            };
            Ok((told.map_err(|reason| format!("{}: {reason}", self.place()))?, bytes as u64))
        };
        let late = || format!("no requests from {} within {} s", self.place(), POLL_MAX.as_secs());
        let exchange = tokio::time::timeout(POLL_MAX, exchange).await;
        exchange.unwrap_or_else(|_| Err(late())).map_err(|explanation: String| Failure::new(&explanation))
    }

    /// The address of another document of the agent: it stands beside the snapshot, under whatever prefix.
    fn url_beside(&self, (name, query): (&str, &str)) -> Option<Url> {
        let mut url = self.url.join(name).ok()?;
        url.set_query(Some(query));
        Some(url)
    }

    /// Another document of the agent, and room for it where it is large.
    async fn beside(&self, document: (&str, &str)) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), String> {
        let place = self.place();
        let url = self.url_beside(document).ok_or_else(|| format!("{place} has no {}", document.0))?;
        let response = self.send(url, "application/json").await.map_err(|error| self.explain(&error))?;
        if response.status() == StatusCode::NOT_FOUND {
            return Err(format!("{place} has no {}; its agent may be older than this program", response.url().path()));
        }
        self.refuse_status(&response)?;
        self.read_body(response, false).await
    }

    async fn send(&self, url: Url, accepted: &str) -> reqwest::Result<Response> {
        let mut request = self.client.get(url).header(ACCEPT, accepted);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, token.clone());
        }
        request.send().await
    }

    async fn history(&self, url: Url) -> Option<Vec<u8>> {
        let response = self.send(url, MEDIA_TYPE).await.ok().filter(|response| response.status() == StatusCode::OK)?;
        let is_frames = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == MEDIA_TYPE);
        if !is_frames {
            return None;
        }
        self.read_body(response, true).await.ok().map(|(body, _)| body)
    }

    fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }

    async fn exchange(&self, proven: bool, known: &mut Known) -> Result<Answer, String> {
        let mut in_vain = 0;
        if let Some(base) = known.base() {
            match self.ask(proven, Some(base)).await? {
                Asked::Answer { answer, changed } => {
                    known.keep(&answer, changed);
                    return Ok(answer);
                }
                Asked::Unfit { bytes } => {
                    known.forget();
                    in_vain = bytes;
                }
                Asked::Refused => known.give_up(),
            }
        }
        match self.ask(proven, None).await? {
            Asked::Answer { mut answer, changed } => {
                answer.bytes += in_vain;
                known.keep(&answer, changed);
                Ok(answer)
            }
            Asked::Unfit { .. } | Asked::Refused => {
                Err(format!("{} sends changes where the whole snapshot was asked for", self.place()))
            }
        }
    }

    /// One request: for what changed since `base`, or for the whole.
    async fn ask(&self, proven: bool, base: Option<Arc<Snapshot>>) -> Result<Asked, String> {
        let mut url = self.url.clone();
        if let Some(base) = &base {
            url.query_pairs_mut().append_pair("since", &base.seq.to_string());
        }
        let response = self.send(url, "application/json").await.map_err(|error| self.explain(&error))?;
        if base.is_some() && response.status() == StatusCode::BAD_REQUEST {
            return Ok(Asked::Refused);
        }
        self.refuse_status(&response)?;
        let (body, permit) = self.read_body(response, proven).await?;
        let bytes = body.len() as u64;
        let read = self.parse(body, base).await?;
        drop(permit);
        let (document, changed) = match read {
            Read::Whole(document) => (document, false),
            Read::Changed(document) => (document, true),
            Read::Unfit => return Ok(Asked::Unfit { bytes }),
        };
        let answer = Answer { snapshot: Arc::new(document.snapshot), bytes, series_left_out: document.series_left_out };
        Ok(Asked::Answer { answer, changed })
    }

    fn refuse_status(&self, response: &Response) -> Result<(), String> {
        let (place, status) = (self.place(), response.status());
        if status == StatusCode::OK {
            return Ok(());
        }
        let location = || {
            let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            location.map_or_else(String::new, |to| format!(" to {to}"))
        };
        Err(match status.as_u16() {
            300..=399 => format!("{place} redirects{}; redirects are not followed, name the final address", location()),
            401 | 403 if self.token.is_some() => format!("{place} refuses the token of --token-file ({status})"),
            401 | 403 => format!("{place} wants a token ({status}); pass it with --token-file"),
            404 => format!("{place} has no {}; is this the address of a heartline agent?", self.url.path()),
            _ => format!("{place} answered {status}"),
        })
    }

    async fn read_body(
        &self,
        mut response: Response,
        proven: bool,
    ) -> Result<(Vec<u8>, Option<OwnedSemaphorePermit>), String> {
        let (mut body, mut permit) = (Vec::new(), None);
        while let Some(chunk) = response.chunk().await.map_err(|error| self.explain(&error))? {
            if body.len() + chunk.len() > DOCUMENT_BYTES_MAX {
                let limit = DOCUMENT_BYTES_MAX >> 20;
                return Err(format!(
                    "the answer of {} is longer than {limit} MiB, the most that is read",
                    self.place()
                ));
            }
            if permit.is_none() && body.len() + chunk.len() > LARGE_BYTES {
                let places = if proven { &self.room.proven } else { &self.room.unproven };
                permit = Arc::clone(places).acquire_owned().await.ok();
            }
            body.extend_from_slice(&chunk);
        }
        Ok((body, permit))
    }

    async fn parse(&self, body: Vec<u8>, base: Option<Arc<Snapshot>>) -> Result<Read, String> {
        let series_bytes_max = self.series_bytes_max;
        let parsed = if body.len() <= PARSE_INLINE_BYTES {
            document::read(&body, series_bytes_max, base.as_deref())
        } else {
            let large = body.len() > LARGE_BYTES;
            let turn = if large { Arc::clone(&self.room.parsing).acquire_owned().await.ok() } else { None };
            let parse = tokio::task::spawn_blocking(move || {
                let document = document::read(&body, series_bytes_max, base.as_deref());
                drop((body, turn));
                document
            });
            parse.await.unwrap_or_else(|error| Err(format!("reading the answer failed ({error})")))
        };
        parsed.map_err(|reason| format!("{}: {reason}", self.place()))
    }

    /// A failed exchange in words, with the innermost cause and what to try.
    fn explain(&self, error: &reqwest::Error) -> String {
        let place = self.place();
        let mut cause = error.source();
        while let Some(inner) = cause.and_then(std::error::Error::source) {
            cause = Some(inner);
        }
        let cause = cause.map_or_else(|| "no cause given".to_owned(), ToString::to_string);
        if error.is_timeout() && error.is_connect() {
            let limit = CONNECT_MAX.as_secs();
            return format!(
                "no connection to {place} within {limit} s; is the address right, and does a firewall allow it?"
            );
        }
        if error.is_connect() {
            return format!(
                "cannot connect to {place} ({cause}); is the service running, and does its agent listen there?"
            );
        }
        if error.is_body() || error.is_decode() {
            return format!("the answer of {place} broke off ({cause})");
        }
        format!("{place} gave no usable HTTP answer ({cause}); is this the address of a heartline agent?")
    }
}
