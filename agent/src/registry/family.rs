//! One metric and its series, of the one kind that it has.

use std::borrow::Cow;
use std::hash::{Hash, Hasher};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use heartline_shared::Labels;
use heartline_shared::catalog::{self, Kind};
use heartline_shared::snapshot::{HistogramSeries, NumberSeries};

use super::{AppendMap, Cost, Registry, Room, is_clean, sanitised};
use crate::instruments::{Counter, Gauge, Histogram, InFlight};
use crate::recording::Reading;
use crate::snapshot::Families;

/// Marks the series that takes what the limit refused; OpenTelemetry's name for it.
const OVERFLOW: (&str, &str) = ("otel.metric.overflow", "true");

/// A metric with its series.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) kind: Kind,
    pub(crate) unit: Cow<'static, str>,
    help: Option<String>,
    series: Instruments,
    /// Whether it was told that the metric is used as another kind than it is.
    pub(super) told: Once,
}

/// The series of a metric by kind. An up-down counter is a gauge the service sets, or the number of guards; both may
/// have series in one metric.
#[derive(Debug)]
enum Instruments {
    Counters(Series<Counter>),
    Gauges(Series<Gauge>),
    UpDown { set: Series<Gauge>, guards: Series<InFlight> },
    Histograms(Series<Histogram>),
}

/// Something that is said once.
#[derive(Debug, Default)]
pub(super) struct Once(AtomicBool);

impl Once {
    /// Whether this is the first time.
    pub(super) fn is_first(&self) -> bool {
        !self.0.load(Ordering::Relaxed) && !self.0.swap(true, Ordering::Relaxed)
    }
}

/// Labels that are found by their values: the names of one metric seldom differ, so that hashing them tells nothing apart.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Key(Labels);

/// Labels of a look-up, sorted by name.
struct Sought<'a>(&'a [(&'a str, &'a str)]);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|(_, value)| state.write(value.as_bytes()));
    }
}

/// As [`Key`].
impl Hash for Sought<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.iter().for_each(|(_, value)| state.write(value.as_bytes()));
    }
}

/// Series by labels.
#[derive(Debug)]
pub(crate) struct Series<T> {
    by_labels: AppendMap<Key, T>,
    shared: AtomicUsize,
    overflow: OnceLock<T>,
    refused: Counter,
}

/// Chains of a series map: as many as a metric with a few labels has series.
const CHAINS: usize = 64;

impl Owned {
    /// Bytes of a metric without series: itself, its name and its chains.
    pub(crate) const BYTES: usize = size_of::<Self>() + AppendMap::<Labels, Counter>::bytes(CHAINS) + 64;

    pub(crate) fn new(kind: Kind, unit: Cow<'static, str>, help: Option<String>) -> Self {
        let series = match kind {
            Kind::Counter => Instruments::Counters(Series::new()),
            Kind::Gauge => Instruments::Gauges(Series::new()),
            Kind::UpDownCounter => Instruments::UpDown { set: Series::new(), guards: Series::new() },
            Kind::Histogram => Instruments::Histograms(Series::new()),
        };
        Self { kind, unit, help, series, told: Once::default() }
    }

    pub(crate) fn counters(&self) -> Option<&Series<Counter>> {
        if let Instruments::Counters(series) = &self.series { Some(series) } else { None }
    }

    pub(crate) fn gauges(&self) -> Option<&Series<Gauge>> {
        match &self.series {
            Instruments::Gauges(series) | Instruments::UpDown { set: series, .. } => Some(series),
            _ => None,
        }
    }

    pub(crate) fn in_flight(&self) -> Option<&Series<InFlight>> {
        if let Instruments::UpDown { guards, .. } = &self.series { Some(guards) } else { None }
    }

    pub(crate) fn histograms(&self) -> Option<&Series<Histogram>> {
        if let Instruments::Histograms(series) = &self.series { Some(series) } else { None }
    }

    /// How many series there are, the overflow series included.
    pub(crate) fn len(&self) -> usize {
        match &self.series {
            Instruments::Counters(series) => series.len(),
            Instruments::Gauges(series) => series.len(),
            Instruments::UpDown { set, guards } => set.len() + guards.len(),
            Instruments::Histograms(series) => series.len(),
        }
    }

    /// How many look-ups ended in the overflow series.
    pub(crate) fn refused(&self) -> u64 {
        match &self.series {
            Instruments::Counters(series) => series.refused.value(),
            Instruments::Gauges(series) => series.refused.value(),
            Instruments::UpDown { set, guards } => set.refused.value() + guards.refused.value(),
            Instruments::Histograms(series) => series.refused.value(),
        }
    }

