//! A PostgreSQL server with an empty database, run by an unprivileged user because it refuses to run as root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use super::{START_LIMIT, free_port, installed};
use crate::program::Program;
use crate::waiting::wait_until;

/// Who runs the server when the tests run as root, in this order.
const UNPRIVILEGED: &[&str] = &["postgres", "nobody"];

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Postgres {
    program: Program,
    port: u16,
    _folder: TempDir,
}

impl Postgres {
    /// Makes a database cluster in a temporary folder and starts it on a free port.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("heartline-postgres-").tempdir()?;
        let user = unprivileged_user()?;
        if let Some(user) = &user {
            let status = Command::new("chown").arg(user).arg(folder.path()).status()?;
            ensure!(status.success(), "chown to {user} failed: {status}");
        }
        let (data, port) = (folder.path().join("data"), free_port()?);
        initialise(user.as_deref(), &data)?;
        let mut server = as_user(user.as_deref(), &server_program("postgres")?);
        server.arg("-D").arg(&data).arg("-k").arg(folder.path()).args(["-p", &port.to_string()]);
        // a test's database need not survive a power cut
        for setting in ["listen_addresses=127.0.0.1", "fsync=off", "synchronous_commit=off", "max_connections=60"] {
            server.args(["-c", setting]);
        }
        let program = Program::start_command(server.current_dir(folder.path()))?;
        let postgres = Self { program, port, _folder: folder };
        wait_until(START_LIMIT, "PostgreSQL to answer", || postgres.query("SELECT 1").map(Some))
            .with_context(|| postgres.program.report())?;
        Ok(postgres)
    }

    /// What `DATABASE_URL` is set to.
    pub fn url(&self) -> String {
        format!("postgres://shop@127.0.0.1:{}/postgres", self.port)
    }

    /// The first column of the first row that `sql` gives, as text.
    ///
    /// # Errors
    /// When the server refuses it.
    pub fn query(&self, sql: &str) -> Result<String> {
        let client = installed("psql", &server_folders(), "postgresql")?;
        let output =
            Command::new(client).args(["--no-psqlrc", "-tA", "-c", sql, &self.url()]).current_dir("/").output()?;
        ensure!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // "immediate shutdown": its own workers, which are sessions of their own, end with it
        if self.program.signal(Signal::QUIT).is_ok() {
            self.program.wait(Duration::from_secs(10)).ok();
        }
    }
}

fn initialise(user: Option<&str>, data: &Path) -> Result<()> {
    let mut command = as_user(user, &server_program("initdb")?);
    command.args(["--username=shop", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]).arg(data);
    let output = command.current_dir("/").output().context("initdb could not be started")?;
    ensure!(output.status.success(), "initdb failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// `None` when the tests do not run as root.
fn unprivileged_user() -> Result<Option<String>> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let accounts = fs::read_to_string("/etc/passwd").context("the list of accounts")?;
    let exists = |user: &&&str| accounts.lines().any(|line| line.split(':').next() == Some(**user));
    let user =
        UNPRIVILEGED.iter().find(exists).context("there is no account `postgres` or `nobody` to run PostgreSQL")?;
    Ok(Some((*user).to_owned()))
}

fn as_user(user: Option<&str>, program: &Path) -> Command {
    let Some(user) = user else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", if user == "nobody" { "nogroup" } else { user }, "--clear-groups"])
        .arg(program);
    command.env("HOME", env::temp_dir());
    command
}

fn server_program(name: &str) -> Result<PathBuf> {
    installed(name, &server_folders(), "postgresql")
}

/// Where Debian keeps the programs that only a server needs, one folder for each version.
fn server_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_started_server_answers_and_can_be_written_to() {
        let postgres = Postgres::start().unwrap();
        let sum =
            postgres.query("CREATE TABLE a (b int); INSERT INTO a VALUES (1), (2); SELECT sum(b) FROM a").unwrap();
        assert_eq!(sum.lines().last(), Some("3"));
    }
}
