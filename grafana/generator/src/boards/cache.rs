//! Do the caches spare the database, and what do they throw away?

use crate::board::Board;
use crate::panel::Panel;
use crate::template::{quantile, share};
use crate::variable::Variable;

const REQUESTS: &str = "heartline_cache_requests_total";
const ANSWERED: &str = r#"heartline_cache_requests_total{cache_result=~"hit|stale"}"#;
const BY: &str = "cache_name, cache_tier";
const FULL: &str = "sum by (cache_name, cache_tier) (heartline_cache_size_bytes) / sum by (cache_name, cache_tier) (heartline_cache_limit_bytes)";

pub(super) fn board() -> Board {
    Board::new("heartline-cache", "Cache", "Do the caches spare the database, and what do they throw away?")
        .variable(Variable::of_label("cache", "cache_name", REQUESTS))
        .variable(Variable::of_label("tier", "cache_tier", REQUESTS))
        .stats(stats())
        .row("Hits", hits())
        .row("Contents", contents())
        .folded("How long operations take", durations())
}

fn stats() -> Vec<Panel> {
    let errors = share(r#"heartline_cache_requests_total{cache_result="error"}"#, REQUESTS, "");
    vec![
        Panel::stat("Hit ratio", "Share of look-ups the chosen caches answered.", share(ANSWERED, REQUESTS, ""))
            .alert("CacheHitRatio"),
        Panel::stat(
            "Worst",
            "The cache and tier with the lowest ratio; the table names it.",
            format!("min({})", share(ANSWERED, REQUESTS, BY)),
        )
        .alert("CacheHitRatio"),
        Panel::stat("Look-ups", "Look-ups per second.", format!("sum(rate({REQUESTS}))")),
        Panel::stat(
            "Errors",
            "Share of look-ups that failed: the tier is away and the next one carries its load.",
            errors,
        ),
        Panel::stat("Evictions", "Entries that left per second.", "sum(rate(heartline_cache_evictions_total))"),
        Panel::stat("Held", "Bytes in the chosen caches.", "sum(heartline_cache_size_bytes)"),
        Panel::stat("Fullest", "Share of its limit that the fullest cache uses.", format!("max({FULL})"))
            .alert("CacheFull"),
    ]
}

fn hits() -> Vec<Panel> {
    vec![
        Panel::table("Caches", "One row a cache and tier. A low ratio with many evictions by size: too small. With many by expiry: too short-lived.")
            .trend("Look-ups", format!("sum by ({BY}) (rate({REQUESTS}))"))
            .query("Hit ratio", share(ANSWERED, REQUESTS, BY))
            .column_alert("CacheHitRatio")
            .query("Entries", format!("sum by ({BY}) (heartline_cache_entry_count)"))
            .query("Bytes", format!("sum by ({BY}) (heartline_cache_size_bytes)"))
            .query("Full", FULL)
            .column_alert("CacheFull")
            .query("Evictions", format!("sum by ({BY}) (rate(heartline_cache_evictions_total))"))
            .sorted_by("Look-ups"),
        Panel::lines("Hit ratio", "By cache and tier. A sudden fall: an invalidation or a restart; a slow one: the working set outgrew the cache.")
            .query("{{cache_name}} {{cache_tier}}", share(ANSWERED, REQUESTS, BY))
            .alert("CacheHitRatio")
            .between(0.0, 1.0),
        Panel::stack("Look-ups by result", "Hits, misses, stale answers, errors. Misses go to the next tier or the database.")
            .query("{{cache_result}}", format!("sum by (cache_result) (rate({REQUESTS}))")),
    ]
}

fn contents() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Evictions by reason",
            "By size: enlarge it. Expired: the time to live. Explicit: invalidations. Replaced: rewritten entries.",
        )
        .query(
            "{{cache_eviction_reason}} {{cache_name}}",
            "sum by (cache_name, cache_eviction_reason) (rate(heartline_cache_evictions_total))",
        )
        .from_zero(),
        Panel::lines("Writes", "Entries written per second. More writes than misses: something refreshes too eagerly.")
            .query("{{cache_name}} {{cache_tier}}", format!("sum by ({BY}) (rate(heartline_cache_writes_total))"))
            .from_zero(),
        Panel::lines("Bytes and limits", "Bytes held against the limit.")
            .query("{{cache_name}} {{cache_tier}}", format!("sum by ({BY}) (heartline_cache_size_bytes)"))
            .query("{{cache_name}} {{cache_tier}} limit", format!("sum by ({BY}) (heartline_cache_limit_bytes)"))
            .from_zero(),
        Panel::lines("Entries", "Entries held. Falling to zero: the tier was emptied.")
            .query("{{cache_name}} {{cache_tier}}", format!("sum by ({BY}) (heartline_cache_entry_count)"))
            .from_zero(),
    ]
}

fn durations() -> Vec<Panel> {
    const DURATION: &str = "heartline_cache_operation_duration_seconds";
    vec![
        Panel::lines(
            "p95 by operation",
            "How long operations of remote tiers take. A cache as slow as the database is of no use.",
        )
        .query(
            "{{cache_operation}} {{cache_name}} {{cache_tier}}",
            quantile(0.95, DURATION, "cache_name, cache_tier, cache_operation"),
        )
        .from_zero(),
        Panel::heatmap("Distribution", "How many operations took how long.", DURATION),
    ]
}
