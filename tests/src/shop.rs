//! The reference service as a running program: its addresses, its own books, its fault switches, its agent's snapshot.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_shared::Snapshot;
use reqwest::blocking::Client;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::binaries::binary;
use crate::program::Program;

/// Starting includes migrations, seeding and warming.
const START_LIMIT: Duration = Duration::from_mins(2);

/// How long it may take to end when asked to.
const END_LIMIT: Duration = Duration::from_secs(30);

/// What a shop is started with; by default embedded storage, free ports, no load.
#[derive(Debug, Default)]
pub struct Setup {
    /// Further arguments, such as `--load`.
    pub arguments: Vec<String>,
    /// Environment, such as `DATABASE_URL`.
    pub environment: Vec<(&'static str, String)>,
}

impl Setup {
    /// A shop that puts the load profile of this name on itself until it ends.
    pub fn loaded(profile: &str) -> Self {
        Self { arguments: vec!["--load".to_owned(), profile.to_owned()], ..Self::default() }
    }

    /// The same with a variable in its environment.
    #[must_use]
    pub fn with(mut self, variable: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((variable, value.into()));
        self
    }
}

/// A running shop; it ends when dropped.
#[derive(Debug)]
pub struct Shop {
    program: Program,
    setup: Setup,
    data: TempDir,
    url: String,
    agent_url: String,
    client: Client,
}

/// What the shop itself counted.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented where the shop writes them")]
pub struct Truth {
    pub requests: Vec<RequestTotal>,
    pub queries: Vec<QueryTotal>,
    pub caches: Vec<CacheTotal>,
    pub jobs: Vec<JobTotal>,
}

/// Requests of one method, route and status.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented where the shop writes them")]
pub struct RequestTotal {
    pub method: String,
    pub route: Option<String>,
    pub status: u16,
    pub count: u64,
}

/// Runs of one statement.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented where the shop writes them")]
pub struct QueryTotal {
    pub summary: String,
    pub total: u64,
    pub errors: u64,
}

/// Look-ups of one cache tier.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented where the shop writes them")]
pub struct CacheTotal {
    pub name: String,
    pub tier: String,
    pub hits: u64,
    pub misses: u64,
    pub errors: u64,
    pub writes: u64,
}

/// Jobs of one queue.
#[derive(Debug, Clone, Deserialize)]
#[expect(missing_docs, reason = "the fields are documented where the shop writes them")]
pub struct JobTotal {
    pub queue: String,
    pub enqueued: u64,
    pub completed: u64,
    pub retried: u64,
    pub failed: u64,
}

impl Shop {
    /// Starts a shop on free ports with a folder of its own and waits until it serves.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start(setup: Setup) -> Result<Self> {
        let data = tempfile::tempdir()?;
        let free = "127.0.0.1:0";
        let (program, url, agent_url) = launch(&setup, data.path(), free, free)?;
        let client = Client::builder().timeout(Duration::from_secs(10)).build()?;
        Ok(Self { program, setup, data, url, agent_url, client })
    }

    /// Ends it at once and starts it again on the same ports with the same data.
    ///
    /// # Errors
    /// When it does not start again.
    pub fn restart(&mut self) -> Result<()> {
        self.program.kill();
        let address = |url: &str| url.trim_start_matches("http://").to_owned();
        let (shop, agent) = (address(&self.url), address(&self.agent_url));
        (self.program, self.url, self.agent_url) = launch(&self.setup, self.data.path(), &shop, &agent)?;
        Ok(())
    }

    /// Asks it to end, as a service manager does.
    ///
    /// # Errors
    /// When it does not, or not successfully.
    pub fn end(&mut self) -> Result<()> {
        let status = self.program.terminate(END_LIMIT)?;
        ensure!(status.success(), "the shop ended with {status}: {}", self.program.report());
        Ok(())
    }

    /// `http://host:port` of the service.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `http://host:port` of its agent.
    pub fn agent_url(&self) -> &str {
        &self.agent_url
    }

