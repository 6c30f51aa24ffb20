//! A shop as a running program for the tests of this package.
#![expect(dead_code, reason = "every test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use heartline_tests::servers::Postgres;
use serde_json::Value;
use tempfile::TempDir;

/// Starting includes migrations, seeding and warming, on a machine that is busy with other tests.
const START_LIMIT: Duration = Duration::from_mins(2);
const WAIT_LIMIT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A running shop; it ends when dropped.
pub(crate) struct Shop {
    child: Child,
    stdin: Option<ChildStdin>,
    pub(crate) url: String,
    pub(crate) agent: String,
    pub(crate) client: reqwest::Client,
    data: TempDir,
}

impl Shop {
    /// Starts a shop on free ports with a folder of its own and this environment.
    pub(crate) fn start(environment: &[(&str, &str)], arguments: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_heartline-shop"));
        command
            .args(["--listen", "127.0.0.1:0", "--agent", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .args(arguments)
            .env_remove("DATABASE_URL")
            .env_remove("REDIS_URL")
            .env(heartline_shop::END_WITH_STDIN, "1")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let line = receiver.recv_timeout(START_LIMIT).expect("the shop says where it listens");
        let (url, agent) = line.strip_prefix("listening on ").and_then(|rest| rest.split_once(" agent on ")).unwrap();
        let client = reqwest::Client::builder().gzip(true).timeout(WAIT_LIMIT).build().unwrap();
        Self { url: url.to_owned(), agent: agent.to_owned(), child, stdin, client, data }
    }

    /// Starts a shop on a PostgreSQL of its own.
    pub(crate) fn start_on_postgres() -> (Self, Postgres) {
        let postgres = Postgres::start().unwrap();
        (Self::start(&[("DATABASE_URL", &postgres.url())], &[]), postgres)
    }

    /// Its folder.
    pub(crate) fn data(&self) -> &Path {
        self.data.path()
    }

    /// The status and the JSON of a page.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// The status and the JSON of what a body is answered with.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.client.post(format!("{}{path}", self.url)).json(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap_or_default())
    }

    /// The look-ups of one tier of one cache in the shop's own books: hits, misses, errors.
    pub(crate) async fn lookups(&self, name: &str, tier: &str) -> [u64; 3] {
        let (_, truth) = self.get("/admin/truth").await;
        let lines = truth["caches"].as_array().unwrap();
        let line = lines.iter().find(|line| line["name"] == name && line["tier"] == tier).unwrap();
        ["hits", "misses", "errors"].map(|field| line[field].as_u64().unwrap())
    }

    /// Asks it to end by closing its standard input; the code it ends with.
    pub(crate) fn end(mut self) -> Option<i32> {
        drop(self.stdin.take());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `condition` holds; asks again and again, because nothing tells when it does.
pub(crate) async fn wait_until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    #[expect(clippy::disallowed_methods, reason = "a deadline of a test")]
    let deadline = Instant::now() + WAIT_LIMIT;
    while !condition().await {
        #[expect(clippy::disallowed_methods, reason = "a deadline of a test")]
        let now = Instant::now();
        assert!(now < deadline, "{what}: not within {WAIT_LIMIT:?}");
        tokio::time::sleep(POLL).await;
    }
}
