//! heartline's recording path beside every peer that installs: who is measured and how; the bench `peers` prints it.
//!
//! Every subject does the same: it takes a duration, of one series or of 64, by a handle that was resolved before or by
//! three labels, thread-safe, so that it can be exported. Peers with explicit buckets all get the same 16 boundaries and
//! floats that are converted already, which flatters them.

pub mod asking;
pub mod callgrind;
pub mod fixture;
pub mod growing;
pub mod ours;
pub mod peers;
pub mod rendering;
pub mod service;
pub mod subject;
pub mod table;
pub mod timing;