    /// Adds the series to a snapshot; returns how many histogram values they hold.
    pub(crate) fn read(&self, name: &str, reading: &mut Reading<'_>, into: &mut Families) -> u64 {
        let name = catalog::find(name).map_or_else(|| Cow::Owned(name.to_owned()), |metric| Cow::Borrowed(metric.name));
        let family = into.family(name, self.kind, self.unit.clone());
        family.help = self.help.clone().map(Cow::Owned);
        match &self.series {
            Instruments::Counters(series) => family.numbers.extend(series.numbers(|counter| counter.value() as f64)),
            Instruments::Gauges(series) => family.numbers.extend(series.numbers(Gauge::value)),
            Instruments::UpDown { set, guards } => {
                family.numbers.extend(set.numbers(Gauge::value));
                family.numbers.extend(guards.numbers(|guards| guards.value() as f64));
            }
            Instruments::Histograms(series) => {
                let read = |(labels, histogram): (Labels, &Histogram)| HistogramSeries {
                    labels,
                    histogram: histogram.value_in(reading),
                };
                family.histograms.extend(series.all().map(read));
                return family.histograms.iter().map(|series| series.histogram.count).sum();
            }
        }
        0
    }
}

impl<T: Clone> Series<T> {
    /// Bytes that a series takes here, beside its labels and its instrument.
    pub(super) const ENTRY_BYTES: usize = AppendMap::<Key, T>::ENTRY_BYTES;

    fn new() -> Self {
        Self {
            by_labels: AppendMap::for_about(CHAINS),
            shared: AtomicUsize::new(0),
            overflow: OnceLock::new(),
            refused: Counter::default(),
        }
    }

    /// The instrument of these labels, which are sorted by name, if it was made.
    #[inline]
    pub(crate) fn find(&self, labels: &[(&str, &str)]) -> Option<&T> {
        self.by_labels
            .find(&Sought(labels), |Key(kept)| kept.len() == labels.len() && kept.iter().eq(labels.iter().copied()))
    }

    /// The overflow series' instrument for labels from outside, sorted by name, that were not [found](Self::find) and are
    /// beyond the series limit: the usual end of a flood of names, which allocates nothing. Values that are kept otherwise than
    /// they are may yet be found.
    pub(crate) fn refuse(&self, registry: &Registry, labels: &[(&str, &str)]) -> Option<&T> {
        let overflow = self.overflow.get()?;
        let is_full = self.shared.load(Ordering::Relaxed) >= registry.series_limit;
        let is_refused = is_full && labels.iter().all(|(_, value)| is_clean(value));
        is_refused.then(|| {
            self.refused.increment();
            overflow
        })
    }

    /// The instrument of these labels, made if there is room, else the one of the overflow series.
    pub(crate) fn resolve(
        &self,
        registry: &Registry,
        (labels, room): (Labels, Room),
        cost: Cost,
        make: impl Fn() -> T,
    ) -> T {
        let labels = Key(labels);
        if let Some(instrument) = self.by_labels.get(&labels) {
            return instrument.clone();
        }
        let labels = Key(sanitised(labels.0));
        if let Some(instrument) = self.by_labels.get(&labels) {
            return instrument.clone();
        }
        if !self.take_place(room, registry.series_limit) {
            return self.overflow(registry, cost, make);
        }
        let label_bytes = labels.0.heap_bytes();
        if !registry.take(room, cost, label_bytes) {
            self.give_place_back(room);
            return self.overflow(registry, cost, make);
        }
        // the copy that is kept has no room to spare
        let (instrument, is_ours) = self.by_labels.add(labels.clone(), make());
        if !is_ours {
            // another thread made the same series meanwhile, and pays for it
            self.give_place_back(room);
            registry.give_back(cost, label_bytes);
        }
        instrument.clone()
    }

    /// Counts one more series from outside, if the limit allows.
    fn take_place(&self, room: Room, limit: usize) -> bool {
        let one_more = |shared: usize| (shared < limit).then_some(shared + 1);
        room == Room::Reserved || self.shared.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    fn give_place_back(&self, room: Room) {
        if room == Room::Shared {
            self.shared.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The series that takes what has no room; it is there however short memory is.
    fn overflow(&self, registry: &Registry, cost: Cost, make: impl Fn() -> T) -> T {
        self.refused.increment();
        let make = || {
            registry.take_anyway(cost);
            make()
        };
        self.overflow.get_or_init(make).clone()
    }

    fn len(&self) -> usize {
        self.by_labels.len() + usize::from(self.overflow.get().is_some())
    }

    fn all(&self) -> impl Iterator<Item = (Labels, &T)> {
        let overflow = self.overflow.get().map(|instrument| (Labels::from_pairs([OVERFLOW]), instrument));
        self.by_labels.iter().map(|(Key(labels), instrument)| (labels.clone(), instrument)).chain(overflow)
    }

    fn numbers(&self, value: impl Fn(&T) -> f64) -> impl Iterator<Item = NumberSeries> {
        self.all()
            .map(move |(labels, instrument)| NumberSeries { labels, value: value(instrument) })
            .filter(|series| series.value.is_finite())
    }
}
