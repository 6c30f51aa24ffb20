//! Job queues, each and together, from `heartline.job.*`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::figures::{Count, View, amount, has, joined, label, ratio, whole, whole_or_null};

const NAME: &str = "queue.name";
const JOBS: &str = "heartline.job.count";
const ENQUEUED: &str = "heartline.job.enqueued";
const COMPLETED: &str = "heartline.job.completed";
const DURATION: &str = "heartline.job.duration";
const WAIT: &str = "heartline.job.wait.duration";
/// The longest time to drain that is worth saying.
const DRAIN_MAX_SECONDS: f64 = 30.0 * 86_400.0;

fn figures(view: &View<'_>, these: &[(&str, &str)]) -> Value {
    let state = |state| view.level(JOBS, &[these, &[("job.state", state)]].concat());
    let ended = |outcome| Count::of(view.count(COMPLETED, &[these, &[("job.outcome", outcome)]].concat()));
    let (completed, failure, dead, retried) = (ended("success"), ended("failure"), ended("dead"), ended("retry"));
    let failed = Count { total: failure.total + dead.total, recent: failure.recent + dead.recent };
    let enqueued = view.count(ENQUEUED, these);
    let waiting = state("waiting");
    let shrinking = completed.recent + failed.recent - Count::of(enqueued).recent;
    let (runs, waits) = (view.timing(DURATION, these), view.timing(WAIT, these));
    let at = |durations: &heartline_shared::Histogram, q| durations.quantile(view.durations(), q);
    json!({
        "waiting": whole_or_null(waiting),
        "active": whole_or_null(state("active")),
        "delayed": whole_or_null(state("delayed")),
        "retrying": whole_or_null(state("retrying")),
        "dead": whole_or_null(state("failed")),
        "paused": whole_or_null(state("paused")),
        "enqueued_total": enqueued.map(|enqueued| whole(enqueued.total)),
        "enqueued_per_second": enqueued.and_then(|enqueued| view.per_second(enqueued.recent)),
        "completed_total": whole(completed.total),
        "completed": whole(completed.recent),
        "completed_per_second": view.per_second(completed.recent),
        "failed_total": whole(failed.total),
        "failed": whole(failed.recent),
        "failed_per_second": view.per_second(failed.recent),
        "failed_ratio": ratio(failed.recent, completed.recent + failed.recent + retried.recent),
        "retried_total": whole(retried.total),
        "retried": whole(retried.recent),
        "wait_p95_seconds": at(&waits, 0.95),
        "p50_seconds": at(&runs, 0.5),
        "p95_seconds": at(&runs, 0.95),
        "p99_seconds": at(&runs, 0.99),
        "drain_seconds": drain(waiting, view.per_second(shrinking)),
    })
}

/// How long what waits takes when it shrinks by `pace` a second; `None` when nothing waits or it does not shrink.
fn drain(waiting: Option<f64>, pace: Option<f64>) -> Option<f64> {
    let (waiting, pace) = (waiting.filter(|waiting| *waiting > 0.0)?, pace.filter(|pace| *pace > 0.0)?);
    Some(waiting / pace).filter(|seconds| *seconds < DRAIN_MAX_SECONDS)
}

/// All queues together; `null` when the service has none.
pub(super) fn block(view: &View<'_>) -> Value {
    if names(view).is_empty() { Value::Null } else { figures(view, &[]) }
}

/// Each queue.
pub(super) fn each(view: &View<'_>) -> Vec<Value> {
    let queue = |name: &&str| {
        let this = [(NAME, *name)];
        let mut by_error: BTreeMap<&str, u64> = BTreeMap::new();
        for (labels, value) in view.recents(COMPLETED).filter(|(labels, _)| has(labels, &this)) {
            let error = label(labels, "error.type");
            if !error.is_empty() && amount(value) > 0.0 {
                *by_error.entry(error).or_default() += whole(amount(value));
            }
        }
        let named = json!({
            "name": name,
            "oldest_age_seconds": view.level("heartline.job.oldest_age", &this),
            "by_error": by_error,
        });
        joined(named, figures(view, &this))
    };
    names(view).iter().map(queue).collect()
}

fn names<'a>(view: &View<'a>) -> BTreeSet<&'a str> {
    let metrics = [JOBS, ENQUEUED, COMPLETED];
    metrics.iter().flat_map(|metric| view.totals(metric)).filter_map(|(labels, _)| labels.value(NAME)).collect()
}

/// The document of queues.
pub(super) fn document(view: &View<'_>) -> Value {
    joined(view.heading(), json!({"summary": block(view), "queues": each(view)}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_does_not_shrink_has_no_time_to_drain() {
        assert_eq!(drain(Some(100.0), Some(4.0)), Some(25.0));
        for (waiting, pace) in
            [(Some(100.0), Some(0.0)), (Some(100.0), Some(-1.0)), (Some(0.0), Some(4.0)), (None, None)]
        {
            assert_eq!(drain(waiting, pace), None);
        }
    }
}
