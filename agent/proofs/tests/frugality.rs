//! Recording allocates nothing and makes no system call once thread and series are known: by handle, by counter, by timed
//! scope, by request guard; nor does what is refused at the series limit. Counts the allocations of the recording thread, and its system calls with strace.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]
#![expect(clippy::disallowed_methods, reason = "a deadline for a wait")]

use std::fmt::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use heartline::instruments::{Counter, Histogram};
use heartline::{Agent, Route};
use heartline_proofs::allocator::Counting;
use heartline_proofs::random::Random;
use heartline_proofs::repetitions;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// Set for the copy of this program that strace watches.
const WATCHED: &str = "HEARTLINE_PROOF_WATCHED";
/// Files that there are not: looking for them marks begin and end in the list of system calls.
const BEGIN: &str = "/heartline-proof/begin";
const END: &str = "/heartline-proof/end";

/// One of each kind, warm.
struct Instruments {
    agent: Agent,
    histogram: Histogram,
    counter: Counter,
    route: Route,
}

impl Instruments {
    fn new() -> Self {
        let agent = Agent::builder("frugal").without_listener().start().expect("it needs a thread and nothing else");
        let histogram = agent.histogram("work.duration", &[("kind", "a")]);
        let (counter, route) = (agent.counter("work", &[]), agent.route("GET", "/carts/{id}"));
        let warm = Self { agent, histogram, counter, route };
        warm.record(20_000);
        warm.wait_for_a_round();
        warm
    }

    /// So many records by handle and counts, and a tenth of that of timed scopes and of requests.
    fn record(&self, records: u64) {
        let mut random = Random::new(7);
        for i in 0..records {
            // two decades, the same ones again and again
            self.histogram.record(Duration::from_nanos(100_000 + random.below(9_900_000)));
            self.counter.increment();
            if i % 10 == 0 {
                drop(self.histogram.start());
                self.route.start().finish(200);
            }
        }
    }

    /// Waits for the agent's next round, in which it gets memory ready.
    fn wait_for_a_round(&self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let cpu_time = || {
            let snapshot = self.agent.snapshot();
            snapshot.family("heartline.agent.cpu.time").map(|family| family.numbers[0].value)
        };
        let before = cpu_time();
        while cpu_time() == before {
            assert!(Instant::now() < deadline, "the agent did not collect for ten seconds");
            std::thread::yield_now();
        }
    }
}

#[test]
fn ten_million_records_allocate_nothing() {
    let records = repetitions("HEARTLINE_FRUGAL_RECORDS", 10_000_000);
    let instruments = Instruments::new();
    assert_eq!(Counting::calls_once_settled(|| instruments.record(records)), 0, "allocations");
    let before = Counting::calls();
    drop(std::hint::black_box(vec![0_u8; 1_000]));
    assert_eq!(Counting::calls() - before, 1, "an allocation is counted when there is one");
    println!("{records} records and counts, a tenth of that scopes and requests: 0 allocations");
}

#[test]
fn a_flood_of_names_beyond_the_limit_allocates_nothing_nor_does_a_metric_of_another_kind() {
    const FLOOD: u32 = 100_000;
    let agent = Agent::builder("flooded").without_listener().series_limit(10).start().unwrap();
    let (events, durations) =
        (agent.counter_family("flood.events", ["name"]), agent.histogram_family("flood.duration", ["name"]));
    let misused = agent.histogram_family("flood.events", ["name"]);
    let mut text = String::with_capacity(64);
    let mut flood = |from: u32| {
        for number in from..from + FLOOD {
            text.clear();
            let _ = write!(text, "name {number}");
            events.increment([&text]);
            durations.record([&text], Duration::from_millis(1));
            agent.counter("flood.events", &[("name", &text)]).increment();
            misused.record([&text], Duration::from_millis(1));
            agent.counter("flood.duration", &[("name", &text)]).increment();
        }
    };
    flood(0);
    let mut floods = 1;
    let again = || {
        flood(floods * FLOOD);
        floods += 1;
    };
    assert_eq!(Counting::calls_once_settled(again), 0, "allocations");
    let snapshot = agent.snapshot();
    let sum = |name: &str| snapshot.family(name).map_or(0.0, |family| family.numbers.iter().map(|it| it.value).sum());
    let all = f64::from(floods * FLOOD);
    assert_eq!((sum("flood.events"), sum("heartline.dropped")), (2.0 * all, 2.0 * all));
    // the first ten names have a place
    assert_eq!(sum("heartline.series.dropped"), 3.0 * (all - 10.0));
    println!("{} records of names without a place, and as many of another kind: 0 allocations", 3 * floods * FLOOD);
}

#[test]
fn ten_million_records_make_no_system_call() {
    let records = repetitions("HEARTLINE_FRUGAL_RECORDS", 10_000_000);
    let list = std::env::temp_dir().join(format!("heartline-strace-{}", std::process::id()));
    let status = Command::new("strace")
        .args(["-f", "-o"])
        .arg(&list)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "records_between_two_marks", "--ignored", "--nocapture"])
        .env(WATCHED, "yes")
        .status();
    let status =
        status.unwrap_or_else(|error| panic!("cannot run strace ({error}); install it: apt-get install strace"));
    let calls = std::fs::read_to_string(&list).unwrap();
    std::fs::remove_file(&list).unwrap();
    assert!(status.success(), "the program under strace: {status}");

    // each line is "THREAD call(arguments) = result"
    let begin = calls.lines().find(|line| line.contains(BEGIN)).expect("the first mark is a system call");
    let thread = begin.split_whitespace().next().expect("a line begins with the thread");
    let of_thread = calls.lines().filter(|line| line.split_whitespace().next() == Some(thread));
    let between: Vec<&str> = of_thread
        .skip_while(|line| !line.contains(BEGIN))
        .skip(1)
        .take_while(|line| !line.contains(END))
        .filter(|line| !line.contains("resumed>"))
        .collect();
    assert!(calls.contains(END), "the second mark is a system call");
    assert!(between.is_empty(), "{} system calls, first: {:?}", between.len(), &between[..between.len().min(5)]);
    println!("{records} records and counts, a tenth of that scopes and requests: 0 system calls");
}

/// What strace watches; run by the test above.
#[test]
#[ignore = "run under strace by another test"]
fn records_between_two_marks() {
    assert!(std::env::var_os(WATCHED).is_some(), "run by another test only");
    let records = repetitions("HEARTLINE_FRUGAL_RECORDS", 10_000_000);
    let instruments = Instruments::new();
    assert!(std::fs::metadata(BEGIN).is_err());
    instruments.record(records);
    assert!(std::fs::metadata(END).is_err());
}
