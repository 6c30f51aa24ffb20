//! The small documents beside the snapshot: health in its forms, the metric catalogue, facts about the build.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use heartline_shared::catalog::{self, Aggregation, Kind, METRICS};
use heartline_shared::snapshot::{CheckResult, CheckStatus, Criticality, Family, SCHEMA_VERSION};
use heartline_shared::{Snapshot, UnixMillis};
use serde_json::{Value, json};

use crate::signals::Overall;

/// The media type of the draft health format of Inadarei.
pub(super) const HEALTH_JSON: &str = "application/health+json";

/// `GET /health`: how the service stands, without the name of any dependency.
pub(super) fn health(snapshot: &Snapshot, overall: Overall) -> Value {
    let status = match overall {
        Overall::Healthy => "healthy",
        Overall::Degraded => "degraded",
        Overall::Unhealthy => "unhealthy",
    };
    json!({
        "status": status,
        "timestamp": snapshot.timestamp,
        "ts_ms": snapshot.ts_ms,
        "uptime_seconds": snapshot.uptime_seconds,
        "version": snapshot.version,
    })
}

/// `GET /health` for a client that accepts [`HEALTH_JSON`].
pub(super) fn health_draft(snapshot: &Snapshot, overall: Overall) -> Value {
    let status = match overall {
        Overall::Healthy => "pass",
        Overall::Degraded => "warn",
        Overall::Unhealthy => "fail",
    };
    let mut document = json!({"status": status, "serviceId": snapshot.service, "links": {"self": "/health"}});
    if let Some(version) = &snapshot.version {
        document["releaseId"] = version.as_str().into();
    }
    document
}

/// Which checks a Kubernetes-style probe asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    /// Alive: no check counts.
    Live,
    /// Ready for traffic: no critical check fails, and each has run.
    Ready,
    /// Started: each check has run once.
    Startup,
}

/// What a probe is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ProbeAnswer {
    pub(super) passes: bool,
    /// One line a check, for those who may know their names.
    pub(super) list: String,
}

/// Answers a probe, leaving out the checks named in `exclude`.
pub(super) fn probe(probe: Probe, checks: &[CheckResult], exclude: &BTreeSet<String>) -> ProbeAnswer {
    let mut answer = ProbeAnswer { passes: true, list: String::new() };
    for check in checks.iter().filter(|_| probe != Probe::Live) {
        if exclude.contains(&check.name) {
            let _ = writeln!(answer.list, "[+]{} excluded: ok", check.name);
            continue;
        }
        let critical = check.criticality == Criticality::Critical;
        let passes = match check.status {
            None => !critical && probe != Probe::Startup,
            Some(status) => !(critical && probe == Probe::Ready && status == CheckStatus::Fail),
        };
        answer.passes &= passes;
        let said = match (check.status, &check.message) {
            (None, _) => "has not run yet".to_owned(),
            (Some(CheckStatus::Pass), None) => "ok".to_owned(),
            (Some(status), message) => {
                let word = match status {
                    CheckStatus::Pass => "ok",
                    CheckStatus::Warn => "warns",
                    CheckStatus::Fail => "fails",
                };
                message.as_ref().map_or_else(|| word.to_owned(), |message| format!("{word}: {}", one_line(message)))
            }
        };
        let sign = if passes { '+' } else { '-' };
        let _ = writeln!(answer.list, "[{sign}]{} {said}", check.name);
    }
    answer.list.push_str(if answer.passes { "ok\n" } else { "failed\n" });
    answer
}

fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// `GET /api/v1/catalogue`: every built-in metric, and those the service added.
pub(super) fn catalogue(snapshot: &Snapshot) -> Value {
    let built_in = METRICS.iter().map(|metric| {
        let mut row = serde_json::to_value(metric).unwrap_or_default();
        row["prometheus_name"] = metric.prometheus_name().into();
        row["custom"] = false.into();
        row
    });
    let custom = snapshot.metrics.iter().filter(|family| catalog::find(&family.name).is_none()).map(custom_row);
    json!({"schema_version": SCHEMA_VERSION, "metrics": built_in.chain(custom).collect::<Vec<_>>()})
}

fn custom_row(family: &Family) -> Value {
    let numbers = family.numbers.iter().map(|series| &series.labels);
    let histograms = family.histograms.iter().map(|series| &series.labels);
    let attributes: BTreeSet<&str> =
        numbers.chain(histograms).flat_map(|labels| labels.iter().map(|(name, _)| name)).collect();
    let aggregation = if family.kind == Kind::Gauge { Aggregation::Avg } else { Aggregation::Sum };
    let boundaries = match family.kind {
        Kind::Histogram => catalog::custom_boundaries(&family.unit),
        _ => &[],
    };
    json!({
        "name": family.name,
        "prometheus_name": catalog::prometheus_name(&family.name, &family.unit, family.kind),
        "kind": family.kind,
        "unit": family.unit,
        "help": family.help(),
        "attributes": attributes,
        "aggregation": aggregation,
        "boundaries": boundaries,
        "custom": true,
    })
}

