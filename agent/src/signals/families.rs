//! Metrics of the service's own whose label values are not known beforehand; what they mean is the service's business.

use std::sync::Arc;
use std::time::Duration;

use crate::instruments::{Counter, Histogram};
use crate::recording::Recent;
use crate::registry::{ByLabels, Registry};

/// Histograms of one metric by the values of `N` labels, whose names are given once.
///
/// Values come in the order of the names. Each new combination makes a series, within
/// [`series_limit`](crate::AgentBuilder::series_limit) and the memory budget; beyond them they share the series
/// `{otel.metric.overflow="true"}`. Finding a series takes no lock and allocates nothing, unless it is the first time; nor does
/// passing values on to that series beyond the limit. Values that the memory budget refuses are copied each time, as are those
/// that are cut or cleaned before they are kept: longer than [`LABEL_VALUE_BYTES_MAX`](crate::LABEL_VALUE_BYTES_MAX), or with
/// control characters.
///
/// ```
/// # fn main() -> Result<(), heartline::Error> {
/// use std::time::Duration;
///
/// let agent = heartline::Agent::builder("shop").without_listener().start()?;
/// let parsing = agent.histogram_family("shop.parse.duration", ["format", "outcome"]);
///
/// let format = String::from("json"); // comes from outside
/// parsing.record([&format, "ok"], Duration::from_micros(80));
/// // faster: both are known to live for ever
/// parsing.record_static(["csv", "ok"], Duration::from_micros(95));
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct HistogramFamily<const N: usize> {
    series: ByLabels<N>,
    recent: Recent<N>,
}

impl<const N: usize> HistogramFamily<N> {
    pub(crate) fn new(registry: &Arc<Registry>, metric: &str, names: [&str; N]) -> Self {
        Self { series: ByLabels::new::<Histogram>(registry, metric, names), recent: Recent::new() }
    }

    /// Records how long something took, for the series of these label values. Cost: hashing the values, and comparing them.
    #[inline]
    pub fn record(&self, values: [&str; N], duration: Duration) {
        match self.series.find::<Histogram>(values) {
            Some(histogram) => histogram.record(duration),
            None => self.histogram(values).record(duration),
        }
    }

    /// Records a size or a count, for metrics whose unit is not `s`; otherwise as [`record`](Self::record).
    #[inline]
    pub fn record_count(&self, values: [&str; N], value: u64) {
        match self.series.find::<Histogram>(values) {
            Some(histogram) => histogram.record_count(value),
            None => self.histogram(values).record_count(value),
        }
    }

