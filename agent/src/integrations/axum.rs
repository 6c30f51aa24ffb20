//! axum's part of the request signal: the route template it matched, and single handlers timed without a layer; how a
//! request is counted is decided in the tower layer.
//!
//! Put the layer on the router with `Router::layer`, after the routes: axum then has matched the route when the layer
//! sees the request, and nested routers give the whole template. Requests that no route matched are counted as
//! unmatched, with their status and without a path. Around the router (`ServiceBuilder::layer(..).service(router)`) the
//! layer sees requests before they are matched, and all of them are unmatched.
//!
//! ```
//! # fn main() -> Result<(), heartline::Error> {
//! use axum::{Router, routing::get};
//!
//! let agent = heartline::Agent::builder("shop").start()?;
//! let app: Router = Router::new()
//!     .route("/products/{id}", get(async || "a product"))
//!     .layer(agent.http_layer());
//! # Ok(()) }
//! ```

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::handler::Handler;
use axum::response::Response;
use http::Extensions;
use pin_project_lite::pin_project;

use super::tower::{FixedRoute, ObservedBody, OpenRequest};
use crate::Agent;

/// The template of the route that axum matched.
pub(super) fn matched_path(extensions: &Extensions) -> Option<&str> {
    extensions.get::<MatchedPath>().map(MatchedPath::as_str)
}

impl Agent {
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
        let inner = open.watch(|| self.handler.call(request, state));
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
        let response = ready!(this.open.watch(|| this.inner.poll(context)));
        Poll::Ready(match this.open.answered(&response) {
            None => response,
            open => response.map(|body| Body::new(ObservedBody::new(body, open))),
        })
    }
}
