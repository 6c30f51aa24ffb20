//! What the agent says about the heap, for the service and for people: a reading of a snapshot, nothing measured here.

use std::fmt;

use heartline_shared::Snapshot;
use heartline_shared::snapshot::{HeapSite, HeapSites, HeapVerdict, Leak, Trend};

/// Figures and verdict of the heap at one moment. Unknown is `None`: without jemalloc, all sizes but RSS and limit.
///
/// Its `Display` is a report for people.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct HeapReport {
    /// Whether jemalloc is the allocator of the program; `None` until the sampler has run once.
    pub jemalloc: Option<bool>,
    /// Bytes the program allocated and has not freed.
    pub allocated_bytes: Option<u64>,
    /// Bytes in pages that hold allocations.
    pub active_bytes: Option<u64>,
    /// Bytes jemalloc keeps in physical memory.
    pub resident_bytes: Option<u64>,
    /// Bytes of address space kept but not mapped.
    pub retained_bytes: Option<u64>,
    /// Bytes of the allocator's own bookkeeping.
    pub metadata_bytes: Option<u64>,
    /// Resident memory of the whole process.
    pub rss_bytes: Option<u64>,
    /// Memory the process may use.
    pub limit_bytes: Option<u64>,
    /// Who sets that limit: `cgroup`, `rlimit`, `host` or `config`.
    pub limit_source: Option<String>,
    /// Direction of the memory floor.
    pub trend: Trend,
    /// Robust slope of the floor.
    pub growth_bytes_per_second: Option<f64>,
    /// Interval of the slope.
    pub growth_interval: Option<[f64; 2]>,
    /// The verdict.
    pub leak: Leak,
    /// How sure the verdict is, from 0 to 1: see [`LeakVerdict`](crate::LeakVerdict::confidence). 0 unless something is
    /// watched or suspected; `None` until the sampler has run once.
    pub confidence: Option<f64>,
    /// Time to the limit at this growth; `None` when not growing or when the fit is poor.
    pub seconds_to_limit: Option<f64>,
    /// Interval of the time to the limit; four in five should hold the truth.
    pub seconds_to_limit_interval: Option<[f64; 2]>,
    /// Why the verdict is what it is.
    pub evidence: Vec<String>,
    /// Call sites that hold memory and those that grow; `None` until the sampler has run once.
    pub sites: Option<Box<HeapSites>>,
}

impl HeapReport {
    /// The report that a snapshot supports.
    pub fn of(snapshot: &Snapshot) -> Self {
        let bytes = |metric: &str| {
            let family = snapshot.family(metric)?;
            let value = family.numbers.iter().map(|series| series.value).fold(f64::NAN, f64::max);
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "byte counts, checked")]
            (value.is_finite() && value >= 0.0).then_some(value as u64)
        };
        let largest = |metric: &str| {
            let series = snapshot.family(metric).map(|family| family.numbers.iter());
            series.into_iter().flatten().max_by(|a, b| a.value.total_cmp(&b.value))
        };
        let limit_source = largest("heartline.memory.limit").and_then(|it| it.labels.value("heartline.limit.source"));
        let verdict = snapshot.heap.clone();
        let of_verdict = |take: fn(&HeapVerdict) -> Option<f64>| verdict.as_ref().and_then(take);
        Self {
            jemalloc: verdict.as_ref().map(|verdict| verdict.jemalloc),
            allocated_bytes: bytes("jemalloc.allocated"),
            active_bytes: bytes("jemalloc.active"),
            resident_bytes: bytes("jemalloc.resident"),
            retained_bytes: bytes("jemalloc.retained"),
            metadata_bytes: bytes("jemalloc.metadata"),
            rss_bytes: bytes("process.memory.usage"),
            limit_bytes: bytes("heartline.memory.limit"),
            limit_source: limit_source.map(str::to_owned),
            confidence: largest("heartline.memory.leak.confidence").map(|it| it.value),
            growth_bytes_per_second: of_verdict(|verdict| verdict.growth_bytes_per_second),
            seconds_to_limit: of_verdict(|verdict| verdict.seconds_to_limit),
            growth_interval: verdict.as_ref().and_then(|verdict| verdict.growth_interval),
            seconds_to_limit_interval: verdict.as_ref().and_then(|verdict| verdict.seconds_to_limit_interval),
            trend: verdict.as_ref().map_or(Trend::Unknown, |verdict| verdict.trend),
            leak: verdict.as_ref().map_or(Leak::None, |verdict| verdict.leak),
            sites: verdict.as_ref().and_then(|verdict| verdict.sites.clone()),
            evidence: verdict.map(|verdict| verdict.evidence).unwrap_or_default(),
        }
    }
}

