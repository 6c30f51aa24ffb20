//! The frames of one step, oldest first, with the time each covers. How many are kept is not decided here.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use heartline_shared::UnixMillis;
use heartline_shared::frame::Sums;

/// Bytes of an allocation beside its content: the counters of the `Arc` and the allocator's own.
const ALLOCATION_BYTES: usize = 24;

/// A frame and the time it covers.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    /// Since the start of the process.
    pub(super) begin: Duration,
    pub(super) end: Duration,
    /// The wall time of `end`.
    pub(super) at: UnixMillis,
    pub(super) bytes: Arc<[u8]>,
}

impl Kept {
    /// A frame as a coder made it; `None` when it is none.
    pub(super) fn of(frame: Vec<u8>) -> Option<Self> {
        let (span, uptime, at) = Sums::time_of(&frame)?;
        Some(Self { begin: uptime.saturating_sub(span), end: uptime, at, bytes: frame.into() })
    }

    pub(super) fn span(&self) -> Duration {
        self.end.saturating_sub(self.begin)
    }

    fn cost(&self) -> usize {
        self.bytes.len() + ALLOCATION_BYTES
    }
}

/// Frames without overlap.
#[derive(Debug, Default)]
pub(super) struct Lane {
    frames: VecDeque<Kept>,
    content: usize,
    /// How many of the newest are not yet part of a longer frame.
    pub(super) pending: usize,
    /// How many were shed.
    pub(super) shed: u64,
}

impl Lane {
    pub(super) fn push(&mut self, frame: Kept) {
        self.content += frame.cost();
        self.pending += 1;
        self.frames.push_back(frame);
    }

    /// Gives up the oldest frame.
    pub(super) fn shed_oldest(&mut self) {
        if let Some(frame) = self.frames.pop_front() {
            self.content -= frame.cost();
            self.shed += 1;
            self.pending = self.pending.min(self.frames.len());
        }
        if self.frames.len() * 4 < self.frames.capacity() {
            self.frames.shrink_to(self.frames.len() * 2);
        }
    }

    /// The time that frames cover which are not yet part of a longer one.
    pub(super) fn pending_span(&self) -> Duration {
        let first = self.frames.len().checked_sub(self.pending).and_then(|at| self.frames.get(at));
        let (first, last) = (first.map(|frame| frame.begin), self.frames.back().map(|frame| frame.end));
        last.unwrap_or_default().saturating_sub(first.unwrap_or(Duration::MAX))
    }

    /// Those frames as one.
    pub(super) fn merge_pending(&mut self) -> Option<Kept> {
        let first = self.frames.len() - self.pending;
        self.pending = 0;
        let mut sums = Sums::default();
        for frame in self.frames.range(first..) {
            sums.add(&frame.bytes);
        }
        Kept::of(sums.frame()?)
    }

    pub(super) fn bytes(&self) -> usize {
        self.content + self.frames.capacity() * size_of::<Kept>()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn oldest(&self) -> Option<&Kept> {
        self.frames.front()
    }

    pub(super) fn newest(&self) -> Option<&Kept> {
        self.frames.back()
    }

    /// The frames that lie completely between two times.
    pub(super) fn within(&self, from: Duration, to: Duration) -> impl ExactSizeIterator<Item = &Kept> {
        let first = self.frames.partition_point(|frame| frame.begin < from);
        let end = self.frames.partition_point(|frame| frame.end <= to).max(first);
        self.frames.range(first..end)
    }

    /// The first frame that lies mostly behind `time`, or the newest one.
    pub(super) fn mostly_behind(&self, time: Duration) -> Option<&Kept> {
        let at = self.frames.partition_point(|frame| frame.begin + frame.span() / 2 < time);
        self.frames.get(at).or(self.frames.back())
    }

    /// Where the first frame ends that does so at `time` or later.
    pub(super) fn end_from(&self, time: Duration) -> Option<Duration> {
        self.frames.get(self.frames.partition_point(|frame| frame.end < time)).map(|frame| frame.end)
    }
}
