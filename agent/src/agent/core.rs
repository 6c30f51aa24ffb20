//! What the handles of an agent and its thread share: registry, collectors, checks, and the newest collected values.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use heartline_shared::snapshot::{Family, Leak, SCHEMA_VERSION};
use heartline_shared::{Labels, Snapshot};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::named::NamedHandles;
use crate::actions::Actions;
use crate::clock::thread_cpu_time;
use crate::config::{Config, Listen, Secret};
use crate::error::Error;
use crate::recorder::FlightRecorder;
use crate::registry::Registry;
use crate::server::{Deadlines, Options, Policy, Source, Token, Trouble};
use crate::signals::{
    BuiltInChecks, BuiltInSettings, Conduct, Failures, HealthChecks, Listening, OpenRequests, Overall, Probes,
    RequestLogs, Round, SlowLog, Thresholds,
};
use crate::snapshot::{Collector, Exemplified, Families, Tick};

/// Called with the agent's own figures about the heap when the leak verdict changes.
pub(crate) type HeapCallback = Box<dyn Fn(&Snapshot) + Send>;

struct HeapAlert {
    conduct: Arc<Conduct>,
    callback: Mutex<HeapCallback>,
}

/// The state of an agent.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) registry: Arc<Registry>,
    pub(crate) health: HealthChecks,
    built_in: BuiltInChecks,
    /// Why the endpoint is not open; `None` where it is not to be.
    endpoint_trouble: Mutex<Option<Trouble>>,
    pub(crate) handles: NamedHandles,
    pub(crate) actions: Actions,
    pub(crate) requests: RequestLogs,
    #[cfg(feature = "jemalloc")]
    pub(crate) profiler: crate::heap::Profiler,
    #[cfg(feature = "cpu-profile")]
    pub(crate) cpu_profiler: crate::cpu::Profiler,
    /// What the service itself is asked in each round.
    pub(crate) probes: Probes,
    /// The process, then the heap, which reads what the others added.
    stages: [Mutex<Vec<Box<dyn Collector>>>; 2],
    collected: Mutex<Arc<Families>>,
    heap_callbacks: Mutex<Vec<Arc<HeapAlert>>>,
    read_token: Option<Token>,
    admin_token: Option<Token>,
    recorder: Option<FlightRecorder>,
    pub(crate) failures: Arc<Failures>,
    /// Bytes that an exporter keeps.
    pub(crate) export_bytes: Arc<AtomicUsize>,
    started: Tick,
    seq: AtomicU64,
}

/// When in a round of collecting a collector runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Process,
    Heap,
}

impl Core {
    /// # Errors
    /// A token that cannot be read.
    pub(crate) fn new(config: Config, built_in: BuiltInSettings, started: Tick) -> Result<Self, Error> {
        let digest = |secret: Option<Secret>| secret.map(|secret| Token::new(secret.expose()));
        let (read_token, admin_token) = (digest(config.read_token()?), digest(config.admin_token()?));
        let history = config.history_bytes();
        let thresholds = Thresholds {
            request: config.slow_request,
            very_slow_request: config.very_slow_request,
            query: config.slow_query,
        };
        let registry = Arc::new(Registry::new(config.series_limit, config.memory_budget - history));
        Ok(Self {
            #[cfg(feature = "jemalloc")]
            profiler: crate::heap::Profiler::new(config.leak_patience),
            #[cfg(feature = "cpu-profile")]
            cpu_profiler: crate::cpu::Profiler::default(),
            read_token,
            admin_token,
            registry,
            config,
            health: HealthChecks::default(),
            built_in: BuiltInChecks::new(built_in),
            endpoint_trouble: Mutex::default(),
            handles: NamedHandles::default(),
            actions: Actions::default(),
            requests: RequestLogs::new(thresholds),
            probes: Probes::default(),
            stages: Default::default(),
            collected: Mutex::default(),
            heap_callbacks: Mutex::default(),
            recorder: (history > 0).then(|| FlightRecorder::new(history)),
            failures: Arc::default(),
            export_bytes: Arc::default(),
            started,
            seq: AtomicU64::new(0),
        })
    }

    /// Adds a collector; one of the same subject is replaced.
    pub(crate) fn add_collector(&self, stage: Stage, collector: impl Collector + 'static) {
        put(&mut self.stages[stage as usize].lock(), Box::new(collector));
    }

