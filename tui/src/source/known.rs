//! What is known of a target from one poll to the next, so that it need send only what changed. How it is asked is not
//! known here.

use std::sync::Arc;

use heartline_shared::Snapshot;

use super::Answer;

/// After this many documents of changes in a row, the whole is asked for: whatever was wrong does not stay.
const CHANGES_MAX: u32 = 300;

/// The newest document of a target, and whether it can be asked for changes.
#[derive(Debug, Default)]
pub(super) struct Known {
    newest: Option<Arc<Snapshot>>,
    changes: u32,
    /// The agent does not know how to send changes.
    whole_only: bool,
}

impl Known {
    /// What the target may be asked for changes of.
    pub(super) fn base(&self) -> Option<Arc<Snapshot>> {
        self.newest.clone().filter(|_| !self.whole_only && self.changes < CHANGES_MAX)
    }

    /// Keeps an answer; `changed` where it came as changes.
    pub(super) fn keep(&mut self, answer: &Answer, changed: bool) {
        self.changes = if changed { self.changes + 1 } else { 0 };
        // where series are left out, changes of them would be missing too
        self.newest = Some(Arc::clone(&answer.snapshot)).filter(|_| answer.series_left_out == 0);
    }

    /// The next document must be whole, because the last changes did not fit.
    pub(super) fn forget(&mut self) {
        self.newest = None;
    }

    /// The target is asked for whole documents from now on.
    pub(super) fn give_up(&mut self) {
        self.whole_only = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(series_left_out: u64) -> Answer {
        Answer { snapshot: Arc::default(), bytes: 9, series_left_out }
    }

    #[test]
    fn the_whole_is_asked_for_at_first_now_and_then_and_when_it_must_be() {
        let mut known = Known::default();
        assert!(known.base().is_none());
        known.keep(&answer(0), false);
        for _ in 0..CHANGES_MAX {
            assert!(known.base().is_some());
            known.keep(&answer(0), true);
        }
        assert!(known.base().is_none(), "now and then");
        known.keep(&answer(0), false);
        assert!(known.base().is_some());
        known.keep(&answer(1), false);
        assert!(known.base().is_none(), "some of it was left out");
        known.keep(&answer(0), false);
        known.forget();
        assert!(known.base().is_none());
        known.keep(&answer(0), false);
        known.give_up();
        assert!(known.base().is_none());
    }
}
