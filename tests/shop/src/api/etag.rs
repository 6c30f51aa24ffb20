//! Conditional requests: a GET answer carries an ETag, and who has it already is answered 304.

use std::hash::{DefaultHasher, Hasher};

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::Problem;

/// No answer of the shop comes near it.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Adds the ETag, or answers 304 without a body.
pub(super) async fn conditional(request: Request, next: Next) -> Response {
    let asked = (request.method() == Method::GET).then(|| request.headers().get(header::IF_NONE_MATCH).cloned());
    let response = next.run(request).await;
    let Some(known) = asked else { return response };
    if response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        return Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The answer broke off",
            "it could not be read to its end",
        )
        .into_response();
    };
    let tag = tag(&bytes);
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(header::ETAG, value);
    }
    if known.as_ref().and_then(|known| known.to_str().ok()).is_some_and(|known| matches(known, &tag)) {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

/// A weak tag, because the answer may be compressed on its way.
fn tag(bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    format!("W/\"{:016x}-{:x}\"", hasher.finish(), bytes.len())
}

/// Whether a list of tags, or `*`, has this one; weak and strong are the same here (RFC 9110).
fn matches(known: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|one| opaque(one) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::{matches, tag};

    #[test]
    fn a_tag_is_found_in_a_list_weak_or_strong() {
        let own = tag(b"a body");
        assert!(matches(&format!("\"other\", {own}"), &own));
        assert!(matches(own.trim_start_matches("W/"), &own));
        assert!(matches("*", &own));
        assert!(!matches(&tag(b"another body"), &own));
    }
}
