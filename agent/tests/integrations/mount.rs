//! The endpoint in the router of a real axum service: the same documents, tokens and limits as on a port of its own.

use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use heartline::Agent;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::axum::serve;

const READ: &str = "a-read-token-of-the-tests-of-32-bytes";
const ADMIN: &str = "an-admin-token-of-the-tests-of-32-bytes";

/// A request.
#[derive(Debug, Clone, Copy, Default)]
struct Asked<'a> {
    path: &'a str,
    token: Option<&'a str>,
    /// The body of a POST; without one it is a GET.
    json: Option<&'a str>,
    origin: Option<&'a str>,
    request_id: Option<&'a str>,
}

struct Answered {
    status: StatusCode,
    body: String,
}

impl<'a> Asked<'a> {
    fn get(path: &'a str) -> Self {
        Self { path, ..Self::default() }
    }
}

async fn ask(address: std::net::SocketAddr, asked: &Asked<'_>) -> Answered {
    let method = if asked.json.is_some() { "POST" } else { "GET" };
    let body = asked.json.unwrap_or_default();
    let header = |name: &str, value: Option<&str>| value.map_or(String::new(), |value| format!("{name}: {value}\r\n"));
    let bearer = asked.token.map(|token| format!("Bearer {token}"));
    let head = [
        format!("{method} {} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n", asked.path),
        header("authorization", bearer.as_deref()),
        header("content-type", asked.json.map(|_| "application/json")),
        header("origin", asked.origin),
        header("x-request-id", asked.request_id),
        format!("content-length: {}\r\n\r\n", body.len()),
    ];
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.concat().as_bytes()).await.unwrap();
    // who is refused may find the connection closed before all is sent
    let _ = stream.write_all(body.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer);
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{asked:?} is answered {text:?}"));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Answered { status, body: body.to_owned() }
}

fn agent(token: bool) -> Agent {
    let builder = Agent::builder("shop").without_listener();
    let builder = if token { builder.read_token(READ).admin_token(ADMIN) } else { builder };
    builder.start().unwrap()
}

fn host(agent: &Agent) -> Router {
    Router::new()
        .route("/products/{id}", get(async || "a product"))
        .route("/slow", post(async || std::future::pending::<()>().await))
        .layer(agent.http_layer().request_ids())
        .nest_service("/ops", agent.endpoint())
}

#[tokio::test]
async fn the_hosts_own_router_serves_the_same_documents_to_whom_has_the_token() {
    let agent = agent(true);
    let address = serve(host(&agent)).await;
    let product = ask(address, &Asked::get("/products/7")).await;
    assert_eq!(product.status, StatusCode::OK);
    for (path, token, status) in [
        ("/ops/health", None, StatusCode::OK),
        ("/ops/livez", None, StatusCode::OK),
        ("/ops/api/v1/snapshot", None, StatusCode::UNAUTHORIZED),
        ("/ops/api/v1/snapshot", Some(READ), StatusCode::OK),
        ("/ops/metrics", Some(READ), StatusCode::OK),
        ("/ops/api/v1/summary?window=1m", Some(READ), StatusCode::OK),
        ("/ops/api/performance/queries?limit=0", Some(READ), StatusCode::BAD_REQUEST),
        ("/ops/nothing", Some(READ), StatusCode::NOT_FOUND),
        ("/ops/api/v1/actions/metrics.reset", Some(READ), StatusCode::METHOD_NOT_ALLOWED),
    ] {
        let answer = ask(address, &Asked { token, ..Asked::get(path) }).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
    }
    let snapshot = ask(address, &Asked { token: Some(READ), ..Asked::get("/ops/api/v1/snapshot") }).await;
    assert!(snapshot.body.contains("/products/{id}") && !snapshot.body.contains("/ops"), "{}", snapshot.body);
}

#[tokio::test]
async fn actions_and_foreign_pages_are_judged_as_on_a_port_of_its_own() {
    let agent = agent(true);
    let address = serve(host(&agent)).await;
    let reset = Asked { json: Some("{}"), ..Asked::get("/ops/api/v1/metrics/reset") };
    assert_eq!(ask(address, &Asked { token: Some(ADMIN), ..reset }).await.status, StatusCode::OK);
    assert_eq!(ask(address, &Asked { token: Some(READ), ..reset }).await.status, StatusCode::FORBIDDEN);
    let long = "[".repeat(70_000);
    let answer = ask(address, &Asked { token: Some(ADMIN), json: Some(&long), ..reset }).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{}", answer.body);
    let page = Asked { origin: Some("https://evil.example"), token: Some(READ), ..Asked::get("/ops/metrics") };
    assert_eq!(ask(address, &page).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn without_a_read_token_only_probes_answer() {
    let agent = agent(false);
    let address = serve(host(&agent)).await;
    assert_eq!(ask(address, &Asked::get("/ops/readyz")).await.body, "ok\n");
    for path in ["/ops/metrics", "/ops/api/v1/snapshot", "/ops/health/detailed", "/ops/api/v1/openapi.json"] {
        let answer = ask(address, &Asked::get(path)).await;
        assert!(
            answer.status == StatusCode::FORBIDDEN && answer.body.contains("read_token"),
            "{path}: {}",
            answer.body
        );
    }
}

#[tokio::test]
async fn a_handler_that_hangs_is_listed_with_its_id_and_a_host_goes_on_without_its_agent() {
    let agent = agent(true);
    let address = serve(host(&agent)).await;
    let hanging = tokio::spawn(async move {
        let slow = Asked { json: Some("{}"), request_id: Some("order-7"), ..Asked::get("/slow") };
        ask(address, &slow).await
    });
    let open = Asked { token: Some(READ), ..Asked::get("/ops/api/v1/inflight") };
    crate::readings::eventually("the hanging request is listed", async || {
        let answer = ask(address, &open).await;
        answer.body.contains("order-7") && answer.body.contains("\"route\":\"/slow\"")
    })
    .await;
    hanging.abort();
    agent.shutdown(Duration::from_secs(5)).unwrap();
    let answer = ask(address, &open).await;
    assert!(answer.status == StatusCode::SERVICE_UNAVAILABLE && answer.body.contains("ended"), "{}", answer.body);
    assert_eq!(ask(address, &Asked::get("/products/7")).await.status, StatusCode::OK);
}
