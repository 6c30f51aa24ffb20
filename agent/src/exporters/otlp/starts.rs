//! Since when each cumulative series counts: what OTLP sends as the start time. Time is a parameter.
//!
//! A series that was there at the first export counts since the agent started; one that came later was not there at the
//! export before, so it counts since then; and one that fell began anew after it.
//! See [resets and gaps](https://opentelemetry.io/docs/specs/otel/metrics/data-model/#resets-and-gaps).

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use foldhash::fast::RandomState;
use heartline_shared::{Labels, UnixMillis};

/// Start times by series; as many as the newest export had.
#[derive(Debug, Default)]
pub(super) struct Starts {
    /// Names series in 64 bits: with ten thousand of them, two share a name once in 10^11 processes, and a start time is
    /// then late.
    names: RandomState,
    series: HashMap<u64, Series, RandomState>,
    /// When the export before the current one was made.
    before: Option<UnixMillis>,
    current: UnixMillis,
    round: u32,
}

#[derive(Debug, Clone, Copy)]
struct Series {
    since: UnixMillis,
    last: f64,
    round: u32,
}

impl Starts {
    /// Bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.series.capacity() * (size_of::<(u64, Series)>() + 1)
    }

    /// Begins an export of what was known at `now`.
    pub(super) fn begin(&mut self, now: UnixMillis) {
        self.before = (self.round > 0).then_some(self.current);
        self.current = now;
        self.round = self.round.wrapping_add(1).max(1);
    }

    /// Since when a series counts that is at `value` now, when those of the first export count since `first`.
    pub(super) fn of(&mut self, metric: &str, labels: &Labels, value: f64, first: UnixMillis) -> UnixMillis {
        let name = self.names.hash_one(Name { metric, labels });
        let (round, newer) = (self.round, self.before.unwrap_or(first));
        let series = self.series.entry(name).or_insert(Series { since: newer, last: value, round });
        if value < series.last {
            series.since = newer;
        }
        (series.last, series.round) = (value, round);
        series.since
    }

    /// Ends it: series that were not in it are forgotten.
    pub(super) fn end(&mut self) {
        let round = self.round;
        self.series.retain(|_, series| series.round == round);
    }
}

#[derive(Hash)]
struct Name<'a> {
    metric: &'a str,
    labels: &'a Labels,
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: UnixMillis = UnixMillis(1_000);

    fn export(starts: &mut Starts, now: u64, series: &[(&str, f64)]) -> Vec<u64> {
        starts.begin(UnixMillis(now));
        let of = |&(name, value): &(&str, f64)| starts.of("m", &Labels::from_pairs([("a", name)]), value, STARTED).0;
        let since = series.iter().map(of).collect();
        starts.end();
        since
    }

    #[test]
    fn series_of_the_first_export_count_since_the_start_and_later_ones_since_the_export_before() {
        let mut starts = Starts::default();
        assert_eq!(export(&mut starts, 2_000, &[("x", 1.0)]), [1_000]);
        assert_eq!(export(&mut starts, 3_000, &[("x", 1.0), ("y", 5.0)]), [1_000, 2_000]);
        assert_eq!(export(&mut starts, 4_000, &[("x", 2.0), ("y", 5.0)]), [1_000, 2_000]);
    }

    #[test]
    fn a_series_that_fell_or_came_back_counts_since_the_export_before() {
        let mut starts = Starts::default();
        export(&mut starts, 2_000, &[("x", 9.0), ("y", 9.0)]);
        assert_eq!(export(&mut starts, 3_000, &[("x", 3.0)]), [2_000]);
        assert_eq!(export(&mut starts, 4_000, &[("x", 3.0), ("y", 9.0)]), [2_000, 3_000]);
        assert_eq!(starts.series.len(), 2);
        export(&mut starts, 5_000, &[]);
        assert!(starts.series.is_empty());
    }
}
