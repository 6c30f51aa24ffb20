//! The routes of actions: those the service registered, those built in, and the list of both. What they do is not known
//! here.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Map, Value, json};

use crate::actions::{ActionError, ActionOutcome, ActionRequest, Ended, Refused};
use crate::clock::Tick;
use crate::server::answer::{Body, JSON};
use crate::server::parameters::{Form, Parameter};
use crate::server::payload::Answer;
use crate::server::problem::Problem;
use crate::server::route::{Call, Credential, Document, Handler, Pending, Reply, Route, Verb};

/// How long a caller waits for the outcome; an action that takes longer goes on, and the caller gets its number.
const PATIENCE: Duration = Duration::from_secs(5);
/// Actions that a service is expected to register.
const WELL_KNOWN: [&str; 4] = ["cache.warm", "cache.invalidate", "jobs.retry", "jobs.clear"];
/// Actions that every agent has that is built with a feature.
const FEATURED: [(&str, &str); 3] =
    [("heap.purge", "jemalloc"), ("heap.profile", "jemalloc"), ("profile.cpu", "cpu-profile")];
const DRY_RUN: Parameter =
    Parameter { name: "dry_run", form: Form::Flag, about: "Only say what would be done; change nothing." };
const DONE: Document =
    Document { status: 200, content_type: JSON, about: "It ended; this came of it.", schema: outcome_schema };
const STARTED: Document = Document {
    status: 202,
    content_type: JSON,
    about: "It goes on; the list of actions tells its end.",
    schema: started_schema,
};

const fn action(
    path: &'static str,
    aliases: &'static [&'static str],
    about: &'static str,
    handler: fn(Call) -> Pending,
) -> Route {
    Route {
        verb: Verb::Post,
        path,
        aliases,
        credential: Credential::Admin,
        parameters: &[DRY_RUN],
        body: Some(any_body),
        about,
        documents: &[DONE, STARTED],
        problems: &[404, 409, 501, 503],
        handler: Handler::Later(handler),
    }
}

pub(super) const ROUTES: &[Route] = &[
    Route {
        verb: Verb::Get,
        path: "/api/v1/actions",
        aliases: &[],
        credential: Credential::Read,
        parameters: &[],
        body: None,
        about: "The actions of this service, what runs and what the newest run of each did.",
        documents: &[Document { status: 200, content_type: JSON, about: "One row an action.", schema: list_schema }],
        problems: &[],
        handler: Handler::Now(|call| Ok(list(call))),
    },
    action(
        "/api/v1/actions/{name}",
        &[],
        "Runs an action; the service registers its own, and `metrics.reset`, `heap.purge`, `heap.profile` and `profile.cpu` are built in, the last three with the agent's features `jemalloc` and `cpu-profile`.",
        |call| {
            let name = call.segment.clone();
            Box::pin(run(call, name))
        },
    ),
    action(
        "/api/v1/metrics/reset",
        &["/api/performance/metrics/reset"],
        "Windowed views begin anew; what counts since the start goes on.",
        |call| Box::pin(run(call, "metrics.reset".to_owned())),
    ),
    Route {
        body: Some(cache_body),
        ..action("/api/v1/cache/warm", &["/api/performance/cache/warm"], "Fills a cache.", |call| {
            Box::pin(run(call, "cache.warm".to_owned()))
        })
    },
    Route {
        body: Some(cache_body),
        ..action("/api/v1/cache/invalidate", &["/api/performance/cache/invalidate"], "Empties a cache.", |call| {
            Box::pin(run(call, "cache.invalidate".to_owned()))
        })
    },
    Route {
        body: Some(retry_body),
        ..action("/api/v1/jobs/retry", &["/api/performance/jobs/retry"], "Puts jobs on their queue again.", |call| {
            Box::pin(run(call, "jobs.retry".to_owned()))
        })
    },
    Route {
        body: Some(clear_body),
        ..action(
            "/api/v1/jobs/clear",
            &["/api/performance/jobs/clear"],
            "Throws jobs away, never active ones.",
            |call| Box::pin(run(call, "jobs.clear".to_owned())),
        )
    },
];

async fn run(call: Call, name: String) -> Reply {
    let request = ActionRequest::parse(&name, &call.body, call.query.flag("dry_run")).map_err(Problem::bad_request)?;
    let dry_run = request.is_dry_run();
    let caller = call.caller.address.map_or_else(|| "local".to_owned(), |address| address.to_string());
    let started = match call.state.fresh.source().actions() {
        Some(actions) => actions.start(request, caller, Tick { mono: call.now, ..Tick::now() }),
        None => Err(Refused::Unknown),
    };
    let operation = started.map_err(|refused| problem(&name, &refused))?;
    let head = json!({"action": name, "operation_id": operation.id, "dry_run": dry_run});
    let goes_on = |head| {
        let document = with(head, &[("status", "running".into())]);
        call.asked().document(StatusCode::ACCEPTED, JSON, &Body::new(document.to_string()))
    };
    // filling and emptying caches takes as long as it takes: nobody waits for it
    if name.starts_with("cache.") && !dry_run {
        return Ok(goes_on(head));
    }
    match tokio::time::timeout(PATIENCE, operation.ended).await {
        Err(_elapsed) => Ok(goes_on(head)),
        Ok(Ok(Ok(outcome))) => {
            let mut members = outcome_members(&outcome);
            if name == "metrics.reset" {
                members.push(("reset_at", Tick::now().wall.to_string().into()));
            }
            Ok(call.json(&with(head, &members)))
        }
        Ok(Ok(Err(ActionError::Refused(why)))) => Err(Problem::bad_request(why)),
        Ok(Ok(Err(ActionError::Busy(why)))) => Err(Problem::conflict(why)),
        Ok(Ok(Err(ActionError::Failed(why)))) => Err(Problem::unavailable(format!("{name} did not work: {why}"))),
        Ok(Err(_gone)) => Err(Problem::unavailable(format!("{name} did not end: the service is stopping"))),
    }
}

