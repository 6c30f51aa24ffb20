//! The loop that pushes: waits, reads, sends, and says what became of it. Keeps one request at most, and a newer reading
//! takes its place.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use heartline_shared::Snapshot;
use prost::bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use super::asking::{Along, Asked};
use super::client::Client;
use super::complaints::Complaints;
use super::figures::Figures;
use super::grpc;
use super::mapping::Mapping;
use super::outcome::{Failure, Outcome};
use super::schedule::Schedule;
use crate::clock::Tick;
use crate::config::Export;
use crate::error::Error;
use crate::snapshot::Exemplified;

/// How long metrics of two go in requests of their own after one request of both was not taken whole: nobody could say whose
/// points those were.
const APART: Duration = Duration::from_hours(1);

/// Pushes metrics until it is told to stop.
pub(crate) struct Exporter<R> {
    read: R,
    client: Client,
    mapping: Mapping,
    schedule: Schedule,
    figures: Figures,
    pending: Option<Pending>,
    complaints: Complaints,
    asked: mpsc::Receiver<Asked>,
    /// Until when what comes along goes in a request of its own.
    apart: Duration,
}

/// A request that was not delivered yet.
#[derive(Debug)]
struct Pending {
    body: Bytes,
    /// Points of the agent in it.
    points: u64,
    /// Points that come along.
    along: u64,
    /// When its snapshot was made.
    read: Duration,
}

impl Pending {
    /// Both in one request: OTLP's lists are concatenated by concatenating their messages.
    fn with(self, along: &Along) -> Self {
        let body = [&*along.body, &*self.body].concat().into();
        Self { body, along: along.points, ..self }
    }
}

impl<R: Fn(Tick) -> (Snapshot, Exemplified)> Exporter<R> {
    /// Pushes what `read` gives, as `export` says, and when it is `asked` to.
    ///
    /// # Errors
    /// [`Error::Setting`] says which certificates cannot be used.
    pub(crate) fn new(export: &Export, read: R, figures: Figures, asked: mpsc::Receiver<Asked>) -> Result<Self, Error> {
        Ok(Self {
            read,
            client: Client::new(export, grpc::METRICS)?,
            mapping: Mapping::new(export.histograms, export.attributes.clone()),
            schedule: Schedule::new(export.interval, Tick::now().mono, chance()),
            figures,
            pending: None,
            complaints: Complaints::new("metrics", export.uri.to_string()),
            asked,
            apart: Duration::ZERO,
        })
    }

