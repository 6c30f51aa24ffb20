//! Requests through a tower service that speaks [`http`], from the call to the last byte of the answer; it does not know
//! which router found the route, only where routers leave its template.
//!
//! What is counted, and when a request ends:
//!
//! | the request | counts as |
//! |---|---|
//! | answered, its body produced to the end (or the answer has none: `HEAD`, 1xx, 204, 304, upgrades, `Content-Length: 0`) | its status |
//! | answered with a body that knows its size and is no longer than 16 KiB: it is there, and goes out with its head | its status |
//! | its future or its body dropped before that: the client went away, a time-out or a panic outside the layer | `cancelled` |
//! | the service or its body panicked through the layer | `panic` |
//! | the service failed without an answer | `service` |
//! | the body failed half-way | its status, with the error type `body` |
//!
//! The duration runs until a longer body is produced, not until the head is sent: that is what the client waits for, and what
//! `http.server.request.duration` means. A stream that has no end, such as server-sent events, stays in flight while it
//! is open and ends as `cancelled` when the client leaves.
//!
//! A layer that turns panics into answers belongs inside this one when panics shall count as their status, and outside
//! when they shall count as `panic`.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Buf;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

use super::routes::{FixedRoute, Routes, RoutesOfService};
use super::unwinding::{EndedByPanic, Unwinding};
use crate::signals::spent::Mark;
use crate::trace::Scope;
use crate::{Agent, RequestGuard};

/// Where a request says which trace it belongs to, and an answer which request it answers.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// A body that is no longer than this, and says so, is sent with its head.
const WITH_HEAD_MAX: u64 = 16 << 10;
/// Up to so many headers are read one by one.
const HEADERS_READ_MAX: usize = 16;

impl Agent {
    /// A tower layer that counts and times requests by route, method and status.
    ///
    /// The route is the template, never the path: from axum's `MatchedPath` (feature `axum`), from a
    /// [`RouteTemplate`](super::RouteTemplate) that something outside the layer put into the request's extensions, or the
    /// one that [`HttpLayer::route`] fixes.
    /// Requests without a template are counted as [`Agent::unmatched`].
    ///
    /// Cost of a request: a look-up by method and template without a lock, one clock read at each end.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// use http::{Request, Response};
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// let agent = heartline::Agent::builder("shop").start()?;
    /// let service = ServiceBuilder::new()
    ///     .layer(agent.http_layer().route("/status"))
    ///     .service(service_fn(async |_: Request<String>| Ok::<_, std::io::Error>(Response::new("fine".to_owned()))));
    ///
    /// let answer = service.oneshot(Request::new(String::new())).await?;
    /// assert_eq!(answer.status(), 200);
    /// # Ok(()) }
    /// ```
    pub fn http_layer(&self) -> HttpLayer {
        HttpLayer { routes: Arc::new(Routes::new(self.clone())), fixed: None, reads_request_ids: false }
    }
}

/// Counts and times the requests of the service it wraps; see [`Agent::http_layer`]. Clones share their look-up tables.
#[derive(Debug, Clone)]
pub struct HttpLayer {
    routes: Arc<Routes>,
    fixed: Option<Arc<FixedRoute>>,
    reads_request_ids: bool,
}

impl HttpLayer {
    /// All requests of the wrapped service belong to this route.
    #[must_use]
    pub fn route(mut self, template: impl Into<Cow<'static, str>>) -> Self {
        self.fixed = Some(Arc::new(FixedRoute::new(self.routes.agent().clone(), template.into())));
        self
    }

    /// Requests bring their ids in `x-request-id`, from a proxy or from a layer outside this one: open requests are listed
    /// with them, and they can stand for the bucket that counts them. Without this, only slow requests have an id, which
    /// is read from the answer. Cost: one more look-up among the headers of each request.
    #[must_use]
    pub fn request_ids(mut self) -> Self {
        self.reads_request_ids = true;
        self
    }
}

impl<S> Layer<S> for HttpLayer {
    type Service = HttpService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        HttpService { inner, observer: Observer::of(self) }
    }
}

