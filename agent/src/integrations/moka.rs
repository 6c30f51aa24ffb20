//! A moka cache whose look-ups, writes and evictions are counted; moka itself counts none of them. What the cache is for is
//! not known here.
//!
//! How a look-up counts:
//!
//! - [`get`](ObservedCache::get): a hit or a miss.
//! - [`get_with`](ObservedCache::get_with) and its kin: a **miss** when this caller's loader runs, counted when it begins,
//!   and a write when it has succeeded; a **hit** when the value was there or another caller was just loading it. So the
//!   misses are the loads that reach what is behind the cache, and a stampede that moka folds into one load is one miss.
//!   A caller that waited for a load that failed counts as a miss.
//!
//! Entries and bytes are moka's own figures, which run a little behind; evictions are counted when moka gets to them.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), heartline::Error> {
//! use moka::future::Cache;
//!
//! let agent = heartline::Agent::builder("shop").start()?;
//! let names = agent.moka("names", "l1").build(Cache::builder().max_capacity(10_000));
//! let name = names.get_with(7, async { "seven".to_owned() }).await;
//! assert_eq!(names.get(&7).await, Some(name));
//! # Ok(()) }
//! ```

use std::borrow::Borrow;
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use moka::future::{Cache, CacheBuilder};
use moka::notification::RemovalCause;

use crate::{Agent, CacheStatus, Eviction};

impl Agent {
    /// Observes a moka cache that is about to be built, as one tier (`l1`) of the cache `name`.
    pub fn moka(&self, name: &str, tier: &str) -> ObservedCacheBuilder {
        ObservedCacheBuilder { agent: self.clone(), signal: self.cache(name, tier), weighed_in_bytes: false }
    }
}

/// Builds an [`ObservedCache`]; see [`Agent::moka`].
#[derive(Debug, Clone)]
#[must_use = "nothing is observed until it is built"]
pub struct ObservedCacheBuilder {
    agent: Agent,
    signal: crate::Cache,
    weighed_in_bytes: bool,
}

impl ObservedCacheBuilder {
    /// The weigher of the cache weighs in bytes: its size and its limit are shown, and growth up to the limit is not
    /// taken for a leak. Without this, moka's weights may be anything and are not shown.
    pub fn weighed_in_bytes(mut self) -> Self {
        self.weighed_in_bytes = true;
        self
    }

    /// Builds the cache. An eviction listener that `builder` has is replaced: give it to
    /// [`build_with`](Self::build_with) instead.
    pub fn build<K, V>(self, builder: CacheBuilder<K, V, Cache<K, V>>) -> ObservedCache<K, V>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        self.build_with(builder, |_, _, _| {})
    }

    /// Builds the cache with an eviction listener of the service's own.
    pub fn build_with<K, V>(
        self,
        builder: CacheBuilder<K, V, Cache<K, V>>,
        listener: impl Fn(Arc<K>, V, RemovalCause) + Send + Sync + 'static,
    ) -> ObservedCache<K, V>
    where
        K: Hash + Eq + Send + Sync + 'static,
        V: Clone + Send + Sync + 'static,
    {
        let evictions = self.signal.clone();
        let cache = builder.eviction_listener(move |key, value, cause| {
            evictions.evicted(eviction(cause));
            listener(key, value, cause);
        });
        let cache = Arc::new(cache.build());
        // weak, so that the agent does not keep the entries of a cache that the service has dropped
        let watched = Arc::downgrade(&cache);
        let in_bytes = self.weighed_in_bytes;
        self.agent.watch_cache(&self.signal, move || {
            watched.upgrade().map_or_else(CacheStatus::default, |cache| status(&cache, in_bytes))
        });
        ObservedCache { cache, signal: self.signal }
    }
}

fn eviction(cause: RemovalCause) -> Eviction {
    match cause {
        RemovalCause::Expired => Eviction::Expired,
        RemovalCause::Explicit => Eviction::Explicit,
        RemovalCause::Replaced => Eviction::Replaced,
        RemovalCause::Size => Eviction::Size,
    }
}

