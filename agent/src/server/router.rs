//! Which document a request gets: paths, methods, and what each needs to be allowed. One function of request and time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use http::header::ACCEPT;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use super::access::{self, Refusal};
use super::answer::{Asked, Body, JSON, TEXT};
use super::documents::{self, Probe};
use super::fresh::Fresh;
use super::payload::Answer;
use super::token::Token;
use super::views::View;
use crate::exporters::prometheus::{self, Selection};
use crate::signals::Overall;

const READ_METHODS: &str = "GET, HEAD";

/// Everything that answers requests.
pub(super) struct Router {
    pub(super) fresh: Arc<Fresh>,
    pub(super) read_token: Option<Token>,
    /// Whether the listener is bound to loopback, where names in `Host` are not trusted.
    pub(super) on_loopback: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Health,
    Probe(Probe),
    Metrics,
    Snapshot,
    Catalogue,
    Info,
    /// A windowed view, and whether a read token must be set for it.
    View(View, bool),
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path {
            "/health" => Self::Health,
            "/livez" | "/-/healthy" => Self::Probe(Probe::Live),
            "/readyz" | "/-/ready" => Self::Probe(Probe::Ready),
            "/startupz" => Self::Probe(Probe::Startup),
            "/metrics" => Self::Metrics,
            "/api/v1/snapshot" => Self::Snapshot,
            "/api/v1/catalogue" => Self::Catalogue,
            "/api/v1/info" => Self::Info,
            _ => {
                let (view, guarded) = View::of(path)?;
                Self::View(view, guarded)
            }
        })
    }

    /// Whether anyone who reaches the port may ask.
    fn is_open(self) -> bool {
        matches!(self, Self::Health | Self::Probe(_))
    }
}

impl Router {
    /// The answer to a request that arrived at `now` on the boot-time clock. Its body is not read.
    pub(super) fn answer<B>(&self, request: &Request<B>, now: Duration) -> Answer {
        let asked = Asked { method: request.method(), headers: request.headers() };
        if let Err(refusal) = access::check_caller(request.uri(), request.headers(), self.on_loopback) {
            return asked.problem(StatusCode::FORBIDDEN, &refused(&refusal));
        }
        let path = request.uri().path();
        let Some(route) = Route::of(path) else {
            let detail = format!("there is no {path:?} here; try /health, /metrics or /api/v1/snapshot");
            return asked.problem(StatusCode::NOT_FOUND, &detail);
        };
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return asked.wrong_method(READ_METHODS);
        }
        if matches!(route, Route::View(_, true)) && self.read_token.is_none() {
            let detail =
                "paths under /api/admin always need the read token, and this agent has none; set one with read_token";
            return asked.problem(StatusCode::FORBIDDEN, detail);
        }
        if !route.is_open() && !self.may_read(request) {
            return asked.unauthorized();
        }
        self.document(route, request, now)
    }

    fn may_read<B>(&self, request: &Request<B>) -> bool {
        self.read_token.as_ref().is_none_or(|token| access::bears(request.headers(), token))
    }

    fn document<B>(&self, route: Route, request: &Request<B>, now: Duration) -> Answer {
        let asked = Asked { method: request.method(), headers: request.headers() };
        let query = request.uri().query().unwrap_or_default();
        let rendered = self.fresh.at(now);
        match route {
            Route::Health => self.health(request, now),
            Route::Probe(probe) => {
                let answer = documents::probe(probe, &rendered.snapshot.checks, &excluded(query));
                let status = if answer.passes { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
                // The list names dependencies, which not everyone who reaches the port may know.
                let verbose = form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "verbose");
                let short = if answer.passes { "ok\n" } else { "failed\n" }.to_owned();
                let text = if verbose && self.may_read(request) { answer.list } else { short };
                asked.document(status, TEXT, &Body::new(text))
            }
            Route::Metrics => {
                let selection = Selection::from_query(query);
                if selection.is_everything() {
                    return asked.document(StatusCode::OK, prometheus::CONTENT_TYPE, rendered.prometheus());
                }
                let mut text = String::new();
                prometheus::render_selected(&rendered.snapshot, &selection, &mut text);
                asked.document(StatusCode::OK, prometheus::CONTENT_TYPE, &Body::new(text))
            }
            Route::Snapshot => asked.document(StatusCode::OK, JSON, rendered.json()),
            Route::Catalogue => asked.tagged_document(JSON, &json_body(&documents::catalogue(&rendered.snapshot))),
            Route::View(view, _) => view.answer(asked, query, &self.fresh, now),
            Route::Info => asked.document(StatusCode::OK, JSON, &json_body(&documents::info(&rendered.snapshot))),
        }
    }

    fn health<B>(&self, request: &Request<B>, now: Duration) -> Answer {
        let asked = Asked { method: request.method(), headers: request.headers() };
        let overall = self.fresh.source().overall();
        let status = if overall == Overall::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
        let accepted = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let snapshot = &self.fresh.at(now).snapshot;
        if accepted.contains(documents::HEALTH_JSON) {
            let document = documents::health_draft(snapshot, overall);
            return asked.document(status, documents::HEALTH_JSON, &json_body(&document));
        }
        asked.document(status, JSON, &json_body(&documents::health(snapshot, overall)))
    }
}

fn refused(refusal: &Refusal) -> String {
    match refusal {
        Refusal::ForeignHost(host) => format!(
            "asked as {host:?}, but a listener on loopback answers to addresses and localhost only; \
             use http://127.0.0.1 with the port"
        ),
        Refusal::ForeignOrigin(origin) => format!("a page of {origin:?} asked; pages of other sites get no answer"),
    }
}

fn excluded(query: &str) -> BTreeSet<String> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    pairs.filter(|(name, _)| name == "exclude").map(|(_, value)| value.into_owned()).collect()
}

fn json_body(document: &Value) -> Body {
    Body::new(document.to_string())
}
