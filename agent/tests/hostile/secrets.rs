//! Canary strings in every place that a secret may be, looked for in every byte that is served or logged.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::ask;
use super::host::{ADMIN_TOKEN, Host, READ_TOKEN};

const CANARIES: &[&str] =
    &[READ_TOKEN, ADMIN_TOKEN, "canary-variable", "canary-argument", "canary-header", "canary-query"];

/// Every path of the contract.
fn paths() -> Vec<String> {
    let contract: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let paths: BTreeMap<String, serde_json::Value> = serde_json::from_value(contract["paths"].clone()).unwrap();
    paths.into_keys().map(|path| path.replace("{name}", "canary-path")).collect()
}

#[test]
fn no_planted_secret_is_in_a_byte_that_is_served() {
    let host = Host::start_with("tokens", |command| {
        command.env("SECRET_OF_THE_SERVICE", "canary-variable-7f3a").args(["--skip", "canary-argument-7f3a"]);
    });
    let mut heads = Vec::new();
    for path in paths() {
        for method in ["GET", "POST", "DELETE"] {
            for query in ["", "?password=canary-query-7f3a"] {
                heads.extend([READ_TOKEN, ADMIN_TOKEN].map(|token| (method, format!("{path}{query}"), token)));
            }
        }
    }
    // the answer to a wrong token waits, so there are few of them
    heads.extend(["/metrics", "/api/v1/snapshot"].map(|path| ("GET", path.to_owned(), "canary-header-as-token")));
    let mut answers = 0;
    for (method, target, token) in heads {
        let head = format!(
            "{method} {target}\nAuthorization: Bearer {token}\nCookie: canary-header-7f3a\n\
             Content-Type: application/json\nContent-Length: 0"
        );
        let Some((_, answer, _)) = ask(host.address, &head, Duration::from_secs(3)) else { continue };
        answers += 1;
        let found = CANARIES.iter().find(|canary| answer.contains(*canary));
        assert!(found.is_none(), "{found:?} is in the answer to {head}:\n{answer}");
    }
    assert!(answers > 100, "{answers}");
}
