//! heartline's recording path beside every peer that installs: who is measured and how; the bench `peers` prints it.
//!
//! Every subject does the same: it takes a duration, of one series or of 64, by a handle that was resolved before or by
//! three labels, thread-safe, so that it can be exported. Peers with explicit buckets all get the same 16 boundaries and
//! floats that are converted already, which flatters them.

use std::error::Error;
use std::process::ExitCode;

pub mod asking;
pub mod callgrind;
pub mod exporting;
pub mod fixture;
pub mod growing;
pub mod ours;
pub mod peers;
#[cfg(feature = "profilers")]
pub mod profilers;
pub mod rendering;
pub mod service;
#[cfg(feature = "heap")]
pub mod shop;
pub mod sink;
#[cfg(feature = "spans")]
pub mod spans;
pub mod subject;
pub mod table;
pub mod timing;

/// What a bench ends with: it runs with the arguments behind the program's name, and says of an error what it was
/// `measuring`.
#[expect(clippy::print_stdout, reason = "a bench says what went wrong where its figures would be")]
pub fn ended(measuring: &str, run: impl FnOnce(&[&str]) -> Result<(), Box<dyn Error>>) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("measuring {measuring}: {error}");
            ExitCode::FAILURE
        }
    }
}
