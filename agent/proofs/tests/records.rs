//! Nothing is lost and nothing is counted twice, however many threads come and go while snapshots are taken: at the end every
//! count, sum and bucket of every series of several metrics, beside what the threads know they recorded. In each snapshot
//! meanwhile that nothing decreases, and that all records together lie between what was made before it and what was begun by
//! its end, to a batch a thread. Knows the public API only.
//!
//! 10^8 records as part of `./test`; `HEARTLINE_RECORDS=1000000000 ./test proofs every_record` makes 10^9.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]
#![expect(clippy::disallowed_methods, reason = "snapshots are taken at a rate, and the run is timed")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use heartline::instruments::{Counter, Histogram as Handle};
use heartline::{Agent, Snapshot};
use heartline_proofs::random::Random;
use heartline_proofs::repetitions;
use heartline_shared::catalog::Kind;
use heartline_shared::{Grid, GridKind, Histogram, Labels};

/// Threads that live as long as the run.
const LASTING: u64 = 12;
/// Threads of which each makes a thread after the other that ends after its share of the records.
const SPAWNING: u64 = 4;
const SHORT_LIVED: u64 = if cfg!(debug_assertions) { 500 } else { 5_000 };
/// Twenty snapshots a second.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(50);

/// Series that are recorded into by handle, resolved before the threads begin.
const BY_HANDLE: usize = 40;
/// Records between two words of a thread about how far it is.
const BATCH: u64 = 256;
/// Names that are looked up with each record; the first ones are known before the threads begin, all race for the rest.
const NAMES: usize = 120;
const NAMES_KNOWN: usize = 20;
const SERIES_LIMIT: usize = 60;
const OVERFLOW: &str = "otel.metric.overflow";

/// What every thread records with.
struct Stress<'a> {
    agent: &'a Agent,
    durations: Vec<Handle>,
    sizes: Handle,
    hot: Counter,
    names: Vec<String>,
    duration_grid: std::sync::Arc<Grid>,
    size_grid: std::sync::Arc<Grid>,
    progress: Progress,
}

/// What the threads themselves say of how far they are, a batch at a time.
#[derive(Default)]
struct Progress {
    /// Records that were begun, or are about to.
    begun: AtomicU64,
    /// Records that were made.
    made: AtomicU64,
    /// How many of them are [offered](Expected::offered).
    offered: AtomicU64,
}

/// Counts by bucket and a sum, as plain as can be.
#[derive(Clone)]
struct Plain {
    counts: Vec<u64>,
    sum: u64,
}

/// What was recorded.
#[derive(Clone)]
struct Expected {
    durations: Vec<Plain>,
    sizes: Plain,
    looked_up: Vec<Plain>,
    events: Vec<u64>,
    hot: u64,
    misused: u64,
}

impl Plain {
    fn new(grid: &Grid) -> Self {
        Self { counts: vec![0; grid.len()], sum: 0 }
    }

    fn add(&mut self, grid: &Grid, value: u64) {
        self.counts[grid.index(value)] += 1;
        self.sum = self.sum.wrapping_add(value);
    }

    fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(count, more)| *count += more);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    fn histogram(&self) -> Histogram {
        Histogram::from_dense(0, self.counts.iter().copied(), self.sum)
    }
}

impl Expected {
    fn new(stress: &Stress<'_>) -> Self {
        let plain = Plain::new(&stress.duration_grid);
        Self {
            durations: vec![plain.clone(); BY_HANDLE],
            sizes: Plain::new(&stress.size_grid),
            looked_up: vec![plain; NAMES],
            events: vec![0; NAMES],
            hot: 0,
            misused: 0,
        }
    }

    fn merge(mut self, other: &Self) -> Self {
        self.durations.iter_mut().zip(&other.durations).for_each(|(ours, theirs)| ours.merge(theirs));
        self.looked_up.iter_mut().zip(&other.looked_up).for_each(|(ours, theirs)| ours.merge(theirs));
        self.events.iter_mut().zip(&other.events).for_each(|(ours, theirs)| *ours += theirs);
        self.sizes.merge(&other.sizes);
        self.hot += other.hot;
        self.misused += other.misused;
        self
    }

    /// All values of histograms, and those that were used as something else than they are.
    fn offered(&self) -> u64 {
        let all = self.durations.iter().chain(&self.looked_up).chain([&self.sizes]);
        all.map(|plain| plain.counts.iter().sum::<u64>()).sum::<u64>() + self.misused
    }
}

