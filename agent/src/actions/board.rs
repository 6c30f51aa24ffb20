//! The registered actions and their runs: one at a time of each, not too often, each with an audit event. It does not know
//! how a run was asked for.

use std::collections::{BTreeMap, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use heartline_shared::UnixMillis;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::request::{ActionError, ActionOutcome, ActionRequest};
use crate::clock::{Stamp, Tick};

/// Runs of one action within [`WINDOW`], dry runs included.
const RUNS_MAX: usize = 10;
const WINDOW: Duration = Duration::from_mins(1);

/// A run of an action.
pub(crate) type ActionFuture = Pin<Box<dyn Future<Output = Result<ActionOutcome, ActionError>> + Send>>;
type Handler = Box<dyn Fn(ActionRequest) -> ActionFuture + Send + Sync>;

/// The registered actions.
#[derive(Debug, Default)]
pub(crate) struct Actions {
    by_name: Mutex<BTreeMap<String, Arc<Registered>>>,
    started: AtomicU64,
}

struct Registered {
    handler: Handler,
    runtime: Handle,
    runs: Mutex<Runs>,
}

#[derive(Debug, Default)]
struct Runs {
    running: Option<(u64, UnixMillis)>,
    newest: VecDeque<Duration>,
    last: Option<Ended>,
}

/// A run that was started.
#[derive(Debug)]
pub(crate) struct Operation {
    /// Counts up with every run of the process, from 1.
    pub(crate) id: u64,
    pub(crate) ended: oneshot::Receiver<Result<ActionOutcome, ActionError>>,
}

/// A run that ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    pub(crate) id: u64,
    pub(crate) at: UnixMillis,
    pub(crate) took: Duration,
    pub(crate) dry_run: bool,
    pub(crate) result: Result<ActionOutcome, ActionError>,
}

/// Why an action was not started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// The service registered no such action.
    Unknown,
    /// A run of it has not ended.
    Running { id: u64, since: UnixMillis },
    /// It was started too often; worth trying again after this time.
    TooOften(Duration),
}

/// One row of the list of actions.
#[derive(Debug, Clone)]
pub(crate) struct Listed {
    pub(crate) name: String,
    pub(crate) running: Option<(u64, UnixMillis)>,
    pub(crate) last: Option<Ended>,
}

impl Actions {
    /// Registers an action whose runs are tasks of `runtime`; an earlier one of the same name is replaced.
    pub(crate) fn register(
        &self,
        name: &str,
        runtime: Handle,
        handler: impl Fn(ActionRequest) -> ActionFuture + Send + Sync + 'static,
    ) {
        let registered = Registered { handler: Box::new(handler), runtime, runs: Mutex::default() };
        self.by_name.lock().insert(name.to_owned(), Arc::new(registered));
    }

    /// All of them, by name.
    pub(crate) fn list(&self) -> Vec<Listed> {
        let all: Vec<(String, Arc<Registered>)> =
            self.by_name.lock().iter().map(|(name, it)| (name.clone(), Arc::clone(it))).collect();
        let row = |(name, it): (String, Arc<Registered>)| {
            let runs = it.runs.lock();
            Listed { name, running: runs.running, last: runs.last.clone() }
        };
        all.into_iter().map(row).collect()
    }

    /// Starts a run for `caller` at `now`.
    pub(crate) fn start(&self, request: ActionRequest, caller: String, now: Tick) -> Result<Operation, Refused> {
        let registered = self.by_name.lock().get(request.name()).cloned().ok_or(Refused::Unknown)?;
        let mut runs = registered.runs.lock();
        if let Some((id, since)) = runs.running {
            return Err(Refused::Running { id, since });
        }
        while runs.newest.front().is_some_and(|at| now.mono.saturating_sub(*at) >= WINDOW) {
            runs.newest.pop_front();
        }
        if let Some(first) = runs.newest.front().filter(|_| runs.newest.len() >= RUNS_MAX) {
            return Err(Refused::TooOften(WINDOW.saturating_sub(now.mono.saturating_sub(*first))));
        }
        let id = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        runs.newest.push_back(now.mono);
        runs.running = Some((id, now.wall));
        drop(runs);
        let (sender, ended) = oneshot::channel();
        let run = Run { registered: Arc::clone(&registered), id, caller, request: request.clone(), result: None };
        registered.runtime.spawn(run.until_the_end(request, sender));
        Ok(Operation { id, ended })
    }
}

/// A run; dropped, it has ended.
struct Run {
    registered: Arc<Registered>,
    id: u64,
    caller: String,
    request: ActionRequest,
    result: Option<(Duration, Result<ActionOutcome, ActionError>)>,
}

