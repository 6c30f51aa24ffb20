//! Polls every target in its own task and hands over the newest outcome of each. What the documents mean is not known
//! here.
//!
//! The hand-over holds one outcome for each target: a reader that is slow sees fewer of them, never old ones, and a target
//! that is slow delays nobody but itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, JoinSet};

use super::http::{self, Link, Room};
use super::known::Known;
use super::{Outcome, Past, Target, Tokens, Traces};
use crate::clock::Clock;

/// After this many failures in a row polls become rarer.
const PATIENT_FAILURES: u32 = 3;
/// The longest pause between polls of a target that fails, unless the interval is longer.
pub const BACK_OFF_MAX: Duration = Duration::from_secs(10);
/// A document is followed by a pause of a second for each of these bytes, so that huge ones do not keep us busy.
const BYTES_PER_SECOND: f64 = 4e6;
/// The time from one answer about a target's requests to the next question.
const TRACES_PAUSE: Duration = Duration::from_secs(2);
/// What the series of all targets together may take, in bytes.
const SERIES_BYTES_MAX: usize = 64 << 20;

/// How targets are polled.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// The time from one poll to the next.
    pub interval: Duration,
    /// Whether each target is asked once for what it remembers.
    pub past: bool,
}

/// The newest outcomes of all targets. Dropping it ends the polling.
#[derive(Debug)]
pub struct Feed {
    mailbox: Arc<Mailbox>,
    links: Vec<Link>,
    clock: Clock,
    /// The target whose requests are asked for.
    attended: Option<(usize, AbortHandle)>,
    polls: JoinSet<()>,
}

#[derive(Debug)]
struct Mailbox {
    places: Mutex<Vec<Option<Outcome>>>,
    pasts: Mutex<Vec<Past>>,
    traces: Mutex<Option<Traces>>,
    filled: Notify,
}

