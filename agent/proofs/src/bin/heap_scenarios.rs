//! A service whose memory behaves as asked, on a clock of its own: days pass in seconds, and the agent judges them. How
//! the agent does that is not known here.
//!
//! ```text
//! cargo run --release -p heartline-proofs --bin heap_scenarios -- leak=1 [SEED [HOURS]]
//! ```
//!
//! `leak=PERCENT` forgets sessions at this share of what the service holds, an hour. The others hold memory without
//! losing any: `warm-up`, `cache-fill`, `registered-cache-fill`, `load-ramp`, `batch` and `fragmentation`. A leak ends
//! when it is suspected and a call site's growth is known within 15 %, or after ten days; the others after thirty hours; each after HOURS.
//! One JSON object comes out: what was true, what the agent said, and its report.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heartline::{Agent, CacheStatus, HeapReport, Leak, Route};
use serde_json::{Value, json};

heartline::jemalloc!();

const USAGE: &str = "usage: heap_scenarios SCENARIO [SEED [HOURS]]   (leak=PERCENT, warm-up, cache-fill, registered-cache-fill, load-ramp, batch or fragmentation)";
const MIB: f64 = 1_048_576.0;
/// What the service holds from the beginning.
const BASE_BYTES: f64 = 384.0 * MIB;
const BASE_BLOCK: usize = 64 << 10;
const LIMIT: u64 = 8 << 30;
/// Sessions, entries and the like: jemalloc gives 1,000 bytes a place of 1,024.
const RECORD: usize = 1_000;
const PLACE: f64 = 1_024.0;
const REQUESTS_A_MINUTE: f64 = 20.0;
/// Places of records that were used lately, at a load of one.
const RECENT: f64 = 12_000.0;
/// The interval of a call site's growth that ends the run of a leak, to either side.
const KNOWN_WITHIN: f64 = 0.15;
const LEAK_HOURS_MAX: u32 = 240;
const OTHER_HOURS: u32 = 30;

/// What the service's memory does beside answering requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scenario {
    /// Percent of the base an hour.
    Leak(f64),
    WarmUp,
    CacheFill,
    RegisteredCacheFill,
    LoadRamp,
    Batch,
    Fragmentation,
}

impl Scenario {
    fn read(name: &str) -> Result<Self, String> {
        let percent =
            name.strip_prefix("leak=").map(|percent| percent.parse().ok().filter(|it| (0.01..=50.0).contains(it)));
        Ok(match (name, percent) {
            (_, Some(Some(percent))) => Self::Leak(percent),
            (_, Some(None)) => return Err(format!("{name}: a leak takes 0.01 to 50 percent an hour, such as leak=1")),
            ("warm-up", _) => Self::WarmUp,
            ("cache-fill", _) => Self::CacheFill,
            ("registered-cache-fill", _) => Self::RegisteredCacheFill,
            ("load-ramp", _) => Self::LoadRamp,
            ("batch", _) => Self::Batch,
            ("fragmentation", _) => Self::Fragmentation,
            _ => return Err(format!("there is no scenario {name}; {USAGE}")),
        })
    }

    fn leaked_a_second(self) -> f64 {
        if let Self::Leak(percent) = self { BASE_BYTES * percent / 100.0 / 3_600.0 } else { 0.0 }
    }
}

/// Numbers that look random; the same ones for the same seed (xorshift64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn below(&mut self, bound: usize) -> usize {
        whole(self.next() * bound as f64).min(bound - 1)
    }
}

type Record = Vec<u8>;

/// All that is held.
struct Service {
    scenario: Scenario,
    chance: Chance,
    catalogue: Vec<Record>,
    recent: VecDeque<Record>,
    sessions: Vec<Record>,
    owed: f64,
    entries: VecDeque<Record>,
    cached: Arc<AtomicU64>,
    rows: Vec<Record>,
    remains: VecDeque<Vec<Record>>,
}

impl Service {
    fn new(scenario: Scenario, seed: u64) -> Self {
        Self {
            scenario,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            catalogue: load_catalogue(),
            recent: VecDeque::new(),
            sessions: Vec::new(),
            owed: 0.0,
            entries: VecDeque::new(),
            cached: Arc::default(),
            rows: Vec::new(),
            remains: VecDeque::new(),
        }
    }

