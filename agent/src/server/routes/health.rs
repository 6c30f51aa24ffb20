//! `/health/detailed`: how the service stands, with its memory, database, caches, queues, errors and every check. For those
//! who may read; what anyone may know is in `basics`.

use http::StatusCode;
use serde_json::{Map, Value, json};

use heartline_shared::Snapshot;
use heartline_shared::snapshot::{CheckResult, CheckStatus};

use crate::server::answer::{Body, JSON};
use crate::server::documents::{self, HEALTH_JSON};
use crate::server::payload::Answer;
use crate::server::route::{Call, Credential, Document, Handler, Route, Verb};
use crate::signals::Overall;

pub(super) const ROUTES: &[Route] = &[Route {
    verb: Verb::Get,
    path: "/health/detailed",
    aliases: &[],
    credential: Credential::Read,
    parameters: &[],
    body: None,
    about: "How the service stands, with every check.",
    documents: &[
        Document { status: 200, content_type: JSON, about: "Healthy or degraded.", schema: detailed_schema },
        Document { status: 200, content_type: HEALTH_JSON, about: "On request.", schema: draft_schema },
        Document { status: 503, content_type: JSON, about: "Unhealthy.", schema: detailed_schema },
        Document { status: 503, content_type: HEALTH_JSON, about: "On request.", schema: draft_schema },
    ],
    problems: &[],
    handler: Handler::Now(|call| Ok(detailed(call))),
}];

