//! The end-to-end tests: real programs and servers, seen only through ports, output and exit codes.
//!
//! Each test starts what it needs on ports and in folders of its own and ends it by process id. `./test e2e` runs three
//! at once, so none may rely on having the machine to itself.

mod boards;
mod databases;
mod demo;
mod faults;
mod heap;
mod pushing;
mod restarts;
mod riding;
mod scraping;
mod screens;
mod secured;
mod traces;
mod truth;
mod unhindered;
