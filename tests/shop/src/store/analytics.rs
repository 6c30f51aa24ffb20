//! What a vendor wants to know: revenue, orders and best sellers of the last days.

use serde::{Deserialize, Serialize};
use sqlx::FromRow;

use super::database::{Database, StoreError, on};
use super::statement::Statement;

/// A vendor's figures over a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VendorAnalytics {
    /// Which vendor.
    pub(crate) vendor_id: i64,
    /// Money taken.
    pub(crate) revenue_cents: i64,
    /// Orders with at least one of the vendor's products.
    pub(crate) orders: i64,
    /// Best sellers, by units.
    pub(crate) top_products: Vec<TopProduct>,
}

/// One best seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, FromRow)]
pub(crate) struct TopProduct {
    /// Which product.
    pub(crate) product_id: i64,
    /// Its name.
    pub(crate) name: String,
    /// How many were sold.
    pub(crate) units: i64,
}

impl Database {
    /// The vendor's figures since `since_ms`; `None` when there is no such vendor.
    pub(crate) async fn vendor_analytics(
        &self,
        vendor_id: i64,
        since_ms: i64,
    ) -> Result<Option<VendorAnalytics>, StoreError> {
        const TOTALS: &str = "SELECT v.id, \
             CAST(COALESCE(SUM(CASE WHEN o.id IS NULL THEN 0 ELSE i.quantity * i.unit_price_cents END), 0) AS BIGINT), \
             COUNT(DISTINCT o.id) FROM vendors v LEFT JOIN order_items i ON i.vendor_id = v.id \
             LEFT JOIN orders o ON o.id = i.order_id AND o.placed_at_ms >= $2 WHERE v.id = $1 GROUP BY v.id";
        const TOP: &str = "SELECT i.product_id, p.name, CAST(SUM(i.quantity) AS BIGINT) AS units \
             FROM order_items i JOIN orders o ON o.id = i.order_id JOIN products p ON p.id = i.product_id \
             WHERE i.vendor_id = $1 AND o.placed_at_ms >= $2 GROUP BY i.product_id, p.name \
             ORDER BY units DESC, i.product_id LIMIT 5";
        let mut lease = self.read().await?;
        let totals: Option<(i64, i64, i64)> = self
            .observe(Statement::VendorTotals, async {
                on!(lease.session(), c => sqlx::query_as(TOTALS).bind(vendor_id).bind(since_ms).fetch_optional(c).await)
            })
            .await?;
        let Some((vendor_id, revenue_cents, orders)) = totals else { return Ok(None) };
        let top_products = self
            .observe(Statement::VendorTopProducts, async {
                on!(lease.session(), c => sqlx::query_as(TOP).bind(vendor_id).bind(since_ms).fetch_all(c).await)
            })
            .await?;
        Ok(Some(VendorAnalytics { vendor_id, revenue_cents, orders, top_products }))
    }

    /// Stores a vendor's report: what the report job leaves behind.
    pub(crate) async fn store_report(&self, analytics: &VendorAnalytics, now_ms: i64) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO vendor_reports (vendor_id, revenue_cents, orders, generated_at_ms) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (vendor_id) DO UPDATE SET revenue_cents = excluded.revenue_cents, \
             orders = excluded.orders, generated_at_ms = excluded.generated_at_ms";
        let mut lease = self.write().await?;
        self.observe(Statement::UpsertVendorReport, async {
            on!(lease.session(), c => sqlx::query(SQL).bind(analytics.vendor_id).bind(analytics.revenue_cents)
                .bind(analytics.orders).bind(now_ms).execute(c).await.map(drop))
        })
        .await?;
        self.commit(lease).await
    }
}
