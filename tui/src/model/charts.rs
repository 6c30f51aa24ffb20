//! The histories of one target, and which of them are kept when it names more things than there is room for. What the
//! values mean is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use heartline_shared::UnixMillis;

use super::Settings;
use super::chart::{Axis, Chart};
use super::history::{Fold, History};

/// How many charts of pools, caches and queues a target may have; those of the target as a whole always have room.
const NAMED_MAX: usize = 96;
/// How long a named chart must have had no value before another may take its place.
const SILENCE_MIN: Duration = Duration::from_mins(1);

/// The histories of one target.
#[derive(Debug)]
pub(super) struct Charts {
    settings: Settings,
    whole: BTreeMap<Chart, History>,
    named: BTreeMap<Chart, History>,
}

impl Charts {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, whole: BTreeMap::new(), named: BTreeMap::new() }
    }

    /// The values of a chart, one for each column of `axis`; `None` is a gap.
    pub(super) fn columns(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
        let history = if chart.is_named() { self.named.get(chart) } else { self.whole.get(chart) };
        history.map_or_else(|| vec![None; axis.columns], |history| history.columns(axis))
    }

    /// Adds the `points` of one document, each of which holds at all of `times`, the earliest first.
    pub(super) fn push(&mut self, points: Vec<(Chart, Fold, f64)>, times: &[UnixMillis]) {
        let Some(newest) = times.last() else { return };
        let mut unknown = Vec::new();
        for (chart, fold, value) in points {
            let of_kind = if chart.is_named() { &mut self.named } else { &mut self.whole };
            match of_kind.get_mut(&chart) {
                Some(history) => times.iter().for_each(|at| history.push(*at, value)),
                None => unknown.push((chart, fold, value)),
            }
        }
        // last, when those that go on have their newest value and only those that ended can make room
        for (chart, fold, value) in unknown {
            if chart.is_named() && !self.has_room(*newest) {
                continue;
            }
            let mut history = History::new(fold, self.settings.interval, self.settings.stale_after());
            times.iter().for_each(|at| history.push(*at, value));
            let of_kind = if chart.is_named() { &mut self.named } else { &mut self.whole };
            of_kind.insert(chart, history);
        }
    }

    /// Whether one more named chart has room at `now`; when all places are taken, the one that has been without a value
    /// for longest makes it, if that is long enough.
    fn has_room(&mut self, now: UnixMillis) -> bool {
        if self.named.len() < NAMED_MAX {
            return true;
        }
        let silence = self.settings.stale_after().max(SILENCE_MIN);
        let oldest = self.named.iter().min_by_key(|(_, history)| history.newest_at());
        let ended = oldest.filter(|(_, history)| history.newest_at().is_none_or(|at| now.since(at) > silence));
        let ended = ended.map(|(chart, _)| chart.clone());
        ended.is_some_and(|chart| self.named.remove(&chart).is_some())
    }
}
