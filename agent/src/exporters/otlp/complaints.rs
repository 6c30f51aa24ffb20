//! What an exporter logs of its failures: when they begin, once an hour while they last, and their end.

use std::time::Duration;

use super::outcome::Failure;

/// A failure that lasts is logged as often.
const LOG_INTERVAL: Duration = Duration::from_hours(1);

/// The failures of one exporter.
#[derive(Debug)]
pub(super) struct Complaints {
    /// What is pushed.
    what: &'static str,
    endpoint: String,
    failing: bool,
    logged: Option<Duration>,
}

impl Complaints {
    pub(super) fn new(what: &'static str, endpoint: String) -> Self {
        Self { what, endpoint, failing: false, logged: None }
    }

    /// What became of a push at `now`.
    pub(super) fn log(&mut self, failure: Option<&Failure>, now: Duration) {
        let (what, endpoint) = (self.what, self.endpoint.as_str());
        let Some(failure) = failure else {
            if std::mem::take(&mut self.failing) {
                tracing::info!(endpoint, "{what} are pushed again");
            }
            return;
        };
        self.failing = true;
        if self.logged.is_none_or(|logged| now.saturating_sub(logged) >= LOG_INTERVAL) {
            self.logged = Some(now);
            let (kind, said) = (failure.kind.as_ref(), failure.said.as_str());
            tracing::warn!(endpoint, error = kind, said, "{what} were not pushed, or not all; logged once an hour");
        }
    }

    /// A failure with where it happened.
    pub(super) fn said(&self, failure: &Failure) -> String {
        format!("{}: {}: {}", self.endpoint, failure.kind, failure.said)
    }
}
