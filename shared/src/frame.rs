//! Snapshots over time as small checksummed frames: the form of the flight recorder, of recordings and of bundles. Where
//! the bytes are kept, and what a clock says, is not known here.
//!
//! # The format, version 1
//! A stream is a sequence of blocks, each found again by its marker when bytes before it are damaged:
//!
//! | bytes | what |
//! |---|---|
//! | 4 | `F1 48 4C 46`, the marker |
//! | 1 | kind: 1 process, 2 series, 3 frame; a reader skips kinds it does not know |
//! | 4 | length of the payload, little endian, at most [`BLOCK_BYTES_MAX`] |
//! | … | payload |
//! | 4 | CRC-32 (IEEE) of kind, length and payload, little endian |
//!
//! Numbers in payloads are varints as protobuf has them; strings are a length and UTF-8. What stands behind the fields
//! named here is of a later version and ignored.
//!
//! * **Process**: format version, service, version, instance, start in milliseconds, boundaries added to the grids. Its
//!   CRC-32 is the *session* that the other blocks name, so that numbers of series never mix between processes.
//! * **Series**: session, first number, how many; then name, unit, kind, help and labels of each. A string is written
//!   once in a block and named by its place after that.
//! * **Frame**: session, flags (1: full), sequence, time, span and uptime (microseconds), how many values; then the
//!   values by ascending number of their series.
//!
//! A frame holds what was counted *during its span*: increases of counters, of bucket counts and of sums, and the levels
//! of the moment. So a lost frame takes only its own span with it. Counters and
//! histograms that counted nothing are left out, unless they are new; a level that is left out is unknown. A *full* frame holds everything since the start of the process instead:
//! where readers of cumulative numbers begin.
//!
//! A value is the gap to the number before, shifted by three, with its form in the low bits: 0 a whole increase (zigzag),
//! 1 an increase as IEEE double, 2 and 3 a level likewise, 4 a histogram. A histogram is the number of its buckets, then
//! for each the gap to the bucket before, shifted by one; the low bit says that its count less two follows and that it is
//! not one; last the sum.
//!
//! ```
//! use heartline_shared::frame::{Decoder, Event, Recording};
//! use heartline_shared::{Snapshot, UnixMillis};
//!
//! let mut recording = Recording::default();
//! let snapshot = Snapshot { service: "shop".to_owned(), ts_ms: UnixMillis(5), ..Snapshot::default() };
//! let mut bytes = recording.append(&snapshot);
//! bytes[20] ^= 1; // a damaged byte
//!
//! let mut decoder = Decoder::new();
//! decoder.push(&bytes);
//! decoder.finish();
//! let events: Vec<Event> = std::iter::from_fn(|| decoder.next_event()).collect();
//! assert!(matches!(&events[..], [Event::Damage(_), Event::Process(_), Event::Frame(_)]), "nothing is lost");
//! ```

mod block;
mod coder;
mod decoder;
mod definition;
mod extras;
mod head;
mod memory;
mod recording;
mod replay;
mod sums;
#[cfg(test)]
mod tests;
mod values;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

pub use block::BLOCK_BYTES_MAX;
pub use coder::{Coded, Coder};
pub use decoder::{DEFINITION_BYTES_MAX, Decoder, SERIES_MAX};
pub use definition::Series;
pub use recording::{FULL_FRAME_EVERY, Recording};
pub use replay::{Replay, Replayed};
pub use sums::Sums;

use crate::buckets::GridKind;
use crate::histogram::Histogram;
use crate::snapshot::{CheckResult, HeapVerdict};
use crate::time::UnixMillis;

/// The media type of a stream of frames.
pub const MEDIA_TYPE: &str = "application/vnd.heartline.frames";
/// The version of the format that this crate writes, and the newest one that it reads.
pub const FORMAT_VERSION: u64 = 1;

/// Names a series within one process, in the order in which they were first seen.
pub type SeriesId = u32;

/// The process whose frames follow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// The service's name.
    pub service: String,
    /// Its version; `None` when it did not say.
    pub version: Option<String>,
    /// Which replica it is.
    pub instance_id: String,
    /// When it started counting.
    pub started_at: UnixMillis,
    /// Boundaries it added to the built-in grids.
    pub extra_boundaries: BTreeMap<GridKind, Vec<u64>>,
}

/// What happened during a span of time, or, if full, since the start of the process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Frame {
    /// Whether counters and histograms hold all since the start of the process rather than what was added in `span`.
    pub full: bool,
    /// The sequence number of the snapshot it was made of.
    pub seq: u64,
    /// When it ends, by the clock of the process.
    pub at: UnixMillis,
    /// How much time it covers, by a clock that does not step.
    pub span: Duration,
    /// How long the process had been up at its end.
    pub uptime: Duration,
    /// Values by ascending series; counters and histograms that counted nothing are left out,
    /// except when they are new.
    pub values: Vec<(SeriesId, Value)>,
    /// Values left out because their series is not known or is of another kind: its definition was damaged.
    pub left_out: u32,
    /// The heap verdict, where the writer kept it.
    pub heap: Option<HeapVerdict>,
    /// Health checks, where the writer kept them.
    pub checks: Vec<CheckResult>,
}

/// What a frame says of one series.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// How much a counter counted.
    Increase(f64),
    /// The value of a gauge or up-down counter at the end of the frame.
    Level(f64),
    /// What a histogram recorded.
    Histogram(Histogram),
}

/// What a decoder came upon.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Frames of this process follow.
    Process(Process),
    /// A frame.
    Frame(Frame),
    /// Bytes that are no block.
    Damage(Damage),
}

/// Bytes that could not be read, and that nothing was taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// Where they begin, from the first byte that was ever pushed.
    pub offset: u64,
    /// How many there are.
    pub bytes: u64,
    /// What is wrong with them.
    pub reason: Reason,
}

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// They are no block, or their checksum is wrong.
    Damaged,
    /// The stream ends inside a block.
    Truncated,
    /// The checksum is right and the content makes no sense.
    Malformed,
    /// A block of a process that was not introduced.
    Orphaned,
    /// More series than a reader keeps.
    TooManySeries,
    /// Written by a later version that this one cannot read.
    Newer,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.reason {
            Reason::Damaged => "are damaged",
            Reason::Truncated => "are the beginning of a frame that was not written to its end",
            Reason::Malformed => "make no sense although their checksum is right; was this written by heartline?",
            Reason::Orphaned => "belong to a process whose introduction is missing",
            Reason::TooManySeries => "define more series than are read",
            Reason::Newer => "were written by a later version of heartline; read them with that one",
        };
        write!(f, "{} bytes at offset {} {what}", self.bytes, self.offset)
    }
}
