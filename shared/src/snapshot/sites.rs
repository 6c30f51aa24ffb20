//! Which call sites hold memory and which of them grow, as the wire has it; how that was measured is not known here.

use serde::{Deserialize, Serialize};

/// Call sites that an agent sends at most.
pub const HEAP_SITES_MAX: usize = 12;

/// What sampling of the allocator says about call sites. All figures are estimates from samples, without bias.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapSites {
    /// Whether allocations are sampled now.
    pub sampling: Sampling,
    /// What limits these figures, one plain sentence each: why there are none, or what they do not explain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Mean bytes between two samples; absent while nothing was sampled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_bytes: Option<u64>,
    /// For how long allocations have been sampled; figures are about what was allocated in this time. 0 before.
    #[serde(default)]
    pub sampled_seconds: f64,
    /// Growth of all that is allocated over the same time, to compare with; absent until enough was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_bytes_per_second: Option<f64>,
    /// Growth of the sites that grow over growth of all, 1 when they explain it exactly; absent when nothing grows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explained: Option<f64>,
    /// At most [`HEAP_SITES_MAX`]: those that grow, the fastest first, then those that hold most.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sites: Vec<HeapSite>,
}

/// One call site: the innermost frame of the service's own code.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HeapSite {
    /// The function, without type parameters of the compiler's own making.
    pub function: String,
    /// Its source file from the package's folder on; absent without line tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The line; absent without line tables.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// Bytes it allocated while sampled and that are not freed.
    pub live_bytes: u64,
    /// Whether these bytes grow, beyond what samples leave uncertain.
    #[serde(default)]
    pub growing: bool,
    /// How fast they grow; absent unless `growing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_bytes_per_second: Option<f64>,
    /// Interval of the growth, low and high; nine in ten should hold the truth.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth_interval: Option<[f64; 2]>,
    /// Its growth over the growth of all that is allocated; absent unless both grow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The share of its bytes that were still there after a while without new samples: near 1 for a leak, falling to
    /// 0 for what is merely in use. Absent until that was tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub survival: Option<f64>,
}

/// Whether allocations are sampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// They are.
    Active,
    /// They cannot be; the notes say why.
    Unavailable,
    /// They could be, and are not.
    #[default]
    #[serde(other)]
    Off,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_not_on_the_wire_and_an_unknown_state_is_off() {
        let wire = serde_json::to_string(&HeapSites { sampling: Sampling::Active, ..HeapSites::default() }).unwrap();
        assert_eq!(wire, r#"{"sampling":"active","sampled_seconds":0.0}"#);
        let read: HeapSites = serde_json::from_str(r#"{"sampling":"invented later","new":1}"#).unwrap();
        assert_eq!(read, HeapSites::default());
        let site: HeapSite = serde_json::from_str(r#"{"function":"fill","live_bytes":7}"#).unwrap();
        assert_eq!(site, HeapSite { function: "fill".to_owned(), live_bytes: 7, ..HeapSite::default() });
    }
}
