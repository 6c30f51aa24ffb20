//! The operator's routes: faults, the shop's own books, caches. With an admin token they ask for it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::{Problem, Shop};
use crate::cache::Wildcard;
use crate::faults::{Fault, FaultSetting, FaultState};
use crate::truth::Report;

#[derive(Debug, Serialize)]
pub(super) struct FaultList {
    faults: Vec<FaultState>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Turn {
    on: bool,
    value: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub(super) enum Withdrawal {
    Tag(String),
    Pattern(String),
}

#[derive(Debug, Serialize)]
pub(super) struct Withdrawn {
    entries: u64,
}

/// Lets through who shows the admin token, or everybody when there is none.
pub(super) async fn require_token(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let Some(token) = &shop.admin_token else { return next.run(request).await };
    let given = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "))
        .unwrap_or_default();
    if same(given.as_bytes(), token.as_bytes()) {
        return next.run(request).await;
    }
    let detail = "send the admin token as `Authorization: Bearer TOKEN`";
    let mut refused =
        Problem::new(StatusCode::UNAUTHORIZED, "The admin token is missing or wrong", detail).into_response();
    refused.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    refused
}

/// Compares in a time that depends on the lengths only.
fn same(given: &[u8], wanted: &[u8]) -> bool {
    let differences = given.iter().zip(wanted).fold(0_u8, |found, (a, b)| found | (a ^ b));
    given.len() == wanted.len() && differences == 0
}

/// `GET /admin/faults`
pub(super) async fn faults(State(shop): State<Arc<Shop>>) -> Json<FaultList> {
    Json(FaultList { faults: shop.faults.states() })
}

/// `POST /admin/faults/{name}` with `{"on": true, "value": 1048576}`
pub(super) async fn switch(
    State(shop): State<Arc<Shop>>,
    Path(name): Path<String>,
    body: Result<Json<Turn>, JsonRejection>,
) -> Result<Json<FaultState>, Problem> {
    let turn = body?.0;
    let fault: Fault =
        name.parse().map_err(|error| Problem::new(StatusCode::NOT_FOUND, "No such fault", format!("{error}")))?;
    if turn.on {
        let setting = FaultSetting::new(fault, turn.value).map_err(|error| Problem::bad_request(error.to_string()))?;
        shop.faults.turn_on(setting);
    } else {
        shop.faults.turn_off(fault);
    }
    tracing::info!(fault = fault.name(), on = turn.on, "a fault was switched");
    Ok(Json(shop.faults.state(fault)))
}

/// `GET /admin/truth`
pub(super) async fn truth(State(shop): State<Arc<Shop>>) -> Json<Report> {
    Json(shop.truth.report())
}

/// `POST /admin/cache/withdraw` with `{"tag": "product-7"}` or `{"pattern": "listings:*"}`
pub(super) async fn withdraw(
    State(shop): State<Arc<Shop>>,
    body: Result<Json<Withdrawal>, JsonRejection>,
) -> Result<Json<Withdrawn>, Problem> {
    let entries = match body?.0 {
        Withdrawal::Tag(tag) => shop.caches.withdraw_tag(&tag).await,
        Withdrawal::Pattern(pattern) => shop.caches.withdraw_pattern(&Wildcard::new(pattern)).await,
    };
    Ok(Json(Withdrawn { entries }))
}

#[cfg(test)]
mod tests {
    use super::same;

    #[test]
    fn only_the_same_token_is_the_same() {
        assert!(same(b"secret", b"secret"));
        assert!(!same(b"secre", b"secret"));
        assert!(!same(b"", b"secret"));
        assert!(!same(b"secreT", b"secret"));
    }
}
