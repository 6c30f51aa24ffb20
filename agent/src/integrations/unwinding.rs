//! Tells a panic in the code it surrounds from every other way of leaving; what is done about it is the guard's business.

/// A guard that can be ended by a panic.
pub(super) trait EndedByPanic {
    /// The work that the guard stands for panicked.
    fn panicked(self);
}

/// Surrounds a call into foreign code. When that call unwinds, the guard is taken and told so; the panic goes on.
///
/// A guard cannot find this out by itself: `std::thread::panicking` is also true while an unrelated panic drops a
/// future that merely waited.
pub(super) struct Unwinding<'a, G: EndedByPanic>(&'a mut Option<G>);

impl<'a, G: EndedByPanic> Unwinding<'a, G> {
    /// Runs `work`; if it panics, `guard` ends as panicked.
    pub(super) fn watch<T>(guard: &'a mut Option<G>, work: impl FnOnce() -> T) -> T {
        let watching = Self(guard);
        let done = work();
        std::mem::forget(watching);
        done
    }
}

impl<G: EndedByPanic> Drop for Unwinding<'_, G> {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take() {
            guard.panicked();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    struct Flag<'a>(&'a mut bool);

    impl EndedByPanic for Flag<'_> {
        fn panicked(self) {
            *self.0 = true;
        }
    }

    #[test]
    fn only_a_panic_takes_the_guard() {
        let mut told = false;
        let mut guard = Some(Flag(&mut told));
        assert_eq!(Unwinding::watch(&mut guard, || 7), 7);
        assert!(guard.is_some());
        let unwound = catch_unwind(AssertUnwindSafe(|| Unwinding::watch(&mut guard, || panic!("foreign code"))));
        assert!(unwound.is_err() && guard.is_none());
        assert!(told);
    }
}
