//! Counts what is in the store once a second, and throws finished jobs away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use heartline::QueueStatus;

use super::QueueName;
use super::board::{Depth, Jobs};
use crate::clock;

const COUNT_EVERY: Duration = Duration::from_secs(1);
/// Finished jobs are kept this long, for a look into the file.
const KEEP_FINISHED_SECONDS: i64 = 60;
/// Every so many counts finished jobs are thrown away.
const SWEEP_EVERY: u32 = 10;

#[derive(sqlx::FromRow)]
struct Row {
    job_type: String,
    waiting: i64,
    delayed: i64,
    failed: i64,
    oldest: Option<i64>,
}

impl Depth {
    pub(super) fn status(&self) -> QueueStatus {
        let read = |count: &std::sync::atomic::AtomicU64| Some(count.load(Ordering::Relaxed));
        QueueStatus {
            waiting: read(&self.waiting),
            active: read(&self.active),
            delayed: read(&self.delayed),
            retrying: read(&self.retrying),
            failed: read(&self.failed),
            paused: None,
            oldest_age: Some(Duration::from_secs(self.oldest_age_seconds.load(Ordering::Relaxed))),
        }
    }
}

/// Counts until aborted.
pub(super) async fn run(jobs: Jobs) {
    let mut tick = tokio::time::interval(COUNT_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for round in 0_u32.. {
        tick.tick().await;
        if let Err(error) = count(&jobs).await {
            tracing::warn!(%error, "the queues could not be counted");
        }
        if round % SWEEP_EVERY == 0 {
            sweep(&jobs).await;
        }
    }
}

async fn count(jobs: &Jobs) -> Result<(), sqlx::Error> {
    const SQL: &str = "SELECT job_type, \
         SUM(CASE WHEN status = 'Queued' OR (status = 'Pending' AND run_at <= $1) THEN 1 ELSE 0 END) AS waiting, \
         SUM(CASE WHEN status = 'Pending' AND run_at > $1 THEN 1 ELSE 0 END) AS delayed, \
         SUM(CASE WHEN status IN ('Failed', 'Killed') THEN 1 ELSE 0 END) AS failed, \
         MIN(CASE WHEN status = 'Queued' OR (status = 'Pending' AND run_at <= $1) THEN run_at END) AS oldest \
         FROM Jobs WHERE status IN ('Pending', 'Queued', 'Failed', 'Killed') GROUP BY job_type";
    let now = clock::now_ms() / 1_000;
    let rows: Vec<Row> = sqlx::query_as(SQL).bind(now).fetch_all(jobs.pool()).await?;
    for queue in QueueName::ALL {
        let depth = &jobs.lane(queue).depth;
        let row = rows.iter().find(|row| row.job_type == queue.label());
        let set = |count: &std::sync::atomic::AtomicU64, value: Option<i64>| {
            count.store(value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default(), Ordering::Relaxed);
        };
        set(&depth.waiting, row.map(|row| row.waiting));
        set(&depth.delayed, row.map(|row| row.delayed));
        set(&depth.failed, row.map(|row| row.failed));
        set(&depth.oldest_age_seconds, row.and_then(|row| row.oldest).map(|oldest| now - oldest));
    }
    Ok(())
}

async fn sweep(jobs: &Jobs) {
    let before = clock::now_ms() / 1_000 - KEEP_FINISHED_SECONDS;
    let swept =
        sqlx::query("DELETE FROM Jobs WHERE status = 'Done' AND done_at < $1").bind(before).execute(jobs.pool()).await;
    if let Err(error) = swept {
        tracing::debug!(%error, "finished jobs could not be thrown away; the next round tries again");
    }
}
