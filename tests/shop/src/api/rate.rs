//! The rate limit: so many requests a second for each client address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::{Problem, Shop};

/// How many requests a client may make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RateLimit {
    /// In the long run.
    pub(crate) per_second: NonZeroU32,
    /// At once, after a pause.
    pub(crate) burst: NonZeroU32,
}

impl Default for RateLimit {
    /// Far above the load profiles, all of which come from one address.
    fn default() -> Self {
        Self { per_second: NonZeroU32::MIN.saturating_add(4_999), burst: NonZeroU32::MIN.saturating_add(9_999) }
    }
}

/// The clients' allowances.
pub(crate) struct Throttle(DefaultKeyedRateLimiter<IpAddr>);

impl Throttle {
    /// Nobody has used anything yet.
    pub(crate) fn new(limit: RateLimit) -> Self {
        Self(RateLimiter::keyed(Quota::per_second(limit.per_second).allow_burst(limit.burst)))
    }

    /// Forgets clients that have their whole allowance back, so that the map stays small.
    pub(crate) fn forget_the_idle(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

/// Lets the request through, or answers 429 with the seconds to wait.
pub(super) async fn limit(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let address = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
    let client = address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let Err(early) = shop.throttle.0.check_key(&client) else { return next.run(request).await };
    let seconds = early.wait_time_from(DefaultClock::default().now()).as_secs() + 1;
    let detail = format!("this address makes too many requests; try again in {seconds} s");
    let mut refused = Problem::new(StatusCode::TOO_MANY_REQUESTS, "Too many requests", detail).into_response();
    refused.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    refused
}
