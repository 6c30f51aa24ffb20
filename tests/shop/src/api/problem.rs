//! Errors as clients see them: RFC 9457 problem documents.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::cache::CacheError;
use crate::store::{PlaceOrderError, StoreError};

/// What went wrong, for the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    status: StatusCode,
    title: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct Document<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

impl Problem {
    /// A problem with its status, a title that never changes and what happened this time.
    pub(crate) fn new(status: StatusCode, title: &'static str, detail: impl Into<String>) -> Self {
        Self { status, title, detail: detail.into() }
    }

    /// Something with this key does not exist.
    pub(crate) fn not_found(what: &str, id: i64) -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not found", format!("there is no {what} {id}"))
    }

    /// The request cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "The request cannot be understood", detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document =
            Document { r#type: "about:blank", title: self.title, status: self.status.as_u16(), detail: &self.detail };
        let mut response = (self.status, Json(document)).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        tracing::warn!(%error, "a request could not be answered from the database");
        match error {
            StoreError::PoolTimedOut => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The database is busy", "no connection came free; try again")
            }
            StoreError::Query { .. } | StoreError::Setup { .. } => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The database failed", "the log says how; try again")
            }
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::from(&error)
    }
}

impl From<CacheError<StoreError>> for Problem {
    fn from(error: CacheError<StoreError>) -> Self {
        match error {
            CacheError::Load(error) => Self::from(&*error),
            CacheError::Codec(error) => {
                tracing::error!(%error, "a cached value is not what it should be");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "The cache failed", "a cached value could not be read")
            }
        }
    }
}

impl From<PlaceOrderError> for Problem {
    fn from(error: PlaceOrderError) -> Self {
        match error {
            PlaceOrderError::EmptyCart => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "The cart is empty", error.to_string())
            }
            PlaceOrderError::OutOfStock { .. } => Self::new(StatusCode::CONFLICT, "Out of stock", error.to_string()),
            PlaceOrderError::Store(error) => Self::from(error),
        }
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Self {
        Self::new(rejection.status(), "The path cannot be understood", rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(rejection.status(), "The query cannot be understood", rejection.body_text())
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), "The body cannot be understood", rejection.body_text())
    }
}