impl Mailbox {
    fn put(&self, outcome: Outcome) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(outcome.target) {
            *place = Some(outcome);
        }
        drop(places);
        self.filled.notify_one();
    }

    fn take(&self) -> Vec<Outcome> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.iter_mut().filter_map(Option::take).collect()
    }

    fn traces(&self) -> MutexGuard<'_, Option<Traces>> {
        self.traces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Feed {
    /// Begins to poll `targets` at this pace, within a tokio runtime. The targets' places in the list become
    /// [`Outcome::target`].
    ///
    /// # Errors
    /// When no HTTP client can be made, because the system's TLS settings cannot be read.
    pub fn start(targets: &[Target], tokens: &Tokens, pace: Pace, clock: Clock) -> anyhow::Result<Self> {
        let client = http::client().context("preparing to poll targets: reading the system's TLS settings")?;
        let places = Mutex::new(targets.iter().map(|_| None).collect());
        let mailbox =
            Arc::new(Mailbox { places, pasts: Mutex::default(), traces: Mutex::default(), filled: Notify::new() });
        let room = Arc::new(Room::default());
        let series_bytes_max = (SERIES_BYTES_MAX / targets.len().max(1)).clamp(512 << 10, http::DOCUMENT_BYTES_MAX);
        let (mut polls, mut links) = (JoinSet::new(), Vec::with_capacity(targets.len()));
        for (place, target) in targets.iter().enumerate() {
            let link = Link {
                client: client.clone(),
                url: target.url().clone(),
                token: tokens.of(target).cloned(),
                room: Arc::clone(&room),
                series_bytes_max,
            };
            links.push(link.clone());
            let Pace { interval, past } = pace;
            let seam = Arc::new(Seam::new(past));
            if past {
                polls.spawn(ask_for_past(link.clone(), Arc::clone(&seam), Arc::clone(&mailbox)));
            }
            let schedule = Schedule { target: place, interval, seam, failures: 0, generation: 0 };
            polls.spawn(poll_for_ever(link, schedule, Arc::clone(&mailbox), clock));
        }
        Ok(Self { mailbox, links, clock, attended: None, polls })
    }

    /// Asks this target, and no other one, again and again for its requests; none asks nobody any more.
    pub fn attend(&mut self, target: Option<usize>) {
        if self.attended.as_ref().map(|(place, _)| *place) == target {
            return;
        }
        if let Some((_, asking)) = self.attended.take() {
            asking.abort();
        }
        while self.polls.try_join_next().is_some() {} // what was aborted before
        *self.mailbox.traces() = None;
        let Some((place, link)) = target.and_then(|place| Some((place, self.links.get(place)?.clone()))) else {
            return;
        };
        let asking = self.polls.spawn(ask_for_traces(link, place, Arc::clone(&self.mailbox), self.clock));
        self.attended = Some((place, asking));
    }

    /// What the attended target told of its requests, if that is new.
    pub fn take_traces(&mut self) -> Option<Traces> {
        self.mailbox.traces().take()
    }

    /// Waits until there are outcomes, and takes the newest one of each target that has one; there is none where the
    /// attended target told of its requests meanwhile. Nothing is lost when the future is dropped before it is ready.
    pub async fn next(&mut self) -> Vec<Outcome> {
        loop {
            let outcomes = self.mailbox.take();
            if !outcomes.is_empty() || self.mailbox.traces().is_some() {
                return outcomes;
            }
            self.mailbox.filled.notified().await;
        }
    }

    /// What targets remember, as far as it has arrived since the last call; at most once for each target.
    pub fn take_pasts(&mut self) -> Vec<Past> {
        std::mem::take(&mut self.mailbox.pasts.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The newest outcome of each target that has one, without waiting.
    pub fn take(&mut self) -> Vec<Outcome> {
        self.mailbox.take()
    }
}

/// When one target is polled.
#[derive(Debug)]
struct Schedule {
    target: usize,
    interval: Duration,
    seam: Arc<Seam>,
    failures: u32,
    generation: u64,
}

impl Schedule {
    /// How long to wait after a poll that took `took` and gave `bytes`, the outcome of which is already noted.
    fn pause(&self, took: Duration, bytes: u64) -> Duration {
        let busy = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let steps = self.failures.saturating_sub(PATIENT_FAILURES).min(16);
        let backed_off = self.interval.saturating_mul(1 << steps).min(BACK_OFF_MAX.max(self.interval));
        let pause = backed_off.saturating_sub(took).max(busy);
        if steps == 0 && self.generation > 1 { pause } else { pause.mul_f64(0.75 + 0.5 * self.chance()) }
    }

    /// A number from 0 to 1 that differs between targets and polls, so that they spread.
    fn chance(&self) -> f64 {
        let mut bits = (self.target as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.generation;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits >> 40) as f64 / f64::from(1_u32 << 24)
    }
}

async fn poll_for_ever(link: Link, mut schedule: Schedule, mailbox: Arc<Mailbox>, clock: Clock) {
    let mut known = Known::default();
    loop {
        let started = clock.now();
        let proven = schedule.failures == 0 && schedule.generation > 0;
        let answer = link.poll(proven, &mut known).await;
        let at = clock.now();
        let took = at.since(started);
        schedule.generation += 1;
        schedule.failures = if answer.is_ok() { 0 } else { schedule.failures.saturating_add(1) };
        let bytes = answer.as_ref().map_or(0, |answer| answer.bytes);
        let outcome = Outcome { target: schedule.target, generation: schedule.generation, at, took, answer };
        schedule.seam.note(&outcome);
        mailbox.put(outcome);
        tokio::time::sleep(schedule.pause(took, bytes)).await;
    }
}

/// Where what a target remembers meets what is polled: outcomes that neither may miss, however long the past has to wait
/// for its turn and takes to arrive.
#[derive(Debug)]
struct Seam {
    outcomes: Mutex<Option<Outcomes>>,
    answered: Notify,
}

/// Before the past is asked for only the newest good outcome; from then on all.
#[derive(Debug, Default)]
struct Outcomes {
    is_asked: bool,
    noted: Vec<Outcome>,
}

impl Seam {
    fn new(is_wanted: bool) -> Self {
        Self { outcomes: Mutex::new(is_wanted.then(Outcomes::default)), answered: Notify::new() }
    }

    fn outcomes(&self) -> MutexGuard<'_, Option<Outcomes>> {
        self.outcomes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, outcome: &Outcome) {
        let mut outcomes = self.outcomes();
        let Some(Outcomes { is_asked, noted }) = outcomes.as_mut() else { return };
        if *is_asked {
            noted.push(outcome.clone());
        } else if outcome.answer.is_ok() {
            *noted = vec![outcome.clone()];
            self.answered.notify_one();
        }
    }

    /// The outcome that the past goes up to; outcomes after it are kept from now on.
    fn begin(&self) -> Option<Outcome> {
        let mut outcomes = self.outcomes();
        let Outcomes { is_asked, noted } = outcomes.as_mut()?;
        *is_asked = true;
        noted.pop()
    }

    /// The outcomes since then; none is kept any more.
    fn end(&self) -> Vec<Outcome> {
        self.outcomes().take().map(|outcomes| outcomes.noted).unwrap_or_default()
    }
}

/// Asks a target for what it remembers once it has answered, and puts that into the mailbox.
async fn ask_for_past(link: Link, seam: Arc<Seam>, mailbox: Arc<Mailbox>) {
    seam.answered.notified().await;
    let Some(turn) = link.turn_for_past().await else { return };
    let Some(outcome) = seam.begin() else { return };
    let past = link.past(outcome, turn).await;
    // whoever takes pasts before it takes an outcome waits here, so that it misses none between the two lines
    let mut pasts = mailbox.pasts.lock().unwrap_or_else(PoisonError::into_inner);
    let since = seam.end();
    pasts.extend(past.map(|past| Past { since, ..past }));
}

/// Asks a target for its requests, until it is no longer attended.
async fn ask_for_traces(link: Link, target: usize, mailbox: Arc<Mailbox>, clock: Clock) {
    loop {
        let answer = link.traces(clock).await;
        let bytes = answer.as_ref().map_or(0, |(_, bytes)| *bytes);
        *mailbox.traces() = Some(Traces::new(target, answer.map(|(told, _)| told)));
        mailbox.filled.notify_one();
        tokio::time::sleep(TRACES_PAUSE.max(Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND))).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(failures: u32) -> Schedule {
        Schedule {
            target: 3,
            interval: Duration::from_secs(1),
            seam: Arc::new(Seam::new(false)),
            failures,
            generation: 9,
        }
    }

    #[test]
    fn a_healthy_target_is_polled_at_the_interval() {
        assert_eq!(schedule(0).pause(Duration::from_millis(30), 1_000), Duration::from_millis(970));
        assert_eq!(schedule(0).pause(Duration::from_secs(4), 1_000), Duration::from_micros(250));
    }

    #[test]
    fn a_target_that_fails_is_polled_less_often_up_to_a_limit() {
        let pause = |failures| schedule(failures).pause(Duration::ZERO, 0);
        assert_eq!(pause(3), Duration::from_secs(1));
        assert!(pause(5) > Duration::from_secs(2) && pause(5) < Duration::from_secs(6));
        assert!(pause(u32::MAX) <= BACK_OFF_MAX.mul_f64(1.25));
    }

    #[test]
    fn huge_documents_are_read_less_often() {
        assert!(schedule(0).pause(Duration::ZERO, 8 << 20) > Duration::from_secs(2));
    }

    #[test]
    fn targets_spread_after_their_first_poll() {
        let second = |target| Schedule { target, generation: 1, ..schedule(0) }.pause(Duration::ZERO, 0);
        let mut pauses: Vec<Duration> = (0..50).map(second).collect();
        pauses.sort_unstable();
        assert!(pauses[49] > pauses[0] + Duration::from_millis(300), "{pauses:?}");
    }
}
