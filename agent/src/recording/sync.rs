//! The atomics and locks of this layer, or loom's of the same names when its schedules are explored.

#[cfg(heartline_loom)]
pub(super) use self::modelled::Mutex;
#[cfg(heartline_loom)]
pub(super) use loom::sync::{Arc, atomic};
#[cfg(not(heartline_loom))]
pub(super) use parking_lot::Mutex;
#[cfg(not(heartline_loom))]
pub(super) use std::sync::{Arc, atomic};

#[cfg(heartline_loom)]
mod modelled {
    use loom::sync::MutexGuard;

    /// loom's mutex with the signatures of the one that ships.
    #[derive(Debug)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect("models do not panic while they hold a lock")
        }

        pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
            self.0.try_lock().ok()
        }
    }
}
