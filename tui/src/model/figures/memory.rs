//! Where memory is going: the allocator's figures, the limit, and the agent's verdict with its evidence.

use std::time::Duration;

use heartline_shared::snapshot::{HeapSite, HeapSites};

use super::{View, whole};
use crate::model::reading::{CallSite, CallSites, Heap};
use crate::text::Text;

const LIMIT: &str = "heartline.memory.limit";

pub(super) fn compute(view: &View<'_>) -> Heap {
    let bytes = |metric| view.whole_level(metric, &[]);
    let limits = view.rows(LIMIT).filter(|row| row.number() > 0.0);
    let limit = limits.min_by(|a, b| a.number().total_cmp(&b.number()));
    let verdict = view.extras.heap.as_ref();
    let allocated = bytes("jemalloc.allocated");
    Heap {
        jemalloc: verdict.map(|verdict| verdict.jemalloc).or(allocated.map(|_| true)),
        allocated_bytes: allocated.or_else(|| bytes("heartline.heap.live")),
        active_bytes: bytes("jemalloc.active"),
        resident_bytes: bytes("jemalloc.resident"),
        mapped_bytes: bytes("jemalloc.mapped"),
        retained_bytes: bytes("jemalloc.retained"),
        metadata_bytes: bytes("jemalloc.metadata"),
        limit_bytes: limit.as_ref().map(|row| whole(row.number())),
        limit_source: limit.map(|row| row.text("heartline.limit.source")),
        trend: verdict.map(|verdict| verdict.trend).unwrap_or_default(),
        growth_bytes_per_second: verdict.and_then(|verdict| verdict.growth_bytes_per_second),
        leak: verdict.map(|verdict| verdict.leak),
        confidence: view.level("heartline.memory.leak.confidence", &[]),
        seconds_to_limit: verdict
            .and_then(|verdict| verdict.seconds_to_limit)
            .or_else(|| view.level("heartline.memory.time_to_limit", &[])),
        evidence: verdict
            .map(|verdict| verdict.evidence.iter().map(|line| Text::new(line)).collect())
            .unwrap_or_default(),
        sites: verdict.and_then(|verdict| verdict.sites.as_deref()).map(call_sites),
    }
}

fn call_sites(sites: &HeapSites) -> CallSites {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite() && *value >= 0.0);
    let call_site = |site: &HeapSite| CallSite {
        function: Text::new(&site.function),
        place: site.file.as_ref().map(|file| match site.line {
            Some(line) => Text::new(&format!("{file}:{line}")),
            None => Text::new(file),
        }),
        live_bytes: site.live_bytes,
        growth_bytes_per_second: finite(site.growth_bytes_per_second).filter(|_| site.growing),
        share: finite(site.share),
        survival: finite(site.survival),
    };
    CallSites {
        sampling: sites.sampling,
        sampled: Duration::try_from_secs_f64(sites.sampled_seconds).unwrap_or_default(),
        explained: finite(sites.explained),
        notes: sites.notes.iter().map(|note| Text::new(note)).collect(),
        list: sites.sites.iter().map(call_site).collect(),
    }
}
