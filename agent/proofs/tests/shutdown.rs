//! An agent whose collector swallows everything and says nothing ends in the time it was given, whoever ends it: a task, a
//! drop, a panic hook, or two callers. Knows the public API only.
//!
//! A hundred agents as part of `./test`; `HEARTLINE_SHUTDOWNS=1000 ./test proofs shutdown` ends a thousand.
#![expect(clippy::unwrap_used, reason = "a proof that cannot be set up must fail")]
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::cell::RefCell;
use std::net::TcpListener;
use std::panic::{catch_unwind, panic_any};
use std::time::{Duration, Instant};

use heartline::{Agent, Error, Otlp};
use heartline_proofs::repetitions;

/// What an agent is given to end in, and what it may take.
const GIVEN: Duration = Duration::from_secs(1);
const TAKEN_MAX: Duration = Duration::from_millis(1_100);
/// Agents that end at once.
const AT_ONCE: u64 = 10;

#[derive(Debug, Clone, Copy)]
enum Ending {
    Task,
    Drop,
    PanicHook,
    Twice,
}

const ENDINGS: [Ending; 4] = [Ending::Task, Ending::Drop, Ending::PanicHook, Ending::Twice];

thread_local! {
    /// What the panic hook of this thread ends.
    static TO_END: RefCell<Option<Agent>> = const { RefCell::new(None) };
    /// What came of it.
    static ENDED: RefCell<Option<Result<(), Error>>> = const { RefCell::new(None) };
}

/// An agent that is in the middle of a request that will never be answered.
fn swallowed(black_hole: &TcpListener) -> Agent {
    let otlp = Otlp::http(format!("http://{}", black_hole.local_addr().unwrap())).interval(Duration::from_millis(100));
    let agent = Agent::builder("shop").without_listener().otlp(otlp).start().unwrap();
    agent.route("GET", "/carts/{id}").start().finish(200);
    drop(black_hole.accept().map(std::mem::forget)); // its first connection, which stays open for good
    agent
}

fn is_told(ended: &Result<(), Error>) -> bool {
    matches!(ended, Err(Error::Flush(_) | Error::Shutdown(_)))
}

#[expect(clippy::disallowed_methods, reason = "the figure that is shown")]
fn end(agent: Agent, ending: Ending) -> Duration {
    let began = Instant::now();
    match ending {
        Ending::Task => {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            assert!(is_told(&runtime.block_on(async { agent.shutdown(GIVEN) })));
        }
        Ending::Drop => drop(agent),
        Ending::PanicHook => {
            TO_END.set(Some(agent));
            let panicked = catch_unwind(|| panic_any("of this proof"));
            assert!(panicked.is_err());
            let ended = ENDED.take();
            assert!(is_told(&ended.unwrap()));
        }
        Ending::Twice => {
            assert!(is_told(&agent.shutdown(GIVEN)));
            assert!(is_told(&agent.shutdown(Duration::ZERO)));
        }
    }
    began.elapsed()
}

fn install_hook() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match TO_END.take() {
        Some(agent) => {
            let ended = agent.shutdown(GIVEN);
            ENDED.set(Some(ended));
        }
        None => before(panic),
    }));
}

#[test]
fn a_black_hole_holds_up_no_shutdown() {
    install_hook();
    let each = repetitions("HEARTLINE_SHUTDOWNS", 100).div_ceil(ENDINGS.len() as u64);
    for ending in ENDINGS {
        let mut slowest = Duration::ZERO;
        let mut left = each;
        while left > 0 {
            let batch = left.min(AT_ONCE);
            left -= batch;
            let took = std::thread::scope(|scope| {
                let one = || {
                    let black_hole = TcpListener::bind("127.0.0.1:0").unwrap();
                    end(swallowed(&black_hole), ending)
                };
                let threads: Vec<_> = (0..batch).map(|_| scope.spawn(one)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap_or_default()
            });
            slowest = slowest.max(took);
        }
        println!("{ending:?}: {each} agents given {GIVEN:?}, the slowest took {slowest:?}");
        assert!(slowest <= TAKEN_MAX, "{ending:?} took {slowest:?}");
    }
}
