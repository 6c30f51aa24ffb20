//! How long a record takes: hot in a loop, with several threads at once, and cold between other work.
#![expect(clippy::disallowed_methods, reason = "a bench reads clocks")]

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{Ordering, fence};
use std::time::{Duration, Instant};

use crate::fixture::FIXTURE;
use crate::record;
use crate::subject::{Case, Subject};

/// How long one measurement of a loop lasts.
const CHUNK: Duration = Duration::from_millis(2);
/// A record that takes longer was interrupted.
const INTERRUPTED_NANOS: f64 = 30_000.0;

/// One figure of one subject: nanoseconds a record, of every round.
pub type Rounds = Vec<f64>;

/// Times a loop on so many threads at once, each subject in turn in every round; `None` for one that has no such case.
pub fn hot(
    subjects: &[Subject],
    case: fn(&Subject) -> Option<&Case>,
    threads: usize,
    rounds: usize,
) -> Vec<Option<Rounds>> {
    let sizes: Vec<Option<usize>> = subjects.iter().map(|subject| case(subject).map(chunk_size)).collect();
    let mut results: Vec<Option<Rounds>> = sizes.iter().map(|size| size.map(|_| Vec::new())).collect();
    for _ in 0..rounds {
        for ((subject, size), result) in subjects.iter().zip(&sizes).zip(&mut results) {
            if let (Some(case), Some(size), Some(result)) = (case(subject), size, result) {
                result.push(round(case, *size, threads));
            }
            subject.settle.inspect(|settle| settle());
        }
    }
    results
}

/// How many records take about [`CHUNK`].
fn chunk_size(case: &Case) -> usize {
    let mut run = case();
    run(20_000);
    let start = Instant::now();
    run(20_000);
    let per_record = start.elapsed().as_nanos().max(1) as f64 / 20_000.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and bounded")]
    let size = (CHUNK.as_nanos() as f64 / per_record) as usize;
    size.clamp(2_000, 10_000_000)
}

/// The mean over threads of the time a record took.
fn round(case: &Case, records: usize, threads: usize) -> f64 {
    let barrier = Barrier::new(threads);
    // long enough that the threads do run at the same time
    let records = if threads == 1 { records } else { 8 * records };
    let timed = || {
        let mut run = case();
        run(1_000);
        barrier.wait();
        let start = Instant::now();
        run(records);
        start.elapsed().as_nanos() as f64 / records as f64
    };
    let means: Vec<f64> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(timed)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    means.iter().sum::<f64>() / means.len() as f64
}

/// Times single records of one subject, each after other work on so many bytes, without reading what is recorded; what rare work
/// costs is in the mean. A process of its own is what measures a subject as services have it: beside a dozen others, what it
/// keeps is further away.
pub fn cold(case: &Case, records: usize, work_bytes: usize) -> f64 {
    let clock = quanta::Clock::new();
    let mut work = vec![1_u64; work_bytes / size_of::<u64>()];
    let mut one = |run: &mut dyn FnMut(usize)| {
        let mut sum = 0_u64;
        for line in work.iter_mut().step_by(8) {
            *line = line.wrapping_add(sum);
            sum = sum.wrapping_add(*line | 1);
        }
        black_box(sum);
        fence(Ordering::SeqCst);
        let start = clock.raw();
        run(1);
        fence(Ordering::SeqCst);
        clock.delta_as_nanos(start, clock.raw()) as f64
    };
    // a service has what it records at hand, where here it comes from the fixture: reading that is not the record's
    let mut read = record!(at => (FIXTURE.series[at], FIXTURE.durations[at]));
    let mut run = case();
    run(20_000);
    read(20_000);
    let (mut empty, mut times) = (Vec::with_capacity(records), Vec::with_capacity(records));
    for _ in 0..records {
        empty.push(one(&mut read));
        times.push(one(&mut run));
    }
    (mean_of_undisturbed(&times) - mean_of_undisturbed(&empty)).max(0.1)
}

fn mean_of_undisturbed(times: &[f64]) -> f64 {
    let kept: Vec<f64> = times.iter().copied().filter(|time| *time < INTERRUPTED_NANOS).collect();
    kept.iter().sum::<f64>() / kept.len().max(1) as f64
}

/// What a figure is on a machine that does other things too: the best quarter ends here.
pub fn typical(rounds: &Rounds) -> f64 {
    let mut sorted = rounds.clone();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 4).copied().unwrap_or(f64::NAN)
}
