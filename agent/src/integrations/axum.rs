//! axum's part of the request signal: the route template it matched, and single handlers timed without a layer; how a
//! request is counted is decided in the tower layer.
//!
//! Put the layer on the router with `Router::layer`, after the routes: axum then has matched the route when the layer
//! sees the request, and nested routers give the whole template. Requests that no route matched are counted as
//! unmatched, with their status and without a path. Around the router (`ServiceBuilder::layer(..).service(router)`) the
//! layer sees requests before they are matched, and all of them are unmatched.
//!
//! [`Agent::axum_layer`] does what [`Agent::http_layer`] does. It knows that answers are axum's, and leaves alone those that go
//! out with their heads, where axum puts each body from any other layer into a box.
//!
//! ```
//! # fn main() -> Result<(), heartline::Error> {
//! use axum::{Router, routing::get};
//!
//! let agent = heartline::Agent::builder("shop").start()?;
//! let app: Router = Router::new()
//!     .route("/products/{id}", get(async || "a product"))
//!     .layer(agent.axum_layer());
//! # Ok(()) }
//! ```

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::response::Response;
use http::Extensions;
use pin_project_lite::pin_project;

use tower_layer::Layer;
use tower_service::Service;

use super::routes::FixedRoute;
use super::tower::{HttpLayer, ObservedBody, Observer, OpenRequest};
use crate::Agent;

/// The template of the route that axum matched.
pub(super) fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

impl Agent {
    /// A layer for axum's routers that counts and times requests by route, method and status, as [`http_layer`](Self::http_layer)
    /// does for any tower service. A body that is longer than 16 KiB, or does not say how long it is, is boxed once more.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// use axum::{Router, routing::get};
    ///
    /// let agent = heartline::Agent::builder("shop").start()?;
    /// let app: Router = Router::new()
    ///     .route("/products/{id}", get(async || "a product"))
    ///     .layer(agent.axum_layer().request_ids());
    /// # Ok(()) }
    /// ```
    pub fn axum_layer(&self) -> AxumLayer {
        AxumLayer(self.http_layer())
    }

    /// Counts and times one handler, for services that observe some routes and not others. A body that is
    /// longer than 16 KiB, or does not say how long it is, is boxed once more. Use it or the layer; with both, a request counts twice.
    ///
    /// What runs around the handler (other layers, extractors of outer services) is not part of the time; the
    /// handler's own extractors are.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// use axum::{Router, extract::Path, routing::get};
    ///
    /// async fn product(Path(id): Path<u64>) -> String {
    ///     format!("product {id}")
    /// }
    ///
    /// let agent = heartline::Agent::builder("shop").start()?;
    /// let app: Router = Router::new().route("/products/{id}", get(agent.timed("/products/{id}", product)));
    /// # Ok(()) }
    /// ```
    pub fn timed<H>(&self, template: impl Into<Cow<'static, str>>, handler: H) -> Timed<H> {
        Timed { handler, route: Arc::new(FixedRoute::new(self.clone(), template.into())) }
    }
}

/// Counts and times the requests of an axum router; see [`Agent::axum_layer`]. Clones share their look-up tables.
#[derive(Debug, Clone)]
pub struct AxumLayer(HttpLayer);

impl AxumLayer {
    /// As [`HttpLayer::request_ids`].
    #[must_use]
    pub fn request_ids(self) -> Self {
        Self(self.0.request_ids())
    }
}

impl<S> Layer<S> for AxumLayer {
    type Service = AxumService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AxumService { inner, observer: Observer::of(&self.0) }
    }
}

/// The service that [`AxumLayer`] makes.
#[derive(Debug, Clone)]
pub struct AxumService<S> {
    inner: S,
    observer: Arc<Observer>,
}

impl<S: Service<Request, Response = Response>> Service<Request> for AxumService<S> {
    type Response = Response;
    type Error = S::Error;
    type Future = AxumFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let mut open = self.observer.open(&request);
        let watching = open.watch();
        let inner = self.inner.call(request);
        watching.passed();
        AxumFuture { inner, open }
    }
}

pin_project! {
    /// The answer of an [`AxumService`], pending. Dropped, the request counts as cancelled.
    #[derive(Debug)]
    pub struct AxumFuture<F> {
        #[pin]
        inner: F,
        open: OpenRequest,
    }
}

impl<F: Future<Output = Result<Response, E>>, E> Future for AxumFuture<F> {
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let watching = this.open.watch();
        let mut polled = this.inner.poll(context);
        watching.passed();
        match &mut polled {
            Poll::Ready(Ok(response)) => answered(this.open, response),
            Poll::Ready(Err(_)) => this.open.failed(),
            Poll::Pending => {}
        }
        polled
    }
}

/// The answer is there. It is changed where it stands, because it is long, and only when its body keeps the request open.
#[inline]
fn answered(request: &mut OpenRequest, response: &mut Response) {
    if let Some(open) = request.answered(response) {
        let body = std::mem::take(response.body_mut());
        *response.body_mut() = Body::new(ObservedBody::new(body, Some(open)));
    }
}

/// A handler whose requests are counted and timed; see [`Agent::timed`].
#[derive(Debug, Clone)]
pub struct Timed<H> {
    handler: H,
    route: Arc<FixedRoute>,
}

impl<H, T, S> Handler<T, S> for Timed<H>
where
    H: Handler<T, S>,
    T: 'static,
    S: 'static,
{
    type Future = TimedFuture<H::Future>;

    fn call(self, request: Request, state: S) -> Self::Future {
        let mut open = OpenRequest::new(self.route.start(request.method()), &request);
        let watching = open.watch();
        let inner = self.handler.call(request, state);
        watching.passed();
        TimedFuture { inner, open }
    }
}

pin_project! {
    /// The answer of a [`Timed`] handler, pending. Dropped, the request counts as cancelled.
    #[derive(Debug)]
    pub struct TimedFuture<F> {
        #[pin]
        inner: F,
        open: OpenRequest,
    }
}

impl<F: Future<Output = Response>> Future for TimedFuture<F> {
    type Output = Response;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Response> {
        let this = self.project();
        let watching = this.open.watch();
        let mut polled = this.inner.poll(context);
        watching.passed();
        if let Poll::Ready(response) = &mut polled {
            answered(this.open, response);
        }
        polled
    }
}
