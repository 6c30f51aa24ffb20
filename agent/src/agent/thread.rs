//! The agent's own thread: one runtime that collects at intervals and serves the endpoint, apart from the host's.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use futures_util::future::BoxFuture;
use parking_lot::{Condvar, Mutex};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::core::Core;
use crate::config::{COLLECT_INTERVAL, LISTEN_WAIT, Listen};
use crate::error::Error;
use crate::server::{BoundAddress, Endpoint, Source};
use crate::snapshot::Tick;

/// Threads that callbacks of the service run on; none while there are no callbacks. Those that hang keep theirs.
const CALLBACK_THREADS_MAX: usize = 8;

/// What pushes metrics until it is told how long its last push may take; the answer is why that did not arrive.
pub(crate) type Push = Box<dyn FnOnce(oneshot::Receiver<Duration>) -> BoxFuture<'static, Result<(), String>> + Send>;

/// The running thread, seen from the host.
#[derive(Debug)]
pub(crate) struct AgentThread {
    runtime: Handle,
    stop: Mutex<Option<oneshot::Sender<Duration>>>,
    ended: Arc<Ended>,
}

#[derive(Debug, Default)]
struct Ended {
    /// Once it has: why the last push did not arrive, if it did not.
    ended: Mutex<Option<Result<(), String>>>,
    changed: Condvar,
}

/// Says that the thread ended, also when it panicked.
struct SayEnded {
    ended: Arc<Ended>,
    flushed: Result<(), String>,
}

impl Drop for SayEnded {
    fn drop(&mut self) {
        *self.ended.ended.lock() = Some(std::mem::replace(&mut self.flushed, Ok(())));
        self.ended.changed.notify_all();
    }
}

/// Sampling that the agent began ends with its thread, also when that panicked.
#[cfg(feature = "jemalloc")]
struct EndSampling(crate::heap::Profiler);

#[cfg(feature = "jemalloc")]
impl Drop for EndSampling {
    fn drop(&mut self) {
        self.0.end();
    }
}

impl AgentThread {
    /// Starts the thread and waits until the listener has its address or was refused it, at most [`LISTEN_WAIT`].
    pub(crate) fn start(
        core: Arc<Core>,
        endpoint: (Option<Listen>, BoundAddress),
        push: Option<Push>,
    ) -> Result<Self, Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(CALLBACK_THREADS_MAX)
            .thread_name("heartline-callback")
            .build()
            .map_err(Error::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (ready, readiness) = mpsc::sync_channel(1);
        let ended = Arc::new(Ended::default());
        let say_ended = SayEnded { ended: Arc::clone(&ended), flushed: Ok(()) };
        let run = move || {
            let mut say_ended = say_ended; // whole, so that it is dropped when this ends
            // before it is said that this ended, and after the last task
            #[cfg(feature = "jemalloc")]
            let _end_sampling = EndSampling(core.profiler.clone());
            #[cfg(feature = "jemalloc")]
            crate::heap::exclude_this_thread();
            say_ended.flushed = runtime.block_on(work(core, endpoint, (ready, stopped), push));
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("heartline-agent".to_owned()).spawn(run).map_err(Error::Thread)?;
        // whether it came in time makes no difference: the listener is tried again in the background
        let _ = readiness.recv_timeout(LISTEN_WAIT);
        Ok(Self { runtime: handle, stop: Mutex::new(Some(stop)), ended })
    }

    /// The agent's own runtime, for what must not run on the host's.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Asks the thread to end; it does so soon, and within `budget` where there is a last push, which may take nine tenths of that.
    pub(crate) fn stop(&self, budget: Duration) {
        if let Some(stop) = self.stop.lock().take() {
            let _ = stop.send(budget); // a thread that ended already needs no telling
        }
    }

    /// Waits until the thread has ended.
    pub(crate) fn wait(&self, timeout: Duration) -> Result<(), Error> {
        let mut ended = self.ended.ended.lock();
        self.ended.changed.wait_while_for(&mut ended, |ended| ended.is_none(), timeout);
        match &*ended {
            Some(Ok(())) => Ok(()),
            Some(Err(why)) => Err(Error::Flush(why.clone())),
            None => Err(Error::Shutdown(timeout)),
        }
    }
}

async fn work(
    core: Arc<Core>,
    (listen, bound): (Option<Listen>, BoundAddress),
    (ready, mut stopped): (mpsc::SyncSender<()>, oneshot::Receiver<Duration>),
    push: Option<Push>,
) -> Result<(), String> {
    let pool = Handle::current();
    core.collect(None, Tick::now());
    let endpoint = listen.map(|address| Endpoint::bind(core.endpoint(address), bound));
    if let Some(endpoint) = &endpoint {
        core.listens(endpoint.trouble());
    }
    let _ = ready.try_send(());
    if let Some(endpoint) = endpoint {
        // it ends with the runtime
        tokio::spawn(endpoint.serve(Arc::clone(&core) as Arc<dyn Source>));
    }
    let (stop_pushing, told) = oneshot::channel();
    let pushing = push.map(|push| tokio::spawn(push(told)));
    let mut rounds = interval(COLLECT_INTERVAL);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let every = core.config.summary_interval;
    let mut summary_due = Tick::now().mono.saturating_add(every);
    loop {
        tokio::select! {
            _ = rounds.tick() => {
                let now = Tick::now();
                // clients are served meanwhile
                core.begin_round(Some(&pool), now).wait().await;
                core.collect(Some(&pool), now);
                core.record(now);
                if !every.is_zero() && now.mono >= summary_due {
                    summary_due = now.mono.saturating_add(every);
                    core.log_summary(now).await;
                }
            }
            budget = &mut stopped => {
                let Some(pushing) = pushing else { return Ok(()) };
                let budget = budget.unwrap_or_default();
                core.collect(None, Tick::now());
                // less than is waited, so that it can say why; an exporter that ended is told nothing
                let _ = stop_pushing.send(budget / 10 * 9);
                let flushed = tokio::time::timeout(budget, pushing).await;
                let late = || Err(format!("the exporter did not end within {budget:?}"));
                return flushed.map_or_else(|_| late(), |ended| ended.unwrap_or_else(|died| Err(died.to_string())));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Agent;

    #[test]
    fn who_pushes_is_given_less_time_than_is_waited_for_it() {
        let agent = Agent::builder("shop").without_listener().start().unwrap();
        let push: Push = Box::new(|stop| Box::pin(async { Err(format!("nobody within {:?}", stop.await.unwrap())) }));
        let endpoint = (None, BoundAddress::default());
        let thread = AgentThread::start(Arc::clone(&agent.0.core), endpoint, Some(push)).unwrap();
        thread.stop(Duration::from_secs(20));
        let told = thread.wait(Duration::from_secs(40)).unwrap_err();
        assert!(matches!(&told, Error::Flush(why) if why == "nobody within 18s"), "{told}");
    }
}
