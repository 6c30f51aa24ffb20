//! The series of one metric by the values of labels whose names are fixed; what is recorded into them is the caller's.

use std::array;
use std::sync::Arc;

use heartline_shared::Labels;
use heartline_shared::catalog::Kind;

use super::family::{Owned, Series};
use super::{Registry, Room};
use crate::instruments::{Counter, Gauge, Histogram};

/// A kind of instrument that is looked up by labels, which may come from outside.
pub(crate) trait Instrument: Clone {
    const KIND: Kind;
    fn series(family: &Owned) -> Option<&Series<Self>>;
    fn resolve(registry: &Registry, name: &str, labels: Labels) -> Self;
    /// What takes the records of a metric that is no such instrument.
    fn misused(registry: &Registry, name: &str) -> Self;
}

impl Instrument for Counter {
    const KIND: Kind = Kind::Counter;

    fn series(family: &Owned) -> Option<&Series<Self>> {
        family.counters()
    }

    fn resolve(registry: &Registry, name: &str, labels: Labels) -> Self {
        registry.counter(name, labels, Room::Shared)
    }

    fn misused(registry: &Registry, name: &str) -> Self {
        registry.misuse(name, Self::KIND, registry.detached.counter.clone())
    }
}

impl Instrument for Gauge {
    const KIND: Kind = Kind::Gauge;

    fn series(family: &Owned) -> Option<&Series<Self>> {
        family.gauges()
    }

    fn resolve(registry: &Registry, name: &str, labels: Labels) -> Self {
        registry.gauge(name, labels, Room::Shared)
    }

    fn misused(registry: &Registry, name: &str) -> Self {
        registry.misuse(name, Self::KIND, registry.detached.gauge.clone())
    }
}

impl Instrument for Histogram {
    const KIND: Kind = Kind::Histogram;

    fn series(family: &Owned) -> Option<&Series<Self>> {
        family.histograms()
    }

    fn resolve(registry: &Registry, name: &str, labels: Labels) -> Self {
        registry.histogram(name, labels, Room::Shared)
    }

    fn misused(registry: &Registry, name: &str) -> Self {
        registry.misuse(name, Self::KIND, registry.detached.histogram(&registry.durations))
    }
}

/// One metric with `N` label names.
#[derive(Debug)]
pub(crate) struct ByLabels<const N: usize> {
    registry: Arc<Registry>,
    metric: String,
    family: Option<Arc<Owned>>,
    /// The names, sorted, and which of the values each of them gets.
    names: [(String, usize); N],
    /// Otherwise labels are made anew each time: of a name that occurs twice, the last value counts.
    is_unique: bool,
}

impl<const N: usize> ByLabels<N> {
    pub(crate) fn new<T: Instrument>(registry: &Arc<Registry>, metric: &str, names: [&str; N]) -> Self {
        let mut at = 0..N;
        let mut names = names.map(|name| (name.to_owned(), at.next().unwrap_or_default()));
        names.sort();
        let is_unique = names.is_sorted_by(|(a, _), (b, _)| a < b);
        let family = registry.family(metric, T::KIND).filter(|_| is_unique).cloned();
        Self { registry: Arc::clone(registry), metric: metric.to_owned(), family, names, is_unique }
    }

    /// The instrument of these values in the order of the names, if it was made. Takes no lock and allocates nothing.
    #[inline]
    pub(crate) fn find<T: Instrument>(&self, values: [&str; N]) -> Option<&T> {
        T::series(self.family.as_deref()?)?.find(&self.labels(values))
    }

    /// The instrument of values that were not [found](Self::find), made if there is room, else the one of the overflow
    /// series; allocates nothing where it is [refused](Series::refuse) beyond the series limit.
    #[cold]
    pub(crate) fn resolve<T: Instrument>(&self, values: [&str; N]) -> T {
        if self.is_unique {
            let Some(series) = self.family.as_deref().and_then(T::series) else {
                return T::misused(&self.registry, &self.metric);
            };
            if let Some(overflow) = series.refuse(&self.registry, &self.labels(values)) {
                return overflow.clone();
            }
        }
        let labels = self.names.iter().map(|(name, value)| (name.clone(), values[*value]));
        T::resolve(&self.registry, &self.metric, Labels::from_pairs(labels))
    }

    /// Names and values, sorted by name.
    #[inline]
    fn labels<'a>(&'a self, values: [&'a str; N]) -> [(&'a str, &'a str); N] {
        array::from_fn(|at| {
            let (name, value) = &self.names[at];
            (name.as_str(), values[*value])
        })
    }
}
