//! Values over time at two resolutions: fine for minutes, coarse for hours. Missing time is a gap, never a guess.

use std::collections::VecDeque;
use std::time::Duration;

use heartline_shared::UnixMillis;

use super::chart::Axis;

/// How many fine slots are kept; a slot is a second, or the poll interval where that is longer.
const FINE_SLOTS: usize = 600;
/// How many coarse slots are kept.
const COARSE_SLOTS: usize = 720;
/// How many fine slots make a coarse one.
const FINE_PER_COARSE: u64 = 10;

/// How several values that fall into one slot or column become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// The mean: rates, ratios, levels.
    Mean,
    /// The highest: latencies, so that a peak survives.
    Max,
}

/// The history of one number.
#[derive(Debug)]
pub(super) struct History {
    fold: Fold,
    fine: Slots,
    coarse: Slots,
    /// The longest time between two values that is not a gap, in milliseconds.
    reach: u64,
    newest: Option<(UnixMillis, f64)>,
}

/// Values in consecutive slots of time; `NaN` is a gap.
#[derive(Debug)]
struct Slots {
    width: u64,
    limit: usize,
    first: u64,
    values: VecDeque<f32>,
    /// The slot that is still being filled: sum, number and highest of its values.
    open: Option<(u64, f64, u32, f64)>,
}

impl History {
    /// A history for values that arrive every `interval`; a longer silence than `reach` is a gap.
    pub(super) fn new(fold: Fold, interval: Duration, reach: Duration) -> Self {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let width = millis(interval).clamp(1_000, 3_600_000);
        Self {
            fold,
            fine: Slots::new(width, FINE_SLOTS),
            coarse: Slots::new(width * FINE_PER_COARSE, COARSE_SLOTS),
            reach: millis(reach),
            newest: None,
        }
    }

    /// Adds a value. Time that does not advance changes nothing before it.
    pub(super) fn push(&mut self, at: UnixMillis, value: f64) {
        if !value.is_finite() || self.newest.is_some_and(|(newest, _)| at < newest) {
            return;
        }
        let bridge = self.newest.filter(|(newest, _)| at.0 - newest.0 <= self.reach).map(|(_, value)| value);
        self.fine.push(at, value, bridge, self.fold);
        self.coarse.push(at, value, bridge, self.fold);
        self.newest = Some((at, value));
    }

    /// When the newest value arrived.
    pub(super) fn newest_at(&self) -> Option<UnixMillis> {
        self.newest.map(|(at, _)| at)
    }

    /// One value for each column of `axis`; `None` where nothing is known.
    pub(super) fn columns(&self, axis: Axis) -> Vec<Option<f64>> {
        let (start, width) = axis.edges();
        (0..axis.columns as u64)
            .map(|column| {
                let from = start.0.saturating_add(column.saturating_mul(width));
                self.between(from, from.saturating_add(width))
            })
            .collect()
    }

    /// The value of the time from `from` until before `until`.
    fn between(&self, from: u64, until: u64) -> Option<f64> {
        let fine = self.fine.reaches(from).then(|| self.fine.fold(from, until, self.fold)).flatten();
        let held = || {
            let (at, value) = self.newest?;
            (from >= at.0 && from - at.0 <= self.reach).then_some(value)
        };
        fine.or_else(|| self.coarse.fold(from, until, self.fold).filter(|_| !self.fine.reaches(from))).or_else(held)
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        size_of::<Self>() + (self.fine.values.capacity() + self.coarse.values.capacity()) * size_of::<f32>()
    }
}

impl Slots {
    fn new(width: u64, limit: usize) -> Self {
        Self { width, limit, first: 0, values: VecDeque::new(), open: None }
    }

    fn push(&mut self, at: UnixMillis, value: f64, bridge: Option<f64>, fold: Fold) {
        let slot = at.0 / self.width;
        if let Some((open, sum, count, highest)) = &mut self.open
            && *open == slot
        {
            *sum += value;
            *count = count.saturating_add(1);
            *highest = highest.max(value);
            return;
        }
        if let Some((open, ..)) = self.open {
            let closed = self.open_value(fold).unwrap_or(f64::NAN);
            self.close(open, closed);
            let skipped = slot.saturating_sub(open + 1);
            if skipped > self.limit as u64 {
                self.values.clear();
            } else {
                (0..skipped).for_each(|step| self.close(open + 1 + step, bridge.unwrap_or(f64::NAN)));
            }
        }
        self.open = Some((slot, value, 1, value));
    }

    fn close(&mut self, slot: u64, value: f64) {
        if self.values.is_empty() {
            self.first = slot;
        }
        #[expect(clippy::cast_possible_truncation, reason = "a chart does not show more than single precision")]
        self.values.push_back(value as f32);
        if self.values.len() > self.limit {
            self.values.pop_front();
            self.first += 1;
        }
    }

    fn open_value(&self, fold: Fold) -> Option<f64> {
        self.open.map(|(_, sum, count, highest)| match fold {
            Fold::Mean => sum / f64::from(count),
            Fold::Max => highest,
        })
    }

    /// Whether these slots go back as far as `from`.
    fn reaches(&self, from: u64) -> bool {
        let first = if self.values.is_empty() { self.open.map(|(slot, ..)| slot) } else { Some(self.first) };
        first.is_some_and(|first| from / self.width >= first)
    }

