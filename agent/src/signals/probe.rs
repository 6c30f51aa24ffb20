//! A callback of the host that is asked at intervals: its panics are counted, and three of them end it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::instruments::Counter;
use crate::snapshot::{Collector, Families, Tick};

/// Failures after which a callback is not called again.
const STRIKES_MAX: u32 = 3;

/// A named callback that adds to a snapshot.
pub(crate) struct Probe<F> {
    name: String,
    ask: F,
    strikes: u32,
    failures: Counter,
}

impl<F: FnMut(&mut Families, Tick) + Send> Probe<F> {
    pub(crate) fn new(name: String, failures: Counter, ask: F) -> Self {
        Self { name, ask, strikes: 0, failures }
    }
}

impl<F: FnMut(&mut Families, Tick) + Send> Collector for Probe<F> {
    fn subject(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn collect(&mut self, into: &mut Families, now: Tick) {
        if self.strikes >= STRIKES_MAX {
            return;
        }
        let mut added = Families::default();
        if catch_unwind(AssertUnwindSafe(|| (self.ask)(&mut added, now))).is_ok() {
            return into.absorb(added);
        }
        self.strikes += 1;
        self.failures.increment();
        let (callback, strike) = (&self.name, self.strikes);
        tracing::warn!(callback, strike, "a callback of the service panicked; it is not called after 3 strikes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_callback_that_panics_is_counted_and_not_called_after_three_strikes() {
        let failures = Counter::default();
        let mut calls = 0;
        let mut probe = Probe::new("pool main".to_owned(), failures.clone(), |_: &mut Families, _| {
            calls += 1;
            panic!("broken probe");
        });
        let mut families = Families::default();
        for _ in 0..10 {
            probe.collect(&mut families, Tick::now());
        }
        drop(probe);
        assert_eq!((calls, failures.value()), (3, 3));
    }
}
