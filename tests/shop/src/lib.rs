//! The reference service of heartline: a small real merchant backend, the load on it, and the
//! faults an on-call engineer meets.
//!
//! `cli` reads what it is told; `service` wires it and ends it. `api` is the shop over HTTP;
//! `store` its two databases; `cache` the tiers in front of them; `jobs` the background work;
//! `payment` the provider behind a circuit breaker; `faults` the switches that make it ill;
//! `load` the shoppers; `truth` its own books, apart from the agent's.

mod api;
mod cache;
mod cli;
mod clock;
mod faults;
mod jobs;
mod load;
mod payment;
mod service;
mod store;
mod truth;

use std::ffi::OsString;
use std::process::ExitCode;

heartline::jemalloc!();

/// The hidden first argument that makes [`run`] the load generator.
pub const LOAD_GENERATOR: &str = "load-generator";
/// The environment variable that makes the service end when its standard input does, so that it
/// ends with the program that started it.
pub const END_WITH_STDIN: &str = "HEARTLINE_SHOP_END_WITH_STDIN";

/// The whole program `heartline-shop`; the first argument is its name. With the hidden first
/// argument `load-generator` it is the load generator instead.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut arguments = arguments.into_iter().peekable();
    let program = arguments.next().unwrap_or_else(|| "heartline-shop".into());
    log_to_stderr();
    if arguments.next_if(|first| first == LOAD_GENERATOR).is_some() {
        return load::run(std::iter::once(program).chain(arguments));
    }
    match cli::Settings::read(std::iter::once(program).chain(arguments)).and_then(service::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Warnings and errors, or what RUST_LOG says.
fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,heartline_shop=info,sqlx=error"));
    // A second service in one process keeps the first one's log.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// The README's code, compiled by rustdoc as a stranger would paste it. It stands here because this package has all that
/// the code needs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
