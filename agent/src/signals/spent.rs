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

/// What one request spent on queries, waits for pools, caches and breakers' calls; for those who drive requests by
/// themselves: see [`RequestGuard::set_spent`](crate::RequestGuard::set_spent).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent([Share; Spending::ALL.len()]);

impl Spent {
    /// The share of one kind.
    pub(crate) const fn on(&self, kind: Spending) -> Share {
        self.0[kind as usize]
    }

    /// Works on a request: what is spent during `work` is added. For a future, that is each of its polls. Requests within
    /// requests each count their own. Cost: a few loads and stores of the thread's own memory.
    #[inline]
    pub fn during<T>(self, work: impl FnOnce() -> T) -> (T, Self) {
        let outer = Outer(exchange(self));
        let done = work();
        let own = exchange(outer.0);
        std::mem::forget(outer);
        (done, own)
    }
}

thread_local! {
    static SPENT: [Cell<Share>; Spending::ALL.len()] =
        const { [const { Cell::new(Share { count: 0, nanos: 0 }) }; Spending::ALL.len()] };
}

/// Adds to the request that this thread is working on; to nobody when there is none. Cost: one load and store.
#[inline]
pub(crate) fn spend(on: Spending, nanos: u64) {
    let add = |shares: &[Cell<Share>; Spending::ALL.len()]| {
        let share = &shares[on as usize];
        let before = share.get();
        share.set(Share { count: before.count.saturating_add(1), nanos: before.nanos.saturating_add(nanos) });
    };
    // a thread that ends works on no request
    let _ = SPENT.try_with(add);
}

/// Puts the outer request back when the inner one unwinds.
struct Outer(Spent);

impl Drop for Outer {
    fn drop(&mut self) {
        exchange(self.0);
    }
}

#[inline]
fn exchange(new: Spent) -> Spent {
    SPENT.try_with(|shares| Spent(std::array::from_fn(|at| shares[at].replace(new.0[at])))).unwrap_or(new)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn each_request_counts_its_own_also_within_another_and_after_a_panic() {
        let ((inner, after), outer) = Spent::default().during(|| {
            spend(Spending::Queries, 5);
            let ((), inner) = Spent::default().during(|| spend(Spending::Queries, 7));
            let unwound = catch_unwind(AssertUnwindSafe(|| Spent::default().during(|| -> u8 { panic!("within") })));
            spend(Spending::Pool, 11);
            (inner, unwound.is_err())
        });
        assert!(after);
        assert_eq!(inner.on(Spending::Queries), Share { count: 1, nanos: 7 });
        assert_eq!(outer.on(Spending::Queries), Share { count: 1, nanos: 5 });
        assert_eq!(outer.on(Spending::Pool), Share { count: 1, nanos: 11 });
        let ((), next) = outer.during(|| spend(Spending::Queries, 1));
        assert_eq!(next.on(Spending::Queries), Share { count: 2, nanos: 6 });
    }
}
