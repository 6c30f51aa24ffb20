//! Which requests are being served right now, one by one: their routes beside the slots that they are in. How they are shown
//! is not known here.

use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use heartline_shared::Labels;

use super::ShortText;
use crate::clock::Stamp;
use crate::instruments::{ALL_SLOTS, DIGITS, LOOKS, Slots, Taken};
use crate::registry::AppendMap;
use crate::trace::{self, Wait};

/// Routes that are known by name; requests to further ones are shown without it.
const ROUTES_MAX: u32 = 16_384;
/// A request that found no slot when it came looks again from this age on, and then also where only such ones may.
const LATE: Duration = Duration::from_millis(250);

/// The open requests of an agent.
#[derive(Debug)]
pub(crate) struct OpenRequests {
    /// Made with the first route: a service without requests has none.
    slots: LazyLock<Slots>,
    numbers: AppendMap<Labels, u32>,
    known: AtomicU32,
    unplaced: AtomicU64,
}

/// A request being served.
#[derive(Debug, Clone)]
pub(crate) struct OpenRequest {
    /// Method and route.
    pub(crate) labels: Labels,
    pub(crate) age: Duration,
    /// See [`key`].
    pub(crate) key: u64,
    pub(crate) trace_id: Option<ShortText>,
    pub(crate) request_id: Option<ShortText>,
    /// What it is at work on, by its spans; `None` when nobody knows.
    pub(crate) waits_for: Option<Wait>,
}

thread_local! {
    /// Where this thread found a slot the last time: most likely it is free again, and in this core's cache.
    static NEAR: Cell<u32> = const { Cell::new(u32::MAX) };
}
/// Threads begin apart from each other.
static NEXT_THREAD: AtomicU32 = AtomicU32::new(0);
const THREADS_APART: u32 = 64;

impl Default for OpenRequests {
    fn default() -> Self {
        Self {
            slots: LazyLock::new(|| Slots::new(ALL_SLOTS)),
            numbers: AppendMap::for_about(64),
            known: AtomicU32::new(0),
            unplaced: AtomicU64::new(0),
        }
    }
}

impl OpenRequests {
    /// The number of a route; makes the slots the first time.
    pub(crate) fn number_of(&self, labels: &Labels) -> u32 {
        LazyLock::force(&self.slots);
        if let Some(number) = self.numbers.get(labels) {
            return *number;
        }
        let number = self.known.fetch_add(1, Ordering::Relaxed);
        if number >= ROUTES_MAX {
            self.known.fetch_sub(1, Ordering::Relaxed);
            return u32::MAX;
        }
        *self.numbers.add(labels.clone(), number).0
    }

    /// A request to this route begins. `None` when it found no slot; see [`enter_late`](Self::enter_late).
    #[inline]
    pub(crate) fn enter(&self, route: u32, since: Stamp) -> Option<Taken> {
        let near = NEAR.try_with(Cell::get).unwrap_or(0);
        let near = if near == u32::MAX { first_place() } else { near };
        let taken = self.slots.enter(near, route, since.cycles());
        let next = match &taken {
            Some(taken) => taken.place(),
            None => self.found_none(near),
        };
        let _ = NEAR.try_with(|place| place.set(next)); // a thread that ends looks anywhere
        taken
    }

    #[cold]
    fn found_none(&self, near: u32) -> u32 {
        self.unplaced.fetch_add(1, Ordering::Relaxed);
        near.wrapping_add(LOOKS) & 0xFFFF
    }

    /// Tries again for a request without a slot, once it is old enough.
    #[cold]
    pub(crate) fn enter_late(&self, route: u32, since: Stamp) -> Option<Taken> {
        if since.elapsed() < LATE {
            return None;
        }
        let taken = self.slots.enter_late(route, since.cycles())?;
        self.unplaced.fetch_sub(1, Ordering::Relaxed);
        Some(taken)
    }

    /// The request ended.
    #[inline]
    pub(crate) fn leave(&self, taken: Option<Taken>) {
        match taken {
            Some(taken) => self.slots.leave(taken),
            None => self.left_unplaced(),
        }
    }

    #[cold]
    fn left_unplaced(&self) {
        self.unplaced.fetch_sub(1, Ordering::Relaxed);
    }

    /// The trace that the request belongs to, as hexadecimal digits.
    #[inline]
    pub(crate) fn say_trace(&self, taken: &Taken, digits: &[u8; DIGITS]) {
        self.slots.say_digits(taken, digits);
    }

    /// What the service calls the request.
    pub(crate) fn say_id(&self, taken: &Taken, id: &str) {
        self.slots.say_name(taken, id);
    }

    /// What [`say_id`](Self::say_id) said.
    pub(crate) fn id(&self, taken: &Taken) -> Option<ShortText> {
        self.slots.name(taken)?.name().map(ShortText::new)
    }

    /// The open requests, the oldest first, and how many there are beside them that found no slot.
    pub(crate) fn oldest_first(&self, now: Stamp) -> (Vec<OpenRequest>, u64) {
        let by_number = self.routes();
        let mut by_spans = trace::waits();
        let seen = LazyLock::force(&self.slots).read();
        let mut open: Vec<OpenRequest> = seen
            .map(|seen| {
                let since = Stamp::of_cycles(seen.since);
                let (trace, waits_for) = by_spans.remove(&trace::whose(since, seen.what)).unzip();
                // what a request came with need not be what the host's tracer made of it
                let own_trace = trace.map(|trace: u128| ShortText::displayed(&format_args!("{trace:032x}")));
                let said = || seen.digits.and_then(|digits| trace_id(&digits));
                OpenRequest {
                    labels: by_number.get(seen.what as usize).copied().flatten().cloned().unwrap_or_else(Labels::empty),
                    age: Duration::from_nanos(since.nanos_until(now)),
                    key: key(since, seen.what),
                    trace_id: own_trace.or_else(said),
                    request_id: seen.name().map(ShortText::new),
                    waits_for: waits_for.flatten(),
                }
            })
            .collect();
        open.sort_by_key(|request| std::cmp::Reverse(request.age));
        (open, self.unplaced.load(Ordering::Relaxed))
    }

