//! Routes of the contract that this version has no content for: a clear 501 rather than a 404, so that a client knows
//! that the path is right.

use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Handler, Reply, Route, Verb};

const fn reserved(path: &'static str, about: &'static str, handler: fn(&Call) -> Reply) -> Route {
    Route {
        verb: Verb::Get,
        path,
        aliases: &[],
        credential: Credential::Read,
        parameters: &[],
        body: None,
        about,
        documents: &[],
        problems: &[501],
        handler: Handler::Now(handler),
    }
}

pub(super) const ROUTES: &[Route] = &[
    reserved("/api/v1/advice", "Recommendations with their evidence; 501 in this version.", |_| {
        Err(Problem::not_implemented("this version gives no advice; the figures are at /api/v1/snapshot"))
    }),
    reserved("/api/v1/alerts", "Alerts of an evaluator in the agent; 501 in this version.", |_| Err(no_evaluator())),
    reserved("/api/v1/rules", "Rules of an evaluator in the agent; 501 in this version.", |_| Err(no_evaluator())),
];

fn no_evaluator() -> Problem {
    Problem::not_implemented(
        "no alert rules are evaluated inside this agent; `heartline check` and `heartline watch --headless` evaluate them from outside",
    )
}
