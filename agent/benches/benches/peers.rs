//! Prints heartline's recording path beside every peer's; `--summary` takes fewer rounds, `--smoke` hardly any. What is
//! measured is in the library.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use heartline_bench::subject::Subject;
use heartline_bench::table::{Column, render, worst};
use heartline_bench::{ours, peers, timing};

fn main() {
    let is_summary = std::env::args().any(|argument| argument == "--summary");
    let is_smoke = std::env::args().any(|argument| argument == "--smoke");
    let (rounds, cold_records) = match (is_smoke, is_summary) {
        (true, _) => (1, 100),
        (_, true) => (15, 8_000),
        _ => (41, 40_000),
    };
    let mut subjects: Vec<Subject> = std::iter::once(ours::heartline()).chain(peers::all()).collect();
    #[cfg(feature = "profilers")]
    subjects.extend(heartline_bench::profilers::all());
    #[cfg(not(feature = "profilers"))]
    subjects.shrink_to_fit();
    let hot = |name, case: fn(&Subject) -> Option<&_>, threads| Column {
        case: name,
        needs_export: false,
        rounds: timing::hot(&subjects, case, threads, rounds),
    };
    let columns = [
        hot("handle", |subject| subject.handle.as_ref(), 1),
        hot("handle, 2 threads", |subject| subject.handle.as_ref(), 2),
        hot("handle, 4 threads", |subject| subject.handle.as_ref(), 4),
        hot("handle, 8 threads", |subject| subject.handle.as_ref(), 8),
        hot("64 handles", |subject| subject.single.as_ref(), 1),
        hot("3 labels", |subject| subject.labels.as_ref(), 1),
        hot("counter", |subject| subject.counter.as_ref(), 1),
        hot("counter, 2 threads", |subject| subject.counter.as_ref(), 2),
        hot("timed scope", |subject| subject.timed.as_ref(), 1),
        Column {
            case: "cold",
            needs_export: false,
            rounds: timing::cold(&subjects, |subject| subject.single.as_ref(), cold_records),
        },
    ];
    println!("{}", render(&subjects, &columns));
    if let Some(worst) = worst(&subjects, &columns) {
        println!("worst ratio {:.1} ({}, {})", worst.ratio, worst.peer, worst.case);
    }
}
