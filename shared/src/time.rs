//! Points in wall time as they cross the wire; reading a clock is not done here.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z.
///
/// ```
/// use heartline_shared::UnixMillis;
/// use std::time::Duration;
///
/// let start = UnixMillis(1_700_000_000_000);
/// assert_eq!(start + Duration::from_secs(2), UnixMillis(1_700_000_002_000));
/// assert_eq!(start.to_string(), "2023-11-14T22:13:20Z");
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// The moment that RFC 3339 text names; `None` when it names none, or one before 1970.
    pub fn from_rfc3339(text: &str) -> Option<Self> {
        let point: jiff::Timestamp = text.parse().ok()?;
        u64::try_from(point.as_millisecond()).ok().map(Self)
    }

    /// The time from `earlier` to `self`; zero when `earlier` is later, because clocks may step back.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Duration> for UnixMillis {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl std::ops::Sub<Duration> for UnixMillis {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for UnixMillis {
    /// RFC 3339 in UTC; a point beyond the year 9999 prints its milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let point = i64::try_from(self.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match point {
            Some(point) => write!(f, "{point}"),
            None => write!(f, "{}ms", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_steps_back_gives_no_negative_span() {
        assert_eq!(UnixMillis(5).since(UnixMillis(9)), Duration::ZERO);
    }

    #[test]
    fn a_moment_is_read_as_it_is_written() {
        let moment = UnixMillis(1_700_000_000_123);
        assert_eq!(UnixMillis::from_rfc3339(&moment.to_string()), Some(moment));
        for wrong in ["", "today", "1969-12-31T23:59:59Z", "2023-02-30T00:00:00Z"] {
            assert_eq!(UnixMillis::from_rfc3339(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_point_beyond_the_calendar_prints_its_milliseconds() {
        assert_eq!(UnixMillis(u64::MAX).to_string(), format!("{}ms", u64::MAX));
    }
}
