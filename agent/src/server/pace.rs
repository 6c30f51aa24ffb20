//! How often is too often: wrong tokens of one address, and requests to admin routes. Time is a parameter.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use parking_lot::Mutex;

/// Wrong tokens of one address within [`FAILURE_WINDOW`] that are told they are wrong; further ones are told to wait.
const FAILURES_MAX: u32 = 10;
const FAILURE_WINDOW: Duration = Duration::from_mins(1);
/// Addresses that are remembered; the one that failed longest ago is forgotten first.
const ADDRESSES_MAX: usize = 256;
/// Requests to admin routes at once, and one more each [`ADMIN_REFILL`].
const ADMIN_BURST: u32 = 100;
const ADMIN_REFILL: Duration = Duration::from_millis(100);

/// Wrong tokens by address.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<BTreeMap<Option<IpAddr>, Window>>);

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Duration,
    count: u32,
}

impl Failures {
    /// Counts one more; says how long to wait when there were too many.
    pub(super) fn count(&self, address: Option<IpAddr>, now: Duration) -> Option<Duration> {
        let mut windows = self.0.lock();
        let address = address.map(network);
        if windows.len() >= ADDRESSES_MAX && !windows.contains_key(&address) {
            let oldest = windows.iter().min_by_key(|(_, window)| window.since).map(|(address, _)| *address);
            oldest.map(|oldest| windows.remove(&oldest));
        }
        let window = windows.entry(address).or_insert(Window { since: now, count: 0 });
        let age = now.saturating_sub(window.since);
        if age >= FAILURE_WINDOW {
            *window = Window { since: now, count: 0 };
        }
        window.count = window.count.saturating_add(1);
        (window.count > FAILURES_MAX).then(|| FAILURE_WINDOW.saturating_sub(now.saturating_sub(window.since)))
    }
}

/// One host of IPv6 owns a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// A bucket of requests that refills.
#[derive(Debug)]
pub(super) struct Pace(Mutex<Bucket>);

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: u32,
    refilled: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self(Mutex::new(Bucket { left: ADMIN_BURST, refilled: Duration::ZERO }))
    }
}

impl Pace {
    /// Takes one.
    ///
    /// # Errors
    /// How long until there is one.
    pub(super) fn take(&self, now: Duration) -> Result<(), Duration> {
        let mut bucket = self.0.lock();
        let age = now.saturating_sub(bucket.refilled);
        let refills = u32::try_from(age.as_millis() / ADMIN_REFILL.as_millis()).unwrap_or(u32::MAX);
        if refills > 0 {
            bucket.left = bucket.left.saturating_add(refills).min(ADMIN_BURST);
            bucket.refilled = now;
        }
        if bucket.left == 0 {
            return Err(ADMIN_REFILL);
        }
        bucket.left -= 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failures_are_limited_for_a_minute_an_address() {
        let failures = Failures::default();
        let (one, other) = (Some("10.0.0.1".parse().unwrap()), Some("10.0.0.2".parse().unwrap()));
        assert!((0..FAILURES_MAX).all(|_| failures.count(one, seconds(5)).is_none()));
        assert_eq!(failures.count(one, seconds(6)), Some(seconds(59)));
        assert_eq!(failures.count(other, seconds(6)), None);
        assert_eq!(failures.count(one, seconds(65)), None);
    }

    #[test]
    fn a_host_with_many_addresses_is_one_and_the_memory_is_bounded() {
        let failures = Failures::default();
        for at in 0..=FAILURES_MAX {
            let last = failures.count(Some(format!("2001:db8::{at:x}").parse().unwrap()), seconds(1));
            assert_eq!(last.is_some(), at == FAILURES_MAX);
        }
        for at in 0..10_000_u32 {
            failures.count(Some(IpAddr::V4(at.into())), seconds(2));
        }
        assert_eq!(failures.0.lock().len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_burst_empties_the_bucket_and_time_fills_it() {
        let pace = Pace::default();
        assert_eq!((0..1_000).filter(|_| pace.take(seconds(9)).is_ok()).count(), ADMIN_BURST as usize);
        assert_eq!((0..1_000).filter(|_| pace.take(seconds(10)).is_ok()).count(), 10);
    }
}