impl<'a> Stress<'a> {
    fn new(agent: &'a Agent) -> Self {
        agent.describe("stress.size", "By", "Sizes.");
        let names: Vec<String> = (0..NAMES).map(|name| format!("name {name}")).collect();
        for name in &names[..NAMES_KNOWN] {
            let _ = agent.histogram("stress.looked_up", &[("name", name)]);
            let _ = agent.counter("stress.events", &[("name", name)]);
        }
        Self {
            durations: names[..BY_HANDLE]
                .iter()
                .map(|name| agent.histogram("stress.duration", &[("name", name)]))
                .collect(),
            sizes: agent.histogram("stress.size", &[]),
            hot: agent.counter("stress.records", &[]),
            agent,
            names,
            duration_grid: Grid::of(GridKind::Duration),
            size_grid: Grid::of(GridKind::Count),
            progress: Progress::default(),
        }
    }

    /// Makes so many records and says in `expected` what they were, and to the watcher how far it is.
    fn record(&self, random: &mut Random, records: u64, expected: &mut Expected) {
        for batch in 0..records.div_ceil(BATCH) {
            let batch = BATCH.min(records - batch * BATCH);
            self.progress.begun.fetch_add(batch, Ordering::SeqCst);
            let offered = self.record_batch(random, batch, expected);
            self.progress.offered.fetch_add(offered, Ordering::SeqCst);
            self.progress.made.fetch_add(batch, Ordering::SeqCst);
        }
    }

    /// Most by handle, some by labels that are looked up, some wrongly. Returns how many were offered.
    fn record_batch(&self, random: &mut Random, records: u64, expected: &mut Expected) -> u64 {
        let mut offered = 0;
        for _ in 0..records {
            let drawn = random.draw();
            // four decades, and once in a while up to an hour and more, which no entry of a log holds
            let shift = (drawn >> 32 & 7) + if drawn & 0xfff0 == 0 { 11 } else { 0 };
            let value = ((drawn >> 40) | 1) << shift;
            self.hot.increment();
            expected.hot += 1;
            offered += match drawn & 0xff {
                0..8 => self.record_looked_up(random.index(NAMES), value, expected),
                8..12 => self.count_looked_up(random.index(NAMES), value, expected),
                12..28 => {
                    self.sizes.record_count(value);
                    expected.sizes.add(&self.size_grid, value);
                    1
                }
                28 if drawn & 0x700 == 0 => {
                    self.agent.counter("stress.duration", &[]).add(value);
                    self.agent.histogram("stress.records", &[]).record(Duration::from_nanos(value));
                    expected.misused += 2;
                    2
                }
                _ => {
                    let series = random.index(BY_HANDLE);
                    self.durations[series].record(Duration::from_nanos(value));
                    expected.durations[series].add(&self.duration_grid, value);
                    1
                }
            };
        }
        offered
    }

    fn count_looked_up(&self, name: usize, amount: u64, expected: &mut Expected) -> u64 {
        self.agent.counter("stress.events", &[("name", &self.names[name])]).add(amount);
        expected.events[name] = expected.events[name].wrapping_add(amount);
        0
    }

    fn record_looked_up(&self, name: usize, value: u64, expected: &mut Expected) -> u64 {
        let histogram = self.agent.histogram("stress.looked_up", &[("name", &self.names[name])]);
        histogram.record(Duration::from_nanos(value));
        expected.looked_up[name].add(&self.duration_grid, value);
        1
    }

    /// One thread after the other, each with its share of the records.
    fn record_in_short_lived_threads(&self, seed: u64, records: u64) -> Expected {
        let (mut random, mut expected) = (Random::new(seed), Expected::new(self));
        for thread in 0..SHORT_LIVED {
            let share = records * (thread + 1) / SHORT_LIVED - records * thread / SHORT_LIVED;
            std::thread::scope(|one| drop(one.spawn(|| self.record(&mut random, share, &mut expected))));
        }
        expected
    }