impl fmt::Display for HeapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let leak = match self.leak {
            Leak::None => "no leak",
            Leak::Watching => "growth that is being watched",
            Leak::Suspected => "LEAK SUSPECTED",
        };
        let trend = match self.trend {
            Trend::Stable => "stable",
            Trend::Growing => "growing",
            Trend::Shrinking => "shrinking",
            Trend::Unknown => "not known yet",
        };
        write!(f, "heap: {leak}, trend {trend}")?;
        // of nothing there is nothing to be sure
        let confidence = self.confidence.filter(|_| self.leak != Leak::None);
        confidence.map_or(Ok(()), |sure| write!(f, ", confidence {:.0} %", sure * 100.0))?;
        writeln!(f)?;
        if let Some(jemalloc) = self.jemalloc {
            writeln!(f, "  allocator {}", if jemalloc { "jemalloc" } else { "another than jemalloc" })?;
        }
        self.write_sizes(f)?;
        self.write_outlook(f)?;
        self.evidence.iter().try_for_each(|sentence| writeln!(f, "  - {sentence}"))?;
        let Some(known) = &self.sites else { return Ok(()) };
        if !known.sites.is_empty() {
            writeln!(f, "  call sites, sampled for {:.0} s:", known.sampled_seconds)?;
            known.sites.iter().try_for_each(|site| write_site(f, site))?;
        }
        known.notes.iter().try_for_each(|note| writeln!(f, "  - {note}"))
    }
}

impl HeapReport {
    fn write_sizes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes = [
            ("allocated", self.allocated_bytes),
            ("active", self.active_bytes),
            ("resident", self.resident_bytes),
            ("retained", self.retained_bytes),
            ("metadata", self.metadata_bytes),
            ("rss", self.rss_bytes),
            ("limit", self.limit_bytes),
        ];
        for (name, bytes) in sizes {
            let Some(bytes) = bytes else { continue };
            write!(f, "  {name:<9} {:>10.1} MiB", bytes as f64 / MIB)?;
            let source = self.limit_source.as_ref().filter(|_| name == "limit");
            writeln!(f, "{}", source.map(|source| format!("  ({source})")).unwrap_or_default())?;
        }
        Ok(())
    }

    /// Where it is going.
    fn write_outlook(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(growth) = self.growth_bytes_per_second {
            write!(f, "  growth    {:>10.2} MiB/h", growth * 3_600.0 / MIB)?;
            let [low, high] = self.growth_interval.unwrap_or_default().map(|growth| growth * 3_600.0 / MIB);
            let interval = self.growth_interval.map(|_| format!("  ({low:.2} to {high:.2})")).unwrap_or_default();
            writeln!(f, "{interval}")?;
        }
        if let Some(seconds) = self.seconds_to_limit {
            write!(f, "  limit in  {:>10.1} h", seconds / 3_600.0)?;
            let [low, high] = self.seconds_to_limit_interval.unwrap_or_default().map(|seconds| seconds / 3_600.0);
            let interval = self.seconds_to_limit_interval.map(|_| format!("  ({low:.1} to {high:.1})"));
            writeln!(f, "{}", interval.unwrap_or_default())?;
        }
        Ok(())
    }
}

fn write_site(f: &mut fmt::Formatter<'_>, site: &HeapSite) -> fmt::Result {
    write!(f, "    {:>8.1} MiB  {}", site.live_bytes as f64 / MIB, site.function)?;
    if let (Some(file), Some(line)) = (&site.file, site.line) {
        write!(f, " {file}:{line}")?;
    }
    if let Some(growth) = site.growth_bytes_per_second {
        write!(f, "  grows by {:.2} MiB/h", growth * 3_600.0 / MIB)?;
    }
    if let Some(share) = site.share {
        write!(f, ", {:.0} % of the growth", share * 100.0)?;
    }
    if let Some(survival) = site.survival {
        write!(f, "  {:.0} % stays", survival * 100.0)?;
    }
    writeln!(f)
}

