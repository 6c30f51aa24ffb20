//! All that a frame is drawn from: the readings, the histories, the alerts, the choices and the moment. Nothing here
//! computes or changes anything.

use std::time::Duration;

use heartline_shared::UnixMillis;

use super::alerts::AlertLine;
use super::theme::Theme;
use crate::alerting::Problems;
use crate::model::{Axis, Chart, Target, TargetReading};
use crate::screen::Screen;
use crate::source::traces::{Told, Traced};
use crate::source::{Failure, Traces};

/// Where the values of charts come from.
pub trait Charts {
    /// One value for each column of `axis`; nothing where nothing is known.
    fn values(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>>;
    /// When the target's process was seen to restart, by the clock of the axis.
    fn restarts(&self) -> Vec<UnixMillis>;
}

impl Charts for Target {
    fn values(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
        self.chart(chart, axis)
    }

    fn restarts(&self) -> Vec<UnixMillis> {
        Self::restarts(self).to_vec()
    }
}

/// All that a frame is drawn from.
#[derive(Clone, Copy)]
pub struct Scene<'a> {
    /// Every target, in the order the user named them.
    pub targets: &'a [&'a TargetReading],
    /// The histories of the target shown; absent until it has one.
    pub charts: Option<&'a dyn Charts>,
    /// Every alert, the most urgent first.
    pub alerts: &'a [AlertLine],
    /// What is wrong with the alert rules; no mistakes when nothing is.
    pub problems: &'a Problems,
    /// What a target told of its requests; absent until one did.
    pub traces: Option<&'a Traces>,
    /// The request whose detail was opened, as it was last told of; absent while none is open.
    pub opened: Option<&'a Traced>,
    /// What the person at the keyboard has chosen.
    pub screen: &'a Screen,
    /// The moment that is shown: of the newest change, or of the pause.
    pub now: UnixMillis,
    /// How long the frame has been frozen; absent when it is not.
    pub paused: Option<Duration>,
    /// Colours and characters.
    pub theme: Theme,
}

impl<'a> Scene<'a> {
    /// The target shown; absent when there is none.
    pub fn target(&self) -> Option<&'a TargetReading> {
        self.targets.get(self.target_index()).copied()
    }

    /// Its place among the targets.
    pub fn target_index(&self) -> usize {
        self.screen.target.min(self.targets.len().saturating_sub(1))
    }

    /// What the target shown told of its requests; absent until it did.
    pub fn told(&self) -> Option<&'a Told> {
        self.own_traces()?.told.as_deref()
    }

    /// Why the target shown tells nothing of its requests, or nothing newer; absent while it does.
    pub fn silent_about_requests(&self) -> Option<&'a Failure> {
        self.own_traces()?.failure.as_ref()
    }

    fn own_traces(&self) -> Option<&'a Traces> {
        self.traces.filter(|traces| traces.target == self.target_index())
    }

    /// The history of one number of the target shown.
    pub fn values(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
        self.charts.map_or_else(|| vec![None; axis.columns], |charts| charts.values(chart, axis))
    }

    /// When the target shown restarted.
    pub fn restarts(&self) -> Vec<UnixMillis> {
        self.charts.map(Charts::restarts).unwrap_or_default()
    }

    /// How much time charts show.
    pub fn span(&self) -> Duration {
        self.screen.window.length()
    }
}