    /// `host:port` of a URL, for raw sockets.
    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.program.id()
    }

    /// Its folder.
    pub fn data(&self) -> &Path {
        self.data.path()
    }

    /// What it said, for a failing test.
    pub fn report(&self) -> String {
        self.program.report()
    }

    /// Switches a fault.
    ///
    /// # Errors
    /// When the shop refuses.
    pub fn fault(&self, name: &str, on: bool, value: Option<u64>) -> Result<()> {
        let url = format!("{}/admin/faults/{name}", self.url);
        let answer = self.client.post(url).json(&json!({"on": on, "value": value})).send()?;
        let status = answer.status();
        ensure!(status.is_success(), "fault {name}: {status} {}", answer.text().unwrap_or_default());
        Ok(())
    }

    /// What it counted.
    ///
    /// # Errors
    /// When it does not answer as agreed.
    pub fn truth(&self) -> Result<Truth> {
        Ok(self.client.get(format!("{}/admin/truth", self.url)).send()?.error_for_status()?.json()?)
    }

    /// What its agent counted.
    ///
    /// # Errors
    /// When it does not answer as agreed.
    pub fn snapshot(&self) -> Result<Snapshot> {
        let answer = self.client.get(format!("{}/api/v1/snapshot", self.agent_url)).send()?.error_for_status()?;
        let snapshot: Snapshot = answer.json()?;
        snapshot.validate().context("the agent's snapshot")?;
        Ok(snapshot)
    }

    /// A page of its agent as text.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn agent_page(&self, path: &str) -> Result<String> {
        Ok(self.client.get(format!("{}{path}", self.agent_url)).send()?.error_for_status()?.text()?)
    }

    /// The body of a page of the service and its status.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        let answer = self.client.get(format!("{}{path}", self.url)).send()?;
        Ok((answer.status().as_u16(), answer.text()?))
    }

    /// Starts the load profile of this name on it as a program of its own that ends after `seconds`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn load(&self, profile: &str, seconds: u64) -> Result<Load> {
        let folder = tempfile::tempdir()?;
        let mut command = Command::new(binary("heartline-shop")?);
        command.args([
            "load-generator",
            "--target",
            &self.url,
            "--profile",
            profile,
            "--seconds",
            &seconds.to_string(),
        ]);
        Ok(Load { program: Program::start_command(command.arg("--out").arg(folder.path()))?, folder })
    }
}

/// A running load generator; it ends when dropped.
#[derive(Debug)]
pub struct Load {
    program: Program,
    folder: TempDir,
}

/// What the generator counted.
#[derive(Debug, Clone, Deserialize)]
pub struct LoadCounts {
    /// Answered requests.
    pub requests: Vec<RequestTotal>,
    /// Requests without an answer.
    pub unanswered: Vec<Value>,
}

impl Load {
    /// Waits for it to end by itself and gives its own counts.
    ///
    /// # Errors
    /// When it has not ended within `limit`, or not successfully.
    pub fn counts(mut self, limit: Duration) -> Result<LoadCounts> {
        let status = self.program.wait(limit)?;
        ensure!(status.success(), "the load generator ended with {status}: {}", self.program.report());
        let text = fs::read_to_string(self.folder.path().join("load-counts.json")).context("the load's counts")?;
        serde_json::from_str(&text).with_context(|| format!("the load's counts: {text}"))
    }
}

fn launch(setup: &Setup, data: &Path, shop: &str, agent: &str) -> Result<(Program, String, String)> {
    let mut arguments: Vec<OsString> = ["--listen", shop, "--agent", agent, "--data"].map(Into::into).into();
    arguments.push(data.into());
    arguments.extend(setup.arguments.iter().map(Into::into));
    let mut command = Command::new(binary("heartline-shop")?);
    command.args(arguments).env_remove("DATABASE_URL").env_remove("REDIS_URL");
    command.envs(setup.environment.iter().map(|(name, value)| (name, value)));
    let mut program = Program::start_command(&command)?;
    let (shop, agent) = program.wait_for_line(START_LIMIT, "the addresses", addresses)?;
    Ok((program, shop, agent))
}

/// Reads `listening on http://… agent on http://…`.
fn addresses(line: &str) -> Option<(String, String)> {
    let (shop, agent) = line.strip_prefix("listening on ")?.split_once(" agent on ")?;
    Some((shop.trim().to_owned(), agent.trim().to_owned()))
}
