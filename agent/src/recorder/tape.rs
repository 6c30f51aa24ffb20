//! Frames of three steps within one number of bytes: ten short ones make a longer one, and the oldest are shed. What is in
//! them is not known here.

use std::time::Duration;

use heartline_shared::UnixMillis;

use super::lane::{Kept, Lane};

/// How much time the frames of each lane cover, about.
pub(crate) const STEPS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_mins(1)];
/// Frames may end this much before their step is over: rounds are not exactly a second apart.
const EARLY: Duration = Duration::from_millis(500);
/// What each lane gets of the bytes when they are short, in eighths.
const SHARES: [usize; 3] = [1, 3, 4];

/// All frames that are kept.
#[derive(Debug, Default)]
pub(super) struct Tape {
    lanes: [Lane; 3],
}

/// How far back the flight recorder reaches.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Reach {
    /// When the oldest frame began; `None` without frames.
    pub(crate) from: Option<UnixMillis>,
    /// When the newest frame ended.
    pub(crate) to: Option<UnixMillis>,
    /// Of each step.
    pub(crate) lanes: [LaneReach; 3],
    /// Bytes kept.
    pub(crate) bytes: usize,
    /// The most that may be kept.
    pub(crate) bytes_max: usize,
    /// Series of the newest second that were left out because definitions have no more room.
    pub(crate) series_left_out: u64,
}

/// How far back the frames of one step reach.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LaneReach {
    /// When the oldest frame began; `None` without frames.
    pub(crate) from: Option<UnixMillis>,
    /// How many there are.
    pub(crate) frames: usize,
    /// How many were shed since the start.
    pub(crate) shed: u64,
    /// Bytes they take.
    pub(crate) bytes: usize,
}

impl Tape {
    /// Adds a frame of the shortest step.
    pub(super) fn push(&mut self, frame: Kept) {
        self.lanes[0].push(frame);
        for lane in 0..2 {
            if self.lanes[lane].pending_span() + EARLY >= STEPS[lane + 1] {
                self.merge(lane);
            }
        }
    }

    /// Makes one longer frame of those of `lane` that are in none yet.
    fn merge(&mut self, lane: usize) {
        if let Some(longer) = self.lanes[lane].merge_pending() {
            self.lanes[lane + 1].push(longer);
        }
    }

    /// Gives up the oldest frames until no more than `bytes_max` are kept. Before a frame is shed that is in no longer one
    /// yet, it becomes part of a longer one early.
    pub(super) fn shed(&mut self, bytes_max: usize) {
        while self.bytes() > bytes_max {
            let fullest = (0..3)
                .filter(|lane| self.lanes[*lane].len() > 0)
                .max_by_key(|lane| self.lanes[*lane].bytes() * SHARES.iter().sum::<usize>() / SHARES[*lane]);
            let Some(lane) = fullest else { return };
            if lane < 2 && self.lanes[lane].pending > 0 && self.lanes[lane].pending == self.lanes[lane].len() {
                self.merge(lane);
            }
            self.lanes[lane].shed_oldest();
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.lanes.iter().map(Lane::bytes).sum()
    }

    /// The end of the newest frame, since the start of the process.
    pub(super) fn newest(&self) -> Duration {
        self.lanes[0].newest().or(self.lanes[1].newest()).map_or(Duration::ZERO, |frame| frame.end)
    }

    pub(super) fn reach(&self) -> Reach {
        let began = |frame: &Kept| frame.at - frame.span();
        let oldest = self.lanes.iter().filter_map(Lane::oldest).min_by_key(|frame| frame.begin);
        let lanes = [0, 1, 2].map(|lane| {
            let lane: &Lane = &self.lanes[lane];
            LaneReach { from: lane.oldest().map(began), frames: lane.len(), shed: lane.shed, bytes: lane.bytes() }
        });
        Reach { from: oldest.map(began), to: self.lanes[0].newest().map(|frame| frame.at), lanes, ..Reach::default() }
    }

    /// Where the shortest frame begins that lies mostly behind `time`, the newest one at the latest: frames are not exactly
    /// as long as their step. `time` itself where there are no short frames any more.
    pub(super) fn nearest_begin(&self, time: Duration) -> Duration {
        let reaches = self.lanes[0].oldest().is_some_and(|oldest| oldest.begin <= time);
        let begin = self.lanes[0].mostly_behind(time).map(|frame| frame.begin);
        begin.filter(|_| reaches).unwrap_or(time)
    }

    /// Few frames that together cover the time between two moments, as long ones as fit in.
    pub(super) fn cover_window(&self, from: Duration, to: Duration) -> Vec<&Kept> {
        let mut covering = Vec::new();
        self.cover_with(2, (from, to), &mut covering);
        covering
    }

    /// Frames of a step that together cover the time between two moments: shorter ones at the newest end, longer ones
    /// where those of the step were shed.
    pub(super) fn cover(&self, step: Duration, from: Duration, to: Duration) -> Vec<&Kept> {
        let lane = (0..3).rev().find(|lane| STEPS[*lane] <= step).unwrap_or(0);
        let mut covering = Vec::new();
        self.cover_from(lane, (from, to), &mut covering);
        covering
    }

    fn cover_from<'a>(&'a self, lane: usize, (from, to): (Duration, Duration), covering: &mut Vec<&'a Kept>) {
        let mut begin = from;
        let oldest = self.lanes[lane].oldest().map(|frame| frame.begin).filter(|oldest| *oldest > from && lane < 2);
        // longer frames end where shorter ones do: from there on nothing is missing and nothing counted twice
        if let Some(cut) = oldest.and_then(|oldest| self.lanes[lane + 1].end_from(oldest)) {
            begin = cut.min(to);
            self.cover_from(lane + 1, (from, begin), covering);
        }
        self.cover_with(lane, (begin, to), covering);
    }

    /// Frames of this lane, and shorter ones before the first and behind the last of them.
    fn cover_with<'a>(&'a self, lane: usize, (from, to): (Duration, Duration), covering: &mut Vec<&'a Kept>) {
        let mut within = self.lanes[lane].within(from, to).peekable();
        let first = within.peek().map_or(to, |frame| frame.begin);
        if lane > 0 {
            self.cover_with(lane - 1, (from, first), covering);
        }
        let mut last = None;
        for frame in within {
            last = Some(frame.end);
            covering.push(frame);
        }
        if let Some(last) = last.filter(|_| lane > 0) {
            self.cover_with(lane - 1, (last, to), covering);
        }
    }
}
