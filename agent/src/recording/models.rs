//! The lock-free parts under every schedule that loom finds, each beside a fault planted in it that loom must find too.
//! `./test loom` runs them, built in the package `heartline-models`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use heartline_shared::{Grid, GridKind};
use loom::sync::Arc;
use loom::thread;

use super::budget::Budget;
use super::log::{Entry, Log};
use super::recorder::Recorder;
use super::series::{SeriesId, Shape};
use super::sync::atomic::AtomicU64;

fn shape() -> std::sync::Arc<Shape> {
    std::sync::Arc::new(Shape { grid: Grid::of(GridKind::Duration), budget: std::sync::Arc::new(Budget::new(1 << 20)) })
}

/// Explores `model` with at most `preemptions` switches away from a thread that could go on.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let _ = Grid::of(GridKind::Duration); // built outside of the model: it is not part of it
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

/// Asserts that the model fails: a fault was planted.
fn finds(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let found = catch_unwind(AssertUnwindSafe(|| explore(preemptions, model)));
    assert!(found.is_err(), "the planted fault was not found");
}

/// What a thread of the host does with its log, without the thread-local.
fn record(recorder: &Recorder, log: &Log, entry: u64) {
    if !log.push(log.written(), entry) {
        recorder.make_room(log);
    }
}

fn count(recorder: &Recorder, series: SeriesId) -> (u64, u64) {
    let histogram = recorder.read().histogram(series);
    assert_eq!(histogram.count, histogram.buckets.iter().map(|(_, count)| count).sum::<u64>());
    (histogram.count, histogram.sum)
}

/// Two threads fill their logs again and again while a third reads twice.
fn two_threads_record_while_a_third_reads(records: u64, record: fn(&Recorder, &Log, u64)) {
    let recorder = Arc::new(Recorder::new(1));
    let series = recorder.register(&shape());
    let threads = [1, 2].map(|thread| {
        let recorder = Arc::clone(&recorder);
        thread::spawn(move || {
            let log = recorder.attach();
            (0..records).for_each(|_| record(&recorder, &log, series.entry(thread * 1_000)));
            recorder.part(log);
        })
    });
    let (first, second) = (count(&recorder, series), count(&recorder, series));
    assert!(first.0 <= second.0 && first.1 <= second.1, "{first:?} then {second:?}");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(count(&recorder, series), (2 * records, 3_000 * records));
}

#[test]
fn every_record_is_counted_once_whoever_folds_it() {
    explore(3, || two_threads_record_while_a_third_reads(3, record));
}

#[test]
fn a_record_that_is_written_over_because_no_room_was_made_is_found() {
    let careless = |_: &Recorder, log: &Log, entry: u64| assert!(log.push(log.written(), entry) || entry > 0);
    finds(2, move || two_threads_record_while_a_third_reads(5, careless));
}

/// A thread records while two others drain its log; afterwards all together have everything.
fn owner_and_readers_share_a_log(push: fn(&Log, usize, u64) -> bool) {
    let log = Arc::new(Log::new());
    let folded = Arc::new(loom::sync::Mutex::new(Vec::new()));
    let readers = [(); 2].map(|()| {
        let (log, folded) = (Arc::clone(&log), Arc::clone(&folded));
        thread::spawn(move || log.drain(|entries| folded.lock().unwrap().extend_from_slice(entries)))
    });
    for entry in 1..=5 {
        let fold = |entries: [&[AtomicU64]; 2]| {
            folded.lock().unwrap().extend(entries.into_iter().flatten().map(Entry::load));
            true
        };
        if !push(&log, log.written(), entry) {
            while !log.make_room(fold) {
                thread::yield_now();
            }
        }
    }
    readers.into_iter().for_each(|reader| reader.join().unwrap());
    log.drain(|entries| folded.lock().unwrap().extend_from_slice(entries));
    let mut all = folded.lock().unwrap().clone();
    all.sort_unstable();
    assert_eq!(all, [1, 2, 3, 4, 5]);
}

#[test]
fn owner_and_readers_take_each_entry_once() {
    explore(3, || owner_and_readers_share_a_log(Log::push));
}

#[test]
fn an_entry_that_is_published_before_it_is_written_is_found() {
    finds(3, || owner_and_readers_share_a_log(Log::push_with_planted_fault));
}

/// A thread ends while another begins and a third gives back what ended threads left. `last` makes the thread's last
/// record and leaves its log.
fn a_log_passes_from_thread_to_thread(last: fn(&Recorder, Arc<Log>, u64)) {
    let recorder = Arc::new(Recorder::new(1));
    let series = recorder.register(&shape());
    let slot = recorder.take_slot().unwrap();
    let threads = [1, 2].map(|thread| {
        let recorder = Arc::clone(&recorder);
        thread::spawn(move || {
            let log = recorder.attach();
            log.add(slot, thread);
            last(&recorder, log, series.entry(thread * 1_000));
        })
    });
    recorder.read().maintain();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    recorder.read().maintain();
    assert_eq!(count(&recorder, series), (2, 3_000));
    assert_eq!(recorder.slot_sum(slot), 3);
}

#[test]
fn what_a_thread_leaves_is_counted_once_by_the_next_or_the_reader() {
    explore(3, || {
        a_log_passes_from_thread_to_thread(|recorder, log, entry| {
            record(recorder, &log, entry);
            recorder.part(log);
        });
    });
}

#[test]
fn a_thread_that_records_after_it_left_its_log_is_found() {
    finds(3, || {
        a_log_passes_from_thread_to_thread(|recorder, log, entry| {
            recorder.part(Arc::clone(&log));
            record(recorder, &log, entry);
        });
    });
}

