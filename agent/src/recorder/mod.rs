//! The flight recorder: what was counted in each second, ten seconds and minute, in a bounded number of bytes, so that
//! views have windows and a dashboard that is opened after the page shows how it began. What the figures mean is not
//! known here.
//!
//! `lane` keeps the frames of one step, `tape` all of them within their bytes, `window` sums them up.

mod lane;
mod tape;
mod window;

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::frame::Coder;
use heartline_shared::{Snapshot, UnixMillis};
use parking_lot::Mutex;
use tokio::task::yield_now;

use lane::Kept;
use tape::Tape;
pub(crate) use tape::{Reach, STEPS};
use window::{Plotting, Summing};
pub(crate) use window::{Point, Window};

/// One part in so many of all bytes is for definitions of series.
const DEFINITIONS_SHARE: usize = 4;
/// How many windows of the newest second are remembered.
const WINDOWS_MAX: usize = 4;

/// The flight recorder. Frames are added and asked for on the agent's thread; the lock is for the service's calls.
#[derive(Debug)]
pub(crate) struct FlightRecorder {
    bytes_max: usize,
    state: Mutex<State>,
    /// Held by who sums up: one at a time.
    summing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    coder: Option<Coder>,
    /// Blocks that define all series so far.
    definitions: Vec<u8>,
    tape: Tape,
    /// Views see nothing before this time of the process.
    views_from: Duration,
    windows: Vec<(Duration, Arc<Window>)>,
}

/// A part of the history to be sent.
#[derive(Debug)]
pub(crate) struct Excerpt {
    /// Introduction and definitions.
    pub(crate) head: Vec<u8>,
    /// Frames, oldest first.
    pub(crate) frames: std::vec::IntoIter<Arc<[u8]>>,
}

/// Which part of the history is wanted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Range {
    /// Only what ended after this time.
    pub(crate) from: UnixMillis,
    /// Only what ended until this time.
    pub(crate) to: UnixMillis,
    /// Frames of this length where there are such; shorter at the newest end, longer where those were shed.
    pub(crate) step: Duration,
}

impl FlightRecorder {
    /// A recorder that keeps at most so many bytes.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default(), summing: tokio::sync::Mutex::default() }
    }

    /// Adds what was counted since the snapshot before.
    pub(crate) fn record(&self, snapshot: &Snapshot) {
        let state = &mut *self.state.lock();
        state.windows.clear();
        if !state.coder.as_ref().is_some_and(|coder| coder.continues(snapshot)) {
            state.coder = Some(Coder::new(snapshot, self.bytes_max / DEFINITIONS_SHARE));
            (state.definitions, state.tape) = (Vec::new(), Tape::default());
        }
        let Some(coder) = &mut state.coder else { return };
        let Some(made) = coder.frame(snapshot) else { return };
        state.definitions.extend_from_slice(&made.definitions);
        state.definitions.shrink_to(state.definitions.len() + (4 << 10));
        let kept_otherwise = coder.bytes() + state.definitions.capacity();
        if let Some(kept) = Kept::of(made.frame) {
            state.tape.push(kept);
        }
        state.tape.shed(self.bytes_max.saturating_sub(kept_otherwise));
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes()
    }

    /// Everything that was counted in the newest `length`, as far back as there is something. Others have their turn while it
    /// is summed up; who asks meanwhile waits for this one.
    pub(crate) async fn window(&self, length: Duration) -> Arc<Window> {
        let _alone = self.summing.lock().await;
        let (mut summing, newest) = {
            let state = self.state.lock();
            if let Some((_, window)) = state.windows.iter().find(|(known, _)| *known == length) {
                return Arc::clone(window);
            }
            let newest = state.tape.newest();
            let from = state.tape.nearest_begin(newest.saturating_sub(length)).max(state.views_from);
            let frames = state.tape.cover_window(from, newest).into_iter().cloned().collect();
            (Summing::of(frames, state.head()), (newest, state.views_from))
        };
        while summing.step() > 0 {
            yield_now().await;
        }
        let window = Arc::new(summing.finish());
        let mut state = self.state.lock();
        if (state.tape.newest(), state.views_from) == newest {
            if state.windows.len() == WINDOWS_MAX {
                state.windows.remove(0);
            }
            state.windows.push((length, Arc::clone(&window)));
        }
        window
    }

    /// What one metric did over time, a point for each step; the metric's name is OpenTelemetry's. Others have their turn
    /// meanwhile.
    pub(crate) async fn points(&self, metric: &str, range: Range) -> Vec<Point> {
        let _alone = self.summing.lock().await;
        let mut plotting = {
            let state = self.state.lock();
            let frames = state.tape.cover(range.step, Duration::ZERO, Duration::MAX);
            let within = frames.into_iter().filter(|frame| range.contains(frame.at)).cloned().collect();
            Plotting::of(within, state.head(), metric, range)
        };
        while plotting.step() > 0 {
            yield_now().await;
        }
        plotting.finish()
    }

    /// The frames of a range, with all that is needed to read them.
    pub(crate) fn excerpt(&self, range: Range) -> Excerpt {
        let state = self.state.lock();
        let frames = state.tape.cover(range.step, Duration::ZERO, Duration::MAX);
        let within = frames.into_iter().filter(|frame| range.contains(frame.at));
        let frames = within.map(|frame| Arc::clone(&frame.bytes)).collect::<Vec<_>>().into_iter();
        Excerpt { head: state.head(), frames }
    }

    /// How far back it reaches.
    pub(crate) fn reach(&self) -> Reach {
        let state = self.state.lock();
        let left_out = state.coder.as_ref().map_or(0, Coder::left_out);
        Reach { bytes: state.bytes(), bytes_max: self.bytes_max, series_left_out: left_out, ..state.tape.reach() }
    }

    /// Views begin anew: they see nothing of what was counted up to now. What is streamed as history stays.
    pub(crate) fn reset_views(&self) {
        let mut state = self.state.lock();
        state.views_from = state.tape.newest();
        state.windows.clear();
    }
}

impl State {
    fn bytes(&self) -> usize {
        self.coder.as_ref().map_or(0, Coder::bytes) + self.definitions.capacity() + self.tape.bytes()
    }

    fn head(&self) -> Vec<u8> {
        let introduction = self.coder.as_ref().map(Coder::introduction).unwrap_or_default();
        [introduction, &self.definitions].concat()
    }
}

impl Range {
    fn contains(&self, at: UnixMillis) -> bool {
        at > self.from && at <= self.to
    }
}

#[cfg(test)]
mod tests;