    /// A minute of work, and the requests in it.
    fn minute(&mut self, minute: u32, route: &Route) {
        let hours = f64::from(minute) / 60.0;
        let ramp = if self.scenario == Scenario::LoadRamp { 1.0 + 2.0 * (hours / 20.0).min(1.0) } else { 1.0 };
        let load = ramp * (1.0 + 0.1 * (TAU * hours / 24.0).sin()) * (0.95 + 0.1 * self.chance.next());
        for _ in 0..whole(REQUESTS_A_MINUTE * load) {
            let request = route.start();
            self.answer_request();
            request.finish(200);
        }
        self.remember_recent(whole(RECENT * load));
        let of_base = |share: f64| whole(share * BASE_BYTES / PLACE);
        match self.scenario {
            Scenario::Leak(_) => {
                self.owed += self.scenario.leaked_a_second() * 60.0 / PLACE;
                let sessions = whole(self.owed);
                self.owed -= sessions as f64;
                self.forget_sessions(sessions);
            }
            Scenario::WarmUp => self.fill_cache(of_base(0.4 * -(-hours / 1.5).exp_m1())),
            Scenario::CacheFill => self.fill_cache(of_base(0.5 * (hours / 5.0).min(1.0))),
            Scenario::RegisteredCacheFill => self.fill_cache(of_base((hours / 20.0).min(1.0))),
            Scenario::Batch => self.run_batch(if minute % 240 < 30 { of_base(0.3) } else { 0 }),
            Scenario::Fragmentation if minute.is_multiple_of(60) => self.scatter(minute / 60),
            Scenario::LoadRamp | Scenario::Fragmentation => {}
        }
    }

    #[inline(never)]
    fn answer_request(&mut self) {
        let parts: Vec<Record> = (0..20).map(|_| vec![1; 64 + self.chance.below(4_000)]).collect();
        black_box(parts);
    }

    /// Holds this many at least, and drops the oldest of those beyond.
    #[inline(never)]
    fn remember_recent(&mut self, wanted: usize) {
        for _ in 0..wanted / 20 {
            self.recent.push_back(vec![2; RECORD]);
        }
        self.recent.drain(..self.recent.len().saturating_sub(wanted));
    }

    /// The leak.
    #[inline(never)]
    fn forget_sessions(&mut self, sessions: usize) {
        for _ in 0..sessions {
            self.sessions.push(vec![3; RECORD]);
        }
    }

    /// A cache with this many entries; some are always replaced.
    #[inline(never)]
    fn fill_cache(&mut self, entries: usize) {
        self.entries.drain(..self.entries.len() / 500);
        while self.entries.len() < entries {
            self.entries.push_back(vec![4; RECORD]);
        }
        self.cached.store(self.entries.len() as u64 * 1_024, Ordering::Relaxed);
    }

    #[inline(never)]
    fn run_batch(&mut self, rows: usize) {
        self.rows.truncate(rows);
        while self.rows.len() < rows {
            self.rows.push(vec![5; RECORD]);
        }
    }

    /// Fills pages with objects of one size and keeps one in a hundred: the pages stay. After twelve sizes it begins
    /// anew, and what is left of the first goes.
    #[inline(never)]
    fn scatter(&mut self, round: u32) {
        const SIZES: [usize; 12] = [96, 128, 160, 192, 224, 256, 320, 384, 448, 512, 640, 768];
        let size = SIZES[round as usize % SIZES.len()];
        let mut objects: Vec<Record> = (0..(24 << 20) / size).map(|_| vec![6; size]).collect();
        let mut number = 0_usize;
        objects.retain(|_| {
            number += 1;
            number.is_multiple_of(100)
        });
        objects.shrink_to_fit();
        self.remains.push_back(objects);
        if self.remains.len() > SIZES.len() {
            self.remains.pop_front();
        }
    }
}