fn detailed(call: &Call) -> Answer {
    let overall = call.state.fresh.source().overall();
    let status = if overall == Overall::Unhealthy { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let snapshot = &call.rendered().snapshot;
    let (content_type, document) = if call.accepts(HEALTH_JSON) {
        (HEALTH_JSON, draft(snapshot, overall))
    } else {
        (JSON, plain(snapshot, overall))
    };
    call.asked().document(status, content_type, &Body::new(document.to_string()))
}

fn plain(snapshot: &Snapshot, overall: Overall) -> Value {
    let mut document = documents::health(snapshot, overall);
    let used = sum(snapshot, "process.memory.usage", &[]);
    let total = sum(snapshot, "heartline.memory.limit", &[]);
    let both = used.zip(total).filter(|(_, total)| *total > 0.0);
    document["memory"] = json!({
        "used_bytes": used,
        "total_bytes": total,
        "free_bytes": both.map(|(used, total)| (total - used).max(0.0)),
        "percentage": both.map(|(used, total)| 100.0 * used / total),
    });
    let connections = |state| sum(snapshot, "db.client.connection.count", &[("db.client.connection.state", state)]);
    document["database"] = dependency(snapshot, &["database", "db", "postgres", "postgresql"]);
    document["database"]["connections"] = json!({
        "used": connections("used"),
        "idle": connections("idle"),
        "max": sum(snapshot, "db.client.connection.max", &[]),
    });
    let asked = |result| sum(snapshot, "heartline.cache.requests", &[("cache.result", result)]);
    let hit_ratio = asked("hit").zip(asked("miss")).filter(|(hits, misses)| hits + misses > 0.0);
    document["cache"] = dependency(snapshot, &["cache", "redis"]);
    document["cache"]["hit_ratio"] = json!(hit_ratio.map(|(hits, misses)| hits / (hits + misses)));
    let jobs = |state| sum(snapshot, "heartline.job.count", &[("job.state", state)]);
    document["queue"] = json!({"waiting": jobs("waiting"), "active": jobs("active"), "failed": jobs("failed")});
    document["errors"] = errors(snapshot);
    document["checks"] = snapshot.checks.iter().map(|check| row(snapshot, check)).collect();
    document
}

fn draft(snapshot: &Snapshot, overall: Overall) -> Value {
    let mut document = documents::health_draft(snapshot, overall);
    document["version"] = "1".into();
    document["links"] = json!({"self": "/health/detailed", "metrics": "/metrics"});
    let mut checks = Map::new();
    for check in &snapshot.checks {
        let mut row = json!({"status": check.status, "componentId": check.name});
        if let Some(seconds) = check.latency_seconds {
            row["observedValue"] = seconds.into();
            row["observedUnit"] = "s".into();
        }
        if let Some(at) = check.checked_at_ms {
            row["time"] = at.to_string().into();
        }
        if let Some(message) = &check.message {
            row["output"] = message.as_str().into();
        }
        checks.insert(format!("{}:responseTime", check.name), json!([row]));
    }
    for (name, row) in observed(snapshot) {
        if let Some(rows) = checks.entry(name).or_insert_with(|| json!([])).as_array_mut() {
            rows.push(row);
        }
    }
    document["checks"] = checks.into();
    document
}

const POOL: &str = "db.client.connection.pool.name";

/// What is measured beside the checks: how full memory is, and each pool of connections. Such a row stands as the built-in
/// check of its kind does, which for pools is said of the one that it names.
fn observed(snapshot: &Snapshot) -> Vec<(&'static str, Value)> {
    let check = |name: &str| snapshot.checks.iter().find(|check| check.name == name);
    let ratio = |used: Option<f64>, all: Option<f64>| Some(used? / all.filter(|all| *all > 0.0)?);
    let time = snapshot.ts_ms.to_string();
    let row = |status: Option<CheckStatus>, kind: &str, value: f64| {
        let status = status.unwrap_or(CheckStatus::Pass);
        json!({"status": status, "componentType": kind, "observedValue": value, "observedUnit": "ratio", "time": &time})
    };
    let memory = ratio(sum(snapshot, "process.memory.usage", &[]), sum(snapshot, "heartline.memory.limit", &[]));
    let status = check("memory").and_then(|check| check.status);
    let mut rows: Vec<_> = memory.map(|used| ("memory:utilization", row(status, "system", used))).into_iter().collect();
    let pools = snapshot.family("db.client.connection.max").map_or(&[][..], |family| &family.numbers);
    for (pool, max) in pools.iter().filter_map(|series| Some((series.labels.value(POOL)?, series.value))) {
        let labels = [(POOL, pool), ("db.client.connection.state", "used")];
        let Some(used) = sum(snapshot, "db.client.connection.count", &labels).filter(|_| max > 0.0) else { continue };
        let named = |message: &String| message.starts_with(&format!("pool {pool}:"));
        let status = check("pool").filter(|check| check.message.as_ref().is_some_and(named)).and_then(|it| it.status);
        let mut row = row(status, "datastore", used / max);
        (row["componentId"], row["output"]) = (pool.into(), format!("{used} of {max} connections used").into());
        rows.push(("db:connections", row));
    }
    rows
}

/// Whether the first check of one of these names passes, and how long it took; unknown without such a check.
fn dependency(snapshot: &Snapshot, names: &[&str]) -> Value {
    let check = snapshot.checks.iter().find(|check| names.contains(&check.name.as_str()));
    let connected = check.and_then(|check| check.status).map(|status| status != CheckStatus::Fail);
    json!({"connected": connected, "latency_seconds": check.and_then(|check| check.latency_seconds)})
}

/// Requests that failed since the start, and their share of all.
fn errors(snapshot: &Snapshot) -> Value {
    let series = snapshot.family("http.server.request.duration").map_or(&[][..], |family| &family.histograms);
    let count = |failed: bool| -> u64 {
        let counted = series.iter().filter(|series| !failed || series.labels.value("error.type").is_some());
        counted.map(|series| series.histogram.count).sum()
    };
    let (failed, all) = (count(true), count(false));
    json!({"count": failed, "rate": (all > 0).then(|| failed as f64 / all as f64)})
}

fn row(snapshot: &Snapshot, check: &CheckResult) -> Value {
    let age = check.checked_at_ms.map(|at| snapshot.ts_ms.0.saturating_sub(at.0) as f64 / 1e3);
    json!({
        "name": check.name,
        "criticality": check.criticality,
        "status": check.status,
        "latency_seconds": check.latency_seconds,
        "age_seconds": age,
        "message": check.message,
    })
}

/// The sum of the series of a metric with these labels; `None` when there is none.
fn sum(snapshot: &Snapshot, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let series = snapshot.family(metric)?.numbers.iter();
    let matching = series.filter(|series| labels.iter().all(|(name, value)| series.labels.value(name) == Some(*value)));
    matching.map(|series| series.value).reduce(|a, b| a + b)
}

fn detailed_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status", "timestamp", "ts_ms", "uptime_seconds", "version", "memory", "database", "cache", "queue", "errors", "checks"],
        "properties": {
            "status": {"type": "string", "enum": ["healthy", "degraded", "unhealthy"]},
            "errors": {
                "type": "object",
                "required": ["count", "rate"],
                "description": "Requests that failed since the start, and their share of all.",
            },
            "checks": {"type": "array", "items": {
                "type": "object",
                "required": ["name", "criticality", "status", "latency_seconds", "age_seconds", "message"],
            }},
        },
    })
}

