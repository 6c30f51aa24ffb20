//! The service's hold on its load generator: started as a child process, ended by closing its
//! standard input, so that it ends with the service however the service ends.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, ChildStdin, Command};

use super::profile::Profile;
use crate::LOAD_GENERATOR;

/// Set for a generator that must end when its standard input does.
pub(super) const WATCH_PARENT: &str = "HEARTLINE_SHOP_LOAD_CHILD";
pub(super) const REPORT_FILE: &str = "load-report.html";
pub(super) const COUNTS_FILE: &str = "load-counts.json";
/// Requests in flight may take as long as the service allows, and the report must be written.
const END_TIMEOUT: Duration = Duration::from_secs(25);

/// A running load generator.
pub(crate) struct Load {
    child: Child,
    /// Kept apart from the child, because waiting for a child closes what it holds.
    stdin: Option<ChildStdin>,
    out: PathBuf,
}

impl Load {
    /// Starts the generator against `target`; nothing for the profile `none`.
    pub(crate) fn start(profile: Profile, target: &str, out: &Path) -> anyhow::Result<Option<Self>> {
        if profile == Profile::None {
            return Ok(None);
        }
        let program = std::env::current_exe().context("finding this program to start it as the load generator")?;
        let mut child = Command::new(&program)
            .args([LOAD_GENERATOR, "--target", target, "--profile", profile.name(), "--out"])
            .arg(out)
            .env(WATCH_PARENT, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {} as the load generator", program.display()))?;
        let stdin = child.stdin.take();
        Ok(Some(Self { child, stdin, out: out.to_owned() }))
    }

    /// Waits until the generator ends by itself.
    pub(crate) async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends the load: requests in flight are answered, the report is written. Returns its path.
    pub(crate) async fn end(mut self) -> anyhow::Result<PathBuf> {
        drop(self.stdin.take());
        let status = tokio::time::timeout(END_TIMEOUT, self.child.wait())
            .await
            .with_context(|| format!("the load generator did not end within {END_TIMEOUT:?}"))?
            .context("waiting for the load generator")?;
        anyhow::ensure!(status.success(), "the load generator ended with {status}; its messages are above");
        Ok(self.out.join(REPORT_FILE))
    }
}
