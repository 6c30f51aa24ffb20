//! The error-burst fault: a share of requests fails, as when something behind the shop is down.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rand::Rng;

use super::{Problem, Shop};

/// Fails the request, or lets it through.
pub(super) async fn error_burst(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    match shop.faults.error_burst() {
        Some(percent) if rand::rng().random_range(0..100) < percent => {
            let detail = "the inventory service does not answer; try again";
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "Something behind the shop failed", detail).into_response()
        }
        _ => next.run(request).await,
    }
}
