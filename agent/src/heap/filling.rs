//! Caches that know how many entries they hold and not how many bytes: whether one that fills explains growth of the heap.
//! Whether memory grows is decided elsewhere.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::snapshot::CacheEntries;

/// Growth of entries is measured over this part of the patience.
const SPAN: u32 = 4;
/// Looks within that time.
const LOOKS: u32 = 8;
/// A cache is full from this share of its limit on: some evict a little before.
const FULL: f64 = 0.98;
/// It fills when its entries grew by this share of the limit in that time.
const FILLS: f64 = 0.01;
/// So many caches are looked at.
const CACHES_MAX: usize = 64;

/// What the caches held at some moments.
#[derive(Debug)]
pub(super) struct Filling {
    apart: Duration,
    caches: BTreeMap<String, Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// When, and how many entries: the oldest first, and the newest apart.
    looks: VecDeque<(Duration, u64)>,
    newest: (Duration, u64),
    limit: u64,
}

impl Filling {
    pub(super) fn new(patience: Duration) -> Self {
        Self { apart: patience / SPAN / LOOKS, caches: BTreeMap::new() }
    }

    /// Takes what the caches hold now; those that are not among them any more are forgotten.
    pub(super) fn observe(&mut self, now: Duration, caches: &[CacheEntries]) {
        self.caches.retain(|title, _| caches.iter().any(|cache| cache.title == *title));
        for CacheEntries { title, held, limit } in caches.iter().take(CACHES_MAX) {
            let cache = self.caches.entry(title.clone()).or_default();
            (cache.newest, cache.limit) = ((now, *held), *limit);
            if cache.looks.back().is_none_or(|(last, _)| now.saturating_sub(*last) >= self.apart) {
                cache.looks.push_back((now, *held));
            }
            if cache.looks.len() > LOOKS as usize + 1 {
                cache.looks.pop_front();
            }
        }
    }

    /// What is said of a cache that fills and can be what makes memory grow by so many bytes a second where so many are used.
    pub(super) fn explains(&self, growth: f64, used: f64) -> Option<String> {
        let (title, cache) = self.caches.iter().find(|(_, cache)| cache.explains(growth, used))?;
        let (held, limit) = (cache.newest.1, cache.limit);
        Some(format!("not suspected while the cache {title} fills, which holds {held} of {limit} entries"))
    }
}

impl Held {
    /// Entries of the weight that the growth would give them must fit into what is used: a leak beside a cache that hardly
    /// fills makes them too heavy for that.
    fn explains(&self, growth: f64, used: f64) -> bool {
        let Some((since, before)) = self.looks.front() else { return false };
        let (now, held) = self.newest;
        let (seconds, held, limit) = (now.saturating_sub(*since).as_secs_f64(), held as f64, self.limit as f64);
        let more = held - *before as f64;
        let fills = held < FULL * limit && more >= FILLS * limit && seconds > 0.0;
        fills && growth * seconds / more * held <= used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_hours(8);
    const MIB: f64 = 1_048_576.0;

    /// After four hours, each minute of which this cache held so many entries of 10,000.
    fn filled(held: impl Fn(u64) -> u64) -> Filling {
        let mut filling = Filling::new(PATIENCE);
        for minute in 0..=240 {
            let cache = CacheEntries { title: "products".to_owned(), held: held(minute), limit: 10_000 };
            filling.observe(Duration::from_mins(minute), &[cache]);
        }
        filling
    }

    #[test]
    fn a_cache_that_fills_explains_growth_and_is_named() {
        // 20 entries of 10 KiB a minute
        let said = filled(|minute| 20 * minute).explains(20.0 * 10_240.0 / 60.0, 200.0 * MIB).unwrap();
        assert_eq!(said, "not suspected while the cache products fills, which holds 4800 of 10000 entries");
    }

    #[test]
    fn a_cache_that_is_full_or_stands_or_shrinks_explains_nothing() {
        for held in [|_| 9_900, |_| 4_000, |minute| 6_000 - 10 * minute] as [fn(u64) -> u64; 3] {
            assert_eq!(filled(held).explains(3_000.0, 200.0 * MIB), None);
        }
    }

    #[test]
    fn growth_that_would_make_entries_heavier_than_all_that_is_used_is_not_the_caches() {
        // an entry a minute, while a leak takes a MiB: 240 of them would be 240 MiB
        let filling = filled(|minute| 300 + minute);
        assert!(filling.explains(MIB / 60.0, 200.0 * MIB).is_none());
        assert!(filling.explains(MIB / 60.0 / 1_000.0, 200.0 * MIB).is_some());
    }

    #[test]
    fn what_is_not_known_any_more_is_forgotten_and_many_caches_are_bounded() {
        let mut filling = filled(|minute| 20 * minute);
        filling.observe(Duration::from_mins(241), &[]);
        assert_eq!(filling.explains(1.0, 200.0 * MIB), None);
        let many: Vec<CacheEntries> =
            (0..200).map(|at| CacheEntries { title: at.to_string(), held: 1, limit: 10 }).collect();
        filling.observe(Duration::from_mins(242), &many);
        assert_eq!(filling.caches.len(), CACHES_MAX);
    }
}