/// What the clones of one service have in common.
#[derive(Debug)]
pub(super) struct Observer {
    layer: HttpLayer,
    routes: RoutesOfService,
}

impl Observer {
    pub(super) fn of(layer: &HttpLayer) -> Arc<Self> {
        Arc::new(Self { layer: layer.clone(), routes: RoutesOfService::new(Arc::clone(&layer.routes)) })
    }

    /// A request begins.
    #[inline]
    pub(super) fn open<B>(&self, request: &Request<B>) -> OpenRequest {
        let mut guard = if let Some(route) = &self.layer.fixed {
            route.start(request.method())
        } else {
            self.routes.start(request.method(), request.extensions())
        };
        if self.layer.reads_request_ids
            && let Some(id) = value_of(request.headers(), &REQUEST_ID).and_then(|id| id.to_str().ok())
        {
            guard.request_id(id);
        }
        OpenRequest::new(guard, request)
    }
}

/// The service that [`HttpLayer`] makes.
#[derive(Debug, Clone)]
pub struct HttpService<S> {
    inner: S,
    observer: Arc<Observer>,
}

impl<S, Sent, Answered> Service<Request<Sent>> for HttpService<S>
where
    S: Service<Request<Sent>, Response = Response<Answered>>,
    Answered: Body,
{
    type Response = Response<ObservedBody<Answered>>;
    type Error = S::Error;
    type Future = HttpFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let mut open = self.observer.open(&request);
        let watching = open.watch();
        let inner = self.inner.call(request);
        watching.passed();
        HttpFuture { inner, open }
    }
}

impl EndedByPanic for RequestGuard {
    fn panicked(self) {
        RequestGuard::panicked(self);
    }
}

/// A request whose head is not there yet.
#[derive(Debug)]
pub(super) struct OpenRequest {
    guard: Option<RequestGuard>,
    answer_has_body: bool,
}

/// The trace that the request belongs to, and what other systems keep with it.
#[inline(never)]
fn say_trace(guard: &mut RequestGuard, trace: &HeaderValue, headers: &HeaderMap) {
    guard.traceparent(trace.as_bytes());
    headers.get_all(TRACESTATE).iter().for_each(|state| guard.tracestate(state.as_bytes()));
}

impl OpenRequest {
    #[inline]
    pub(super) fn new<B>(mut guard: RequestGuard, request: &Request<B>) -> Self {
        guard.is_driven = true;
        if let Some(trace) = value_of(request.headers(), &TRACEPARENT) {
            say_trace(&mut guard, trace, request.headers());
        }
        let method = request.method();
        Self { guard: Some(guard), answer_has_body: *method != Method::HEAD && *method != Method::CONNECT }
    }

    /// A call into the service begins; if it panics, so did the request.
    #[inline]
    pub(super) fn watch(&mut self) -> Watching<'_> {
        let scope = self.guard.as_ref().map(RequestGuard::scope);
        Watching { unwinding: Unwinding::begin(&mut self.guard), mark: Mark::now(), _scope: scope }
    }

    /// The head is there: the guard ends here when no body will keep it open, and belongs to the body otherwise.
    #[inline]
    pub(super) fn answered<B: Body>(&mut self, response: &Response<B>) -> Option<OpenBody> {
        let guard = self.guard.as_mut()?;
        let nanos = guard.elapsed_nanos();
        if guard.is_slow_after(nanos)
            && let Some(id) = value_of(response.headers(), &REQUEST_ID).and_then(|id| id.to_str().ok())
        {
            guard.request_id(id);
        }
        let status = response.status();
        let has_body = self.answer_has_body && !has_no_body(status);
        let left = if has_body { Unwinding::watch(&mut self.guard, || left(response)) } else { Some(0) };
        if left == Some(0) {
            self.guard.as_mut()?.end_after(nanos, status.as_u16());
            self.guard = None;
            return None;
        }
        Some(OpenBody { request: Self { guard: self.guard.take(), ..*self }, status, left })
    }

    /// The service failed without an answer.
    pub(super) fn failed(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.failed(None, "service");
        }
    }
}

