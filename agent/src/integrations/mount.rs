//! The endpoint as a tower service, for the service's own router. What is answered is not known here.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use axum::{Router, routing::get};
//!
//! let agent = heartline::Agent::builder("shop")
//!     .without_listener()
//!     .read_token("a token of 32 bytes or more, from a file")
//!     .start()?;
//! let app: Router = Router::new()
//!     .route("/products/{id}", get(async || "a product"))
//!     .layer(agent.axum_layer())
//!     .nest_service("/ops", agent.endpoint());   // behind the layer: the agent does not count who asks it
//! // heartline http://shop.internal:8080/ops
//! # Ok(()) }
//! ```

use std::convert::Infallible;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Bytes;
use tower_service::Service;

use crate::{EndpointBody, EndpointFuture, EndpointService};

impl<B> Service<Request<B>> for EndpointService
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<EndpointBody>;
    type Error = Infallible;
    type Future = EndpointFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> EndpointFuture {
        self.answer(request)
    }
}
