//! How many bytes the series of one agent may take, and how many they do; it does not know what they are taken for.

use super::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The bytes of an agent's series. Admission counts what a series may yet need, the published figure what it holds.
///
/// Up to three quarters of the limit histograms are as fine as their grid; then they go on in groups of buckets, for
/// which every series has reserved room. Names from outside may make series up to seven eighths of it, so that a flood of
/// them leaves room for the series that the service named itself; at the limit these are refused too.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    /// Held and reserved.
    committed: AtomicUsize,
    held: AtomicUsize,
    /// What else the agent keeps, as far as it was said.
    overhead: AtomicUsize,
    short: AtomicBool,
}

impl Budget {
    pub(crate) fn new(limit: usize) -> Self {
        let (committed, held, overhead) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        Self { limit, committed, held, overhead, short: AtomicBool::new(false) }
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Says what is kept beside series; it counts against the same limit.
    pub(crate) fn set_overhead(&self, bytes: usize) {
        self.overhead.store(bytes, Ordering::Relaxed);
    }

    /// Whether histograms had to become coarser.
    pub(crate) fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Takes `now` bytes and reserves `later` ones, or neither.
    pub(crate) fn admit(&self, now: usize, later: usize) -> bool {
        self.admit_within(self.limit, now, later)
    }

    /// The same for a name from outside.
    pub(crate) fn admit_from_outside(&self, now: usize, later: usize) -> bool {
        self.admit_within(self.limit / 8 * 7, now, later)
    }

    /// Undoes an admission, before anything was drawn.
    pub(crate) fn dismiss(&self, now: usize, later: usize) {
        subtract(&self.held, now);
        subtract(&self.committed, now.saturating_add(later));
    }

    fn admit_within(&self, limit: usize, now: usize, later: usize) -> bool {
        let admitted = self.commit(now.saturating_add(later), limit);
        if admitted {
            self.held.fetch_add(now, Ordering::Relaxed);
        }
        admitted
    }

    /// Takes bytes for precision, if there are enough left for everything else.
    pub(crate) fn grow(&self, bytes: usize) -> bool {
        if self.is_short() {
            return false;
        }
        let grown = self.commit(bytes, self.limit / 4 * 3);
        if grown {
            self.held.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.short.store(true, Ordering::Relaxed);
        }
        grown
    }

    /// Takes bytes that were reserved.
    pub(crate) fn draw(&self, bytes: usize) {
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes bytes that must be had and were not reserved: what a store beside the first one needs.
    pub(crate) fn exceed(&self, bytes: usize) {
        self.committed.fetch_add(bytes, Ordering::Relaxed);
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives back what [`draw`](Self::draw) took; it is reserved again.
    pub(crate) fn undraw(&self, bytes: usize) {
        subtract(&self.held, bytes);
    }

    /// Gives back what [`grow`](Self::grow) or [`exceed`](Self::exceed) took.
    pub(crate) fn give_back(&self, bytes: usize) {
        subtract(&self.held, bytes);
        subtract(&self.committed, bytes);
    }

    /// The fault that the model of the budget must find: what was free a moment ago is taken.
    #[cfg(all(test, heartline_loom))]
    pub(crate) fn admit_with_planted_fault(&self, now: usize, later: usize) -> bool {
        let admitted = self.committed.load(Ordering::Relaxed) + now + later <= self.limit;
        if admitted {
            self.committed.fetch_add(now + later, Ordering::Relaxed);
            self.held.fetch_add(now, Ordering::Relaxed);
        }
        admitted
    }

    fn commit(&self, bytes: usize, limit: usize) -> bool {
        let room = limit.saturating_sub(self.overhead.load(Ordering::Relaxed));
        let commit = |held: usize| held.checked_add(bytes).filter(|&after| after <= room);
        self.committed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, commit).is_ok()
    }
}

fn subtract(from: &AtomicUsize, bytes: usize) {
    let less = |held: usize| Some(held.saturating_sub(bytes));
    let _ = from.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less); // `less` refuses nothing
}

#[cfg(all(test, not(heartline_loom)))]
mod tests {
    use super::*;

    #[test]
    fn precision_is_given_up_first_and_names_of_the_service_are_refused_last() {
        let budget = Budget::new(8_000);
        assert!(budget.admit(1_000, 4_000));
        assert!(budget.grow(1_000) && !budget.is_short());
        assert!(!budget.grow(1) && budget.is_short());
        assert!(budget.admit_from_outside(500, 500) && !budget.admit_from_outside(1, 0));
        assert!(budget.admit(500, 500) && !budget.admit(1, 0));
        assert_eq!(budget.held(), 3_000);
        budget.dismiss(500, 500);
        assert!(budget.admit(900, 100) && !budget.admit(1, 0));
    }

    #[test]
    fn drawing_what_was_reserved_commits_nothing_more() {
        let budget = Budget::new(8_000);
        assert!(budget.admit(0, 8_000));
        budget.draw(8_000);
        assert_eq!(budget.held(), 8_000);
        budget.undraw(8_000);
        assert!(!budget.admit(1, 0));
    }
}
