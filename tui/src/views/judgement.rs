//! From which value on a number is drawn as bad. Alert rules decide what fires; this decides what is coloured, by the
//! thresholds of the shipped rules.

use super::theme::Severity;

/// How bad the share of failed requests, queries or calls is.
pub fn error_ratio(ratio: Option<f64>) -> Severity {
    above(ratio, 0.01, 0.05)
}

/// How bad a request's latency is, in seconds.
pub fn request_seconds(seconds: Option<f64>) -> Severity {
    above(seconds, 1.0, 2.0)
}

/// How bad a query's time is, in seconds.
pub fn query_seconds(seconds: Option<f64>) -> Severity {
    above(seconds, 0.25, 1.0)
}

/// How bad it is that so much of something limited is in use.
pub fn utilization(share: Option<f64>) -> Severity {
    above(share, 0.8, 0.95)
}

/// How bad a pool stands: all connections in use hurts once somebody waits.
pub fn pool(used: Option<u64>, max: Option<u64>, pending: Option<u64>) -> Severity {
    let full = matches!((used, max), (Some(used), Some(max)) if max > 0 && used >= max);
    match pending {
        Some(1..) if full => Severity::Critical,
        Some(1..) => Severity::Warning,
        _ => match utilization(share(used, max)) {
            Severity::Critical => Severity::Warning,
            better => better,
        },
    }
}

/// How bad a cache's hit ratio is; only where there are enough look-ups to tell.
pub fn hit_ratio(ratio: Option<f64>, rate: Option<f64>) -> Severity {
    if rate.is_none_or(|rate| rate < 1.0) {
        return Severity::Fine;
    }
    match ratio {
        Some(ratio) if ratio < 0.5 => Severity::Warning,
        _ => Severity::Fine,
    }
}

/// How bad so many waiting jobs are.
pub fn waiting_jobs(waiting: Option<u64>) -> Severity {
    match waiting {
        Some(5000..) => Severity::Critical,
        Some(1000..) => Severity::Warning,
        _ => Severity::Fine,
    }
}

/// How bad the time to a limit is, in seconds.
pub fn time_to_limit(seconds: Option<f64>) -> Severity {
    match seconds {
        Some(seconds) if seconds < 1800.0 => Severity::Critical,
        Some(seconds) if seconds < 7200.0 => Severity::Warning,
        _ => Severity::Fine,
    }
}

/// How late tasks may be polled, in seconds.
pub fn schedule_delay(seconds: Option<f64>) -> Severity {
    above(seconds, 0.05, 0.25)
}

/// One number in relation to another; nothing without both, or when the whole is zero.
pub fn share(part: Option<u64>, whole: Option<u64>) -> Option<f64> {
    match (part, whole) {
        (Some(part), Some(whole)) if whole > 0 => Some(part as f64 / whole as f64),
        _ => None,
    }
}

/// The sum of what is known; nothing when nothing is.
pub fn total<T: std::ops::Add<Output = T>>(values: impl Iterator<Item = Option<T>>) -> Option<T> {
    values.flatten().reduce(|sum, value| sum + value)
}

/// The item with the largest known value; nothing when no value is known.
pub fn largest<'i, T>(items: impl IntoIterator<Item = &'i T>, value: fn(&T) -> Option<f64>) -> Option<&'i T> {
    let known = items.into_iter().filter_map(|item| Some((item, value(item)?)));
    known.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(item, _)| item)
}

fn above(value: Option<f64>, warning: f64, critical: f64) -> Severity {
    match value {
        Some(value) if value >= critical => Severity::Critical,
        Some(value) if value >= warning => Severity::Warning,
        _ => Severity::Fine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_is_critical_only_when_somebody_waits() {
        assert_eq!(pool(Some(10), Some(10), Some(3)), Severity::Critical);
        assert_eq!(pool(Some(10), Some(10), Some(0)), Severity::Warning);
        assert_eq!(pool(Some(3), Some(10), Some(0)), Severity::Fine);
        assert_eq!(pool(None, None, None), Severity::Fine);
    }

    #[test]
    fn a_total_of_unknown_numbers_is_unknown() {
        assert_eq!(total([None, Some(2_u64), Some(3)].into_iter()), Some(5));
        assert_eq!(total([None::<f64>, None].into_iter()), None);
    }

    #[test]
    fn an_unknown_number_is_not_bad() {
        assert_eq!([error_ratio(None), request_seconds(None), utilization(None)], [Severity::Fine; 3]);
    }

    #[test]
    fn a_cold_cache_that_nobody_asks_is_not_bad() {
        assert_eq!(hit_ratio(Some(0.1), Some(0.2)), Severity::Fine);
        assert_eq!(hit_ratio(Some(0.1), Some(20.0)), Severity::Warning);
    }
}
