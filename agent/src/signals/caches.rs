//! Caches by tier: look-ups by result, writes, evictions by reason, what they hold; which library it is is not known here.

use std::sync::Arc;

use heartline_shared::Labels;

use crate::clock::Stamp;
use crate::instruments::{Counter, Histogram};
use crate::registry::{Registry, Room};
use crate::signals::resolved::Resolved;
use crate::signals::spent::{Spending, spend};
use crate::snapshot::{CacheEntries, Families};
use crate::trace::{Child, Work};

/// Why an entry left a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Eviction {
    /// The cache was full.
    Size,
    /// Its time was over.
    Expired,
    /// The service invalidated it.
    Explicit,
    /// A newer value took its place.
    Replaced,
}

impl Eviction {
    const ALL: [Self; 4] = [Self::Size, Self::Expired, Self::Explicit, Self::Replaced];

    const fn label(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Expired => "expired",
            Self::Explicit => "explicit",
            Self::Replaced => "replaced",
        }
    }
}

/// What is done to a cache, for timing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CacheOperation {
    /// A look-up.
    Get,
    /// A write.
    Set,
    /// An invalidation.
    Delete,
}

impl CacheOperation {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Set => "set",
            Self::Delete => "delete",
        }
    }
}

/// What a cache holds now; what the probe answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStatus {
    /// Entries held.
    pub entries: Option<u64>,
    /// Entries it may hold; `None` when it has no such limit. While a cache that knows this and not its bytes fills, growth that
    /// it explains is not suspected to be a leak.
    pub limit_entries: Option<u64>,
    /// Bytes held; `None` when the cache does not know. The leak detector subtracts them unless they are remote.
    pub bytes: Option<u64>,
    /// Bytes it may hold; `None` when it has no such limit.
    pub limit_bytes: Option<u64>,
    /// Whether the bytes are held by another process, such as Redis; then they are not part of this one's heap.
    pub remote: bool,
}

/// A handle to one tier of one cache; clones share it.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Series>);

#[derive(Debug)]
struct Series {
    registry: Arc<Registry>,
    labels: Labels,
    hits: Counter,
    misses: Counter,
    stale: Counter,
    errors: Counter,
    writes: Counter,
    evictions: [Counter; Eviction::ALL.len()],
    timed: Resolved<CacheOperation, Histogram>,
}

impl Cache {
    pub(crate) fn new(registry: &Arc<Registry>, name: &str, tier: &str) -> Self {
        let labels = Labels::from_pairs([("cache.name", name), ("cache.tier", tier)]);
        let counter = |metric, labels| registry.counter(metric, labels, Room::Reserved);
        let result = |result| counter("heartline.cache.requests", labels.clone().with("cache.result", result));
        let eviction = |reason: Eviction| {
            counter("heartline.cache.evictions", labels.clone().with("cache.eviction.reason", reason.label()))
        };
        Self(Arc::new(Series {
            hits: result("hit"),
            misses: result("miss"),
            stale: result("stale"),
            errors: result("error"),
            writes: counter("heartline.cache.writes", labels.clone()),
            evictions: Eviction::ALL.map(eviction),
            timed: Resolved::new(),
            registry: Arc::clone(registry),
            labels,
        }))
    }

    /// The entry was there. Cost, as of all counts here: one relaxed `fetch_add`.
    pub fn hit(&self) {
        self.0.hits.increment();
    }

    /// The entry was not there.
    pub fn miss(&self) {
        self.0.misses.increment();
    }

    /// The entry was there, too old, and used all the same.
    pub fn stale(&self) {
        self.0.stale.increment();
    }

    /// The cache did not answer.
    pub fn error(&self) {
        self.0.errors.increment();
    }

    /// An entry was written.
    pub fn write(&self) {
        self.0.writes.increment();
    }

    /// An entry left.
    pub fn evicted(&self, reason: Eviction) {
        self.evicted_many(reason, 1);
    }

    /// So many entries left.
    pub(crate) fn evicted_many(&self, reason: Eviction, entries: u64) {
        self.0.evictions[reason as usize].add(entries);
    }

    /// Runs an operation and records how long it took; an abandoned one is not recorded.
    pub async fn time<T>(&self, operation: CacheOperation, work: impl Future<Output = T>) -> T {
        let start = Stamp::now();
        let mut child = Child::begin(|| self.0.work(operation), start);
        let result = work.await;
        let series = &*self.0;
        let now = Stamp::now();
        let nanos = start.nanos_until(now);
        child.end(now, None, None);
        spend(Spending::Cache, nanos);
        series.timed.with(&operation, || series.resolve(operation), |histogram| histogram.record_units(nanos));
        result
    }

    /// Adds what the probe answered.
    pub(crate) fn read(&self, status: CacheStatus, into: &mut Families) {
        let figures = [
            ("heartline.cache.entry.count", status.entries),
            ("heartline.cache.size", status.bytes),
            ("heartline.cache.limit", status.limit_bytes),
        ];
        if !status.remote {
            match (status.bytes, status.entries, status.limit_entries) {
                (Some(bytes), ..) => into.cached_bytes += bytes,
                (None, Some(held), Some(limit)) => {
                    let label = |name| self.0.labels.value(name).unwrap_or_default();
                    let title = format!("{} ({})", label("cache.name"), label("cache.tier"));
                    into.cache_entries.push(CacheEntries { title, held, limit });
                }
                _ => {}
            }
        }
        for (metric, figure) in figures {
            if let Some(figure) = figure {
                into.integer(metric, self.0.labels.clone(), figure);
            }
        }
    }

    /// How the tier is called in messages.
    pub(crate) fn title(&self) -> String {
        self.0.labels.to_string()
    }
}

impl Series {
    /// An operation as a span.
    fn work(&self, operation: CacheOperation) -> Work<'_> {
        let label = |name| self.labels.value(name).unwrap_or_default();
        Work::cache(operation.name(), label("cache.name"), label("cache.tier"))
    }

    fn resolve(&self, operation: CacheOperation) -> Histogram {
        let labels = self.labels.clone().with("cache.operation", operation.name());
        self.registry.histogram("heartline.cache.operation.duration", labels, Room::Reserved)
    }
}
