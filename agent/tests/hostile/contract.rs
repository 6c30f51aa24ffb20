//! Requests that schemathesis generates from `openapi.json`, against a real agent.

use std::process::Command;

use super::host::{ADMIN_TOKEN, Host};

/// Names the program; `./test hostile` installs it.
const PROGRAM: &str = "HEARTLINE_SCHEMATHESIS";
/// How many requests are generated for each operation beside those for each declared value; 130 are 10,000 in all.
const EXAMPLES: &str = "HEARTLINE_CONTRACT_EXAMPLES";

#[test]
#[ignore = "needs schemathesis; ./test hostile runs it"]
fn generated_requests_find_no_answer_outside_the_contract() {
    let host = Host::start("tokens actions");
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let contract = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let checks = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                  response_headers_conformance";
    let url = format!("http://{}", host.address);
    let authorization = format!("Authorization: Bearer {ADMIN_TOKEN}");
    let examples = variable(EXAMPLES, "5");
    let run = Command::new(variable(PROGRAM, "schemathesis"))
        .args(["run", contract, "--url", &url, "--header", &authorization, "--max-examples", &examples])
        .args(["--phases", "coverage,fuzzing", "--checks", checks, "--seed", "1", "--no-color"])
        // answered with 501 by contract, or 501 or 503 without jemalloc, or with a stream that does not end
        .args(["--exclude-path-regex", r"/(advice|alerts|rules|realtime|profile/heap|actions/\{name\})$"])
        .current_dir(std::env::temp_dir())
        .output()
        .expect("schemathesis is installed: pip install schemathesis");
    let said = String::from_utf8_lossy(&run.stdout);
    let summary = said.rsplit_once("= SUMMARY =").map_or(said.as_ref(), |(_, summary)| summary);
    println!("{summary}");
    assert!(run.status.success(), "{said}");
}
