//! Caches by name and tier, from `heartline.cache.*`.

use std::collections::BTreeSet;

use super::{Count, Counts, View, ratio};
use crate::model::reading::Cache;
use crate::text::Text;

const NAME: &str = "cache.name";
const TIER: &str = "cache.tier";
const REQUESTS: &str = "heartline.cache.requests";
const WRITES: &str = "heartline.cache.writes";
const EVICTIONS: &str = "heartline.cache.evictions";
const ENTRIES: &str = "heartline.cache.entry.count";
const SIZE: &str = "heartline.cache.size";
const LIMIT: &str = "heartline.cache.limit";

pub(super) fn compute(view: &View<'_>) -> Vec<Cache> {
    let tiers: BTreeSet<(String, String)> = [REQUESTS, WRITES, EVICTIONS, ENTRIES, SIZE]
        .iter()
        .flat_map(|metric| view.rows(metric))
        .map(|row| (row.label(NAME).to_owned(), row.label(TIER).to_owned()))
        .collect();
    tiers.iter().map(|(name, tier)| one_tier(view, name, tier)).collect()
}

fn one_tier(view: &View<'_>, name: &str, tier: &str) -> Cache {
    let this = [(NAME, name), (TIER, tier)];
    let result =
        |result| view.count(REQUESTS, &[(NAME, name), (TIER, tier), ("cache.result", result)]).unwrap_or_default();
    let all = view.count(REQUESTS, &this).unwrap_or_default();
    let (hits, stale) = (result("hit"), result("stale"));
    let (writes, evictions) = (view.count(WRITES, &this), view.count(EVICTIONS, &this));
    let mut by_eviction = Counts::default();
    for row in view.rows(EVICTIONS).filter(|row| row.label(NAME) == name && row.label(TIER) == tier) {
        by_eviction.add(row.label("cache.eviction.reason"), &row);
    }
    Cache {
        name: Text::new(name),
        tier: Text::new(tier),
        requests: all.whole(),
        rate: view.per_second(all.recent),
        hit_ratio: ratio(hits.recent + stale.recent, all.recent).or_else(|| ratio(hits.total + stale.total, all.total)),
        hits: hits.whole(),
        misses: result("miss").whole(),
        stale: stale.whole(),
        errors: result("error").whole(),
        writes: writes.map(Count::whole),
        write_rate: writes.and_then(|writes| view.per_second(writes.recent)),
        evictions: evictions.map(Count::whole),
        eviction_rate: evictions.and_then(|evictions| view.per_second(evictions.recent)),
        by_eviction: by_eviction.into_list(),
        entries: view.whole_level(ENTRIES, &this),
        bytes: view.whole_level(SIZE, &this),
        limit_bytes: view.whole_level(LIMIT, &this),
    }
}
