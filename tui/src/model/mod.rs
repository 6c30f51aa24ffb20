//! What is known of each target: bounded history, counters turned into rates, restarts, staleness. No drawing, no
//! sockets, no clock: `now` is a parameter.
//!
//! `store` holds the newest value of every series, `frames` what was counted between documents, `history` one chart and `charts` all of a target,
//! `figures` turns the first two into a [`TargetReading`], `target` ties them together.

pub mod chart;
mod charts;
mod figures;
mod frames;
mod history;
pub mod reading;
mod store;
pub mod target;
#[cfg(test)]
mod tests;

use std::time::Duration;

use heartline_shared::UnixMillis;

pub use chart::{Axis, Chart};
pub use reading::{Freshness, TargetReading};
pub use target::Target;
#[cfg(test)]
pub(crate) use tests::fixture;

use crate::source::Outcome;
use crate::text::Text;

/// What the frames of all targets together may take, in bytes.
const FRAMES_BYTES_MAX: usize = 32 << 20;

/// How a target's figures are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// How often a target is polled.
    pub interval: Duration,
    /// How much time rates and percentiles cover.
    pub window: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), window: Duration::from_secs(10) }
    }
}

impl Settings {
    /// How old an answer may be before its target is stale: three intervals, and three seconds at least.
    pub fn stale_after(self) -> Duration {
        self.interval.saturating_mul(3).max(Duration::from_secs(3))
    }
}

/// Everything known of all targets, in the order the user named them.
#[derive(Debug)]
pub struct Model {
    targets: Vec<Target>,
    settings: Settings,
    frames_bytes: usize,
}

impl Model {
    /// Targets of which nothing is known yet.
    pub fn new(names: impl IntoIterator<Item = Text>, settings: Settings) -> Self {
        let names: Vec<Text> = names.into_iter().collect();
        let frames_bytes = (FRAMES_BYTES_MAX / names.len().max(1)).clamp(128 << 10, 4 << 20);
        let targets = names.into_iter().map(|name| Target::new(name, settings, frames_bytes)).collect();
        Self { targets, settings, frames_bytes }
    }

    /// Takes the result of a poll in. One of an unknown target, or older than what is known, changes nothing.
    pub fn absorb(&mut self, outcome: &Outcome) {
        if let Some(target) = self.targets.get_mut(outcome.target) {
            target.absorb(outcome);
        }
    }

    /// A target of which nothing is known yet, to be filled with what the one at this place remembers and then
    /// [adopted](Self::adopt).
    pub fn blank(&self, place: usize) -> Option<Target> {
        let name = self.targets.get(place)?.reading().target.clone();
        Some(Target::new(name, self.settings, self.frames_bytes))
    }

    /// Puts a target that was filled with its past in the place of the one that knows only the time since.
    pub fn adopt(&mut self, place: usize, target: Target) {
        if let Some(known) = self.targets.get_mut(place) {
            *known = target;
        }
    }

    /// Lets time pass: ages grow, and targets become stale or down.
    pub fn tick(&mut self, now: UnixMillis) {
        self.targets.iter_mut().for_each(|target| target.tick(now));
    }

    /// The targets.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }
}
