//! One target over time: merges documents, notices restarts and silence, and keeps its reading and charts up to date.

use std::time::Duration;

use heartline_shared::{Snapshot, UnixMillis};

use super::Settings;
use super::chart::{Axis, Chart};
use super::charts::Charts;
use super::figures::{self, Extras, View};
use super::frames::{Frame, Frames, Window};
use super::reading::{Freshness, PollReading, TargetReading};
use super::store::{Continuity, Store};
use crate::source::{Outcome, Past};
use crate::text::Text;

/// How many polls in a row must fail before a target is down.
pub const FAILURES_TO_DOWN: u32 = 3;
/// How many restarts keep their time.
const RESTARTS_MAX: usize = 64;
/// The longest frame of the past whose figures are shown for all of its time; a longer one was a silence.
const FILLED_MAX: Duration = Duration::from_secs(90);
/// How much longer than the silence before it a new process may have been up and still be counted from its start.
const UPTIME_SLACK: Duration = Duration::from_secs(2);

/// What is known of one target.
#[derive(Debug)]
pub struct Target {
    settings: Settings,
    reading: TargetReading,
    store: Store,
    extras: Extras,
    frames: Frames,
    charts: Charts,
    process: Option<Process>,
    generation: Option<u64>,
    answered_at: Option<UnixMillis>,
    restarts: Vec<UnixMillis>,
}

/// Where a document comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A poll: it says nothing of the time since the one before.
    Poll,
    /// A frame of the past: it speaks for all of its span.
    Past,
}

/// The process that wrote the newest document, and how far it was.
#[derive(Debug, Clone, PartialEq)]
struct Process {
    service: String,
    instance_id: String,
    started_at: UnixMillis,
    seq: u64,
    uptime: Duration,
}

impl Process {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            service: snapshot.service.clone(),
            instance_id: snapshot.instance_id.clone(),
            started_at: snapshot.started_at_ms,
            seq: snapshot.seq,
            uptime: Duration::try_from_secs_f64(snapshot.uptime_seconds.max(0.0)).unwrap_or(Duration::ZERO),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        self.started_at == other.started_at && self.instance_id == other.instance_id && self.service == other.service
    }

    /// Whether `self` was written after `earlier` by the same process.
    fn is_later(&self, earlier: &Self) -> bool {
        self.seq > earlier.seq || self.uptime > earlier.uptime
    }
}

impl Target {
    pub(super) fn new(name: Text, settings: Settings, frames_bytes: usize) -> Self {
        Self {
            settings,
            reading: TargetReading { target: name, ..TargetReading::default() },
            store: Store::default(),
            extras: Extras::default(),
            frames: Frames::new(frames_bytes),
            charts: Charts::new(settings),
            process: None,
            generation: None,
            answered_at: None,
            restarts: Vec::new(),
        }
    }

    /// Everything shown of it.
    pub fn reading(&self) -> &TargetReading {
        &self.reading
    }

    /// When restarts were noticed, by our clock, oldest first; the newest 64.
    pub fn restarts(&self) -> &[UnixMillis] {
        &self.restarts
    }

    /// The values of a chart, one for each column of `axis`; `None` is a gap.
    pub fn chart(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
        match chart {
            Chart::RouteRate { .. }
            | Chart::RouteP95 { .. }
            | Chart::QuerySummaryRate { .. }
            | Chart::QuerySummaryP95 { .. } => figures::detail::columns(&self.store, &self.frames, chart, axis),
            _ => self.charts.columns(chart, axis),
        }
    }

    /// Takes the result of a poll in; one that is older than what is known changes nothing.
    pub fn absorb(&mut self, outcome: &Outcome) {
        if self.generation.is_some_and(|newest| outcome.generation <= newest) {
            return;
        }
        self.generation = Some(outcome.generation);
        let at = self.answered_at.map_or(outcome.at, |newest| newest.max(outcome.at));
        match &outcome.answer {
            Ok(answer) => {
                self.reading.poll = PollReading {
                    took: Some(outcome.took),
                    bytes: Some(answer.bytes),
                    failures: 0,
                    series_left_out: answer.series_left_out,
                };
                self.reading.error = None;
                self.merge(&answer.snapshot, at, Kind::Poll);
            }
            Err(failure) => {
                self.reading.poll.failures = self.reading.poll.failures.saturating_add(1);
                self.reading.error = Some(failure.explanation().clone());
            }
        }
        self.tick(at);
    }

