//! The agent as the service holds it: wires the layers, and is the only file that knows them all.

mod builder;
mod built_in;
mod core;
mod named;
#[cfg(feature = "otlp")]
mod pushing;
mod thread;

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use heartline_shared::Snapshot;
use tokio::runtime::Handle;

pub use self::builder::AgentBuilder;
use self::core::{Core, Stage};
use self::thread::AgentThread;
use crate::actions::{ActionError, ActionOutcome, ActionRequest};
use crate::config::Config;
use crate::error::Error;
use crate::exporters::Format;
#[cfg(feature = "otlp")]
use crate::exporters::otlp::Asking;
use crate::exporters::prometheus::Selection;
use crate::heap::{HeapCollector, HeapReport, Lives};
use crate::instruments::{Counter, Gauge, Histogram};
#[cfg(feature = "system")]
use crate::process::HostCollector;
use crate::process::{self, ProcessCollector, RuntimeCollector, RuntimeWatch};
use crate::server::{BoundAddress, EndpointService, Source};
use crate::signals::{
    Breaker, BuiltInSettings, Cache, CacheStatus, Check, CheckSettings, Conduct, CounterFamily, HistogramFamily,
    Overall, Pool, PoolStatus, Query, Queue, QueueStatus, Route,
};
use crate::snapshot::{Families, Tick};

/// A running agent; clones are the same agent. It stops when the last clone is dropped, or at
/// [`shutdown`](Self::shutdown).
///
/// Handles that it gives out stay valid after that: they record into series that nobody reads any more.
#[derive(Debug, Clone)]
pub struct Agent(Arc<Inner>);

/// What the last push and the end of the thread may take together when nobody waits for them.
const LAST_PUSH: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    thread: AgentThread,
    address: BoundAddress,
    runtimes: RuntimeWatch,
    endpoint: OnceLock<EndpointService>,
    #[cfg(feature = "otlp")]
    asking: Option<Asking>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.thread.stop(LAST_PUSH);
        #[cfg(feature = "jemalloc")]
        self.core.profiler.end();
    }
}

impl Agent {
    /// Settings of an agent for the service of this name: the label `job`.
    pub fn builder(service: impl Into<String>) -> AgentBuilder {
        AgentBuilder::new(service.into())
    }

    pub(crate) fn start(config: Config, built_in: BuiltInSettings) -> Result<Self, Error> {
        let listen = config.listen_address()?;
        crate::clock::calibrate();
        let core = Arc::new(Core::new(config, built_in, Tick::now())?);
        let address = BoundAddress::default();
        let runtimes = RuntimeWatch::default();
        core.add_collector(Stage::Process, ProcessCollector::new(core.config.memory_limit));
        core.add_collector(Stage::Process, RuntimeCollector::new(runtimes.clone()));
        #[cfg(feature = "system")]
        core.add_collector(Stage::Process, HostCollector::new());
        let registry = Arc::clone(&core.registry);
        let requests = move || registry.records(crate::signals::REQUEST_DURATION);
        let heap = HeapCollector::new(core.config.leak_patience, requests);
        let lives = core.config.leaking_lives.clone();
        let heap = match lives.map(|file| Lives::read(file, core.config.version.as_deref())) {
            Some(lives) => heap.with_lives(lives),
            None => heap,
        };
        #[cfg(feature = "jemalloc")]
        let heap = heap.with_profiler(core.profiler.clone());
        core.add_collector(Stage::Heap, heap);
        #[cfg(feature = "otlp")]
        let (push, asking) = pushing::push(&core)?;
        #[cfg(not(feature = "otlp"))]
        let push = None;
        let thread = AgentThread::start(Arc::clone(&core), (listen, Arc::clone(&address)), push)?;
        thread.runtime().spawn(process::pulse(runtimes.clone()));
        let agent = Self(Arc::new(Inner {
            core,
            thread,
            address,
            runtimes,
            endpoint: OnceLock::new(),
            #[cfg(feature = "otlp")]
            asking,
        }));
        built_in::add_actions(&agent.0.core, agent.0.thread.runtime());
        if let Ok(runtime) = Handle::try_current() {
            agent.watch_runtime(&runtime);
        }
        Ok(agent)
    }

