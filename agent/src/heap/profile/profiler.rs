//! When allocations are sampled and how often: decided once a second on the agent's thread, carried out on threads that
//! live for one dump. Whether memory leaks is decided elsewhere.
//!
//! Each sample takes jemalloc microseconds, the more the deeper the stack is, taking and freeing it together. For a second
//! before it begins, the profiler looks how much the program allocates, and takes the shortest distance between samples,
//! in powers of two from 256 KiB on, that keeps them below [`SAMPLES_PER_SECOND_MAX`]. When the program comes to allocate so
//! much more that they are twice as many, the profile begins anew with a longer distance.
//!
//! Now and then it pauses for a while, to see how much of what was sampled is still there: the `survival` of a site.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use heartline_shared::snapshot::{HeapSites, Sampling};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::allocator;
use super::desk::{Desk, remarks};
use super::growth::{Growth, Totals};
use super::taken::Taken;
use crate::clock::Tick;

/// A sample takes six microseconds where the stack is shallow, and twenty in the reference service, whose futures lie deep in each
/// other (the bench `heap`, with `--shop`): less than a percent of a core.
const SAMPLES_PER_SECOND_MAX: f64 = 400.0;
/// The distances between samples, as powers of two: 256 KiB to 64 MiB.
const LG_SAMPLE: std::ops::RangeInclusive<usize> = 18..=26;
/// Dumps are this far apart.
const DUMP_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_secs(2)..=Duration::from_secs(10);
/// And at most this share of the time is spent on them, one to this.
const DUMP_SHARE: u32 = 200;
/// After this many dumps it pauses, and for a fourth of the time that it sampled.
const DUMPS_BEFORE_PAUSE: u32 = 16;
const PAUSE_SHARE: u32 = 4;
/// It goes on for this many dumps after nobody watches any more.
const DUMPS_AFTER: u32 = 12;
/// Profiles that are asked for are this far apart.
const TAKEN_EVERY: Duration = Duration::from_secs(2);

/// What the agent knows when it asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// On the agent's clock.
    pub(crate) now: Duration,
    /// Whether growth is watched or suspected.
    pub(crate) watching: bool,
    /// Bytes allocated.
    pub(crate) allocated: f64,
    /// Bytes of registered caches.
    pub(crate) cached: f64,
}

/// The profiler of this process; clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Profiler(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    availability: OnceLock<Result<(), &'static str>>,
    every: Duration,
    plan: Mutex<Plan>,
    desk: Mutex<Desk>,
    report: Mutex<Arc<HeapSites>>,
    /// A dump is being read.
    busy: AtomicBool,
    /// Somebody asked for a profile and has not got it.
    taking: AtomicBool,
}

/// What was decided.
#[derive(Debug, Default)]
struct Plan {
    phase: Phase,
    /// Sampling was switched on here, and not by the service itself.
    ours: bool,
    lg_sample_bytes: usize,
    /// When the bytes ever allocated were last read, and what they were.
    read: Option<(Duration, f64)>,
    asked_until: Duration,
    wanted_until: Duration,
    seen_at: Duration,
    dump_due: Duration,
    /// How long it sampled, in all and since the last pause.
    sampled: Duration,
    unpaused: Duration,
    allocated: f64,
    cached: f64,
    totals: Totals,
    taken_at: Option<Duration>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Off,
    /// Looking how much is allocated.
    Measuring {
        since: Duration,
        allocated: Option<f64>,
    },
    Sampling,
    Paused {
        until: Duration,
    },
}

/// What a dump is for.
#[derive(Debug, Clone, Copy)]
enum Errand {
    Point {
        at: f64,
        totals: Totals,
    },
    /// A point, and then nothing new is sampled.
    Pause {
        at: f64,
        totals: Totals,
    },
    Resume,
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
            desk: Mutex::default(),
            report: Mutex::default(),
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
        let mut plan = self.0.plan.lock();
        plan.asked_until = plan.asked_until.max(now.saturating_add(span));
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
        let errand = {
            let mut plan = self.0.plan.lock();
            plan.pass(&moment);
            busy.as_ref().and_then(|_| self.0.decide(&mut plan, &moment))
        };
        if let (Some(errand), Some(busy)) = (errand, busy) {
            let run = move || busy.0.run(errand);
            // without a thread now, the next second tries again
            let _ = std::thread::Builder::new().name("heartline-heap".to_owned()).spawn(run);
        }
        let report = Arc::clone(&self.0.report.lock());
        let active = matches!(self.0.plan.lock().phase, Phase::Sampling | Phase::Paused { .. });
        let sampling = if active { Sampling::Active } else { Sampling::Off };
        if report.sampling == sampling { report } else { Arc::new(HeapSites { sampling, ..HeapSites::clone(&report) }) }
    }

    /// A profile: what was allocated within `span` from now on and is then still there, or, without one, since sampling
    /// began.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn take(&self, span: Option<Duration>) -> Result<Taken, Refusal> {
        self.availability().map_err(Refusal::Unavailable)?;
        if self.0.taking.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            return Err(Refusal::Running);
        }
        let _taking = Taking(Arc::clone(&self.0));
        self.0.admit(Tick::now().mono, span)?;
        let before = match span {
            None => Taken::default(),
            Some(span) => {
                let before = self.aside(|_| Taken::read()).await?;
                tokio::time::sleep(span).await;
                before
            }
        };
        let mut taken = self.aside(Inner::dump).await?;
        taken.subtract(before);
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