#[inline(never)]
fn load_catalogue() -> Vec<Record> {
    (0..whole(BASE_BYTES) / BASE_BLOCK).map(|_| vec![7; BASE_BLOCK]).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small counts that are not negative")]
fn whole(number: f64) -> usize {
    number.max(0.0) as usize
}

/// Waits until the agent has read the profile that it began to: its own threads do not follow this clock. A thread that
/// has just begun still has the name of the one that began it.
fn settle() {
    let (own, name) = (std::process::id().to_string(), fs::read_to_string("/proc/self/comm").unwrap_or_default());
    let reads = |entry: fs::DirEntry| {
        let thread = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        entry.file_name() != own.as_str() && (thread == name || thread.starts_with("heartline-heap"))
    };
    while fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.flatten().any(reads)) {
        std::thread::yield_now();
    }
}

/// How a run ended.
struct Outcome {
    heap: HeapReport,
    hours: f64,
    suspected_after: Option<f64>,
}

fn run(scenario: Scenario, seed: u64, hours_max: u32) -> Result<Outcome, heartline::Error> {
    let agent = Agent::builder("heap-scenarios").without_listener().memory_limit(LIMIT).start()?;
    // its rounds are ours from now on
    agent.shutdown(Duration::from_secs(10))?;
    let mut service = Service::new(scenario, seed);
    let route = agent.route("GET", "/sessions/{id}");
    if scenario == Scenario::RegisteredCacheFill {
        let cached = Arc::clone(&service.cached);
        let status = move || CacheStatus { bytes: Some(cached.load(Ordering::Relaxed)), ..CacheStatus::default() };
        agent.watch_cache(&agent.cache("entries", "local"), status);
    }
    let leaks = matches!(scenario, Scenario::Leak(_));
    let minutes = 60 * if leaks { LEAK_HOURS_MAX } else { OTHER_HOURS }.min(hours_max);
    let mut outcome = Outcome { heap: agent.heap(), hours: 0.0, suspected_after: None };
    for minute in 1..=minutes {
        service.minute(minute, &route);
        agent.collect_at(Duration::from_mins(minute.into()));
        settle();
        outcome.heap = agent.heap();
        outcome.hours = f64::from(minute) / 60.0;
        if outcome.heap.leak == Leak::Suspected {
            outcome.suspected_after = outcome.suspected_after.or(Some(outcome.hours));
        }
        if leaks && outcome.suspected_after.is_some() && is_known(&outcome.heap) {
            break;
        }
    }
    black_box(&service.catalogue);
    Ok(outcome)
}

/// Whether the first call site's growth is known well enough to act on.
fn is_known(heap: &HeapReport) -> bool {
    let first = heap.sites.as_ref().and_then(|sites| sites.sites.first());
    let bounds = first.and_then(|site| Some((site.growth_bytes_per_second?, site.growth_interval?)));
    bounds.is_some_and(|(growth, [low, high])| {
        low > (1.0 - KNOWN_WITHIN) * growth && high < (1.0 + KNOWN_WITHIN) * growth
    })
}

fn document(scenario: Scenario, outcome: &Outcome) -> Value {
    let heap = &outcome.heap;
    json!({
        "leaked_bytes_per_second": scenario.leaked_a_second(),
        "leaking_function": "forget_sessions",
        "hours": outcome.hours,
        "suspected_after_hours": outcome.suspected_after,
        "leak": heap.leak,
        "growth_bytes_per_second": heap.growth_bytes_per_second,
        "sites": heap.sites,
        "report": heap.to_string(),
    })
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.get(1).map_or(Ok(1), |seed| seed.parse::<u64>());
    let hours = arguments.get(2).map_or(Ok(u32::MAX), |hours| hours.parse::<u32>());
    let (Some(name), Ok(seed), Ok(hours), 0..=3) = (arguments.first(), seed, hours, arguments.len()) else {
        let _ = writeln!(io::stderr(), "{USAGE}");
        return ExitCode::from(2);
    };
    let done = Scenario::read(name).and_then(|scenario| {
        let outcome = document(scenario, &run(scenario, seed, hours).map_err(|error| error.to_string())?);
        writeln!(io::stdout(), "{outcome}").map_err(|error| format!("cannot write the outcome: {error}"))
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "heap_scenarios: {error}");
            ExitCode::FAILURE
        }
    }
}
