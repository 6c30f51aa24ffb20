//! The raw cumulative samples that rules look at: per target and series a bounded ring. What rules compute from them is
//! not known here.
//!
//! Only the metrics that a file's rules name are kept, each only as long as its longest window. A histogram sample is
//! its classic buckets, derived exactly from the grid, so that every figure agrees with Prometheus' on the same data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::file::AlertFile;
use super::ring::{Coarse, Ring, Series};
use super::rule::NoData;
use crate::catalog::Kind;
use crate::label::Labels;
use crate::snapshot::{Family, Snapshot};
use crate::time::UnixMillis;

/// How old the newest sample may be before a value of the moment counts as gone; Prometheus' default.
pub const LOOKBACK: Duration = Duration::from_mins(5);
/// How close samples may stand once the store was full: no closer than twice what did not suffice, up to this.
const SPACING_MAX: Duration = Duration::from_secs(16);
const SPACING_MIN: Duration = Duration::from_secs(2);
/// Samples are kept this much longer than the longest window, because evaluations lag behind the newest sample.
const SLACK: Duration = Duration::from_mins(1);

/// One scraped process.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// The service's name.
    pub job: String,
    /// The replica.
    pub instance: String,
}

impl TargetKey {
    /// The key of the process that made `snapshot`.
    pub fn of(snapshot: &Snapshot) -> Self {
        Self { job: snapshot.service.clone(), instance: snapshot.instance_id.clone() }
    }

    /// The value of a label of one of this target's series; empty when there is none.
    pub(super) fn label<'a>(&'a self, labels: &'a Labels, name: &str) -> &'a str {
        match name {
            "job" => &self.job,
            "instance" => &self.instance,
            name => labels.value(name).unwrap_or_default(),
        }
    }
}

/// Which metrics must be kept, and for how long.
#[derive(Debug, Clone, Default)]
pub struct Needs(BTreeMap<String, Need>);

#[derive(Debug, Clone)]
struct Need {
    kind: Kind,
    boundaries: Arc<[f64]>,
    /// How long samples are kept.
    window: Duration,
    /// How long a series without new samples is remembered.
    memory: Duration,
}

impl Needs {
    /// What the rules of `file` need.
    pub fn of(file: &AlertFile) -> Self {
        let mut needs: BTreeMap<String, Need> = BTreeMap::new();
        for variant in file.variants.iter().filter(|variant| variant.rule.enabled) {
            let rule = &variant.rule;
            let silence = match rule.no_data {
                NoData::Ok => Duration::ZERO,
                NoData::Keep(span) | NoData::Alert(span) => span,
            };
            for (signal, over) in rule.clauses() {
                let window = over.max(LOOKBACK) + rule.every + SLACK;
                for selector in signal.expression.selectors() {
                    let shape = &selector.metric;
                    let need = needs.entry(shape.name.clone()).or_insert_with(|| Need {
                        kind: shape.kind,
                        boundaries: Arc::clone(&shape.boundaries),
                        window,
                        memory: window,
                    });
                    need.window = need.window.max(window);
                    need.memory = need.memory.max(window).max(silence + rule.every + SLACK);
                }
            }
        }
        Self(needs)
    }

    /// The metrics, by name.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// What the store may hold. When it is full, samples that stand closer together than 2 s, then 4 s, 8 s and 16 s are thinned
/// out of all series alike, which hardly changes any rate; only then do the oldest go. Both are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleLimits {
    /// Bytes of samples and series, estimated.
    pub bytes_max: usize,
    /// Series over all targets.
    pub series_max: usize,
}

impl Default for SampleLimits {
    /// 64 MiB and 50,000 series: at one sample a second and windows of five minutes ten services with a hundred busy routes
    /// and queries each; ten times as many once samples are thinned out.
    fn default() -> Self {
        Self { bytes_max: 64 << 20, series_max: 50_000 }
    }
}

/// How full the store is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SampleUsage {
    /// Bytes held, estimated.
    pub bytes: usize,
    /// Series held.
    pub series: usize,
    /// Samples thinned out because the store was full: windows stay whole and become coarser.
    pub samples_thinned: u64,
    /// Samples dropped before their window ended, because the store was full even so.
    pub samples_dropped: u64,
    /// Samples of new series refused, because there were too many series.
    pub samples_refused: u64,
}

/// The recent raw samples of every target.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    needs: Needs,
    limits: SampleLimits,
    usage: SampleUsage,
    /// How close samples may stand in what was thinned out last.
    spacing: Duration,
    targets: BTreeMap<TargetKey, Target>,
}