fn draft_schema() -> Value {
    json!({
        "type": "object",
        "required": ["status", "checks"],
        "properties": {"status": {"type": "string", "enum": ["pass", "warn", "fail"]}, "checks": {"type": "object"}},
    })
}

#[cfg(test)]
mod tests {
    use heartline_shared::snapshot::Criticality;
    use heartline_shared::{Labels, UnixMillis};

    use super::*;

    #[test]
    fn every_check_is_listed_with_its_age_and_what_is_unknown_is_null() {
        let check = CheckResult {
            name: "database".to_owned(),
            criticality: Criticality::Critical,
            status: Some(CheckStatus::Fail),
            latency_seconds: Some(0.25),
            checked_at_ms: Some(UnixMillis(1_000)),
            message: Some("connection refused".to_owned()),
        };
        let snapshot = Snapshot { ts_ms: UnixMillis(3_500), checks: vec![check], ..Snapshot::default() };
        let document = plain(&snapshot, Overall::Unhealthy);
        assert_eq!((&document["status"], &document["database"]["connected"]), (&json!("unhealthy"), &json!(false)));
        assert_eq!(document["checks"][0]["age_seconds"], 2.5);
        assert!(document["memory"]["percentage"].is_null() && document["cache"]["hit_ratio"].is_null());
        assert!(document["errors"]["rate"].is_null());
        let draft = draft(&snapshot, Overall::Unhealthy);
        assert_eq!(draft["checks"]["database:responseTime"][0]["output"], "connection refused");
        assert!(draft["checks"].as_object().unwrap().len() == 1, "nothing else is known: {draft}");
    }

    #[test]
    fn how_full_memory_and_each_pool_are_stands_beside_the_checks() {
        let mut families = crate::snapshot::Families::default();
        families.number("process.memory.usage", Labels::empty(), 41.0);
        families.number("heartline.memory.limit", Labels::empty(), 100.0);
        for (pool, used) in [("main", 43.0), ("reports", 5.0)] {
            let pool = ("db.client.connection.pool.name", pool);
            families.number("db.client.connection.max", Labels::from_pairs([pool]), 50.0);
            let state = |state| Labels::from_pairs([pool, ("db.client.connection.state", state)]);
            families.number("db.client.connection.count", state("used"), used);
            families.number("db.client.connection.count", state("idle"), 1.0);
        }
        let check = |name: &str, message: &str| CheckResult {
            name: name.to_owned(),
            criticality: Criticality::NonCritical,
            status: Some(CheckStatus::Warn),
            latency_seconds: None,
            checked_at_ms: None,
            message: Some(message.to_owned()),
        };
        let checks = vec![check("pool", "pool main: 43 of 50 connections are used")];
        let snapshot = Snapshot { metrics: families.into_sorted(), checks, ..Snapshot::default() };
        let document = draft(&snapshot, Overall::Degraded);
        let memory = &document["checks"]["memory:utilization"][0];
        assert_eq!((&memory["status"], &memory["observedValue"]), (&json!("pass"), &json!(0.41)));
        let pools = document["checks"]["db:connections"].as_array().unwrap();
        let shown: Vec<_> = pools.iter().map(|row| (&row["componentId"], &row["status"], &row["output"])).collect();
        let expected = [("main", "warn", "43 of 50 connections used"), ("reports", "pass", "5 of 50 connections used")];
        assert_eq!(shown.len(), 2);
        for ((id, status, output), expected) in shown.into_iter().zip(expected) {
            assert_eq!((id, status, output), (&json!(expected.0), &json!(expected.1), &json!(expected.2)));
        }
    }
}
