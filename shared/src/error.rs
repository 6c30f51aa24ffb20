//! The one error type of this crate; it knows what was attempted and what would work instead.

/// What this crate refuses, with the value it refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A histogram boundary that the grid cannot hold.
    #[error("boundary {boundary} does not fit the {grid} grid: {reason}")]
    Boundary {
        /// The grid that was to hold it.
        grid: &'static str,
        /// The boundary, in the grid's integer resolution.
        boundary: u64,
        /// Why it does not fit, and what would.
        reason: &'static str,
    },
    /// A snapshot that contradicts itself.
    #[error("the snapshot is not usable: {0}")]
    Snapshot(String),
}
