//! Nothing is lost and nothing is counted twice, however many threads come and go while snapshots are taken. Knows the
//! public API only. With `--release` it makes the 10^8 records that are promised, else a fiftieth of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use heartline::{Agent, Snapshot};
use heartline_shared::{Grid, GridKind, Histogram, Labels};

const RECORDS: u64 = if cfg!(debug_assertions) { 2_000_000 } else { 100_000_000 };
/// Threads that live as long as the test.
const LASTING: u64 = 12;
/// Threads of which each makes a thread after the other that ends after a few records.
const SPAWNING: u64 = 4;
const SHORT_LIVED: u64 = if cfg!(debug_assertions) { 500 } else { 5_000 };
const SERIES: usize = 40;
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(50);

/// Values of one thread: cheap, spread over four decades, of every series.
fn values(seed: u64) -> impl Iterator<Item = (usize, u64)> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let series = usize::try_from(state % SERIES as u64).unwrap_or(0);
        (series, (state >> 40 | 1) << (state >> 32 & 7))
    })
}

fn series(snapshot: &Snapshot) -> BTreeMap<Labels, Histogram> {
    let family = snapshot.metrics.iter().find(|family| family.name == "stress.duration");
    let all = family.into_iter().flat_map(|family| &family.histograms);
    all.map(|series| (series.labels.clone(), series.histogram.clone())).collect()
}

/// Takes snapshots until everything is recorded; each must be consistent and none less than the one before.
fn watch(agent: &Agent, done: &mpsc::Receiver<()>) -> u64 {
    let grid = Grid::of(GridKind::Duration);
    let mut before = series(&agent.snapshot());
    let mut taken = 1;
    while done.recv_timeout(SNAPSHOT_INTERVAL).is_err() {
        let now = series(&agent.snapshot());
        for (labels, histogram) in &now {
            assert!(histogram.is_consistent(&grid), "{labels} in snapshot {taken}");
            let earlier = before.get(labels).cloned().unwrap_or_default();
            assert!(histogram.delta(&earlier).is_some(), "{labels} decreased in snapshot {taken}");
            assert!(histogram.sum >= earlier.sum, "the sum of {labels} decreased in snapshot {taken}");
        }
        before = now;
        taken += 1;
    }
    taken
}

#[test]
fn every_record_of_every_thread_is_in_the_snapshot_exactly_once() {
    let agent = Agent::builder("stress").without_listener().start().unwrap();
    let names: Vec<String> = (0..SERIES).map(|series| series.to_string()).collect();
    let handles: Vec<_> = names.iter().map(|name| agent.histogram("stress.duration", &[("series", name)])).collect();
    let counter = agent.counter("stress.records", &[]);
    let grid = Grid::of(GridKind::Duration);
    let made = AtomicU64::new(0);
    let (say_done, done) = mpsc::channel();

    let run = |seed: u64, records: u64| {
        let mut expected = vec![(vec![0_u64; grid.len()], 0_u64); SERIES];
        for (series, value) in values(seed).take(usize::try_from(records).unwrap()) {
            handles[series].record_count(value);
            counter.increment();
            expected[series].0[grid.index(value)] += 1;
            expected[series].1 += value;
        }
        made.fetch_add(records, Ordering::Relaxed);
        expected
    };
    let per_thread = RECORDS / (LASTING + SPAWNING);
    let (expected, snapshots) = std::thread::scope(|threads| {
        let (agent, run) = (&agent, &run);
        let watching = threads.spawn(move || watch(agent, &done));
        let lasting = (0..LASTING).map(|seed| threads.spawn(move || run(seed, per_thread)));
        let spawning = (LASTING..LASTING + SPAWNING).map(|seed| {
            threads.spawn(move || {
                let short = |i: u64| {
                    std::thread::scope(|one| one.spawn(|| run(seed << 32 | i, per_thread / SHORT_LIVED)).join())
                };
                (0..SHORT_LIVED).map(|i| short(i).unwrap()).reduce(added).unwrap()
            })
        });
        let running: Vec<_> = lasting.chain(spawning).collect();
        let expected = running.into_iter().map(|thread| thread.join().unwrap()).reduce(added).unwrap();
        say_done.send(()).unwrap();
        (expected, watching.join().unwrap())
    });

    let found = series(&agent.snapshot());
    for (name, (counts, sum)) in names.iter().zip(expected) {
        let labels = Labels::from_pairs([("series", name.clone())]);
        assert_eq!(found[&labels], Histogram::from_dense(counts, sum), "series {name}");
    }
    assert_eq!(counter.value(), made.load(Ordering::Relaxed));
    assert!(snapshots >= 3, "only {snapshots} snapshots were taken meanwhile");
    agent.shutdown(Duration::from_secs(5)).unwrap();
}

type Expected = Vec<(Vec<u64>, u64)>;

fn added(mut ours: Expected, theirs: Expected) -> Expected {
    for ((counts, sum), (more_counts, more_sum)) in ours.iter_mut().zip(theirs) {
        counts.iter_mut().zip(more_counts).for_each(|(count, more)| *count += more);
        *sum += more_sum;
    }
    ours
}
