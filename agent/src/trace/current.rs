//! Which span this thread is in: a short stack, kept by whoever enters and leaves. What the spans are is not known here.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::forest::{Handle, forest};
use crate::clock::Stamp;

/// Spans within spans that a thread keeps apart; those that are deeper belong to the last of them.
const DEPTH_MAX: usize = 64;
/// Requests are no spans of the registry.
const REQUEST: u64 = 0;

#[derive(Debug, Clone, Copy)]
struct Entry {
    id: u64,
    handle: Handle,
    entered: u64,
}

struct Stack {
    depth: Cell<usize>,
    entries: [Cell<Entry>; DEPTH_MAX],
    /// Where this thread found a free tree the last time.
    near: Cell<usize>,
}

thread_local! {
    static STACK: Stack = const {
        Stack {
            depth: Cell::new(0),
            entries: [const { Cell::new(Entry { id: 0, handle: Handle::NONE, entered: 0 }) }; DEPTH_MAX],
            near: Cell::new(usize::MAX),
        }
    };
}
/// Threads begin apart from each other.
static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);
const THREADS_APART: usize = 64;

/// The span that this thread is in.
#[inline]
pub(super) fn top() -> Option<Handle> {
    // a thread that ends is in none
    STACK.try_with(|stack| Some(stack.entries.get(stack.depth.get().checked_sub(1)?)?.get().handle)).ok().flatten()
}

/// This thread enters a span of the registry.
#[inline]
pub(super) fn enter(id: u64, handle: Handle, now: Stamp) {
    let _ = STACK.try_with(|stack| stack.push(Entry { id, handle, entered: now.cycles() }));
}

/// This thread leaves a span of the registry: whose it is and when it was entered, if it was here.
#[inline]
pub(super) fn leave(id: u64) -> Option<(Handle, Stamp)> {
    STACK.try_with(|stack| stack.remove(id)).ok().flatten()
}

pub(super) fn near() -> usize {
    let near = STACK.try_with(|stack| stack.near.get()).unwrap_or(0);
    if near == usize::MAX {
        NEXT_THREAD.fetch_add(1, Ordering::Relaxed).wrapping_mul(THREADS_APART) & 0xFFFF
    } else {
        near
    }
}

pub(super) fn set_near(place: usize) {
    let _ = STACK.try_with(|stack| stack.near.set(place)); // a thread that ends looks anywhere
}

impl Stack {
    #[inline]
    fn push(&self, entry: Entry) {
        let depth = self.depth.get();
        if let Some(place) = self.entries.get(depth) {
            place.set(entry);
            self.depth.set(depth + 1);
        }
    }

    #[inline]
    fn remove(&self, id: u64) -> Option<(Handle, Stamp)> {
        let open = self.entries.get(..self.depth.get())?;
        let at = open.iter().rposition(|entry| entry.get().id == id)?;
        let entry = open.get(at)?.get();
        // spans may be left in another order than they were entered
        open[at..].windows(2).for_each(|pair| pair[0].set(pair[1].get()));
        self.depth.set(open.len() - 1);
        Some((entry.handle, Stamp::of_cycles(entry.entered)))
    }
}

/// This thread works on a request until this is dropped; whatever was entered meanwhile and not left is left then.
#[derive(Debug)]
#[must_use = "the work on the request ends when this is dropped"]
pub(crate) struct Scope {
    handle: Handle,
    depth: usize,
    entered: Stamp,
    /// Of this thread.
    _thread: PhantomData<*const ()>,
}

impl Scope {
    /// Cost without a tree: a comparison.
    #[inline]
    pub(super) fn enter(handle: Handle) -> Self {
        let mut scope = Self { handle, depth: 0, entered: Stamp::of_cycles(0), _thread: PhantomData };
        if !handle.is_none() {
            scope.entered = Stamp::now();
            let entry = Entry { id: REQUEST, handle, entered: scope.entered.cycles() };
            let _ = STACK.try_with(|stack| {
                scope.depth = stack.depth.get();
                stack.push(entry);
            });
        }
        scope
    }

    #[inline]
    fn leave(&self) {
        let _ = STACK.try_with(|stack| stack.depth.set(self.depth));
        if let Some(forest) = forest() {
            forest.was_in(self.handle, self.entered);
        }
    }
}

impl Drop for Scope {
    #[inline]
    fn drop(&mut self) {
        if !self.handle.is_none() {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handle(number: u64) -> Handle {
        Handle::of_bits(number << 32)
    }

    #[test]
    fn spans_are_left_in_any_order_and_the_newest_that_is_open_is_on_top() {
        let now = Stamp::now();
        assert!(top().is_none() && leave(1).is_none());
        for id in [1, 2, 3] {
            enter(id, handle(id), now);
        }
        assert_eq!(top(), Some(handle(3)));
        assert_eq!(leave(2).map(|(left, _)| left), Some(handle(2)));
        assert_eq!(top(), Some(handle(3)));
        assert_eq!(leave(3).map(|(left, _)| left), Some(handle(3)));
        assert_eq!(top(), Some(handle(1)));
        assert!(leave(3).is_none() && leave(1).is_some() && top().is_none());
    }

    #[test]
    fn deeper_spans_than_are_kept_apart_belong_to_the_last() {
        let now = Stamp::now();
        (1..=200).for_each(|id| enter(id, handle(id), now));
        assert_eq!(top(), Some(handle(DEPTH_MAX as u64)));
        (1..=200).rev().for_each(|id| assert_eq!(leave(id).is_some(), id <= DEPTH_MAX as u64));
        assert!(top().is_none());
    }

    #[test]
    fn the_end_of_a_scope_leaves_what_was_forgotten_in_it() {
        let outer = Scope::enter(handle(7));
        let inner = Scope::enter(handle(8));
        enter(9, handle(9), Stamp::now());
        drop(inner);
        assert_eq!(top(), Some(handle(7)));
        drop(outer);
        assert!(top().is_none());
        drop(Scope::enter(Handle::NONE));
    }
}
