//! Profiles of the processor by those who ask over HTTP: a service with jemalloc, whose threads compute, allocate, panic and
//! unwind, is sampled again and again; the busy function is named first, nothing hangs, and the signal is given back.
//! One test at a time, because the signal is the process's.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "helpers of tests; figures are shown")]

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use heartline::Agent;

heartline::jemalloc!();

const ADMIN_TOKEN: &str = "an-admin-token-of-the-profile-tests";
const THREADS: usize = 8;
/// Longer than anything here takes on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

#[expect(clippy::disallowed_methods, reason = "a test's own deadline")]
fn now() -> Instant {
    Instant::now()
}

/// What the service spends its time on.
#[inline(never)]
fn price_the_catalogue(seed: u64) -> u64 {
    let mut price = seed;
    for item in 0..200_000_u64 {
        price = black_box(price.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(item) ^ (price >> 17));
    }
    price
}

/// Allocates, and goes through all that takes the locks of the dynamic linker.
#[inline(never)]
fn allocate_and_unwind(round: u64) {
    let kept: Vec<Vec<u8>> = (0..64).map(|size| black_box(vec![1; 64 << (size % 10)])).collect();
    let unwound = std::panic::catch_unwind(|| std::panic::resume_unwind(Box::new(round)));
    assert!(unwound.is_err() && kept.len() == 64);
    drop(black_box(std::backtrace::Backtrace::force_capture()));
}

