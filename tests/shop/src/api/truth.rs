//! Writes each answered request into the shop's own books, apart from the agent.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::Shop;

/// Counts the request by method, route template and status once it is answered.
pub(super) async fn keep(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let method = request.method().as_str().to_owned();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let response = next.run(request).await;
    shop.truth.request(&method, route.as_ref().map(MatchedPath::as_str), response.status().as_u16());
    response
}