impl Inner {
    /// What is to be done now, if anything.
    fn decide(&self, plan: &mut Plan, moment: &Moment) -> Option<Errand> {
        let Moment { now, watching, .. } = *moment;
        let asked = now < plan.asked_until || self.taking.load(Ordering::Relaxed);
        if watching {
            plan.wanted_until = now + self.every * DUMPS_AFTER;
        }
        let wanted = asked || now < plan.wanted_until;
        match plan.phase {
            Phase::Off if wanted => {
                plan.phase = Phase::Measuring { since: now, allocated: allocator::ever_allocated() };
            }
            Phase::Measuring { since, allocated: before } if now > since => {
                let allocated = before.and_then(|before| Some(allocator::ever_allocated()? - before));
                let rate = allocated.unwrap_or(0.0) / now.saturating_sub(since).as_secs_f64();
                self.try_to_begin(plan, lg_sample(rate));
            }
            Phase::Sampling | Phase::Paused { .. } if !wanted => plan.end(),
            Phase::Sampling if now >= plan.dump_due => {
                if let Some(longer) = plan.longer_distance(now, allocator::ever_allocated()) {
                    plan.end();
                    self.try_to_begin(plan, longer);
                    return None;
                }
                let took = self.desk.try_lock().map(|desk| desk.took).unwrap_or_default();
                plan.dump_due = now + self.every.max(took * DUMP_SHARE);
                let (at, totals) = (plan.sampled.as_secs_f64(), plan.totals);
                let span = (self.every * DUMPS_BEFORE_PAUSE).max(plan.sampled / PAUSE_SHARE);
                let pause = plan.ours && plan.unpaused >= span && !self.taking.load(Ordering::Relaxed);
                if !pause {
                    return Some(Errand::Point { at, totals });
                }
                plan.phase = Phase::Paused { until: now + plan.unpaused / PAUSE_SHARE };
                return Some(Errand::Pause { at, totals });
            }
            Phase::Paused { until } if now >= until => {
                plan.resume();
                return Some(Errand::Resume);
            }
            _ => {}
        }
        None
    }

    fn try_to_begin(&self, plan: &mut Plan, lg_sample_bytes: usize) {
        if let Err(why) = self.begin(plan, lg_sample_bytes) {
            tracing::warn!(target: "heartline", "{why}");
        }
    }

    /// Begins a new profile, or joins that of the service's own.
    fn begin(&self, plan: &mut Plan, lg_sample_bytes: usize) -> Result<(), String> {
        plan.ours = !allocator::is_active();
        if plan.ours {
            plan.phase = Phase::Off;
            allocator::reset(lg_sample_bytes)?;
            allocator::set_active(true)?;
        }
        plan.phase = Phase::Sampling;
        (plan.sampled, plan.unpaused, plan.totals, plan.read) = Default::default();
        plan.lg_sample_bytes = lg_sample_bytes;
        plan.dump_due = Duration::ZERO;
        self.desk.lock().growth = Growth::default();
        *self.report.lock() = Arc::default();
        Ok(())
    }

    /// Makes sure that there is something to take.
    fn admit(&self, now: Duration, span: Option<Duration>) -> Result<(), Refusal> {
        let mut plan = self.plan.lock();
        let since = plan.taken_at.map_or(TAKEN_EVERY, |at| now.saturating_sub(at));
        if since < TAKEN_EVERY {
            return Err(Refusal::TooOften(TAKEN_EVERY.saturating_sub(since)));
        }
        match (plan.phase, span) {
            (Phase::Off | Phase::Measuring { .. }, None) if !allocator::is_active() => return Err(Refusal::Off),
            (Phase::Off | Phase::Measuring { .. }, Some(_)) => {
                self.begin(&mut plan, *LG_SAMPLE.start() + 1).map_err(Refusal::Failed)?;
            }
            (Phase::Paused { .. }, Some(_)) => {
                plan.resume();
                allocator::set_active(true).map_err(Refusal::Failed)?;
            }
            _ => {}
        }
        plan.taken_at = Some(now);
        Ok(())
    }

