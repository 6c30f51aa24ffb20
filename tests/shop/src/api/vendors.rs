//! What vendors look at.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use serde::Deserialize;

use super::{Problem, Shop};
use crate::clock;
use crate::store::{Database, StoreError, VendorAnalytics};

/// The period when the client names none.
pub(crate) const DAYS_DEFAULT: i64 = 30;
const DAYS_MAX: i64 = 365;
const DAY_MS: i64 = 24 * 3_600_000;

#[derive(Debug, Deserialize)]
pub(super) struct Period {
    days: Option<i64>,
}

/// What a vendor's figures are cached under.
pub(crate) fn cache_key(vendor: i64, days: i64) -> String {
    format!("{vendor}:{days}")
}

/// Reads a vendor's figures of the last days.
pub(crate) async fn load_figures(
    database: &Database,
    vendor: i64,
    days: i64,
    now_ms: i64,
) -> Result<Option<VendorAnalytics>, StoreError> {
    database.vendor_analytics(vendor, now_ms - days * DAY_MS).await
}

/// `GET /vendors/{id}/analytics?days=30`
pub(super) async fn analytics(
    State(shop): State<Arc<Shop>>,
    id: Result<Path<i64>, PathRejection>,
    period: Result<Query<Period>, QueryRejection>,
) -> Result<Json<VendorAnalytics>, Problem> {
    let (id, days) = (id?.0, period?.0.days.unwrap_or(DAYS_DEFAULT));
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Problem::bad_request(format!("days must be 1 to {DAYS_MAX}, not {days}")));
    }
    let load = Box::pin(load_figures(&shop.database, id, days, clock::now_ms()));
    let analytics = shop.caches.analytics.get_or_load(&cache_key(id, days), &[], load).await?;
    analytics.map(Json).ok_or_else(|| Problem::not_found("vendor", id))
}