const MIB: f64 = 1_048_576.0;

#[cfg(test)]
mod tests {
    use heartline_shared::Labels;

    use super::*;

    #[test]
    fn says_what_it_knows_and_leaves_out_what_it_does_not() {
        let report = HeapReport {
            jemalloc: Some(true),
            allocated_bytes: Some(64 << 20),
            limit_bytes: Some(1 << 30),
            limit_source: Some("cgroup".to_owned()),
            confidence: Some(0.876),
            leak: Leak::Suspected,
            trend: Trend::Growing,
            growth_bytes_per_second: Some(1_048_576.0 / 3_600.0),
            growth_interval: Some([0.75, 1.25].map(|share| share * MIB / 3_600.0)),
            seconds_to_limit: Some(7_200.0),
            seconds_to_limit_interval: Some([3_600.0, 14_400.0]),
            evidence: vec!["the floor rose in each of 9 intervals".to_owned()],
            sites: Some(Box::new(HeapSites {
                sampled_seconds: 60.0,
                notes: vec!["the growing sites add up to 50 % of the growth".to_owned()],
                sites: vec![HeapSite {
                    function: "fill".to_owned(),
                    file: Some("shop/src/main.rs".to_owned()),
                    line: Some(7),
                    live_bytes: 3 << 20,
                    growing: true,
                    growth_bytes_per_second: Some(MIB / 7_200.0),
                    share: Some(0.5),
                    survival: Some(0.99),
                    ..HeapSite::default()
                }],
                ..HeapSites::default()
            })),
            ..HeapReport::default()
        };
        let text = report.to_string();
        assert_eq!(
            text,
            "heap: LEAK SUSPECTED, trend growing, confidence 88 %\n  allocator jemalloc\n  allocated       64.0 MiB\n  limit         1024.0 MiB  (cgroup)\n  growth          1.00 MiB/h  (0.75 to 1.25)\n  limit in         2.0 h  (1.0 to 4.0)\n  - the floor rose in each of 9 intervals\n  call sites, sampled for 60 s:\n         3.0 MiB  fill shop/src/main.rs:7  grows by 0.50 MiB/h, 50 % of the growth  99 % stays\n  - the growing sites add up to 50 % of the growth\n"
        );
    }

    #[test]
    fn why_there_are_no_call_sites_is_said_and_no_list_is_announced() {
        let note = "the program is stripped, so that nothing is known by name".to_owned();
        let sites = HeapSites { notes: vec![note], ..HeapSites::default() };
        let calm = HeapReport {
            jemalloc: Some(false),
            confidence: Some(0.0),
            sites: Some(Box::new(sites)),
            ..HeapReport::default()
        };
        assert_eq!(
            calm.to_string(),
            "heap: no leak, trend not known yet\n  allocator another than jemalloc\n  - the program is stripped, so that nothing is known by name\n"
        );
    }

    #[test]
    fn who_sets_the_limit_and_how_sure_the_verdict_is_are_read_from_the_snapshot() {
        let mut families = crate::snapshot::Families::default();
        let limit = Labels::from_pairs([("heartline.limit.source", "rlimit")]);
        families.integer("heartline.memory.limit", limit, 1 << 30);
        families.number("heartline.memory.leak.confidence", Labels::empty(), 0.5);
        let report = HeapReport::of(&Snapshot { metrics: families.into_sorted(), ..Snapshot::default() });
        let read = (report.limit_bytes, report.limit_source.as_deref(), report.confidence, report.jemalloc);
        assert_eq!(read, (Some(1 << 30), Some("rlimit"), Some(0.5), None));
    }

    #[test]
    fn an_empty_snapshot_gives_a_report_of_unknowns() {
        assert_eq!(HeapReport::of(&Snapshot::default()), HeapReport::default());
    }
}