#[derive(Debug, Clone, Default)]
struct Target {
    last_at: UnixMillis,
    is_stale: bool,
    families: BTreeMap<String, BTreeMap<Labels, Series>>,
    /// Metrics whose kind or boundaries are not what the rules were checked against.
    mismatched: BTreeSet<String>,
}

impl Samples {
    /// An empty store for what `needs` names.
    pub fn new(needs: Needs, limits: SampleLimits) -> Self {
        Self { needs, limits, ..Self::default() }
    }

    /// An empty store for the rules of `file`, with default limits.
    pub fn for_file(file: &AlertFile) -> Self {
        Self::new(Needs::of(file), SampleLimits::default())
    }

    /// Keeps what the changed rules need; samples of metrics that no rule names any more go.
    pub fn set_needs(&mut self, needs: Needs) {
        for target in self.targets.values_mut() {
            target.families.retain(|name, _| needs.0.contains_key(name));
            target.mismatched.clear();
        }
        self.needs = needs;
        self.recount();
    }

    /// Adds what `snapshot` says of `target` at `at`; series it no longer has end here.
    ///
    /// The snapshot must be [valid](Snapshot::validate). Returns whether it was taken: one that is not newer than the
    /// newest of its target is not.
    pub fn record(&mut self, target: &TargetKey, snapshot: &Snapshot, at: UnixMillis) -> bool {
        let known = self.targets.get(target);
        if known.is_some_and(|known| at <= known.last_at) {
            return false;
        }
        let mut entry = self.targets.remove(target).unwrap_or_default();
        entry.last_at = at;
        entry.is_stale = false;
        for (name, need) in &self.needs.0 {
            if let Some(family) = snapshot.family(name) {
                let matches = self.usage.take(&mut entry, (family, need), snapshot, (at, self.limits.series_max));
                if matches {
                    entry.mismatched.remove(name)
                } else {
                    entry.mismatched.insert(name.clone())
                };
            }
        }
        entry.end_vanished(at);
        entry.prune(&self.needs, at);
        self.targets.insert(target.clone(), entry);
        self.forget_old_targets(at);
        self.recount();
        self.shrink();
        true
    }

    /// Ends every series of `target`: it could not be read, or it is gone.
    pub fn mark_stale(&mut self, target: &TargetKey, at: UnixMillis) {
        if let Some(entry) = self.targets.get_mut(target) {
            entry.is_stale = true;
            entry.end_vanished(at.max(entry.last_at + Duration::from_millis(1)));
        }
    }

    /// How full it is.
    pub fn usage(&self) -> SampleUsage {
        self.usage
    }

    /// The targets heard of within their memory.
    pub fn targets(&self) -> impl Iterator<Item = &TargetKey> {
        self.targets.keys()
    }

    /// The oldest sample of a metric; absent when there is none.
    pub fn oldest(&self, metric: &str) -> Option<UnixMillis> {
        let series = self.targets.values().filter_map(|target| target.families.get(metric)).flat_map(BTreeMap::values);
        series.filter_map(Series::oldest).min()
    }

    /// Targets that were heard within the look-back before `at` and are not stale: what `target_info` shows.
    pub(super) fn live_targets(&self, at: UnixMillis) -> impl Iterator<Item = &TargetKey> {
        let live = move |entry: &Target| !entry.is_stale && entry.last_at + LOOKBACK > at;
        self.targets.iter().filter(move |(_, entry)| live(entry)).map(|(key, _)| key)
    }

    pub(super) fn series(&self, metric: &str) -> impl Iterator<Item = (&TargetKey, &Labels, &Series)> {
        self.targets.iter().flat_map(move |(key, target)| {
            let family = target.families.get(metric).into_iter().flatten();
            family.map(move |(labels, series)| (key, labels, series))
        })
    }

    /// A target whose `metric` is not what the rules were checked against.
    pub(super) fn mismatch(&self, metric: &str) -> Option<&TargetKey> {
        self.targets.iter().find(|(_, target)| target.mismatched.contains(metric)).map(|(key, _)| key)
    }

    fn forget_old_targets(&mut self, now: UnixMillis) {
        let memory = self.needs.0.values().map(|need| need.memory).max().unwrap_or(LOOKBACK);
        self.targets.retain(|_, target| target.last_at + memory > now);
    }

    fn recount(&mut self) {
        let series = || self.targets.values().flat_map(|target| target.families.values().flat_map(BTreeMap::values));
        self.usage.series = series().count();
        self.usage.bytes = series().map(Series::bytes).sum();
    }

