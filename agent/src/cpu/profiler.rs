//! Whether a profile of the processor is taken, and for how long: one at a time, not too often, on a thread that lives for
//! it. Who may ask is not known here.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::taken::Taken;
use super::taking;
use crate::clock::Tick;

/// Seconds of a profile unless told otherwise, and at most.
pub(crate) const SECONDS_DEFAULT: u64 = 10;
pub(crate) const SECONDS_MAX: u64 = 60;
/// Samples for each second of processor time unless told otherwise, and at most. Not 100: what the service does a hundred
/// times a second would be met always or never.
pub(crate) const HERTZ_DEFAULT: u64 = 99;
pub(crate) const HERTZ_MAX: u64 = 250;
/// Profiles begin this far apart.
const TAKEN_EVERY: Duration = Duration::from_secs(2);

/// How a profile is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) span: Duration,
    pub(crate) hertz: u64,
}

/// Why there is no profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another is being taken, or by somebody else.
    Running(&'static str),
    TooOften(Duration),
    /// It cannot be here.
    Unavailable(String),
    Failed(String),
}

/// Takes profiles; clones are the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Profiler(Arc<Mutex<Option<Duration>>>);

impl Profiler {
    /// A profile of from now on. Ends early when nobody waits for it any more.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn take(&self, wanted: Wanted) -> Result<Taken, Refusal> {
        self.admit(Tick::now().mono)?;
        let (done, ended) = oneshot::channel();
        let run = move || {
            #[cfg(feature = "jemalloc")]
            crate::heap::exclude_this_thread();
            let taken = taking::take(wanted, &done);
            let _ = done.send(taken); // whoever asked may have gone
        };
        let failed = |error: std::io::Error| Refusal::Failed(format!("no thread to take a profile on: {error}"));
        std::thread::Builder::new().name("heartline-cpu".to_owned()).spawn(run).map_err(failed)?;
        ended.await.unwrap_or_else(|_| Err(Refusal::Failed("taking the profile ended early".to_owned())))
    }

    fn admit(&self, now: Duration) -> Result<(), Refusal> {
        let mut begun = self.0.lock();
        let since = begun.map_or(TAKEN_EVERY, |at| now.saturating_sub(at));
        if since < TAKEN_EVERY {
            return Err(Refusal::TooOften(TAKEN_EVERY.saturating_sub(since)));
        }
        *begun = Some(now);
        Ok(())
    }
}