    pub(crate) fn on_heap_alert(&self, callback: HeapCallback) {
        let conduct = Arc::new(Conduct::new("heap alert".to_owned(), self.callback_failures("heap alert")));
        self.heap_callbacks.lock().push(Arc::new(HeapAlert { conduct, callback: Mutex::new(callback) }));
    }

    /// Asks the service's probes, on threads of `pool` or on this one; what they say is in the next [`collect`](Self::collect).
    pub(crate) fn begin_round(&self, pool: Option<&Handle>, now: Tick) -> Arc<Round> {
        self.probes.begin(pool, now)
    }

    /// Asks every collector. Only the agent's thread calls this.
    pub(crate) fn collect(&self, pool: Option<&Handle>, now: Tick) {
        let mut families = Families::default();
        self.probes.take(&mut families);
        for stage in &self.stages {
            // a collector may register further ones, so the list is not locked while it runs
            let mut collectors = std::mem::take(&mut *stage.lock());
            for collector in &mut collectors {
                collector.collect(&mut families, now);
            }
            let mut list = stage.lock();
            list.drain(..).for_each(|added| put(&mut collectors, added));
            *list = collectors;
        }
        crate::recording::recorder().read().maintain();
        self.requests.slow.tell();
        let history =
            self.recorder.as_ref().map_or(0, FlightRecorder::bytes) + self.failures.bytes() + self.requests.bytes();
        let history = history + crate::trace::bytes();
        let history = history + self.export_bytes.load(Ordering::Relaxed) + families.kept_bytes;
        families.integer("heartline.agent.memory", Labels::empty(), (self.registry.bytes() + history) as u64);
        families.number("heartline.agent.cpu.time", Labels::empty(), thread_cpu_time().as_secs_f64());
        let leak = |families: &Families| families.heap.as_ref().map_or(Leak::None, |heap| heap.leak);
        let (before, after) = {
            let mut collected = self.collected.lock();
            let before = leak(&collected);
            let after = leak(&families);
            *collected = Arc::new(families);
            (before, after)
        };
        if before != after && (before == Leak::Suspected || after == Leak::Suspected) {
            self.tell_heap_callbacks(pool, now);
        }
    }

    /// Adds what was counted since the last time to the flight recorder, and has the built-in checks look at it. Only the
    /// agent's thread calls this.
    pub(crate) fn record(&self, now: Tick) {
        let look = self.built_in.is_due(now);
        if self.recorder.is_none() && !look {
            return;
        }
        let snapshot = self.assemble(now, self.seq.load(Ordering::Relaxed), Families::into_sorted);
        if look {
            let listening = match &*self.endpoint_trouble.lock() {
                None => Listening::Unwanted,
                Some(trouble) => trouble.lock().clone().map_or(Listening::Open, Listening::Closed),
            };
            self.built_in.look(&snapshot, &listening, now, &self.health);
        }
        self.recorder.iter().for_each(|recorder| recorder.record(&snapshot));
    }

    /// Where the endpoint says why it is not open.
    pub(crate) fn listens(&self, trouble: Trouble) {
        *self.endpoint_trouble.lock() = Some(trouble);
    }

    /// Logs the figures of the time since the last summary.
    pub(crate) async fn log_summary(&self, now: Tick) {
        if let Some(recorder) = &self.recorder {
            let snapshot = self.assemble(now, self.seq.load(Ordering::Relaxed), Families::into_sorted);
            crate::server::log_summary(&snapshot, recorder, self.config.summary_interval).await;
        }
    }

    /// Windowed views begin anew.
    pub(crate) fn reset_views(&self) {
        self.recorder.iter().for_each(FlightRecorder::reset_views);
    }

    /// A round at a point of the agent's time line.
    pub(crate) fn collect_at(&self, uptime: std::time::Duration) {
        let now = Tick { mono: self.started.mono + uptime, wall: self.started.wall + uptime };
        self.begin_round(None, now);
        self.collect(None, now);
        self.record(now);
    }

    fn tell_heap_callbacks(&self, pool: Option<&Handle>, now: Tick) {
        let callbacks = self.heap_callbacks.lock().clone();
        let snapshot = Arc::new(self.snapshot(now));
        for alert in callbacks {
            let (conduct, snapshot) = (Arc::clone(&alert.conduct), Arc::clone(&snapshot));
            conduct.call(pool, now.mono, move || (alert.callback.lock())(&snapshot), || ());
        }
    }

