//! Code of the service that the agent calls: never on the agent's own thread, waited for briefly, its panics and hangs
//! counted, and not called again after three of them; one that hung is called again once it has returned. What it is asked for
//! is not known here.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::instruments::Counter;
use crate::snapshot::{Families, Tick};

/// Failures after which a callback is not called again.
const STRIKES_MAX: u32 = 3;
/// A callback that takes longer is late; each round that finds it so is a strike, until it returns.
const LATE: Duration = Duration::from_millis(500);
/// How long a round waits for its probes. What comes later counts in the next round.
const ROUND_WAIT: Duration = Duration::from_millis(100);

/// How a callback behaved so far.
#[derive(Debug)]
pub(crate) struct Conduct {
    name: String,
    failures: Counter,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    panics: u32,
    /// Rounds that found the running call late.
    late: u32,
    called_at: Option<Duration>,
    disabled: bool,
}

impl Conduct {
    pub(crate) fn new(name: String, failures: Counter) -> Self {
        Self { name, failures, state: Mutex::default() }
    }

    /// Whether it may be called at `now`: not while it runs, and not after its third strike.
    fn begin(&self, now: Duration) -> bool {
        let mut state = self.state.lock();
        if state.disabled {
            return false;
        }
        let Some(called_at) = state.called_at else {
            state.called_at = Some(now);
            return true;
        };
        if now.saturating_sub(called_at) > LATE {
            state.late += 1;
            self.strike(&mut state, "hangs");
        }
        false
    }

    fn ended(&self, panicked: bool) {
        let mut state = self.state.lock();
        state.called_at = None;
        state.late = 0;
        // it hangs no more, and only panics are remembered
        state.disabled = state.panics >= STRIKES_MAX;
        if panicked {
            state.panics += 1;
            self.strike(&mut state, "panicked");
        }
    }

    fn strike(&self, state: &mut State, what: &'static str) {
        self.failures.increment();
        let strike = state.panics + state.late;
        state.disabled = strike >= STRIKES_MAX;
        let (callback, disabled) = (&self.name, state.disabled);
        tracing::warn!(
            callback,
            strike,
            disabled,
            "a callback of the service {what}; after 3 strikes it is not called again"
        );
    }

    /// Calls `callback` on a thread of `pool` if it may be called now, then `finally`. Returns whether it is called.
    /// Without a pool, it is called on this thread.
    pub(crate) fn call(
        self: &Arc<Self>,
        pool: Option<&Handle>,
        now: Duration,
        callback: impl FnOnce() + Send + 'static,
        finally: impl FnOnce() + Send + 'static,
    ) -> bool {
        if !self.begin(now) {
            return false;
        }
        let conduct = Arc::clone(self);
        let work = move || {
            let panicked = catch_unwind(AssertUnwindSafe(callback)).is_err();
            conduct.ended(panicked);
            finally();
        };
        match pool {
            // when the agent stops, callbacks that have not begun are dropped with the pool
            Some(pool) => drop(pool.spawn_blocking(work)),
            None => work(),
        }
        true
    }
}

type Ask = Box<dyn FnMut(&mut Families, Tick) + Send>;

/// Callbacks that add to a snapshot, asked once a round.
#[derive(Default)]
pub(crate) struct Probes(Mutex<Vec<Arc<Probe>>>);

struct Probe {
    conduct: Arc<Conduct>,
    ask: Mutex<Ask>,
    /// What the newest finished call added, until a round takes it.
    added: Mutex<Option<Families>>,
}

/// The calls of one round that have not ended.
#[derive(Debug)]
pub(crate) struct Round {
    left: Mutex<usize>,
    notify: Notify,
}

impl Probes {
    /// Adds a probe; one of the same name is replaced.
    pub(crate) fn add(&self, name: String, failures: Counter, ask: impl FnMut(&mut Families, Tick) + Send + 'static) {
        let mut probes = self.0.lock();
        probes.retain(|probe| probe.conduct.name != name);
        let conduct = Arc::new(Conduct::new(name, failures));
        probes.push(Arc::new(Probe { conduct, ask: Mutex::new(Box::new(ask)), added: Mutex::default() }));
    }

