//! The queue-backlog fault: a newsletter of two thousand e-mails on slow workers. The backlog is
//! kept at about that size while the fault is on, and drains when it goes off.

use std::sync::Arc;
use std::time::Duration;

use super::Faults;
use crate::jobs::{Email, Jobs, QueueName};

/// E-mails put on the queue once the fault is on.
const NEWSLETTER: usize = 2_000;
/// Below this the newsletter is topped up: it stays well above the 1,000 that alert.
const LOW: u64 = 1_800;
/// How many at a time: a larger transaction would hold up the jobs of orders.
const BATCH: usize = 200;
/// The pace of the first letters.
const FIRST_LETTERS: Duration = Duration::from_millis(200);
/// How often the queue is looked at: it is counted once a second.
const LOOK: Duration = Duration::from_secs(2);

pub(super) async fn run(faults: Faults, jobs: Arc<Jobs>) {
    let mut sent = 0;
    loop {
        tokio::time::sleep(if sent < NEWSLETTER { FIRST_LETTERS } else { LOOK }).await;
        if !faults.queue_backlog() {
            sent = 0;
            continue;
        }
        if sent >= NEWSLETTER && jobs.waiting(QueueName::Email) >= LOW {
            continue;
        }
        let letters = (0..BATCH).map(|number| Email::newsletter(i64::try_from(number).unwrap_or_default() + 1));
        match jobs.send_emails(letters.collect()).await {
            Ok(()) => sent += BATCH,
            Err(error) => tracing::warn!(%error, "the newsletter of the queue-backlog fault could not be queued"),
        }
    }
}
