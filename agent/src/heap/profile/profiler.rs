//! Samples allocations as was planned: switches sampling, and has dumps taken and read on threads that live for one of
//! them. When and how often is decided by [`Plan`], whether memory leaks elsewhere.
//!
//! Each sample takes jemalloc microseconds, the more the deeper the stack is, taking and freeing it together. Now and then
//! sampling pauses for a while, to see how much of what was sampled is still there: the `survival` of a site.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use heartline_shared::snapshot::{HeapSites, Sampling};
use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::allocator;
use super::desk::{Account, Desk, remarks};
use super::growth::Growth;
use super::plan::{Before, Denial, Errand, Known, Moment, Plan, Step};
use super::taken::Taken;
use crate::clock::Tick;

/// Dumps are this far apart.
const DUMP_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(10);
/// Sampling begins in two seconds, unless nobody ticks.
const BEGIN_WAIT: Duration = Duration::from_secs(15);

/// The profiler of this process; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Profiler(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    availability: OnceLock<Result<(), &'static str>>,
    every: Duration,
    plan: Mutex<Plan>,
    /// Sampling has begun, or could not.
    begun: Notify,
    desk: Mutex<Desk>,
    account: Mutex<Account>,
    /// A dump is being read.
    busy: AtomicBool,
    /// Somebody asked for a profile and has not got it.
    taking: AtomicBool,
}

/// Why there is no profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It cannot be.
    Unavailable(&'static str),
    /// Nothing is sampled.
    Off,
    /// Another is being taken.
    Running,
    TooOften(Duration),
    Failed(String),
}

/// Says that nobody waits for a profile any more, also when they went away.
struct Taking(Arc<Inner>);

impl Drop for Taking {
    fn drop(&mut self) {
        self.0.taking.store(false, Ordering::Release);
    }
}

/// Says that the dump was read, also when that panicked.
struct Busy(Arc<Inner>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

impl Profiler {
    /// A profiler that takes a dump about 200 times in `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        let every = (patience / 192).clamp(*DUMP_EVERY.start(), *DUMP_EVERY.end());
        Self(Arc::new(Inner {
            availability: OnceLock::new(),
            every,
            plan: Mutex::default(),
            begun: Notify::new(),
            desk: Mutex::default(),
            account: Mutex::default(),
            busy: AtomicBool::new(false),
            taking: AtomicBool::new(false),
        }))
    }

    /// Samples for this long from now on, also when nothing is watched.
    ///
    /// # Errors
    /// Why it cannot.
    pub(crate) fn ask(&self, now: Duration, span: Duration) -> Result<(), &'static str> {
        self.availability()?;
        self.0.plan.lock().ask(now.saturating_add(span));
        Ok(())
    }

    /// Begins, goes on, pauses or ends, and says what is known. Called about once a second on one thread.
    pub(crate) fn tick(&self, moment: Moment) -> Arc<HeapSites> {
        if let Err(why) = self.availability() {
            let notes = vec![why.to_owned()];
            return Arc::new(HeapSites { sampling: Sampling::Unavailable, notes, ..HeapSites::default() });
        }
        let free = self.0.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok();
        let busy = free.then(|| Busy(Arc::clone(&self.0)));
        let active = {
            let mut plan = self.0.plan.lock();
            plan.pass(&moment);
            if let Some(busy) = busy {
                self.go_on(&mut plan, &moment, busy);
            }
            plan.is_active()
        };
        self.0.account.lock().told(active)
    }

    /// Does what is to be done now; a dump on a thread of its own.
    fn go_on(&self, plan: &mut Plan, moment: &Moment, busy: Busy) {
        let known = Known {
            every: self.0.every,
            took: self.0.desk.try_lock().map(|desk| desk.took).unwrap_or_default(),
            taking: self.0.taking.load(Ordering::Relaxed),
            active: allocator::is_active(),
            ever_allocated: &allocator::ever_allocated,
        };
        match plan.decide(moment, &known) {
            Some(Step::Begin(lg_sample_bytes)) => self.0.begin(plan, lg_sample_bytes),
            Some(Step::End) => end(plan),
            Some(Step::Dump(errand)) => {
                let run = move || busy.0.run(errand);
                let begun = std::thread::Builder::new().name("heartline-heap".to_owned()).spawn(run);
                if begun.is_err() {
                    end(plan); // without a thread; the next seconds begin anew
                }
            }
            None => {}
        }
    }

    /// Ends what this profiler began; what the service samples itself goes on. The next [`tick`](Self::tick), if there is
    /// one, may begin anew.
    pub(crate) fn end(&self) {
        end(&mut self.0.plan.lock());
    }

    /// A profile: what was allocated within `span` from now on and is then still there, or, without one, since sampling
    /// began. When nothing was sampled, `span` begins some two seconds later: it is seen first how much is allocated.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn take(&self, span: Option<Duration>) -> Result<Taken, Refusal> {
        self.availability().map_err(Refusal::Unavailable)?;
        if self.0.taking.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(Refusal::Running);
        }
        let _taking = Taking(Arc::clone(&self.0));
        if self.0.admit(Tick::now().mono, span.is_some())? == Before::Begin {
            self.0.begun().await?;
        }
        let before = match span {
            None => None,
            Some(span) => {
                let before = self.aside(|_| Taken::read()).await?;
                tokio::time::sleep(span).await;
                Some(before)
            }
        };
        let mut taken = self.aside(|inner| inner.dump(before)).await?;
        taken.span = span;
        Ok(taken)
    }

    fn availability(&self) -> Result<(), &'static str> {
        *self.0.availability.get_or_init(allocator::availability)
    }

    /// Runs `work` on a thread of its own.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, String> + Send + 'static,
    ) -> Result<T, Refusal> {
        let (done, ended) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        let run = move || {
            allocator::exclude_this_thread();
            let _ = done.send(work(&inner)); // whoever asked may have gone
        };
        let failed = |error: std::io::Error| Refusal::Failed(format!("no thread to take a heap profile on: {error}"));
        std::thread::Builder::new().name("heartline-heap".to_owned()).spawn(run).map_err(failed)?;
        let ended = ended.await.map_err(|_| Refusal::Failed("taking the heap profile ended early".to_owned()))?;
        ended.map_err(Refusal::Failed)
    }
}

