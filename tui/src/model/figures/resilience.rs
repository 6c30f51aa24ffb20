//! Circuit breakers and health checks.

use std::collections::BTreeSet;

use super::{Timing, View, ratio};
use crate::model::reading::{Breaker, BreakerState, HealthCheck};
use crate::text::Text;

const NAME: &str = "circuit_breaker.name";
const STATUS: &str = "heartline.circuit_breaker.status";
const CALLS: &str = "heartline.circuit_breaker.calls";
const DURATION: &str = "heartline.circuit_breaker.call.duration";

pub(super) fn breakers(view: &View<'_>) -> Vec<Breaker> {
    let names: BTreeSet<String> = [STATUS, CALLS]
        .iter()
        .flat_map(|metric| view.rows(metric))
        .filter_map(|row| row.labels.value(NAME).map(str::to_owned))
        .collect();
    names.iter().map(|name| one_breaker(view, name)).collect()
}

fn one_breaker(view: &View<'_>, name: &str) -> Breaker {
    let stands =
        |state| view.level(STATUS, &[(NAME, name), ("circuit_breaker.state", state)]).is_some_and(|on| on > 0.5);
    let states =
        [("open", BreakerState::Open), ("half_open", BreakerState::HalfOpen), ("closed", BreakerState::Closed)];
    let calls = |outcome| view.count(CALLS, &[(NAME, name), ("circuit_breaker.outcome", outcome)]).unwrap_or_default();
    let (success, failure) = (calls("success"), calls("failure"));
    let (ignored, rejected) = (calls("ignored"), calls("rejected"));
    let all = success.recent + failure.recent + ignored.recent + rejected.recent;
    let mut timing = Timing::default();
    view.rows(DURATION).filter(|row| row.label(NAME) == name).for_each(|row| timing.add(&row));
    Breaker {
        name: Text::new(name),
        state: states.into_iter().find(|(state, _)| stands(state)).map(|(_, state)| state),
        success: success.whole(),
        failure: failure.whole(),
        ignored: ignored.whole(),
        rejected: rejected.whole(),
        rate: view.per_second(all),
        failure_ratio: ratio(failure.recent + rejected.recent, all),
        p95_seconds: view.seconds(&timing.recent, 0.95),
    }
}

pub(super) fn checks(view: &View<'_>) -> Vec<HealthCheck> {
    let current = view.extras.checks.iter().map(|check| HealthCheck {
        name: Text::new(&check.name),
        criticality: check.criticality,
        status: check.status,
        latency_seconds: check.latency_seconds.filter(|seconds| seconds.is_finite()),
        age: check.checked_at_ms.map(|at| view.extras.written_at.since(at)),
        message: check.message.as_deref().map(Text::new),
    });
    let mut checks: Vec<HealthCheck> = current.collect();
    checks.sort_by(|a, b| a.name.cmp(&b.name));
    checks
}
