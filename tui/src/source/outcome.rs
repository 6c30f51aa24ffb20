//! What one poll of one target gave: a document that can be trusted, or why there is none.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::{Snapshot, UnixMillis};

use crate::text::Text;

/// The result of one poll.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Which target, by its place in the list of targets.
    pub target: usize,
    /// Increases with each poll of the target; a result that arrives after a later one is not merged.
    pub generation: u64,
    /// When the answer was complete, or the poll failed, by our clock.
    pub at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The answer.
    pub answer: Result<Answer, Failure>,
}

/// A document of a target, validated and sanitised.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The document; every string in it is safe to print.
    pub snapshot: Arc<Snapshot>,
    /// How many bytes it had, decoded.
    pub bytes: u64,
    /// How many of its series were left out because it had too many.
    pub series_left_out: u64,
}

/// Why a poll gave no document, in words for the user: what was attempted, and what to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure(Text);

impl Failure {
    /// A failure with this explanation.
    pub fn new(explanation: &str) -> Self {
        Self(Text::new(explanation))
    }

    /// The explanation.
    pub fn explanation(&self) -> &Text {
        &self.0
    }
}
