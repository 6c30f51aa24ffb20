//! What to append to a recording for each snapshot, so that a byte damaged later loses one frame at most. Where the
//! recording is kept is not known here.

use super::coder::Coder;
use crate::snapshot::Snapshot;

/// A full frame is written after so many others: a reader that lost one is exact again from there on.
pub const FULL_FRAME_EVERY: u32 = 300;
/// Definitions of one process that a recording may hold, in bytes.
const DEFINITION_BYTES_MAX: usize = 32 << 20;

/// The writer of a recording: the processes of one target, one after the other.
///
/// What later frames cannot do without, the introduction of a process and the definitions of its series, is written twice.
#[derive(Debug, Default)]
pub struct Recording {
    coder: Option<Coder>,
    since_full: u32,
}

impl Recording {
    /// The bytes to append for `snapshot`: whole blocks, to be written at once. Empty when they would be longer than a
    /// block may be, or when the snapshot is the same or older than the one before.
    pub fn append(&mut self, snapshot: &Snapshot) -> Vec<u8> {
        let mut bytes = Vec::new();
        let known = self.coder.take_if(|coder| coder.continues(snapshot));
        let is_new = known.is_none();
        let mut coder = known.unwrap_or_else(|| Coder::new(snapshot, DEFINITION_BYTES_MAX));
        if is_new {
            bytes.extend_from_slice(coder.introduction());
            bytes.extend_from_slice(coder.introduction());
        }
        // a process that is met under way has no frame that says what it counted before, only the full one
        let change = coder.frame_with_extras(snapshot);
        let definitions = change.as_ref().map(|change| change.definitions.clone()).unwrap_or_default();
        bytes.extend_from_slice(&definitions);
        bytes.extend_from_slice(&definitions);
        if let Some(change) = change.filter(|_| !is_new) {
            bytes.extend_from_slice(&change.frame);
            self.since_full += 1;
        }
        if is_new || self.since_full >= FULL_FRAME_EVERY {
            let full = coder.full_frame(snapshot).map(|full| full.frame);
            bytes.extend_from_slice(&full.unwrap_or_default());
            self.since_full = 0;
        }
        self.coder = Some(coder);
        bytes
    }
}
