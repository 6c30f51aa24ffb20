//! Why a request gets no document, as RFC 9457 writes it: what was asked, what is wrong with it, and what to try. Never
//! says what a secret was, nor anything of the process it runs in.

use std::time::Duration;

use http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

/// The media type of a problem document.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// An answer that is a refusal or a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(super) status: StatusCode,
    /// The last part of `type`: stable, for programs.
    kind: &'static str,
    /// For people: what was wrong with what, and what to try.
    detail: String,
    hint: Option<Hint>,
}

/// What a status comes with as a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hint {
    Allowed(&'static str),
    Bearer,
    RetryAfter { seconds: u64 },
}

#[expect(dead_code, reason = "declared ahead of the first route that uses it")]
impl Problem {
    fn new(status: StatusCode, kind: &'static str, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), hint: None }
    }

    fn with(mut self, hint: Hint) -> Self {
        self.hint = Some(hint);
        self
    }

    /// 400: a parameter or a member of the body, named in `detail`, cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    /// 401: no token, or a wrong one.
    pub(super) fn unauthorized(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail).with(Hint::Bearer)
    }

    /// 403: this caller may not, whoever they are.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 404: there is no such document, or none of that name.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", detail)
    }

    /// 405, with the methods that are allowed.
    pub(super) fn wrong_method(detail: impl Into<String>, allowed: &'static str) -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail).with(Hint::Allowed(allowed))
    }

    /// 406: none of the forms the client accepts is served.
    pub(crate) fn not_acceptable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", detail)
    }

    /// 408: the body did not arrive in time.
    pub(super) fn timeout(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
    }

    /// 409: the same operation is running.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 413: the body is too long.
    pub(super) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// 415: the body is not JSON.
    pub(super) fn wrong_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong-media-type", detail)
    }

    /// 429: too often; worth trying again after `wait`, whole seconds rounded up.
    pub(crate) fn too_many(detail: impl Into<String>, wait: Duration) -> Self {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", detail)
            .with(Hint::RetryAfter { seconds: seconds.max(1) })
    }

    /// 500: a fault of ours. The host goes on.
    pub(super) fn fault(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail)
    }

    /// 501: the service registered nothing that could do this.
    pub(crate) fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "not-implemented", detail)
    }

    /// 503: it can be done, but not now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
    }

    /// The header that belongs to the status, if one does.
    pub(super) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        Some(match self.hint? {
            Hint::Allowed(methods) => (ALLOW, HeaderValue::from_static(methods)),
            Hint::Bearer => (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"heartline\"")),
            Hint::RetryAfter { seconds } => (RETRY_AFTER, HeaderValue::from(seconds)),
        })
    }

    /// The document.
    pub(super) fn document(&self) -> Value {
        json!({
            "type": format!("urn:heartline:problem:{}", self.kind),
            "title": self.status.canonical_reason().unwrap_or("Error"),
            "status": self.status.as_u16(),
            "detail": self.detail,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_status_kind_and_what_to_try() {
        let problem = Problem::too_many("a profile runs every 60 s at most", Duration::from_millis(1_200));
        assert_eq!(problem.header(), Some((RETRY_AFTER, HeaderValue::from(2))));
        let document = problem.document();
        assert_eq!(document["type"], "urn:heartline:problem:too-many-requests");
        assert_eq!((&document["status"], &document["title"]), (&json!(429), &json!("Too Many Requests")));
        assert_eq!(document["detail"], "a profile runs every 60 s at most");
    }
}
