//! Products: pages, search, one product, its price.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Problem, Shop};
use crate::cache::Wildcard;
use crate::store::{CATEGORIES, Database, Product, ProductQuery, ProductSort, SearchHit, Start, StoreError};

/// Products of a page when the client names no number.
pub(crate) const PAGE_LIMIT_DEFAULT: i64 = 24;
const PAGE_LIMIT_MAX: i64 = 100;
/// Pages counted by number end here: an offset reads everything before it. A cursor goes on.
const PAGE_NUMBER_MAX: i64 = 200;
/// Hits of a search.
pub(crate) const SEARCH_LIMIT: i64 = 20;
const SEARCH_CHARS_MAX: usize = 100;

/// One page of products.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Page {
    /// The products.
    pub(crate) items: Vec<Product>,
    /// What to pass as `cursor` for the next page; null on the last.
    pub(crate) next_cursor: Option<String>,
}

/// Which page: also the key it is cached under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ListingKey {
    category: Option<String>,
    sort: ProductSort,
    limit: i64,
    start: Start,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListParameters {
    category: Option<String>,
    #[serde(default)]
    sort: ProductSort,
    limit: Option<i64>,
    cursor: Option<String>,
    page: Option<i64>,
}

/// A product as a shopper sees it.
#[derive(Debug, Serialize)]
pub(super) struct ProductView {
    #[serde(flatten)]
    product: Product,
    stock: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct SearchParameters {
    q: String,
}

#[derive(Debug, Serialize)]
pub(super) struct SearchResult {
    query: String,
    hits: Vec<SearchHit>,
}

#[derive(Debug, Deserialize)]
pub(super) struct NewPrice {
    price_cents: i64,
}

impl ListingKey {
    /// The first page.
    pub(crate) fn first(category: Option<&str>, sort: ProductSort, limit: i64) -> Self {
        Self { category: category.map(str::to_owned), sort, limit, start: Start::Offset(0) }
    }

    /// The page after the one that answered this cursor.
    pub(crate) fn after(&self, cursor: &str) -> Self {
        Self { start: read_cursor(cursor).unwrap_or(self.start), ..self.clone() }
    }

    /// The text it is cached under.
    pub(crate) fn text(&self) -> String {
        let category = self.category.as_deref().unwrap_or("all");
        let sort = match self.sort {
            ProductSort::Id => "id",
            ProductSort::Price => "price",
        };
        match self.start {
            Start::Offset(rows) => format!("{category}:{sort}:{}:offset:{rows}", self.limit),
            Start::After { price_cents, id } => format!("{category}:{sort}:{}:after:{price_cents}.{id}", self.limit),
        }
    }
}

impl TryFrom<ListParameters> for ListingKey {
    type Error = Problem;

