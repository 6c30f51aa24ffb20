//! The trees of all requests that are open, in a fixed number of places that threads take and give back without waiting for
//! each other. A handle says which span of which request is meant, and means nothing once that request has ended.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use parking_lot::{Mutex, MutexGuard};

use super::current;
use super::host::{self, Around};
use super::open_spans::OpenSpans;
use super::tree::{Budget, Origin, Tree, Within};
use super::work::{Wait, Whose};
use crate::clock::Stamp;

/// Requests that have a tree at a time; a power of two.
const PLACES: usize = 1_024;
/// Places that a request looks at.
const LOOKS: usize = 8;
/// How often a thread looks whether a tree is free that another thread of the same request is writing to, which takes tens of
/// nanoseconds; and how often it lets other threads run in between, should that one have been interrupted. Then it does
/// without, which is counted.
const SPINS: u32 = 64;
const YIELDS: u32 = 16;
/// Bytes of the trees of open requests, and of those that are kept.
pub(super) static OPEN_BYTES: Budget = Budget::new(8 << 20);
pub(super) static KEPT_BYTES: Budget = Budget::new(8 << 20);

static FOREST: OnceLock<Forest> = OnceLock::new();

/// The trees, and what is counted of all.
#[derive(Debug)]
pub(super) struct Forest {
    places: Box<[CachePadded<Place>]>,
    pub(super) spans: OpenSpans,
    /// Requests that found no place, or no memory.
    pub(super) without_tree: AtomicU64,
    /// What came while its tree was in use elsewhere, and was left out.
    pub(super) missed: AtomicU64,
    /// Requests that were to be kept and found no memory.
    pub(super) unkept: AtomicU64,
}

#[derive(Debug)]
struct Place {
    tree: Mutex<Planted>,
    /// The request that ended while its tree was in use elsewhere: whoever looks for a place may have it.
    deserted: AtomicU32,
}

#[derive(Debug)]
struct Planted {
    /// Counts requests, so that handles of earlier ones mean nothing. Zero is none.
    generation: u32,
    is_taken: bool,
    tree: Tree,
}

/// A span of an open request: 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle(u64);

/// What this process counts of trees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) without_tree: u64,
    pub(crate) missed: u64,
    pub(crate) unkept: u64,
}

impl Handle {
    pub(super) const NONE: Self = Self(0);

    fn new(place: usize, generation: u32) -> Self {
        Self(u64::from(generation) << 32 | (place as u64) << 16)
    }

    pub(super) fn bits(self) -> u64 {
        self.0
    }

    pub(super) fn of_bits(bits: u64) -> Self {
        Self(bits)
    }

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Its number in the tree.
    #[inline]
    pub(super) fn span(self) -> u16 {
        (self.0 & 0xFFFF) as u16
    }

    #[inline]
    pub(super) fn with_span(self, span: u16) -> Self {
        Self(self.0 & !0xFFFF | u64::from(span))
    }

    fn place(self) -> usize {
        (self.0 >> 16 & 0xFFFF) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

/// The trees, if there is a layer.
#[inline]
pub(super) fn forest() -> Option<&'static Forest> {
    FOREST.get()
}

/// Plants the trees, the first time.
pub(super) fn plant() -> &'static Forest {
    crate::clock::calibrate();
    FOREST.get_or_init(|| Forest {
        places: (0..PLACES).map(|_| CachePadded::new(Place::new())).collect(),
        spans: OpenSpans::new(),
        without_tree: AtomicU64::new(0),
        missed: AtomicU64::new(0),
        unkept: AtomicU64::new(0),
    })
}

/// Bytes of all that is kept of spans in this process.
pub(crate) fn bytes() -> usize {
    let fixed = PLACES * size_of::<CachePadded<Place>>() + OpenSpans::BYTES;
    forest().map_or(0, |_| fixed + OPEN_BYTES.used() + KEPT_BYTES.used())
}

/// What is counted of all trees; `None` while there is no layer.
pub(crate) fn counts() -> Option<Counts> {
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    forest().map(|forest| Counts {
        without_tree: read(&forest.without_tree),
        missed: read(&forest.missed),
        unkept: read(&forest.unkept),
    })
}

/// The trace of each open request, and what it waits for. A tree that is written to meanwhile is left out.
pub(crate) fn waits() -> HashMap<Whose, (u128, Option<Wait>)> {
    let mut found = HashMap::new();
    let now = Stamp::now();
    for place in forest().map_or(&[][..], |forest| &forest.places) {
        let Some(planted) = place.tree.try_lock() else { continue };
        let is_deserted = place.deserted.load(Ordering::Relaxed) == planted.generation;
        if planted.is_taken && !is_deserted {
            let tree = &planted.tree;
            let wait = tree.innermost().map(|span| Wait {
                kind: match span.origin {
                    Origin::Agent { kind, .. } => kind.name(),
                    Origin::Host(_) | Origin::Request => "span",
                },
                name: span.name(&tree.text).to_owned(),
                lasts: Duration::from_nanos(span.started.nanos_until(now)),
            });
            found.insert(tree.root.whose, (tree.root.trace, wait));
        }
    }
    found
}

impl Place {
    fn new() -> Self {
        let planted = Planted { generation: 0, is_taken: false, tree: Tree::new() };
        Self { tree: Mutex::new(planted), deserted: AtomicU32::new(0) }
    }

    /// Waits only for another thread of the same request, and not for long.
    #[inline]
    fn lock(&self) -> Option<MutexGuard<'_, Planted>> {
        self.tree.try_lock().or_else(|| self.lock_again())
    }

    #[cold]
    fn lock_again(&self) -> Option<MutexGuard<'_, Planted>> {
        let spin = |_| {
            std::hint::spin_loop();
            self.tree.try_lock()
        };
        let give_way = |_| {
            std::thread::yield_now();
            (0..SPINS).find_map(spin)
        };
        (0..SPINS).find_map(spin).or_else(|| (0..YIELDS).find_map(give_way))
    }
}

