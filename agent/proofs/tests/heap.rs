//! Leaks of 0.1, 1 and 10 % of what a service holds, an hour, beside memory that grows and does not leak, each as a
//! process of its own on a clock that is given to the sampler: the verdicts, and whether the leaking function is named
//! with its growth. Stripped copies of the same program say what they cannot name.
//!
//! Each once as part of `./test`; `HEARTLINE_HEAP_RUNS=10 ./test proofs heap` runs each ten times, in some twenty minutes.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use heartline_proofs::repetitions;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_heap_scenarios");
const LEAKS: [&str; 3] = ["leak=10", "leak=1", "leak=0.1"];
const INNOCENT: [&str; 6] = ["warm-up", "cache-fill", "registered-cache-fill", "load-ramp", "batch", "fragmentation"];
/// A growth is right within this share of the truth.
const RIGHT_WITHIN: f64 = 0.3;

/// Each time another seed.
fn runs() -> u64 {
    if std::env::var_os("HEARTLINE_HEAP_RUNS").is_some() { repetitions("HEARTLINE_HEAP_RUNS", 1) } else { 1 }
}

fn outcome(program: &Path, arguments: &[&str]) -> Value {
    let output = Command::new(program).args(arguments).output().expect("the program can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?} ended with {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).expect("the outcome is JSON")
}

/// The outcomes of all scenarios with all seeds, two at a time.
fn outcomes(scenarios: &[&'static str]) -> Vec<(&'static str, u64, Value)> {
    let all = scenarios.iter().flat_map(|scenario| (1..=runs()).map(move |seed| (*scenario, seed)));
    let (waiting, done) = (Mutex::new(all), Mutex::new(Vec::new()));
    let next = || waiting.lock().expect("nobody panicked").next();
    let work = || {
        while let Some((scenario, seed)) = next() {
            let outcome = outcome(Path::new(PROGRAM), &[scenario, &seed.to_string()]);
            done.lock().expect("nobody panicked").push((scenario, seed, outcome));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    done.into_inner().expect("nobody panicked")
}

#[test]
fn the_heap_of_a_leaking_service_is_suspected_and_the_leaking_function_named_with_its_growth() {
    let (mut named, mut right, mut all) = (0, 0, 0);
    for (scenario, seed, outcome) in outcomes(&LEAKS) {
        let site = &outcome["sites"]["sites"][0];
        let first = site["function"].as_str().unwrap_or_default();
        let is_named = site["growing"] == true && first.ends_with(outcome["leaking_function"].as_str().unwrap());
        let truth = outcome["leaked_bytes_per_second"].as_f64().unwrap();
        let error = site["growth_bytes_per_second"].as_f64().map_or(f64::INFINITY, |growth| growth / truth - 1.0);
        println!(
            "{scenario:<9} seed {seed:<3} suspected after {:>5.1} h; after {:>5.1} h {first} with {:+.0} % error and {} of the growth",
            outcome["suspected_after_hours"].as_f64().unwrap_or(f64::NAN),
            outcome["hours"].as_f64().unwrap(),
            100.0 * error,
            site["share"].as_f64().map_or_else(|| "an unknown share".to_owned(), |it| format!("{:.0} %", 100.0 * it)),
        );
        assert_eq!(
            outcome["leak"],
            "suspected",
            "{scenario} with seed {seed}:\n{}",
            outcome["report"].as_str().unwrap()
        );
        all += 1;
        named += u64::from(is_named);
        right += u64::from(is_named && error.abs() < RIGHT_WITHIN);
    }
    println!("the leaking function is first in {named} of {all}, with its growth within 30 % in {right}");
    // one in ten; samples are left to chance
    let wrong = (all / 10).max(1);
    assert!(named + wrong > all && right + wrong >= all, "{named} and {right} of {all}");
}

#[test]
fn a_heap_that_grows_without_leaking_is_not_suspected() {
    for (scenario, seed, outcome) in outcomes(&INNOCENT) {
        println!("{scenario:<21} seed {seed:<3} {} after {} h", outcome["leak"], outcome["hours"]);
        let suspected = &outcome["suspected_after_hours"];
        assert!(suspected.is_null(), "{scenario} with seed {seed} after {suspected} h:\n{}", outcome["report"]);
    }
}

#[test]
fn a_stripped_program_says_which_names_it_lacks_for_its_heap() {
    let folder = tempfile::tempdir().unwrap();
    let stripped = |how: &str| {
        let copy = folder.path().join(how);
        let status = Command::new("strip").args([&format!("--strip-{how}"), PROGRAM, "-o"]).arg(&copy).status();
        assert!(status.expect("strip comes with the linker").success());
        outcome(&copy, &["leak=10", "1", "12"])
    };
    let reports = |outcome: &Value, said: &str| outcome["report"].as_str().is_some_and(|report| report.contains(said));
    let outcome = stripped("debug");
    assert!(reports(&outcome, "no line tables") && reports(&outcome, "forget_sessions"), "{}", outcome["report"]);
    let names = &outcome["sites"];
    let site = &names["sites"][0];
    assert!(site["function"].as_str().is_some_and(|function| function.ends_with("forget_sessions")), "{names}");
    assert!(site["file"].is_null() && site["growing"] == true, "{names}");
    assert!(names["notes"].to_string().contains("no line tables"), "{names}");
    let outcome = stripped("all");
    assert!(reports(&outcome, "is stripped") && !reports(&outcome, "call sites, sampled"), "{}", outcome["report"]);
    let nothing = &outcome["sites"];
    assert!(nothing["sites"].is_null(), "{nothing}");
    assert!(nothing["notes"].to_string().contains("stripped"), "{nothing}");
    println!("without line tables: {}; stripped: {}", site["function"], nothing["notes"]);
}
