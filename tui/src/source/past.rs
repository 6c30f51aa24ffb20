//! What a target remembers of the time before it was first polled: the frames of its flight recorder, as documents that
//! can be trusted. What is done with them is not known here.

use heartline_shared::frame::{Replay, Replayed};
use heartline_shared::{Snapshot, UnixMillis};
use tokio::sync::OwnedSemaphorePermit;

use super::document;
use super::outcome::Outcome;

/// How much of the past is asked for: as much as charts show, in seconds for the newest minutes.
pub(super) const QUERIES: [&str; 2] = ["from=-2h&to=-10m&step=10s", "from=-10m&step=1s"];

/// The past of a target.
#[derive(Debug)]
pub struct Past {
    /// The result of the poll before it was asked for: the past ends there.
    pub outcome: Outcome,
    /// The results of the polls since, oldest first: the reader may have taken them in before.
    pub since: Vec<Outcome>,
    /// Frames, the oldest first.
    pub(super) streams: Vec<Vec<u8>>,
    /// As for a document.
    pub(super) series_bytes_max: usize,
    /// Its room; others wait for it.
    pub(super) _permit: OwnedSemaphorePermit,
}

impl Past {
    /// Documents of the past with the time of each by our clock, oldest first, up to the poll that they were asked for
    /// after. Their totals count from where the past begins. Damaged frames are passed over: they leave a gap.
    pub fn documents(&self) -> impl Iterator<Item = (UnixMillis, Snapshot)> + use<'_> {
        let newest = self.outcome.answer.as_ref().ok().map_or(UnixMillis(0), |answer| answer.snapshot.ts_ms);
        let mut replay = Replay::new();
        for stream in &self.streams {
            replay.push(stream);
        }
        replay.finish();
        let states = std::iter::from_fn(move || replay.next_state());
        let snapshots = states.filter_map(|state| match state {
            Replayed::Snapshot(snapshot) => Some(*snapshot),
            Replayed::Damage(_) => None,
        });
        let admitted = snapshots
            .filter(move |snapshot| snapshot.ts_ms <= newest)
            .filter_map(|snapshot| document::admit(snapshot, self.series_bytes_max).ok());
        admitted.map(move |document| {
            let before = newest.since(document.snapshot.ts_ms);
            (self.outcome.at - before, document.snapshot)
        })
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    use std::sync::Arc;

    use heartline_shared::frame::{Coded, Coder};
    use tokio::sync::Semaphore;

    use super::*;

    /// The frames of these documents as a target sends them.
    pub(crate) fn stream(documents: &[Snapshot]) -> Vec<u8> {
        let mut coder = Coder::new(&documents[0], 1 << 20);
        let mut stream = coder.introduction().to_vec();
        for document in documents {
            let Coded { definitions, frame } = coder.frame(document).expect("it is short");
            stream.extend([definitions, frame].concat());
        }
        stream
    }

    /// What a target would have sent that showed these documents, and then gave `outcome`.
    pub(crate) fn past(documents: &[Snapshot], outcome: Outcome) -> Past {
        let permit = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("it is free");
        Past { outcome, since: vec![], streams: vec![stream(documents)], series_bytes_max: 1 << 20, _permit: permit }
    }
}