/// Threads that work until this is dropped.
struct Load {
    stop: Arc<AtomicBool>,
    rounds: Vec<Arc<AtomicU64>>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let rounds: Vec<Arc<AtomicU64>> = (0..THREADS).map(|_| Arc::default()).collect();
        let start = |(at, done): (usize, &Arc<AtomicU64>)| {
            let (stop, done) = (Arc::clone(&stop), Arc::clone(done));
            let unwinding = 3 * (at % 2);
            let work = move || {
                while !stop.load(Ordering::Relaxed) {
                    let round = done.fetch_add(1, Ordering::Relaxed);
                    (0..unwinding).for_each(|_| allocate_and_unwind(round));
                    black_box(price_the_catalogue(round));
                }
            };
            std::thread::Builder::new().name(format!("worker-{}", at % 2)).spawn(work).unwrap()
        };
        let threads = rounds.iter().enumerate().map(start).collect();
        Self { stop, rounds, threads }
    }

    /// Waits until each thread has done more than it had.
    fn goes_on(&self) {
        let before: Vec<u64> = self.rounds.iter().map(|round| round.load(Ordering::Relaxed)).collect();
        let deadline = now() + DEADLINE;
        while self.rounds.iter().zip(&before).any(|(round, before)| round.load(Ordering::Relaxed) == *before) {
            assert!(now() < deadline, "a thread hangs: {:?} after {before:?}", self.rounds);
            std::thread::yield_now();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

fn agent() -> (Agent, SocketAddr) {
    let agent = Agent::builder("profiled").listen("127.0.0.1:0").admin_token(ADMIN_TOKEN).start().unwrap();
    let address = agent.local_addr().unwrap();
    (agent, address)
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

fn request(address: SocketAddr, line: &str, headers: &str, body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let length = body.len();
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
    .unwrap();
    let mut bytes = Vec::new();
    let read = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer to {line}: {read:?}")) + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes.split_off(end) }
}

/// Asks with the admin token, and again when it is too soon.
fn profile(address: SocketAddr, query: &str) -> Answer {
    let deadline = now() + DEADLINE;
    loop {
        let line = format!("GET /api/v1/profile/cpu?{query}");
        let answer = request(address, &line, &format!("Authorization: Bearer {ADMIN_TOKEN}\r\n"), "");
        let early = matches!(answer.status, 409 | 429);
        if !early || now() > deadline {
            return answer;
        }
        std::thread::yield_now();
    }
}

/// Who handles, ignores and blocks which signals, as the system says.
fn signals() -> Vec<String> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let lines = status.lines().filter(|line| line.starts_with("SigCgt") || line.starts_with("SigIgn"));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_busy_function_is_first_and_the_signal_is_given_back() {
    let _alone = alone();
    let (agent, address) = agent();
    let before = signals();
    let load = Load::start();
    let answer = profile(address, "seconds=3&format=collapsed");
    let text = String::from_utf8(answer.body).unwrap();
    assert_eq!(answer.status, 200, "{text}");
    let first = text.lines().next().expect("something ran");
    assert!(first.starts_with("worker-"), "the thread is named: {first}");
    assert!(first.contains("price_the_catalogue"), "{first}");
    assert!(first.contains("thread_start") && first.contains("Load::start"), "its callers are known: {first}");
    for ours in ["on_tick", "heartline::cpu", "heartline-cpu", "restore_rt"] {
        assert!(!text.contains(ours), "{ours}: {text}");
    }
    let samples = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    let all: u64 = text.lines().map(samples).sum();
    let busy: u64 = text.lines().filter(|line| line.contains("price_the_catalogue")).map(samples).sum();
    let unwinding: u64 = text.lines().filter(|line| line.contains("allocate_and_unwind")).map(samples).sum();
    assert!(all > 20, "{all} samples, on a machine that does much else too");
    assert!(busy + unwinding > all * 8 / 10 && busy > all / 4, "{busy} and {unwinding} of {all}:\n{text}");
    println!("{all} samples in 3 s: {busy} of the busy function, {unwinding} of what allocates and unwinds");

    let packed = profile(address, "seconds=1&format=pprof");
    assert_eq!((packed.status, &packed.body[..2]), (200, &[0x1f, 0x8b][..]), "gzip: {}", packed.head);
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut bytes).unwrap();
    for text in
        ["samples", "nanoseconds", "worker-0", "price_the_catalogue", "tests/cpu_profile.rs", "of processor time"]
    {
        assert!(bytes.windows(text.len()).any(|part| part == text.as_bytes()), "{text}");
    }
    drop(load);
    assert_eq!(signals(), before, "as if nothing had been");
    drop(agent);
}

#[test]
fn profiles_in_turn_beside_heap_samples_stop_no_thread() {
    let _alone = alone();
    let (agent, address) = agent();
    agent.sample_heap(DEADLINE).unwrap();
    let load = Load::start();
    for _ in 0..8 {
        let answer = profile(address, "seconds=1&hz=250&format=collapsed");
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        assert!(String::from_utf8_lossy(&answer.body).contains("price_the_catalogue"));
        load.goes_on();
    }
    assert!(agent.heap().sites.is_some_and(|sites| sites.sampling == heartline::Sampling::Active), "both sample");
}

#[test]
fn who_may_not_asks_wrongly_or_too_often_is_told_so() {
    let _alone = alone();
    let (_agent, address) = agent();
    let token = format!("Authorization: Bearer {ADMIN_TOKEN}\r\n");
    let ask =
        |path: &str, headers: &str| request(address, &format!("GET /api/v1/profile/cpu{path}"), headers, "").status;
    assert_eq!(ask("?seconds=1", ""), 401);
    for wrong in ["?seconds=0", "?seconds=61", "?hz=0", "?hz=251", "?format=svg", "?minutes=1"] {
        assert_eq!(ask(wrong, &token), 400, "{wrong}");
    }
    let before = signals();
    let first = std::thread::spawn(move || profile(address, "seconds=6").status);
    let deadline = now() + DEADLINE;
    while signals() == before {
        assert!(now() < deadline, "sampling never began");
        std::thread::yield_now();
    }
    // the next is refused at first because one has just begun, and then because it is running
    let mut refusals = Vec::new();
    while refusals.last() != Some(&409) {
        assert!(now() < deadline && !first.is_finished(), "{refusals:?}");
        refusals.push(ask("?seconds=1", &token));
        refusals.dedup();
    }
    assert_eq!(refusals, [429, 409]);
    assert_eq!(first.join().unwrap(), 200);
}

#[test]
fn the_action_says_which_functions_run() {
    let _alone = alone();
    let (_agent, address) = agent();
    let headers = format!("Authorization: Bearer {ADMIN_TOKEN}\r\nContent-Type: application/json\r\n");
    let act = |body: &str| {
        let answer = request(address, "POST /api/v1/actions/profile.cpu", &headers, body);
        (answer.status, serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default())
    };
    assert_eq!(act(r#"{"seconds": 100}"#).0, 400);
    assert_eq!(act(r#"{"seconds": "long"}"#).0, 400);
    let (status, planned) = act(r#"{"seconds": 2, "dry_run": true}"#);
    assert_eq!((status, &planned["affected"]), (200, &0.into()), "{planned}");
    let _load = Load::start();
    let (status, told) = act(r#"{"seconds": 2}"#);
    // on a busy machine names take longer to look up than a caller waits
    assert!(matches!(status, 200 | 202), "{told}");
    let deadline = now() + DEADLINE;
    let last = loop {
        let listed = request(address, "GET /api/v1/actions", "", "");
        let listed: serde_json::Value = serde_json::from_slice(&listed.body).unwrap();
        let rows = listed["actions"].as_array().unwrap();
        let last = &rows.iter().find(|row| row["name"] == "profile.cpu").expect("it is listed")["last"];
        if last["operation_id"] == told["operation_id"] {
            break last.clone();
        }
        assert!(now() < deadline, "{listed}");
        std::thread::yield_now();
    };
    assert_eq!(last["status"], "done", "{last}");
    let message = last["message"].as_str().unwrap_or_default();
    assert!(message.split(" % ").nth(1).is_some_and(|busiest| !busiest.is_empty()), "{message}");
    assert!(last["matched"].as_u64() > Some(20), "{last}");
}

#[test]
fn the_agent_stops_at_once_while_a_profile_is_taken() {
    let _alone = alone();
    let before = signals();
    let (agent, address) = agent();
    let asked = std::thread::spawn(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("Host: localhost\r\nAuthorization: Bearer {ADMIN_TOKEN}\r\n\r\n");
        write!(stream, "GET /api/v1/profile/cpu?seconds=60 HTTP/1.1\r\n{head}").unwrap();
        let _ = stream.read_to_end(&mut Vec::new()); // cut off
    });
    let deadline = now() + DEADLINE;
    let until = |what: &str, reached: &dyn Fn() -> bool| {
        while !reached() {
            assert!(now() < deadline, "{what}");
            std::thread::yield_now();
        }
    };
    until("sampling begins", &|| signals() != before);
    let began = now();
    agent.shutdown(Duration::from_secs(5)).unwrap();
    println!("shut down beside a profile within {:?}", now() - began);
    until("the signal is given back", &|| signals() == before);
    asked.join().unwrap();
    assert!(now() - began < Duration::from_secs(50), "nobody waited for the profile's end");
}
