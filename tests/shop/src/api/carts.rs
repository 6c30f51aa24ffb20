//! Carts: what a user has put aside to buy; nothing is held for it in stock.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Problem, Shop};
use crate::store::CartLine;

const QUANTITY_MAX: i64 = 99;

#[derive(Debug, Serialize)]
pub(super) struct Cart {
    user_id: i64,
    lines: Vec<CartLine>,
    total_cents: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    product_id: i64,
    quantity: i64,
}

/// `GET /users/{id}/cart`
pub(super) async fn show(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
) -> Result<Json<Cart>, Problem> {
    let user_id = id?.0;
    let lines = shop.database.cart(user_id).await?;
    let total_cents = lines.iter().map(|line| line.quantity * line.unit_price_cents).sum();
    Ok(Json(Cart { user_id, lines, total_cents }))
}

/// `POST /users/{id}/cart/items`: puts a product in, or changes how many.
pub(super) async fn put(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
    body: Result<Json<Wanted>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let (user_id, wanted) = (id?.0, body?.0);
    if !(1..=QUANTITY_MAX).contains(&wanted.quantity) {
        let detail = format!("quantity must be 1 to {QUANTITY_MAX}, not {}", wanted.quantity);
        return Err(Problem::bad_request(detail));
    }
    shop.database.put_in_cart(user_id, wanted.product_id, wanted.quantity).await?.ok_or_else(|| {
        let detail = format!("there is no user {user_id} or no product {}", wanted.product_id);
        Problem::new(StatusCode::NOT_FOUND, "Not found", detail)
    })?;
    Ok(StatusCode::CREATED)
}

/// `DELETE /users/{id}/cart/items/{product_id}`
pub(super) async fn take(
    State(shop): State<Arc<Shop>>,
    ids: Result<Path<(i64, i64)>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (user_id, product_id) = ids?.0;
    let taken = shop.database.take_from_cart(user_id, product_id).await?;
    taken.map(|()| StatusCode::NO_CONTENT).ok_or_else(|| Problem::not_found("product in the cart:", product_id))
}
