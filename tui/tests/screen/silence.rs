//! What the model knows of a target that answered for a while and then no more: its documents, made from a reading.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::buckets::GridKind;
use heartline_shared::snapshot::{CheckResult, Family, HeapVerdict, HistogramSeries, NumberSeries, SCHEMA_VERSION};
use heartline_shared::{Grid, Histogram, Labels, Snapshot, UnixMillis, catalog};
use heartline_tui::model::reading::{BreakerState, Cache, Pool, Queue};
use heartline_tui::model::{Model, Settings, TargetReading};
use heartline_tui::source::{Answer, Failure, Outcome};

const POLL: Duration = Duration::from_millis(1);

/// The reading at `now` of a target that was as `before` says until `ago`; since then polls fail because of `why`.
pub(crate) fn gone(before: &TargetReading, (now, ago): (UnixMillis, Duration), why: &str) -> TargetReading {
    let mut model = Model::new([before.target.clone()], Settings::default());
    let mut absorb = |at: UnixMillis, answer| {
        model.absorb(&Outcome { target: 0, generation: at.0, at, took: Duration::from_micros(1240), answer });
    };
    for earlier in [Duration::from_secs(1), Duration::ZERO] {
        let at = now - ago - earlier;
        let snapshot = Arc::new(document(before, at, earlier));
        absorb(at, Ok(Answer { snapshot, bytes: 14_812, series_left_out: 0 }));
    }
    let first = now - ago + Duration::from_secs(1);
    (0..3).for_each(|poll| absorb(first + POLL * poll, Err(Failure::new(why))));
    model.tick(now);
    model.targets()[0].reading().clone()
}

/// The document that a target with this reading would send at that moment, so much earlier.
fn document(of: &TargetReading, at: UnixMillis, earlier: Duration) -> Snapshot {
    let uptime = of.uptime.unwrap_or_default().saturating_sub(earlier);
    let mut families = Families::default();
    requests(&mut families, of);
    of.pools.iter().for_each(|it| pool(&mut families, it));
    of.caches.iter().for_each(|it| cache(&mut families, it));
    of.queues.iter().for_each(|it| queue(&mut families, it));
    machine(&mut families, of);
    breakers(&mut families, of);
    let heap = HeapVerdict {
        jemalloc: of.heap.jemalloc.unwrap_or_default(),
        trend: of.heap.trend,
        growth_bytes_per_second: of.heap.growth_bytes_per_second,
        leak: of.heap.leak.unwrap_or_default(),
        seconds_to_limit: of.heap.seconds_to_limit,
        evidence: of.heap.evidence.iter().map(ToString::to_string).collect(),
        ..HeapVerdict::default()
    };
    let check = |it: &heartline_tui::model::reading::HealthCheck| CheckResult {
        name: it.name.to_string(),
        criticality: it.criticality,
        status: it.status,
        latency_seconds: it.latency_seconds,
        checked_at_ms: it.age.map(|age| at - age),
        message: it.message.as_ref().map(ToString::to_string),
    };
    Snapshot {
        schema_version: SCHEMA_VERSION,
        service: of.service.as_ref().map(ToString::to_string).unwrap_or_default(),
        version: of.version.as_ref().map(ToString::to_string),
        instance_id: of.instance_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        started_at_ms: of.started_at.unwrap_or_default(),
        seq: uptime.as_secs(),
        ts_ms: at,
        uptime_seconds: uptime.as_secs_f64(),
        metrics: families.0,
        heap: Some(heap),
        checks: of.checks.iter().map(check).collect(),
        ..Snapshot::default()
    }
}

fn requests(families: &mut Families, of: &TargetReading) {
    families.level("http.server.active_requests", &[], of.requests.in_flight);
    for route in &of.routes {
        let mut labels = vec![("http.request.method", route.method.as_str())];
        labels.extend(route.route.as_ref().map(|path| ("http.route", path.as_str())));
        for (status, requests) in &route.by_status {
            let status = [&labels[..], &[("http.response.status_code", status.as_str())]].concat();
            families.times("http.server.request.duration", &status, *requests, route.mean_seconds);
        }
    }
    for query in &of.query_summaries {
        let labels = [("db.query.summary", query.summary.as_str()), ("db.system.name", query.system.as_str())];
        families.times("db.client.operation.duration", &labels, query.total, query.mean_seconds);
    }
}

