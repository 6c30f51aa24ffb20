//! The one error type of the agent: what was attempted, with what, and what to try.

use std::time::Duration;

/// Why an agent could not be started or stopped as asked. None of these stops the host.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting that cannot work.
    #[error("agent setting {setting} = {value:?}: {reason}")]
    Setting {
        /// The builder method.
        setting: &'static str,
        /// What it was given; never a secret.
        value: String,
        /// Why that cannot work, and what would.
        reason: String,
    },
    /// The agent's own thread could not be started.
    #[error("cannot start the agent's thread: {0}; the process may be out of threads or memory")]
    Thread(#[source] std::io::Error),
    /// The agent did not stop in time; its thread goes on until it is done.
    #[error("the agent did not stop within {0:?}; its thread goes on in the background")]
    Shutdown(Duration),
    /// What the agent knew at its end, or when it was asked to push, did not reach the receiver of metrics.
    #[error("the newest metrics did not arrive: {0}")]
    Flush(String),
    /// Allocations cannot be sampled.
    #[error("cannot sample the heap: {0}")]
    Profile(&'static str),
}
