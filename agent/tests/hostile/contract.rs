//! Requests that schemathesis generates from `openapi.json`, against a real agent.

use std::process::Command;

use serde_json::{Value, json};

use super::host::{ADMIN_TOKEN, Host};

/// Names the program; `./test hostile` installs it.
const PROGRAM: &str = "HEARTLINE_SCHEMATHESIS";
/// How many requests are generated for each operation beside those for each declared value; 130 are 10,000 in all.
const EXAMPLES: &str = "HEARTLINE_CONTRACT_EXAMPLES";
/// Answered with 501 by contract, which is no failure, or, if asked for a stream, with one that does not end.
const APART: &str = r"/(advice|alerts|rules|realtime)$";
const CHECKS: &str = "status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance";

/// The description with what makes a request take long made short, and with the actions that there are. Nothing that may
/// be answered is taken from it.
fn contract() -> Value {
    let mut contract: Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    for operations in contract["paths"].as_object_mut().unwrap().values_mut() {
        for operation in operations.as_object_mut().unwrap().values_mut() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                // a profile of five minutes is answered after five minutes, and one of no said time after ten seconds
                if parameter["name"] == "seconds" {
                    (parameter["schema"]["maximum"], parameter["required"]) = (json!(1), json!(true));
                }
                // a name made up is no action in all but one of a great many cases
                if parameter["name"] == "name" {
                    parameter["schema"]["enum"] = json!([
                        "cache.invalidate",
                        "cache.warm",
                        "heap.profile",
                        "heap.purge",
                        "jobs.clear",
                        "jobs.retry",
                        "metrics.reset",
                        "no.such.action",
                        "profile.cpu",
                    ]);
                }
            }
        }
    }
    contract
}

/// Runs schemathesis and prints its summary.
fn generate(examples: &str, arguments: &[&str]) {
    let host = Host::start("tokens actions");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("openapi.json");
    std::fs::write(&file, contract().to_string()).unwrap();
    let program = std::env::var(PROGRAM).unwrap_or_else(|_| "schemathesis".to_owned());
    let authorization = format!("Authorization: Bearer {ADMIN_TOKEN}");
    let run = Command::new(program)
        .arg("run")
        .arg(&file)
        .args(["--url", &format!("http://{}", host.address), "--header", &authorization])
        .args(["--max-examples", examples, "--phases", "coverage,fuzzing", "--seed", "1", "--no-color"])
        .args(["--request-timeout", "60"]) // profiles and actions that others wait for
        .args(arguments)
        .current_dir(folder.path())
        .output()
        .expect("schemathesis is installed: let `./test hostile` do it");
    let said = String::from_utf8_lossy(&run.stdout);
    let summary = said.rsplit_once("= SUMMARY =").map_or(said.as_ref(), |(_, summary)| summary);
    println!("{summary}");
    assert!(run.status.success(), "{said}");
}

#[test]
#[ignore = "needs schemathesis; ./test hostile runs it"]
fn generated_requests_find_no_answer_outside_the_contract() {
    let examples = std::env::var(EXAMPLES).unwrap_or_else(|_| "5".to_owned());
    let all = format!("not_a_server_error,{CHECKS}");
    generate(&examples, &["--checks", &all, "--exclude-path-regex", APART]);
    generate("5", &["--checks", CHECKS, "--include-path-regex", APART, "--header", "Accept: application/json"]);
}
