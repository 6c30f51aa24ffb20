//! The pool-exhaustion fault: tasks that hold every connection in turn. The pool is always full
//! and somebody always waits, but each request gets its turn within a fraction of a second.

use std::time::Duration;

use tokio::task::JoinHandle;

use super::Faults;
use crate::store::{CONNECTIONS_MAX, Database};

/// How long a holder keeps its connection.
const HOLD: Duration = Duration::from_millis(200);
/// Holders beyond the number of connections: they keep the queue non-empty. With sixteen
/// connections a turn comes every 12.5 ms, so eight in front cost a request 100 ms.
const EXTRA_HOLDERS: u32 = 8;
/// How often a holder looks whether the fault is on.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn spawn(faults: &Faults, database: &Database) -> Vec<JoinHandle<()>> {
    let holders = CONNECTIONS_MAX + EXTRA_HOLDERS;
    (0..holders).map(|_| tokio::spawn(hold(faults.clone(), database.clone()))).collect()
}

async fn hold(faults: Faults, database: Database) {
    loop {
        if !faults.pool_exhaustion() {
            tokio::time::sleep(LOOK).await;
        } else if let Err(error) = database.hold_connection(HOLD).await {
            tracing::debug!(%error, "a holder of the pool-exhaustion fault got no connection");
            tokio::time::sleep(LOOK).await;
        }
    }
}
