//! A real OpenTelemetry collector, rotel from Python's packages, and behind it a decoder that uses Google's protobuf: what
//! reached it, as an independent reader sees it.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use tempfile::TempDir;

use super::{START_LIMIT, free_port};
use crate::binaries::repository;
use crate::program::Program;

/// Names the folder of the Python environment with both; `./test` makes it.
const FOLDER_VARIABLE: &str = "HEARTLINE_ROTEL";
const PACKAGES: &str = "python3 -m venv target/rotel && \
                        target/rotel/bin/pip install rotel==0.0.1a15 opentelemetry-proto==1.45.2 protobuf==7.36.2";

/// The newest point of one series, as the decoder shows it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of OTLP's data points")]
pub struct Point {
    pub name: String,
    pub unit: String,
    pub kind: String,
    pub attributes: BTreeMap<String, String>,
    pub resource: BTreeMap<String, serde_json::Value>,
    pub monotonic: bool,
    pub temporality: u32,
    pub start: u64,
    pub time: u64,
    pub value: Option<f64>,
    pub count: Option<u64>,
    pub sum: Option<f64>,
    pub bounds: Option<Vec<f64>>,
    pub counts: Option<Vec<u64>>,
    pub scale: Option<i32>,
    pub zero_count: Option<u64>,
    pub offset: Option<i32>,
}

/// A span as it came, as the decoder shows it; one that came twice is there twice.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[expect(missing_docs, reason = "the fields are those of OTLP's spans; times are nanoseconds from 1970")]
pub struct Span {
    pub trace_id: String,
    pub span_id: String,
    pub parent_span_id: Option<String>,
    pub trace_state: String,
    pub sampled: bool,
    pub name: String,
    /// `server`, `client`, `internal`, `producer` or `consumer`.
    pub kind: String,
    pub start: u64,
    pub end: u64,
    pub failed: bool,
    pub attributes: BTreeMap<String, serde_json::Value>,
    pub resource: BTreeMap<String, serde_json::Value>,
    pub scope: String,
    pub schema: String,
}

/// A collector and a decoder; they end when dropped.
#[derive(Debug)]
pub struct Rotel {
    collector: Option<Program>,
    _decoder: Program,
    decoder: String,
    grpc: u16,
    http: u16,
    folder: TempDir,
}

impl Rotel {
    /// Starts both.
    ///
    /// # Errors
    /// When their packages are not installed, or one does not listen.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let script = repository().join("tests/e2e/collected.py");
        let mut decoder = Program::start(environment()?.join("bin/python"), &[script])?;
        let port = |line: &str| line.strip_prefix("decoding on ")?.trim().parse::<u16>().ok();
        let port = decoder.wait_for_line(START_LIMIT, "the decoder's port", port)?;
        let (grpc, http) = (free_port()?, free_port()?);
        let url = format!("http://127.0.0.1:{port}");
        let mut rotel = Self { collector: None, _decoder: decoder, decoder: url, grpc, http, folder };
        rotel.bring_back()?;
        Ok(rotel)
    }

    /// Ends the collector at once; the decoder keeps what reached it.
    pub fn kill(&mut self) {
        if let Some(mut collector) = self.collector.take() {
            collector.kill();
        }
    }

    /// Starts the collector again on its ports.
    ///
    /// # Errors
    /// When it does not listen.
    pub fn bring_back(&mut self) -> Result<()> {
        let (grpc, http) = (format!("127.0.0.1:{}", self.grpc), format!("127.0.0.1:{}", self.http));
        let own = ["--otlp-grpc-endpoint", &grpc, "--otlp-http-endpoint", &http];
        let forward =
            ["--exporter", "otlp", "--otlp-exporter-endpoint", &self.decoder, "--otlp-exporter-protocol", "http"];
        let mut command = Command::new(program(&environment()?)?);
        command.arg("start").args(own).args(forward).args(["--batch-timeout", "100ms"]);
        command
            .env("ROTEL_PID_FILE", self.folder.path().join("pid"))
            .env("ROTEL_LOG_FILE", self.folder.path().join("log"));
        let mut collector = Program::start_command(&command)?;
        let started = |line: &str| line.contains("Starting Rotel").then_some(());
        collector.wait_for_line(START_LIMIT, "rotel to start", started)?;
        for port in [self.grpc, self.http] {
            let listens = || Ok(std::net::TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(()));
            crate::waiting::wait_until(START_LIMIT, "rotel to listen", listens).with_context(|| collector.report())?;
        }
        self.collector = Some(collector);
        Ok(())
    }

    /// Where it takes OTLP over gRPC.
    pub fn grpc(&self) -> String {
        format!("http://127.0.0.1:{}", self.grpc)
    }

    /// Where it takes OTLP over HTTP.
    pub fn http(&self) -> String {
        format!("http://127.0.0.1:{}", self.http)
    }

    /// The newest point of each series that came through it.
    ///
    /// # Errors
    /// When the decoder does not answer.
    pub fn points(&self) -> Result<Vec<Point>> {
        Ok(reqwest::blocking::get(&self.decoder)?.error_for_status()?.json()?)
    }

    /// Every span that came through it, in the order they came.
    ///
    /// # Errors
    /// When the decoder does not answer.
    pub fn spans(&self) -> Result<Vec<Span>> {
        Ok(reqwest::blocking::get(format!("{}/spans", self.decoder))?.error_for_status()?.json()?)
    }
}

fn environment() -> Result<PathBuf> {
    let folder = env::var_os(FOLDER_VARIABLE).map_or_else(|| repository().join("target/rotel"), PathBuf::from);
    ensure!(folder.is_dir(), "rotel is not installed in {}: let ./test do it, or {PACKAGES}", folder.display());
    Ok(folder)
}

/// The collector lies in the folder of its package, whatever the version of Python is.
fn program(environment: &Path) -> Result<PathBuf> {
    let versions = std::fs::read_dir(environment.join("lib"))?;
    let programs = versions.filter_map(|version| Some(version.ok()?.path().join("site-packages/rotel/rotel-agent")));
    programs.into_iter().find(|path| path.is_file()).with_context(|| format!("rotel is not installed: {PACKAGES}"))
}