    fn run(&self, errand: Errand) {
        allocator::exclude_this_thread();
        if let Err(why) = self.carry_out(errand) {
            tracing::warn!(target: "heartline", "{why}");
        }
    }

    /// Takes a dump, adds it to the history and writes the report.
    fn carry_out(&self, errand: Errand) -> Result<(), String> {
        let began = Tick::now().mono;
        let stacks = Taken::read();
        // also when there is no dump
        match errand {
            Errand::Pause { .. } if matches!(self.plan.lock().phase, Phase::Paused { .. }) => {
                allocator::set_active(false)?;
            }
            Errand::Resume if self.plan.lock().ours => allocator::set_active(true)?,
            _ => {}
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
        let mut report = HeapSites { sampling: Sampling::Active, ..desk.growth.read(stacks.sample_bytes) };
        report.notes.extend(remarks(desk.symbols.detail(), &stacks, unnamed));
        desk.took = Tick::now().mono.saturating_sub(began);
        drop(desk);
        *self.report.lock() = Arc::new(report);
        Ok(())
    }

    /// A dump of now with all its frames.
    fn dump(&self) -> Result<Taken, String> {
        let mut taken = Taken::read()?;
        taken.name(&mut self.desk.lock().symbols);
        Ok(taken)
    }
}

impl Plan {
    /// Time and growth since the last second count where allocations were sampled.
    fn pass(&mut self, moment: &Moment) {
        let Moment { now, allocated, cached, .. } = *moment;
        let now = now.max(self.seen_at);
        if self.phase == Phase::Sampling {
            let passed = now.saturating_sub(self.seen_at);
            self.sampled += passed;
            self.unpaused += passed;
            self.totals.allocated += allocated - self.allocated;
            self.totals.cached += cached - self.cached;
        }
        (self.seen_at, self.allocated, self.cached) = (now, allocated, cached);
    }

    /// The distance between samples that is cheap enough, when since the last dump they came twice as often as they may.
    /// `allocated` are the bytes ever allocated.
    fn longer_distance(&mut self, now: Duration, allocated: Option<f64>) -> Option<usize> {
        let allocated = allocated?;
        let (since, before) = self.read.replace((now, allocated))?;
        let passed = now.checked_sub(since).filter(|passed| !passed.is_zero())?;
        let cheap = lg_sample((allocated - before) / passed.as_secs_f64());
        (self.ours && cheap > self.lg_sample_bytes + 1).then_some(cheap)
    }

    fn end(&mut self) {
        self.phase = Phase::Off;
        if std::mem::take(&mut self.ours) {
            let _ = allocator::set_active(false); // tried again at the next end
        }
    }

    fn resume(&mut self) {
        self.phase = Phase::Sampling;
        self.read = None;
        self.unpaused = Duration::ZERO;
        self.dump_due = Duration::ZERO;
    }
}

/// The shortest distance between samples that is cheap enough for a program that allocates this much a second.
fn lg_sample(bytes_per_second: f64) -> usize {
    let cheap = |lg: &usize| bytes_per_second / (1_u64 << *lg) as f64 <= SAMPLES_PER_SECOND_MAX;
    LG_SAMPLE.clone().find(cheap).unwrap_or(*LG_SAMPLE.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_allocates_more_is_sampled_less_often() {
        let distances = [0.0, 1e6, 2e8, 1e9, 1e13].map(lg_sample);
        assert_eq!(distances, [18, 18, 19, 22, 26]);
    }

    #[test]
    fn a_program_that_comes_to_allocate_much_more_is_sampled_less_often_from_then_on() {
        const RATE_MAX: f64 = SAMPLES_PER_SECOND_MAX * 262_144.0;
        let mut plan = Plan { ours: true, lg_sample_bytes: 18, ..Plan::default() };
        let mut after = |seconds, allocated| plan.longer_distance(Duration::from_secs(seconds), Some(allocated));
        assert_eq!(after(10, 0.0), None, "nothing to compare with");
        assert_eq!(after(20, 19.0 * RATE_MAX), None, "less than twice as often");
        assert_eq!(after(30, 60.0 * RATE_MAX), Some(21));
        assert_eq!(after(30, 99.0 * RATE_MAX), None, "no time passed");
        plan.ours = false;
        assert_eq!(plan.longer_distance(Duration::from_secs(31), Some(900.0 * RATE_MAX)), None, "the service's own");
    }

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
