//! Who owns the instruments: one family a metric, one instrument a series, bounded, with a visible overflow series.
//! What the metrics mean is not known here.

mod append_map;
mod by_labels;
mod family;

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use heartline_shared::catalog::{self, Kind};
use heartline_shared::{Grid, GridKind, Labels};
use parking_lot::RwLock;

pub(crate) use append_map::AppendMap;
pub(crate) use by_labels::{ByLabels, Instrument};
use family::{Once, Owned, Series};

use crate::config::LABEL_VALUE_BYTES_MAX;
use crate::instruments::{Counter, Gauge, Histogram, InFlight};
use crate::recording::{Budget, Reading, Shape, recorder};
use crate::snapshot::Families;

/// Whether a series has room reserved, or takes from the room for names that come from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// The service named it in its code: counts against the memory budget only.
    Reserved,
    /// Its labels may come from outside: counts against the series limit of the metric too.
    Shared,
}

/// How many metrics an agent holds; names are made in code, so more of them are a mistake.
const METRICS_MAX: usize = 1_024;
/// Bytes of an agent without series: its runtime, its collectors and what they found. Measured, by the proof that compares
/// the agent's own figure with an allocator's.
const AGENT_BYTES: usize = 100 << 10;
/// How many labels are looked up without allocating.
const LABELS_AT_HAND: usize = 12;

/// What a series takes from the memory budget.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Bytes when it is made.
    now: usize,
    /// Bytes that it may need later and that nothing else may take.
    later: usize,
}

impl Cost {
    /// A series of the kind `T` whose instrument takes `bytes`.
    const fn of<T: Clone>(bytes: usize, later: usize) -> Self {
        Self { now: Series::<T>::ENTRY_BYTES + bytes, later }
    }
}

/// All instruments of an agent.
#[derive(Debug)]
pub(crate) struct Registry {
    families: AppendMap<String, Arc<Owned>>,
    custom: RwLock<Vec<CustomMetric>>,
    series_limit: usize,
    budget: Arc<Budget>,
    durations: Arc<Shape>,
    counts: Arc<Shape>,
    detached: Detached,
    /// Whether it was told that there are too many metrics.
    told: Once,
}

/// Where records go that belong nowhere: a metric used as another kind than it is, or one metric too many. Additions to
/// counters and values of histograms are counted as dropped. What is done to gauges and guards is not: a gauge that counted
/// would cost every gauge a branch.
#[derive(Debug)]
struct Detached {
    counter: Counter,
    gauge: Gauge,
    in_flight: InFlight,
    histogram: OnceLock<Histogram>,
}

impl Detached {
    fn new() -> Self {
        Self {
            counter: Counter::detached(),
            gauge: Gauge::default(),
            in_flight: InFlight::default(),
            histogram: OnceLock::new(),
        }
    }

    fn histogram(&self, shape: &Arc<Shape>) -> Histogram {
        self.histogram.get_or_init(|| Histogram::new(shape)).clone()
    }

    /// How many additions and values ended here.
    fn records(&self, reading: &mut Reading<'_>) -> u64 {
        self.counter.additions() + self.histogram.get().map_or(0, |histogram| histogram.value_in(reading).count)
    }
}

/// What a service said about a metric of its own.
#[derive(Debug, Clone)]
struct CustomMetric {
    name: String,
    unit: String,
    help: String,
}

impl Registry {
    pub(crate) fn new(series_limit: usize, memory_budget: usize) -> Self {
        let budget = Arc::new(Budget::new(memory_budget));
        let shape = |kind| Arc::new(Shape { grid: Grid::of(kind), budget: Arc::clone(&budget) });
        let registry = Self {
            families: AppendMap::for_about(128),
            custom: RwLock::new(Vec::new()),
            series_limit,
            durations: shape(GridKind::Duration),
            counts: shape(GridKind::Count),
            budget,
            detached: Detached::new(),
            told: Once::default(),
        };
        registry.bytes(); // the budget learns what is kept beside series
        registry
    }

    /// Describes a metric of the service's own; takes effect for series made later.
    pub(crate) fn describe(&self, name: &str, unit: &str, help: &str) {
        let mut custom = self.custom.write();
        custom.retain(|metric| metric.name != name);
        custom.push(CustomMetric { name: name.to_owned(), unit: unit.to_owned(), help: help.to_owned() });
    }

