//! The reference service of heartline: a small real merchant backend, the load on it, and the
//! faults an on-call engineer meets.
//!
//! `cli` reads what it is told; `service` wires it and ends it. `api` is the shop over HTTP;
//! `store` its two databases; `cache` the tiers in front of them; `jobs` the background work;
//! `actions` what a person on call may make it do; `payment` the provider behind a circuit breaker; `faults` the switches that make it ill;
//! `load` the shoppers; `log` where the log goes; `truth` its own books, apart from the agent's.

mod actions;
mod api;
mod cache;
mod cli;
mod clock;
mod faults;
mod jobs;
mod load;
mod log;
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
    if arguments.next_if(|first| first == LOAD_GENERATOR).is_some() {
        log::to_stderr();
        return load::run(std::iter::once(program).chain(arguments));
    }
    let settings = cli::Settings::read(std::iter::once(program).chain(arguments));
    let files = settings.as_ref().ok().and_then(cli::Settings::log_folder);
    let (_written_until_dropped, served) = match log::start(files.as_deref()) {
        Ok(files) => (files, settings.and_then(service::run)),
        Err(error) => {
            log::to_stderr();
            (None, Err(error))
        }
    };
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The README's code, compiled by rustdoc as a stranger would paste it. It stands here because this package has all that
/// the code needs.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
