//! From a request to its answer: who asks, which route, with what, and what to say when that does not fit. The routes
//! themselves are in `routes`.

use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Version};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};

use super::Source;
use super::access::{Access, Caller, Policy, Refusal};
use super::answer::Asked;
use super::fresh::Fresh;
use super::parameters::Query;
use super::payload::{Answer, Payload};
use super::problem::Problem;
use super::refusals::Refusals;
use super::route::{Call, Credential, Handler, Reply, Route, State, Verb};
use super::routes::TABLE;

/// Bytes of the body of a request.
pub(super) const BODY_BYTES_MAX: usize = 64 << 10;
/// How long a body may take.
pub(super) const BODY_DEADLINE: Duration = Duration::from_secs(5);
/// Paths that also answer below [`ALWAYS_READ`], with the read token always required.
const PERFORMANCE: &str = "/api/performance";
const ALWAYS_READ: &str = "/api/admin/performance";

/// Everything that answers requests.
pub(super) struct Router {
    state: Arc<State>,
    access: Access,
    refusals: Refusals,
}

/// What a path and a method lead to.
enum Found<'a> {
    Route { route: &'static Route, credential: Credential, segment: &'a str },
    WrongMethod(&'static str),
    Nothing,
}

impl Router {
    pub(super) fn new(source: Arc<dyn Source>, policy: Policy) -> Self {
        let state = State { fresh: Arc::new(Fresh::new(source)) };
        Self { state: Arc::new(state), access: Access::new(policy), refusals: Refusals::default() }
    }

    /// The answer to a request that arrived at `now` on the boot-time clock. Must be called inside the agent's runtime.
    pub(super) async fn answer<B>(&self, request: Request<B>, caller: Caller, now: Duration) -> Answer
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (head, body) = request.into_parts();
        let is_head = head.method == Method::HEAD;
        let listed_origin = self.access.listed_origin(&head.headers).cloned();
        let reply = self.reply(head, body, caller, now).await;
        let mut answer = reply.unwrap_or_else(|problem| Asked { headers: &HeaderMap::new() }.problem(&problem));
        if is_head {
            *answer.body_mut() = Payload::default();
        }
        if let Some(origin) = listed_origin {
            answer.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            answer.headers_mut().append(VARY, HeaderValue::from_static("origin"));
        }
        answer
    }

    async fn reply<B>(&self, head: Parts, body: B, caller: Caller, now: Duration) -> Reply
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        check_host_count(&head)?;
        if let Err(refusal) = self.access.check_caller(caller.via, &head.uri, &head.headers) {
            return Err(self.refuse(refusal, caller, now).await);
        }
        let path = head.uri.path().to_owned();
        let (route, credential, segment) = match find(&path, &head.method) {
            Found::Route { route, credential, segment } => (route, credential, segment),
            Found::WrongMethod(allowed) => {
                let detail = format!("{} is not supported here; use one of: {allowed}", head.method);
                return Err(Problem::wrong_method(detail, allowed));
            }
            Found::Nothing => {
                let shown: String = path.chars().take(100).collect();
                let detail = format!("there is no {shown:?} here; /api/v1/openapi.json lists what there is");
                return Err(Problem::not_found(detail));
            }
        };
        let outcome = match self.access.admit(credential, caller, &head.headers, now) {
            Ok(()) => self.call((route, segment), head, body, (caller, now)).await,
            Err(refusal) => Err(self.refuse(refusal, caller, now).await),
        };
        if credential == Credential::Admin {
            let status = outcome.as_ref().map_or_else(|problem| problem.status, http::Response::status);
            let outcome_word = outcome_word(status.as_u16());
            self.state.fresh.source().admin_asked(route.path, outcome_word);
            // actions say themselves what came of them
            if route.verb == Verb::Get {
                let caller = caller.address.map_or_else(|| "local".to_owned(), |address| address.to_string());
                let route = route.path;
                tracing::info!(target: "heartline::audit", route, caller, outcome = outcome_word, "an admin route was asked");
            }
        }
        outcome
    }

    async fn refuse(&self, refusal: Refusal, caller: Caller, now: Duration) -> Problem {
        self.refusals.tell(refusal.reason, caller, now);
        if !refusal.delay.is_zero() {
            tokio::time::sleep(refusal.delay).await;
        }
        refusal.problem
    }

    async fn call<B>(
        &self,
        (route, segment): (&'static Route, &str),
        head: Parts,
        body: B,
        (caller, now): (Caller, Duration),
    ) -> Reply
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let strict = head.uri.path().starts_with("/api/");
        let query = Query::parse(head.uri.query().unwrap_or_default(), route.parameters, strict)?;
        let body = if route.verb == Verb::Post { read_body(&head.headers, body).await? } else { Bytes::new() };
        let may_read = self.access.may_read(caller, &head.headers);
        let state = Arc::clone(&self.state);
        let call = Call { state, head, query, segment: segment.to_owned(), body, caller, now, may_read };
        let made = match route.handler {
            Handler::Now(handler) => catch_unwind(AssertUnwindSafe(|| handler(&call))),
            Handler::Later(handler) => AssertUnwindSafe(async { handler(call).await }).catch_unwind().await,
        };
        made.unwrap_or_else(|_panic| {
            tracing::error!(route = route.path, "the heartline endpoint has a fault: a handler panicked");
            Err(Problem::fault("the agent could not make this document; the service is not affected"))
        })
    }
}

