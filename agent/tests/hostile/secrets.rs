//! Canary strings in every place that a secret may be, looked for in every byte that is served or logged.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use super::client::ask;
use super::host::{ADMIN_TOKEN, Host, READ_TOKEN};

const CANARIES: &[&str] =
    &[READ_TOKEN, ADMIN_TOKEN, "canary-variable", "canary-argument", "canary-header", "canary-query", "canary-body"];

/// Every path of the contract.
fn paths() -> Vec<String> {
    let contract: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let paths: BTreeMap<String, serde_json::Value> = serde_json::from_value(contract["paths"].clone()).unwrap();
    paths.into_keys().map(|path| path.replace("{name}", "canary-path")).collect()
}

/// What is asked of each path.
fn heads() -> Vec<String> {
    let body =
        r#"{"cache":"products","keys":["canary-body-7f3a"],"queue":"email","ids":["canary-body-7f3a"],"dry_run":true}"#;
    let mut heads = Vec::new();
    for path in paths() {
        let targets = ["", "?password=canary-query-7f3a", "?verbose"].map(|query| format!("{path}{query}"));
        for (method, target) in
            ["GET", "POST", "DELETE"].into_iter().flat_map(|it| targets.iter().map(move |t| (it, t)))
        {
            for (token, accept) in [(READ_TOKEN, "*/*"), (ADMIN_TOKEN, "application/openmetrics-text")] {
                let body = if method == "POST" { body } else { "" };
                heads.push(format!(
                    "{method} {target}\nAuthorization: Bearer {token}\nAccept: {accept}\nCookie: canary-header-7f3a\n\
                     X-Forwarded-For: canary-header-7f3a\nReferer: http://canary-header-7f3a/\nX-Api-Key: canary-header-7f3a\n\
                     Content-Type: application/json\nContent-Length: {}\n\n{body}",
                    body.len()
                ));
            }
        }
    }
    // the answer to a wrong token waits, so there are few of them
    heads.extend(
        ["/metrics", "/api/v1/snapshot"].map(|path| format!("GET {path}\nAuthorization: Bearer canary-header\n")),
    );
    heads
}

#[test]
fn no_planted_secret_is_in_a_byte_that_is_served_or_logged() {
    let host = Host::start_with("tokens actions traces", |command| {
        command.env("SECRET_OF_THE_SERVICE", "canary-variable-7f3a").args(["--skip", "canary-argument-7f3a"]);
        command.stderr(Stdio::piped());
    });
    let mut answers = 0;
    for head in heads() {
        let Some((_, answer, _)) = ask(host.address, &head, Duration::from_secs(3)) else { continue };
        answers += 1;
        let found = CANARIES.iter().find(|canary| answer.contains(*canary));
        assert!(found.is_none(), "{found:?} is in the answer to {head}:\n{answer}");
    }
    assert!(answers > 500, "{answers}");
    let log = host.end();
    let told = |part: &str| log.lines().any(|line| line.contains(part));
    assert!(told("heartline::security") && told("heartline::audit"), "refusals and actions are logged:\n{log}");
    let found = log.lines().find(|line| CANARIES.iter().any(|canary| line.contains(canary)));
    assert!(found.is_none(), "{found:?}");
}
