//! Three tiers of caching: L1 in this process, L2 in Redis (or in this process, for a newcomer
//! without Redis), and the database as the last. It refuses to know what is cached.

mod entry;
mod memory;
mod redis_tier;
mod tiered;
mod warm;

pub(crate) use entry::{Entry, Wildcard};
pub(crate) use tiered::{CacheError, Caches};
pub(crate) use warm::{warm, warm_one, warm_these};

/// The caches of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CacheName {
    /// Products by key.
    Products,
    /// Pages of products.
    Listings,
    /// Searches of one word.
    Search,
    /// Vendors' figures.
    Analytics,
}

impl CacheName {
    /// Every cache, at its index.
    pub(crate) const ALL: [Self; 4] = [Self::Products, Self::Listings, Self::Search, Self::Analytics];

    /// The label value, and the prefix of every key.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Products => "products",
            Self::Listings => "listings",
            Self::Search => "search",
            Self::Analytics => "analytics",
        }
    }
}
