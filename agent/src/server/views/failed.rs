//! The newest failed jobs as a document, page by page. What a job was about is not known here, so it cannot be shown.

use serde_json::{Value, json};

use super::parameters::{BadParameter, Parameters};
use crate::signals::{FAILURES_MAX, FailedJob, Failures, ShortText};

const DEFAULT_LIMIT: usize = 50;

/// The document of failed jobs, the newest first.
///
/// # Errors
/// A parameter that cannot be.
pub(super) fn document(failures: &Failures, parameters: &Parameters) -> Result<Value, BadParameter> {
    let limit = parameters.limit("limit", DEFAULT_LIMIT, FAILURES_MAX)?;
    let queue = parameters.text("queue")?;
    let cursor = match parameters.text("cursor")? {
        None => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| {
            BadParameter(format!("cursor={text:?} is none; use the next_cursor of the page before, or leave it out"))
        })?),
    };
    let page = failures.newest(queue, cursor, limit);
    let next = page.jobs.last().filter(|_| page.more).map(|job| job.number.to_string());
    Ok(json!({
        "schema_version": heartline_shared::snapshot::SCHEMA_VERSION,
        "jobs": page.jobs.iter().map(row).collect::<Vec<_>>(),
        "next_cursor": next,
        "failed_total": page.failed,
        "missed_total": page.missed,
        "kept_limit": FAILURES_MAX,
    }))
}

fn row(job: &FailedJob) -> Value {
    json!({
        "queue": job.queue.as_str(),
        "job": job.job.as_str(),
        "id": job.id.as_ref().map(ShortText::as_str),
        "error_type": job.error_type.as_str(),
        "attempts": job.attempts,
        "failed_at": job.at.to_string(),
        "ts_ms": job.at,
    })
}
