//! Job queues, from `heartline.job.*`.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Count, Timing, View, span};
use crate::model::reading::Queue;
use crate::text::Text;

const NAME: &str = "queue.name";
const COUNT: &str = "heartline.job.count";
const ENQUEUED: &str = "heartline.job.enqueued";
const COMPLETED: &str = "heartline.job.completed";
const DURATION: &str = "heartline.job.duration";
const WAIT: &str = "heartline.job.wait.duration";
const OLDEST: &str = "heartline.job.oldest_age";
/// The longest time to drain that is worth saying.
const DRAIN_MAX_SECONDS: f64 = 30.0 * 86_400.0;

pub(super) fn compute(view: &View<'_>) -> Vec<Queue> {
    let names: BTreeSet<String> = [COUNT, ENQUEUED, COMPLETED]
        .iter()
        .flat_map(|metric| view.rows(metric))
        .filter_map(|row| row.labels.value(NAME).map(str::to_owned))
        .collect();
    names.iter().map(|name| one_queue(view, name)).collect()
}

fn one_queue(view: &View<'_>, name: &str) -> Queue {
    let state = |state| view.whole_level(COUNT, &[(NAME, name), ("job.state", state)]);
    let ended = |outcome| view.count(COMPLETED, &[(NAME, name), ("job.outcome", outcome)]).unwrap_or_default();
    let (success, failure, dead) = (ended("success"), ended("failure"), ended("dead"));
    let failed = Count { total: failure.total + dead.total, recent: failure.recent + dead.recent };
    let enqueued = view.count(ENQUEUED, &[(NAME, name)]);
    let p95 = |metric| {
        let mut timing = Timing::default();
        view.rows(metric).filter(|row| row.label(NAME) == name).for_each(|row| timing.add(&row));
        view.seconds(&timing.recent, 0.95)
    };
    let waiting = state("waiting");
    let shrinking = success.recent + failed.recent - enqueued.unwrap_or_default().recent;
    Queue {
        name: Text::new(name),
        waiting,
        active: state("active"),
        delayed: state("delayed"),
        retrying: state("retrying"),
        dead: state("failed"),
        paused: state("paused"),
        enqueued: enqueued.map(Count::whole),
        enqueue_rate: enqueued.and_then(|enqueued| view.per_second(enqueued.recent)),
        completed: success.whole(),
        complete_rate: view.per_second(success.recent),
        failed: failed.whole(),
        fail_rate: view.per_second(failed.recent),
        retried: ended("retry").whole(),
        wait_p95_seconds: p95(WAIT),
        run_p95_seconds: p95(DURATION),
        oldest_age: view.level(OLDEST, &[(NAME, name)]).and_then(span),
        drain: drain(waiting, view.per_second(shrinking)),
    }
}

/// How long `waiting` jobs take when the queue shrinks by `pace` jobs a second.
fn drain(waiting: Option<u64>, pace: Option<f64>) -> Option<Duration> {
    let (waiting, pace) = (waiting.filter(|waiting| *waiting > 0)?, pace.filter(|pace| *pace > 0.0)?);
    span(waiting as f64 / pace).filter(|drain| drain.as_secs_f64() < DRAIN_MAX_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_does_not_shrink_has_no_time_to_drain() {
        assert_eq!(drain(Some(100), Some(4.0)), Some(Duration::from_secs(25)));
        for (waiting, pace) in
            [(Some(100), Some(0.0)), (Some(100), Some(-2.0)), (Some(0), Some(4.0)), (None, Some(4.0))]
        {
            assert_eq!(drain(waiting, pace), None);
        }
        assert_eq!(drain(Some(u64::MAX), Some(1e-9)), None);
    }
}
