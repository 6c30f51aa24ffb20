//! Canary strings in everything that goes through the integrations, looked for in every byte that the agent serves, in
//! every format, and in every line that it logs at TRACE.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use apalis_core::error::BoxDynError;
use apalis_core::worker::builder::WorkerBuilder;
use apalis_sqlite::SqliteStorage;
use axum::Router;
use axum::routing::{get, post};
use heartline::{Agent, Labels};
use heartline_tests::servers::Postgres;
use redis::AsyncCommands as _;
use sqlx::Executor as _;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::apalis::{Email, database, outcome, run_until};
use crate::readings::eventually;

/// In everything that is planted. Nothing of the agent's own contains it.
const CANARY: &str = "canary";
const READ_TOKEN: &str = "canary-read-0123456789abcdef0123456789";
const ADMIN_TOKEN: &str = "canary-admin-0123456789abcdef012345678";
/// How long a stream is read.
const STREAM: Duration = Duration::from_millis(2_500);
/// How long a profile of a second may take, on a busy machine.
const PROFILE: Duration = Duration::from_secs(30);

/// Every line that is logged in this process.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// Installs it for every level.
    fn install() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE);
        tracing::subscriber::set_global_default(subscriber.with_writer(move || writer.clone()).finish()).unwrap();
        log
    }

    /// What the agent said, and the libraries that its thread uses: sqlx logs statements of its own accord, which is the
    /// service's to switch off.
    fn of_agent(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let theirs = ["sqlx::", "sqlx_", "apalis", "redis::"];
        let ours = |line: &&str| !theirs.iter().any(|target| line.contains(&format!(" {target}")));
        text.lines().filter(ours).map(str::to_owned).collect()
    }
}

fn started() -> Agent {
    Agent::builder("shop")
        .listen("127.0.0.1:0")
        .read_token(READ_TOKEN)
        .admin_token(ADMIN_TOKEN)
        .returned_rows(true)
        // everything is slow, so everything is kept and logged
        .slow_query(Duration::ZERO)
        .slow_request(Duration::ZERO)
        .very_slow_request(Duration::ZERO)
        .summary_interval(Duration::from_secs(1))
        .start()
        .unwrap()
}

/// Statements with literals, parameters, comments and names of what is no table; and such that fail with errors that
/// repeat them.
const STATEMENTS: [&str; 9] = [
    "CREATE TABLE users (name text UNIQUE, password text)",
    "INSERT INTO users VALUES ('canary-literal', 'canary-password')",
    "INSERT INTO users VALUES ('canary-literal', 'canary-again')",
    "SELECT * FROM users WHERE password = 'canary-password' /* canary-comment */ AND name <> 'it''s a canary'",
    "SELECT 'canary-in-the-list', name AS \"canary alias\" FROM users -- canary-comment",
    "UPDATE users SET password = 'canary-new' WHERE name = 'canary-literal'",
    "DELETE FROM users WHERE name LIKE '%canary%'",
    "SELECT * FROM users WHERE canary_column = 'canary'",
    "canary is no SQL",
];

async fn use_databases(agent: &Agent) -> Postgres {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    let sqlite = agent.sqlx("primary", pool);
    let server = tokio::task::spawn_blocking(Postgres::start).await.unwrap().unwrap();
    let pool = PgPoolOptions::new().max_connections(2).connect(&server.url()).await.unwrap();
    let postgres = agent.sqlx("second", pool);
    let (mut done, mut failed) = (0, 0);
    for statement in STATEMENTS {
        for result in [(&sqlite).execute(statement).await.is_ok(), (&postgres).execute(statement).await.is_ok()] {
            *if result { &mut done } else { &mut failed } += 1;
        }
    }
    assert_eq!((done, failed), (12, 6));
    let bound = "SELECT name FROM users WHERE name = $1";
    sqlx::query(bound).bind("canary-parameter").fetch_all(&sqlite).await.unwrap();
    sqlx::query(bound).bind("canary-parameter").fetch_all(&postgres).await.unwrap();
    // a service that passes its statements where a summary should be; names are no literals
    for statement in &STATEMENTS[..7] {
        agent.query("sqlite", statement).record(Duration::from_millis(1), Ok(1));
    }
    agent
        .query("postgresql", "SELECT $$canary$$, $tag$canary$tag$, E'can\\'t be a canary', 'an open canary")
        .record(Duration::from_millis(1), Err("timeout"));
    server
}

async fn use_caches(agent: &Agent) {
    let server = crate::redis::Server::start("0");
    let mut second = crate::redis::cache(agent, &server).await;
    let () = second.set("canary:key", "canary-value").await.unwrap();
    let _: Option<String> = second.get("canary:key").await.unwrap();
    assert!(second.lpush::<_, _, u64>("canary:key", "canary").await.is_err(), "it holds a text");
    let first = agent.moka("names", "l1").build(moka::future::Cache::builder().max_capacity(10));
    first.insert("canary-key".to_owned(), "canary-value".to_owned()).await;
    assert!(first.get("canary-key").await.is_some());
}

async fn fail(email: Email) -> Result<(), BoxDynError> {
    Err(format!("no mailbox {}", email.to).into())
}