    /// The instrument of these labels, which are in any order. Allocates only where it must be made, and for labels that are
    /// refused otherwise than [`Series::refuse`] does.
    pub(crate) fn instrument<T: Instrument>(&self, name: &str, labels: &[(&str, &str)]) -> T {
        let Some(series) = self.family(name, T::KIND).and_then(|family| T::series(family)) else {
            return T::misused(self, name);
        };
        let mut pairs = [("", ""); LABELS_AT_HAND];
        let sorted = sorted(labels, &mut pairs);
        let known = sorted.and_then(|labels| series.find(labels).or_else(|| series.refuse(self, labels)));
        known.cloned().unwrap_or_else(|| {
            T::resolve(self, name, Labels::from_pairs(labels.iter().map(|(name, value)| ((*name).to_owned(), *value))))
        })
    }

    pub(crate) fn counter(&self, name: &str, labels: Labels, room: Room) -> Counter {
        match self.family(name, Kind::Counter).and_then(|family| family.counters()) {
            Some(series) => {
                series.resolve(self, (labels, room), Cost::of::<Counter>(Counter::BYTES, 0), Counter::default)
            }
            None => Counter::misused(self, name),
        }
    }

    pub(crate) fn gauge(&self, name: &str, labels: Labels, room: Room) -> Gauge {
        match self.family(name, Kind::Gauge).and_then(|family| family.gauges()) {
            Some(series) => series.resolve(self, (labels, room), Cost::of::<Gauge>(Gauge::BYTES, 0), Gauge::default),
            None => Gauge::misused(self, name),
        }
    }

    pub(crate) fn in_flight(&self, name: &str, labels: Labels, room: Room) -> InFlight {
        match self.family(name, Kind::UpDownCounter).and_then(|family| family.in_flight()) {
            Some(series) => {
                series.resolve(self, (labels, room), Cost::of::<InFlight>(InFlight::BYTES, 0), InFlight::default)
            }
            None => self.misuse(name, Kind::UpDownCounter, self.detached.in_flight.clone()),
        }
    }

    pub(crate) fn histogram(&self, name: &str, labels: Labels, room: Room) -> Histogram {
        let family = self.family(name, Kind::Histogram);
        let Some((series, unit)) = family.and_then(|family| Some((family.histograms()?, &family.unit))) else {
            return Histogram::misused(self, name);
        };
        let shape = match GridKind::for_unit(unit) {
            GridKind::Duration => &self.durations,
            GridKind::Count => &self.counts,
        };
        let cost = Cost::of::<Histogram>(Histogram::bytes(), shape.reserved_bytes());
        series.resolve(self, (labels, room), cost, || Histogram::new(shape))
    }

    /// Bytes that the agent keeps: its series, all that recording keeps for them, and itself.
    pub(crate) fn bytes(&self) -> usize {
        let overhead = recorder().spare_bytes() + AGENT_BYTES + self.families.len() * Owned::BYTES;
        self.budget.set_overhead(overhead);
        self.budget.held() + overhead
    }

    /// Adds every series to a snapshot, and the registry's own figures.
    pub(crate) fn read(&self, into: &mut Families) {
        let mut held = 0;
        let mut stored = 0;
        let mut reading = recorder().read();
        for (name, family) in self.families.iter() {
            held += family.len();
            stored += family.read(name, &mut reading, into);
            let labels = Labels::from_pairs([("metric", name.clone())]);
            if family.refused() > 0 {
                into.integer("heartline.series.dropped", labels, family.refused());
            }
        }
        let dropped = self.detached.records(&mut reading);
        into.integer("heartline.series.count", Labels::empty(), held as u64);
        into.integer("heartline.series.coarse", Labels::empty(), u64::from(self.budget.is_short()));
        into.integer("heartline.offered", Labels::empty(), stored + dropped);
        into.integer("heartline.dropped", Labels::from_pairs([("reason", "misuse")]), dropped);
    }

