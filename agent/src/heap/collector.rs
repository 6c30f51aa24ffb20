//! Samples the heap once a round: allocator statistics, the detector's verdict, and the metrics of both.

use std::time::Duration;

use heartline_shared::Labels;
use heartline_shared::snapshot::{HeapSites, HeapVerdict, Leak, Sampling, Trend};

use super::filling::Filling;
use super::lives::Lives;
#[cfg(feature = "jemalloc")]
use super::profile::{Moment, Profiler};
use super::trend::{LeakDetector, LeakVerdict, MemorySample, bytes_text};
#[cfg(feature = "jemalloc")]
use super::turnover::SizeClasses;
use crate::snapshot::{Collector, Families, Tick};

/// The shortest time over which requests per second are measured.
const RATE_SPAN: Duration = Duration::from_secs(4);
/// The first sentence of the evidence where resident memory is all that is known.
const RESIDENT_ONLY: &str = "jemalloc is not the allocator of this program: judged by resident memory alone";

/// Why there are no call sites without the feature.
#[cfg(not(feature = "jemalloc"))]
const NOT_COMPILED_IN: &str =
    "heap profiling is not compiled in: build the service with the feature `jemalloc` and heartline::jemalloc!()";

/// Others under the same memory limit are spoken of from this share of it on.
const OTHERS_SHARE: f64 = 0.05;

/// A life of so many patiences without a suspicion is no leaking one.
const LIFE_LASTS: u32 = 2;

/// Counts the requests served since the start; `None` while there is nothing that serves any.
type Requests = Box<dyn FnMut() -> Option<u64> + Send>;

/// Reads jemalloc, if the program runs on it, and judges the floor of memory. Runs after the collectors of caches and
/// of the process, whose figures it uses.
pub(crate) struct HeapCollector {
    detector: LeakDetector,
    patience: Duration,
    filling: Filling,
    lives: Option<Lives>,
    /// Asked on the agent's thread, once.
    jemalloc: Option<bool>,
    requests: Requests,
    #[cfg(feature = "jemalloc")]
    profiler: Profiler,
    /// What tells how much was ever allocated; looked up once jemalloc is known to be the allocator.
    #[cfg(feature = "jemalloc")]
    size_classes: Option<SizeClasses>,
    /// The newest count of requests with its time, and the rate before it.
    counted: Option<(u64, Duration)>,
    rate: Option<f64>,
}

impl HeapCollector {
    /// A collector that suspects a leak after growth has lasted `patience`; `requests` counts the requests served.
    pub(crate) fn new(patience: Duration, requests: impl FnMut() -> Option<u64> + Send + 'static) -> Self {
        Self {
            detector: LeakDetector::new(patience),
            patience,
            filling: Filling::new(patience),
            lives: None,
            jemalloc: None,
            requests: Box::new(requests),
            #[cfg(feature = "jemalloc")]
            profiler: Profiler::new(patience),
            #[cfg(feature = "jemalloc")]
            size_classes: None,
            counted: None,
            rate: None,
        }
    }

    /// Knows of earlier lives of the service, and tells the next.
    pub(crate) fn with_lives(self, lives: Lives) -> Self {
        Self { detector: self.detector.after(lives.leaking()), lives: Some(lives), ..self }
    }

    /// Samples allocations with this profiler, which others may ask too.
    #[cfg(feature = "jemalloc")]
    pub(crate) fn with_profiler(self, profiler: Profiler) -> Self {
        Self { profiler, ..self }
    }

    /// Requests per second over the last seconds.
    fn load(&mut self, now: Duration) -> Option<f64> {
        let due = |(_, at): (u64, Duration)| now.saturating_sub(at) >= RATE_SPAN;
        if self.counted.is_none_or(due) {
            let served = (self.requests)()?;
            if let Some((before, at)) = self.counted.replace((served, now)) {
                let seconds = now.saturating_sub(at).as_secs_f64();
                self.rate = Some(served.saturating_sub(before) as f64 / seconds);
            }
        }
        self.rate
    }

    /// A suspicion waits for a cache that fills, unless the limit is near.
    fn hold_back(&self, verdict: &mut LeakVerdict, used: Option<f64>) {
        let is_near = verdict.seconds_to_limit.is_some_and(|left| left < self.patience.as_secs_f64());
        if verdict.leak != Leak::Suspected || is_near {
            return;
        }
        let growth = verdict.growth_bytes_per_second.zip(used);
        if let Some(fills) = growth.and_then(|(growth, used)| self.filling.explains(growth, used)) {
            verdict.leak = Leak::Watching;
            verdict.evidence.push(fills);
        }
    }

