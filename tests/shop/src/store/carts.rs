//! Carts: what a user means to buy.

use serde::Serialize;
use sqlx::FromRow;

use super::database::{Database, StoreError, on};
use super::statement::Statement;

/// One line of a cart, at today's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub(crate) struct CartLine {
    /// Which product.
    pub(crate) product_id: i64,
    /// Its name.
    pub(crate) name: String,
    /// How many.
    pub(crate) quantity: i64,
    /// Price of one.
    pub(crate) unit_price_cents: i64,
    /// Who sells it.
    pub(crate) vendor_id: i64,
}

impl Database {
    /// The user's cart.
    pub(crate) async fn cart(&self, user_id: i64) -> Result<Vec<CartLine>, StoreError> {
        const SQL: &str = "SELECT c.product_id, p.name, c.quantity, p.price_cents AS unit_price_cents, p.vendor_id \
             FROM cart_items c JOIN products p ON p.id = c.product_id WHERE c.user_id = $1 ORDER BY c.product_id";
        let mut lease = self.read().await?;
        self.observe(Statement::CartLines, async {
            on!(lease.session(), c => sqlx::query_as(SQL).bind(user_id).fetch_all(c).await)
        })
        .await
    }

    /// Puts a product into the cart, replacing its quantity. `None` when the user or the product
    /// does not exist.
    pub(crate) async fn put_in_cart(
        &self,
        user_id: i64,
        product_id: i64,
        quantity: i64,
    ) -> Result<Option<()>, StoreError> {
        const SQL: &str = "INSERT INTO cart_items (user_id, product_id, quantity) \
             SELECT u.id, p.id, $3 FROM users u, products p WHERE u.id = $1 AND p.id = $2 \
             ON CONFLICT (user_id, product_id) DO UPDATE SET quantity = excluded.quantity";
        let mut lease = self.write().await?;
        let changed = self
            .observe(Statement::UpsertCart, async {
                on!(lease.session(), c => sqlx::query(SQL).bind(user_id).bind(product_id).bind(quantity)
                    .execute(c).await.map(|done| done.rows_affected()))
            })
            .await?;
        self.commit(lease).await?;
        Ok((changed > 0).then_some(()))
    }

    /// Takes a product out of the cart; `None` when it was not in it.
    pub(crate) async fn take_from_cart(&self, user_id: i64, product_id: i64) -> Result<Option<()>, StoreError> {
        const SQL: &str = "DELETE FROM cart_items WHERE user_id = $1 AND product_id = $2";
        let mut lease = self.write().await?;
        let changed = self
            .observe(Statement::DeleteCart, async {
                on!(lease.session(), c => sqlx::query(SQL).bind(user_id).bind(product_id)
                    .execute(c).await.map(|done| done.rows_affected()))
            })
            .await?;
        self.commit(lease).await?;
        Ok((changed > 0).then_some(()))
    }
}
