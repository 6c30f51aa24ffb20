//! Real servers from the system packages, started on loopback with a port and a folder of their own.
//! A missing one is an error that names its package: nothing is skipped in silence.

mod nginx;
mod postgres;
mod prometheus;
mod redis;
mod rotel;

use std::hash::{BuildHasher as _, RandomState};
use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

pub use nginx::{Certificates, Nginx};
pub use postgres::Postgres;
pub use prometheus::{
    Exemplar, Prometheus, Scraping, check_alertmanager_config, check_metrics, check_prometheus_config, promtool_version,
};
pub use redis::Redis;
pub use rotel::{Point, Rotel, Span};

/// How long a server may take to start.
const START_LIMIT: Duration = Duration::from_mins(1);

/// Where Linux looks for the ports that it gives out itself, to listeners on port 0 and to connections.
const GIVEN_OUT: &str = "/proc/sys/net/ipv4/ip_local_port_range";
/// The lowest port that is tried.
const LOWEST: u16 = 10_240;
const TRIES: usize = 1_000;

/// A port that nothing listens on now, for servers that cannot choose one themselves. It is below those that the
/// system gives out, so that none of the other tests gets it before the server has it.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<u16> {
    let given_out = fs::read_to_string(GIVEN_OUT).unwrap_or_default();
    let first = given_out.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(32_768_u16);
    ensure!(first > LOWEST, "{GIVEN_OUT} begins at {first}, which leaves no ports above {LOWEST} to choose from");
    let random = RandomState::new();
    (0..TRIES)
        .map(|number| LOWEST + u16::try_from(random.hash_one(number) % u64::from(first - LOWEST)).unwrap_or_default())
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .with_context(|| format!("none of {TRIES} ports between {LOWEST} and {first} is free"))
}

/// The program `name` in the search path or in one of `folders`.
fn installed(name: &str, folders: &[PathBuf], package: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let searched: Vec<PathBuf> = env::split_paths(&path).chain(folders.iter().cloned()).collect();
    let found = searched.iter().map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} is not installed: apt-get install {package}, or let ./test do it"))
}