    /// Adds the allocator's statistics and returns what is allocated, and what is said of the rest; `None` without jemalloc.
    #[cfg(feature = "jemalloc")]
    fn allocated(&mut self, into: &mut Families) -> Option<(f64, Vec<String>)> {
        use super::jemalloc;

        if !*self.jemalloc.get_or_insert_with(jemalloc::is_global_allocator) {
            return None;
        }
        let statistics = jemalloc::read()?;
        for (metric, bytes) in [
            ("jemalloc.allocated", statistics.allocated),
            ("jemalloc.active", statistics.active),
            ("jemalloc.resident", statistics.resident),
            ("jemalloc.mapped", statistics.mapped),
            ("jemalloc.retained", statistics.retained),
            ("jemalloc.metadata", statistics.metadata),
        ] {
            into.integer(metric, Labels::empty(), bytes as u64);
        }
        let classes = self.size_classes.get_or_insert_with(SizeClasses::look_up);
        if let Some(turnover) = classes.turnover() {
            into.integer("heartline.heap.allocated", Labels::empty(), turnover.bytes);
            into.integer("heartline.heap.allocations", Labels::empty(), turnover.allocations);
        }
        Some((statistics.allocated as f64, statistics.idle()))
    }

    #[cfg(not(feature = "jemalloc"))]
    fn allocated(&mut self, _into: &mut Families) -> Option<(f64, Vec<String>)> {
        self.jemalloc = Some(false);
        None
    }

    /// The call sites that hold what is allocated; sampled while growth is watched, or when somebody asked.
    #[cfg(feature = "jemalloc")]
    fn sites(&self, now: Duration, allocated: Option<f64>, cached: f64) -> HeapSites {
        let watching = self.detector.verdict().leak != Leak::None;
        let moment = Moment { now, watching, allocated: allocated.unwrap_or(0.0), cached };
        HeapSites::clone(&self.profiler.tick(moment))
    }

    #[cfg(not(feature = "jemalloc"))]
    #[expect(clippy::unused_self, reason = "the same as with the feature")]
    fn sites(&self, _now: Duration, _allocated: Option<f64>, _cached: f64) -> HeapSites {
        HeapSites { sampling: Sampling::Unavailable, notes: vec![NOT_COMPILED_IN.to_owned()], ..HeapSites::default() }
    }
}

impl Collector for HeapCollector {
    fn collect(&mut self, into: &mut Families, now: Tick) {
        let (allocated, idle) = self.allocated(into).unzip();
        let resident = into.sum("process.memory.usage");
        let others = of_others(into, resident);
        self.filling.observe(now.mono, &into.cache_entries);
        if let Some(used) = allocated.or(resident) {
            let limit = into.sum("heartline.memory.limit").map(|limit| (limit - others.unwrap_or(0.0)).max(1.0));
            let requests_per_second = self.load(now.mono);
            let cached = into.cached_bytes as f64;
            let sample = MemorySample { used, cached, resident, limit, requests_per_second };
            self.detector.observe(now.mono, sample);
        }
        if let Some(lives) = &mut self.lives {
            // one that lasts and does not leak ends the row of those that did
            let lasts = now.mono >= LIFE_LASTS * self.patience && self.detector.verdict().leak == Leak::None;
            lives.say(if lasts { 0 } else { self.detector.leaking_lives() });
        }
        into.kept_bytes += self.detector.state_bytes();
        let mut verdict = self.detector.verdict().clone();
        self.hold_back(&mut verdict, allocated.or(resident));
        if verdict.leak != Leak::None {
            verdict.evidence.extend(others.and_then(|others| said_of_others(into, others)));
        }
        if allocated.is_none() && verdict.trend != Trend::Unknown {
            verdict.evidence.insert(0, RESIDENT_ONLY.to_owned());
        }
        let sites = self.sites(now.mono, allocated, into.cached_bytes as f64);
        if verdict.leak != Leak::None {
            verdict.evidence.extend(growing_site(&sites));
        }
        verdict.evidence.extend(idle.into_iter().flatten());
        let suspected = verdict.leak == Leak::Suspected;
        into.integer("heartline.memory.leak.suspected", Labels::empty(), u64::from(suspected));
        into.number("heartline.memory.leak.confidence", Labels::empty(), verdict.confidence);
        if let Some(growth) = verdict.growth_bytes_per_second {
            into.number("heartline.memory.growth", Labels::empty(), growth);
        }
        if let Some(seconds) = verdict.seconds_to_limit {
            into.number("heartline.memory.time_to_limit", Labels::empty(), seconds);
        }
        into.heap = Some(HeapVerdict {
            jemalloc: self.jemalloc.unwrap_or(false),
            trend: verdict.trend,
            growth_bytes_per_second: verdict.growth_bytes_per_second,
            leak: verdict.leak,
            seconds_to_limit: verdict.seconds_to_limit,
            evidence: verdict.evidence,
            growth_interval: verdict.growth_interval,
            seconds_to_limit_interval: verdict.seconds_to_limit_interval,
            sites: Some(Box::new(sites)),
        });
    }
}

