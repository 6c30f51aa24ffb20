//! Real servers from the system packages, started on loopback with a port and a folder of their own.
//! A missing one is an error that names its package: nothing is skipped in silence.

mod postgres;
mod prometheus;
mod redis;
mod rotel;

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

pub use postgres::Postgres;
pub use prometheus::{
    Exemplar, Prometheus, Scraping, check_alertmanager_config, check_metrics, check_prometheus_config, promtool_version,
};
pub use redis::Redis;
pub use rotel::{Point, Rotel};

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A port that nothing listens on now, for servers that cannot choose one themselves.
///
/// # Errors
/// When the system has none.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// The program `name` in the search path or in one of `folders`.
fn installed(name: &str, folders: &[PathBuf], package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let searched: Vec<PathBuf> = env::split_paths(&path).chain(folders.iter().cloned()).collect();
    let found = searched.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not installed: apt-get install {package}, or let ./test do it"))
}
