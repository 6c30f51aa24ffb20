//! What the proofs share: how large they are, random numbers that come again, and an allocator that counts. What is shown
//! with them is not known here.
//!
//! `./test proofs` runs them, optimised. Each prints the figure that it reached.

pub mod allocator;
pub mod random;

/// How many times to do what a proof does: `full` when it is optimised, a fiftieth of it when it is not, or what the
/// environment variable `variable` says.
///
/// # Panics
/// When the variable is not a number.
pub fn repetitions(variable: &str, full: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|error| panic!("{variable}={text:?} is not a number: {error}")),
        Err(_) if cfg!(debug_assertions) => full / 50,
        Err(_) => full,
    }
}