    /// Takes in what the target remembers, and then the poll that it was asked for after. Takes a while: half a second for
    /// two hours of a few hundred series.
    pub fn absorb_past(&mut self, past: &Past) {
        for (at, snapshot) in past.documents() {
            self.merge(&snapshot, at, Kind::Past);
        }
        // totals of the past count from where it begins, those of polls from the start of the process
        self.process = None;
        self.absorb(&past.outcome);
    }

    fn merge(&mut self, snapshot: &Snapshot, at: UnixMillis, kind: Kind) {
        let process = Process::of(snapshot);
        let silence = self.answered_at.map_or(Duration::ZERO, |newest| at.since(newest));
        let (continuity, span) = match &self.process {
            None => (Continuity::First, Duration::ZERO),
            Some(before) if process.is_same(before) && !process.is_later(before) => return, // an old answer, sent again
            Some(before) if process.is_same(before) => {
                let counted = process.uptime.checked_sub(before.uptime).filter(|span| !span.is_zero());
                (Continuity::Continued, counted.unwrap_or(silence))
            }
            Some(_) => {
                self.note_restart(at);
                let followed = process.uptime <= silence.saturating_add(UPTIME_SLACK);
                (if followed { Continuity::Restarted } else { Continuity::First }, process.uptime)
            }
        };
        let absorbed = self.store.absorb(snapshot, continuity);
        if !absorbed.comparable {
            self.frames.clear();
        } else if continuity != Continuity::First && !span.is_zero() {
            self.frames.push(Frame { at, span, increases: absorbed.increases.into() });
        }
        self.identify(&process, snapshot);
        self.process = Some(process);
        self.answered_at = Some(at);
        self.extras = Extras::of(snapshot);
        self.compute(&self.frames.window(at, self.settings.window));
        self.record(at, if kind == Kind::Past && continuity == Continuity::Continued { span } else { Duration::ZERO });
    }

    fn note_restart(&mut self, at: UnixMillis) {
        self.reading.restarts = self.reading.restarts.saturating_add(1);
        self.reading.restarted_at = Some(at);
        if self.restarts.len() == RESTARTS_MAX {
            self.restarts.remove(0);
        }
        self.restarts.push(at);
    }

    fn identify(&mut self, process: &Process, snapshot: &Snapshot) {
        self.reading.service = Some(Text::new(&snapshot.service));
        self.reading.instance_id = Some(Text::new(&snapshot.instance_id));
        self.reading.version = snapshot.version.as_deref().map(Text::new);
        self.reading.started_at = Some(process.started_at);
        self.reading.uptime = Some(process.uptime);
    }

    /// Computes the figures: totals and levels as the newest document has them, rates and percentiles over `window`.
    fn compute(&mut self, window: &Window) {
        let view = View { store: &self.store, extras: &self.extras, window };
        figures::compute(&view, &mut self.reading);
    }

    /// Adds the figures to the charts; those of a frame that is longer than the time between polls hold for all of it.
    fn record(&mut self, at: UnixMillis, span: Duration) {
        let step = self.settings.interval.max(Duration::from_secs(1));
        let filled = span.as_secs_f64().min(FILLED_MAX.as_secs_f64()) / step.as_secs_f64() - 0.5;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number of steps")]
        let filled = if span > self.settings.stale_after() { filled as u32 } else { 0 };
        let times: Vec<UnixMillis> = (0..=filled).rev().map(|step_before| at - step * step_before).collect();
        self.charts.push(figures::charted(&self.reading), &times);
    }

    pub(super) fn tick(&mut self, now: UnixMillis) {
        let age = self.answered_at.map(|at| now.since(at));
        let state = match age {
            None => Freshness::Down,
            Some(_) if self.reading.poll.failures >= FAILURES_TO_DOWN => Freshness::Down,
            Some(age) if age > self.settings.stale_after() => Freshness::Stale,
            Some(_) => Freshness::Fresh,
        };
        let fell = state == Freshness::Down && self.reading.state != Freshness::Down;
        self.reading.age = age;
        self.reading.state = state;
        if fell && self.answered_at.is_some() {
            self.compute(&Window::default()); // what was last measured stays, what happens now is unknown
        }
    }
}
