//! The program `heartline-shop`; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    heartline_shop::run(std::env::args_os())
}
