//! What the request that this thread is working on has spent its time on, by kind; whose request it is, is known only to
//! who began it. Work that a request hands to another task is not counted as the request's.

use std::cell::Cell;

/// What a request spends time on besides its own work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spending {
    /// Queries, and reading their rows.
    Queries,
    /// Waiting for a connection of a pool.
    Pool,
    /// Asking caches.
    Cache,
    /// Calls to other services, through a circuit breaker.
    Outbound,
}

impl Spending {
    /// Each, at its index.
    pub(crate) const ALL: [Self; 4] = [Self::Queries, Self::Pool, Self::Cache, Self::Outbound];

    /// Its name in documents.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Queries => "queries",
            Self::Pool => "pool_wait",
            Self::Cache => "cache",
            Self::Outbound => "outbound",
        }
    }
}

/// How often, and how long together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    pub(crate) count: u32,
    pub(crate) nanos: u64,
}

/// What one request spent on queries, waits for pools, caches and breakers' calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Spent([Share; Spending::ALL.len()]);

impl Spent {
    /// The share of one kind.
    pub(crate) const fn on(&self, kind: Spending) -> Share {
        self.0[kind as usize]
    }

    /// Adds what was spent from `earlier` until `now`, two readings of one thread's own sums.
    fn add_between(&mut self, earlier: &Self, now: &Self) {
        for ((own, earlier), now) in self.0.iter_mut().zip(&earlier.0).zip(&now.0) {
            own.count = own.count.saturating_add(now.count.wrapping_sub(earlier.count));
            own.nanos = own.nanos.saturating_add(now.nanos.wrapping_sub(earlier.nanos));
        }
    }
}

/// What was spent on one thread since the outermost of its marks.
struct Sums {
    marks: Cell<u32>,
    spends: Cell<u32>,
    shares: [Cell<Share>; Spending::ALL.len()],
}

thread_local! {
    static SUMS: Sums = const {
        Sums {
            marks: Cell::new(0),
            spends: Cell::new(0),
            shares: [const { Cell::new(Share { count: 0, nanos: 0 }) }; Spending::ALL.len()],
        }
    };
}

impl Sums {
    fn read(&self) -> Spent {
        Spent(self.shares.each_ref().map(Cell::get))
    }

    /// What was spent before is nobody's any more.
    fn forget(&self) {
        self.spends.set(0);
        self.shares.iter().for_each(|share| share.set(Share::default()));
    }
}

/// Adds to what this thread has spent. Cost: two loads and stores.
#[inline]
pub(crate) fn spend(on: Spending, nanos: u64) {
    SUMS.with(|sums| {
        let share = &sums.shares[on as usize];
        let before = share.get();
        share.set(Share { count: before.count.wrapping_add(1), nanos: before.nanos.wrapping_add(nanos) });
        sums.spends.set(sums.spends.get().wrapping_add(1));
    });
}

/// The sums of this thread at the beginning of a piece of work on a request: for a future, of each of its polls. Requests
/// within requests each count what is spent in them, so that the outer one counts the inner one's too.
#[derive(Debug)]
pub(crate) struct Mark {
    spends: u32,
    /// Nothing, where nothing was spent yet: most often, so that it is apart.
    then: Option<Box<Spent>>,
}

impl Mark {
    /// Now. Cost: two loads and a store of the thread's own memory, where nothing was spent yet.
    #[inline]
    pub(crate) fn now() -> Self {
        let (spends, marks) = SUMS.with(|sums| {
            let marks = sums.marks.get();
            sums.marks.set(marks + 1);
            (sums.spends.get(), marks)
        });
        if spends == 0 { Self { spends: 0, then: None } } else { Self::later(marks) }
    }

    /// A request within a request, or after something was spent.
    #[inline(never)]
    fn later(marks: u32) -> Self {
        SUMS.with(|sums| {
            if marks == 0 {
                sums.forget();
            }
            Self { spends: sums.spends.get(), then: (sums.spends.get() > 0).then(|| Box::new(sums.read())) }
        })
    }

    /// Adds what this thread has spent since to what `spent` gives, which is not asked when that is nothing.
    #[inline]
    pub(crate) fn add_to<'a>(&self, spent: impl FnOnce() -> &'a mut Spent) {
        if SUMS.with(|sums| sums.spends.get()) != self.spends {
            self.add_all_to(spent());
        }
    }

    #[inline(never)]
    fn add_all_to(&self, spent: &mut Spent) {
        spent.add_between(self.then.as_deref().unwrap_or(&Spent::default()), &SUMS.with(Sums::read));
    }
}

impl Drop for Mark {
    #[inline]
    fn drop(&mut self) {
        SUMS.with(|sums| sums.marks.set(sums.marks.get() - 1));
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn each_request_counts_what_is_spent_in_it_also_within_another_and_after_a_panic() {
        let (mut outer, mut inner) = (Spent::default(), Spent::default());
        let outer_mark = Mark::now();
        spend(Spending::Queries, 5);
        let inner_mark = Mark::now();
        spend(Spending::Queries, 7);
        inner_mark.add_to(|| &mut inner);
        let unwound = catch_unwind(AssertUnwindSafe(|| {
            spend(Spending::Cache, 3);
            panic!("within")
        }));
        assert!(unwound.is_err());
        spend(Spending::Pool, 11);
        outer_mark.add_to(|| &mut outer);
        assert_eq!(inner.on(Spending::Queries), Share { count: 1, nanos: 7 });
        assert_eq!(inner.on(Spending::Pool), Share::default());
        assert_eq!(outer.on(Spending::Queries), Share { count: 2, nanos: 12 });
        assert_eq!(outer.on(Spending::Cache), Share { count: 1, nanos: 3 });
        assert_eq!(outer.on(Spending::Pool), Share { count: 1, nanos: 11 });
    }

    #[test]
    fn sums_that_go_round_are_told_apart_all_the_same() {
        let mut spent = Spent::default();
        let earlier = Spent([Share { count: u32::MAX, nanos: u64::MAX - 1 }; 4]);
        let now = Spent([Share { count: 1, nanos: 8 }; 4]);
        spent.add_between(&earlier, &now);
        assert_eq!(spent.on(Spending::Cache), Share { count: 2, nanos: 10 });
    }

    #[test]
    fn what_was_spent_on_no_request_is_not_the_next_ones() {
        spend(Spending::Cache, 100);
        let mut spent = Spent::default();
        let mark = Mark::now();
        spend(Spending::Cache, 7);
        mark.add_to(|| &mut spent);
        assert_eq!(spent.on(Spending::Cache), Share { count: 1, nanos: 7 });
    }

    #[test]
    fn nothing_spent_asks_for_nowhere_to_put_it() {
        Mark::now().add_to(|| panic!("asked"));
    }
}
