//! Lets in who finds it open, which a signal handler does without waiting, and tells who closes it when nobody is inside any
//! more. What is behind it is not known here.
#![expect(
    unsafe_code,
    reason = "a handler can take no count of what it uses; that it was counted itself is the door's work"
)]

use std::ptr;

use crate::recording::sync::Arc;
use crate::recording::sync::atomic::{AtomicPtr, AtomicUsize, Ordering, fence};

/// A door to a value that is somebody else's.
#[derive(Debug)]
pub(crate) struct Door<T> {
    /// The value; null while the door is closed.
    behind: AtomicPtr<T>,
    /// Those who may be using it.
    inside: AtomicUsize,
}

impl<T> Door<T> {
    /// A closed door.
    #[cfg(not(heartline_loom))]
    pub(crate) const fn closed() -> Self {
        Self { behind: AtomicPtr::new(ptr::null_mut()), inside: AtomicUsize::new(0) }
    }

    /// A closed door; loom's atomics cannot be made ahead of time.
    #[cfg(heartline_loom)]
    pub(crate) fn closed() -> Self {
        Self { behind: AtomicPtr::new(ptr::null_mut()), inside: AtomicUsize::new(0) }
    }

    /// Opens the door to `value`, which must be there until [`close`](Self::close) has said that nobody is inside.
    pub(crate) fn open(&self, value: &Arc<T>) {
        self.behind.store(ptr::from_ref::<T>(value.as_ref()).cast_mut(), Ordering::Release);
    }

    /// Does `work` with the value if the door is open. Takes no lock and waits for nobody.
    pub(crate) fn enter(&self, work: impl FnOnce(&T)) {
        self.inside.fetch_add(1, Ordering::Relaxed);
        // one of the two sees the other: we the closed door, or who closes it us
        fence(Ordering::SeqCst);
        let behind = self.behind.load(Ordering::Acquire);
        if !behind.is_null() {
            // SAFETY: whoever closes the door keeps the value until nobody is inside, and we were counted before we looked.
            work(unsafe { &*behind });
        }
        self.inside.fetch_sub(1, Ordering::Release);
    }

    /// Closes the door, and asks `wait` again and again while somebody is inside. Whether nobody is: `wait` may give up.
    pub(crate) fn close(&self, mut wait: impl FnMut() -> bool) -> bool {
        self.behind.store(ptr::null_mut(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        while self.inside.load(Ordering::Acquire) > 0 {
            if !wait() {
                return false;
            }
        }
        true
    }

    /// As [`close`](Self::close), for who does not look whether somebody is inside.
    #[cfg(heartline_loom)]
    pub(crate) fn close_with_planted_fault(&self, _wait: impl FnMut() -> bool) -> bool {
        self.behind.store(ptr::null_mut(), Ordering::Relaxed);
        true
    }
}
