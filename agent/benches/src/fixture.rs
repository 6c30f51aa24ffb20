//! The values and labels that every subject gets; no subject is known here.

use std::sync::LazyLock;
use std::time::Duration;

/// Values before they come again.
pub const VALUES: usize = 4_096;

/// Methods, routes and statuses: 64 series.
const METHODS: [&str; 2] = ["GET", "POST"];
const ROUTES: [&str; 8] = [
    "/api/v1/users",
    "/api/v1/users/{id}",
    "/api/v1/products",
    "/api/v1/products/{id}",
    "/api/v1/products/{id}/owner",
    "/api/v1/products/{id}/purchase",
    "/api/v1/orders/{id}",
    "/healthz",
];
const STATUSES: [&str; 4] = ["200", "201", "404", "500"];

/// The labels of one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key {
    /// The request's method.
    pub method: &'static str,
    /// The route's template.
    pub route: &'static str,
    /// The status as text.
    pub status: &'static str,
}

/// What is recorded, in which order.
#[derive(Debug)]
pub struct Fixture {
    /// Log-normal durations around 1 ms.
    pub nanos: Vec<u64>,
    /// The same as the standard library has them.
    pub durations: Vec<Duration>,
    /// The same in seconds.
    pub seconds: Vec<f64>,
    /// Which series each of them belongs to.
    pub series: Vec<usize>,
    /// The labels of the 64 series.
    pub keys: Vec<Key>,
}

/// The fixture of every run.
pub static FIXTURE: LazyLock<Fixture> = LazyLock::new(Fixture::make);

impl Fixture {
    fn make() -> Self {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut uniform = move || ((random() >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        let mut log_normal = || {
            let normal = (-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos();
            (1e-3 * (1.5 * normal).exp(), uniform())
        };
        let drawn: Vec<(f64, f64)> = (0..VALUES).map(|_| log_normal()).collect();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        let whole = |value: f64| value as u64;
        let keys = METHODS.iter().flat_map(|method| {
            ROUTES.iter().flat_map(move |route| STATUSES.iter().map(move |status| Key { method, route, status }))
        });
        let nanos: Vec<u64> = drawn.iter().map(|(seconds, _)| whole(seconds * 1e9)).collect();
        Self {
            durations: nanos.iter().copied().map(Duration::from_nanos).collect(),
            nanos,
            seconds: drawn.iter().map(|(seconds, _)| *seconds).collect(),
            series: drawn.iter().map(|(_, uniform)| usize::try_from(whole(uniform * 64.0)).unwrap_or(0)).collect(),
            keys: keys.collect(),
        }
    }
}

/// The boundaries, in seconds, of every peer that needs some.
pub fn boundaries() -> Vec<f64> {
    (0..16).map(|power| 1e-4 * f64::from(1 << power)).collect()
}

/// The routes, for peers that intern labels beforehand.
pub const fn routes() -> [&'static str; 8] {
    ROUTES
}