impl Run {
    async fn until_the_end(
        mut self,
        request: ActionRequest,
        asked: oneshot::Sender<Result<ActionOutcome, ActionError>>,
    ) {
        let registered = Arc::clone(&self.registered);
        let start = Stamp::now();
        let ended = AssertUnwindSafe(async { (registered.handler)(request).await }).catch_unwind().await;
        let result = ended.unwrap_or_else(|_panic| Err(ActionError::Failed("the handler panicked".to_owned())));
        self.result = Some((start.elapsed(), result.clone()));
        drop(self);
        let _ = asked.send(result); // who asked may have left
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let unfinished = || Err(ActionError::Failed("the runtime ended before the action did".to_owned()));
        let (took, result) = self.result.take().unwrap_or_else(|| (Duration::ZERO, unfinished()));
        let outcome = match &result {
            Ok(_) => "done",
            Err(ActionError::Refused(_)) => "refused",
            Err(ActionError::Busy(_)) => "busy",
            Err(ActionError::Failed(_)) => "failed",
        };
        let (matched, affected) = result.as_ref().map_or((0, 0), |done| (done.matched, done.affected));
        let (operation, dry_run) = (self.id, self.request.is_dry_run());
        let (action, caller) = (self.request.name(), self.caller.as_str());
        tracing::info!(
            target: "heartline::audit", action, operation, caller, dry_run, outcome, matched, affected,
            took_seconds = took.as_secs_f64(), "an action ended",
        );
        let mut runs = self.registered.runs.lock();
        runs.running = None;
        runs.last = Some(Ended { id: operation, at: Tick::now().wall, took, dry_run, result });
    }
}

impl std::fmt::Debug for Registered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registered").field("runs", &self.runs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(name: &str) -> ActionRequest {
        ActionRequest::parse(name, b"", false).unwrap()
    }

    fn at(seconds: u64) -> Tick {
        Tick { mono: Duration::from_secs(seconds), wall: UnixMillis(0) }
    }

    fn start(actions: &Actions, name: &str, seconds: u64) -> Result<Operation, Refused> {
        actions.start(request(name), "127.0.0.1".to_owned(), at(seconds))
    }

    #[tokio::test]
    async fn a_second_run_waits_for_the_first_and_learns_which_it_is() {
        let actions = Actions::default();
        let (go, wait) = tokio::sync::watch::channel(false);
        actions.register("slow", Handle::current(), move |_| {
            let mut wait = wait.clone();
            Box::pin(async move {
                let _ = wait.wait_for(|go| *go).await;
                Ok(ActionOutcome::new(3, 2))
            })
        });
        let first = start(&actions, "slow", 0).unwrap();
        assert_eq!(start(&actions, "slow", 1).unwrap_err(), Refused::Running { id: first.id, since: UnixMillis(0) });
        go.send(true).unwrap();
        assert_eq!(first.ended.await.unwrap(), Ok(ActionOutcome::new(3, 2)));
        let listed = actions.list();
        assert_eq!((listed[0].running, listed[0].last.as_ref().unwrap().id), (None, first.id));
        assert!(start(&actions, "slow", 2).is_ok());
        assert_eq!(start(&actions, "other", 2).unwrap_err(), Refused::Unknown);
    }

    #[tokio::test]
    async fn the_eleventh_run_in_a_minute_is_told_when_to_come_again() {
        let actions = Actions::default();
        actions.register("quick", Handle::current(), |_| Box::pin(async { Ok(ActionOutcome::default()) }));
        for second in 0..10 {
            start(&actions, "quick", second).unwrap().ended.await.unwrap().unwrap();
        }
        assert_eq!(start(&actions, "quick", 20).unwrap_err(), Refused::TooOften(Duration::from_secs(40)));
        assert!(start(&actions, "quick", 60).is_ok());
    }

    #[tokio::test]
    async fn a_handler_that_panics_has_failed_and_may_run_again() {
        let actions = Actions::default();
        actions.register("broken", Handle::current(), |_| Box::pin(async { panic!("as handlers do") }));
        for second in 0..2 {
            let result = start(&actions, "broken", second).unwrap().ended.await.unwrap();
            assert!(matches!(result, Err(ActionError::Failed(why)) if why.contains("panicked")));
        }
    }

    #[test]
    fn a_run_whose_runtime_ended_has_ended() {
        let actions = Actions::default();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        actions.register("lost", runtime.handle().clone(), |_| Box::pin(std::future::pending()));
        start(&actions, "lost", 0).unwrap();
        drop(runtime);
        let last = actions.list()[0].last.clone().unwrap();
        assert!(matches!(last.result, Err(ActionError::Failed(why)) if why.contains("runtime")));
    }
}