    /// Runs until `stop` says how long the last push may take; the answer is why it did not arrive.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<Duration>) -> Result<(), String> {
        loop {
            let wait = self.schedule.wait(Tick::now().mono);
            let round = async {
                tokio::select! {
                    () = tokio::time::sleep(wait) => self.push().await,
                    Some(asked) = self.asked.recv() => self.answer(asked).await,
                }
            };
            let budget = tokio::select! {
                () = round => continue,
                budget = &mut stop => budget.unwrap_or_default(),
            };
            return self.flush(budget).await;
        }
    }

    /// One attempt.
    async fn push(&mut self) {
        let now = Tick::now();
        self.pending.take_if(|pending| self.schedule.is_stale(pending.read, now.mono));
        if self.pending.is_none() {
            self.read_anew(now);
        }
        let Some((outcome, _)) = self.send(Duration::MAX).await else { return };
        let now = Tick::now().mono;
        match outcome {
            Outcome::Again(_, throttle) => self.schedule.failed(now, throttle, chance()),
            Outcome::Delivered { .. } | Outcome::Refused(_) => self.schedule.settled(now),
        }
    }

    /// A push that somebody waits for; the next regular one is due later.
    async fn answer(&mut self, asked: Asked) {
        let pushed = match asked.along {
            None => self.flush(asked.budget).await,
            Some(along) => self.push_along(along, asked.budget).await,
        };
        (asked.reply)(pushed);
    }

    /// A push of everything known now, tried again while there is time.
    async fn flush(&mut self, budget: Duration) -> Result<(), String> {
        self.read_anew(Tick::now());
        let delivered = self.deliver(budget).await;
        self.schedule.pushed(Tick::now().mono);
        delivered.map(|_complaint| ())
    }

    /// A push of everything known now together with somebody else's metrics. Says what became of these.
    async fn push_along(&mut self, along: Along, budget: Duration) -> Result<(), String> {
        let now = Tick::now();
        self.read_anew(now);
        let Some(ours) = self.pending.take() else { return Err("nothing was read".to_owned()) };
        let delivered = if now.mono < self.apart {
            self.pending = Some(Pending { body: along.body, points: 0, along: along.points, read: ours.read });
            let theirs = self.deliver(budget / 2).await;
            self.pending = Some(ours);
            let _ = self.deliver(budget / 2).await; // the agent's own figures and log say what became of its points
            theirs
        } else {
            self.pending = Some(ours.with(&along));
            self.deliver(budget).await
        };
        self.pending = None; // whoever comes along tries again himself, with newer figures
        self.keeps();
        self.schedule.pushed_along(Tick::now().mono);
        delivered.and_then(|complaint| complaint.map_or(Ok(()), Err))
    }

    /// Sends what is pending, again and again while there is time. The answer is what the receiver said of points that it rejected
    /// where it took the request, else why it did not.
    async fn deliver(&mut self, budget: Duration) -> Result<Option<String>, String> {
        let began = Tick::now().mono;
        loop {
            let left = || budget.saturating_sub(Tick::now().mono.saturating_sub(began));
            match self.send(left()).await {
                // what is said of none rejected is a remark
                None | Some((Outcome::Delivered { rejected: 0, .. }, _)) => return Ok(None),
                Some((Outcome::Delivered { .. }, complaint)) => return Ok(complaint.map(|said| said.said)),
                Some((Outcome::Refused(failure), _)) => return Err(self.complaints.said(&failure)),
                Some((Outcome::Again(failure, throttle), _)) => {
                    self.schedule.failed(Duration::ZERO, throttle, chance());
                    let wait = self.schedule.wait(Duration::ZERO);
                    if wait >= left() {
                        return Err(self.complaints.said(&failure));
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    fn read_anew(&mut self, now: Tick) {
        self.pending = None; // before a new one is made, so that there is never more than one
        let (snapshot, exemplars) = (self.read)(now);
        let request = self.mapping.request(&snapshot, &exemplars);
        self.pending = Some(Pending { body: request.body, points: request.points, along: 0, read: now.mono });
        self.keeps();
    }

    fn keeps(&self) {
        let pending = self.pending.as_ref().map_or(0, |pending| pending.body.len());
        self.figures.keeps(pending + self.mapping.starts.bytes());
    }

    /// Sends what is pending; it stays so if it is to be sent again. Says what became of it, and what is to be complained of.
    async fn send(&mut self, budget: Duration) -> Option<(Outcome, Option<Failure>)> {
        let pending = self.pending.as_ref()?;
        let (points, along, read) = (pending.points, pending.along, pending.read);
        let began = Tick::now().mono;
        let outcome = self.client.send(pending.body.clone(), budget).await;
        let now = Tick::now().mono;
        let failure = match &outcome {
            Outcome::Delivered { rejected, said } => {
                // of a request of both, as many as can be the agent's
                let ours = points.min(*rejected);
                self.figures.points(None, points - ours);
                if points > 0 {
                    self.figures.arrived(read);
                }
                if ours > 0 {
                    self.figures.points(Some("rejected"), ours);
                }
                let complained = *rejected > 0 || !said.is_empty();
                let all = points + along;
                complained.then(|| Failure::new("rejected", &format!("{rejected} of {all} points rejected: {said}")))
            }
            Outcome::Refused(failure) => {
                self.figures.points(Some(&failure.kind), points);
                Some(failure.clone())
            }
            // its points are not lost: the next request holds them
            Outcome::Again(failure, _) => Some(failure.clone()),
        };
        let is_delivered = matches!(outcome, Outcome::Delivered { .. });
        let kind = failure.as_ref().filter(|_| !is_delivered);
        self.figures.took(kind.map(|failure| &*failure.kind), now.saturating_sub(began));
        if !matches!(outcome, Outcome::Again(..)) {
            self.pending = None;
            let is_whole = matches!(outcome, Outcome::Delivered { rejected: 0, .. });
            if !is_whole && points > 0 && along > 0 {
                self.apart = now + APART;
            }
        }
        self.keeps();
        if points > 0 {
            self.complaints.log(failure.as_ref(), now); // whoever's metrics went alone is told, and says it himself
        }
        Some((outcome, failure))
    }
}

/// From 0 to 1, by the keys that the standard library seeds from the system.
pub(super) fn chance() -> f64 {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    random as f64 / u64::MAX as f64
}
