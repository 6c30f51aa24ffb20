//! Payments that another shop takes here: what the built-in provider answers, after a look at the customer's orders.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;

use super::{Problem, Shop};
use crate::clock;
use crate::payment::{Charge, Receipt};

/// Orders that are looked at before money is taken.
const ORDERS_CHECKED: i64 = 5;
/// Customers of this shop stand for those of the other one.
const CUSTOMERS: i64 = 500;

/// `POST /payments/charges`: takes the money for an order of another shop.
pub(super) async fn charge(
    State(shop): State<Arc<Shop>>,
    Json(charge): Json<Charge>,
) -> Result<Json<Receipt>, Problem> {
    if shop.faults.payment_outage() {
        return Err(away());
    }
    let customer = charge.order_id.rem_euclid(CUSTOMERS) + 1;
    shop.database.orders_of(customer, None, ORDERS_CHECKED).await?;
    Ok(Json(Receipt { reference: format!("ch_{}_{}", charge.order_id, clock::now_ms()) }))
}

/// `GET /payments/status`: whether money can be taken.
pub(super) async fn status(State(shop): State<Arc<Shop>>) -> Result<StatusCode, Problem> {
    if shop.faults.payment_outage() { Err(away()) } else { Ok(StatusCode::OK) }
}

fn away() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "No payments", "the payment-outage fault is on")
}