/// Bytes that other processes use of the memory limit; `None` where it is this one's own.
fn of_others(into: &Families, resident: Option<f64>) -> Option<f64> {
    Some((into.used_under_limit? as f64 - resident?).max(0.0))
}

/// What other processes use of the limit, where that is much.
fn said_of_others(into: &Families, others: f64) -> Option<String> {
    let limit = into.sum("heartline.memory.limit")?;
    (others >= OTHERS_SHARE * limit).then(|| {
        let [others, limit] = [others, limit].map(bytes_text);
        format!("{others} of the limit of {limit} are used beside this process, in its control group")
    })
}

/// The call site that grows fastest, as evidence; of figures from before there is none.
fn growing_site(sites: &HeapSites) -> Option<String> {
    let now = sites.sampling == Sampling::Active;
    let site = sites.sites.first().filter(|site| now && site.growing)?;
    let at = match (&site.file, site.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    };
    let rate = bytes_text(site.growth_bytes_per_second? * 3_600.0);
    let share = site.share.map(|share| format!(", {:.0} % of the growth", share * 100.0)).unwrap_or_default();
    let kept = site.survival.map(|kept| format!("; {:.0} % of what it allocated stays", kept * 100.0));
    Some(format!("what {}{at} allocated grows by {rate}/h{share}{}", site.function, kept.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::CacheEntries;
    use heartline_shared::UnixMillis;
    use heartline_shared::snapshot::HeapSite;

    /// A round in which resident memory, caches and limit are these.
    fn round(collector: &mut HeapCollector, second: u64, resident: u64, cached: u64) -> Families {
        let mut families = Families::default();
        families.cached_bytes = cached;
        families.integer("process.memory.usage", Labels::empty(), resident);
        families.integer("heartline.memory.limit", Labels::from_pairs([("heartline.limit.source", "config")]), 1 << 30);
        collector.collect(&mut families, Tick { mono: Duration::from_secs(second), wall: UnixMillis(0) });
        families
    }

    #[cfg(feature = "jemalloc")]
    #[test]
    fn an_allocator_that_is_linked_but_not_installed_is_not_believed() {
        // this test program installs none
        assert!(!super::super::jemalloc::is_global_allocator());
    }

    /// Without jemalloc, with a patience of 45 seconds and 100 requests a second.
    fn collector() -> HeapCollector {
        let mut served = 0;
        let requests = move || {
            served += 400;
            Some(served)
        };
        HeapCollector { jemalloc: Some(false), ..HeapCollector::new(Duration::from_secs(45), requests) }
    }

    #[test]
    fn without_jemalloc_resident_memory_is_judged_and_that_is_said() {
        let mut collector = collector();
        let mut families = round(&mut collector, 0, 64 << 20, 0);
        assert_eq!(families.heap.as_ref().unwrap().trend, Trend::Unknown);
        for second in 1..240 {
            families = round(&mut collector, second, (64 << 20) + (second << 20), 0);
        }
        let heap = families.heap.clone().unwrap();
        assert_eq!((heap.leak, heap.trend, heap.jemalloc), (Leak::Suspected, Trend::Growing, false));
        let growth = heap.growth_bytes_per_second.unwrap() / 1_048_576.0;
        assert!((growth - 1.0).abs() < 0.1, "{growth} MiB/s");
        assert_eq!(families.sum("heartline.memory.leak.suspected"), Some(1.0));
        let left = families.sum("heartline.memory.time_to_limit").unwrap();
        assert!((left / 721.0 - 1.0).abs() < 0.2, "1 GiB less 64 MiB less 239 MiB at 1 MiB/s: {left}");
        let [low, high] = heap.seconds_to_limit_interval.unwrap();
        assert!(low < 721.0 && 721.0 < high, "{low} to {high}");
        assert_eq!(heap.evidence[0], RESIDENT_ONLY);
    }

    #[test]
    fn what_registered_caches_hold_is_no_leak() {
        let mut collector = collector();
        for second in 0..240 {
            let families = round(&mut collector, second, (64 << 20) + (second << 20), second << 20);
            assert_eq!(families.heap.unwrap().leak, Leak::None, "second {second}");
        }
    }

    /// Rounds of four minutes in which memory grows by a MiB a second, with what else is known.
    fn grown(mut also: impl FnMut(u64, &mut Families)) -> HeapVerdict {
        let mut collector = collector();
        let mut newest = None;
        for second in 0..240 {
            let mut families = Families::default();
            families.integer("process.memory.usage", Labels::empty(), (64 << 20) + (second << 20));
            families.integer("heartline.memory.limit", Labels::empty(), 4 << 30);
            also(second, &mut families);
            collector.collect(&mut families, Tick { mono: Duration::from_secs(second), wall: UnixMillis(0) });
            newest = families.heap;
        }
        newest.unwrap()
    }

    #[test]
    fn what_others_use_of_a_shared_limit_brings_it_nearer_and_is_said() {
        let alone = grown(|_, _| {});
        let beside =
            grown(|second, families| families.used_under_limit = Some((64 << 20) + (second << 20) + (2 << 30)));
        let [alone_left, beside_left] = [&alone, &beside].map(|heap| heap.seconds_to_limit.unwrap());
        assert!(
            (alone_left / 3_793.0 - 1.0).abs() < 0.2 && (beside_left / 1_745.0 - 1.0).abs() < 0.2,
            "{alone_left} {beside_left}"
        );
        let said =
            |heap: &HeapVerdict| heap.evidence.join("\n").contains("2.0 GiB of the limit of 4.0 GiB are used beside");
        assert!(said(&beside) && !said(&alone), "{:?}", beside.evidence);
    }

    #[test]
    fn a_service_whose_earlier_life_leaked_is_suspected_sooner() {
        let folder = tempfile::tempdir().unwrap();
        let life = || {
            let lives = Lives::read(folder.path().join("lives.json"), Some("1.0"));
            let mut collector = collector().with_lives(lives);
            let mut leak = |second| round(&mut collector, second, (64 << 20) + (second << 20), 0).heap.unwrap().leak;
            let seen: Vec<Leak> = (0..240).map(&mut leak).collect();
            seen.iter().position(|leak| *leak == Leak::Suspected).unwrap()
        };
        let (first, second) = (life(), life());
        assert!(second < first * 3 / 4, "after {first} s, then after {second} s");
        let file = || std::fs::read_to_string(folder.path().join("lives.json")).unwrap();
        assert!(file().contains("\"leaking_lives\":2"), "{}", file());
        let mut calm = collector().with_lives(Lives::read(folder.path().join("lives.json"), Some("1.0")));
        (0..120).for_each(|second| drop(round(&mut calm, second, 64 << 20, 0)));
        assert!(file().contains("\"leaking_lives\":0"), "{}", file());
    }

    #[test]
    fn a_cache_of_unknown_bytes_that_fills_is_watched_and_suspected_once_it_is_full() {
        let holding = |entries: fn(u64) -> u64| {
            grown(move |second, families| {
                let title = "products (memory)".to_owned();
                families.cache_entries.push(CacheEntries { title, held: entries(second), limit: 1_000 });
            })
        };
        let fills = holding(|second| 4 * second);
        assert_eq!(fills.leak, Leak::Watching, "{:?}", fills.evidence);
        assert!(fills.evidence.join("\n").contains("the cache products (memory) fills"), "{:?}", fills.evidence);
        let full = holding(|second| (20 * second).min(1_000));
        assert_eq!(full.leak, Leak::Suspected, "{:?}", full.evidence);
    }

    #[test]
    fn a_site_that_grew_when_it_was_last_sampled_is_no_evidence() {
        let site = HeapSite {
            function: "fill".to_owned(),
            growing: true,
            growth_bytes_per_second: Some(1_024.0),
            ..HeapSite::default()
        };
        let sites = |sampling| HeapSites { sampling, sites: vec![site.clone()], ..HeapSites::default() };
        let said = growing_site(&sites(Sampling::Active));
        assert_eq!(said.as_deref(), Some("what fill allocated grows by 3.5 MiB/h"));
        assert_eq!(growing_site(&sites(Sampling::Off)), None);
    }

    #[test]
    fn requests_per_second_are_measured_over_some_seconds() {
        let mut collector = collector();
        assert_eq!(collector.load(Duration::from_secs(10)), None);
        assert_eq!(collector.load(Duration::from_secs(11)), None);
        assert_eq!(collector.load(Duration::from_secs(14)), Some(100.0));
        assert_eq!(collector.load(Duration::from_secs(17)), Some(100.0));
    }
}
