//! What was counted between consecutive documents of one target, for the newest minutes: rates and percentiles over any
//! window within them are sums of frames. Bounded by time and by bytes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use heartline_shared::UnixMillis;

use super::store::{SeriesId, Value};

/// How far back frames are kept.
pub(super) const FRAMES_SPAN: Duration = Duration::from_mins(5);

/// What was counted between two documents.
#[derive(Debug)]
pub(super) struct Frame {
    /// When the later of the two arrived, by our clock.
    pub(super) at: UnixMillis,
    /// The time between them, by the target's monotonic clock.
    pub(super) span: Duration,
    /// What each series counted, sorted by series; those that counted nothing are left out.
    pub(super) increases: Box<[(SeriesId, Value)]>,
}

impl Frame {
    fn bytes(&self) -> usize {
        let histogram = |value: &Value| match value {
            Value::Number(_) => 0,
            Value::Histogram(histogram) => histogram.buckets.capacity() * size_of::<(u16, u64)>(),
        };
        let heap: usize = self.increases.iter().map(|(_, value)| histogram(value)).sum();
        size_of::<Self>() + size_of_val(&*self.increases) + heap
    }

    /// What one series counted.
    pub(super) fn increase(&self, series: SeriesId) -> Option<&Value> {
        let at = self.increases.binary_search_by_key(&series, |(id, _)| *id).ok()?;
        self.increases.get(at).map(|(_, value)| value)
    }
}

/// The newest frames, oldest first.
#[derive(Debug)]
pub(super) struct Frames {
    newest: VecDeque<Frame>,
    bytes: usize,
    bytes_max: usize,
}

/// The sum of the frames in a window.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// The time the frames cover together; `None` without frames.
    pub(super) span: Option<Duration>,
    increases: HashMap<SeriesId, Value>,
}

impl Frames {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { newest: VecDeque::new(), bytes: 0, bytes_max }
    }

    pub(super) fn push(&mut self, frame: Frame) {
        self.bytes += frame.bytes();
        let horizon = frame.at - FRAMES_SPAN;
        self.newest.push_back(frame);
        while self.newest.len() > 1
            && (self.bytes > self.bytes_max || self.newest.front().is_some_and(|f| f.at < horizon))
        {
            self.bytes -= self.newest.pop_front().map_or(0, |frame| frame.bytes());
        }
    }

    pub(super) fn clear(&mut self) {
        self.newest.clear();
        self.bytes = 0;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.newest.iter()
    }

    /// The frames that ended within `length` before `end`, summed.
    pub(super) fn window(&self, end: UnixMillis, length: Duration) -> Window {
        let begin = end - length;
        let mut window = Window::default();
        for frame in self.newest.iter().rev().take_while(|frame| frame.at > begin) {
            window.span = Some(window.span.unwrap_or_default() + frame.span);
            for (series, value) in &frame.increases {
                add(window.increases.entry(*series), value);
            }
        }
        window
    }
}

fn add(entry: std::collections::hash_map::Entry<'_, SeriesId, Value>, value: &Value) {
    use std::collections::hash_map::Entry;
    match entry {
        Entry::Vacant(vacant) => {
            vacant.insert(value.clone());
        }
        Entry::Occupied(mut sum) => match (sum.get_mut(), value) {
            (Value::Number(sum), Value::Number(more)) => *sum += more,
            (Value::Histogram(sum), Value::Histogram(more)) => sum.merge(more),
            _ => {} // one series keeps one kind: the store renames it when the kind changes
        },
    }
}

impl Window {
    /// What one series counted in the window.
    pub(super) fn increase(&self, series: SeriesId) -> Option<&Value> {
        self.increases.get(&series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(second: u64, count: f64) -> Frame {
        let at = UnixMillis(second * 1_000);
        Frame { at, span: Duration::from_secs(1), increases: Box::new([(7, Value::Number(count))]) }
    }

    #[test]
    fn a_window_sums_the_frames_that_ended_in_it() {
        let mut frames = Frames::new(1 << 20);
        (1..=20).for_each(|second| frames.push(frame(second, second as f64)));
        let window = frames.window(UnixMillis(20_000), Duration::from_secs(3));
        assert_eq!(window.span, Some(Duration::from_secs(3)));
        assert_eq!(window.increase(7), Some(&Value::Number(18.0 + 19.0 + 20.0)));
        assert_eq!(window.increase(8), None);
    }

    #[test]
    fn an_empty_window_has_no_span() {
        assert_eq!(Frames::new(100).window(UnixMillis(5), Duration::from_secs(1)).span, None);
    }

    #[test]
    fn old_frames_leave() {
        let mut frames = Frames::new(1 << 20);
        (1..=1_000).for_each(|second| frames.push(frame(second, 1.0)));
        assert_eq!(frames.iter().count(), 301);
    }

    #[test]
    fn the_byte_limit_holds_and_keeps_the_newest() {
        let mut frames = Frames::new(1_000);
        (1..=200).for_each(|second| frames.push(frame(second, 1.0)));
        assert!(frames.bytes <= 1_000);
        assert_eq!(frames.iter().last().map(|frame| frame.at), Some(UnixMillis(200_000)));
    }
}