    /// The values that overlap the time from `from` until before `until`, as one.
    fn fold(&self, from: u64, until: u64, fold: Fold) -> Option<f64> {
        let (low, high) = (from / self.width, until.saturating_sub(1).max(from) / self.width);
        let begin = usize::try_from(low.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.values.len());
        let end = high.checked_sub(self.first).map_or(0, |last| usize::try_from(last).unwrap_or(usize::MAX));
        let end = end.saturating_add(usize::from(high >= self.first)).clamp(begin, self.values.len());
        let closed = self.values.range(begin..end).map(|value| f64::from(*value)).filter(|value| !value.is_nan());
        let open = self.open.filter(|(slot, ..)| (low..=high).contains(slot)).and_then(|_| self.open_value(fold));
        let (mut sum, mut count, mut highest) = (0.0, 0_u32, f64::NEG_INFINITY);
        for value in closed.chain(open) {
            sum += value;
            count += 1;
            highest = value.max(highest);
        }
        match fold {
            _ if count == 0 => None,
            Fold::Mean => Some(sum / f64::from(count)),
            Fold::Max => Some(highest),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const REACH: Duration = Duration::from_secs(3);

    fn filled(fold: Fold, values: impl IntoIterator<Item = (u64, f64)>) -> History {
        let mut history = History::new(fold, SECOND, REACH);
        values.into_iter().for_each(|(ms, value)| history.push(UnixMillis(ms), value));
        history
    }

    fn axis(end: u64, seconds: u64, columns: usize) -> Axis {
        Axis { end: UnixMillis(end), span: Duration::from_secs(seconds), columns }
    }

    #[test]
    fn each_second_has_its_value() {
        let history = filled(Fold::Mean, (0..5).map(|second| (second * 1_000 + 400, second as f64)));
        let expected: Vec<_> = (0..5).map(|second| Some(f64::from(second))).collect();
        assert_eq!(history.columns(axis(4_400, 5, 5)), expected);
    }

    #[test]
    fn jitter_is_no_gap_and_silence_is() {
        let jitter = filled(Fold::Mean, [(950, 1.0), (1_990, 2.0), (3_020, 3.0)]);
        assert_eq!(jitter.columns(axis(3_100, 4, 4)), [Some(1.0), Some(2.0), Some(2.0), Some(3.0)]);
        let silence = filled(Fold::Mean, [(1_000, 1.0), (9_000, 2.0)]);
        assert_eq!(silence.columns(axis(9_000, 9, 9))[1..8], [None; 7]);
    }

    #[test]
    fn the_newest_value_holds_until_it_is_stale() {
        let history = filled(Fold::Mean, [(1_000, 5.0)]);
        assert_eq!(history.columns(axis(3_500, 1, 1)), [Some(5.0)]);
        assert_eq!(history.columns(axis(6_500, 1, 1)), [None]);
    }

    #[test]
    fn a_column_narrower_than_a_slot_shows_the_slot() {
        let history = filled(Fold::Mean, (0..4).map(|second| (second * 1_000, second as f64)));
        assert_eq!(history.columns(axis(3_999, 2, 4)), [Some(2.0), Some(2.0), Some(3.0), Some(3.0)]);
    }

    #[test]
    fn peaks_survive_folding_where_they_matter() {
        let spike = || (0..100).map(|second| (second * 1_000, if second == 50 { 100.0 } else { 0.0 }));
        let highest =
            |fold| filled(fold, spike()).columns(axis(99_000, 100, 10)).into_iter().flatten().fold(0.0, f64::max);
        assert_eq!((highest(Fold::Max), highest(Fold::Mean)), (100.0, 10.0));
    }

    #[test]
    fn hours_are_kept_coarsely_and_bytes_are_bounded() {
        let history = filled(Fold::Mean, (0..20_000).map(|second| (second * 1_000, second as f64)));
        let values = history.columns(axis(19_999_000, 7_000, 70));
        assert!(values.iter().all(Option::is_some), "{values:?}");
        assert!(values.is_sorted_by(|a, b| a < b));
        assert_eq!(history.columns(axis(19_999_000, 40_000, 4))[0], None, "what was forgotten is a gap");
        assert!(history.bytes() < 12_000, "{}", history.bytes());
    }

    #[test]
    fn a_clock_that_jumps_years_costs_no_memory_and_no_time() {
        let mut history = filled(Fold::Mean, [(1_000, 1.0), (2_000, 2.0)]);
        history.push(UnixMillis(40 * 365 * 86_400_000), 3.0);
        history.push(UnixMillis(5), 4.0);
        assert_eq!(history.columns(axis(40 * 365 * 86_400_000, 1, 1)), [Some(3.0)]);
        assert!(history.bytes() < 12_000);
    }

    proptest! {
        #[test]
        fn columns_never_leave_the_range_of_the_values(
            steps in prop::collection::vec((0_u64..30_000, -1e6_f64..1e6), 1..200),
            span in 1_u64..10_000, columns in 0_usize..200,
        ) {
            let mut at = 0;
            let points: Vec<_> = steps.iter().map(|(step, value)| { at += step; (at, *value) }).collect();
            let (low, high) = steps.iter().fold((f64::MAX, f64::MIN), |(low, high), (_, v)| (v.min(low), v.max(high)));
            for fold in [Fold::Mean, Fold::Max] {
                let shown = filled(fold, points.clone()).columns(axis(at, span, columns));
                prop_assert_eq!(shown.len(), columns);
                prop_assert!(shown.iter().flatten().all(|v| (low - 1.0..=high + 1.0).contains(v)));
            }
        }
    }
}
