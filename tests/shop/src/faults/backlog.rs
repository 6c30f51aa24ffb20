//! The queue-backlog fault: a newsletter of two thousand e-mails on slow workers. The backlog is
//! kept at about that size while the fault is on, and drains when it goes off.

use std::sync::Arc;
use std::time::Duration;

use super::Faults;
use crate::jobs::{Email, Jobs, QueueName};

/// E-mails put on the queue when the fault goes on.
const NEWSLETTER: usize = 2_000;
/// Below this the newsletter is topped up: it stays well above the 1,000 that alert.
const LOW: u64 = 1_800;
/// How many at a time.
const TOP_UP: usize = 200;
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(faults: Faults, jobs: Arc<Jobs>) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut sent = false;
    loop {
        look.tick().await;
        if !faults.queue_backlog() {
            sent = false;
            continue;
        }
        let batch = match (sent, jobs.waiting(QueueName::Email) < LOW) {
            (false, _) => NEWSLETTER,
            (true, true) => TOP_UP,
            (true, false) => continue,
        };
        let letters = (0..batch).map(|number| Email::newsletter(i64::try_from(number % 500).unwrap_or_default() + 1));
        match jobs.send_emails(letters.collect()).await {
            Ok(()) => sent = true,
            Err(error) => tracing::warn!(%error, "the newsletter of the queue-backlog fault could not be queued"),
        }
    }
}
