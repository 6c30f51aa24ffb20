//! The tiers in front of the database: look-up from the top, load once per key, fill on the way
//! back, withdraw by tag or pattern from all.

use std::sync::Arc;
use std::time::Duration;

use heartline::{Agent, Cache as Observed};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::memory::{Bounds, MemoryTier};
use super::redis_tier::RedisTier;
use super::{CacheName, Entry, Wildcard};
use crate::faults::Faults;
use crate::truth::{Lookup, Tier, Truth};

const MIB: u64 = 1024 * 1024;
/// L1 is small and forgets soon: what another process changed shows within minutes.
const L1: Bounds = Bounds { bytes_max: 8 * MIB, time_to_live: Duration::from_mins(2) };
/// L2 holds the whole catalogue for a while.
const L2: Bounds = Bounds { bytes_max: 48 * MIB, time_to_live: Duration::from_mins(10) };

/// Why a value could not be had through the cache.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CacheError<E> {
    /// The load behind it failed; every request that waited for it gets the same error.
    #[error("{0}")]
    Load(Arc<E>),
    /// The value does not become JSON or does not come back from it.
    #[error("a cached value could not be read or written as JSON: {0}")]
    Codec(Arc<serde_json::Error>),
}

/// What ends a coalesced load without a value.
enum Outcome<E> {
    Absent,
    Failed(Arc<E>),
    Codec(Arc<serde_json::Error>),
}

/// All caches of the shop.
#[derive(Clone)]
pub(crate) struct Caches {
    /// Products by key.
    pub(crate) products: Tiered,
    /// Pages of products.
    pub(crate) listings: Tiered,
    /// Searches of one word.
    pub(crate) search: Tiered,
    /// Vendors' figures.
    pub(crate) analytics: Tiered,
    redis: Option<RedisTier>,
}

/// One cache over its tiers: cheap to clone.
#[derive(Clone)]
pub(crate) struct Tiered(Arc<Inner>);

struct Inner {
    name: CacheName,
    first: MemoryTier,
    second: SecondTier,
    faults: Faults,
    truth: Arc<Truth>,
}

#[derive(Clone)]
enum SecondTier {
    Memory(MemoryTier),
    /// Counted here: a tier that is left alone after a failure is asked nothing that an observed
    /// connection could count.
    Redis(RedisTier, Observed),
}

impl Caches {
    /// With Redis as the second tier when `redis_url` names one; it need not be there yet.
    pub(crate) fn open(
        redis_url: Option<&str>,
        agent: &Agent,
        faults: &Faults,
        truth: &Arc<Truth>,
    ) -> Result<Self, redis::RedisError> {
        let redis = redis_url.map(|url| RedisTier::open(url, L2.time_to_live)).transpose()?;
        let open = |name| Tiered::open(name, redis.as_ref(), agent, (faults, truth));
        Ok(Self {
            products: open(CacheName::Products),
            listings: open(CacheName::Listings),
            search: open(CacheName::Search),
            analytics: open(CacheName::Analytics),
            redis,
        })
    }

    fn all(&self) -> [&Tiered; 4] {
        [&self.products, &self.listings, &self.search, &self.analytics]
    }

    /// Whether the second tier is Redis.
    pub(crate) fn uses_redis(&self) -> bool {
        self.redis.is_some()
    }

    /// Asks Redis for a sign of life; fine when there is none.
    pub(crate) async fn ping(&self) -> Result<(), String> {
        match &self.redis {
            Some(redis) => redis.ping().await.map_err(|away| away.to_string()),
            None => Ok(()),
        }
    }

    /// Lets expired entries go, in quiet times as well.
    pub(crate) async fn tidy(&self) {
        for cache in self.all() {
            cache.0.first.tidy().await;
            if let SecondTier::Memory(memory) = &cache.0.second {
                memory.tidy().await;
            }
        }
    }

