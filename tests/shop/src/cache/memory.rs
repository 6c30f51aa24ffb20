//! A tier in this process: a moka cache bounded by bytes and by time.

use std::time::{Duration, Instant};

use heartline::{Agent, Cache as Observed, CacheStatus, Eviction};
use moka::Expiry;
use moka::future::Cache;
use moka::notification::RemovalCause;
use rand::Rng;

use super::{CacheName, Entry, Wildcard};
use crate::truth::Tier;

/// How large a tier may become and how long it keeps what it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) bytes_max: u64,
    pub(super) time_to_live: Duration,
}

/// Lets each entry live a quarter shorter or longer, so that what was written together does not
/// expire together.
struct Spread(Duration);

impl Expiry<String, Entry> for Spread {
    fn expire_after_create(&self, _key: &String, _entry: &Entry, _created_at: Instant) -> Option<Duration> {
        Some(self.0.mul_f64(rand::rng().random_range(0.75..1.25)))
    }

    fn expire_after_update(
        &self,
        key: &String,
        entry: &Entry,
        updated_at: Instant,
        _left: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, entry, updated_at)
    }
}

/// One tier of one cache.
#[derive(Clone)]
pub(super) struct MemoryTier {
    entries: Cache<String, Entry>,
}

impl MemoryTier {
    pub(super) fn new(name: CacheName, tier: Tier, bounds: Bounds, agent: &Agent) -> (Self, Observed) {
        let observed = agent.cache(name.label(), tier.label());
        let listener = observed.clone();
        let entries = Cache::builder()
            .max_capacity(bounds.bytes_max)
            .weigher(|key: &String, entry: &Entry| entry.bytes(key))
            .expire_after(Spread(bounds.time_to_live))
            .eviction_listener(move |_key, _entry, cause| listener.evicted(reason(cause)))
            .build();
        let probed = entries.clone();
        agent.watch_cache(&observed, move || CacheStatus {
            entries: Some(probed.entry_count()),
            bytes: Some(probed.weighted_size()),
            limit_bytes: Some(bounds.bytes_max),
            remote: false,
        });
        (Self { entries }, observed)
    }

    /// The moka cache itself: its entry API coalesces concurrent loads of one key.
    pub(super) fn entries(&self) -> &Cache<String, Entry> {
        &self.entries
    }

    /// Does what moka otherwise does with later requests: expired entries go, and figures are
    /// up to date.
    pub(super) async fn tidy(&self) {
        self.entries.run_pending_tasks().await;
    }

    pub(super) async fn withdraw_tag(&self, tag: &str) -> u64 {
        self.withdraw(|_, entry| entry.tags.iter().any(|own| own == tag)).await
    }

    pub(super) async fn withdraw_pattern(&self, pattern: &Wildcard) -> u64 {
        self.withdraw(|key, _| pattern.matches(key)).await
    }

    async fn withdraw(&self, affected: impl Fn(&str, &Entry) -> bool) -> u64 {
        let keys: Vec<_> =
            self.entries.iter().filter(|(key, entry)| affected(key, entry)).map(|(key, _)| key).collect();
        for key in &keys {
            self.entries.invalidate(key.as_str()).await;
        }
        keys.len() as u64
    }
}

fn reason(cause: RemovalCause) -> Eviction {
    match cause {
        RemovalCause::Expired => Eviction::Expired,
        RemovalCause::Explicit => Eviction::Explicit,
        RemovalCause::Replaced => Eviction::Replaced,
        RemovalCause::Size => Eviction::Size,
    }
}
