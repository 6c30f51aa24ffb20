//! The histories of one target, and which of them are kept when it names more things than there is room for. What the
//! values mean is not known here.

use std::collections::BTreeMap;
use std::time::Duration;

use heartline_shared::UnixMillis;

use super::Settings;
use super::chart::{Axis, Chart, Named};
use super::history::{Fold, History};

/// How many pools, caches and queues of a target have charts; the target as a whole always has its own.
const NAMED_MAX: usize = 48;
/// How long a pool, cache or queue must have had no value before another may take its place.
const SILENCE_MIN: Duration = Duration::from_mins(1);

/// The histories of one target.
#[derive(Debug)]
pub(super) struct Charts {
    settings: Settings,
    whole: Histories,
    named: BTreeMap<Named, Histories>,
}

type Histories = BTreeMap<Chart, History>;

impl Charts {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, whole: Histories::new(), named: BTreeMap::new() }
    }

    /// The values of a chart, one for each column of `axis`; `None` is a gap.
    pub(super) fn columns(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
        let histories = chart.named().map_or(Some(&self.whole), |named| self.named.get(&named));
        let history = histories.and_then(|histories| histories.get(chart));
        history.map_or_else(|| vec![None; axis.columns], |history| history.columns(axis))
    }

    /// Adds the `points` of one document, each of which holds at all of `times`, the earliest first.
    pub(super) fn push(&mut self, points: Vec<(Chart, Fold, f64)>, times: &[UnixMillis]) {
        let Some(now) = times.last() else { return };
        let goes_on = |chart: &Chart| chart.named().is_none_or(|named| self.named.contains_key(&named));
        let (known, new): (Vec<_>, Vec<_>) = points.into_iter().partition(|(chart, ..)| goes_on(chart));
        // new ones last, when what goes on has its newest value and only what ended can make room
        for (chart, fold, value) in known.into_iter().chain(new) {
            let settings = self.settings;
            let Some(histories) = self.place_of(&chart, *now) else { continue };
            let new = || History::new(fold, settings.interval, settings.stale_after());
            let history = histories.entry(chart).or_insert_with(new);
            for at in times {
                history.push(*at, value);
            }
        }
    }

    /// Where the history of `chart` is kept; `None` when it has no room.
    fn place_of(&mut self, chart: &Chart, now: UnixMillis) -> Option<&mut Histories> {
        let Some(named) = chart.named() else { return Some(&mut self.whole) };
        let has_place = self.named.contains_key(&named) || self.has_room(now);
        has_place.then(|| self.named.entry(named).or_default())
    }

    /// Whether one more name has room at `now`; when all places are taken, the one that has been without a value for
    /// longest makes it, if that is long enough.
    fn has_room(&mut self, now: UnixMillis) -> bool {
        if self.named.len() < NAMED_MAX {
            return true;
        }
        let newest = |histories: &Histories| histories.values().filter_map(History::newest_at).max();
        let silence = self.settings.stale_after().max(SILENCE_MIN);
        let oldest = self.named.iter().map(|(named, histories)| (named, newest(histories))).min_by_key(|(_, at)| *at);
        let ended = oldest.filter(|(_, at)| at.is_none_or(|at| now.since(at) > silence));
        let ended = ended.map(|(named, _)| named.clone());
        ended.is_some_and(|named| self.named.remove(&named).is_some())
    }
}
