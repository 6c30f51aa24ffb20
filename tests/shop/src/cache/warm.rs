//! Fills the caches before the first request: the catalogue into L2, the front pages into L1.

use super::{CacheName, Caches};
use crate::api::catalogue::{self, ListingKey, PAGE_LIMIT_DEFAULT};
use crate::api::vendors;
use crate::clock;
use crate::store::{CATEGORIES, Database, ProductQuery, ProductSort, SEARCH_WORDS, Start, StoreError};

/// Products read at once while warming.
const CHUNK: i64 = 500;
/// Products that are warm in L1 as well: those on the front pages.
const FRONT: i64 = 120;
/// Pages of each listing that are warm: few shoppers go deeper.
const PAGES: usize = 3;

/// Reads what shoppers will ask for first. An error leaves the caches colder, nothing else.
pub(crate) async fn warm(database: &Database, caches: &Caches) -> Result<(), StoreError> {
    for name in CacheName::ALL {
        warm_one(database, caches, name).await?;
    }
    Ok(())
}

/// The same for one cache. Returns how many entries were filled.
pub(crate) async fn warm_one(database: &Database, caches: &Caches, name: CacheName) -> Result<u64, StoreError> {
    let mut filled = 0;
    match name {
        CacheName::Products => filled = warm_products(database, caches).await?,
        CacheName::Listings => {
            for category in std::iter::once(None).chain(CATEGORIES.into_iter().map(Some)) {
                for sort in [ProductSort::Id, ProductSort::Price] {
                    filled += warm_listing(database, caches, category, sort).await?;
                }
            }
        }
        CacheName::Search => {
            for word in SEARCH_WORDS {
                let hits = database.search(word, catalogue::SEARCH_LIMIT).await?;
                caches.search.put(word, &[], &hits, true).await;
                filled += 1;
            }
        }
        CacheName::Analytics => {
            let mut vendor = 1;
            let now_ms = clock::now_ms();
            while let Some(figures) = vendors::load_figures(database, vendor, vendors::DAYS_DEFAULT, now_ms).await? {
                caches.analytics.put(&vendors::cache_key(vendor, vendors::DAYS_DEFAULT), &[], &figures, true).await;
                vendor += 1;
                filled += 1;
            }
        }
    }
    Ok(filled)
}

/// Fills in these products. Returns how many of them there are.
pub(crate) async fn warm_these(database: &Database, caches: &Caches, ids: &[i64]) -> Result<u64, StoreError> {
    let mut filled = 0;
    for &id in ids {
        if let Some(product) = database.product(id).await? {
            caches.products.put(&id.to_string(), &[catalogue::product_tag(id)], &product, true).await;
            filled += 1;
        }
    }
    Ok(filled)
}

async fn warm_products(database: &Database, caches: &Caches) -> Result<u64, StoreError> {
    let (mut after, mut filled) = (0, 0);
    loop {
        let query = ProductQuery {
            category: None,
            sort: ProductSort::Id,
            start: Start::After { price_cents: 0, id: after },
            limit: CHUNK,
        };
        let products = database.products(&query).await?;
        let Some(last) = products.last() else { return Ok(filled) };
        after = last.id;
        filled += products.len() as u64;
        for product in &products {
            let tags = [catalogue::product_tag(product.id)];
            caches.products.put(&product.id.to_string(), &tags, product, product.id <= FRONT).await;
        }
    }
}

async fn warm_listing(
    database: &Database,
    caches: &Caches,
    category: Option<&str>,
    sort: ProductSort,
) -> Result<u64, StoreError> {
    let mut filled = 0;
    let mut key = ListingKey::first(category, sort, PAGE_LIMIT_DEFAULT);
    for _ in 0..PAGES {
        let page = catalogue::load_page(database, &key).await?;
        caches.listings.put(&key.text(), &catalogue::page_tags(&page), &page, true).await;
        filled += 1;
        match page.next_cursor {
            Some(cursor) => key = key.after(&cursor),
            None => break,
        }
    }
    Ok(filled)
}