async fn use_jobs(agent: &Agent) {
    let folder = tempfile::tempdir().unwrap();
    let emails = agent.queue("email");
    let mut storage = SqliteStorage::<Email>::new(&database(&folder).await);
    let to = "canary@example.com".to_owned();
    let task = apalis_core::task::builder::TaskBuilder::new(Email { to }).max_attempts(1).build();
    emails.push_task(&mut storage, task).await.unwrap();
    let worker = WorkerBuilder::new("emails").backend(storage).layer(agent.apalis_layer(&emails)).build(fail);
    run_until(worker.run(), async || outcome(agent, "failure") == 1.0).await;
}

async fn use_http(agent: &Agent) {
    let app = Router::new()
        .route("/users/{name}", get(async || "canary-body"))
        .route("/login", post(async || http::StatusCode::UNAUTHORIZED))
        .route("/panics", get(async || -> &'static str { panic!("a canary in a panic") }))
        .layer(agent.http_layer());
    let address = crate::axum::serve(app).await;
    for line in [
        "GET /users/canary-name?token=canary-query",
        "POST /login?password=canary-query",
        "GET /nowhere/canary-path?key=canary-query",
        "CANARY /users/canary-name",
        "GET /panics?canary",
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: canary.example\r\nCookie: session=canary-cookie\r\nX-Api-Key: canary-header\r\n\
             Authorization: Bearer canary-header\r\nUser-Agent: canary-agent\r\nReferer: http://canary.example/\r\n\
             Content-Length: 11\r\nConnection: close\r\n\r\ncanary-body"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
}

/// One answer of the agent's endpoint, byte for byte; of a stream its beginning.
async fn ask(agent: &Agent, head: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(agent.local_addr().unwrap()).await.unwrap();
    let body = r#"{"cache":"names","queue":"email","state":"failed","all":true,"limit":1,"dry_run":true}"#;
    let rest = if head.starts_with("POST") { body } else { "" };
    let request = format!(
        "{head}\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{rest}",
        rest.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let patience = if head.contains("/profile/") { PROFILE } else { STREAM };
    let _ = tokio::time::timeout(patience, stream.read_to_end(&mut answer)).await;
    answer
}

/// Every document in every form.
async fn served(agent: &Agent) -> Vec<(String, Vec<u8>)> {
    const FORMS: [&str; 5] = [
        "*/*",
        "application/openmetrics-text; version=1.0.0",
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
        "application/health+json",
        "text/event-stream",
    ];
    let contract: serde_json::Value = serde_json::from_str(include_str!("../../openapi.json")).unwrap();
    let mut answers = Vec::new();
    for (path, operations) in contract["paths"].as_object().unwrap() {
        let path = path.replace("{name}", "metrics.reset");
        let queries: &[&str] = if path.ends_with("/history") {
            &["", "?from=-1h", "?from=-1h&step=10s"]
        } else if path.ends_with("/profile/cpu") {
            &["?seconds=1"]
        } else if path.ends_with('z') {
            &["", "?verbose"]
        } else {
            &[""]
        };
        for (method, query) in
            operations.as_object().unwrap().keys().flat_map(|it| queries.iter().map(move |q| (it, q)))
        {
            for form in FORMS {
                let method = method.to_uppercase();
                let head =
                    format!("{method} {path}{query} HTTP/1.1\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\nAccept: {form}");
                let answer = ask(agent, &head).await;
                answers.push((head, answer));
            }
        }
    }
    answers
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part.eq_ignore_ascii_case(text.as_bytes()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_goes_through_the_integrations_is_served_or_logged() {
    let log = Log::install();
    let agent = started();
    let _server = use_databases(&agent).await;
    use_caches(&agent).await;
    use_jobs(&agent).await;
    use_http(&agent).await;
    eventually("the flight recorder holds the requests", async || {
        let request = format!("GET /api/v1/history HTTP/1.1\r\nAuthorization: Bearer {READ_TOKEN}");
        contains(&ask(&agent, &request).await, "/users/{name}")
    })
    .await;
    eventually("a summary is logged", async || log.of_agent().iter().any(|line| line.contains("summary"))).await;
    let answers = served(&agent).await;
    for (head, answer) in &answers {
        assert!(answer.starts_with(b"HTTP/1.1 "), "{head}");
        assert!(!contains(answer, CANARY), "{head}\n{}", String::from_utf8_lossy(answer));
    }
    // what was looked through is what the canaries went through
    for known in ["/users/{name}", "DELETE users", "SELECT users", "undefined_column", "names", "email"] {
        let metrics = answers.iter().filter(|(head, _)| head.contains(" /metrics "));
        assert!(metrics.clone().any(|(_, answer)| contains(answer, known)), "{known} is nowhere");
    }
    let lines = log.of_agent();
    assert!(lines.iter().any(|line| line.contains("heartline")), "the agent logged something");
    let told: Vec<&String> = lines.iter().filter(|line| contains(line.as_bytes(), CANARY)).collect();
    assert!(told.is_empty(), "{told:#?}");
    assert!(!contains(format!("{agent:?} {:?}", Labels::empty()).as_bytes(), CANARY));
    assert!(answers.len() > 500 && lines.len() > 20, "{} answers, {} lines", answers.len(), lines.len());
}
