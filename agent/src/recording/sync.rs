//! The atomics and locks of this layer, or loom's of the same names when its schedules are explored.

#[cfg(heartline_loom)]
pub(super) use self::modelled::Mutex;
#[cfg(heartline_loom)]
pub(crate) use self::modelled::OnceLock;
#[cfg(heartline_loom)]
pub(crate) use loom::sync::{Arc, atomic};
#[cfg(not(heartline_loom))]
pub(super) use parking_lot::Mutex;
#[cfg(not(heartline_loom))]
pub(crate) use std::sync::{Arc, OnceLock, atomic};

#[cfg(heartline_loom)]
mod modelled {
    use loom::sync::MutexGuard;
    use loom::sync::atomic::{AtomicBool, Ordering};

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
    /// A cell that is set once, as far as those who look without a lock are concerned: one acquire load, behind a release
    /// store of the one that set it.
    #[derive(Debug)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        setting: Mutex<()>,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { is_set: AtomicBool::new(false), setting: Mutex::new(()), value: std::sync::OnceLock::new() }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _setting = self.setting.lock();
            if self.is_set.load(Ordering::Acquire) {
                return Err(value);
            }
            self.value.set(value)?;
            self.is_set.store(true, Ordering::Release);
            Ok(())
        }
    }
}