fn pool(families: &mut Families, it: &Pool) {
    let name = ("db.client.connection.pool.name", it.name.as_str());
    for (state, connections) in [("used", it.used), ("idle", it.idle)] {
        families.level("db.client.connection.count", &[name, ("db.client.connection.state", state)], connections);
    }
    families.level("db.client.connection.max", &[name], it.max);
    families.level("db.client.connection.pending_requests", &[name], it.pending);
    families.level("db.client.connection.timeouts", &[name], it.timeouts);
}

fn cache(families: &mut Families, it: &Cache) {
    let tier = [("cache.name", it.name.as_str()), ("cache.tier", it.tier.as_str())];
    for (result, requests) in [("hit", it.hits), ("miss", it.misses)] {
        let labels = [&tier[..], &[("cache.result", result)]].concat();
        families.level("heartline.cache.requests", &labels, Some(requests));
    }
    families.level("heartline.cache.entry.count", &tier, it.entries);
    families.level("heartline.cache.size", &tier, it.bytes);
    families.level("heartline.cache.limit", &tier, it.limit_bytes);
}

fn queue(families: &mut Families, it: &Queue) {
    let name = ("queue.name", it.name.as_str());
    for (state, jobs) in [("waiting", it.waiting), ("active", it.active), ("delayed", it.delayed), ("failed", it.dead)]
    {
        families.level("heartline.job.count", &[name, ("job.state", state)], jobs);
    }
    families.level("heartline.job.enqueued", &[name], it.enqueued);
    families.level("heartline.job.completed", &[name, ("job.outcome", "success")], Some(it.completed));
}

fn machine(families: &mut Families, of: &TargetReading) {
    for (metric, value) in [
        ("jemalloc.allocated", of.heap.allocated_bytes),
        ("jemalloc.active", of.heap.active_bytes),
        ("jemalloc.resident", of.heap.resident_bytes),
        ("process.memory.usage", of.process.rss_bytes),
        ("process.thread.count", of.process.threads),
        ("tokio.worker.count", of.runtime.as_ref().and_then(|runtime| runtime.workers)),
        ("heartline.dropped", of.agent.dropped),
        ("heartline.series.count", of.agent.series),
        ("heartline.series.dropped", of.agent.series_dropped),
        ("heartline.agent.memory", of.agent.memory_bytes),
    ] {
        families.level(metric, &[], value);
    }
    families.number("process.cpu.utilization", &[], of.process.cpu_ratio);
    let source = of.heap.limit_source.as_ref().map(ToString::to_string).unwrap_or_default();
    families.level("heartline.memory.limit", &[("heartline.limit.source", &source)], of.heap.limit_bytes);
}

fn breakers(families: &mut Families, of: &TargetReading) {
    for it in &of.breakers {
        let closed = it.state.map(|state| if state == BreakerState::Closed { 1.0 } else { 0.0 });
        let labels = [("circuit_breaker.name", it.name.as_str()), ("circuit_breaker.state", "closed")];
        families.number("heartline.circuit_breaker.status", &labels, closed);
    }
}

/// The metrics of a document, in the order in which they were first named.
#[derive(Default)]
struct Families(Vec<Family>);

impl Families {
    fn level(&mut self, metric: &'static str, labels: &[(&str, &str)], value: Option<u64>) {
        self.number(metric, labels, value.map(|value| value as f64));
    }

    fn number(&mut self, metric: &'static str, labels: &[(&str, &str)], value: Option<f64>) {
        let Some(value) = value else { return };
        self.family(metric).numbers.push(NumberSeries { labels: owned(labels), value });
    }

    /// So many durations, all as long as `mean`.
    fn times(&mut self, metric: &'static str, labels: &[(&str, &str)], count: u64, mean: Option<f64>) {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        histogram.record(&grid, mean.and_then(|mean| grid.resolution(mean)).expect("a time of the fixture"));
        (histogram.count, histogram.sum) = (count, histogram.sum * count);
        histogram.buckets.iter_mut().for_each(|(_, held)| *held = count);
        self.family(metric).histograms.push(HistogramSeries { labels: owned(labels), histogram });
    }

    fn family(&mut self, metric: &'static str) -> &mut Family {
        let at = self.0.iter().position(|family| family.name == metric).unwrap_or_else(|| {
            let known = catalog::find(metric).expect("a metric of the catalogue");
            let (name, kind, unit) = (metric.into(), known.kind, known.unit.into());
            self.0.push(Family { name, kind, unit, help: None, numbers: Vec::new(), histograms: Vec::new() });
            self.0.len() - 1
        });
        &mut self.0[at]
    }
}

fn owned(labels: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
}