    /// Thins out, ever more coarsely, then drops the oldest eighth of the time that is held, until everything fits.
    fn shrink(&mut self) {
        let roomy = self.limits.bytes_max / 8 * 7;
        let mut spacing = self.spacing.max(SPACING_MIN);
        while self.usage.bytes > self.limits.bytes_max && spacing <= SPACING_MAX {
            let thinned: usize = self.every_series().map(|series| series.thin(spacing)).sum();
            self.usage.samples_thinned += thinned as u64;
            self.spacing = spacing;
            self.recount();
            // Less room than that would mean thinning again at the next sample.
            if self.usage.bytes > roomy {
                spacing *= 2;
            }
        }
        while self.usage.bytes > self.limits.bytes_max {
            let Some((oldest, newest)) = self.extent().filter(|(oldest, newest)| oldest < newest) else { return };
            let cut = oldest + (newest.since(oldest) / 8).max(Duration::from_millis(1));
            let dropped: usize = self.every_series().map(|series| series.drop_through(cut)).sum();
            if dropped == 0 {
                return;
            }
            self.usage.samples_dropped += dropped as u64;
            self.recount();
        }
    }

    fn every_series(&mut self) -> impl Iterator<Item = &mut Series> {
        self.targets.values_mut().flat_map(|target| target.families.values_mut().flat_map(BTreeMap::values_mut))
    }

    fn extent(&self) -> Option<(UnixMillis, UnixMillis)> {
        let series = || self.targets.values().flat_map(|target| target.families.values().flat_map(BTreeMap::values));
        Some((series().filter_map(Series::oldest).min()?, series().filter_map(Series::newest).max()?))
    }
}

impl SampleUsage {
    /// Adds every series of a family; `false` when the family is not what the rules were checked against.
    fn take(
        &mut self,
        target: &mut Target,
        (family, need): (&Family, &Need),
        snapshot: &Snapshot,
        (at, series_max): (UnixMillis, usize),
    ) -> bool {
        if !alike(family.kind, need.kind) {
            return false;
        }
        let mut series = target.families.remove(family.name.as_ref()).unwrap_or_default();
        let matches = if need.kind == Kind::Histogram {
            let coarse = Coarse::new(snapshot, family, &need.boundaries);
            let taken = coarse.map(|coarse| self.take_histograms(&mut series, (family, &coarse), at, series_max));
            taken.is_some()
        } else {
            self.take_numbers(&mut series, family, at, series_max);
            true
        };
        target.families.insert(family.name.to_string(), series);
        matches
    }

    fn take_numbers(
        &mut self,
        series: &mut BTreeMap<Labels, Series>,
        family: &Family,
        at: UnixMillis,
        series_max: usize,
    ) {
        for it in &family.numbers {
            let new = || Series::Numbers(Ring::default());
            if let Some(Series::Numbers(ring)) = self.room(series, &it.labels, new, series_max) {
                ring.push(at, it.value);
            }
        }
    }

    fn take_histograms(
        &mut self,
        series: &mut BTreeMap<Labels, Series>,
        (family, coarse): (&Family, &Coarse),
        at: UnixMillis,
        series_max: usize,
    ) {
        for it in &family.histograms {
            if let Some(known) = self.room(series, &it.labels, || coarse.series(), series_max) {
                coarse.push(known, at, &it.histogram);
            }
        }
    }

    /// The series of these labels, which is made if there is room.
    fn room<'s>(
        &mut self,
        family: &'s mut BTreeMap<Labels, Series>,
        labels: &Labels,
        new: impl Fn() -> Series,
        series_max: usize,
    ) -> Option<&'s mut Series> {
        if !family.contains_key(labels) {
            if self.series >= series_max {
                self.samples_refused += 1;
                return None;
            }
            self.series += 1;
        }
        Some(family.entry(labels.clone()).or_insert_with(new))
    }
}

/// Gauges and up-down counters are read alike.
fn alike(a: Kind, b: Kind) -> bool {
    let class = |kind| if kind == Kind::UpDownCounter { Kind::Gauge } else { kind };
    class(a) == class(b)
}

impl Target {
    /// Marks the series without a sample at `last_at` as ended.
    fn end_vanished(&mut self, at: UnixMillis) {
        let ended_at = if self.is_stale { at } else { self.last_at };
        for series in self.families.values_mut().flat_map(BTreeMap::values_mut) {
            if self.is_stale || series.newest() != Some(self.last_at) {
                series.mark_stale(ended_at);
            }
        }
    }

    fn prune(&mut self, needs: &Needs, now: UnixMillis) {
        for (name, family) in &mut self.families {
            let Some(need) = needs.0.get(name) else { continue };
            family.retain(|_, series| {
                series.drop_through(now - need.window);
                series.newest().is_some_and(|newest| newest + need.memory > now)
            });
        }
    }
}
