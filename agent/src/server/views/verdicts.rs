//! What the figures of a dashboard mean, in plain sentences, the worst first. The figures are not computed here.

use serde_json::{Value, json};

/// Share of requests or queries that failed.
const ERRORS_WARNING: f64 = 0.01;
const ERRORS_CRITICAL: f64 = 0.05;
/// 95th percentile of latency in seconds.
const LATENCY_WARNING: f64 = 0.5;
const LATENCY_CRITICAL: f64 = 1.0;
/// Hits of look-ups, for caches that are asked often enough to tell.
const HITS_WARNING: f64 = 0.5;
const LOOK_UPS_MIN: f64 = 100.0;
/// Share of the memory limit, and of the time that workers are busy.
const USED_WARNING: f64 = 0.8;
const USED_CRITICAL: f64 = 0.95;
/// Jobs of a queue that failed.
const JOBS_WARNING: f64 = 0.05;

/// How bad something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Critical,
    Warning,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
        }
    }

    /// The level of a figure that is bad when it is high.
    fn above(figure: Option<f64>, warning: f64, critical: f64) -> Option<Self> {
        let figure = figure?;
        if figure >= critical { Some(Self::Critical) } else { (figure >= warning).then_some(Self::Warning) }
    }
}

/// Verdicts about a dashboard; one `ok` when there is nothing to say.
pub(super) fn verdicts(dashboard: &Value) -> Vec<Value> {
    let mut found: Vec<(Level, &str, String)> = Vec::new();
    for block in ["requests", "queries"] {
        let of = &dashboard[block];
        let errors = of["error_ratio"].as_f64();
        if let Some(level) = Level::above(errors, ERRORS_WARNING, ERRORS_CRITICAL) {
            found.push((level, block, format!("{} of {block} fail", percent(errors))));
        }
    }
    let p95 = dashboard["requests"]["p95_seconds"].as_f64();
    if let Some(level) = Level::above(p95, LATENCY_WARNING, LATENCY_CRITICAL) {
        found.push((level, "requests", format!("one request in twenty takes {:.2} s or more", p95.unwrap_or(0.0))));
    }
    for pool in rows(dashboard, "pools") {
        let waiting = pool["pending"].as_f64().filter(|pending| *pending > 0.0);
        let full = pool["used"].as_f64().zip(pool["max"].as_f64()).is_some_and(|(used, max)| max > 0.0 && used >= max);
        if let Some(waiting) = waiting.filter(|_| full) {
            let text = format!("pool {}: all connections are in use and {waiting:.0} callers wait", name(pool));
            found.push((Level::Critical, "pools", text));
        }
    }
    for cache in rows(dashboard, "cache_tiers") {
        let asked = cache["requests"].as_f64().is_some_and(|asked| asked >= LOOK_UPS_MIN);
        let hits = cache["hit_ratio"].as_f64().filter(|hits| asked && *hits < HITS_WARNING);
        if hits.is_some() {
            let tier = cache["tier"].as_str().unwrap_or_default();
            found.push((Level::Warning, "caches", format!("cache {} {tier}: only {} hit", name(cache), percent(hits))));
        }
    }
    for queue in rows(dashboard, "queues") {
        let failed = queue["failed_ratio"].as_f64().filter(|failed| *failed >= JOBS_WARNING);
        if failed.is_some() {
            found.push((Level::Warning, "jobs", format!("queue {}: {} of runs fail", name(queue), percent(failed))));
        }
    }
    of_resources(dashboard, &mut found);
    found.sort_by_key(|(level, ..)| *level);
    if found.is_empty() {
        return vec![json!({"level": "ok", "subject": "service", "text": "nothing stands out"})];
    }
    found
        .iter()
        .map(|(level, subject, text)| json!({"level": level.word(), "subject": subject, "text": text}))
        .collect()
}

fn of_resources(dashboard: &Value, found: &mut Vec<(Level, &str, String)>) {
    let memory = &dashboard["memory"];
    let used = memory["used_ratio"].as_f64();
    if let Some(level) = Level::above(used, USED_WARNING, USED_CRITICAL) {
        found.push((level, "memory", format!("{} of the memory limit is in use", percent(used))));
    }
    if memory["leak"] == "suspected" {
        let growth = memory["growth_bytes_per_second"].as_f64().unwrap_or(0.0) * 3_600.0 / 1_048_576.0;
        found.push((Level::Critical, "memory", format!("a leak is suspected, {growth:.1} MiB an hour")));
    }
    let busy = dashboard["runtime"]["utilization_ratio"].as_f64();
    if let Some(level) = Level::above(busy, USED_WARNING, USED_CRITICAL) {
        found.push((level, "runtime", format!("the runtime's workers are busy {} of the time", percent(busy))));
    }
    for check in rows(dashboard, "checks") {
        let level = match (check["status"].as_str(), check["criticality"].as_str()) {
            (Some("fail"), Some("critical")) => Level::Critical,
            (Some("fail" | "warn"), _) => Level::Warning,
            _ => continue,
        };
        let said = check["message"].as_str().unwrap_or("it says nothing");
        found.push((level, "checks", format!("check {}: {said}", name(check))));
    }
}

fn rows<'a>(dashboard: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    dashboard[list].as_array().into_iter().flatten()
}

fn name(row: &Value) -> &str {
    row["name"].as_str().unwrap_or_default()
}

fn percent(ratio: Option<f64>) -> String {
    format!("{:.1} %", ratio.unwrap_or(0.0) * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_says_what_and_how_much() {
        let dashboard = json!({
            "requests": {"error_ratio": 0.02, "p95_seconds": 1.5},
            "queries": {"error_ratio": null},
            "pools": [{"name": "primary", "max": 5, "used": 5, "pending": 7}, {"name": "idle", "max": 5, "used": 1, "pending": 0}],
            "cache_tiers": [{"name": "products", "tier": "l1", "requests": 200, "hit_ratio": 0.25}, {"name": "new", "tier": "l1", "requests": 2, "hit_ratio": 0.0}],
            "queues": [{"name": "email", "failed_ratio": 0.5}],
            "memory": {"used_ratio": 0.97, "leak": "suspected", "growth_bytes_per_second": 1_048_576.0},
            "runtime": null,
            "checks": [{"name": "database", "criticality": "critical", "status": "fail", "message": "refused"}],
        });
        let verdicts = verdicts(&dashboard);
        let texts: Vec<&str> = verdicts.iter().filter_map(|verdict| verdict["text"].as_str()).collect();
        assert_eq!(
            texts,
            [
                "one request in twenty takes 1.50 s or more",
                "pool primary: all connections are in use and 7 callers wait",
                "97.0 % of the memory limit is in use",
                "a leak is suspected, 3600.0 MiB an hour",
                "check database: refused",
                "2.0 % of requests fail",
                "cache products l1: only 25.0 % hit",
                "queue email: 50.0 % of runs fail",
            ]
        );
        assert_eq!((&verdicts[0]["level"], &verdicts[7]["level"]), (&json!("critical"), &json!("warning")));
    }

    #[test]
    fn of_a_calm_service_it_says_so() {
        assert_eq!(verdicts(&json!({}))[0]["level"], "ok");
    }
}
