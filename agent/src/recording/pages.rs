//! Counts of 32 neighbouring buckets, one cache line a page; which buckets they are is the series' business.

use std::collections::HashMap;

/// Buckets in a page.
pub(super) const BUCKETS_PER_PAGE: usize = 32;
/// Bytes of a page.
pub(super) const PAGE_BYTES: usize = size_of::<Page>();
/// Pages that are allocated at once: 4 KiB.
const PAGES_PER_CHUNK: usize = 64;
/// Pages kept ready by [`Arena::stock`], so that folding seldom allocates.
const SPARE_PAGES: usize = 64;

/// Where a page is; 0 is the page that does not exist.
pub(super) type PageId = u32;

/// Low halves of counts; what does not fit is counted in the page's carry page.
#[derive(Debug, Clone, Copy)]
#[repr(align(64))]
struct Page([u16; BUCKETS_PER_PAGE]);

/// All pages of a store.
///
/// A count that passes 65,535 goes on in a carry page with the same layout that counts 65,536s, which may have a carry
/// page in turn: 64 B for the buckets that need it, one look-up in 65,536 records.
#[derive(Debug)]
pub(super) struct Arena {
    chunks: Vec<Box<[Page; PAGES_PER_CHUNK]>>,
    free: Vec<PageId>,
    carries: HashMap<PageId, PageId>,
}

impl Arena {
    pub(super) fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), carries: HashMap::new() }
    }

    /// Adds one to a count; `false` when the page does not exist or the count is full: see [`carry`](Self::carry).
    #[inline]
    pub(super) fn increment(&mut self, page: PageId, bucket: usize) -> bool {
        let (chunk, at) = (page as usize / PAGES_PER_CHUNK, page as usize % PAGES_PER_CHUNK);
        let Some(chunk) = self.chunks.get_mut(chunk) else { return false };
        let count = &mut chunk[at].0[bucket % BUCKETS_PER_PAGE];
        let has_room = *count != u16::MAX;
        if has_room {
            *count += 1;
        }
        has_room
    }

    /// A page of zeros.
    pub(super) fn take(&mut self) -> PageId {
        if self.free.is_empty() {
            self.add_chunk();
        }
        let id = self.free.pop().unwrap_or(0);
        if id != 0 {
            self.page_mut(id).0 = [0; BUCKETS_PER_PAGE];
        }
        id
    }

    /// Adds to a count of a page that exists; returns how many carry pages it took.
    pub(super) fn add(&mut self, page: PageId, bucket: usize, amount: u64) -> usize {
        let mut taken = 0;
        let (mut page, mut amount) = (page, amount);
        while amount > 0 && page != 0 {
            let count = &mut self.page_mut(page).0[bucket % BUCKETS_PER_PAGE];
            let sum = u64::from(*count) + (amount & 0xffff);
            let (low, carry) = (sum & 0xffff, (sum >> 16) + (amount >> 16));
            *count = u16::try_from(low).unwrap_or(u16::MAX);
            amount = carry;
            if amount > 0 {
                (page, taken) = self.carry_page(page, taken);
            }
        }
        taken
    }

    /// The counts of a page and its carry pages.
    pub(super) fn read(&self, page: PageId) -> [u64; BUCKETS_PER_PAGE] {
        let mut counts = [0_u64; BUCKETS_PER_PAGE];
        let (mut id, mut shift) = (page, 0);
        while id != 0 && shift < u64::BITS {
            for (count, low) in counts.iter_mut().zip(self.page(id).0) {
                *count = count.wrapping_add(u64::from(low) << shift);
            }
            id = if self.carries.is_empty() { 0 } else { self.carries.get(&id).copied().unwrap_or(0) };
            shift += 16;
        }
        counts
    }

    /// Gives a page and its carry pages back; returns how many they were.
    pub(super) fn release(&mut self, page: PageId) -> usize {
        let (mut id, mut released) = (page, 0);
        while id != 0 {
            self.free.push(id);
            released += 1;
            id = self.carries.remove(&id).unwrap_or(0);
        }
        released
    }

    /// Has pages ready for what comes.
    pub(super) fn stock(&mut self) {
        self.carries.reserve(SPARE_PAGES);
        while self.free.len() < SPARE_PAGES {
            self.add_chunk();
        }
    }

    /// Bytes that no series has taken.
    pub(super) fn spare_bytes(&self) -> usize {
        let carries = self.carries.capacity() * (size_of::<(PageId, PageId)>() + 1);
        (self.free.len() + self.chunks.len().min(1)) * PAGE_BYTES + self.free.capacity() * size_of::<PageId>() + carries
    }

    fn carry_page(&mut self, page: PageId, taken: usize) -> (PageId, usize) {
        if let Some(&carry) = self.carries.get(&page) {
            return (carry, taken);
        }
        let carry = self.take();
        self.carries.insert(page, carry);
        (carry, taken + 1)
    }

    fn add_chunk(&mut self) {
        let first = self.chunks.len() * PAGES_PER_CHUNK;
        self.chunks.push(Box::new([Page([0; BUCKETS_PER_PAGE]); PAGES_PER_CHUNK]));
        self.free.reserve_exact(self.chunks.len() * PAGES_PER_CHUNK - self.free.len());
        let ids = (first..first + PAGES_PER_CHUNK).rev().filter_map(|id| PageId::try_from(id).ok());
        self.free.extend(ids.filter(|&id| id != 0));
        // the page that does not exist looks full, so that one comparison finds both out
        self.chunks[0][0] = Page([u16::MAX; BUCKETS_PER_PAGE]);
    }

    fn page(&self, id: PageId) -> &Page {
        &self.chunks[id as usize / PAGES_PER_CHUNK][id as usize % PAGES_PER_CHUNK]
    }

    fn page_mut(&mut self, id: PageId) -> &mut Page {
        &mut self.chunks[id as usize / PAGES_PER_CHUNK][id as usize % PAGES_PER_CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_go_on_past_sixteen_and_thirty_two_bits() {
        let mut arena = Arena::new();
        let page = arena.take();
        let mut taken = arena.add(page, 3, 65_534);
        for _ in 0..3 {
            if !arena.increment(page, 3) {
                taken += arena.add(page, 3, 1);
            }
        }
        assert_eq!((arena.read(page)[3], taken), (65_537, 1));
        taken += arena.add(page, 3, (1 << 40) - 2);
        assert_eq!((arena.read(page)[3], taken), ((1 << 40) + 65_535, 2));
        assert_eq!(arena.read(page).iter().sum::<u64>(), (1 << 40) + 65_535);
        assert_eq!(arena.release(page), 3);
    }

    #[test]
    fn the_page_that_does_not_exist_takes_nothing() {
        let mut arena = Arena::new();
        assert!((0..32).all(|bucket| !arena.increment(0, bucket)));
        assert!(!arena.increment(u32::MAX, 0));
    }

    #[test]
    fn pages_that_were_given_back_come_again_as_zeros() {
        let mut arena = Arena::new();
        let pages: Vec<PageId> = (0..200).map(|_| arena.take()).collect();
        for &page in &pages {
            assert!(arena.increment(page, 1));
        }
        assert_eq!(pages.iter().map(|&page| arena.release(page)).sum::<usize>(), 200);
        let again = arena.take();
        assert_eq!(arena.read(again), [0; BUCKETS_PER_PAGE]);
    }
}