    /// All threads at once; what they recorded.
    fn run(&self, records: u64) -> Expected {
        let per_thread = records / (LASTING + SPAWNING);
        std::thread::scope(|threads| {
            let lasting = (0..LASTING).map(|seed| {
                threads.spawn(move || {
                    let mut expected = Expected::new(self);
                    self.record(&mut Random::new(seed), per_thread, &mut expected);
                    expected
                })
            });
            let spawning = (LASTING..LASTING + SPAWNING)
                .map(|seed| threads.spawn(move || self.record_in_short_lived_threads(seed, per_thread)));
            let running: Vec<_> = lasting.chain(spawning).collect();
            let expected = running.into_iter().map(|thread| thread.join().expect("it only records"));
            expected.reduce(|all, more| all.merge(&more))
        })
        .expect("there are threads")
    }
}

/// One number or one histogram of a snapshot.
#[derive(Clone, PartialEq, Debug)]
enum Value {
    Number(f64),
    Histogram(Histogram),
}

type Series = BTreeMap<(String, Labels), Value>;

/// Every cumulative series of a snapshot.
fn series(snapshot: &Snapshot) -> Series {
    let cumulative = snapshot.metrics.iter().filter(|family| [Kind::Counter, Kind::Histogram].contains(&family.kind));
    let all = cumulative.flat_map(|family| {
        let key = |labels: &Labels| (family.name.to_string(), labels.clone());
        let numbers = family.numbers.iter().map(move |series| (key(&series.labels), Value::Number(series.value)));
        let histogram = move |series: &heartline_shared::snapshot::HistogramSeries| {
            ((family.name.to_string(), series.labels.clone()), Value::Histogram(series.histogram.clone()))
        };
        numbers.chain(family.histograms.iter().map(histogram))
    });
    all.collect()
}

fn number(series: &Series, name: &str) -> u64 {
    let numbers = series.iter().filter(|((metric, _), _)| metric == name);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts, far below 2^53")]
    let sum = numbers.map(|(_, value)| if let Value::Number(number) = value { *number as u64 } else { 0 }).sum();
    sum
}

fn values_of_histograms(series: &Series, is_overflow: bool) -> u64 {
    let wanted = series.iter().filter(|((_, labels), _)| labels.value(OVERFLOW).is_some() == is_overflow);
    wanted.map(|(_, value)| if let Value::Histogram(histogram) = value { histogram.count } else { 0 }).sum()
}

/// What must hold in every snapshot, whatever is being recorded.
fn check(snapshot: &Snapshot, before: &Series, now: &Series) {
    snapshot.validate().unwrap_or_else(|error| panic!("snapshot {}: {error}", snapshot.seq));
    for (key, earlier) in before {
        let decreased = match (earlier, now.get(key)) {
            (Value::Number(earlier), Some(Value::Number(now))) => now < earlier,
            (Value::Histogram(earlier), Some(Value::Histogram(now))) => {
                now.delta(earlier).is_none() || now.sum < earlier.sum || now.count < earlier.count
            }
            _ => true,
        };
        assert!(!decreased, "{key:?} decreased or vanished in snapshot {}", snapshot.seq);
    }
    // the agent adds these up itself: this shows that it leaves none out, not that none is lost
    let (stored, overflow) = (values_of_histograms(now, false), values_of_histograms(now, true));
    let (offered, dropped) = (number(now, "heartline.offered"), number(now, "heartline.dropped"));
    assert_eq!(offered, stored + overflow + dropped, "in snapshot {}", snapshot.seq);
}

impl Progress {
    /// Records that were made, and how many were offered by them at least.
    fn made(&self) -> (u64, u64) {
        (self.made.load(Ordering::SeqCst), self.offered.load(Ordering::SeqCst))
    }

    /// What must hold of a snapshot that was taken since `before`: all that was made then is in it, and nothing that is begun
    /// later.
    fn check(&self, before: (u64, u64), now: &Series) {
        let (made, offered) = self.made();
        let begun = self.begun.load(Ordering::SeqCst);
        let (records, values) = (number(now, "stress.records"), number(now, "heartline.offered"));
        assert!((before.0..=begun).contains(&records), "{records} records, of {} to {begun}", before.0);
        // what was begun and is not made yet offers two a record at most
        let most = offered + 2 * (begun - made);
        assert!((before.1..=most).contains(&values), "{values} values, of {} to {most}", before.1);
    }
}

