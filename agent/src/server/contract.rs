//! The contract of the endpoint as an OpenAPI 3.1 document, made from the table of routes. `agent/openapi.json` is the same
//! text, held equal by a test; what the routes do is not known here.

use serde_json::{Map, Value, json};

use super::parameters::{Form, Parameter};
use super::problem::PROBLEM_JSON;
use super::route::{Credential, Document, Route, Verb};
use super::router;
use super::routes::TABLE;

/// The description as text.
pub(super) fn text() -> String {
    format!("{:#}\n", description())
}

fn description() -> Value {
    let mut paths = Map::new();
    for route in TABLE.iter().copied().flatten() {
        for (path, credential) in router::paths(route) {
            let at = paths.entry(path).or_insert_with(|| json!({}));
            for verb in verbs(route.verb) {
                at[*verb] = operation(route, credential, verb);
            }
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "heartline agent",
            "version": "1",
            "description": "The endpoint of the heartline agent. JSON is snake_case in SI base units; unknown is null; \
                            additions only within /api/v1. Errors are RFC 9457 problem documents.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "http://127.0.0.1:9464"}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "read": {"type": "http", "scheme": "bearer", "description": "The read token, or the admin token."},
                "admin": {"type": "http", "scheme": "bearer", "description": "The admin token."},
            },
            "schemas": {"Problem": problem_schema()},
        },
    })
}

const fn verbs(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Get => &["get", "head"],
        Verb::Post => &["post"],
    }
}

fn operation(route: &Route, credential: Credential, verb: &str) -> Value {
    let mut operation = json!({"summary": route.about, "responses": responses(route, credential, verb == "head")});
    let mut parameters: Vec<Value> = route.parameters.iter().map(parameter).collect();
    if let Some(name) = Route::segment_name(route.path) {
        let schema = json!({"type": "string", "minLength": 1, "maxLength": 128});
        parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(schema) = route.body {
        operation["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": schema()}}});
    }
    match credential {
        Credential::Open => {}
        // an empty requirement: the token may be left out where none is configured
        Credential::Read => operation["security"] = json!([{"read": []}, {}]),
        Credential::ReadAlways => operation["security"] = json!([{"read": []}]),
        Credential::Admin => operation["security"] = json!([{"admin": []}]),
    }
    operation
}

fn parameter(parameter: &Parameter) -> Value {
    let mut value = json!({
        "name": parameter.name,
        "in": "query",
        "required": false,
        "description": parameter.about,
        "schema": parameter.form.schema(),
    });
    if matches!(parameter.form, Form::Flag) {
        value["allowEmptyValue"] = true.into();
    }
    value
}

fn responses(route: &Route, credential: Credential, head: bool) -> Value {
    let mut responses = Map::new();
    for Document { status, content_type, about, schema } in route.documents {
        let response = responses.entry(status.to_string()).or_insert_with(|| json!({"description": about}));
        if !head {
            response["content"][*content_type] = json!({"schema": schema()});
        }
    }
    for status in problems(route, credential) {
        let response =
            responses.entry(status.to_string()).or_insert_with(|| json!({"description": "A problem document."}));
        if !head {
            response["content"][PROBLEM_JSON] = json!({"schema": {"$ref": "#/components/schemas/Problem"}});
        }
    }
    responses.into()
}

/// Statuses of problem documents: those the route names, and those that follow from its declarations.
fn problems(route: &Route, credential: Credential) -> Vec<u16> {
    let mut statuses = vec![400, 403, 405];
    if credential != Credential::Open {
        statuses.extend([401, 429]);
    }
    if route.verb == Verb::Post {
        statuses.extend([408, 413, 415, 429]);
    }
    statuses.extend(route.problems);
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {
            "type": {"type": "string", "pattern": "^urn:heartline:problem:"},
            "title": {"type": "string"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "detail": {"type": "string"},
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_in_the_repository_describes_the_table() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
        if std::env::var_os("HEARTLINE_WRITE_CONTRACT").is_some() {
            std::fs::write(file, text()).unwrap();
        }
        let hint = "agent/openapi.json is not what the table of routes says; if the change is meant, run \
                    HEARTLINE_WRITE_CONTRACT=1 cargo test -p heartline --lib contract";
        assert!(std::fs::read_to_string(file).unwrap() == text(), "{hint}");
    }

    #[test]
    fn no_path_answers_for_two_routes() {
        let all = TABLE.iter().copied().flatten();
        let mut paths: Vec<(String, &str)> =
            all.flat_map(|route| router::paths(route).map(move |(path, _)| (path, verbs(route.verb)[0]))).collect();
        let many = paths.len();
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), many);
    }
}
