//! What hostile clients and a broken host can do to the endpoint, measured from outside a process that has nothing in it
//! but an agent. These tests measure, so `./test hostile` runs them one at a time.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests; figures are shown")]

// the actions and profiles that need it are there
#[cfg(feature = "jemalloc")]
heartline::jemalloc!();

mod attacks;
#[cfg(feature = "tls")]
mod binds;
mod callbacks;
mod client;
mod contract;
mod host;
mod matrix;
mod ports;
mod runtimes;
mod secrets;
#[cfg(feature = "tls")]
mod signed;
