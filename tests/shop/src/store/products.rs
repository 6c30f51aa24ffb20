//! Products: pages by cursor or offset, full-text search, stock and price.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, FromRow};

use super::database::{Database, Pools, StoreError, on};
use super::statement::Statement;
use crate::clock;

/// A product as the catalogue shows it. Stock is read apart: it changes with every order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub(crate) struct Product {
    /// Key.
    pub(crate) id: i64,
    /// Stock-keeping unit.
    pub(crate) sku: String,
    /// Name.
    pub(crate) name: String,
    /// A sentence or two.
    pub(crate) description: String,
    /// One of [`super::CATEGORIES`].
    pub(crate) category: String,
    /// Price.
    pub(crate) price_cents: i64,
    /// Who sells it.
    pub(crate) vendor_id: i64,
    /// The seller's name.
    pub(crate) vendor_name: String,
}

/// A search result: enough to show a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub(crate) struct SearchHit {
    /// Key.
    pub(crate) id: i64,
    /// Name.
    pub(crate) name: String,
    /// Category.
    pub(crate) category: String,
    /// Price.
    pub(crate) price_cents: i64,
}

/// How a page is ordered. Ties are broken by key, so that a cursor is exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ProductSort {
    /// By key, oldest first.
    #[default]
    Id,
    /// Cheapest first.
    Price,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// After this many rows: simple, slower the deeper it goes.
    Offset(i64),
    /// After this row: the sort value and the key of the last row seen. Always fast.
    After {
        /// The last row's price; ignored when sorted by key.
        price_cents: i64,
        /// The last row's key.
        id: i64,
    },
}

/// Which page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProductQuery {
    /// Only this category.
    pub(crate) category: Option<String>,
    /// Order.
    pub(crate) sort: ProductSort,
    /// First row.
    pub(crate) start: Start,
    /// Rows at most.
    pub(crate) limit: i64,
}

const COLUMNS: &str =
    "p.id, p.sku, p.name, p.description, p.category, p.price_cents, p.vendor_id, v.name AS vendor_name";

impl ProductQuery {
    /// The statement: built from constant parts only, values are always bound.
    fn sql(&self) -> String {
        let category = if self.category.is_some() { "p.category = $1" } else { "$1 = ''" };
        let start = match (self.start, self.sort) {
            (Start::Offset(_), _) => "$2 = $2 AND $3 = $3",
            (Start::After { .. }, ProductSort::Id) => "$2 = $2 AND p.id > $3",
            (Start::After { .. }, ProductSort::Price) => "(p.price_cents, p.id) > ($2, $3)",
        };
        let order = match self.sort {
            ProductSort::Id => "p.id",
            ProductSort::Price => "p.price_cents, p.id",
        };
        format!(
            "SELECT {COLUMNS} FROM products p JOIN vendors v ON v.id = p.vendor_id \
             WHERE {category} AND {start} ORDER BY {order} LIMIT $4 OFFSET $5"
        )
    }
}

impl Database {
    /// One page of products.
    pub(crate) async fn products(&self, query: &ProductQuery) -> Result<Vec<Product>, StoreError> {
        let (after_price, after_id, offset) = match query.start {
            Start::Offset(rows) => (0, 0, rows),
            Start::After { price_cents, id } => (price_cents, id, 0),
        };
        let sql = query.sql();
        let category = query.category.clone().unwrap_or_default();
        let mut lease = self.read().await?;
        let products: Vec<Product> = self
            .observe(Statement::ProductsPage, async {
                on!(lease.session(), c => sqlx::query_as(AssertSqlSafe(sql))
                    .bind(category).bind(after_price).bind(after_id).bind(query.limit).bind(offset)
                    .fetch_all(c).await)
            })
            .await?;
        if self.faults().n_plus_one() {
            drop(lease);
            self.ask_once_per_row(&products).await?;
        }
        Ok(products)
    }

