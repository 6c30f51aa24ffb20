//! Orders: placing one takes the stock and empties the cart in one transaction.

use serde::{Deserialize, Serialize};
use sqlx::{FromRow, QueryBuilder};

use super::carts::CartLine;
use super::database::{Database, Lease, StoreError, on};
use super::statement::Statement;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OrderStatus {
    /// The money was taken.
    Paid,
    /// The payment provider is away; a job takes the money later.
    PaymentDeferred,
}

impl OrderStatus {
    fn column(self) -> &'static str {
        match self {
            Self::Paid => "paid",
            Self::PaymentDeferred => "payment_deferred",
        }
    }
}

/// An order's head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub(crate) struct Order {
    /// Key.
    pub(crate) id: i64,
    /// Who ordered.
    pub(crate) user_id: i64,
    /// `placed`, `paid` or `payment_deferred`.
    pub(crate) status: String,
    /// What it costs.
    pub(crate) total_cents: i64,
    /// The provider's reference once paid.
    pub(crate) payment_reference: Option<String>,
    /// When.
    pub(crate) placed_at_ms: i64,
}

/// A line of an order, at the price it was sold for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, FromRow)]
pub(crate) struct OrderLine {
    /// Which product.
    pub(crate) product_id: i64,
    /// Who sells it.
    pub(crate) vendor_id: i64,
    /// How many.
    pub(crate) quantity: i64,
    /// Price of one.
    pub(crate) unit_price_cents: i64,
}

/// Why an order could not be placed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlaceOrderError {
    /// Nothing to order.
    #[error("the cart is empty; put a product into it first")]
    EmptyCart,
    /// Somebody was faster.
    #[error("product {product_id} has fewer than {quantity} left")]
    OutOfStock {
        /// Which product.
        product_id: i64,
        /// How many were wanted.
        quantity: i64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Database {
    /// Turns the user's cart into an order whose payment is still to come.
    pub(crate) async fn place_order(
        &self,
        user_id: i64,
        now_ms: i64,
    ) -> Result<(Order, Vec<OrderLine>), PlaceOrderError> {
        let cart = self.cart(user_id).await?;
        if cart.is_empty() {
            return Err(PlaceOrderError::EmptyCart);
        }
        let lines: Vec<OrderLine> = cart.iter().map(CartLine::order_line).collect();
        let total_cents = lines.iter().map(|line| line.quantity * line.unit_price_cents).sum();
        let mut lease = self.write().await?;
        for line in &lines {
            self.take_stock(&mut lease, line).await?;
        }
        let id = self.insert_order(&mut lease, user_id, total_cents, now_ms).await?;
        self.insert_lines(&mut lease, id, &lines).await?;
        self.observe(Statement::ClearCart, async {
            on!(lease.session(), c => sqlx::query("DELETE FROM cart_items WHERE user_id = $1")
                .bind(user_id).execute(c).await.map(drop))
        })
        .await?;
        self.commit(lease).await?;
        let order = Order {
            id,
            user_id,
            status: "placed".to_owned(),
            total_cents,
            payment_reference: None,
            placed_at_ms: now_ms,
        };
        Ok((order, lines))
    }

    async fn take_stock(&self, lease: &mut Lease, line: &OrderLine) -> Result<(), PlaceOrderError> {
        const SQL: &str = "UPDATE products SET stock = stock - $2 WHERE id = $1 AND stock >= $2";
        let taken = self
            .observe(Statement::TakeStock, async {
                on!(lease.session(), c => sqlx::query(SQL).bind(line.product_id).bind(line.quantity)
                    .execute(c).await.map(|done| done.rows_affected()))
            })
            .await?;
        if taken == 0 {
            return Err(PlaceOrderError::OutOfStock { product_id: line.product_id, quantity: line.quantity });
        }
        Ok(())
    }

    async fn insert_order(
        &self,
        lease: &mut Lease,
        user_id: i64,
        total_cents: i64,
        now_ms: i64,
    ) -> Result<i64, StoreError> {
        const SQL: &str = "INSERT INTO orders (user_id, status, total_cents, placed_at_ms) \
             VALUES ($1, 'placed', $2, $3) RETURNING id";
        self.observe(Statement::InsertOrder, async {
            on!(lease.session(), c => sqlx::query_scalar(SQL).bind(user_id).bind(total_cents).bind(now_ms)
                .fetch_one(c).await)
        })
        .await
    }

    async fn insert_lines(&self, lease: &mut Lease, order_id: i64, lines: &[OrderLine]) -> Result<(), StoreError> {
        const SQL: &str = "INSERT INTO order_items (order_id, product_id, vendor_id, quantity, unit_price_cents) ";
        self.observe(Statement::InsertOrderLines, async {
            on!(lease.session(), c => {
                let mut insert = QueryBuilder::new(SQL);
                insert.push_values(lines, |mut row, line| {
                    row.push_bind(order_id)
                        .push_bind(line.product_id)
                        .push_bind(line.vendor_id)
                        .push_bind(line.quantity)
                        .push_bind(line.unit_price_cents);
                });
                insert.build().execute(c).await.map(drop)
            })
        })
        .await
    }

    /// Records how the payment went.
    pub(crate) async fn set_order_status(
        &self,
        id: i64,
        status: OrderStatus,
        reference: Option<&str>,
    ) -> Result<(), StoreError> {
        const SQL: &str = "UPDATE orders SET status = $2, payment_reference = $3 WHERE id = $1";
        let mut lease = self.write().await?;
        self.observe(Statement::UpdateOrderStatus, async {
            on!(lease.session(), c => sqlx::query(SQL).bind(id).bind(status.column()).bind(reference)
                .execute(c).await.map(drop))
        })
        .await?;
        self.commit(lease).await
    }

    /// A page of the user's orders, newest first, below `before` when given.
    pub(crate) async fn orders_of(
        &self,
        user_id: i64,
        before: Option<i64>,
        limit: i64,
    ) -> Result<Vec<Order>, StoreError> {
        const SQL: &str = "SELECT id, user_id, status, total_cents, payment_reference, placed_at_ms FROM orders \
             WHERE user_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3";
        let mut lease = self.read().await?;
        self.observe(Statement::OrdersPage, async {
            on!(lease.session(), c => sqlx::query_as(SQL).bind(user_id).bind(before.unwrap_or(i64::MAX)).bind(limit)
                .fetch_all(c).await)
        })
        .await
    }

    /// One order with its lines.
    pub(crate) async fn order(&self, id: i64) -> Result<Option<(Order, Vec<OrderLine>)>, StoreError> {
        const HEAD: &str =
            "SELECT id, user_id, status, total_cents, payment_reference, placed_at_ms FROM orders WHERE id = $1";
        const LINES: &str = "SELECT product_id, vendor_id, quantity, unit_price_cents FROM order_items \
             WHERE order_id = $1 ORDER BY product_id";
        let mut lease = self.read().await?;
        let head: Option<Order> = self
            .observe(Statement::OrderById, async {
                on!(lease.session(), c => sqlx::query_as(HEAD).bind(id).fetch_optional(c).await)
            })
            .await?;
        let Some(head) = head else { return Ok(None) };
        let lines = self
            .observe(Statement::OrderLines, async {
                on!(lease.session(), c => sqlx::query_as(LINES).bind(id).fetch_all(c).await)
            })
            .await?;
        Ok(Some((head, lines)))
    }
}

impl CartLine {
    fn order_line(&self) -> OrderLine {
        OrderLine {
            product_id: self.product_id,
            vendor_id: self.vendor_id,
            quantity: self.quantity,
            unit_price_cents: self.unit_price_cents,
        }
    }
}
