//! Prints heartline's recording path beside every peer's; `--summary` takes fewer rounds, `--smoke` hardly any. What is
//! measured is in the library.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::error::Error;
use std::process::{Command, ExitCode, Stdio};

use heartline_bench::subject::Subject;
use heartline_bench::table::{Column, render, worst};
use heartline_bench::timing::Rounds;
use heartline_bench::{ended, ours, peers, timing};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// How often each subject's cold records are measured, each time in a process of its own and all of them in turn.
const COLD_ROUNDS: usize = 5;
/// Bytes of other work before each cold record: more than the first-level cache holds, and more than the second does, for which
/// one in this many of the records will do.
const WORK: [(&str, usize, usize); 2] = [("cold", 256 << 10, 1), ("cold, 4 MiB", 4 << 20, 24)];

/// The mean of one subject's cold records, measured in a process of its own; `None` for one without the case.
fn cold(row: usize, records: usize, work_bytes: usize) -> Outcome<Option<f64>> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--cold-of", &row.to_string(), &records.to_string(), &work_bytes.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return Err(format!("the process of row {row} failed: {said}").into());
    }
    Ok(said.lines().last().and_then(|line| line.parse().ok()))
}

fn subjects() -> Vec<Subject> {
    let subjects = std::iter::once(ours::heartline()).chain(peers::all());
    #[cfg(feature = "profilers")]
    let subjects = subjects.chain(heartline_bench::profilers::all());
    subjects.collect()
}

fn compare(rounds: usize, cold_records: usize) -> Outcome<()> {
    let subjects = subjects();
    let hot = |name, case: fn(&Subject) -> Option<&_>, threads| Column {
        case: name,
        needs_export: false,
        rounds: timing::hot(&subjects, case, threads, rounds),
    };
    let mut colds = WORK.map(|_| -> Vec<Option<Rounds>> { subjects.iter().map(|_| None).collect() });
    for _ in 0..COLD_ROUNDS.min(rounds) {
        for ((_, work_bytes, one_in), colds) in WORK.into_iter().zip(&mut colds) {
            for (row, rounds) in colds.iter_mut().enumerate() {
                if let Some(mean) = cold(row, cold_records / one_in, work_bytes)? {
                    rounds.get_or_insert_default().push(mean);
                }
            }
        }
    }
    let mut columns = vec![
        hot("handle", |subject| subject.handle.as_ref(), 1),
        hot("handle, 2 threads", |subject| subject.handle.as_ref(), 2),
        hot("handle, 4 threads", |subject| subject.handle.as_ref(), 4),
        hot("handle, 8 threads", |subject| subject.handle.as_ref(), 8),
        hot("64 handles", |subject| subject.single.as_ref(), 1),
        hot("3 labels", |subject| subject.labels.as_ref(), 1),
        hot("counter", |subject| subject.counter.as_ref(), 1),
        hot("counter, 2 threads", |subject| subject.counter.as_ref(), 2),
        hot("timed scope", |subject| subject.timed.as_ref(), 1),
    ];
    let colds = WORK.into_iter().zip(colds);
    columns.extend(colds.map(|((case, ..), rounds)| Column { case, needs_export: false, rounds }));
    println!("{}", render(&subjects, &columns));
    if let Some(worst) = worst(&subjects, &columns) {
        println!("worst ratio {:.1} ({}, {})", worst.ratio, worst.peer, worst.case);
    }
    Ok(())
}

fn run(arguments: &[&str]) -> Outcome<()> {
    match arguments {
        ["--cold-of", row, records, work_bytes] => {
            let (row, records, work_bytes): (usize, usize, usize) =
                (row.parse()?, records.parse()?, work_bytes.parse()?);
            if let Some(case) = subjects().get(row).and_then(|subject| subject.single.as_ref()) {
                println!("{}", timing::cold(case, records, work_bytes));
            }
            Ok(())
        }
        arguments if arguments.contains(&"--smoke") => compare(1, 200),
        arguments if arguments.contains(&"--summary") => compare(15, 24_000),
        _ => compare(41, 48_000),
    }
}

fn main() -> ExitCode {
    ended("the recording path beside its peers", run)
}
