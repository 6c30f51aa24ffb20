//! Which of the host's open spans is which span of which tree, by the id that the registry gave it: a table of fixed size,
//! written and read without a lock. An id is in use from when its span is made until it is closed, and never again.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use super::forest::Handle;

/// Lines of the table; a power of two.
const LINES: usize = 4_096;
/// Spans in a line.
const WAYS: usize = 4;
/// Lines that are looked at.
const LOOKS: usize = 2;
const FREE: u64 = 0;
/// No id of a registry.
const FILLING: u64 = u64::MAX;
/// Spreads ids that count up over the lines: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// The table.
#[derive(Debug)]
pub(super) struct OpenSpans(Box<[CachePadded<Line>]>);

#[derive(Debug, Default)]
struct Line {
    ids: [AtomicU64; WAYS],
    handles: [AtomicU64; WAYS],
}

impl OpenSpans {
    pub(super) const BYTES: usize = LINES * size_of::<CachePadded<Line>>();

    pub(super) fn new() -> Self {
        Self((0..LINES).map(|_| CachePadded::default()).collect())
    }

    /// The lines where `id` may be.
    #[inline]
    fn lines(&self, id: u64) -> impl Iterator<Item = &Line> {
        let first = (id.wrapping_mul(SPREAD) >> 52) as usize;
        (0..LOOKS).filter_map(move |look| self.0.get((first + look) & (LINES - 1)).map(|line| &**line))
    }

    /// Remembers a span; `false` when there is no room. Cost: a compare and exchange.
    #[inline]
    pub(super) fn insert(&self, id: u64, handle: Handle) -> bool {
        self.lines(id).any(|line| {
            line.ids.iter().zip(&line.handles).any(|(have, place)| {
                let taken = have.load(Ordering::Relaxed) == FREE
                    && have.compare_exchange(FREE, FILLING, Ordering::Acquire, Ordering::Relaxed).is_ok();
                if taken {
                    place.store(handle.bits(), Ordering::Relaxed);
                    have.store(id, Ordering::Release);
                }
                taken
            })
        })
    }

    /// Whose span it is. Cost: a few loads.
    #[inline]
    pub(super) fn find(&self, id: u64) -> Option<Handle> {
        let (_, place) = self.place(id)?;
        Some(Handle::of_bits(place.load(Ordering::Relaxed)))
    }

    /// Forgets a span that is closed.
    #[inline]
    pub(super) fn remove(&self, id: u64) -> Option<Handle> {
        let (have, place) = self.place(id)?;
        let handle = Handle::of_bits(place.load(Ordering::Relaxed));
        have.store(FREE, Ordering::Release);
        Some(handle)
    }

    #[inline]
    fn place(&self, id: u64) -> Option<(&AtomicU64, &AtomicU64)> {
        let is_it = |(have, _): &(&AtomicU64, &AtomicU64)| have.load(Ordering::Acquire) == id;
        self.lines(id).find_map(|line| line.ids.iter().zip(&line.handles).find(is_it))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_found_until_it_is_closed_and_what_finds_no_room_is_told_so() {
        let spans = OpenSpans::new();
        let of = |id: u64| Handle::of_bits(id * 3 + 1);
        let inserted: Vec<u64> = (1..100_000).filter(|id| spans.insert(*id, of(*id))).collect();
        assert!(inserted.len() > LINES * WAYS * 9 / 10 && inserted.len() <= LINES * WAYS, "{}", inserted.len());
        assert!(inserted.iter().all(|id| spans.find(*id) == Some(of(*id))));
        assert!((200_000..201_000).all(|id| spans.find(id).is_none()));
        assert!(inserted.iter().all(|id| spans.remove(*id) == Some(of(*id)) && spans.find(*id).is_none()));
        assert!(spans.insert(7, of(9)) && spans.remove(7).is_some() && spans.remove(7).is_none());
    }

    fn open_and_close(spans: &OpenSpans, thread: u64) {
        for round in 1..50_000_u64 {
            let id = (round % 64 + 1) | (thread << 40) | (round << 44);
            let handle = Handle::of_bits(id.rotate_left(7) | 1);
            assert!(spans.insert(id, handle));
            assert_eq!(spans.find(id), Some(handle));
            assert_eq!(spans.remove(id), Some(handle));
        }
    }

    #[test]
    fn threads_find_their_own_spans_and_no_other() {
        let spans = OpenSpans::new();
        std::thread::scope(|threads| {
            for thread in 0..4_u64 {
                let spans = &spans;
                threads.spawn(move || open_and_close(spans, thread));
            }
        });
        assert!(spans.0.iter().all(|line| line.ids.iter().all(|id| id.load(Ordering::Relaxed) == FREE)));
    }
}