    /// Withdraws everything that carries the tag, from all tiers. Returns how many entries went.
    pub(crate) async fn withdraw_tag(&self, tag: &str) -> u64 {
        let mut removed = 0;
        for cache in self.all() {
            removed += cache.0.first.withdraw_tag(tag).await;
            if let SecondTier::Memory(memory) = &cache.0.second {
                removed += memory.withdraw_tag(tag).await;
            }
        }
        if let Some(redis) = &self.redis {
            removed += redis.withdraw_tag(tag).await.unwrap_or_else(|away| forgotten(&away));
        }
        removed
    }

    /// Withdraws, or only counts, the keys of one cache that fit the pattern, in one tier or in both. Returns how many
    /// entries that is.
    pub(crate) async fn withdraw_from(
        &self,
        (name, tier): (CacheName, Option<Tier>),
        pattern: &Wildcard,
        count_only: bool,
    ) -> u64 {
        let Some(cache) = self.all().into_iter().find(|cache| cache.0.name == name) else { return 0 };
        let mut found = 0;
        if tier != Some(Tier::L2) {
            found += cache.0.first.withdraw_or_count(pattern, count_only).await;
        }
        if tier != Some(Tier::L1) {
            found += match &cache.0.second {
                SecondTier::Memory(memory) => memory.withdraw_or_count(pattern, count_only).await,
                SecondTier::Redis(redis, _) if count_only => {
                    redis.count_pattern(pattern).await.unwrap_or_else(|away| forgotten(&away))
                }
                SecondTier::Redis(redis, _) => {
                    redis.withdraw_pattern(pattern).await.unwrap_or_else(|away| forgotten(&away))
                }
            };
        }
        found
    }

    /// Withdraws every key that fits the pattern, from all tiers. Returns how many entries went.
    pub(crate) async fn withdraw_pattern(&self, pattern: &Wildcard) -> u64 {
        let mut removed = 0;
        for cache in self.all() {
            removed += cache.0.first.withdraw_pattern(pattern).await;
            if let SecondTier::Memory(memory) = &cache.0.second {
                removed += memory.withdraw_pattern(pattern).await;
            }
        }
        if let Some(redis) = &self.redis {
            removed += redis.withdraw_pattern(pattern).await.unwrap_or_else(|away| forgotten(&away));
        }
        removed
    }
}

/// Redis could not be told: its entries end with their time to live.
fn forgotten(away: &super::redis_tier::Away) -> u64 {
    tracing::warn!(%away, "entries in Redis could not be withdrawn and stay until they expire");
    0
}

impl Tiered {
    fn open(
        name: CacheName,
        redis: Option<&RedisTier>,
        agent: &Agent,
        (faults, truth): (&Faults, &Arc<Truth>),
    ) -> Self {
        let first = MemoryTier::new(name, Tier::L1, L1, agent);
        let second = if let Some(redis) = redis {
            SecondTier::Redis(redis.clone(), agent.cache(name.label(), Tier::L2.label()))
        } else {
            SecondTier::Memory(MemoryTier::new(name, Tier::L2, L2, agent))
        };
        let (faults, truth) = (faults.clone(), Arc::clone(truth));
        Self(Arc::new(Inner { name, first, second, faults, truth }))
    }

    /// The key of a value in this cache.
    pub(crate) fn key(&self, rest: &str) -> String {
        format!("{}:{rest}", self.0.name.label())
    }

    /// The value under `rest`, loaded and kept when no tier has it. Absent values are not kept.
    pub(crate) async fn get_or_load<T, E>(
        &self,
        rest: &str,
        tags: &[String],
        load: impl Future<Output = Result<Option<T>, E>> + Send,
    ) -> Result<Option<T>, CacheError<E>>
    where
        T: Serialize + DeserializeOwned,
        E: Send + Sync + 'static,
    {
        let key = self.key(rest);
        let stampede = self.0.faults.cache_stampede();
        if stampede {
            self.expire(&key).await;
        }
        if let Some(entry) = self.0.first.get(&key).await {
            self.count(Tier::L1, Lookup::Hit);
            return decode(&entry);
        }
        self.count(Tier::L1, Lookup::Miss);
        if stampede {
            return Box::pin(self.fill(&key, tags, load))
                .await
                .map_or_else(|outcome| ended(&outcome), |entry| decode(&entry));
        }
        // Requests that miss the same key at the same time wait for one load.
        match self.0.first.load(key.clone(), Box::pin(self.fill(&key, tags, load))).await {
            Ok((entry, is_fresh)) => {
                if is_fresh {
                    self.count(Tier::L1, Lookup::Write);
                }
                decode(&entry)
            }
            Err(outcome) => ended(&outcome),
        }
    }

