//! Samples the heap once a round: allocator statistics, the detector's verdict, and the metrics of both.

use std::time::Duration;

use heartline_shared::Labels;
use heartline_shared::snapshot::{HeapVerdict, Leak};

use super::trend::{Detector, Sample};
use crate::snapshot::{Collector, Families, Tick};

/// Reads jemalloc, if the program runs on it, and judges the floor of memory. Runs after the collectors of caches and
/// of the process, whose figures it uses.
pub(crate) struct HeapCollector {
    detector: Detector,
    /// Asked on the agent's thread, once.
    jemalloc: Option<bool>,
}

impl HeapCollector {
    /// A collector that suspects a leak after growth has lasted `patience`.
    pub(crate) fn new(patience: Duration) -> Self {
        Self { detector: Detector::new(patience), jemalloc: None }
    }

    /// Adds the allocator's statistics and returns what is allocated; `None` without jemalloc.
    #[cfg(feature = "jemalloc")]
    fn allocated(&mut self, into: &mut Families) -> Option<f64> {
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
        Some(statistics.allocated as f64)
    }

    #[cfg(not(feature = "jemalloc"))]
    fn allocated(&mut self, _into: &mut Families) -> Option<f64> {
        self.jemalloc = Some(false);
        None
    }
}

impl Collector for HeapCollector {
    fn collect(&mut self, into: &mut Families, now: Tick) {
        let allocated = self.allocated(into);
        let resident = into.sum("process.memory.usage");
        if let Some(used) = allocated.or(resident) {
            let (cached, limit) = (into.cached_bytes as f64, into.sum("heartline.memory.limit"));
            self.detector.observe(now.mono, Sample { used, cached, resident, limit });
        }
        let verdict = self.detector.verdict().clone();
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
        });
    }
}

#[cfg(test)]
mod tests {
    use heartline_shared::UnixMillis;
    use heartline_shared::snapshot::Trend;

    use super::*;

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

    #[test]
    fn without_jemalloc_resident_memory_is_judged() {
        let mut collector = HeapCollector { jemalloc: Some(false), ..HeapCollector::new(Duration::from_mins(1)) };
        let mut families = round(&mut collector, 0, 64 << 20, 0);
        assert_eq!(families.heap.as_ref().unwrap().trend, Trend::Unknown);
        for second in 1..240 {
            families = round(&mut collector, second, (64 << 20) + (second << 20), 0);
        }
        let heap = families.heap.clone().unwrap();
        assert_eq!((heap.leak, heap.trend, heap.jemalloc), (Leak::Suspected, Trend::Growing, false));
        assert!((heap.growth_bytes_per_second.unwrap() - 1_048_576.0).abs() < 1.0);
        assert_eq!(families.sum("heartline.memory.leak.suspected"), Some(1.0));
        let left = families.sum("heartline.memory.time_to_limit").unwrap();
        assert!((left - 721.0).abs() < 5.0, "1 GiB less 64 MiB less 239 MiB at 1 MiB/s: {left}");
    }

    #[test]
    fn what_registered_caches_hold_is_no_leak() {
        let mut collector = HeapCollector { jemalloc: Some(false), ..HeapCollector::new(Duration::from_mins(1)) };
        for second in 0..240 {
            let families = round(&mut collector, second, (64 << 20) + (second << 20), second << 20);
            assert_eq!(families.heap.unwrap().leak, Leak::None, "second {second}");
        }
    }
}
