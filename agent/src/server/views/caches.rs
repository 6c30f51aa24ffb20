//! Caches by name and tier, and all of them together, from `heartline.cache.*`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::figures::{Count, View, has, joined, label, ratio, whole, whole_or_null};

const NAME: &str = "cache.name";
const TIER: &str = "cache.tier";
const REQUESTS: &str = "heartline.cache.requests";
const WRITES: &str = "heartline.cache.writes";
const EVICTIONS: &str = "heartline.cache.evictions";
const ENTRIES: &str = "heartline.cache.entry.count";
const SIZE: &str = "heartline.cache.size";

/// Look-ups, hits and the rest of some caches.
fn figures(view: &View<'_>, these: &[(&str, &str)]) -> Value {
    let result = |result| Count::of(view.count(REQUESTS, &[these, &[("cache.result", result)]].concat()));
    let all = Count::of(view.count(REQUESTS, these));
    let (hits, misses, stale, errors) = (result("hit"), result("miss"), result("stale"), result("error"));
    let (writes, evictions) = (view.count(WRITES, these), view.count(EVICTIONS, these));
    json!({
        "requests_total": whole(all.total),
        "requests": whole(all.recent),
        "rate_per_second": view.per_second(all.recent),
        // something was found, out of date or not; over all look-ups since the start while the window has none
        "hit_ratio": ratio(hits.recent + stale.recent, all.recent).or_else(|| ratio(hits.total + stale.total, all.total)),
        "hits": whole(hits.recent),
        "misses": whole(misses.recent),
        "stale": whole(stale.recent),
        "errors": whole(errors.recent),
        "writes": writes.map(|writes| whole(writes.recent)),
        "writes_per_second": writes.and_then(|writes| view.per_second(writes.recent)),
        "evictions": evictions.map(|evictions| whole(evictions.recent)),
        "evictions_per_second": evictions.and_then(|evictions| view.per_second(evictions.recent)),
        "entries": whole_or_null(view.level(ENTRIES, these)),
        "used_bytes": whole_or_null(view.level(SIZE, these)),
        "limit_bytes": whole_or_null(view.level("heartline.cache.limit", these)),
    })
}

/// All caches together; `null` when the service has none.
pub(super) fn block(view: &View<'_>) -> Value {
    if tiers(view).is_empty() { Value::Null } else { figures(view, &[]) }
}

/// Each tier of each cache.
pub(super) fn each(view: &View<'_>) -> Vec<Value> {
    let tier = |(name, tier): &(String, String)| {
        let this = [(NAME, name.as_str()), (TIER, tier.as_str())];
        let mut reasons: BTreeMap<&str, u64> = BTreeMap::new();
        for (labels, value) in view.recents(EVICTIONS).filter(|(labels, _)| has(labels, &this)) {
            *reasons.entry(label(labels, "cache.eviction.reason")).or_default() += whole(super::figures::amount(value));
        }
        let timed = |operation| {
            let took = view
                .timing("heartline.cache.operation.duration", &[&this[..], &[("cache.operation", operation)]].concat());
            took.quantile(view.durations(), 0.95)
        };
        let named = json!({
            "name": name,
            "tier": tier,
            "evictions_by_reason": reasons,
            "get_p95_seconds": timed("get"),
            "set_p95_seconds": timed("set"),
            "delete_p95_seconds": timed("delete"),
        });
        joined(named, figures(view, &this))
    };
    tiers(view).iter().map(tier).collect()
}

fn tiers(view: &View<'_>) -> BTreeSet<(String, String)> {
    let metrics = [REQUESTS, WRITES, EVICTIONS, ENTRIES, SIZE];
    let named = |labels| (label(labels, NAME).to_owned(), label(labels, TIER).to_owned());
    metrics.iter().flat_map(|metric| view.totals(metric)).map(|(labels, _)| named(labels)).collect()
}

/// The document of caches.
pub(super) fn document(view: &View<'_>) -> Value {
    joined(view.heading(), json!({"summary": block(view), "caches": each(view)}))
}