    /// How many records the histogram of this name holds over all series; `None` while nobody made it.
    pub(crate) fn records(&self, name: &str) -> Option<u64> {
        let family = self.families.get(name)?;
        Some(family.read(name, &mut recorder().read(), &mut Families::default()))
    }

    /// The metric of this name, made if there is room for one more.
    #[inline]
    fn family(&self, name: &str, asked: Kind) -> Option<&Arc<Owned>> {
        self.families.get(name).or_else(|| self.new_family(name, asked))
    }

    #[cold]
    fn new_family(&self, name: &str, asked: Kind) -> Option<&Arc<Owned>> {
        let make = || match catalog::find(name) {
            Some(metric) => Owned::new(metric.kind, Cow::Borrowed(metric.unit), None),
            None => self.custom_family(name, asked),
        };
        (self.families.len() < METRICS_MAX).then(|| self.families.get_or_insert_with(name, || Arc::new(make())))
    }

    fn custom_family(&self, name: &str, kind: Kind) -> Owned {
        let custom = self.custom.read();
        let described = custom.iter().find(|metric| metric.name == name);
        let default_unit = if kind == Kind::Histogram { "s" } else { "" };
        let unit = described.map_or(Cow::Borrowed(default_unit), |metric| Cow::Owned(metric.unit.clone()));
        Owned::new(kind, unit, described.map(|metric| metric.help.clone()))
    }

    /// Takes a series with its labels from the memory budget, or says that it is used up.
    fn take(&self, room: Room, cost: Cost, label_bytes: usize) -> bool {
        match room {
            Room::Reserved => self.budget.admit(cost.now + label_bytes, cost.later),
            Room::Shared => self.budget.admit_from_outside(cost.now + label_bytes, cost.later),
        }
    }

    /// Takes a series that there must be.
    fn take_anyway(&self, cost: Cost) {
        self.budget.exceed(cost.now);
    }

    /// Gives back a series that was not made after all.
    fn give_back(&self, cost: Cost, label_bytes: usize) {
        self.budget.dismiss(cost.now + label_bytes, cost.later);
    }

    /// A metric was used as another kind than it is, or there is no room for it: what is recorded is counted as dropped. Told
    /// once a metric, and once for all that there is no room for.
    #[cold]
    fn misuse<T>(&self, metric: &str, used_as: Kind, detached: T) -> T {
        match self.families.get(metric) {
            Some(family) if family.told.is_first() => {
                let kind = family.kind;
                tracing::warn!(metric, ?kind, ?used_as, "used as another kind than it is; these records are dropped");
            }
            None if self.told.is_first() => {
                let limit = METRICS_MAX;
                tracing::warn!(
                    metric,
                    limit,
                    "one metric too many; its records are dropped, and those of any other one"
                );
            }
            _ => {}
        }
        detached
    }
}

/// The labels sorted by name in `pairs`; `None` where they do not fit or a name occurs twice.
fn sorted<'a, 'b>(
    labels: &[(&'a str, &'a str)],
    pairs: &'b mut [(&'a str, &'a str)],
) -> Option<&'b [(&'a str, &'a str)]> {
    let pairs = pairs.get_mut(..labels.len())?;
    pairs.copy_from_slice(labels);
    if !pairs.is_sorted_by(|(a, _), (b, _)| a < b) {
        pairs.sort_unstable_by_key(|(name, _)| *name);
    }
    pairs.is_sorted_by(|(a, _), (b, _)| a < b).then_some(pairs)
}

/// Whether a label value is kept as it is.
fn is_clean(value: &str) -> bool {
    value.len() <= LABEL_VALUE_BYTES_MAX && !value.chars().any(char::is_control)
}

