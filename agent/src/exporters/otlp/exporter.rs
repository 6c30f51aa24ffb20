//! The loop that pushes: waits, reads, sends, and says what became of it. Keeps one request at most, and a newer reading
//! takes its place.

use std::hash::{BuildHasher as _, Hasher as _};
use std::time::Duration;

use heartline_shared::Snapshot;
use tokio::sync::oneshot;

use super::client::Client;
use super::complaints::Complaints;
use super::figures::Figures;
use super::grpc;
use super::mapping::{Mapping, Request};
use super::outcome::{Failure, Outcome};
use super::schedule::Schedule;
use crate::clock::Tick;
use crate::config::Export;
use crate::snapshot::Exemplified;

/// Pushes metrics until it is told to stop.
pub(crate) struct Exporter<R> {
    read: R,
    client: Client,
    mapping: Mapping,
    schedule: Schedule,
    figures: Figures,
    pending: Option<Pending>,
    complaints: Complaints,
}

/// A request that was not delivered yet.
#[derive(Debug)]
struct Pending {
    request: Request,
    /// When its snapshot was made.
    read: Duration,
}

impl<R: Fn(Tick) -> (Snapshot, Exemplified)> Exporter<R> {
    /// Pushes what `read` gives, as `export` says.
    ///
    /// # Errors
    /// Why the authorities that TLS trusts cannot be read.
    pub(crate) fn new(export: &Export, read: R, figures: Figures) -> Result<Self, std::io::Error> {
        Ok(Self {
            read,
            client: Client::new(export, grpc::METRICS)?,
            mapping: Mapping::new(export.histograms, export.attributes.clone()),
            schedule: Schedule::new(export.interval, Tick::now().mono, chance()),
            figures,
            pending: None,
            complaints: Complaints::new("metrics", export.uri.to_string()),
        })
    }

    /// Runs until `stop` says how long the last push may take; the answer is why it did not arrive.
    pub(crate) async fn run(mut self, mut stop: oneshot::Receiver<Duration>) -> Result<(), String> {
        loop {
            let wait = self.schedule.wait(Tick::now().mono);
            let round = async {
                tokio::time::sleep(wait).await;
                self.push().await;
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
        let Some(outcome) = self.send(Duration::MAX).await else { return };
        let now = Tick::now().mono;
        match outcome {
            Outcome::Again(_, throttle) => self.schedule.failed(now, throttle, chance()),
            Outcome::Delivered { .. } | Outcome::Refused(_) => self.schedule.settled(now),
        }
    }

    /// The last push: of everything known now, tried again while there is time.
    async fn flush(&mut self, budget: Duration) -> Result<(), String> {
        let began = Tick::now();
        self.read_anew(began);
        loop {
            let left = || budget.saturating_sub(Tick::now().mono.saturating_sub(began.mono));
            match self.send(left()).await {
                None | Some(Outcome::Delivered { .. }) => return Ok(()),
                Some(Outcome::Refused(failure)) => return Err(self.complaints.said(&failure)),
                Some(Outcome::Again(failure, throttle)) => {
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
        self.pending = Some(Pending { request, read: now.mono });
        self.keeps();
    }

    fn keeps(&self) {
        let pending = self.pending.as_ref().map_or(0, |pending| pending.request.body.len());
        self.figures.keeps(pending + self.mapping.starts.bytes());
    }

    /// Sends what is pending; it stays so if it is to be sent again.
    async fn send(&mut self, budget: Duration) -> Option<Outcome> {
        let pending = self.pending.as_ref()?;
        let (points, read) = (pending.request.points, pending.read);
        let began = Tick::now().mono;
        let outcome = self.client.send(pending.request.body.clone(), budget).await;
        let now = Tick::now().mono;
        let failure = match &outcome {
            Outcome::Delivered { rejected, said } => {
                self.figures.points(None, points.saturating_sub(*rejected));
                self.figures.arrived(read);
                if *rejected > 0 {
                    self.figures.points(Some("rejected"), *rejected);
                }
                let complained = *rejected > 0 || !said.is_empty();
                complained.then(|| Failure::new("rejected", &format!("{rejected} of {points} points rejected: {said}")))
            }
            Outcome::Refused(failure) => {
                self.figures.points(Some(&failure.kind), points);
                Some(failure.clone())
            }
            // its points are not lost: the next request holds them
            Outcome::Again(failure, _) => Some(failure.clone()),
        };
        let kind = failure.as_ref().filter(|_| !matches!(outcome, Outcome::Delivered { .. }));
        self.figures.took(kind.map(|failure| &*failure.kind), now.saturating_sub(began));
        if !matches!(outcome, Outcome::Again(..)) {
            self.pending = None;
        }
        self.keeps();
        self.complaints.log(failure.as_ref(), now);
        Some(outcome)
    }
}

/// From 0 to 1, by the keys that the standard library seeds from the system.
pub(super) fn chance() -> f64 {
    let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
    random as f64 / u64::MAX as f64
}