impl Forest {
    /// A request begins: a tree for it, if there is one. Cost: a compare and exchange, and three random numbers.
    #[inline]
    pub(super) fn begin(&self, whose: Whose, started: Stamp) -> Handle {
        // a request within another is part of its trace
        let outer = current::top().and_then(|outer| self.with(outer, |tree| tree.context(outer.span())));
        let within = match outer.map(Around::Remote).or_else(host::around) {
            None => Within::Nothing,
            Some(Around::Remote(context)) => Within::Trace(context),
            Some(Around::Span(context)) => Within::Host(context),
        };
        let near = current::near();
        let found = (near..near + LOOKS).find_map(|at| self.take(at & (PLACES - 1), whose, (started, within)));
        let Some((at, handle)) = found else {
            current::set_near(near.wrapping_add(LOOKS) & (PLACES - 1));
            self.without_tree.fetch_add(1, Ordering::Relaxed);
            return Handle::NONE;
        };
        current::set_near(at);
        handle
    }

    #[inline]
    fn take(&self, at: usize, whose: Whose, (started, within): (Stamp, Within)) -> Option<(usize, Handle)> {
        let place = self.places.get(at)?;
        let mut planted = place.tree.try_lock()?;
        if planted.is_taken && place.deserted.load(Ordering::Relaxed) != planted.generation {
            return None;
        }
        planted.is_taken = false;
        if !planted.tree.begin(whose, started, within) {
            return None;
        }
        planted.is_taken = true;
        planted.generation = planted.generation.wrapping_add(1).max(1);
        Some((at, Handle::new(at, planted.generation)))
    }

    /// Does something with the tree of a request that is still open.
    #[inline]
    pub(super) fn with<T>(&self, handle: Handle, work: impl FnOnce(&mut Tree) -> T) -> Option<T> {
        let place = self.places.get(handle.place())?;
        let Some(mut planted) = place.lock() else {
            self.missed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let is_open = planted.is_taken && planted.generation == handle.generation();
        is_open.then(|| work(&mut planted.tree))
    }

    /// A request ends: whoever looks at its tree last is `look`, and then another request may have it.
    #[inline]
    pub(super) fn end<T>(&self, handle: Handle, look: impl FnOnce(&Tree) -> Option<T>) -> Option<T> {
        let place = self.places.get(handle.place())?;
        let Some(mut planted) = place.lock() else {
            place.deserted.store(handle.generation(), Ordering::Relaxed);
            self.missed.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        if !planted.is_taken || planted.generation != handle.generation() {
            return None;
        }
        planted.is_taken = false;
        look(&planted.tree)
    }

    /// A thread was in a span from `entered` until now.
    #[inline]
    pub(super) fn was_in(&self, handle: Handle, entered: Stamp) {
        let nanos = entered.elapsed_nanos();
        self.with(handle, |tree| tree.was_in(handle.span(), nanos));
    }

    /// Whether the request that a handle belongs to is still open.
    #[cfg(test)]
    pub(super) fn is_open(&self, handle: Handle) -> bool {
        self.with(handle, |_| ()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::Work;
    use crate::trace::tree::ROOT;

    #[test]
    fn a_handle_of_a_request_that_ended_means_nothing() {
        let forest = plant();
        let now = Stamp::now();
        let first = forest.begin((now.cycles(), 1), now);
        let span = forest.with(first, |tree| tree.open_work(ROOT, &Work::breaker("a"), now)).flatten().unwrap();
        assert_eq!(forest.end(first, |tree| Some(tree.spans.len())), Some(2));
        assert!(forest.end(first, |_| Some(())).is_none() && forest.with(first.with_span(span), |_| ()).is_none());
        let second = forest.begin((now.cycles(), 1), now);
        assert!(!forest.is_open(first) && forest.is_open(second));
        forest.end(second, |_| Some(()));
    }

    #[test]
    fn a_request_that_ends_while_its_tree_is_in_use_leaves_its_place_to_others() {
        let forest = plant();
        let now = Stamp::now();
        let handle = forest.begin((now.cycles(), 2), now);
        let missed = forest.missed.load(Ordering::Relaxed);
        let reading = forest.places[handle.place()].tree.lock();
        assert!(forest.with(handle, |_| ()).is_none() && forest.end(handle, |_| Some(())).is_none());
        assert_eq!(forest.missed.load(Ordering::Relaxed), missed + 2);
        drop(reading);
        current::set_near(handle.place());
        let next = forest.begin((now.cycles(), 3), now);
        assert!(next.place() == handle.place() && !forest.is_open(handle));
        forest.end(next, |_| Some(()));
    }

    #[test]
    fn more_requests_than_places_do_without_a_tree_and_are_counted() {
        let forest = plant();
        let now = Stamp::now();
        let all: Vec<Handle> = (0..2_000).map(|_| forest.begin((now.cycles(), 4), now)).collect();
        let with_tree: Vec<Handle> = all.iter().copied().filter(|handle| !handle.is_none()).collect();
        assert!(with_tree.len() <= PLACES && with_tree.len() > PLACES / 2);
        assert!(forest.without_tree.load(Ordering::Relaxed) >= (2_000 - PLACES) as u64);
        assert!(with_tree.iter().all(|handle| forest.end(*handle, |_| Some(())).is_some()));
        let again = forest.begin((now.cycles(), 4), now);
        assert!(forest.end(again, |_| Some(())).is_some());
    }
}