/// HTTP/1.1 asks for one `Host`, no more and no less (RFC 9112, section 3.2): two would let a proxy before us and us
/// believe different ones.
fn check_host_count(head: &Parts) -> Result<(), Problem> {
    match head.headers.get_all(HOST).iter().count() {
        0 if head.version == Version::HTTP_11 => {
            Err(Problem::bad_request("the request has no `Host` header; HTTP/1.1 needs one"))
        }
        0 | 1 => Ok(()),
        many => Err(Problem::bad_request(format!("the request has {many} `Host` headers; one is allowed"))),
    }
}

/// Every path of a route with the credential it needs there.
pub(super) fn paths(route: &'static Route) -> impl Iterator<Item = (String, Credential)> {
    let own = std::iter::once(route.path).chain(route.aliases.iter().copied());
    own.flat_map(|path| {
        let below =
            path.strip_prefix(PERFORMANCE).map(|rest| (format!("{ALWAYS_READ}{rest}"), always(route.credential)));
        std::iter::once((path.to_owned(), route.credential)).chain(below)
    })
}

const fn always(credential: Credential) -> Credential {
    match credential {
        Credential::Admin => Credential::Admin,
        Credential::Open | Credential::Read | Credential::ReadAlways => Credential::ReadAlways,
    }
}

fn find<'a>(path: &'a str, method: &Method) -> Found<'a> {
    let below = path.strip_prefix(ALWAYS_READ);
    let mut allowed = None;
    for route in TABLE.iter().copied().flatten() {
        let segment = |pattern: &str| match below {
            Some(rest) => pattern.strip_prefix(PERFORMANCE).and_then(|pattern| Route::matches(pattern, rest)),
            None => Route::matches(pattern, path),
        };
        let matched = std::iter::once(&route.path).chain(route.aliases).find_map(|pattern| segment(pattern));
        let Some(segment) = matched else { continue };
        if route.verb.takes(method) {
            let credential = if below.is_some() { always(route.credential) } else { route.credential };
            return Found::Route { route, credential, segment };
        }
        allowed = Some(match route.verb {
            Verb::Get => "GET, HEAD",
            Verb::Post => "POST",
        });
    }
    allowed.map_or(Found::Nothing, Found::WrongMethod)
}

/// One word for the counter of admin requests.
const fn outcome_word(status: u16) -> &'static str {
    match status {
        200..=399 => "ok",
        401 | 403 => "refused",
        429 => "limited",
        400..=499 => "invalid",
        _ => "failed",
    }
}

async fn read_body<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::wrong_media_type("send the body as `Content-Type: application/json`"));
    }
    let too_large = || Problem::too_large(format!("a body has at most {BODY_BYTES_MAX} bytes"));
    let said = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if said.is_some_and(|bytes| bytes > BODY_BYTES_MAX) {
        return Err(too_large());
    }
    let collected = tokio::time::timeout(BODY_DEADLINE, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    match collected {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(_broken)) => Err(Problem::bad_request("the body ended before it was complete")),
        Err(_elapsed) => Err(Problem::timeout(format!("the body took longer than {} s", BODY_DEADLINE.as_secs()))),
    }
}

/// An answer never fails; what can go wrong is in it.
pub(super) type Answered = Result<Answer, Infallible>;