    /// Calls every probe that may be called, on threads of `pool` or on this one.
    pub(crate) fn begin(&self, pool: Option<&Handle>, now: Tick) -> Arc<Round> {
        let probes = self.0.lock().clone();
        let round = Arc::new(Round { left: Mutex::new(probes.len()), notify: Notify::new() });
        for probe in probes {
            let (conduct, finishing) = (Arc::clone(&probe.conduct), Arc::clone(&round));
            let ask = move || {
                let mut added = Families::default();
                (probe.ask.lock())(&mut added, now);
                *probe.added.lock() = Some(added);
            };
            if !conduct.call(pool, now.mono, ask, move || finishing.one_ended()) {
                round.one_ended();
            }
        }
        round
    }

    /// Adds what ended calls found.
    pub(crate) fn take(&self, into: &mut Families) {
        for probe in self.0.lock().iter() {
            if let Some(added) = probe.added.lock().take() {
                into.absorb(added);
            }
        }
    }
}

impl Round {
    fn one_ended(&self) {
        let mut left = self.left.lock();
        *left -= 1;
        if *left == 0 {
            self.notify.notify_one();
        }
    }

    /// Waits until every call has ended, or a little while.
    pub(crate) async fn wait(&self) {
        if *self.left.lock() > 0 {
            let _ = timeout(ROUND_WAIT, self.notify.notified()).await; // who is late is in the next round
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;

    use heartline_shared::UnixMillis;
    use tokio::runtime::{Builder, Runtime};

    use super::*;

    fn pool() -> Runtime {
        Builder::new_current_thread().enable_time().max_blocking_threads(4).build().unwrap()
    }

    /// Waits until all but `hanging` calls have ended.
    fn finish(pool: &Runtime, round: &Round, hanging: usize) {
        while *round.left.lock() > hanging {
            pool.block_on(round.wait());
        }
    }

    fn at(millis: u64) -> Tick {
        Tick { mono: Duration::from_millis(millis), wall: UnixMillis(0) }
    }

    #[test]
    fn a_callback_that_panics_is_counted_and_not_called_after_three_strikes() {
        let (pool, probes, failures) = (pool(), Probes::default(), Counter::default());
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        probes.add("pool main".to_owned(), failures.clone(), move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("broken probe");
        });
        for round in 0..10 {
            finish(&pool, &probes.begin(Some(pool.handle()), at(round * 1_000)), 0);
        }
        assert_eq!((calls.load(Ordering::Relaxed), failures.value()), (3, 3));
    }

    #[test]
    fn a_callback_that_hangs_holds_up_nobody_and_is_not_called_again() {
        let (pool, probes, failures) = (pool(), Probes::default(), Counter::default());
        let (release, held) = mpsc::channel::<()>();
        let calls = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&calls);
        probes.add("hangs".to_owned(), failures.clone(), move |_, _| {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = held.recv();
        });
        probes.add("answers".to_owned(), Counter::default(), |into, _| {
            into.integer("process.thread.count", heartline_shared::Labels::empty(), 1);
        });
        for round in 0..6 {
            let hanging = usize::from(round == 0);
            finish(&pool, &probes.begin(Some(pool.handle()), at(round * 1_000)), hanging);
            let mut families = Families::default();
            probes.take(&mut families);
            assert_eq!(families.sum("process.thread.count"), Some(1.0), "round {round}");
        }
        assert_eq!((calls.load(Ordering::Relaxed), failures.value()), (1, 3));
        drop(release);
    }

    #[test]
    fn a_call_that_hung_through_three_strikes_is_called_again_once_it_returned() {
        let conduct = Conduct::new("database".to_owned(), Counter::default());
        assert!(conduct.begin(Duration::ZERO));
        for seconds in 2..9 {
            assert!(!conduct.begin(Duration::from_secs(seconds)), "it still runs");
        }
        assert_eq!(conduct.failures.value(), 3);
        conduct.ended(false);
        assert!(conduct.begin(Duration::from_secs(10)));
    }

    #[test]
    fn a_slow_call_that_returns_is_no_strike_for_ever() {
        let conduct = Conduct::new("slow".to_owned(), Counter::default());
        for start in [0, 10_000, 20_000, 30_000] {
            assert!(conduct.begin(Duration::from_millis(start)));
            assert!(!conduct.begin(Duration::from_millis(start + 2_000)), "it still runs");
            conduct.ended(false);
        }
        assert_eq!(conduct.failures.value(), 4);
    }
}
