//! A shop as a running program for the tests of this package, and the servers it can be given.
#![expect(dead_code, reason = "every test file uses its own part")]
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

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

    /// Starts a shop on a PostgreSQL of its own, once that answers.
    pub(crate) async fn start_on_postgres() -> (Self, Server) {
        let postgres = Server::postgres();
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", postgres.port);
        wait_until("PostgreSQL answers", async || {
            tokio::net::TcpStream::connect(("127.0.0.1", postgres.port)).await.is_ok()
        })
        .await;
        (Self::start(&[("DATABASE_URL", &url)], &[]), postgres)
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

/// A server from the system packages, on a port of its own; it ends when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    folder: Option<TempDir>,
}

impl Server {
    /// A Redis that keeps nothing.
    pub(crate) fn redis() -> Self {
        Self::redis_on(free_port())
    }

    /// The same on a given port.
    pub(crate) fn redis_on(port: u16) -> Self {
        let child = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn()
            .expect("redis-server is installed (apt-get install redis-server)");
        Self { child, port, folder: None }
    }

    /// A PostgreSQL with an empty database `shop`. It does not run as root, so root becomes the
    /// user `postgres` for it.
    pub(crate) fn postgres() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let data = folder.path().join("data");
        let as_owner = |words: &[&str]| -> Command {
            let mut command = if is_root() { Command::new("setpriv") } else { Command::new(words[0]) };
            if is_root() {
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).args(words);
            } else {
                command.args(&words[1..]);
            }
            command.current_dir("/").stdout(Stdio::null());
            command
        };
        if is_root() {
            let given = Command::new("chown").args(["-R", "postgres:postgres"]).arg(folder.path()).status().unwrap();
            assert!(given.success(), "the folder cannot be given to the user postgres");
        }
        let (initdb, postgres) = (postgres_program("initdb"), postgres_program("postgres"));
        let path = data.to_str().unwrap();
        let made = as_owner(&[&initdb, "-D", path, "-A", "trust", "-U", "postgres", "--no-sync"]).status().unwrap();
        assert!(made.success(), "initdb failed");
        let port_text = port.to_string();
        let child = as_owner(&[&postgres, "-D", path, "-p", &port_text, "-h", "127.0.0.1", "-k", path, "-F"])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { child, port, folder: Some(folder) }
    }

    /// Ends it at once and tells its port.
    pub(crate) fn kill(mut self) -> u16 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.port
    }
}

impl Drop for Server {
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

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn is_root() -> bool {
    std::env::var("USER").is_ok_and(|user| user == "root")
        || Path::new("/root")
            .metadata()
            .is_ok_and(|_| Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.starts_with(b"0")))
}

/// Debian keeps the server's programs out of the path.
fn postgres_program(name: &str) -> String {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<_> =
        versions.map(|version| version.path().join("bin").join(name)).filter(|p| p.is_file()).collect();
    found.sort();
    found.pop().map_or_else(|| name.to_owned(), |path| path.display().to_string())
}