fn problem(name: &str, refused: &Refused) -> Problem {
    match refused {
        Refused::Unknown if WELL_KNOWN.contains(&name) => Problem::not_implemented(format!(
            "the service registered no handler for {name}; it does so with `agent.action({name:?}, ..)`"
        )),
        Refused::Unknown if let Some((_, feature)) = FEATURED.iter().find(|(featured, _)| *featured == name) => {
            Problem::not_implemented(format!(
                "{name} is not compiled in: build the service with the agent's feature `{feature}`"
            ))
        }
        Refused::Unknown => Problem::not_found("there is no such action; /api/v1/actions lists what there is"),
        Refused::Running { id, since } => {
            Problem::conflict(format!("{name} is running since {since} as operation {id}; wait for its end"))
        }
        Refused::TooOften(wait) => Problem::too_many(format!("{name} ran too often within a minute"), *wait),
    }
}

fn list(call: &Call) -> Answer {
    let listed = call.state.fresh.source().actions().map(crate::actions::Actions::list).unwrap_or_default();
    let row = |listed: crate::actions::Listed| {
        let running = listed
            .running
            .map(|(id, since)| json!({"operation_id": id, "since": since.to_string(), "since_ms": since}));
        json!({"name": listed.name, "running": running, "last": listed.last.as_ref().map(ended)})
    };
    call.json(&json!({"schema_version": 1, "actions": listed.into_iter().map(row).collect::<Vec<_>>()}))
}

fn ended(ended: &Ended) -> Value {
    let status = match &ended.result {
        Ok(_) => "done",
        Err(ActionError::Refused(_)) => "refused",
        Err(ActionError::Busy(_)) => "busy",
        Err(ActionError::Failed(_)) => "failed",
    };
    let head = json!({
        "operation_id": ended.id,
        "ended_at": ended.at.to_string(),
        "ended_at_ms": ended.at,
        "took_seconds": ended.took.as_secs_f64(),
        "dry_run": ended.dry_run,
        "status": status,
    });
    match &ended.result {
        Ok(outcome) => with(head, &outcome_members(outcome)),
        Err(why) => with(head, &[("message", why.to_string().into())]),
    }
}

fn outcome_members(outcome: &ActionOutcome) -> Vec<(&'static str, Value)> {
    let message = outcome.message.as_deref().map_or(Value::Null, Into::into);
    vec![("matched", outcome.matched.into()), ("affected", outcome.affected.into()), ("message", message)]
}

fn with(mut document: Value, members: &[(&str, Value)]) -> Value {
    for (name, value) in members {
        document[*name] = value.clone();
    }
    document
}

fn outcome_schema() -> Value {
    json!({
        "type": "object",
        "required": ["action", "operation_id", "dry_run", "matched", "affected", "message"],
        "properties": {
            "action": {"type": "string"},
            "operation_id": {"type": "integer", "minimum": 1},
            "dry_run": {"type": "boolean"},
            "matched": {"type": "integer", "minimum": 0},
            "affected": {"type": "integer", "minimum": 0},
            "message": {"type": ["string", "null"]},
        },
    })
}

fn started_schema() -> Value {
    json!({
        "type": "object",
        "required": ["action", "operation_id", "dry_run", "status"],
        "properties": {"operation_id": {"type": "integer", "minimum": 1}, "status": {"const": "running"}},
    })
}

fn list_schema() -> Value {
    json!({
        "type": "object",
        "required": ["schema_version", "actions"],
        "properties": {"actions": {"type": "array", "items": {"type": "object", "required": ["name", "running", "last"]}}},
    })
}

fn any_body() -> Value {
    json!({"type": "object", "properties": {"dry_run": {"type": "boolean"}}})
}

fn closed(required: &[&str], properties: Value) -> Value {
    let mut properties = match properties {
        Value::Object(properties) => properties,
        _ => Map::new(),
    };
    properties.insert("dry_run".to_owned(), json!({"type": "boolean"}));
    json!({"type": "object", "additionalProperties": false, "required": required, "properties": properties})
}

fn cache_body() -> Value {
    let mut schema = closed(
        &["cache"],
        json!({"cache": text(), "tier": text(), "keys": texts(), "prefix": text(), "all": {"const": true}}),
    );
    schema["oneOf"] = json!([{"required": ["keys"]}, {"required": ["prefix"]}, {"required": ["all"]}]);
    schema
}

fn jobs_properties() -> Value {
    json!({
        "queue": text(),
        "ids": texts(),
        "state": {"type": "string", "enum": ["waiting", "delayed", "retrying", "failed", "paused"]},
        "older_than": {"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "pattern": "^[0-9]{1,9}[smhd]?$"}]},
        "limit": {"type": "integer", "minimum": 1, "maximum": 1_000_000},
    })
}

fn retry_body() -> Value {
    let mut schema = closed(&["queue"], jobs_properties());
    schema["not"] = json!({"required": ["ids", "state"]});
    schema
}

fn clear_body() -> Value {
    let mut schema = closed(&["queue", "state"], jobs_properties());
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.remove("ids");
    }
    schema
}

fn text() -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": 512})
}

fn texts() -> Value {
    json!({"type": "array", "minItems": 1, "maxItems": 1_000, "items": text()})
}
