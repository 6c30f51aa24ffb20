//! The endpoint without a port of its own: the service's own router hands requests to it. The same routes, limits and
//! credentials; requests go to the agent's thread and their answers come back, so that nothing slow runs on the threads of
//! the host. Which router it is, is not known here.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, Request, Response};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::Source;
use super::access::{Caller, Policy, Via};
use super::answer::Asked;
use super::connections::CONNECTIONS_MAX;
use super::payload::{Answer, Payload};
use super::problem::Problem;
use super::router::Router;
use crate::clock::Tick;

/// The endpoint as a part of another server; see [`Agent::endpoint`](crate::Agent::endpoint). Clones are the same endpoint.
/// With the feature `tower` it is a tower service.
#[derive(Clone)]
pub struct EndpointService {
    router: Arc<Router>,
    places: Arc<Semaphore>,
    runtime: Handle,
}

impl EndpointService {
    /// What serves `source` to whom `policy` lets in, on the agent's `runtime`.
    pub(crate) fn new(source: Arc<dyn Source>, policy: Policy, runtime: Handle) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { router: Arc::new(Router::new(source, policy)), places, runtime }
    }

    /// Answers a request whose path begins where the endpoint's does: `/metrics`. Cost on the calling thread: two allocations
    /// and a wake-up of the agent's thread.
    pub fn answer<B>(&self, request: Request<B>) -> EndpointFuture
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return EndpointFuture(Pending::Full) };
        let router = Arc::clone(&self.router);
        let caller = Caller { via: Via::Mounted, address: None };
        let answering = self.runtime.spawn(async move { router.answer(request, caller, Tick::now().mono).await });
        EndpointFuture(Pending::Answering { answering, place: Some(place) })
    }
}

impl std::fmt::Debug for EndpointService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointService").field("places", &self.places.available_permits()).finish_non_exhaustive()
    }
}

/// The answer of [`EndpointService`], pending. Dropped, the agent stops working on it.
pub struct EndpointFuture(Pending);

enum Pending {
    Full,
    Answering { answering: JoinHandle<Answer>, place: Option<OwnedSemaphorePermit> },
}

impl std::fmt::Debug for EndpointFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointFuture").finish_non_exhaustive()
    }
}

impl Future for EndpointFuture {
    type Output = Result<Response<EndpointBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (answer, place) = match &mut self.0 {
            Pending::Full => (full(), None),
            Pending::Answering { answering, place } => {
                let answered = ready!(Pin::new(answering).poll(context));
                (answered.unwrap_or_else(|_gone| ended()), place.take())
            }
        };
        Poll::Ready(Ok(answer.map(|payload| EndpointBody { payload, _place: place })))
    }
}

impl Drop for EndpointFuture {
    fn drop(&mut self) {
        if let Pending::Answering { answering, .. } = &self.0 {
            answering.abort();
        }
    }
}

/// The body of an answer of [`EndpointService`].
pub struct EndpointBody {
    payload: Payload,
    _place: Option<OwnedSemaphorePermit>,
}

impl std::fmt::Debug for EndpointBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointBody").finish_non_exhaustive()
    }
}

impl Body for EndpointBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.payload).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.payload.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.payload.size_hint()
    }
}

/// The answer where no place is free.
fn full() -> Answer {
    let detail = format!("{CONNECTIONS_MAX} requests are being answered already; ask again in a moment");
    Asked { headers: &HeaderMap::new() }.problem(&Problem::unavailable(detail))
}

/// The answer of an agent that was shut down.
fn ended() -> Answer {
    Asked { headers: &HeaderMap::new() }.problem(&Problem::unavailable("the agent of this service has ended"))
}
