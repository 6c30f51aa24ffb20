//! Which route a request is of: the handle of its method and of the template that a router or the service left on it. When it
//! begins and ends is not known here.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use http::{Extensions, Method};

use super::ROUTE_SOURCES;
use crate::registry::AppendMap;
use crate::{Agent, RequestGuard, Route};

/// Route templates that one layer remembers per method. Further ones work all the same, looked up in the registry.
const ROUTES_REMEMBERED_MAX: usize = 4_096;

/// The template of the route that a request matched, such as `/products/{id}`, for routers that do not say it
/// themselves: put it into the request's extensions before the layer sees the request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteTemplate(Cow<'static, str>);

impl RouteTemplate {
    /// `template` must come from the program, not from the request: each one is a series.
    pub fn new(template: impl Into<Cow<'static, str>>) -> Self {
        if !TEMPLATES_ARE_SAID.load(Ordering::Relaxed) {
            TEMPLATES_ARE_SAID.store(true, Ordering::Relaxed);
        }
        Self(template.into())
    }

    /// The template.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether this process ever made a [`RouteTemplate`]: most services have none, and then no request is searched for it. Whoever
/// got a request with one got it after this was set, so that nothing more is ordered.
static TEMPLATES_ARE_SAID: AtomicBool = AtomicBool::new(false);

/// The template that the service itself left on the request.
#[inline]
pub(super) fn route_template(extensions: &Extensions) -> Option<&str> {
    if !TEMPLATES_ARE_SAID.load(Ordering::Relaxed) {
        return None;
    }
    extensions.get::<RouteTemplate>().map(RouteTemplate::as_str)
}

const METHODS_KNOWN: usize = 9;
/// The methods that are labels, in the order of the tables; the table behind the last is that of all others.
static METHODS: [Method; METHODS_KNOWN] = [
    Method::GET,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::PATCH,
    Method::HEAD,
    Method::OPTIONS,
    Method::TRACE,
    Method::CONNECT,
];
/// What OpenTelemetry calls a method that is none of them.
const OTHER: &str = "_OTHER";

/// Something for each method that is a label, and one for all others.
#[derive(Debug)]
struct ByMethod<T>([T; METHODS_KNOWN + 1]);

impl<T> ByMethod<T> {
    fn new(make: impl Fn() -> T) -> Self {
        Self(std::array::from_fn(|_| make()))
    }

    /// That of `method`, and the label's value.
    #[inline]
    fn of(&self, method: &Method) -> (&T, &'static str) {
        let at = METHODS.iter().position(|known| known == method).unwrap_or(METHODS_KNOWN);
        (&self.0[at], METHODS.get(at).map_or(OTHER, Method::as_str))
    }
}

/// Handles by method and template, found without a lock.
#[derive(Debug)]
pub(super) struct Routes {
    agent: Agent,
    matched: ByMethod<AppendMap<String, Route>>,
    unmatched: ByMethod<OnceLock<Route>>,
}

impl Routes {
    pub(super) fn new(agent: Agent) -> Self {
        let matched = ByMethod::new(|| AppendMap::for_about(32));
        Self { agent, matched, unmatched: ByMethod::new(OnceLock::new) }
    }

    /// Whose routes they are.
    pub(super) fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The requests of `method` to no route.
    fn unmatched(&self, method: &Method) -> &Route {
        let (unmatched, method) = self.unmatched.of(method);
        unmatched.get_or_init(|| self.agent.unmatched(method))
    }

    /// Uses the handle of the requests of `method` to `template`.
    fn with<T>(&self, method: &Method, template: &str, act: impl FnOnce(&Route) -> T) -> T {
        let (matched, method) = self.matched.of(method);
        let resolve = || self.agent.route(method, template);
        match matched.get(template) {
            Some(route) => act(route),
            None if matched.len() < ROUTES_REMEMBERED_MAX => act(matched.get_or_insert_with(template, resolve)),
            None => act(&resolve()),
        }
    }
}

/// The handles of one template by method.
#[derive(Debug)]
pub(super) struct FixedRoute {
    agent: Agent,
    template: Cow<'static, str>,
    by_method: ByMethod<OnceLock<Route>>,
}

impl FixedRoute {
    pub(super) fn new(agent: Agent, template: Cow<'static, str>) -> Self {
        Self { agent, template, by_method: ByMethod::new(OnceLock::new) }
    }

    /// Begins a request of `method`.
    #[inline]
    pub(super) fn start(&self, method: &Method) -> RequestGuard {
        let (route, method) = self.by_method.of(method);
        route.get_or_init(|| self.agent.route(method, &self.template)).start()
    }
}

/// The routes of the requests that one service gets.
#[derive(Debug)]
pub(super) struct RoutesOfService {
    routes: Arc<Routes>,
    /// Of the first request: where the service is that of one route, as behind a layer of an axum router, that of all.
    usual: OnceLock<Usual>,
}

#[derive(Debug)]
struct Usual {
    method: Method,
    template: String,
    route: Route,
}

impl RoutesOfService {
    pub(super) fn new(routes: Arc<Routes>) -> Self {
        Self { routes, usual: OnceLock::new() }
    }

    /// A request begins.
    #[inline]
    pub(super) fn start(&self, method: &Method, extensions: &Extensions) -> RequestGuard {
        let template = ROUTE_SOURCES.iter().find_map(|source| source(extensions));
        if let Some(usual) = self.usual.get()
            && template == Some(&usual.template)
            && *method == usual.method
        {
            return usual.route.start();
        }
        self.start_another(method, template)
    }

    #[inline(never)]
    fn start_another(&self, method: &Method, template: Option<&str>) -> RequestGuard {
        let Some(template) = template else { return self.routes.unmatched(method).start() };
        self.routes.with(method, template, |route| {
            self.usual.get_or_init(|| Usual {
                method: method.clone(),
                template: template.to_owned(),
                route: route.clone(),
            });
            route.start()
        })
    }
}