/// A counter's place goes from one counter to the next while a thread that knew the first goes on with the second.
fn a_place_passes_from_counter_to_counter(publish: loom::sync::atomic::Ordering) {
    use loom::sync::atomic::{AtomicUsize, Ordering};
    let recorder = Arc::new(Recorder::new(1));
    let log = recorder.attach();
    let slot = recorder.take_slot().unwrap();
    log.add(slot, 5);
    let place = Arc::new(AtomicUsize::new(0));
    let next = {
        let (recorder, place) = (Arc::clone(&recorder), Arc::clone(&place));
        thread::spawn(move || {
            recorder.release_slot(slot);
            let slot = recorder.take_slot().unwrap();
            place.store(slot + 1, publish);
        })
    };
    let reader = {
        let (recorder, place) = (Arc::clone(&recorder), Arc::clone(&place));
        thread::spawn(move || {
            let known = place.load(Ordering::Acquire);
            assert!(known == 0 || recorder.slot_sum(known - 1) <= 1, "what the first counter had counted is seen");
        })
    };
    let known = place.load(Ordering::Acquire);
    if known > 0 {
        log.add(known - 1, 1);
    }
    next.join().unwrap();
    reader.join().unwrap();
    assert_eq!(recorder.slot_sum(slot), u64::from(known > 0));
}

#[test]
fn a_counter_starts_at_zero_in_a_place_that_another_had() {
    explore(3, || a_place_passes_from_counter_to_counter(loom::sync::atomic::Ordering::Release));
}

#[test]
fn a_place_that_is_published_before_it_is_cleared_is_found() {
    finds(3, || a_place_passes_from_counter_to_counter(loom::sync::atomic::Ordering::Relaxed));
}

/// Ids of gone series come free while threads record, into whichever store is free.
fn an_id_passes_from_series_to_series(reclaim: fn(&Recorder)) {
    let recorder = Arc::new(Recorder::new(1));
    let log = recorder.attach();
    let first = recorder.register(&shape());
    record(&recorder, &log, first.entry(1_000));
    recorder.retire(first);
    let other = {
        let recorder = Arc::clone(&recorder);
        thread::spawn(move || reclaim(&recorder))
    };
    let beside = {
        let recorder = Arc::clone(&recorder);
        thread::spawn(move || {
            let log = recorder.attach();
            let series = recorder.register(&shape());
            record(&recorder, &log, series.entry(5_000));
            recorder.part(log);
            series
        })
    };
    let second = recorder.register(&shape());
    record(&recorder, &log, second.entry(2_000));
    other.join().unwrap();
    let third = recorder.register(&shape());
    record(&recorder, &log, third.entry(3_000));
    let fourth = beside.join().unwrap();
    let counts = [second, third, fourth].map(|series| count(&recorder, series));
    assert_eq!(counts, [(1, 2_000), (1, 3_000), (1, 5_000)]);
}

#[test]
fn a_series_starts_empty_with_an_id_that_another_had() {
    explore(3, || an_id_passes_from_series_to_series(|recorder| recorder.read().maintain()));
}

#[test]
fn an_id_that_is_free_before_its_entries_are_drained_is_found() {
    finds(2, || an_id_passes_from_series_to_series(Recorder::reclaim_with_planted_fault));
}

/// Two threads fold into two stores while a third empties the second into the first and reads.
fn stores_are_emptied_while_threads_fold(budget: usize, empty: fn(&Recorder, SeriesId)) {
    let recorder = Arc::new(Recorder::new(1));
    recorder.open_all();
    let grid = Grid::of(GridKind::Duration);
    let shape = std::sync::Arc::new(Shape { grid, budget: std::sync::Arc::new(Budget::new(budget)) });
    let series = recorder.register(&shape);
    // the third record folds the two before it into the store that will be emptied, so that there is something in it
    let log = recorder.attach();
    log.set_home(1);
    (0..3).for_each(|_| record(&recorder, &log, series.entry(1_000)));
    recorder.part(log);
    let threads = [0, 1].map(|home| {
        let recorder = Arc::clone(&recorder);
        thread::spawn(move || {
            let log = recorder.attach();
            log.set_home(home);
            (0..3).for_each(|_| record(&recorder, &log, series.entry(1_000)));
            recorder.part(log);
        })
    });
    empty(&recorder, series);
    let (first, second) = (count(&recorder, series), count(&recorder, series));
    assert!(first.0 <= second.0 && first.1 <= second.1, "{first:?} then {second:?}");
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(count(&recorder, series), (9, 9_000));
    empty(&recorder, series);
    assert_eq!(count(&recorder, series), (9, 9_000));
}

/// Once is quiet enough in a model: two rounds empty what can be emptied.
fn maintain_twice(recorder: &Recorder, _: SeriesId) {
    (0..2).for_each(|_| recorder.read().maintain());
}

#[test]
fn values_stay_the_same_while_stores_are_emptied() {
    explore(2, || stores_are_emptied_while_threads_fold(1 << 20, maintain_twice));
}

#[test]
fn values_stay_the_same_when_memory_is_short_and_a_store_refuses() {
    explore(2, || stores_are_emptied_while_threads_fold(0, maintain_twice));
}

#[test]
fn a_store_that_is_cleared_after_others_folded_into_it_is_found() {
    finds(2, || {
        stores_are_emptied_while_threads_fold(1 << 20, |recorder, series| {
            recorder.read().empty_with_planted_fault(series);
        });
    });
}
