//! A tier in this process: a moka cache bounded by bytes and by time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use heartline::Agent;
use heartline::integrations::ObservedCache;
use moka::Expiry;
use moka::future::Cache;
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

/// One tier of one cache. The agent counts its look-ups, writes and evictions.
#[derive(Clone)]
pub(super) struct MemoryTier(ObservedCache<String, Entry>);

impl MemoryTier {
    pub(super) fn new(name: CacheName, tier: Tier, bounds: Bounds, agent: &Agent) -> Self {
        let entries = Cache::builder()
            .max_capacity(bounds.bytes_max)
            .weigher(|key: &String, entry: &Entry| entry.bytes(key))
            .expire_after(Spread(bounds.time_to_live));
        Self(agent.moka(name.label(), tier.label()).weighed_in_bytes().build(entries))
    }

    pub(super) async fn get(&self, key: &str) -> Option<Entry> {
        self.0.get(key).await
    }

    pub(super) async fn insert(&self, key: String, entry: Entry) {
        self.0.insert(key, entry).await;
    }

    /// The value of a key that [`get`](Self::get) did not find: loaded, by one of those who ask for
    /// it at the same time. Also whether it was this one.
    pub(super) async fn load<E: Send + Sync + 'static>(
        &self,
        key: String,
        load: impl Future<Output = Result<Entry, E>>,
    ) -> Result<(Entry, bool), Arc<E>> {
        let found = self.0.cache().entry(key).or_try_insert_with(load).await?;
        if found.is_fresh() {
            self.0.signal().write();
        }
        let is_fresh = found.is_fresh();
        Ok((found.into_value(), is_fresh))
    }

    pub(super) async fn expire(&self, key: &str) {
        self.0.invalidate(key).await;
    }

    /// Does what moka otherwise does with later requests: expired entries go, and figures are
    /// up to date.
    pub(super) async fn tidy(&self) {
        self.0.cache().run_pending_tasks().await;
    }

    pub(super) async fn withdraw_tag(&self, tag: &str) -> u64 {
        self.withdraw(|_, entry| entry.tags.iter().any(|own| own == tag)).await
    }

    pub(super) async fn withdraw_pattern(&self, pattern: &Wildcard) -> u64 {
        self.withdraw(|key, _| pattern.matches(key)).await
    }

    /// Withdraws the keys that fit, or with `count_only` leaves them. Returns how many they are.
    pub(super) async fn withdraw_or_count(&self, pattern: &Wildcard, count_only: bool) -> u64 {
        if count_only {
            return self.0.cache().iter().filter(|(key, _)| pattern.matches(key)).count() as u64;
        }
        self.withdraw_pattern(pattern).await
    }

    async fn withdraw(&self, affected: impl Fn(&str, &Entry) -> bool) -> u64 {
        let entries = self.0.cache().iter();
        let keys: Vec<_> = entries.filter(|(key, entry)| affected(key, entry)).map(|(key, _)| key).collect();
        for key in &keys {
            self.0.invalidate(key.as_str()).await;
        }
        keys.len() as u64
    }
}