fn status<K, V>(cache: &Cache<K, V>, in_bytes: bool) -> CacheStatus {
    CacheStatus {
        entries: Some(cache.entry_count()),
        limit_entries: cache.policy().max_capacity().filter(|_| !in_bytes),
        bytes: in_bytes.then(|| cache.weighted_size()),
        limit_bytes: cache.policy().max_capacity().filter(|_| in_bytes),
        remote: false,
    }
}

/// A moka cache whose use is counted; clones are the same cache. See [`Agent::moka`].
pub struct ObservedCache<K, V> {
    cache: Arc<Cache<K, V>>,
    signal: crate::Cache,
}

impl<K, V> Clone for ObservedCache<K, V> {
    fn clone(&self) -> Self {
        Self { cache: Arc::clone(&self.cache), signal: self.signal.clone() }
    }
}

impl<K, V> fmt::Debug for ObservedCache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObservedCache").field("signal", &self.signal).finish_non_exhaustive()
    }
}

impl<K, V> ObservedCache<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// The value of `key`, if it is there.
    pub async fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let value = self.cache.get(key).await;
        if value.is_some() {
            self.signal.hit();
        } else {
            self.signal.miss();
        }
        value
    }

    /// The value of `key`, loaded if it is not there. Callers that ask for the same key at the same time share one load.
    pub async fn get_with(&self, key: K, load: impl Future<Output = V>) -> V {
        let lookup = Lookup::new(self);
        let value = self.cache.get_with(key, lookup.loading(load)).await;
        lookup.end(true);
        value
    }

    /// As [`get_with`](Self::get_with), for loads that may find nothing.
    pub async fn optionally_get_with(&self, key: K, load: impl Future<Output = Option<V>>) -> Option<V> {
        let lookup = Lookup::new(self);
        let value = self.cache.optionally_get_with(key, lookup.loading(load)).await;
        lookup.end(value.is_some());
        value
    }

    /// As [`get_with`](Self::get_with), for loads that may fail.
    ///
    /// # Errors
    /// That of the load, shared by all callers that waited for it.
    pub async fn try_get_with<E>(&self, key: K, load: impl Future<Output = Result<V, E>>) -> Result<V, Arc<E>>
    where
        E: Send + Sync + 'static,
    {
        let lookup = Lookup::new(self);
        let value = self.cache.try_get_with(key, lookup.loading(load)).await;
        lookup.end(value.is_ok());
        value
    }

    /// Writes a value.
    pub async fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value).await;
        self.signal.write();
    }

    /// Drops the entry of `key`; counted as an explicit eviction if there was one.
    pub async fn invalidate<Q: Hash + Eq + ?Sized>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        self.cache.invalidate(key).await;
    }

    /// As [`invalidate`](Self::invalidate), and returns the value.
    pub async fn remove<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.cache.remove(key).await
    }

    /// Drops all entries.
    pub fn invalidate_all(&self) {
        self.cache.invalidate_all();
    }

    /// The cache itself. Look-ups and writes on it are not counted; evictions are.
    pub fn cache(&self) -> &Cache<K, V> {
        &self.cache
    }

    /// For outcomes that only the service can tell, such as a value that was there and too old.
    pub fn signal(&self) -> &crate::Cache {
        &self.signal
    }
}

/// One look-up that may load.
struct Lookup<'a> {
    signal: &'a crate::Cache,
    loaded: AtomicBool,
}

impl<'a> Lookup<'a> {
    fn new<K, V>(cache: &'a ObservedCache<K, V>) -> Self {
        Self { signal: &cache.signal, loaded: AtomicBool::new(false) }
    }

    /// The load, counted as a miss once it begins, whether or not it comes to its end.
    async fn loading<T>(&self, load: impl Future<Output = T>) -> T {
        self.loaded.store(true, Ordering::Relaxed);
        self.signal.miss();
        load.await
    }

    fn end(&self, has_value: bool) {
        match (self.loaded.load(Ordering::Relaxed), has_value) {
            (true, true) => self.signal.write(),
            (true, false) => {}
            (false, true) => self.signal.hit(),
            (false, false) => self.signal.miss(),
        }
    }
}
