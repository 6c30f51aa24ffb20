//! Instructions of a record on the thread that records, counted by callgrind, beside the budget that is kept in
//! `budgets.txt`: `--check` fails when one is exceeded by more than 5 %, `3 labels` by more than 10 %; `--renew` writes what was
//! counted. What the agent's own threads do meanwhile depends on the time that valgrind takes, and is not counted. valgrind must
//! be installed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use heartline_bench::callgrind::{instructions_measured, measured};
use heartline_bench::ours::heartline;
use heartline_bench::subject::{Case, Subject};

/// Records of a case: enough that what the first one makes does not show.
const RECORDS: u64 = 6_000_000;
/// How far above its budget a case may be, in hundredths.
const TOLERANCE: u64 = 5;
/// Of a case whose series are found by the addresses of their texts: where the linker puts these, and so how many of them meet
/// in one place, changes with every build.
const TOLERANCE_BY_ADDRESS: u64 = 10;
const CASES: [&str; 5] = ["handle", "64 handles", "3 labels", "counter", "timed scope"];

fn case<'a>(subject: &'a Subject, name: &str) -> Option<&'a Case> {
    match name {
        "handle" => subject.handle.as_ref(),
        "64 handles" => subject.single.as_ref(),
        "3 labels" => subject.labels.as_ref(),
        "counter" => subject.counter.as_ref(),
        _ => subject.timed.as_ref(),
    }
}

fn tolerance(name: &str) -> u64 {
    if name == "3 labels" { TOLERANCE_BY_ADDRESS } else { TOLERANCE }
}

/// Instructions of a record in hundredths, by case.
fn count() -> io::Result<Vec<(&'static str, u64)>> {
    CASES
        .iter()
        .map(|name| Ok((*name, instructions_measured(&[], &["--worker", name], RECORDS)? * 100 / RECORDS)))
        .collect()
}

fn budgets(file: &Path) -> io::Result<Vec<(String, u64)>> {
    let bad = |line: &str| io::Error::other(format!("{}: {line:?} is not `instructions case`", file.display()));
    let parse = |line: &str| -> io::Result<(String, u64)> {
        let (budget, case) = line.split_once(' ').ok_or_else(|| bad(line))?;
        let budget: f64 = budget.parse().map_err(|_| bad(line))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred, and positive")]
        let hundredths = (budget * 100.0).round() as u64;
        Ok((case.to_owned(), hundredths))
    };
    std::fs::read_to_string(file)?.lines().filter(|line| !line.starts_with('#')).map(parse).collect()
}

fn run(arguments: &[String]) -> io::Result<bool> {
    let is_asked = |option: &str| arguments.iter().any(|argument| argument == option);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("budgets.txt");
    let counted = count()?;
    if is_asked("--renew") {
        let mut text = String::from(
            "# instructions of a record; `cargo bench -p heartline-bench --bench instructions -- --renew`\n",
        );
        for (case, hundredths) in &counted {
            let _ = writeln!(text, "{:.1} {case}", *hundredths as f64 / 100.0);
        }
        std::fs::write(&file, text)?;
    }
    let budgets = budgets(&file)?;
    let mut is_kept = true;
    println!("{:<14}{:>14}{:>10}", "case", "instructions", "budget");
    for (case, hundredths) in counted {
        let budget = budgets.iter().find(|(of, _)| of == case).map_or(0, |(_, budget)| *budget);
        let verdict = match hundredths * 100 {
            over if over > budget * (100 + tolerance(case)) => "  over budget",
            under if under < budget * (100 - tolerance(case)) => "  below: renew it",
            _ => "",
        };
        is_kept &= verdict != "  over budget";
        println!("{case:<14}{:>14.1}{:>10.1}{verdict}", hundredths as f64 / 100.0, budget as f64 / 100.0);
    }
    Ok(is_kept || !is_asked("--check"))
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, name, records, ..] = arguments.as_slice()
        && first == "--worker"
    {
        let subject = heartline();
        let (Some(case), Ok(records)) = (case(&subject, name), records.parse::<usize>()) else {
            return ExitCode::FAILURE;
        };
        let mut record = case();
        measured(|| record(records));
        return ExitCode::SUCCESS;
    }
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("counting the instructions of a record: {error}");
            ExitCode::FAILURE
        }
    }
}
