//! Kept spans on their way to an exporter: the newest ones, in a queue that no thread of the host waits for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crossbeam_queue::ArrayQueue;

use super::kept::Kept;

/// Requests that wait for an exporter; a further one takes the place of the oldest.
const WAITING_MAX: usize = 256;

/// The queue. There is none, and nothing is put into it, while nobody takes from it.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: OnceLock<ArrayQueue<Arc<Kept>>>,
    exported: AtomicU64,
    lost: AtomicU64,
}

impl Outbox {
    /// From now on somebody takes them.
    pub(crate) fn open(&self) {
        self.waiting.get_or_init(|| ArrayQueue::new(WAITING_MAX));
    }

    /// The spans of a request that just ended.
    pub(crate) fn put(&self, kept: &Arc<Kept>) {
        let Some(waiting) = self.waiting.get() else { return };
        let oldest = waiting.force_push(Arc::clone(kept));
        self.lost(u64::from(oldest.is_some()));
    }

    /// Takes up to so many of the oldest.
    pub(crate) fn take(&self, most: usize) -> Vec<Arc<Kept>> {
        self.waiting.get().into_iter().flat_map(|waiting| std::iter::from_fn(|| waiting.pop())).take(most).collect()
    }

    /// Requests whose spans a receiver has.
    pub(crate) fn exported(&self, requests: u64) {
        self.exported.fetch_add(requests, Ordering::Relaxed);
    }

    /// Requests whose spans no receiver will ever have, or not all of them.
    pub(crate) fn lost(&self, requests: u64) {
        self.lost.fetch_add(requests, Ordering::Relaxed);
    }

    /// How many were exported, and how many lost; `None` while nobody takes them.
    pub(crate) fn counts(&self) -> Option<(u64, u64)> {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        self.waiting.get().map(|_| (read(&self.exported), read(&self.lost)))
    }
}

#[cfg(test)]
mod tests {
    use heartline_shared::Labels;

    use super::super::kept::Ending;
    use super::super::tree::{Tree, Within};
    use super::*;
    use crate::clock::Stamp;

    fn kept(nanos: u64) -> Arc<Kept> {
        let mut tree = Tree::new();
        tree.begin((0, 0), Stamp::now(), Within::Nothing);
        let ending = Ending { labels: Labels::empty(), nanos, status: None, error_type: None };
        Arc::new(Kept::new(&tree, ending).unwrap())
    }

    #[test]
    fn the_newest_stay_and_what_is_lost_is_counted() {
        let outbox = Outbox::default();
        outbox.put(&kept(0));
        assert!(outbox.take(9).is_empty() && outbox.counts().is_none(), "nobody takes them");
        outbox.open();
        (0..300).for_each(|nanos| outbox.put(&kept(nanos)));
        let taken: Vec<u64> = outbox.take(100).iter().map(|kept| kept.ending.nanos).collect();
        assert_eq!(taken, (44..144).collect::<Vec<_>>());
        outbox.exported(100);
        assert_eq!((outbox.take(999).len(), outbox.counts()), (156, Some((100, 44))));
    }
}
