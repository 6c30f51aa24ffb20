//! What a route is: method and paths, the credential it needs, its declared parameters, what it may answer, and the
//! handler. The table in `routes` is made of these; router and contract are functions of it.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::request::Parts;
use http::{Method, StatusCode};
use hyper::body::Bytes;
use serde_json::Value;

use super::access::Caller;
use super::answer::{Asked, Body, JSON};
use super::fresh::{Fresh, Rendered};
use super::parameters::{Parameter, Query};
use super::payload::Answer;
use super::problem::Problem;

/// One route of the table.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) verb: Verb,
    /// The canonical path. A last segment in braces matches any one segment: see [`Call::segment`].
    pub(super) path: &'static str,
    /// Other paths of the same handler. Each below `/api/performance` also answers below `/api/admin/performance`, where
    /// the read token is always required.
    pub(super) aliases: &'static [&'static str],
    pub(super) credential: Credential,
    /// Its query parameters. Below `/api/`, any other is refused.
    pub(super) parameters: &'static [Parameter],
    /// The JSON schema of the body of a POST; `None` for a body that is not read.
    pub(super) body: Option<fn() -> Value>,
    /// One sentence: what it answers.
    pub(super) about: &'static str,
    /// The documents it may answer with.
    pub(super) documents: &'static [Document],
    /// Statuses of problem documents that its handler gives beside those that follow from the declarations above.
    pub(super) problems: &'static [u16],
    pub(super) handler: Handler,
}

/// How a route is asked. Whatever answers GET answers HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

/// Who may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credential {
    /// Anyone who reaches the port.
    Open,
    /// The read or admin token, if a read token is configured; else anyone who reaches the port.
    Read,
    /// The read or admin token. Without a configured read token nobody may.
    ReadAlways,
    /// The admin token. Without a configured one nobody may.
    Admin,
}

/// One document that a route answers with, for the contract.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    /// One sentence: when, or what is in it.
    pub(super) about: &'static str,
    /// Its JSON schema.
    pub(super) schema: fn() -> Value,
}

/// The answer, or why there is none.
pub(crate) type Reply = Result<Answer, Problem>;
/// A reply that takes a while.
pub(super) type Pending = Pin<Box<dyn Future<Output = Reply> + Send>>;

/// What makes the answer. A panic in it is answered with 500 and stops nothing.
#[derive(Debug, Clone, Copy)]
pub(super) enum Handler {
    /// At once, in less than a millisecond or so: nothing else is served meanwhile.
    Now(fn(&Call) -> Reply),
    /// In time; the client waits and others are served. It must end by itself.
    Later(fn(Call) -> Pending),
}

/// What handlers read.
pub(super) struct State {
    pub(super) fresh: Arc<Fresh>,
}

/// A request that was let through, with everything about it that was declared.
pub(super) struct Call {
    pub(super) state: Arc<State>,
    pub(super) head: Parts,
    pub(super) query: Query,
    /// What stood in place of the braces of the path, percent-encoded as it came; empty for a path without.
    pub(super) segment: String,
    /// The body of a POST; empty otherwise.
    pub(super) body: Bytes,
    /// Who asked.
    pub(super) caller: Caller,
    /// When it arrived, on the boot-time clock.
    pub(super) now: Duration,
    /// Whether the caller may also read what needs the read token.
    pub(super) may_read: bool,
}

impl Call {
    /// The snapshot of this quarter second with its renderings.
    pub(super) fn rendered(&self) -> Arc<Rendered> {
        self.state.fresh.at(self.now)
    }

    /// In which form the client wants its document.
    pub(super) fn asked(&self) -> Asked<'_> {
        Asked { headers: &self.head.headers }
    }

    /// 200 with a JSON document.
    pub(super) fn json(&self, document: &Value) -> Answer {
        self.asked().document(StatusCode::OK, JSON, &Body::new(document.to_string()))
    }

    /// Whether the client's `Accept` names this media type.
    pub(super) fn accepts(&self, media_type: &str) -> bool {
        let values = self.head.headers.get_all(http::header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let ranges = values.flat_map(|value| value.split(','));
        ranges
            .map(|range| range.split(';').next().unwrap_or_default().trim())
            .any(|it| it.eq_ignore_ascii_case(media_type))
    }
}

impl Route {
    /// The rest of `path` where the pattern has braces, if it matches.
    pub(super) fn matches<'a>(pattern: &str, path: &'a str) -> Option<&'a str> {
        match pattern.split_once('{') {
            None => (pattern == path).then_some(""),
            Some((start, _name)) => {
                path.strip_prefix(start).filter(|segment| !segment.is_empty() && !segment.contains('/'))
            }
        }
    }

    /// The name in the braces of the path.
    pub(super) fn segment_name(path: &str) -> Option<&str> {
        path.split_once('{').and_then(|(_, rest)| rest.strip_suffix('}'))
    }
}

impl Verb {
    pub(super) fn takes(self, method: &Method) -> bool {
        match self {
            Self::Get => method == Method::GET || method == Method::HEAD,
            Self::Post => method == Method::POST,
        }
    }
}
