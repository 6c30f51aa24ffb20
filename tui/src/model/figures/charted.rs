//! Which figures of a reading are kept over time, and how they fold.

use crate::model::chart::Chart;
use crate::model::history::Fold;
use crate::model::reading::TargetReading;

/// The points that `reading` adds to the charts; what is unknown adds none.
pub(in crate::model) fn charted(reading: &TargetReading) -> Vec<(Chart, Fold, f64)> {
    let whole = |number: Option<u64>| number.map(|number| number as f64);
    let (requests, queries, heap) = (&reading.requests, &reading.queries, &reading.heap);
    let runtime = reading.runtime.as_ref();
    let mut points = vec![
        (Chart::RequestRate, Fold::Mean, requests.rate),
        (Chart::RequestErrorRatio, Fold::Mean, requests.error_ratio),
        (Chart::RequestCancelledRate, Fold::Mean, requests.cancelled_rate),
        (Chart::RequestP50, Fold::Max, requests.p50_seconds),
        (Chart::RequestP95, Fold::Max, requests.p95_seconds),
        (Chart::RequestP99, Fold::Max, requests.p99_seconds),
        (Chart::RequestsInFlight, Fold::Mean, whole(requests.in_flight)),
        (Chart::QueryRate, Fold::Mean, queries.rate),
        (Chart::QueryErrorRatio, Fold::Mean, queries.error_ratio),
        (Chart::QueryP95, Fold::Max, queries.p95_seconds),
        (Chart::HeapAllocated, Fold::Mean, whole(heap.allocated_bytes)),
        (Chart::HeapResident, Fold::Mean, whole(heap.resident_bytes)),
        (Chart::ProcessRss, Fold::Mean, whole(reading.process.rss_bytes)),
        (Chart::ProcessCpu, Fold::Mean, reading.process.cpu_ratio),
        (Chart::RuntimeUtilization, Fold::Mean, runtime.and_then(|runtime| runtime.utilization)),
        (Chart::RuntimeScheduleDelayP99, Fold::Max, runtime.and_then(|runtime| runtime.schedule_delay_p99_seconds)),
        (Chart::RuntimeTasks, Fold::Mean, runtime.and_then(|runtime| whole(runtime.tasks))),
        (Chart::PollSeconds, Fold::Max, reading.poll.took.map(|took| took.as_secs_f64())),
    ];
    for pool in &reading.pools {
        points.push((Chart::PoolUsed(pool.name.clone()), Fold::Mean, whole(pool.used)));
        points.push((Chart::PoolPending(pool.name.clone()), Fold::Max, whole(pool.pending)));
    }
    for cache in &reading.caches {
        let chart = Chart::CacheHitRatio { name: cache.name.clone(), tier: cache.tier.clone() };
        points.push((chart, Fold::Mean, cache.hit_ratio));
    }
    for queue in &reading.queues {
        points.push((Chart::QueueWaiting(queue.name.clone()), Fold::Mean, whole(queue.waiting)));
        points.push((Chart::QueueActive(queue.name.clone()), Fold::Mean, whole(queue.active)));
        points.push((Chart::QueueCompletedRate(queue.name.clone()), Fold::Mean, queue.complete_rate));
    }
    points.into_iter().filter_map(|(chart, fold, value)| Some((chart, fold, value?))).collect()
}