/// A label value as it is kept: no control characters, at most [`LABEL_VALUE_BYTES_MAX`] bytes.
fn sanitised(labels: Labels) -> Labels {
    if labels.iter().all(|(_, value)| is_clean(value)) {
        return labels;
    }
    let cut = labels.iter().map(|(name, value)| {
        let printable = value.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        let mut kept: String = printable.take(LABEL_VALUE_BYTES_MAX).collect();
        if kept.len() > LABEL_VALUE_BYTES_MAX {
            let end = kept.floor_char_boundary(LABEL_VALUE_BYTES_MAX - '…'.len_utf8());
            kept.truncate(end);
            kept.push('…');
        }
        (name.to_owned(), kept)
    });
    Labels::from_pairs(cut.collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(series_limit: usize) -> Registry {
        Registry::new(series_limit, 1 << 20)
    }

    fn read(registry: &Registry) -> Vec<heartline_shared::snapshot::Family> {
        let mut families = Families::default();
        registry.read(&mut families);
        families.into_sorted()
    }

    fn user(name: usize) -> Labels {
        Labels::from_pairs([("user", name.to_string())])
    }

    #[test]
    fn names_from_outside_end_in_a_visible_overflow_series_and_nothing_is_lost() {
        let registry = registry(10);
        for name in 0..1_000 {
            registry.counter("logins", user(name), Room::Shared).increment();
        }
        let families = read(&registry);
        let logins = families.iter().find(|family| family.name == "logins").unwrap();
        assert_eq!(logins.numbers.len(), 11);
        assert_eq!(logins.numbers.iter().map(|series| series.value).sum::<f64>(), 1_000.0);
        let dropped = families.iter().find(|family| family.name == "heartline.series.dropped").unwrap();
        assert_eq!(dropped.numbers[0].value, 990.0);
    }

    #[test]
    fn a_flood_of_names_leaves_room_for_registered_series() {
        let registry = registry(10);
        (0..100).for_each(|name| registry.counter("logins", user(name), Room::Shared).increment());
        registry.counter("logins", Labels::from_pairs([("user", "known")]), Room::Reserved).add(7);
        let families = read(&registry);
        let logins = families.iter().find(|family| family.name == "logins").unwrap();
        let known = logins.numbers.iter().find(|series| series.labels.value("user") == Some("known")).unwrap();
        assert_eq!(known.value, 7.0);
    }

    #[test]
    fn the_memory_budget_bounds_histograms_and_their_records_stay_exact() {
        let registry = registry(100_000);
        for name in 0..1_000 {
            registry.histogram("wait", user(name), Room::Reserved).record_units(5_000);
        }
        assert!(registry.bytes() <= 1 << 20, "{}", registry.bytes());
        let families = read(&registry);
        let wait = families.iter().find(|family| family.name == "wait").unwrap();
        assert_eq!(wait.histograms.iter().map(|series| series.histogram.count).sum::<u64>(), 1_000);
    }

    #[test]
    fn histograms_become_coarser_before_any_series_is_refused() {
        let registry = registry(100_000);
        let (mut coarse_at, mut refused_at) = (None, None);
        for name in 0..1_000 {
            let histogram = registry.histogram("wait", user(name), Room::Shared);
            (0..40).for_each(|i| histogram.record_units(2_000 << (i % 20)));
            let families = read(&registry);
            if registry.budget.is_short() {
                coarse_at.get_or_insert(name);
            }
            if families.iter().any(|family| family.name == "heartline.series.dropped") {
                refused_at.get_or_insert(name);
                break;
            }
        }
        assert!(coarse_at.is_some() && coarse_at < refused_at, "{coarse_at:?} {refused_at:?}");
        // and what the service names itself is not refused yet
        registry.histogram("wait", user(5_000), Room::Reserved).record_units(7);
        let families = read(&registry);
        let wait = families.iter().find(|family| family.name == "wait").unwrap();
        assert!(wait.histograms.iter().any(|series| series.labels.value("user") == Some("5000")));
    }

    #[test]
    fn threads_that_make_the_same_series_pay_for_it_once() {
        // a place more for each thread: it has one while it finds out that another was faster
        let registry = registry(108);
        std::thread::scope(|threads| {
            let make = || (0..100).for_each(|name| registry.counter("logins", user(name), Room::Shared).increment());
            (0..8).for_each(|_| drop(threads.spawn(make)));
        });
        let alone = self::registry(108);
        (0..100).for_each(|name| alone.counter("logins", user(name), Room::Shared).increment());
        assert_eq!(registry.budget.held(), alone.budget.held());
        assert!(!read(&registry).iter().any(|family| family.name == "heartline.series.dropped"));
    }

    #[test]
    fn a_thousand_series_that_eight_threads_record_into_take_two_and_a_half_kilobytes_each() {
        let registry = Registry::new(100_000, 32 << 20);
        let handles: Vec<_> = (0..1_000).map(|name| registry.histogram("wait", user(name), Room::Reserved)).collect();
        let record = |thread: u32| {
            for (i, histogram) in (0_u32..).zip(handles.iter().cycle().take(300_000)) {
                // two decades around 10 ms, close together in the middle
                let uniform = |salt: u32| f64::from((i ^ thread << 20).wrapping_mul(salt) >> 8) / f64::from(1 << 24);
                let normal = (uniform(0x9e37_79b1) + uniform(0x85eb_ca77) + uniform(0xc2b2_ae3d) - 1.5) / 1.5;
                histogram.record(std::time::Duration::from_secs_f64(0.01 * 10_f64.powf(normal)));
            }
        };
        std::thread::scope(|threads| (0..8).for_each(|thread| drop(threads.spawn(move || record(thread)))));
        // calm again: stores that were opened while the threads collided are given up after ten rounds
        (0..12).for_each(|_| recorder().read().maintain());
        let bytes = registry.bytes() / 1_000;
        assert!((500..2_500).contains(&bytes), "{bytes} bytes a series");
    }

    #[test]
    fn a_metric_used_as_another_kind_is_counted_as_dropped_by_records_whatever_their_amounts() {
        let registry = registry(10);
        let misused = registry.counter("http.server.request.duration", Labels::empty(), Room::Reserved);
        for amount in [1_000_000, 3, 0, u64::MAX] {
            misused.add(amount);
        }
        registry.histogram("heartline.offered", Labels::empty(), Room::Reserved).record_units(5);
        registry.gauge("heartline.offered", Labels::empty(), Room::Reserved).set(7.0);
        let families = read(&registry);
        let dropped = families.iter().find(|family| family.name == "heartline.dropped").unwrap();
        assert_eq!((dropped.numbers[0].value, misused.value()), (5.0, 0));
    }

    /// Counts what is told.
    #[derive(Clone, Default)]
    struct Told(Arc<std::sync::atomic::AtomicUsize>);

    impl<S: tracing::Subscriber> tracing_subscriber::Layer<S> for Told {
        fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    #[test]
    fn misuse_is_told_once_a_metric_however_often_it_is_recorded() {
        use tracing_subscriber::layer::SubscriberExt as _;
        let told = Told::default();
        let registry = Arc::new(registry(10));
        registry.histogram("wait", Labels::empty(), Room::Shared).record_units(1);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(told.clone()), || {
            let misused = ByLabels::new::<Counter>(&registry, "wait", ["a"]);
            for _ in 0..100 {
                misused.resolve::<Counter>(["1"]).increment();
                registry.instrument::<Counter>("wait", &[("a", "1")]).increment();
                registry.instrument::<Histogram>("heartline.offered", &[]).record_units(1);
            }
            for name in 0..METRICS_MAX + 100 {
                registry.instrument::<Counter>(&format!("metric {name}"), &[]).increment();
            }
        });
        let told = told.0.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(told, 3, "two metrics, and once for all that are too many");
    }

    #[test]
    fn names_of_metrics_are_bounded_and_the_records_of_those_beyond_are_counted() {
        let registry = registry(10);
        for name in 0..METRICS_MAX + 5 {
            registry.counter(&format!("metric {name}"), Labels::empty(), Room::Shared).increment();
        }
        let families = read(&registry);
        let dropped = families.iter().find(|family| family.name == "heartline.dropped").unwrap();
        assert_eq!(dropped.numbers[0].value, 5.0);
    }

    #[test]
    fn label_values_are_cut_at_a_character_and_lose_their_control_characters() {
        let long = "é".repeat(LABEL_VALUE_BYTES_MAX);
        let clean = sanitised(Labels::from_pairs([("a", long.as_str()), ("b", "x\u{1b}[2J")]));
        assert!(clean.value("a").unwrap().len() <= LABEL_VALUE_BYTES_MAX);
        assert!(clean.value("a").unwrap().ends_with('…'));
        assert_eq!(clean.value("b"), Some("x\u{fffd}[2J"));
    }
}