    /// Puts a value into both tiers, or into the second alone: for warming.
    pub(crate) async fn put<T: Serialize>(&self, rest: &str, tags: &[String], value: &T, both: bool) {
        let key = self.key(rest);
        let Ok(body) = serde_json::to_string(value) else { return };
        let entry = Entry { body: body.into(), tags: tags.into() };
        self.put_second(&key, &entry).await;
        if both {
            self.0.first.insert(key, entry).await;
            self.count(Tier::L1, Lookup::Write);
        }
    }

    /// Looks into the second tier, then loads.
    async fn fill<T: Serialize, E>(
        &self,
        key: &str,
        tags: &[String],
        load: impl Future<Output = Result<Option<T>, E>>,
    ) -> Result<Entry, Outcome<E>> {
        if let Some(body) = self.get_second(key).await {
            return Ok(Entry { body, tags: tags.into() });
        }
        let value = load.await.map_err(|error| Outcome::Failed(Arc::new(error)))?.ok_or(Outcome::Absent)?;
        let body = serde_json::to_string(&value).map_err(|error| Outcome::Codec(Arc::new(error)))?;
        let entry = Entry { body: body.into(), tags: tags.into() };
        self.put_second(key, &entry).await;
        Ok(entry)
    }

    async fn get_second(&self, key: &str) -> Option<Arc<str>> {
        let found = match &self.0.second {
            SecondTier::Memory(memory) => Ok(memory.get(key).await.map(|entry| entry.body)),
            SecondTier::Redis(redis, observed) => {
                let found = redis.get(key).await;
                match &found {
                    Ok(Some(_)) => observed.hit(),
                    Ok(None) => observed.miss(),
                    Err(_) => observed.error(),
                }
                found
            }
        };
        self.count(
            Tier::L2,
            match &found {
                Ok(Some(_)) => Lookup::Hit,
                Ok(None) => Lookup::Miss,
                Err(_) => Lookup::Error,
            },
        );
        found.ok().flatten()
    }

    async fn put_second(&self, key: &str, entry: &Entry) {
        match &self.0.second {
            SecondTier::Memory(memory) => memory.insert(key.to_owned(), entry.clone()).await,
            SecondTier::Redis(redis, observed) => {
                if redis.put(key, entry).await.is_err() {
                    return;
                }
                observed.write();
            }
        }
        self.count(Tier::L2, Lookup::Write);
    }

    /// The cache-stampede fault: an entry has expired the moment it is asked for.
    async fn expire(&self, key: &str) {
        self.0.first.expire(key).await;
        match &self.0.second {
            SecondTier::Memory(memory) => memory.expire(key).await,
            SecondTier::Redis(redis, _) => {
                if let Err(away) = redis.remove(key).await {
                    tracing::debug!(%away, "an entry could not be expired");
                }
            }
        }
    }

    /// Into the shop's own books; the agent counts for itself.
    fn count(&self, tier: Tier, lookup: Lookup) {
        self.0.truth.cache(self.0.name, tier, lookup);
    }
}

fn decode<T: DeserializeOwned, E>(entry: &Entry) -> Result<Option<T>, CacheError<E>> {
    serde_json::from_str(&entry.body).map(Some).map_err(|error| CacheError::Codec(Arc::new(error)))
}

fn ended<T, E>(outcome: &Outcome<E>) -> Result<Option<T>, CacheError<E>> {
    match outcome {
        Outcome::Absent => Ok(None),
        Outcome::Failed(error) => Err(CacheError::Load(Arc::clone(error))),
        Outcome::Codec(error) => Err(CacheError::Codec(Arc::clone(error))),
    }
}
