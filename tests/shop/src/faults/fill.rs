//! The cache-fill fault: the recommendations cache grows to its limit and then evicts. Memory
//! grows, and it is not a leak.

use std::sync::Arc;
use std::time::Duration;

use heartline::Agent;
use heartline::integrations::ObservedCache;
use moka::future::Cache;

use super::Faults;

/// The most the cache may hold.
const LIMIT_BYTES: u64 = 64 << 20;
/// The size of one set of recommendations.
const ENTRY_BYTES: usize = 16 * 1024;
/// Bookkeeping of one entry, for an honest sum.
const OVERHEAD_BYTES: u32 = 128;
const BEAT: Duration = Duration::from_millis(100);
/// 64 MiB in about 26 seconds.
const ENTRIES_PER_BEAT: u64 = 16;

/// What other shoppers bought: filled by the fault alone, bounded by bytes.
#[derive(Clone)]
pub(crate) struct Recommendations(ObservedCache<u64, Arc<[u8]>>);

impl Recommendations {
    /// An empty cache that the agent knows the limit of.
    pub(crate) fn new(agent: &Agent) -> Self {
        let entries = Cache::builder()
            .max_capacity(LIMIT_BYTES)
            .weigher(|_key: &u64, value: &Arc<[u8]>| u32::try_from(value.len()).unwrap_or(u32::MAX) + OVERHEAD_BYTES)
            .eviction_policy(moka::policy::EvictionPolicy::lru());
        Self(agent.moka("recommendations", "l1").weighed_in_bytes().build(entries))
    }
}

/// Adds entries while the fault is on and empties the cache when it goes off.
pub(super) async fn run(faults: Faults, recommendations: Recommendations) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut next = 0_u64;
    loop {
        beat.tick().await;
        if faults.cache_fill() {
            for _ in 0..ENTRIES_PER_BEAT {
                let filler = u8::try_from(next % 251).unwrap_or_default();
                recommendations.0.insert(next, vec![filler; ENTRY_BYTES].into()).await;
                next += 1;
            }
        } else if recommendations.0.cache().entry_count() > 0 {
            recommendations.0.invalidate_all();
        }
        recommendations.0.cache().run_pending_tasks().await;
    }
}