    /// Where the endpoint listens; `None` while it does not.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        *self.0.address.lock()
    }

    /// Everything the agent knows now. Values that are collected rather than recorded are at most about a second old.
    pub fn snapshot(&self) -> Snapshot {
        self.core().snapshot(Tick::now())
    }

    /// Runs one round of collecting as if the agent had been up for `uptime`: for tests that own time. The agent's thread
    /// goes on with rounds of its own unless it was [`shutdown`](Self::shutdown).
    #[doc(hidden)]
    pub fn collect_at(&self, uptime: Duration) {
        self.core().collect_at(uptime);
    }

    /// The page that a scraper with this `Accept` gets: for benches.
    #[doc(hidden)]
    pub fn scrape(&self, accept: &str) -> Vec<u8> {
        let snapshot = (&self.snapshot(), &self.core().requests.exemplars());
        Format::accepted(accept).page(snapshot, &Selection::default())
    }

    /// Stops the agent and waits for it. A second call waits again. Where metrics are pushed, they are once more, and
    /// again for four fifths of `timeout` while they do not arrive. Blocks this thread meanwhile, and may be called on any.
    ///
    /// # Errors
    /// [`Error::Shutdown`] when it has not stopped after `timeout`; [`Error::Flush`] when it has, and the last push did not
    /// arrive.
    pub fn shutdown(&self, timeout: Duration) -> Result<(), Error> {
        self.0.thread.stop(timeout / 10 * 9);
        self.0.thread.wait(timeout)
    }

    /// A counter of the service's own, or of the catalogue. Labels may come from outside: see
    /// [`AgentBuilder::series_limit`]. A name that is another kind of metric, or the 1,025th, gives a handle whose records are dropped:
    /// each is counted in `heartline.dropped`, and a warning says so once.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Counter {
        self.core().registry.instrument(name, labels)
    }

    /// A gauge; as [`counter`](Self::counter), but what is set in vain is not counted.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Gauge {
        self.core().registry.instrument(name, labels)
    }

    /// A histogram; as [`counter`](Self::counter). Its unit is `s` unless [`describe`](Self::describe) said otherwise.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Histogram {
        self.core().registry.instrument(name, labels)
    }

    /// Counters of one metric by labels whose values are not known beforehand; a name as for [`counter`](Self::counter).
    pub fn counter_family<const N: usize>(&self, name: &str, labels: [&str; N]) -> CounterFamily<N> {
        CounterFamily::new(&self.core().registry, name, labels)
    }

    /// Histograms of one metric by labels whose values are not known beforehand; a name as for
    /// [`histogram`](Self::histogram).
    pub fn histogram_family<const N: usize>(&self, name: &str, labels: [&str; N]) -> HistogramFamily<N> {
        HistogramFamily::new(&self.core().registry, name, labels)
    }

    /// Unit and help of a metric of the service's own, before its first series is made. Units are UCUM, as in
    /// OpenTelemetry: `s`, `By`, `1`, `{order}`.
    pub fn describe(&self, name: &str, unit: &str, help: &str) {
        self.core().registry.describe(name, unit, help);
    }

    /// The requests of one route, with its template: `/carts/{id}`.
    pub fn route(&self, method: &str, route: &str) -> Route {
        Route::new(&self.core().registry, self.core().requests.clone(), method, Some(route))
    }

    /// The requests of one method that no route matched; their paths are never labels.
    pub fn unmatched(&self, method: &str) -> Route {
        Route::new(&self.core().registry, self.core().requests.clone(), method, None)
    }

    /// The queries of one summary: `agent.query("postgresql", "SELECT carts")`.
    pub fn query(&self, system: &str, summary: &str) -> Query {
        let config = &self.core().config;
        let options = crate::signals::QueryOptions {
            slow: Arc::clone(&self.core().requests.slow),
            returned_rows: config.returned_rows,
        };
        Query::new(&self.core().registry, options, system, summary)
    }

    /// A connection pool. The probe is asked about once a second on a thread of the agent's. While it has not returned it is
    /// not asked again; after three panics, or two and a half seconds, it never is.
    /// Asked for twice, a pool is the same one and the later probe counts.
    pub fn pool(&self, name: &str, probe: impl Fn() -> PoolStatus + Send + 'static) -> Pool {
        let pool = self.core().handles.pools.get_or_make(name, || Pool::new(&self.core().registry, name));
        let read = pool.clone();
        self.probe(format!("pool {name}"), move |into, _| read.read(probe(), into));
        pool
    }

    /// One tier of a cache: `agent.cache("products", "l1")`.
    pub fn cache(&self, name: &str, tier: &str) -> Cache {
        Cache::new(&self.core().registry, name, tier)
    }

    /// Asks about once a second what `cache` holds. The probe must not block.
    pub fn watch_cache(&self, cache: &Cache, probe: impl Fn() -> CacheStatus + Send + 'static) {
        let read = cache.clone();
        self.probe(format!("cache {}", cache.title()), move |into, _| read.read(probe(), into));
    }

    /// A job queue; asked for twice, it is the same one. Without [`watch_queue`](Self::watch_queue), what waits and runs is counted
    /// from its guards, so too few wait where jobs were left from before the process began, or where others enqueue them.
    pub fn queue(&self, name: &str) -> Queue {
        self.core().handles.queues.get_or_make(name, || {
            let queue = Queue::new(&self.core().registry, &self.core().failures, name);
            let read = queue.clone();
            self.probe(format!("guards of queue {name}"), move |into, _| read.read_own(into));
            queue
        })
    }

    /// Asks about once a second how many jobs are in each state. The probe must not block: a count that needs a query
    /// is kept in an atomic by a task of the service.
    pub fn watch_queue(&self, queue: &Queue, probe: impl Fn() -> QueueStatus + Send + 'static) {
        queue.set_probed();
        let read = queue.clone();
        self.probe(format!("queue {}", queue.name()), move |into, _| read.read(probe(), into));
    }

    /// A circuit breaker; asked for twice, it is the same one.
    pub fn breaker(&self, name: &str) -> Breaker {
        self.core().handles.breakers.get_or_make(name, || {
            let breaker = Breaker::new(&self.core().registry, name);
            let read = breaker.clone();
            self.probe(format!("breaker {name}"), move |into, _| read.read(into));
            breaker
        })
    }

    /// Runs `check` about once a second, on the tokio runtime that this is called in, else on the agent's own. A check
    /// that takes two seconds, or panics, has failed. See [`health_check_with`](Self::health_check_with) for other times, and
    /// [`BuiltInCheck`](crate::BuiltInCheck) for those that are there anyway.
    pub fn health_check<F: Future<Output = Check> + Send + 'static>(
        &self,
        name: &str,
        criticality: crate::Criticality,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) {
        self.health_check_with(name, CheckSettings::new(criticality), check);
    }

    /// As [`health_check`](Self::health_check), at an interval and with a timeout of its own.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// use std::time::Duration;
    ///
    /// use heartline::{Check, CheckSettings, Criticality};
    ///
    /// let agent = heartline::Agent::builder("shop").without_listener().start()?;
    /// let seldom = CheckSettings::new(Criticality::NonCritical).interval(Duration::from_secs(30)).timeout(Duration::from_secs(5));
    /// agent.health_check_with("rates", seldom, async || Check::pass());
    /// # Ok(()) }
    /// ```
    pub fn health_check_with<F: Future<Output = Check> + Send + 'static>(
        &self,
        name: &str,
        settings: CheckSettings,
        check: impl Fn() -> F + Send + Sync + 'static,
    ) {
        let health = &self.core().health;
        let (pool, check) = (self.0.thread.runtime().clone(), Arc::new(check));
        // the check alone runs there: that runtime need not have timers
        if let Ok(host) = Handle::try_current() {
            let boxed = move || crate::signals::checked_on(&host, &check);
            return health.register(&self.core().registry, &pool, (name, settings), boxed);
        }
        // without a runtime of the service, a check that blocks must not block the agent
        let title = format!("health check {name}");
        let conduct = Arc::new(Conduct::new(title.clone(), self.core().callback_failures(&title)));
        let threads = pool.clone();
        let boxed = move || crate::signals::checked_aside(&conduct, &threads, &check);
        health.register(&self.core().registry, &pool, (name, settings), boxed);
    }

    /// Registers what a person on call may make the service do: `POST /api/v1/actions/{name}` with the admin token runs
    /// `handler` as a task of the tokio runtime that this is called in, else of the agent's own. One run of each at a
    /// time, ten a minute at most, each with an event of the target `heartline::audit`. A handler changes nothing when
    /// [`ActionRequest::is_dry_run`] says so. `cache.warm`, `cache.invalidate`, `jobs.retry` and `jobs.clear` have routes
    /// and checked arguments of their own. An action of the same name is replaced. Names are lower-case letters, digits,
    /// `.`, `_` and `-`; another cannot be asked for.
    ///
    /// Built in are `metrics.reset`, as [`reset_views`](Self::reset_views), and with the feature `jemalloc` two more:
    /// `heap.purge` gives what the allocator holds free back to the system (matched: bytes free and resident; affected:
    /// bytes fewer resident after it), `heap.profile` samples call sites for `seconds`, 600 unless given. With the feature
    /// `cpu-profile`, `profile.cpu` samples the processor for `seconds` (10 unless given, 60 at most), `hz` times (99, 250)
    /// each second of processor time, and says which functions run (matched: samples; affected: different stacks);
    /// `/api/v1/profile/cpu` gives the stacks themselves. While it does, and only then, the agent handles `SIGPROF`.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// use heartline::{ActionError, ActionOutcome};
    ///
    /// let agent = heartline::Agent::builder("shop").without_listener().start()?;
    /// agent.action("search.reindex", async |request: heartline::ActionRequest| {
    ///     let index = request.text("index").ok_or(ActionError::Refused("say which `index`".to_owned()))?;
    ///     if request.is_dry_run() {
    ///         return Ok(ActionOutcome::new(1, 0));
    ///     }
    ///     // … build it …
    ///     Ok(ActionOutcome::new(1, 1).remark(format!("{index} is new")))
    /// });
    /// # Ok(()) }
    /// ```
    pub fn action<F>(&self, name: &str, handler: impl Fn(ActionRequest) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<ActionOutcome, ActionError>> + Send + 'static,
    {
        let runtime = Handle::try_current().unwrap_or_else(|_| self.0.thread.runtime().clone());
        self.core().actions.register(name, runtime, move |request| Box::pin(handler(request)));
    }

    /// Samples the call sites of allocations for this long, as if growth were watched; [`heap`](Self::heap) then has them. Costs
    /// about one percent of a core. Without this, sampling begins when growth is watched.
    ///
    /// # Errors
    /// [`Error::Profile`] says why allocations cannot be sampled: jemalloc is not the allocator, or was not made ready for
    /// it by [`jemalloc!`](crate::jemalloc!).
    #[cfg(feature = "jemalloc")]
    pub fn sample_heap(&self, span: Duration) -> Result<(), Error> {
        self.core().profiler.ask(Tick::now().mono, span).map_err(Error::Profile)
    }

    /// Whether no critical check fails, as `/health` says with 200 or 503. A suspected leak does not change it: the service
    /// still serves, and a restart by whoever asks would hide what [`on_heap_alert`](Self::on_heap_alert) reports. Whoever
    /// wants it otherwise registers a [`health_check`](Self::health_check) that reads [`heap`](Self::heap).
    pub fn is_healthy(&self) -> bool {
        self.core().health.overall(Tick::now()) != Overall::Unhealthy
    }

    /// Windowed views (summary, dashboard, queries and the like) begin anew: they count nothing from before this call. What
    /// counts since the start, `/metrics` above all, goes on, and so does the history.
    pub fn reset_views(&self) {
        self.core().reset_views();
    }

    /// Figures of the heap and the leak verdict, with its evidence. `Display` makes a report for people of it.
    ///
    /// ```
    /// let agent = heartline::Agent::builder("shop").without_listener().start()?;
    /// let heap = agent.heap();
    /// if heap.leak == heartline::Leak::Suspected {
    ///     eprintln!("{heap}");
    /// }
    /// # Ok::<(), heartline::Error>(())
    /// ```
    pub fn heap(&self) -> HeapReport {
        HeapReport::of(&self.snapshot())
    }

    /// Calls `callback` on a thread of the agent's when a leak is suspected and when the suspicion is withdrawn
    /// ([`HeapReport::leak`] tells which), not while growth is only watched. While it has not returned, it is not called
    /// again; after three panics it never is. Call sites are sampled from when growth is watched, so that the report often
    /// names them already; those of a slow leak come later: ask [`heap`](Self::heap) again.
    ///
    /// ```
    /// let agent = heartline::Agent::builder("shop").without_listener().start()?;
    /// agent.on_heap_alert(|heap| {
    ///     if heap.leak == heartline::Leak::Suspected {
    ///         eprintln!("{heap}");
    ///     }
    /// });
    /// # Ok::<(), heartline::Error>(())
    /// ```
    pub fn on_heap_alert(&self, callback: impl Fn(&HeapReport) + Send + 'static) {
        self.core().on_heap_alert(Box::new(move |snapshot| callback(&HeapReport::of(snapshot))));
    }

    /// Observes a tokio runtime beside the one that the agent was started in. A small task on it answers the agent's
    /// probe of how late tasks get polled; it ends with the agent.
    pub fn watch_runtime(&self, runtime: &Handle) {
        self.0.runtimes.add(runtime.clone());
    }

    /// The endpoint's handling of connections, for a fuzzer that makes them up.
    #[cfg(fuzzing)]
    #[doc(hidden)]
    pub fn wire(&self) -> crate::server::Wire {
        let source = Arc::clone(&self.0.core);
        crate::server::Wire::new(source, self.core().policy())
    }

    /// The endpoint for the service's own router, under any prefix; with or without a listener of the agent's own
    /// ([`AgentBuilder::without_listener`]). With the feature `tower` it is a tower service: in axum,
    /// `.nest_service("/ops", agent.endpoint())`.
    ///
    /// Routes, limits and credentials are those of the listener, with one difference: without a
    /// [read token](AgentBuilder::read_token) only the probes answer (`/health`, `/livez`, `/readyz`, `/startupz`), because
    /// the agent cannot know who reaches the service's port. Any name in `Host` is answered unless some are
    /// [listed](AgentBuilder::allowed_host). The router must take its prefix off the path, as axum's `nest_service` does. At
    /// most 64 requests are answered at a time, streams included; another gets 503. So does everyone once the agent was
    /// shut down or its last handle dropped.
    pub fn endpoint(&self) -> EndpointService {
        let (core, runtime) = (&self.0.core, self.0.thread.runtime());
        let source = || Arc::clone(core) as Arc<dyn Source>;
        self.0.endpoint.get_or_init(|| EndpointService::new(source(), core.policy(), runtime.clone())).clone()
    }

    fn probe(&self, name: String, ask: impl FnMut(&mut Families, Tick) + Send + 'static) {
        let failures = self.core().callback_failures(&name);
        self.core().probes.add(name, failures, ask);
    }

    fn core(&self) -> &Core {
        &self.0.core
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BreakerState;

    #[test]
    fn a_check_on_a_runtime_without_timers_is_asked_all_the_same() {
        let agent = Agent::builder("shop").without_listener().start().unwrap();
        let host = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (asked, told) = std::sync::mpsc::channel();
        host.block_on(async {
            agent.health_check("database", crate::Criticality::Critical, move || {
                let _ = asked.send(());
                async { Check::fail("gone") }
            });
            let begin = crate::clock::Stamp::now();
            while agent.is_healthy() {
                assert!(begin.elapsed() < Duration::from_secs(20), "asked: {}", told.try_iter().count());
                tokio::task::yield_now().await;
            }
        });
        assert!(told.try_iter().count() > 0);
    }

    #[test]
    fn a_name_that_is_asked_for_twice_is_one_series_with_the_later_probe() {
        let agent = Agent::builder("shop").without_listener().start().unwrap();
        for size in [1, 2] {
            let _ = agent.pool("primary", move || PoolStatus { max: 9, size, ..PoolStatus::default() });
            let queue = agent.queue("email");
            queue.enqueued();
            agent.breaker("payment").state(BreakerState::Open);
        }
        let now = Tick::now();
        agent.core().begin_round(None, now);
        agent.core().collect(None, now);
        let snapshot = agent.snapshot();
        let series = |metric: &str| snapshot.family(metric).unwrap().numbers.clone();
        assert_eq!(series("db.client.connection.max").len(), 1);
        let used = series("db.client.connection.count");
        assert_eq!(used.iter().map(|series| series.value).sum::<f64>(), 2.0);
        let jobs = series("heartline.job.count");
        let waiting = jobs.iter().filter(|series| series.labels.value("job.state") == Some("waiting"));
        assert_eq!(waiting.map(|series| series.value).collect::<Vec<_>>(), [2.0]);
        assert_eq!(series("heartline.circuit_breaker.status").len(), 3);
    }
}
