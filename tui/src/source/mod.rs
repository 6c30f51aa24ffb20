//! Where snapshots come from: agents over HTTP. What they mean is not known here.
//!
//! `target` is what the user names, `token` what opens it, `http` one poll, `known` what need not be sent again, `document` its answer made safe, `past` what it remembers, `traces` what it tells of
//! single requests, `feed` all polls of all targets.

mod document;
mod feed;
mod http;
mod known;
pub mod outcome;
mod past;
mod target;
#[cfg(test)]
mod tests;
mod token;
pub mod traces;

pub use feed::{BACK_OFF_MAX, Feed, Pace};
pub use http::{CONNECT_MAX, DOCUMENT_BYTES_MAX, POLL_MAX};
pub use outcome::{Answer, Failure, Outcome};
pub use past::Past;
#[cfg(test)]
pub(crate) use past::fixture as past_fixture;
pub use target::{DEFAULT_TARGET, Target, TargetError};
pub use token::Tokens;
pub use traces::Traces;
