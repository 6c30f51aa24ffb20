//! The slowest requests and queries of the newest minutes, in a bounded list each. What is below its threshold costs one
//! comparison and never comes here; a thread of the host that comes never waits: when the list is being read, its entry
//! is counted as missed.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use heartline_shared::{Labels, UnixMillis};
use parking_lot::Mutex;

use super::ShortText;
use super::spent::Spent;
use crate::clock::Tick;
use crate::trace::Kept as KeptSpans;

/// Entries of each list.
pub(crate) const SLOW_MAX: usize = 64;
/// How long an entry stays.
pub(crate) const SLOW_WINDOW: Duration = Duration::from_mins(5);
/// Events of slow requests and queries that one round of the agent's thread logs; the rest is counted in the last.
const EVENTS_MAX: usize = 10;

/// From when on requests and queries are slow.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Thresholds {
    /// Requests that take as long are kept, and logged at INFO.
    pub(crate) request: Duration,
    /// Requests that take as long are logged at WARN.
    pub(crate) very_slow_request: Duration,
    /// Queries that take longer are kept, and logged at INFO.
    pub(crate) query: Duration,
}

/// A slow request or query.
#[derive(Debug, Clone)]
pub(crate) struct SlowEntry {
    /// When it ended.
    pub(crate) at: UnixMillis,
    ended: Duration,
    pub(crate) nanos: u64,
    /// What tells a request from every other one of the process; 0 for a query.
    pub(crate) key: u64,
    /// Method and route of a request, system and summary of a query.
    pub(crate) labels: Labels,
    /// The status of a request that was answered.
    pub(crate) status: Option<u16>,
    /// How it failed, if it did.
    pub(crate) error_type: Option<ShortText>,
    /// What the service called the request, if it said so in its answer.
    pub(crate) request_id: Option<ShortText>,
    /// The trace it belongs to, as hexadecimal digits.
    pub(crate) trace_id: Option<ShortText>,
    /// What a request spent; `None` for a query.
    pub(crate) spent: Option<Spent>,
    /// The spans of a request, where there are any.
    pub(crate) tree: Option<Arc<KeptSpans>>,
}

/// What is kept of slow requests and queries.
#[derive(Debug)]
pub(crate) struct SlowLog {
    pub(crate) thresholds: Thresholds,
    pub(crate) requests: SlowList,
    pub(crate) queries: SlowList,
    /// Requests with spans that failed and were not slow.
    pub(crate) failed: NewestList,
}

/// One bounded list.
#[derive(Debug, Default)]
pub(crate) struct SlowList {
    kept: Mutex<Kept>,
    seen: AtomicU64,
    missed: AtomicU64,
}

/// The newest entries, in a bounded list.
#[derive(Debug, Default)]
pub(crate) struct NewestList {
    kept: Mutex<VecDeque<SlowEntry>>,
    seen: AtomicU64,
    missed: AtomicU64,
}

#[derive(Debug, Default)]
struct Kept {
    slowest: Vec<SlowEntry>,
    untold: Vec<SlowEntry>,
}

impl SlowEntry {
    /// One that took `nanos` and ends now; the rest is filled in by who knows it.
    pub(crate) fn new(labels: Labels, nanos: u64, now: Tick) -> Self {
        Self {
            at: now.wall,
            ended: now.mono,
            nanos,
            key: 0,
            labels,
            status: None,
            error_type: None,
            request_id: None,
            trace_id: None,
            spent: None,
            tree: None,
        }
    }
}

impl SlowLog {
    pub(crate) fn new(thresholds: Thresholds) -> Self {
        Self { thresholds, requests: SlowList::default(), queries: SlowList::default(), failed: NewestList::default() }
    }

    /// Logs what became slow since the last time: `tracing` events of the target `heartline::slow`. Only the agent's thread
    /// calls this: a subscriber may take its time.
    pub(crate) fn tell(&self) {
        let (requests, more) = self.requests.untold();
        for slow in &requests {
            let text = |name: &str| slow.labels.value(name).unwrap_or_default();
            let (method, route) = (text("http.request.method"), text("http.route"));
            let seconds = slow.nanos as f64 / 1e9;
            let request_id = slow.request_id.as_ref().map(ShortText::as_str);
            let trace_id = slow.trace_id.as_ref().map(ShortText::as_str);
            let status = slow.status;
            if Duration::from_nanos(slow.nanos) >= self.thresholds.very_slow_request {
                tracing::warn!(target: "heartline::slow", method, route, status, seconds, request_id, trace_id, more, "a very slow request");
            } else {
                tracing::info!(target: "heartline::slow", method, route, status, seconds, request_id, trace_id, more, "a slow request");
            }
        }
        let (queries, more) = self.queries.untold();
        for slow in &queries {
            let text = |name: &str| slow.labels.value(name).unwrap_or_default();
            let (system, summary) = (text("db.system.name"), text("db.query.summary"));
            let seconds = slow.nanos as f64 / 1e9;
            tracing::info!(target: "heartline::slow", system, summary, seconds, more, "a slow query");
        }
    }
}

