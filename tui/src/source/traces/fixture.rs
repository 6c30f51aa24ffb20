//! Documents of requests as a target sends them.

use serde_json::{Value, json};

use super::{Traces, UnixMillis, read};

impl Traces {
    /// What a target told with these documents.
    pub(crate) fn of(target: usize, documents: &[Value; 2]) -> Self {
        let bodies = documents.each_ref().map(|document| document.to_string().into_bytes());
        Self::new(target, Ok(read(&bodies, UnixMillis(1_000_000)).expect("a document of this file")))
    }
}

/// The document of open requests: one that waits for a query.
pub(crate) fn open() -> Value {
    json!({
        "schema_version": 1, "timestamp": "", "ts_ms": 1_000_000, "count": 7, "unlisted": 0,
        "requests": [{
            "key": "k-r-1", "method": "GET", "route": "/carts/{id}", "began_at": "", "began_at_ms": 999_600, "age_seconds": 0.4,
            "request_id": "r-1", "trace_id": null,
            "waits_for": {"kind": "queries", "name": "SELECT carts", "seconds": 0.3},
        }],
    })
}

/// A span as it is sent.
pub(crate) fn span(id: &str, parent: Option<&str>, name: &str, (offset, seconds): (f64, f64)) -> Value {
    let share = if parent.is_some() { "queries" } else { "own" };
    json!({
        "span_id": id, "parent_span_id": parent, "name": name, "target": null, "kind": "client", "share": share,
        "offset_seconds": offset, "duration_seconds": seconds, "status": "unset", "ended": true, "events": [],
    })
}

/// A kept request as it is sent; its key is `k-` and its request id.
pub(crate) fn row(request_id: &str, ended_at_ms: u64, spans: Option<&[Value]>) -> Value {
    json!({
        "key": format!("k-{request_id}"), "method": "POST", "route": "/orders", "status": 201, "error_type": null, "request_id": request_id,
        "trace_id": "cc77cf5ac58c82839a53d42dd3892651", "duration_seconds": 0.6, "ended_at_ms": ended_at_ms,
        "spent": {"queries": {"count": 3, "seconds": 0.5}, "pool_wait": {"count": 3, "seconds": 0.01}},
        "split": spans.map(|_| json!({
            "own_seconds": 0.08, "spans_seconds": 0.0, "queries_seconds": 0.5, "pool_wait_seconds": 0.02,
            "cache_seconds": 0.0, "outbound_seconds": 0.0,
        })),
        "cut": {"spans": 2}, "spans": spans,
    })
}

/// The document of kept requests.
pub(crate) fn kept(slowest: &[Value], newest: &[Value]) -> Value {
    json!({
        "schema_version": 1, "window_seconds": 300.0, "thresholds": {"request_seconds": 0.5},
        "requests": {"count": 12, "missed": 0, "slowest": slowest},
        "failed": {"count": 4, "missed": 0, "newest": newest},
        "queries": {"count": 0, "missed": 0, "slowest": []},
        "spans": {"missed": 0},
    })
}
