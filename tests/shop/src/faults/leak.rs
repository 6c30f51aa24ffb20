//! The heap-leak fault: sessions that nobody forgets, in small allocations from a named function.

use std::time::Duration;

use super::Faults;

/// How often sessions are added.
const BEAT: Duration = Duration::from_millis(100);
const BEATS_PER_SECOND: u64 = 10;
/// The payload of one session.
const RECORD_BYTES: u64 = 1024;

/// One leaked session.
struct SessionRecord {
    payload: Vec<u8>,
}

/// Adds sessions while the fault is on and drops them all when it goes off.
pub(super) async fn run(faults: Faults) {
    let mut beat = tokio::time::interval(BEAT);
    // as many beats as there were tenths of a second, so that a busy machine leaks as much
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut sessions = Vec::new();
    let mut owed = 0;
    loop {
        beat.tick().await;
        match faults.heap_leak() {
            Some(bytes_per_second) => {
                owed += bytes_per_second;
                let records = owed / BEATS_PER_SECOND / RECORD_BYTES;
                owed -= records * RECORD_BYTES * BEATS_PER_SECOND;
                leak_session_records(&mut sessions, records);
            }
            None if !sessions.is_empty() => {
                let lost: usize = sessions.iter().map(|session: &SessionRecord| session.payload.len()).sum();
                tracing::info!(lost, "the heap leak is switched off, its sessions are dropped");
                sessions = Vec::new();
                owed = 0;
            }
            None => {}
        }
    }
}

/// The call site a heap profile must name.
#[inline(never)]
fn leak_session_records(sessions: &mut Vec<SessionRecord>, records: u64) {
    for number in 0..records {
        // Written through, so that the pages become resident.
        let filler = u8::try_from(number % 251).unwrap_or_default();
        let payload = vec![filler; usize::try_from(RECORD_BYTES).unwrap_or_default()];
        sessions.push(SessionRecord { payload });
    }
}