    /// Counts the failures of one callback of the service.
    pub(crate) fn callback_failures(&self, callback: &str) -> crate::instruments::Counter {
        let labels = Labels::from_pairs([("callback", callback)]);
        self.registry.counter("heartline.callback.failures", labels, crate::registry::Room::Reserved)
    }

    /// Everything known now: recorded values of this moment, collected ones of the newest round.
    pub(crate) fn snapshot(&self, now: Tick) -> Snapshot {
        self.assemble(now, self.next(), Families::into_sorted)
    }

    /// The same with the series of each metric in no order.
    #[cfg(feature = "otlp")]
    pub(crate) fn unsorted(&self, now: Tick) -> Snapshot {
        self.assemble(now, self.next(), Families::into_unsorted)
    }

    fn next(&self) -> u64 {
        self.seq.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn assemble(&self, now: Tick, seq: u64, ordered: fn(Families) -> Vec<Family>) -> Snapshot {
        let mut families = Families::clone(&Arc::clone(&*self.collected.lock()));
        self.registry.read(&mut families);
        self.health.read(&mut families, now);
        let (heap, checks) = (families.heap.take(), std::mem::take(&mut families.checks));
        Snapshot {
            schema_version: SCHEMA_VERSION,
            service: self.config.service.clone(),
            version: self.config.version.clone(),
            instance_id: self.config.instance_id.clone(),
            started_at: self.started.wall.to_string(),
            started_at_ms: self.started.wall,
            timestamp: now.wall.to_string(),
            ts_ms: now.wall,
            seq,
            uptime_seconds: self.uptime(now).as_secs_f64(),
            extra_boundaries: std::collections::BTreeMap::new(),
            metrics: ordered(families),
            heap,
            checks,
        }
    }

    /// How the endpoint is to listen on `address`.
    pub(crate) fn endpoint(&self, address: Listen) -> Options {
        Options {
            address,
            policy: self.policy(),
            tls: self.config.tls.clone(),
            insecure_remote: self.config.insecure_remote,
            deadlines: Deadlines::default(),
        }
    }

    /// Who may ask.
    pub(crate) fn policy(&self) -> Policy {
        Policy {
            read_token: self.read_token.clone(),
            admin_token: self.admin_token.clone(),
            hosts: self.config.allowed_hosts.clone(),
            origins: self.config.allowed_origins.clone(),
        }
    }

    /// Time since the agent started, suspend included.
    pub(crate) fn uptime(&self, now: Tick) -> std::time::Duration {
        now.mono.saturating_sub(self.started.mono)
    }
}

impl Source for Core {
    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(Self::snapshot(self, Tick::now()))
    }

    fn overall(&self) -> Overall {
        self.health.overall(Tick::now())
    }

    fn recorder(&self) -> Option<&FlightRecorder> {
        self.recorder.as_ref()
    }

    fn failures(&self) -> Option<&Failures> {
        Some(&self.failures)
    }

    fn slow(&self) -> Option<&SlowLog> {
        Some(&self.requests.slow)
    }

    #[cfg(all(feature = "tracing", feature = "otlp"))]
    fn spans_pushed(&self) -> Option<(u64, u64)> {
        self.requests.outbox.counts()
    }

    fn open(&self) -> Option<&OpenRequests> {
        Some(&self.requests.open)
    }

    fn exemplars(&self) -> Exemplified {
        self.requests.exemplars()
    }

    fn actions(&self) -> Option<&Actions> {
        Some(&self.actions)
    }

    #[cfg(feature = "jemalloc")]
    fn heap_profiler(&self) -> Option<crate::heap::Profiler> {
        Some(self.profiler.clone())
    }

    #[cfg(feature = "cpu-profile")]
    fn cpu_profiler(&self) -> Option<crate::cpu::Profiler> {
        Some(self.cpu_profiler.clone())
    }

    fn admin_asked(&self, route: &'static str, outcome: &'static str) {
        let labels = Labels::from_pairs([("route", route), ("outcome", outcome)]);
        self.registry.counter("heartline.admin.requests", labels, crate::registry::Room::Reserved).increment();
    }
}

/// Adds a collector to a list in place of one of the same subject.
fn put(list: &mut Vec<Box<dyn Collector>>, collector: Box<dyn Collector>) {
    list.retain(|it| it.subject().is_none() || it.subject() != collector.subject());
    list.push(collector);
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core").field("config", &self.config).finish_non_exhaustive()
    }
}
