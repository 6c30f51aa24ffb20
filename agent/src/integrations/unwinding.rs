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
pub(super) struct Unwinding<'a, G: EndedByPanic>(Option<&'a mut Option<G>>);

impl<'a, G: EndedByPanic> Unwinding<'a, G> {
    /// From here on a panic ends `guard`. What is called in between is not a closure's, so that what it takes and gives back
    /// is moved no more often than it would be anyway.
    #[inline]
    pub(super) fn begin(guard: &'a mut Option<G>) -> Self {
        Self(Some(guard))
    }

    /// There was none.
    #[inline]
    pub(super) fn passed(mut self) -> Option<&'a mut G> {
        self.0.take()?.as_mut()
    }

    /// Runs `work`; if it panics, `guard` ends as panicked.
    #[inline]
    pub(super) fn watch<T>(guard: &'a mut Option<G>, work: impl FnOnce() -> T) -> T {
        let watching = Self::begin(guard);
        let done = work();
        watching.passed();
        done
    }
}

impl<G: EndedByPanic> Drop for Unwinding<'_, G> {
    fn drop(&mut self) {
        if let Some(guard) = self.0.take().and_then(Option::take) {
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