/// `GET /api/v1/info`: what runs here. Nothing of its environment, arguments or configuration.
pub(super) fn info(snapshot: &Snapshot) -> Value {
    let features: Vec<&str> = [
        ("apalis", cfg!(feature = "apalis")),
        ("axum", cfg!(feature = "axum")),
        ("cpu-profile", cfg!(feature = "cpu-profile")),
        ("jemalloc", cfg!(feature = "jemalloc")),
        ("moka", cfg!(feature = "moka")),
        ("opentelemetry_sdk", cfg!(feature = "opentelemetry_sdk")),
        ("otlp", cfg!(feature = "otlp")),
        ("redis", cfg!(feature = "redis")),
        ("sqlx", cfg!(feature = "sqlx")),
        ("system", cfg!(feature = "system")),
        ("tls", cfg!(feature = "tls")),
        ("tower", cfg!(feature = "tower")),
        ("tracing", cfg!(feature = "tracing")),
        ("tracing-opentelemetry", cfg!(feature = "tracing-opentelemetry")),
        ("zstd", cfg!(feature = "zstd")),
    ]
    .into_iter()
    .filter_map(|(name, on)| on.then_some(name))
    .collect();
    let started_at_ms: UnixMillis = snapshot.started_at_ms;
    json!({
        "schema_version": SCHEMA_VERSION,
        "service": snapshot.service,
        "version": snapshot.version,
        "instance_id": snapshot.instance_id,
        "started_at": snapshot.started_at,
        "started_at_ms": started_at_ms,
        "uptime_seconds": snapshot.uptime_seconds,
        "agent": {"name": "heartline", "version": env!("CARGO_PKG_VERSION"), "features": features},
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "process_id": std::process::id(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, criticality: Criticality, status: Option<CheckStatus>) -> CheckResult {
        let message = status.filter(|status| *status == CheckStatus::Fail).map(|_| "connection\nrefused".to_owned());
        CheckResult { name: name.to_owned(), criticality, status, latency_seconds: None, checked_at_ms: None, message }
    }

    #[test]
    fn a_failing_critical_check_ends_readiness_but_never_liveness() {
        let checks = [
            check("database", Criticality::Critical, Some(CheckStatus::Fail)),
            check("mail", Criticality::NonCritical, Some(CheckStatus::Fail)),
        ];
        let none = BTreeSet::new();
        let ready = probe(Probe::Ready, &checks, &none);
        assert_eq!(
            ready,
            ProbeAnswer {
                passes: false,
                list: "[-]database fails: connection refused\n[+]mail fails: connection refused\nfailed\n".to_owned(),
            }
        );
        assert_eq!(probe(Probe::Live, &checks, &none), ProbeAnswer { passes: true, list: "ok\n".to_owned() });
        assert!(probe(Probe::Startup, &checks, &none).passes, "each has run");
        assert!(probe(Probe::Ready, &checks, &BTreeSet::from(["database".to_owned()])).passes);
    }

    #[test]
    fn a_service_is_neither_ready_nor_started_before_its_critical_checks_ran() {
        let checks = [check("database", Criticality::Critical, None)];
        assert!(!probe(Probe::Ready, &checks, &BTreeSet::new()).passes);
        assert!(!probe(Probe::Startup, &checks, &BTreeSet::new()).passes);
    }

    #[test]
    fn health_names_no_dependency_and_unknown_is_null() {
        let checks = vec![check("secret-database", Criticality::Critical, Some(CheckStatus::Fail))];
        let snapshot = Snapshot { service: "shop".to_owned(), checks, ..Snapshot::default() };
        let document = health(&snapshot, Overall::Unhealthy);
        assert_eq!(document["status"], "unhealthy");
        assert!(document["version"].is_null());
        assert_eq!(health_draft(&snapshot, Overall::Unhealthy)["status"], "fail");
        assert!(!format!("{document}{}", health_draft(&snapshot, Overall::Degraded)).contains("secret"));
    }

    #[test]
    fn the_catalogue_lists_built_in_metrics_and_those_of_the_service() {
        let custom = Family {
            name: "orders.placed".into(),
            kind: Kind::Counter,
            unit: "{order}".into(),
            help: Some("Orders.".into()),
            numbers: vec![],
            histograms: vec![],
        };
        let document = catalogue(&Snapshot { metrics: vec![custom], ..Snapshot::default() });
        let rows = document["metrics"].as_array().unwrap();
        assert_eq!(rows.len(), METRICS.len() + 1);
        let requests = rows.iter().find(|row| row["name"] == "http.server.request.duration").unwrap();
        assert_eq!(requests["prometheus_name"], "http_server_request_duration_seconds");
        assert_eq!(requests["kind"], "histogram");
        assert_eq!(requests["boundaries"].as_array().unwrap().len(), 16);
        let orders = rows.last().unwrap();
        assert_eq!((&orders["prometheus_name"], &orders["custom"]), (&json!("orders_placed_total"), &json!(true)));
    }
}
