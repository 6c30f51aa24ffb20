//! A Redis server that keeps nothing on disk.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use super::{START_LIMIT, free_port, installed};
use crate::program::Program;
use crate::waiting::wait_until;

/// A running server; it ends when dropped.
#[derive(Debug)]
pub struct Redis {
    program: Program,
    port: u16,
    _folder: TempDir,
}

impl Redis {
    /// Starts one on a free port.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start() -> Result<Self> {
        Self::start_on(free_port()?)
    }

    /// Starts one on this port, as after a restart.
    ///
    /// # Errors
    /// When it is not installed or does not answer.
    pub fn start_on(port: u16) -> Result<Self> {
        let server = installed("redis-server", &[], "redis-server")?;
        let folder = tempfile::tempdir()?;
        let (port_text, folder_text) = (port.to_string(), folder.path().display().to_string());
        let quiet = ["--save", "", "--appendonly", "no", "--daemonize", "no", "--bind", "127.0.0.1"];
        let own = ["--port", &port_text, "--dir", &folder_text];
        let program = Program::start(server, &[&quiet[..], &own[..]].concat())?;
        let redis = Self { program, port, _folder: folder };
        wait_until(START_LIMIT, "Redis to answer", || {
            redis.ask("PING").map(|answer| answer.starts_with("+PONG").then_some(()))
        })?;
        Ok(redis)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What `REDIS_URL` is set to.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once, as a crash does, and gives back its port.
    pub fn kill(mut self) -> u16 {
        self.program.kill();
        self.port
    }

    /// A figure of `INFO`, such as `keyspace_hits`.
    ///
    /// # Errors
    /// When it does not answer or has no such figure.
    pub fn figure(&self, name: &str) -> Result<u64> {
        let answer = self.ask("INFO")?;
        let line = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        ensure!(line.is_some(), "Redis says nothing of {name}");
        Ok(line.unwrap_or_default().trim().parse()?)
    }

    /// Sends one inline command and reads the answer until the server closes.
    fn ask(&self, command: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "{command}\r\nQUIT\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_server_comes_back_on_its_port() {
        let redis = Redis::start().unwrap();
        let figure = redis.figure("keyspace_hits").unwrap();
        let port = redis.kill();
        let back = Redis::start_on(port).unwrap();
        assert_eq!((back.port(), figure), (port, 0));
    }
}