    /// As [`record`](Self::record), for at most four values that live as long as the process: literals, names of enum
    /// variants. The family remembers by their addresses which series they had, and does not look at the text.
    #[inline]
    pub fn record_static(&self, values: [&'static str; N], duration: Duration) {
        match self.recent.find(&values) {
            Some(series) => Histogram::record_into(series, duration),
            // a copy, so that values that were found at once need not be in memory
            None => self.record_otherwise(std::array::from_fn(|at| values[at]), duration),
        }
    }

    /// A handle to the series of these label values.
    pub fn histogram(&self, values: [&str; N]) -> Histogram {
        self.series.find::<Histogram>(values).cloned().unwrap_or_else(|| self.series.resolve(values))
    }

    #[cold]
    #[inline(never)]
    fn record_otherwise(&self, values: [&'static str; N], duration: Duration) {
        if let Some(series) = self.recent.find_elsewhere(&values) {
            Histogram::record_into(series, duration);
            return;
        }
        self.record(values, duration);
        // not the overflow series: how often it was used is counted where it is looked up
        if let Some(histogram) = self.series.find::<Histogram>(values) {
            self.recent.remember(values, histogram.id());
        }
    }
}

/// Counters of one metric by the values of `N` labels; otherwise as [`HistogramFamily`].
///
/// ```
/// # fn main() -> Result<(), heartline::Error> {
/// let agent = heartline::Agent::builder("shop").without_listener().start()?;
/// let logins = agent.counter_family("shop.logins", ["method"]);
/// logins.increment(["password"]);
/// assert_eq!(logins.counter(["password"]).value(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct CounterFamily<const N: usize>(ByLabels<N>);

impl<const N: usize> CounterFamily<N> {
    pub(crate) fn new(registry: &Arc<Registry>, metric: &str, names: [&str; N]) -> Self {
        Self(ByLabels::new::<Counter>(registry, metric, names))
    }

    /// Adds `amount` to the series of these label values.
    #[inline]
    pub fn add(&self, values: [&str; N], amount: u64) {
        match self.0.find::<Counter>(values) {
            Some(counter) => counter.add(amount),
            None => self.counter(values).add(amount),
        }
    }

    /// Adds one.
    #[inline]
    pub fn increment(&self, values: [&str; N]) {
        self.add(values, 1);
    }

    /// A handle to the series of these label values.
    pub fn counter(&self, values: [&str; N]) -> Counter {
        self.0.find::<Counter>(values).cloned().unwrap_or_else(|| self.0.resolve(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Families;

    fn registry(series_limit: usize) -> Arc<Registry> {
        Arc::new(Registry::new(series_limit, 1 << 20))
    }

    fn counts(registry: &Registry, metric: &str) -> Vec<(String, u64)> {
        let mut families = Families::default();
        registry.read(&mut families);
        let family = families.into_sorted().into_iter().find(|family| family.name == metric).unwrap();
        let mut counts: Vec<(String, u64)> =
            family.histograms.iter().map(|series| (series.labels.to_string(), series.histogram.count)).collect();
        counts.sort();
        counts
    }

    #[test]
    fn text_that_is_equal_is_one_series_however_it_is_recorded() {
        let registry = registry(10);
        let family = HistogramFamily::new(&registry, "wait", ["b", "a"]);
        let again = HistogramFamily::new(&registry, "wait", ["a", "b"]);
        for _ in 0..3 {
            family.record_static(["1", "2"], Duration::from_millis(1));
            family.record([&String::from("1"), "2"], Duration::from_millis(1));
            again.record_static(["2", "1"], Duration::from_millis(1));
            registry.instrument::<Histogram>("wait", &[("b", "1"), ("a", "2")]).record(Duration::from_millis(1));
        }
        assert_eq!(counts(&registry, "wait"), [(r#"{a="2", b="1"}"#.to_owned(), 12)]);
    }

    #[test]
    fn values_beyond_the_limit_are_counted_in_the_overflow_series_and_as_refused_each_time() {
        let registry = registry(1);
        let family = HistogramFamily::new(&registry, "wait", ["a"]);
        family.record_static(["known"], Duration::from_millis(1));
        (0..5).for_each(|_| family.record_static(["one too many"], Duration::from_millis(1)));
        let overflow = r#"{otel.metric.overflow="true"}"#.to_owned();
        assert_eq!(counts(&registry, "wait"), [(r#"{a="known"}"#.to_owned(), 1), (overflow, 5)]);
        let mut families = Families::default();
        registry.read(&mut families);
        let families = families.into_sorted();
        let dropped = families.iter().find(|family| family.name == "heartline.series.dropped").unwrap();
        assert_eq!(dropped.numbers[0].value, 5.0);
    }

    #[test]
    fn values_that_are_kept_shortened_find_their_series_again() {
        let registry = registry(10);
        let family = HistogramFamily::new(&registry, "wait", ["a"]);
        let long = "x".repeat(100_000);
        (0..3).for_each(|_| family.record([&long], Duration::from_millis(1)));
        assert_eq!(counts(&registry, "wait").iter().map(|(_, count)| count).sum::<u64>(), 3);
        assert_eq!(counts(&registry, "wait").len(), 1);
    }

    #[test]
    fn a_name_that_occurs_twice_has_the_last_of_its_values() {
        let registry = registry(10);
        HistogramFamily::new(&registry, "wait", ["a", "a"]).record_static(["1", "2"], Duration::from_millis(1));
        assert_eq!(counts(&registry, "wait"), [(r#"{a="2"}"#.to_owned(), 1)]);
    }

    #[test]
    fn counters_by_labels_count_into_the_series_that_handles_have() {
        let registry = registry(10);
        let family = CounterFamily::new(&registry, "logins", ["method"]);
        family.increment(["password"]);
        family.add(["password"], 2);
        assert_eq!(registry.instrument::<Counter>("logins", &[("method", "password")]).value(), 3);
    }
}