    fn try_from(given: ListParameters) -> Result<Self, Problem> {
        if let Some(category) = given.category.as_deref().filter(|category| !CATEGORIES.contains(category)) {
            let known = CATEGORIES.join(", ");
            return Err(Problem::bad_request(format!("there is no category `{category}`; there are {known}")));
        }
        let limit = given.limit.unwrap_or(PAGE_LIMIT_DEFAULT);
        if !(1..=PAGE_LIMIT_MAX).contains(&limit) {
            return Err(Problem::bad_request(format!("limit must be 1 to {PAGE_LIMIT_MAX}, not {limit}")));
        }
        let start = match (given.cursor.as_deref(), given.page) {
            (Some(_), Some(_)) => return Err(Problem::bad_request("give either cursor or page, not both")),
            (Some(cursor), None) => read_cursor(cursor).ok_or_else(|| {
                Problem::bad_request(format!("`{cursor}` is not a cursor; take next_cursor of the page before"))
            })?,
            (None, page) => {
                let page = page.unwrap_or(1);
                if !(1..=PAGE_NUMBER_MAX).contains(&page) {
                    let hint = format!("page must be 1 to {PAGE_NUMBER_MAX}, not {page}; to go deeper use cursor");
                    return Err(Problem::bad_request(hint));
                }
                Start::Offset((page - 1) * limit)
            }
        };
        Ok(Self { category: given.category, sort: given.sort, limit, start })
    }
}

fn read_cursor(cursor: &str) -> Option<Start> {
    let (price, id) = cursor.split_once('.')?;
    Some(Start::After { price_cents: price.parse().ok()?, id: id.parse().ok()? })
}

/// The tag of everything that shows a product.
pub(crate) fn product_tag(id: i64) -> String {
    format!("product-{id}")
}

/// The tags of a page: one for each product on it.
pub(crate) fn page_tags(page: &Page) -> Vec<String> {
    page.items.iter().map(|product| product_tag(product.id)).collect()
}

/// Reads a page from the database.
pub(crate) async fn load_page(database: &Database, key: &ListingKey) -> Result<Page, StoreError> {
    let query = ProductQuery { category: key.category.clone(), sort: key.sort, start: key.start, limit: key.limit };
    let items = database.products(&query).await?;
    let full = i64::try_from(items.len()).unwrap_or(i64::MAX) == key.limit;
    let next_cursor = items.last().filter(|_| full).map(|last| format!("{}.{}", last.price_cents, last.id));
    Ok(Page { items, next_cursor })
}

/// `GET /products`: by cursor (exact, as deep as one likes) or by page number.
pub(super) async fn list(
    State(shop): State<Arc<Shop>>,
    parameters: Result<Query<ListParameters>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    let key = ListingKey::try_from(parameters?.0)?;
    let page = shop
        .caches
        .listings
        .get_or_load(&key.text(), &[], Box::pin(async { load_page(&shop.database, &key).await.map(Some) }))
        .await?
        .unwrap_or(Page { items: Vec::new(), next_cursor: None });
    if shop.faults.n_plus_one() {
        shop.database.ask_once_per_row(&page.items).await?;
    }
    Ok(Json(page))
}

/// `GET /products/{id}`: the catalogue entry from the cache, the stock from the database.
pub(super) async fn product(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<ProductView>, Problem> {
    let id = id?.0;
    let tags = [product_tag(id)];
    let product = shop
        .caches
        .products
        .get_or_load(&id.to_string(), &tags, Box::pin(shop.database.product(id)))
        .await?
        .ok_or_else(|| Problem::not_found("product", id))?;
    let stock = shop.database.stock(id).await?.ok_or_else(|| Problem::not_found("product", id))?;
    Ok(Json(ProductView { product, stock }))
}

/// `GET /search?q=`: searches of one word are cached; the long tail of others would only push
/// them out.
pub(super) async fn search(
    State(shop): State<Arc<Shop>>,
    parameters: Result<Query<SearchParameters>, QueryRejection>,
) -> Result<Json<SearchResult>, Problem> {
    let query = parameters?.0.q.trim().to_lowercase();
    if query.is_empty() || query.chars().count() > SEARCH_CHARS_MAX {
        let detail = format!("q must have 1 to {SEARCH_CHARS_MAX} characters");
        return Err(Problem::bad_request(detail));
    }
    let load = Box::pin(shop.database.search(&query, SEARCH_LIMIT));
    let hits = if query.chars().all(char::is_alphanumeric) {
        shop.caches.search.get_or_load(&query, &[], async { load.await.map(Some) }).await?.unwrap_or_default()
    } else {
        load.await?
    };
    Ok(Json(SearchResult { query, hits }))
}

/// `PUT /products/{id}/price`: what shows the old price is withdrawn from every tier.
pub(super) async fn set_price(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<NewPrice>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let (id, price_cents) = (id?.0, body?.0.price_cents);
    if price_cents <= 0 {
        return Err(Problem::bad_request(format!("price_cents must be above 0, not {price_cents}")));
    }
    shop.database.set_price(id, price_cents).await?.ok_or_else(|| Problem::not_found("product", id))?;
    shop.caches.withdraw_tag(&product_tag(id)).await;
    // A new price moves the product between pages, and search results show prices.
    for pattern in ["listings:*", "search:*"] {
        shop.caches.withdraw_pattern(&Wildcard::new(pattern)).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::{ListParameters, ListingKey};
    use crate::store::{ProductSort, Start};

    fn parameters() -> ListParameters {
        ListParameters { category: None, sort: ProductSort::Price, limit: None, cursor: None, page: None }
    }

    #[test]
    fn a_page_is_named_by_cursor_or_by_number_but_not_both() {
        let by_cursor = ListParameters { cursor: Some("1999.42".to_owned()), ..parameters() };
        let key = ListingKey::try_from(by_cursor).unwrap();
        assert_eq!(key.start, Start::After { price_cents: 1999, id: 42 });
        let by_number = ListParameters { page: Some(3), limit: Some(10), ..parameters() };
        assert_eq!(ListingKey::try_from(by_number).unwrap().start, Start::Offset(20));
        let both = ListParameters { page: Some(3), cursor: Some("1.1".to_owned()), ..parameters() };
        assert!(ListingKey::try_from(both).is_err());
    }

    #[test]
    fn nonsense_is_refused() {
        for given in [
            ListParameters { cursor: Some("abc".to_owned()), ..parameters() },
            ListParameters { category: Some("cars".to_owned()), ..parameters() },
            ListParameters { limit: Some(0), ..parameters() },
            ListParameters { limit: Some(101), ..parameters() },
            ListParameters { page: Some(0), ..parameters() },
        ] {
            assert!(ListingKey::try_from(given).is_err());
        }
    }

    #[test]
    fn different_pages_have_different_keys() {
        let first = ListingKey::first(None, ProductSort::Id, 24);
        let next = first.after("100.24");
        let other = ListingKey::first(Some("books"), ProductSort::Id, 24);
        assert_ne!(first.text(), next.text());
        assert_ne!(first.text(), other.text());
    }
}