/// A call into the service.
pub(super) struct Watching<'a> {
    unwinding: Unwinding<'a, RequestGuard>,
    mark: Mark,
    _scope: Option<Scope>,
}

impl Watching<'_> {
    /// The call returned.
    #[inline]
    pub(super) fn passed(self) {
        if let Some(guard) = self.unwinding.passed() {
            guard.add_since(&self.mark);
        }
    }
}

/// The bytes of the body that keep the request open behind its head, if they are known.
#[inline]
fn left<B: Body>(response: &Response<B>) -> Option<u64> {
    let body = response.body();
    let size = body.size_hint().exact();
    if size.is_some_and(|size| size <= WITH_HEAD_MAX) || body.is_end_stream() {
        return Some(0);
    }
    size.or_else(|| declared_length(response.headers()))
}

/// The bytes that the body will have, if the head says so: a server stops asking once it has them, and never asks for none.
fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The first value of a header that has no number in the crate `http`, whose map would hash its name: most heads have few, and
/// this one not among them.
#[inline]
fn value_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let may_be_there = headers.keys_len() > HEADERS_READ_MAX || headers.keys().any(|held| held == name);
    may_be_there.then(|| headers.get(name)).flatten()
}

fn has_no_body(status: StatusCode) -> bool {
    status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
}

pin_project! {
    /// The answer of [`HttpService`], pending. Dropped, the request counts as cancelled.
    #[derive(Debug)]
    pub struct HttpFuture<F> {
        #[pin]
        inner: F,
        open: OpenRequest,
    }
}

impl<F, B, E> Future for HttpFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<ObservedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let watching = this.open.watch();
        let polled = this.inner.poll(context);
        watching.passed();
        Poll::Ready(match ready!(polled) {
            Ok(response) => {
                let open = this.open.answered(&response);
                Ok(response.map(|body| ObservedBody::new(body, open)))
            }
            Err(error) => {
                this.open.failed();
                Err(error)
            }
        })
    }
}

/// A request whose body is being produced.
#[derive(Debug)]
pub(super) struct OpenBody {
    request: OpenRequest,
    status: StatusCode,
    left: Option<u64>,
}

impl OpenBody {
    /// The body was produced.
    fn end(&mut self) {
        if let Some(guard) = self.request.guard.take() {
            guard.finish(self.status.as_u16());
        }
    }

    /// Producing the body failed.
    fn failed(&mut self) {
        if let Some(guard) = self.request.guard.take() {
            guard.failed(Some(self.status.as_u16()), "body");
        }
    }

    /// Whether a frame with these bytes, or one of trailers, is the last that a server will ask for.
    fn is_last(&mut self, produced: Option<u64>) -> bool {
        let Some(produced) = produced else { return true };
        let Some(left) = &mut self.left else { return false };
        *left = left.saturating_sub(produced);
        *left == 0
    }
}

pin_project! {
    /// The body of an answer; its request ends with its last frame. Dropped before that, the request counts as cancelled.
    #[derive(Debug)]
    pub struct ObservedBody<B> {
        #[pin]
        inner: B,
        open: Option<OpenBody>,
    }
}

impl<B> ObservedBody<B> {
    pub(super) fn new(inner: B, open: Option<OpenBody>) -> Self {
        Self { inner, open }
    }
}

impl<B: Body + Default> Default for ObservedBody<B> {
    /// An empty body that belongs to no request.
    fn default() -> Self {
        Self { inner: B::default(), open: None }
    }
}

impl<B: Body> Body for ObservedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let mut this = self.project();
        let Some(open) = this.open else { return this.inner.poll_frame(context) };
        let watching = open.request.watch();
        let polled = this.inner.as_mut().poll_frame(context);
        watching.passed();
        let frame = ready!(polled);
        match &frame {
            None => open.end(),
            Some(Ok(frame)) => {
                let produced = frame.data_ref().map(|data| data.remaining() as u64);
                let inner = &this.inner;
                if open.is_last(produced) || Unwinding::watch(&mut open.request.guard, || inner.is_end_stream()) {
                    open.end();
                }
            }
            Some(Err(_)) => open.failed(),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
