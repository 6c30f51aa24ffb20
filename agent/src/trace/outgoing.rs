//! What a host asks and says itself: the current place in a trace, for headers of outgoing requests, and calls to other
//! services as spans. How a call is made is not known here.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::TraceContext;
use super::current::top;
use super::fields::Said;
use super::forest::forest;
use super::request::Child;
use super::work::{Work, WorkKind};
use crate::clock::Stamp;

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The place in a trace where this thread is: the innermost span that was entered, or the request that is worked on. `None`
/// outside of a request, and while there is no layer.
pub fn current() -> Option<TraceContext> {
    let span = top()?;
    forest()?.with(span, |tree| tree.context(span.span()))
}

/// Puts [`current`] on an outgoing request, as `traceparent`, and the `tracestate` that came in; replaces what is there.
/// Whether there was something to put. Within a [`outbound`] call, use [`OutboundSpan::inject`]: the other service's
/// spans are then part of the call.
///
/// ```
/// let mut headers = http::HeaderMap::new();
/// assert!(!heartline::trace::inject(&mut headers)); // outside of a request there is nothing
/// ```
pub fn inject(headers: &mut HeaderMap) -> bool {
    let found = top().and_then(|span| forest()?.with(span, |tree| (tree.context(span.span()), state(&tree.state))));
    put(headers, found)
}

fn state(state: &str) -> Option<HeaderValue> {
    if state.is_empty() { None } else { HeaderValue::from_str(state).ok() }
}

fn put(headers: &mut HeaderMap, found: Option<(TraceContext, Option<HeaderValue>)>) -> bool {
    let Some((context, state)) = found else { return false };
    let Ok(parent) = HeaderValue::from_str(&context.to_string()) else { return false };
    headers.insert(TRACEPARENT, parent);
    match state {
        Some(state) => headers.insert(TRACESTATE, state),
        None => headers.remove(TRACESTATE),
    };
    true
}

/// A call to another service begins: a span of the request that this thread works on. `name` is what it is called, such as
/// `POST /charges`: few different ones, no ids. A method and a template of the path, which is what OpenTelemetry's conventions
/// call HTTP requests, also give the attributes `http.request.method` and `url.template`; a whole URL is not kept, because it
/// may hold what users typed.
///
/// ```
/// # fn send(headers: http::HeaderMap) -> Result<u16, std::io::Error> { Ok(200) }
/// let call = heartline::trace::outbound("POST /charges").server("payments.internal", 8080);
/// let mut headers = http::HeaderMap::new();
/// call.inject(&mut headers);
/// match send(headers) {
///     Ok(status) => call.finish(status),
///     Err(_) => call.failed("connection"),
/// }
/// ```
pub fn outbound(name: &str) -> OutboundSpan {
    let work = || Work { kind: WorkKind::Outbound, operation: "", name, detail: "" };
    let span = OutboundSpan(Child::begin(work, Stamp::now()));
    if let Some((method, template)) = http_request(name) {
        span.0.say(&[("http.request.method", Said::Text(method)), ("url.template", Said::Text(template))]);
    }
    span
}

/// The method and the template of the path that a name consists of.
fn http_request(name: &str) -> Option<(&str, &str)> {
    let known = |method: &str| {
        ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"].contains(&method)
    };
    name.split_once(' ').filter(|(method, template)| known(method) && template.starts_with('/'))
}

/// A call to another service; see [`outbound`]. Dropped before it is told how the call ended, it counts as `cancelled`.
#[derive(Debug)]
#[must_use = "dropping it says that the call was cancelled"]
pub struct OutboundSpan(Child);

impl OutboundSpan {
    /// Who is asked: the host, by name or address, and the port.
    pub fn server(self, address: &str, port: u16) -> Self {
        self.0.say(&[("server.address", Said::Text(address)), ("server.port", Said::Unsigned(u64::from(port)))]);
        self
    }

    /// Puts the call on its own headers, as [`inject()`] does. Whether there was something to put: a call outside of a request
    /// is no part of a trace.
    pub fn inject(&self, headers: &mut HeaderMap) -> bool {
        let state = self.0.state(state).flatten();
        put(headers, self.0.context().map(|context| (context, state)))
    }

    /// The other service answered with this status. 400 and above are errors, as the conventions have it for clients.
    pub fn finish(mut self, status: u16) {
        self.0.say(&[("http.response.status_code", Said::Unsigned(u64::from(status)))]);
        let error_type = (status >= 400).then(|| status.to_string());
        self.0.end(Stamp::now(), error_type.as_deref(), None);
    }

    /// There was no answer, for this type of reason: `timeout`, `connection`; at most a few dozen different ones.
    pub fn failed(mut self, error_type: &str) {
        self.0.end(Stamp::now(), Some(error_type), None);
    }
}

impl Drop for OutboundSpan {
    fn drop(&mut self) {
        self.0.end(Stamp::now(), Some("cancelled"), None);
    }
}
