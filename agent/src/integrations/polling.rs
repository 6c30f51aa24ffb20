//! Asks the host a question that must be awaited, at intervals and on the host's runtime, and keeps the newest answer for
//! the agent's thread, which never waits; what is asked is not known here.

use std::fmt::Display;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::MissedTickBehavior;

use crate::Error;
use crate::clock::Stamp;

/// An answer that is older than this many intervals is no longer shown: unknown is better than wrong.
const ANSWER_LASTS_INTERVALS: u32 = 5;
/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The shortest interval; shorter ones are stretched to it.
const INTERVAL_MIN: Duration = Duration::from_millis(100);

/// A question that is asked until [`stop`](Self::stop), or until the agent or the runtime is gone. Dropping this does not
/// stop it.
#[derive(Debug, Clone)]
pub struct Polling(AbortHandle);

impl Polling {
    /// Asks no more. The figures become unknown after a few intervals.
    pub fn stop(&self) {
        self.0.abort();
    }
}

/// The newest answer; the asking ends when the last of these is dropped.
#[derive(Debug)]
pub(super) struct Latest<T> {
    answer: Arc<Mutex<Option<(T, Stamp)>>>,
    lasts: Duration,
}

impl<T: Copy> Latest<T> {
    /// The answer, if there is one that is not too old.
    pub(super) fn get(&self) -> Option<T> {
        let (answer, at) = (*self.answer.lock())?;
        (at.elapsed() <= self.lasts).then_some(answer)
    }
}

/// Asks every `every` on the current runtime.
///
/// # Errors
/// [`Error::Setting`] outside of a tokio runtime.
pub(super) fn poll<T, E, F>(
    (what, name): (&'static str, &str),
    every: Duration,
    ask: impl FnMut() -> F + Send + 'static,
) -> Result<(Polling, Latest<T>), Error>
where
    T: Copy + Send + 'static,
    E: Display + Send + 'static,
    F: Future<Output = Result<T, E>> + Send + 'static,
{
    let runtime = Handle::try_current().map_err(|_| Error::Setting {
        setting: what,
        value: name.to_owned(),
        reason: "it asks on the runtime it is called in, and there is none here; call it inside tokio".to_owned(),
    })?;
    let every = every.max(INTERVAL_MIN);
    let latest = Latest { answer: Arc::default(), lasts: every.saturating_mul(ANSWER_LASTS_INTERVALS).max(PATIENCE) };
    let asking = keep_asking(format!("{what} {name}"), every, Arc::downgrade(&latest.answer), ask);
    Ok((Polling(runtime.spawn(asking).abort_handle()), latest))
}

async fn keep_asking<T, E: Display, F: Future<Output = Result<T, E>>>(
    name: String,
    every: Duration,
    answer: Weak<Mutex<Option<(T, Stamp)>>>,
    mut ask: impl FnMut() -> F,
) {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        if answer.strong_count() == 0 {
            return;
        }
        let failure = match tokio::time::timeout(PATIENCE, ask()).await {
            Ok(Ok(answered)) => {
                if let Some(answer) = answer.upgrade() {
                    *answer.lock() = Some((answered, Stamp::now()));
                }
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {PATIENCE:?}")),
        };
        if let (Some(error), false) = (&failure, failing) {
            tracing::warn!(%name, %error, "cannot be asked; its figures become unknown, and it is asked again");
        }
        failing = failure.is_some();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn outside_of_a_runtime_it_says_what_to_do() {
        let refused = poll(("poll_queue", "email"), Duration::from_secs(1), || std::future::ready(Ok::<u8, String>(1)));
        assert!(refused.unwrap_err().to_string().contains("poll_queue"));
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_the_newest_answer_over_failures_and_hangs() {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let ask = move || {
            let turn = counter.fetch_add(1, Ordering::Relaxed);
            async move {
                match turn % 3 {
                    0 => Ok(turn),
                    1 => Err("away"),
                    _ => std::future::pending().await,
                }
            }
        };
        let (polling, latest) = poll(("poll", "x"), Duration::from_secs(1), ask).unwrap();
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(latest.get().is_some_and(|turn| turn > 0 && turn.is_multiple_of(3)));
        polling.stop();
        tokio::time::sleep(Duration::from_secs(5)).await;
        let stopped_at = asked.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert_eq!(asked.load(Ordering::Relaxed), stopped_at);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interval_without_an_end_asks_once() {
        let (_polling, latest) = poll(("poll", "x"), Duration::MAX, || std::future::ready(Ok::<_, String>(7))).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(latest.get(), Some(7));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_asked_when_nobody_listens() {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let ask = move || std::future::ready(Ok::<_, String>(counter.fetch_add(1, Ordering::Relaxed)));
        let (_, latest) = poll(("poll", "x"), Duration::from_secs(1), ask).unwrap();
        tokio::time::sleep(Duration::from_secs(3)).await;
        drop(latest);
        let left_at = asked.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(left_at > 0 && asked.load(Ordering::Relaxed) == left_at);
    }
}
