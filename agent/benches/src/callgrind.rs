//! Instructions of a piece of work, counted by callgrind: a bench runs itself as a worker, with fewer and with more rounds,
//! and the difference is the work; or the worker says itself where the work begins and ends. What the work is is not known
//! here.

use std::io;
use std::process::Command;

/// Instructions of one round of `worker`, which is this program with these arguments and the number of rounds behind them.
///
/// # Errors
/// When valgrind cannot be run, or the worker fails; the message says what to install.
pub fn instructions(worker: &[&str], rounds: u64) -> io::Result<u64> {
    let (few, many) = (1, 1 + rounds);
    let collected = |rounds: u64| collected(&[], &[], worker, rounds);
    Ok(collected(many)?.saturating_sub(collected(few)?) / rounds)
}

/// Instructions of what `worker` does within [`measured()`], on the thread that calls it, with these variables set.
///
/// # Errors
/// As [`instructions`].
pub fn instructions_measured(variables: &[(&str, &str)], worker: &[&str], rounds: u64) -> io::Result<u64> {
    collected(variables, &["--collect-atstart=no", "--toggle-collect=*callgrind*measured*"], worker, rounds)
}

/// Marks the work that [`instructions_measured`] counts; what other threads do meanwhile is not counted.
#[inline(never)]
pub fn measured<T>(work: impl FnOnce() -> T) -> T {
    std::hint::black_box(work())
}

fn collected(variables: &[(&str, &str)], options: &[&str], worker: &[&str], rounds: u64) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .envs(variables.iter().copied())
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(options)
        .arg(std::env::current_exe()?)
        .args(worker)
        .arg(rounds.to_string())
        .output()
        .map_err(|error| io::Error::other(format!("running valgrind: {error}; install it to count instructions")))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let count = said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    count.filter(|_| output.status.success()).ok_or_else(|| io::Error::other(format!("the worker failed: {said}")))
}
