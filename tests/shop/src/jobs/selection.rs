//! Jobs that an operator picks out of the store: to run them again, or to throw them away. Active jobs are never among them.

use std::sync::atomic::Ordering;

use sqlx::{QueryBuilder, Sqlite};

use super::QueueName;
use super::board::Jobs;
use crate::clock;

/// Which jobs of a queue.
#[derive(Debug, Clone)]
pub(crate) struct JobSelection {
    /// `waiting`, `delayed` or `failed`.
    pub(crate) state: String,
    /// Only these of them.
    pub(crate) ids: Option<Vec<String>>,
    /// Only those that were due longer ago.
    pub(crate) older_than_seconds: Option<u64>,
    /// At most so many, those that were due first.
    pub(crate) limit: u64,
    /// Change nothing.
    pub(crate) dry_run: bool,
}

impl Jobs {
    /// Makes jobs due now, with all their attempts before them. Returns how many were found and how many changed.
    pub(crate) async fn retry(&self, queue: QueueName, selection: &JobSelection) -> Result<(u64, u64), sqlx::Error> {
        let mut update = QueryBuilder::new("UPDATE Jobs SET status = 'Pending', attempts = 0, run_at = ");
        update
            .push_bind(clock::now_ms() / 1_000)
            .push(", done_at = NULL, lock_by = NULL, lock_at = NULL WHERE id IN (");
        let changed = self.change(queue, selection, update).await?;
        self.lane(queue).bell.notify_one();
        Ok(changed)
    }

    /// Throws jobs away. Returns how many were found and how many are gone.
    pub(crate) async fn clear(&self, queue: QueueName, selection: &JobSelection) -> Result<(u64, u64), sqlx::Error> {
        self.change(queue, selection, QueryBuilder::new("DELETE FROM Jobs WHERE id IN (")).await
    }

    async fn change(
        &self,
        queue: QueueName,
        selection: &JobSelection,
        mut change: QueryBuilder<Sqlite>,
    ) -> Result<(u64, u64), sqlx::Error> {
        let mut count = QueryBuilder::new("SELECT COUNT(*) FROM (");
        chosen(&mut count, queue, selection);
        let found: i64 = count.push(")").build_query_scalar().fetch_one(self.pool()).await?;
        let found = u64::try_from(found).unwrap_or_default();
        if selection.dry_run || found == 0 {
            return Ok((found, 0));
        }
        chosen(&mut change, queue, selection);
        let changed = change.push(")").build().execute(self.pool()).await?.rows_affected();
        if selection.state == "failed" {
            // what the gauge says until the store is counted again
            let failed = &self.lane(queue).depth.failed;
            let fewer = |failed: u64| Some(failed.saturating_sub(changed));
            let _ = failed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
        }
        Ok((found, changed))
    }
}

/// The ids of the selected jobs.
fn chosen(query: &mut QueryBuilder<Sqlite>, queue: QueueName, selection: &JobSelection) {
    let now = clock::now_ms() / 1_000;
    query.push("SELECT id FROM Jobs WHERE job_type = ").push_bind(queue.label());
    match selection.state.as_str() {
        "waiting" => query.push(" AND status = 'Pending' AND run_at <= ").push_bind(now),
        "delayed" => query.push(" AND status = 'Pending' AND run_at > ").push_bind(now),
        _ => query.push(" AND status IN ('Failed', 'Killed')"),
    };
    if let Some(seconds) = selection.older_than_seconds {
        let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
        query.push(" AND run_at < ").push_bind(now.saturating_sub(seconds));
    }
    if let Some(ids) = &selection.ids {
        query.push(" AND id IN (");
        let mut list = query.separated(", ");
        for id in ids {
            list.push_bind(id.clone());
        }
        query.push(")");
    }
    query.push(" ORDER BY run_at LIMIT ").push_bind(i64::try_from(selection.limit).unwrap_or(i64::MAX));
}
