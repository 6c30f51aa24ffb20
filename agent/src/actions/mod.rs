//! What a person on call may make the service do: handlers by name, one run of each at a time, each run on record. Who may
//! ask and how they ask is not known here.

mod board;
mod request;

pub(crate) use board::{Actions, Ended, Listed, Refused};
pub use request::{ActionError, ActionOutcome, ActionRequest};