impl SlowList {
    /// Keeps an entry if it is among the slowest. Never waits.
    pub(crate) fn add(&self, entry: SlowEntry) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let Some(mut kept) = self.kept.try_lock() else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        if kept.untold.len() < EVENTS_MAX {
            kept.untold.push(SlowEntry { tree: None, ..entry.clone() });
        }
        let expired = |old: &SlowEntry| entry.ended.saturating_sub(old.ended) > SLOW_WINDOW;
        let slowest = &mut kept.slowest;
        let place = slowest.iter().position(expired).or_else(|| {
            let least = slowest.iter().enumerate().min_by_key(|(_, old)| old.nanos)?;
            (slowest.len() >= SLOW_MAX && least.1.nanos < entry.nanos).then_some(least.0)
        });
        if let Some(old) = place.and_then(|at| slowest.get_mut(at)) {
            *old = entry;
        } else if slowest.len() < SLOW_MAX {
            slowest.push(entry);
        }
    }

    /// The slowest of the window that ends at `now`, the slowest first; how many there were ever, and how many of them
    /// were missed.
    pub(crate) fn slowest(&self, now: Duration) -> (Vec<SlowEntry>, u64, u64) {
        let mut slowest = self.kept.lock().slowest.clone();
        slowest.retain(|entry| now.saturating_sub(entry.ended) <= SLOW_WINDOW);
        slowest.sort_by_key(|entry| std::cmp::Reverse(entry.nanos));
        (slowest, self.seen.load(Ordering::Relaxed), self.missed.load(Ordering::Relaxed))
    }

    /// What was not logged yet.
    fn untold(&self) -> (Vec<SlowEntry>, bool) {
        let untold = std::mem::take(&mut self.kept.lock().untold);
        let more = untold.len() >= EVENTS_MAX;
        (untold, more)
    }
}

impl NewestList {
    /// Keeps an entry in place of the oldest. Never waits.
    pub(crate) fn add(&self, entry: SlowEntry) {
        self.seen.fetch_add(1, Ordering::Relaxed);
        let Some(mut kept) = self.kept.try_lock() else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return;
        };
        let oldest = if kept.len() < SLOW_MAX { None } else { kept.pop_front() };
        kept.push_back(entry);
        drop(kept);
        drop(oldest); // not while others cannot add
    }

    /// Counts one that is not kept because another like it was, just before.
    pub(crate) fn pass_over(&self) {
        self.seen.fetch_add(1, Ordering::Relaxed);
    }

    /// Those of the window that ends at `now`, the newest first; how many there were ever, and how many of them came while
    /// the list was being read.
    pub(crate) fn newest(&self, now: Duration) -> (Vec<SlowEntry>, u64, u64) {
        let mut newest: Vec<SlowEntry> = self.kept.lock().iter().rev().cloned().collect();
        newest.retain(|entry| now.saturating_sub(entry.ended) <= SLOW_WINDOW);
        (newest, self.seen.load(Ordering::Relaxed), self.missed.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(nanos: u64, second: u64) -> SlowEntry {
        SlowEntry::new(Labels::empty(), nanos, Tick { mono: Duration::from_secs(second), wall: UnixMillis(0) })
    }

    fn kept(list: &SlowList, second: u64) -> Vec<u64> {
        list.slowest(Duration::from_secs(second)).0.iter().map(|entry| entry.nanos).collect()
    }

    #[test]
    fn the_slowest_of_the_window_stay_and_the_list_is_bounded() {
        let list = SlowList::default();
        (1..=200).for_each(|nanos| list.add(entry(nanos, 1)));
        assert_eq!(kept(&list, 1), (137..=200).rev().collect::<Vec<_>>());
        list.add(entry(1, 1));
        assert_eq!(kept(&list, 1).len(), SLOW_MAX);
        assert!(kept(&list, 302).is_empty());
        list.add(entry(1, 400));
        assert_eq!(kept(&list, 400), [1]);
        assert_eq!(list.slowest(Duration::ZERO).1, 202);
    }

    #[test]
    fn the_newest_failures_push_the_oldest_out_and_those_passed_over_are_counted() {
        let list = NewestList::default();
        (1..=200).for_each(|nanos| list.add(entry(nanos, 1)));
        list.pass_over();
        let (newest, seen, missed) = list.newest(Duration::from_secs(1));
        assert_eq!(newest.iter().map(|entry| entry.nanos).collect::<Vec<_>>(), (137..=200).rev().collect::<Vec<_>>());
        assert_eq!((seen, missed), (201, 0));
        assert!(list.newest(Duration::from_secs(400)).0.is_empty());
        let reader = list.kept.lock();
        list.add(entry(1, 1));
        drop(reader);
        assert_eq!(list.newest(Duration::from_secs(1)).2, 1);
    }

    #[test]
    fn a_thread_of_the_host_does_not_wait_for_a_reader() {
        let list = SlowList::default();
        let reader = list.kept.lock();
        list.add(entry(1, 1));
        drop(reader);
        assert_eq!((kept(&list, 1).len(), list.slowest(Duration::ZERO).2), (0, 1));
    }
}
