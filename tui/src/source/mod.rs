//! Where snapshots come from: agents over HTTP. What they mean is not known here.

pub mod outcome;

pub use outcome::{Answer, Failure, Outcome};