    /// What the page's one join already knew, asked again row by row: the N+1 fault.
    pub(crate) async fn ask_once_per_row(&self, products: &[Product]) -> Result<(), StoreError> {
        let mut lease = self.read().await?;
        for product in products {
            let _vendor: Option<(String,)> = self
                .observe(Statement::VendorOfProduct, async {
                    on!(lease.session(), c => sqlx::query_as("SELECT v.name FROM vendors v WHERE v.id = $1")
                        .bind(product.vendor_id).fetch_optional(c).await)
                })
                .await?;
            let _sold: Option<(i64,)> = self
                .observe(Statement::SoldOfProduct, async {
                    on!(lease.session(), c => sqlx::query_as("SELECT total FROM product_events WHERE product_id = $1 AND event = 'sold'")
                        .bind(product.id).fetch_optional(c).await)
                })
                .await?;
        }
        Ok(())
    }

    /// One product.
    pub(crate) async fn product(&self, id: i64) -> Result<Option<Product>, StoreError> {
        const SQL: &str = "SELECT p.id, p.sku, p.name, p.description, p.category, p.price_cents, p.vendor_id, \
             v.name AS vendor_name FROM products p JOIN vendors v ON v.id = p.vendor_id WHERE p.id = $1";
        let mut lease = self.read().await?;
        self.observe(Statement::ProductById, async {
            on!(lease.session(), c => sqlx::query_as(SQL).bind(id).fetch_optional(c).await)
        })
        .await
    }

    /// How many of a product are left.
    pub(crate) async fn stock(&self, product_id: i64) -> Result<Option<i64>, StoreError> {
        let mut lease = self.read().await?;
        self.observe(Statement::ProductStock, async {
            on!(lease.session(), c => sqlx::query_scalar("SELECT stock FROM products WHERE id = $1")
                .bind(product_id).fetch_optional(c).await)
        })
        .await
    }

    /// The best hits for what a shopper typed: FTS5 on SQLite, `tsvector` with GIN on PostgreSQL.
    pub(crate) async fn search(&self, typed: &str, limit: i64) -> Result<Vec<SearchHit>, StoreError> {
        const SQLITE: &str = "SELECT p.id, p.name, p.category, p.price_cents \
             FROM products_search s JOIN products p ON p.id = s.rowid \
             WHERE products_search MATCH $1 ORDER BY bm25(products_search, 4.0, 1.0), p.id LIMIT $2";
        const POSTGRES: &str = "SELECT p.id, p.name, p.category, p.price_cents \
             FROM products p, websearch_to_tsquery('english', $1) query \
             WHERE p.search @@ query ORDER BY ts_rank(p.search, query) DESC, p.id LIMIT $2";
        let (sql, terms) = match self.pools() {
            Pools::Sqlite(_) => (SQLITE, match_expression(typed)),
            Pools::Postgres(_) => (POSTGRES, typed.to_owned()),
        };
        if terms.is_empty() {
            return Ok(Vec::new());
        }
        let mut lease = self.read().await?;
        self.observe(Statement::ProductsSearch, async {
            on!(lease.session(), c => sqlx::query_as(sql).bind(terms).bind(limit).fetch_all(c).await)
        })
        .await
    }

    /// Changes a price; `None` when there is no such product.
    pub(crate) async fn set_price(&self, id: i64, price_cents: i64) -> Result<Option<()>, StoreError> {
        const SQL: &str = "UPDATE products SET price_cents = $2, updated_at_ms = $3 WHERE id = $1";
        let mut lease = self.write().await?;
        let changed = self
            .observe(Statement::UpdatePrice, async {
                on!(lease.session(), c => sqlx::query(SQL).bind(id).bind(price_cents).bind(clock::now_ms())
                    .execute(c).await.map(|done| done.rows_affected()))
            })
            .await?;
        self.commit(lease).await?;
        Ok((changed > 0).then_some(()))
    }
}

/// What a shopper typed as an FTS5 expression: every word quoted, so that no character is syntax.
fn match_expression(typed: &str) -> String {
    typed
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| format!("\"{word}\""))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::match_expression;

    #[test]
    fn search_syntax_in_what_a_shopper_typed_is_only_text() {
        assert_eq!(match_expression("oak NEAR(\"table\") *"), "\"oak\" \"NEAR\" \"table\"");
        assert_eq!(match_expression(" -- '\" "), "");
    }
}
