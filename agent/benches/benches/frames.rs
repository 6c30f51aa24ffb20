//! What a frame costs by the number of series: instructions to code it, to read it and to add it up, bytes, allocations.
//! Instructions are counted by callgrind, which must be installed.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use heartline_bench::callgrind::instructions;
use heartline_bench::growing::Growing;
use heartline_shared::Snapshot;
use heartline_shared::frame::{Coder, Decoder, Sums};

const SERIES: [usize; 3] = [100, 1_000, 10_000];
/// All series count in each second, or one in ten does.
const ONE_IN: [usize; 2] = [1, 10];
/// Frames over which instructions and bytes are averaged.
const ROUNDS: u64 = 8;
const DEFINITIONS: usize = 64 << 20;

fn snapshots(series: usize, one_in: usize) -> Vec<Snapshot> {
    let mut growing = Growing::new(series, one_in);
    (0..ROUNDS + 2).map(|_| growing.next_second()).collect()
}

/// A coder that knows all series, and the seconds after that.
fn coder(snapshots: &[Snapshot]) -> (Coder, &[Snapshot], Vec<u8>) {
    let mut coder = Coder::new(&snapshots[0], DEFINITIONS);
    let mut head = coder.introduction().to_vec();
    head.extend(coder.frame(&snapshots[0]).map(|made| made.definitions).unwrap_or_default());
    (coder, &snapshots[1..], head)
}

/// Does one piece of work so many times, and the rest of the preparations always.
fn work(what: &str, series: usize, one_in: usize, rounds: usize) {
    let all = snapshots(series, one_in);
    let (mut coder, seconds, head) = coder(&all);
    if what == "code" {
        for snapshot in &seconds[..rounds] {
            std::hint::black_box(coder.frame(snapshot));
        }
        return;
    }
    let frames: Vec<Vec<u8>> =
        seconds.iter().filter_map(|snapshot| coder.frame(snapshot)).map(|made| made.frame).collect();
    let (mut decoder, mut sums) = (Decoder::new(), Sums::default());
    decoder.push(&head);
    while decoder.next_event().is_some() {}
    for frame in &frames[..rounds] {
        if what == "sum" {
            std::hint::black_box(sums.add(frame));
        } else {
            decoder.push(frame);
            std::hint::black_box(decoder.next_event());
        }
    }
}

fn row(series: usize, one_in: usize) -> std::io::Result<()> {
    let all = snapshots(series, one_in);
    let (mut coder, seconds, head) = coder(&all);
    let (mut bytes, mut allocations) = (0, 0);
    for snapshot in seconds {
        let counted = allocation_counter::measure(|| {
            bytes += coder.frame(snapshot).map_or(0, |made| made.frame.len());
        });
        allocations += counted.count_total;
    }
    let frames = seconds.len();
    let json = serde_json::to_vec(&all[1]).map_or(0, |json| json.len());
    let (series_text, one_in_text) = (series.to_string(), one_in.to_string());
    let count = |what| instructions(&["--worker", what, &series_text, &one_in_text], ROUNDS);
    let (code, read, sum) = (count("code")?, count("read")?, count("sum")?);
    let per_series = |amount: u64| amount as f64 / series as f64;
    println!(
        "{series:>7} {:>6}% {:>9} {:>7.1} {code:>12} {:>7.0} {read:>12} {:>7.0} {sum:>12} {:>7.0} {:>7} {:>9} {:>11} {json:>11}",
        100 / one_in,
        bytes / frames,
        bytes as f64 / frames as f64 / series as f64,
        per_series(code),
        per_series(read),
        per_series(sum),
        allocations / frames as u64,
        head.len(),
        coder.bytes(),
    );
    Ok(())
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let number = |at: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(0);
    if arguments.get(1).is_some_and(|first| first == "--worker") {
        work(&arguments[2], number(3), number(4), number(5));
        return Ok(());
    }
    println!(
        "{:>7} {:>7} {:>9} {:>7} {:>12} {:>7} {:>12} {:>7} {:>12} {:>7} {:>7} {:>9} {:>11} {:>11}",
        "series",
        "active",
        "bytes",
        "/series",
        "code instr",
        "/series",
        "read instr",
        "/series",
        "sum instr",
        "/series",
        "allocs",
        "defs B",
        "coder B",
        "JSON B",
    );
    for one_in in ONE_IN {
        for series in SERIES {
            row(series, one_in)?;
        }
    }
    Ok(())
}
