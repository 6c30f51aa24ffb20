//! Orders: placing, paying, looking back.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Problem, Shop};
use crate::clock;
use crate::jobs::{AuditEntry, Email, JobError, ProductEvents, SettlePayment, Sms};
use crate::store::{Order, OrderLine, OrderStatus};

const HISTORY_LIMIT: i64 = 20;
/// A payment that could not be taken is tried again after this long.
const SETTLE_AFTER: Duration = Duration::from_secs(5);
/// Every third customer wants text messages.
const SMS_EVERY: i64 = 3;

#[derive(Debug, Serialize)]
pub(super) struct OrderView {
    #[serde(flatten)]
    order: Order,
    lines: Vec<OrderLine>,
}

#[derive(Debug, Serialize)]
pub(super) struct History {
    orders: Vec<Order>,
    next_cursor: Option<i64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct HistoryParameters {
    cursor: Option<i64>,
}

/// `POST /users/{id}/orders`: orders what is in the cart. 201 when it is paid; 202 when the
/// payment provider is away and a job takes the money later.
pub(super) async fn place(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<(StatusCode, Json<OrderView>), Problem> {
    let user_id = id?.0;
    let (mut order, lines) = shop.database.place_order(user_id, clock::now_ms()).await?;
    shop.orders_placed.increment();
    let code = match shop.gateway.charge(order.id, order.total_cents).await {
        Ok(reference) => {
            shop.database.set_order_status(order.id, OrderStatus::Paid, Some(&reference)).await?;
            "paid".clone_into(&mut order.status);
            order.payment_reference = Some(reference);
            StatusCode::CREATED
        }
        Err(error) => {
            tracing::debug!(order = order.id, %error, "the payment is put off");
            shop.database.set_order_status(order.id, OrderStatus::PaymentDeferred, None).await?;
            "payment_deferred".clone_into(&mut order.status);
            let payment = SettlePayment { order_id: order.id, amount_cents: order.total_cents, deferrals: 0 };
            shop.jobs.settle(payment, SETTLE_AFTER).await.map_err(not_queued)?;
            StatusCode::ACCEPTED
        }
    };
    queue_follow_ups(&shop, &order, &lines).await.map_err(not_queued)?;
    Ok((code, Json(OrderView { order, lines })))
}

async fn queue_follow_ups(shop: &Shop, order: &Order, lines: &[OrderLine]) -> Result<(), JobError> {
    let (user_id, order_id) = (order.user_id, order.id);
    shop.jobs.send_email(Email::Confirmation { user_id, order_id }).await?;
    if user_id % SMS_EVERY == 0 {
        shop.jobs.send_sms(Sms { user_id, order_id }).await?;
    }
    let sold = lines.iter().map(|line| (line.product_id, line.quantity)).collect();
    shop.jobs.count_sold(ProductEvents { sold }).await?;
    let entry = AuditEntry {
        actor: format!("user:{user_id}"),
        action: "order.place".to_owned(),
        subject: format!("order:{order_id}"),
    };
    shop.jobs.audit(entry).await
}

#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn not_queued(error: JobError) -> Problem {
    tracing::error!(%error, "an order's follow-up work could not be queued");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The job store failed", "the order is placed; the log says more")
}

/// `GET /users/{id}/orders`: newest first, by cursor.
pub(super) async fn history(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
    parameters: Result<Query<HistoryParameters>, QueryRejection>,
) -> Result<Json<History>, Problem> {
    let (user_id, before) = (id?.0, parameters?.0.cursor);
    let orders = shop.database.orders_of(user_id, before, HISTORY_LIMIT).await?;
    let full = i64::try_from(orders.len()).unwrap_or(i64::MAX) == HISTORY_LIMIT;
    let next_cursor = orders.last().filter(|_| full).map(|last| last.id);
    Ok(Json(History { orders, next_cursor }))
}

/// `GET /orders/{id}`
pub(super) async fn show(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<OrderView>, Problem> {
    let id = id?.0;
    let (order, lines) = shop.database.order(id).await?.ok_or_else(|| Problem::not_found("order", id))?;
    Ok(Json(OrderView { order, lines }))
}
