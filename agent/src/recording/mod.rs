//! How records get from the threads of the host into compact histograms: appended to a log of the thread, folded a
//! hundred at a time into a store that is shared. What the series mean is not known here.
//!
//! ```text
//!  thread ── push ──▶ Log: two blocks ──┐                    ┌─▶ Store 0: every series' counts
//!  thread ── push ──▶ Log: two blocks ──┴─ full: try a lock ─┴─▶ Store 1..: opened while locks collide
//!                          ▲                                          ▲
//!  reader ── copies what is published ──── folds it ──────────────────┘  then reads series by series
//! ```
//!
//! **Nobody waits for the reader.** It holds one block's lock while it copies at most a block, and a store's lock while
//! it folds a block or reads one series. A thread whose block is full and whose store is taken goes on in its other
//! block; when both are full and every store is taken, it waits for one fold, and another store is opened so that it
//! does not happen again. **Nothing is lost.** A thread that ends leaves its log to the next one; records from
//! destructors of other thread-locals go straight into a store; so do values too large for a log's entry.
//!
//! `log` and `lease` are on the hot path; the rest runs once in some hundreds of records, or on the agent's own thread.

mod budget;
mod counts;
mod lease;
mod log;
#[cfg(all(test, heartline_loom))]
mod models;
mod recent;
mod recorder;
mod series;
mod store;
pub(crate) mod sync;

pub(crate) use budget::Budget;
pub(crate) use lease::{add, record, recorder};
pub(crate) use recent::Recent;
pub(crate) use recorder::Reading;
pub(crate) use series::{SeriesId, Shape, VALUE_MAX};
pub(crate) use store::SLOT_BYTES;