/// Ends the profile that there is, if any.
fn end(plan: &mut Plan) {
    if plan.end()
        && let Err(why) = allocator::set_active(false)
    {
        tracing::warn!(target: "heartline", "{why}");
    }
}

impl Inner {
    /// Begins a new profile, or joins that of the service's own.
    fn begin(&self, plan: &mut Plan, lg_sample_bytes: usize) {
        end(plan);
        let ours = !allocator::is_active();
        let begun =
            if ours { allocator::reset(lg_sample_bytes).and_then(|()| allocator::set_active(true)) } else { Ok(()) };
        match begun {
            Ok(()) => {
                plan.begin(lg_sample_bytes, ours);
                self.desk.lock().growth = Growth::default();
                *self.account.lock() = Account::default();
            }
            Err(why) => {
                tracing::warn!(target: "heartline", "{why}");
                plan.fail(why);
            }
        }
        self.begun.notify_waiters();
    }

    /// Waits until allocations are sampled.
    async fn begun(&self) -> Result<(), Refusal> {
        let begun = async {
            loop {
                // hears of what happens from here on
                let changed = self.begun.notified();
                let begun = self.plan.lock().begun();
                if let Some(begun) = begun {
                    return begun.map_err(Refusal::Failed);
                }
                changed.await;
            }
        };
        let late = || Refusal::Failed(format!("allocations are still not sampled after {BEGIN_WAIT:?}"));
        tokio::time::timeout(BEGIN_WAIT, begun).await.unwrap_or_else(|_elapsed| Err(late()))
    }

    /// Lets a profile be taken, with or without a span of its own.
    fn admit(&self, now: Duration, span: bool) -> Result<Before, Refusal> {
        let mut plan = self.plan.lock();
        let before = plan.admit(now, span, allocator::is_active()).map_err(|denial| match denial {
            Denial::Off => Refusal::Off,
            Denial::TooOften(wait) => Refusal::TooOften(wait),
        })?;
        if before == Before::Resume && plan.resumes() {
            allocator::set_active(true).map_err(Refusal::Failed)?;
        }
        Ok(before)
    }

    fn run(&self, errand: Errand) {
        allocator::exclude_this_thread();
        if let Err(why) = self.carry_out(errand) {
            tracing::warn!(target: "heartline", "{why}");
        }
    }

    /// Takes a dump, adds it to the history and writes the account.
    fn carry_out(&self, errand: Errand) -> Result<(), String> {
        let began = Tick::now().mono;
        let stacks = Taken::read();
        // also when there is no dump; what was decided may be undone by now
        {
            let mut plan = self.plan.lock();
            match errand {
                Errand::Pause { .. } if plan.pauses() => allocator::set_active(false)?,
                Errand::Resume if plan.resumes() => allocator::set_active(true)?,
                _ => {}
            }
        }
        let stacks = stacks?.stacks;
        let mut desk = self.desk.lock();
        let (sites, unnamed) = desk.fold(&stacks);
        match errand {
            Errand::Point { at, totals } => desk.growth.take(at, totals, &sites),
            Errand::Pause { at, totals } => {
                desk.growth.take(at, totals, &sites);
                desk.growth.hold();
            }
            Errand::Resume => desk.growth.release(&sites, stacks.sample_bytes),
        }
        desk.symbols.unmap();
        let account =
            Account::of(desk.growth.read(stacks.sample_bytes), remarks(desk.symbols.detail(), &stacks, unnamed));
        desk.took = Tick::now().mono.saturating_sub(began);
        drop(desk);
        *self.account.lock() = account;
        Ok(())
    }

    /// A dump of now, or what is more and less in it than `before`, with all its frames.
    fn dump(&self, before: Option<Taken>) -> Result<Taken, String> {
        let taken = Taken::read()?;
        let symbols = &mut self.desk.lock().symbols;
        match before {
            None => Ok(taken.named(symbols)),
            Some(before) if before.stacks.sample_bytes.to_bits() != taken.stacks.sample_bytes.to_bits() => Err(
                "the distance between samples was changed by somebody else while the heap profile was taken; ask again"
                    .to_owned(),
            ),
            Some(before) => Ok(taken.less(before, symbols)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_the_allocator_it_says_what_to_do() {
        // this test program installs none
        let profiler = Profiler::new(Duration::from_secs(45));
        let moment = Moment { now: Duration::from_secs(9), watching: true, allocated: 0.0, cached: 0.0 };
        let report = profiler.tick(moment);
        assert_eq!(report.sampling, Sampling::Unavailable);
        assert!(report.notes[0].contains("heartline::jemalloc!()"), "{:?}", report.notes);
        assert!(profiler.ask(Duration::ZERO, Duration::from_secs(1)).is_err());
    }
}