    /// The labels of each route by its number. Where two threads number a route at the same moment, the second's is nobody's.
    pub(crate) fn routes(&self) -> Vec<Option<&Labels>> {
        let mut by_number = vec![None; self.known.load(Ordering::Relaxed).min(ROUTES_MAX) as usize];
        for (labels, number) in self.numbers.iter() {
            let at = *number as usize;
            if by_number.len() <= at {
                by_number.resize(at + 1, None); // numbered since
            }
            by_number[at] = Some(labels);
        }
        by_number
    }

    /// Bytes that are kept.
    pub(crate) fn bytes(&self) -> usize {
        let entry = |labels: &Labels| AppendMap::<Labels, u32>::ENTRY_BYTES + labels.heap_bytes();
        let routes: usize = self.numbers.iter().map(|(labels, _)| entry(labels)).sum();
        if routes > 0 { Slots::BYTES + routes } else { 0 }
    }
}

/// What tells a request from every other one of the process, while it is open and when it is kept: when it began, and the
/// number of its route.
pub(crate) fn key(since: Stamp, route: u32) -> u64 {
    since.cycles().rotate_left(16) ^ u64::from(route)
}

/// The digits as text; `None` when they are none.
pub(crate) fn trace_id(digits: &[u8; DIGITS]) -> Option<ShortText> {
    let text = digits.iter().all(u8::is_ascii_hexdigit).then_some(digits)?;
    std::str::from_utf8(text).map(ShortText::new).ok()
}

#[cold]
fn first_place() -> u32 {
    NEXT_THREAD.fetch_add(1, Ordering::Relaxed).wrapping_mul(THREADS_APART) & 0xFFFF
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str) -> Labels {
        Labels::from_pairs([("http.request.method", "GET"), ("http.route", name)])
    }

    #[test]
    fn the_oldest_come_first_with_what_is_known_of_them() {
        let open = OpenRequests::default();
        let (cart, slow) = (open.number_of(&route("/cart")), open.number_of(&route("/slow")));
        assert_eq!(open.number_of(&route("/cart")), cart);
        let begin = Stamp::now();
        let first = open.enter(slow, begin);
        let later = Stamp::of_cycles(begin.cycles() + 1_000_000);
        let second = open.enter(cart, later);
        open.say_trace(second.as_ref().unwrap(), b"4bf92f3577b34da6a3ce929d0e0e4736");
        open.say_id(second.as_ref().unwrap(), "01JD");
        let (seen, unplaced) = open.oldest_first(Stamp::of_cycles(later.cycles() + 1));
        let text = |text: &Option<ShortText>| text.as_ref().map(|text| text.as_str().to_owned());
        assert_eq!((seen.len(), unplaced), (2, 0));
        assert_eq!(seen[0].labels.value("http.route"), Some("/slow"));
        assert!(seen[0].age > seen[1].age && seen[0].request_id.is_none() && seen[0].trace_id.is_none());
        assert_eq!(text(&seen[1].trace_id).as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
        assert_eq!(text(&seen[1].request_id).as_deref(), Some("01JD"));
        open.leave(first);
        open.leave(second);
        assert!(open.oldest_first(later).0.is_empty());
    }

    #[test]
    fn a_route_keeps_its_name_where_a_number_before_it_is_nobodys() {
        let open = OpenRequests::default();
        // as a thread does that numbers a route which another one adds before it
        open.known.fetch_add(1, Ordering::Relaxed);
        let cart = open.number_of(&route("/cart"));
        assert_eq!((cart, open.routes()), (1, vec![None, Some(&route("/cart"))]));
        let taken = open.enter(cart, Stamp::now());
        assert_eq!(open.oldest_first(Stamp::now()).0[0].labels.value("http.route"), Some("/cart"));
        open.leave(taken);
    }

    #[test]
    fn a_long_request_that_came_in_a_flood_is_shown_once_it_is_old() {
        let open = OpenRequests::default();
        let number = open.number_of(&route("/cart"));
        let now = Stamp::now();
        let flood: Vec<Option<Taken>> = (0..5_000).map(|_| open.enter(number, now)).collect();
        let (seen, unplaced) = open.oldest_first(now);
        assert_eq!(seen.len() as u64 + unplaced, 5_000);
        assert!(open.enter_late(number, now).is_none(), "too young");
        let long_ago = (1_u32..64)
            .map(|bits| Stamp::of_cycles(now.cycles().saturating_sub(1 << bits)))
            .find(|then| then.elapsed() >= LATE);
        let placed = open.enter_late(number, long_ago.expect("the machine runs for a quarter of a second"));
        assert!(placed.is_some());
        let (seen, left) = open.oldest_first(now);
        assert!(seen[0].age >= LATE && left == unplaced - 1);
        for taken in flood {
            open.leave(taken);
        }
        open.leave(placed);
        assert_eq!(open.oldest_first(now).0.len(), 0);
    }

    #[test]
    fn what_is_no_trace_is_not_shown() {
        assert!(trace_id(b"4bf92f3577b34da6a3ce929d0e0e473\x1b").is_none());
        assert!(trace_id(b"4bf92f3577b34da6a3ce929d0e0e4736").is_some());
    }
}
