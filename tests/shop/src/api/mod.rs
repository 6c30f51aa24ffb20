//! The shop over HTTP: routes, what is wrapped around them, and how errors look.

mod admin;
mod carts;
pub(crate) mod catalogue;
mod etag;
mod fault;
mod orders;
mod payments;
mod problem;
mod rate;
mod truth;
pub(crate) mod vendors;

pub(crate) use problem::Problem;
pub(crate) use rate::{RateLimit, Throttle};

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router, middleware};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};
use tower_http::timeout::TimeoutLayer;

use crate::cache::Caches;
use crate::faults::Faults;
use crate::jobs::Jobs;
use crate::payment::Gateway;
use crate::store::Database;
use crate::truth::Truth;

/// The largest body a request may bring.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take before it is answered with 504.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the handlers work with.
pub(crate) struct Shop {
    pub(crate) database: Database,
    pub(crate) caches: Caches,
    pub(crate) jobs: Jobs,
    pub(crate) gateway: Gateway,
    pub(crate) faults: Faults,
    pub(crate) truth: Arc<Truth>,
    pub(crate) throttle: Throttle,
    pub(crate) admin_token: Option<String>,
    pub(crate) orders_placed: heartline::instruments::Counter,
}

/// Every route with everything around it. The agent's layer is the outermost: it sees what the
/// client sees. The shop's own books are kept right inside it.
pub(crate) fn router(shop: Arc<Shop>, agent: &heartline::Agent) -> Router {
    let routes = Router::new()
        .route("/", get(index))
        .route("/products", get(catalogue::list))
        .route("/products/{id}", get(catalogue::product))
        .route("/products/{id}/price", put(catalogue::set_price))
        .route("/search", get(catalogue::search))
        .route("/users/{id}/cart", get(carts::show))
        .route("/users/{id}/cart/items", post(carts::put))
        .route("/users/{id}/cart/items/{product_id}", delete(carts::take))
        .route("/users/{id}/orders", get(orders::history).post(orders::place))
        .route("/orders/{id}", get(orders::show))
        .route("/vendors/{id}/analytics", get(vendors::analytics))
        .layer(middleware::from_fn(etag::conditional))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), fault::error_burst))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), rate::limit));
    let admin = Router::new()
        .route("/admin/faults", get(admin::faults))
        .route("/admin/faults/{name}", post(admin::switch))
        .route("/admin/truth", get(admin::truth))
        .route("/admin/cache/withdraw", post(admin::withdraw))
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), admin::require_token));
    // for other shops: what they are asked to wait for is not this shop's rate limit
    let payments = Router::new()
        .route("/payments/charges", post(payments::charge))
        .route("/payments/status", get(payments::status));
    routes
        .merge(payments)
        .merge(admin)
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(CompressionLayer::new())
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(DefaultBodyLimit::disable())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_TIMEOUT))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(middleware::from_fn_with_state(Arc::clone(&shop), truth::keep))
        .layer(agent.axum_layer().request_ids())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
        .with_state(shop)
}

/// What there is.
async fn index() -> Json<serde_json::Value> {
    Json(serde_json::json!({
        "service": "heartline-shop",
        "try": ["/products?category=books&sort=price", "/products/1", "/search?q=oak+table", "/users/1/cart",
                "/users/1/orders", "/vendors/1/analytics", "/admin/faults"],
    }))
}

async fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing here", "no route matches this path; see / for what there is")
}

async fn no_method() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "Wrong method", "this path exists, but not with this method")
}

fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "The shop broke", "a handler panicked; the log says where")
        .into_response()
}