/// Takes snapshots at their rate until the run is over; how many, and how long they took.
fn watch(stress: &Stress<'_>, done: &mpsc::Receiver<()>) -> (u32, Duration) {
    let (mut before, mut taken, mut took) = (Series::new(), 0, Duration::ZERO);
    let mut due = Instant::now();
    while done.recv_timeout(due.saturating_duration_since(Instant::now())).is_err() {
        due += SNAPSHOT_INTERVAL;
        let made = stress.progress.made();
        let began = Instant::now();
        let snapshot = stress.agent.snapshot();
        took += began.elapsed();
        let now = series(&snapshot);
        stress.progress.check(made, &now);
        check(&snapshot, &before, &now);
        (before, taken) = (now, taken + 1);
    }
    (taken, took)
}

/// Each series by handle, each name known before, and all of a metric together, overflow included.
fn compare(found: &Series, expected: &Expected, stress: &Stress<'_>) {
    let of = |metric: &str, name: &str| &found[&(metric.to_owned(), Labels::from_pairs([("name", name)]))];
    for (name, plain) in stress.names.iter().zip(&expected.durations) {
        assert_eq!(*of("stress.duration", name), Value::Histogram(plain.histogram()), "stress.duration of {name}");
    }
    for (name, plain) in stress.names.iter().zip(&expected.looked_up).take(NAMES_KNOWN) {
        assert_eq!(*of("stress.looked_up", name), Value::Histogram(plain.histogram()), "stress.looked_up of {name}");
    }
    for (name, &events) in stress.names.iter().zip(&expected.events).take(NAMES_KNOWN) {
        assert_eq!(*of("stress.events", name), Value::Number(events as f64), "stress.events of {name}");
    }
    let sizes = &found[&("stress.size".to_owned(), Labels::empty())];
    assert_eq!(*sizes, Value::Histogram(expected.sizes.histogram()), "stress.size");

    let mut all_looked_up = Histogram::default();
    let mut in_overflow = 0;
    for ((metric, labels), value) in found {
        if let (Value::Histogram(histogram), "stress.looked_up") = (value, metric.as_str()) {
            all_looked_up.merge(histogram);
            in_overflow += if labels.value(OVERFLOW).is_some() { histogram.count } else { 0 };
        }
    }
    let together = expected.looked_up.iter().cloned().reduce(|mut all, more| {
        all.merge(&more);
        all
    });
    assert_eq!(Some(all_looked_up), together.map(|plain| plain.histogram()), "all of stress.looked_up");
    assert!(in_overflow > 0, "names beyond the limit went nowhere");
    assert_eq!(number(found, "stress.events"), expected.events.iter().sum::<u64>(), "all of stress.events");
    assert_eq!(number(found, "stress.records"), expected.hot, "stress.records");
    assert_eq!(number(found, "heartline.dropped"), expected.misused, "heartline.dropped");
    assert_eq!(number(found, "heartline.offered"), expected.offered(), "heartline.offered");
}

#[test]
fn every_record_of_every_thread_is_in_the_snapshot_exactly_once() {
    let records = repetitions("HEARTLINE_RECORDS", 100_000_000);
    let agent = Agent::builder("stress").without_listener().series_limit(SERIES_LIMIT).start().unwrap();
    let stress = Stress::new(&agent);
    let (say_done, done) = mpsc::channel();
    let began = Instant::now();
    let (expected, (snapshots, took)) = std::thread::scope(|threads| {
        let watching = threads.spawn({
            let stress = &stress;
            move || watch(stress, &done)
        });
        let expected = stress.run(records);
        say_done.send(()).unwrap();
        (expected, watching.join().unwrap())
    });
    let seconds = began.elapsed().as_secs_f64();

    let last = agent.snapshot();
    let found = series(&last);
    check(&last, &Series::new(), &found);
    compare(&found, &expected, &stress);
    assert_eq!(expected.hot, records / (LASTING + SPAWNING) * (LASTING + SPAWNING));
    assert!(snapshots >= 3, "only {snapshots} snapshots were taken meanwhile");
    println!(
        "{} records by {} threads, {} of them short-lived, in {seconds:.1} s: difference 0 in every count, sum and bucket; \
         {snapshots} snapshots meanwhile ({:.1} a second, {:.1} ms each), all consistent; {} values in overflow, {} dropped",
        expected.hot,
        LASTING + SPAWNING + SPAWNING * SHORT_LIVED,
        SPAWNING * SHORT_LIVED,
        f64::from(snapshots) / seconds,
        took.as_secs_f64() * 1e3 / f64::from(snapshots),
        values_of_histograms(&found, true),
        expected.misused,
    );
    agent.shutdown(Duration::from_secs(5)).unwrap();
}
