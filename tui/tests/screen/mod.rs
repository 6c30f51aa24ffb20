//! Realistic readings and histories for golden frames, the same in every run. How they are drawn is not known here.

mod silence;
mod single;

use std::f64::consts::TAU;
use std::time::Duration;

use heartline_shared::UnixMillis;
use heartline_shared::snapshot::{CheckStatus, Criticality, Leak, Sampling, Trend};
use heartline_tui::alerting::{Mistake, Problems};
use heartline_tui::model::reading::{
    AgentSelf, Breaker, BreakerState, Cache, CallSite, CallSites, HealthCheck, Heap, PollReading, Pool, Process,
    Queries, QuerySummary, Queue, Requests, Route, Runtime, StatusSplit,
};
use heartline_tui::model::{Axis, Chart, Freshness, TargetReading};
use heartline_tui::screen::Screen;
use heartline_tui::source::Traces;
use heartline_tui::source::traces::Traced;
use heartline_tui::text::Text;
use heartline_tui::views::alerts::{AlertLine, AlertStage};
use heartline_tui::views::theme::Severity;
use heartline_tui::views::{Charts, Scene, Theme, page};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::layout::Rect;
use ratatui::style::Color;

/// 2026-03-02T03:14:07Z.
const NOW: UnixMillis = UnixMillis(1_772_421_247_000);
const MIB: u64 = 1024 * 1024;

/// Everything a frame is drawn from.
pub(crate) struct Picture {
    pub(crate) targets: Vec<TargetReading>,
    pub(crate) alerts: Vec<AlertLine>,
    pub(crate) screen: Screen,
    pub(crate) paused: Option<Duration>,
    pub(crate) problems: Problems,
    pub(crate) traces: Option<Traces>,
    pub(crate) opened: Option<Traced>,
    pub(crate) theme: Theme,
    histories: Histories,
}

impl Picture {
    fn terminal(&self, width: u16, height: u16) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a buffer is always there");
        let targets: Vec<&TargetReading> = self.targets.iter().collect();
        let scene = Scene {
            targets: &targets,
            charts: Some(&self.histories),
            alerts: &self.alerts,
            problems: &self.problems,
            traces: self.traces.as_ref(),
            opened: self.opened.as_ref(),
            screen: &self.screen,
            now: NOW,
            paused: self.paused,
            theme: self.theme,
        };
        terminal
            .draw(|frame| page::draw(&scene, frame.buffer_mut(), Rect::new(0, 0, width, height)))
            .expect("a buffer takes every frame");
        terminal
    }

    pub(crate) fn drawn(&self, width: u16, height: u16) -> String {
        self.terminal(width, height).backend().to_string()
    }

    pub(crate) fn has_colour(&self, width: u16, height: u16) -> bool {
        let terminal = self.terminal(width, height);
        let cells = terminal.backend().buffer().content();
        cells.iter().any(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
    }

    fn alert(&mut self, name: &str) -> &mut AlertLine {
        self.alerts.iter_mut().find(|alert| alert.name == name).expect("a rule of this name")
    }

    pub(crate) fn go_down(&mut self, ago: Duration) {
        let why = "connecting to http://127.0.0.1:9464: connection refused; is the service running?";
        self.targets[0] = silence::gone(&self.targets[0], (NOW, ago), why);
        self.histories.silent_since = Some(NOW - ago);
    }

    pub(crate) fn go_stale(&mut self, ago: Duration) {
        let target = &mut self.targets[0];
        (target.state, target.age) = (Freshness::Stale, Some(ago));
        target.error = Some("http://127.0.0.1:9464 did not answer within 5s".into());
        self.histories.silent_since = Some(NOW - ago);
    }

    pub(crate) fn restart(&mut self, ago: Duration) {
        let target = &mut self.targets[0];
        (target.restarts, target.restarted_at) = (1, Some(NOW - ago));
        (target.uptime, target.started_at) = (Some(ago), Some(NOW - ago));
        self.histories.restarted_at = Some(NOW - ago);
    }

    pub(crate) fn tell_of_requests(&mut self) {
        self.traces = Some(single::traces(NOW));
    }

    pub(crate) fn fall_silent_about_requests(&mut self) {
        self.traces = Some(single::silent_traces(NOW));
    }

    pub(crate) fn misread_rules(&mut self) {
        let mistake = |row: usize, line: &str, help: &str| {
            Mistake::new(&format!(
                "error: this is no threshold\n --> /etc/heartline/alerts.toml:{row}:1\n  |\n{row} | {line}\n  | ^ {help}"
            ))
        };
        self.problems = Problems {
            mistakes: vec![
                mistake(5, "warning = '> 5%'", "write a time, such as > 5s"),
                mistake(9, "critical = \u{1b}[2J", "write a quantity"),
            ],
            file: "/etc/heartline/alerts.toml".into(),
            in_force: "built-in rules".into(),
        };
    }

    pub(crate) fn never_answered(&mut self) {
        self.targets[0] = TargetReading {
            target: "http://127.0.0.1:9464".into(),
            state: Freshness::Down,
            error: Some("connecting to http://127.0.0.1:9464: connection refused; is the service running?".into()),
            ..TargetReading::default()
        };
        self.histories.silent_since = Some(UnixMillis(0));
    }
}

/// A number as a count.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small positive numbers of this file")]
fn whole(value: f64) -> u64 {
    value as u64
}

/// Histories made of waves; from a moment on those of an incident.
#[derive(Default)]
struct Histories {
    incident_since: Option<UnixMillis>,
    silent_since: Option<UnixMillis>,
    restarted_at: Option<UnixMillis>,
}

impl Charts for Histories {
    fn values(&self, chart: &Chart, axis: Axis) -> Vec<Option<f64>> {
        let (start, width) = axis.edges();
        let at = |column: usize| UnixMillis(start.0 + width * column as u64);
        (0..axis.columns).map(|column| self.value(chart, at(column))).collect()
    }

    fn restarts(&self) -> Vec<UnixMillis> {
        self.restarted_at.into_iter().collect()
    }
}

impl Histories {
    fn value(&self, chart: &Chart, at: UnixMillis) -> Option<f64> {
        let silent = self.silent_since.is_some_and(|since| at >= since);
        let starting = self.restarted_at.is_some_and(|restart| at + Duration::from_secs(4) >= restart && at < restart);
        if silent || starting {
            return None;
        }
        let bad = self.incident_since.is_some_and(|since| at >= since);
        let seconds = at.0 as f64 / 1000.0;
        let wave = |period: f64, swing: f64| {
            1.0 + swing * (TAU * seconds / period).sin() + swing * 0.3 * (TAU * seconds / 11.0).cos()
        };
        let worse = |quiet: f64, broken: f64| if bad { broken } else { quiet };
        let warmth = self
            .restarted_at
            .filter(|restart| at >= *restart)
            .map_or(1.0, |restart| (at.since(restart).as_secs_f64() / 120.0).min(1.0).mul_add(0.4, 0.6));
        Some(match chart {
            Chart::RequestRate => worse(842.0, 310.0) * wave(180.0, 0.12),
            Chart::RequestErrorRatio => worse(0.002, 0.118) * wave(60.0, 0.3),
            Chart::RequestCancelledRate => worse(0.4, 31.0),
            Chart::RequestP50 => worse(0.0123, 0.82) * wave(90.0, 0.08),
            Chart::RequestP95 => worse(0.084, 2.4) * wave(75.0, 0.15),
            Chart::RequestP99 => worse(0.21, 4.1) * wave(50.0, 0.2),
            Chart::RequestsInFlight => worse(12.0, 260.0) * wave(40.0, 0.2),
            Chart::QueryRate => worse(3210.0, 900.0) * wave(180.0, 0.1),
            Chart::QueryP95 | Chart::QuerySummaryP95 { .. } => worse(0.0084, 0.34) * wave(66.0, 0.2),
            Chart::QuerySummaryRate { .. } => 410.0 * wave(100.0, 0.1),
            Chart::HeapAllocated => 371e6 * warmth * wave(240.0, 0.012),
            Chart::HeapResident => 402e6 * warmth * wave(240.0, 0.006),
            Chart::ProcessRss => 431e6 * warmth * wave(240.0, 0.003),
            Chart::ProcessCpu => worse(0.34, 0.12) * wave(45.0, 0.2),
            Chart::RuntimeUtilization => worse(0.41, 0.15) * wave(55.0, 0.2),
            Chart::PoolUsed(name) if name == "primary" => worse((4.0 * wave(30.0, 0.5)).round(), 10.0),
            Chart::PoolUsed(_) => (2.0 * wave(30.0, 0.5)).round(),
            Chart::PoolPending(_) => worse(0.0, 37.0 * wave(20.0, 0.1)),
            Chart::CacheHitRatio { .. } => (0.94 * wave(120.0, 0.02)).min(1.0),
            Chart::QueueWaiting(_) => worse(12.0, 40.0) * wave(35.0, 0.6),
            Chart::QueueCompletedRate(_) => 12.1 * wave(80.0, 0.2),
            Chart::RouteRate { .. } => 121.0 * wave(100.0, 0.2),
            Chart::RouteP95 { .. } => worse(0.31, 3.1) * wave(64.0, 0.2),
            _ => return None,
        })
    }
}

/// A service as it is most of the time, with two other targets beside it.
pub(crate) fn quiet_shop() -> Picture {
    Picture {
        targets: vec![shop(), replica("b", 0.9), offline()],
        alerts: rules(),
        screen: Screen::default(),
        paused: None,
        problems: Problems::default(),
        traces: None,
        opened: None,
        theme: Theme::coloured(),
        histories: Histories::default(),
    }
}

/// The same service a quarter of an hour after something began to hold its database connections.
pub(crate) fn shop_without_connections() -> Picture {
    let mut picture = quiet_shop();
    let since = NOW - Duration::from_secs(784);
    picture.histories.incident_since = Some(since);
    let shop = &mut picture.targets[0];
    shop.requests = Requests {
        rate: Some(310.4),
        error_ratio: Some(0.118),
        cancelled_rate: Some(31.0),
        in_flight: Some(260),
        p50_seconds: Some(0.82),
        p95_seconds: Some(2.4),
        p99_seconds: Some(4.1),
        ..shop.requests.clone()
    };
    for (route, slower) in shop.routes.iter_mut().zip([9.0, 11.0, 8.0, 2.0, 1.0, 1.0, 7.0, 1.0]) {
        let slow = |seconds: Option<f64>| seconds.map(|seconds| seconds * slower);
        route.p50_seconds = slow(route.p50_seconds);
        route.p95_seconds = slow(route.p95_seconds);
        route.p99_seconds = slow(route.p99_seconds);
        route.error_ratio = if slower > 5.0 { Some(slower / 70.0) } else { route.error_ratio };
    }
    let pool = &mut shop.pools[0];
    (pool.used, pool.idle, pool.pending, pool.timeouts) = (Some(10), Some(0), Some(37), Some(2318));
    (pool.timeout_rate, pool.wait_p95_seconds) = (Some(3.1), Some(1.21));
    for (name, stage, level, ago) in [
        ("DbPoolUtilization", AlertStage::Firing, Severity::Critical, 784),
        ("HttpErrorRatio", AlertStage::Firing, Severity::Critical, 725),
        ("HttpLatencyP95", AlertStage::Firing, Severity::Warning, 731),
        ("CircuitOpen", AlertStage::Pending, Severity::Warning, 25),
    ] {
        let alert = picture.alert(name);
        let lasted = Duration::from_secs(ago);
        (alert.stage, alert.level, alert.since, alert.lasted) = (stage, level, Some(NOW - lasted), Some(lasted));
        alert.target = "http://127.0.0.1:9464".into();
        alert.fired_at = alert.since.filter(|_| stage == AlertStage::Firing);
        alert.progress = (stage == AlertStage::Pending).then_some(0.41);
    }
    let told = [
        ("DbPoolUtilization", "100%", "> 90%", "pool=primary", "pool primary of a is at 100% of its connections"),
        ("HttpErrorRatio", "11.8%", "> 5%", "", "11.8% of requests fail on a"),
        ("HttpLatencyP95", "2.40s", "> 1s", "", "p95 latency is 2.40s on a"),
        ("CircuitOpen", "1", "> 0", "breaker=payment", "the circuit breaker payment is open on a"),
    ];
    for (name, value, condition, labels, summary) in told {
        let alert = picture.alert(name);
        (alert.value, alert.condition) = (Some(value.into()), condition.into());
        (alert.labels, alert.summary) = (labels.into(), summary.into());
    }
    picture
}

/// Name, level, value, condition, signal and summary of each rule.
const RULES: [(&str, Severity, [&str; 4]); 10] = [
    (
        "HttpLatencyP95",
        Severity::Warning,
        ["84.0ms", "> 1s", "p95(http.server.request.duration)", "p95 latency is 84.0ms on a"],
    ),
    ("HttpErrorRatio", Severity::Warning, ["0.21%", "> 1%", "http.error_ratio", "0.21% of requests fail on a"]),
    ("DbPoolUtilization", Severity::Warning, ["40%", "> 80%", "db.pool.utilization", "pool primary of a is at 40%"]),
    ("DbSlowQueries", Severity::Warning, ["0.0%", "> 5%", "db.slow_ratio", "0.0% of queries are slow on a"]),
    ("QueriesPerRequest", Severity::Warning, ["3.8", "> 10", "queries / requests", "3.8 queries a request on a"]),
    ("CacheHitRatio", Severity::Warning, ["94%", "< 70%", "cache.hit_ratio", "cache products hits 94% on a"]),
    ("CacheFull", Severity::Info, ["19%", "> 95%", "last(heartline.cache.size)", "cache products is 19% full"]),
    ("QueueDepth", Severity::Warning, ["12", "> 1000", "last(heartline.job.count)", "12 jobs wait in email"]),
    ("HeapLeakSuspected", Severity::Critical, ["0", "> 0", "last(heartline.memory.leak.suspected)", "a leaks memory"]),
    (
        "CircuitOpen",
        Severity::Warning,
        ["0", "> 0", "last(heartline.circuit_breaker.state)", "circuit payment is open"],
    ),
];

fn rules() -> Vec<AlertLine> {
    let rule = |(name, level, [value, condition, signal, summary]): (&str, Severity, [&str; 4])| AlertLine {
        name: name.into(),
        level,
        value: Some(value.into()),
        condition: condition.into(),
        signal: signal.into(),
        summary: summary.into(),
        ..AlertLine::default()
    };
    RULES.into_iter().map(rule).collect()
}

fn route(method: &str, path: &str, rate: f64, p95: f64, error_ratio: f64) -> Route {
    let total = whole(rate * 7984.0);
    let window = rate * 10.0;
    let errors = whole((window * error_ratio).round());
    Route {
        method: method.into(),
        route: (!path.is_empty()).then(|| Text::new(path)),
        total,
        rate: Some(rate),
        errors: whole(total as f64 * error_ratio),
        error_ratio: Some(error_ratio),
        cancelled: total / 4000,
        p50_seconds: Some(p95 * 0.21),
        p95_seconds: Some(p95),
        p99_seconds: Some(p95 * 2.3),
        mean_seconds: Some(p95 * 0.3),
        statuses: Some(StatusSplit {
            success: whole(window) - errors,
            client_error: whole(window) / 60,
            server_error: errors,
            cancelled: whole(window) / 400,
            ..StatusSplit::default()
        }),
        by_status: vec![
            ("200".into(), total - total / 50),
            ("404".into(), total / 60),
            ("500".into(), errors * 90),
            ("cancelled".into(), total / 4000),
        ],
    }
}

fn query(summary: &str, rate: f64, p95: f64, share: f64) -> QuerySummary {
    QuerySummary {
        system: "sqlite".into(),
        summary: summary.into(),
        total: whole(rate * 7984.0),
        rate: Some(rate),
        errors: 0,
        error_ratio: Some(0.0),
        by_error: vec![("timeout".into(), 0)],
        slow: Some(whole(p95 * 40.0)),
        rows_mean: Some(rate / 31.0),
        p50_seconds: Some(p95 * 0.3),
        p95_seconds: Some(p95),
        p99_seconds: Some(p95 * 1.9),
        mean_seconds: Some(p95 * 0.4),
        time_share: Some(share),
    }
}

fn shop() -> TargetReading {
    TargetReading {
        target: "http://127.0.0.1:9464".into(),
        service: Some("shop".into()),
        instance_id: Some("a".into()),
        version: Some("1.4.2".into()),
        started_at: Some(NOW - Duration::from_secs(7984)),
        uptime: Some(Duration::from_secs(7984)),
        state: Freshness::Fresh,
        age: Some(Duration::from_millis(412)),
        poll: PollReading {
            took: Some(Duration::from_micros(1240)),
            bytes: Some(14_812),
            failures: 0,
            series_left_out: 0,
        },
        window: Some(Duration::from_secs(10)),
        requests: requests(),
        routes: routes(),
        queries: queries(),
        query_summaries: query_summaries(),
        pools: pools(),
        caches: vec![
            cache("products", "l1", 0.94, 612.0),
            cache("products", "l2", 0.61, 36.7),
            cache("sessions", "l1", 0.988, 842.0),
        ],
        queues: vec![
            queue("email", 12, 2, 12.1),
            queue("sms", 0, 0, 1.4),
            queue("report", 3, 1, 0.2),
            queue("audit", 0, 1, 34.2),
        ],
        heap: heap(),
        process: process(),
        runtime: Some(Runtime {
            workers: Some(4),
            tasks: Some(84),
            global_queue: Some(0),
            utilization: Some(0.41),
            worker_busy: vec![(0, 0.44), (1, 0.41), (2, 0.40), (3, 0.39)],
            schedule_delay_p50_seconds: Some(0.000_04),
            schedule_delay_p99_seconds: Some(0.0012),
        }),
        breakers: vec![Breaker {
            name: "payment".into(),
            state: Some(BreakerState::Closed),
            success: 271_201,
            failure: 80,
            ignored: 0,
            rejected: 0,
            rate: Some(34.2),
            failure_ratio: Some(0.0003),
            p95_seconds: Some(0.121),
        }],
        checks: vec![check("database", 0.0012), check("cache", 0.0004)],
        agent: agent(),
        ..TargetReading::default()
    }
}

fn requests() -> Requests {
    Requests {
        total: Some(6_722_528),
        rate: Some(842.4),
        errors: Some(13_901),
        error_ratio: Some(0.0021),
        cancelled: Some(1680),
        cancelled_rate: Some(0.4),
        in_flight: Some(12),
        p50_seconds: Some(0.0123),
        p95_seconds: Some(0.084),
        p99_seconds: Some(0.21),
        statuses: Some(StatusSplit::default()),
        ..Requests::default()
    }
}

fn queries() -> Queries {
    Queries {
        total: Some(25_612_112),
        rate: Some(3210.0),
        errors: Some(12),
        error_ratio: Some(0.0),
        slow: Some(31),
        slow_rate: Some(0.0),
        per_request: Some(3.81),
        p50_seconds: Some(0.0012),
        p95_seconds: Some(0.0084),
        p99_seconds: Some(0.021),
    }
}

fn agent() -> AgentSelf {
    AgentSelf {
        offered: Some(64_221_908),
        offered_rate: Some(8120.0),
        dropped: Some(0),
        series: Some(214),
        series_dropped: Some(0),
        memory_bytes: Some(3 * MIB + 200_000),
        cpu_cores: Some(0.0041),
        callback_failures: Some(0),
        ..AgentSelf::default()
    }
}

fn routes() -> Vec<Route> {
    vec![
        route("GET", "/orders/{id}", 121.0, 0.31, 0.001),
        route("POST", "/orders", 34.2, 0.244, 0.0082),
        route("GET", "/customers/{id}/orders", 18.4, 0.182, 0.0),
        route("GET", "/products", 402.1, 0.0611, 0.0),
        route("GET", "/products/{id}", 201.7, 0.0384, 0.0),
        route("GET", "/search", 48.0, 0.151, 0.0),
        route("PUT", "/carts/{id}/items/{product_id}", 12.8, 0.0441, 0.003),
        route("GET", "", 4.2, 0.0006, 0.0),
    ]
}

fn query_summaries() -> Vec<QuerySummary> {
    vec![
        query("SELECT order_items", 410.0, 0.0194, 0.44),
        query("SELECT products", 1204.0, 0.0064, 0.31),
        query("SELECT orders", 402.0, 0.0071, 0.13),
        query("SELECT products_search", 48.0, 0.0211, 0.06),
        query("INSERT orders", 34.2, 0.0112, 0.04),
        query("UPDATE products", 34.2, 0.0052, 0.01),
        query("SELECT users", 88.1, 0.0013, 0.01),
    ]
}

fn pools() -> Vec<Pool> {
    vec![
        Pool {
            name: "primary".into(),
            max: Some(10),
            used: Some(4),
            idle: Some(6),
            pending: Some(0),
            timeouts: Some(0),
            timeout_rate: Some(0.0),
            wait_p95_seconds: Some(0.00021),
            acquire_rate: Some(3210.0),
        },
        Pool {
            name: "reports".into(),
            max: Some(5),
            used: Some(1),
            idle: Some(2),
            pending: Some(0),
            ..Pool::default()
        },
    ]
}

fn heap() -> Heap {
    Heap {
        jemalloc: Some(true),
        allocated_bytes: Some(354 * MIB),
        active_bytes: Some(371 * MIB),
        resident_bytes: Some(384 * MIB),
        mapped_bytes: Some(402 * MIB),
        retained_bytes: Some(61 * MIB),
        metadata_bytes: Some(9 * MIB),
        limit_bytes: Some(2048 * MIB),
        limit_source: Some("cgroup".into()),
        trend: Trend::Stable,
        growth_bytes_per_second: Some(812.0),
        leak: Some(Leak::None),
        confidence: Some(0.92),
        seconds_to_limit: None,
        evidence: vec![
            "the memory floor moved by less than 1 % in the last 20 minutes".into(),
            "growth after the start ended 1h48m ago: warm-up, not a leak".into(),
        ],
        sites: Some(CallSites::default()),
    }
}

/// A shop that leaks sessions, with the sites that a profile found.
pub(crate) fn leaking_shop() -> Picture {
    let mut picture = quiet_shop();
    let site = |function: &str, place: &str, mib, growth, share, survival| CallSite {
        function: function.into(),
        place: Some(place.into()),
        live_bytes: mib * MIB,
        growth_bytes_per_second: growth,
        share,
        survival,
    };
    let sites = CallSites {
        sampling: Sampling::Active,
        sampled: Duration::from_secs(321),
        explained: Some(0.96),
        notes: vec!["registered caches grew by 2.1 MiB meanwhile: the sites that fill them are among these".into()],
        list: vec![
            site("remember_session", "shop/src/sessions.rs:52", 325, Some(1.02e6), Some(0.94), Some(0.99)),
            site("open_cart", "shop/src/carts.rs:118", 7, Some(2.1e4), Some(0.02), Some(0.91)),
            site("render_recommendations_page", "shop/src/pages/recommendations.rs:9", 3, None, None, Some(0.04)),
        ],
    };
    picture.targets[0].heap = Heap {
        trend: Trend::Growing,
        growth_bytes_per_second: Some(1.09e6),
        leak: Some(Leak::Suspected),
        seconds_to_limit: Some(1_680.0),
        evidence: vec![
            "the floor of memory rose by 331 MiB in 5 min, 3.7 GiB/h".into(),
            "it never gave back more than 1.2 MiB of that, and still rises at 101 % of its usual pace".into(),
            "all 3 time scales agree: 96 s, 3 min, 6 min".into(),
            "ruled out: a single step, a cache that is full, a warm-up, logarithmic growth".into(),
            "at this pace the limit is reached in about 28 min (between 21 min and 38 min)".into(),
        ],
        sites: Some(sites),
        ..heap()
    };
    picture
}

fn process() -> Process {
    Process {
        cpu_ratio: Some(0.34),
        cpu_cores: Some(1.36),
        cpu_limit: Some(4.0),
        rss_bytes: Some(411 * MIB),
        virtual_bytes: Some(1_204 * MIB),
        threads: Some(14),
        fds: Some(61),
        fd_limit: Some(1024),
        uptime: Some(Duration::from_secs(7984)),
        disk_read_rate: Some(0.0),
        disk_write_rate: Some(48_211.0),
    }
}

fn cache(name: &str, tier: &str, hit_ratio: f64, rate: f64) -> Cache {
    let requests = whole(rate * 7984.0);
    let hits = whole(requests as f64 * hit_ratio);
    Cache {
        name: name.into(),
        tier: tier.into(),
        requests,
        rate: Some(rate),
        hit_ratio: Some(hit_ratio),
        hits,
        misses: requests - hits,
        stale: 0,
        errors: 0,
        writes: Some(requests - hits),
        write_rate: Some(rate * (1.0 - hit_ratio)),
        evictions: Some(4211),
        eviction_rate: Some(0.5),
        by_eviction: vec![("expired".into(), 3907), ("size".into(), 304)],
        entries: Some(4980),
        bytes: Some(12 * MIB),
        limit_bytes: Some(64 * MIB),
    }
}

fn queue(name: &str, waiting: u64, active: u64, rate: f64) -> Queue {
    Queue {
        name: name.into(),
        waiting: Some(waiting),
        active: Some(active),
        delayed: Some(1),
        retrying: Some(0),
        dead: Some(0),
        paused: Some(0),
        enqueued: Some(whole(rate * 7984.0)),
        enqueue_rate: Some(rate),
        completed: whole(rate * 7980.0),
        complete_rate: Some(rate),
        failed: 14,
        fail_rate: Some(0.0),
        retried: 3,
        wait_p95_seconds: Some(0.42),
        run_p95_seconds: Some(0.081),
        oldest_age: (waiting > 0).then_some(Duration::from_secs(1)),
        drain: (waiting > 0).then_some(Duration::from_secs(1)),
    }
}

fn check(name: &str, latency: f64) -> HealthCheck {
    HealthCheck {
        name: name.into(),
        criticality: Criticality::Critical,
        status: Some(CheckStatus::Pass),
        latency_seconds: Some(latency),
        age: Some(Duration::from_millis(3_600)),
        message: None,
    }
}

fn replica(instance: &str, scale: f64) -> TargetReading {
    let mut replica = shop();
    replica.target = "http://10.0.0.8:9464".into();
    replica.instance_id = Some(instance.into());
    replica.requests.rate = replica.requests.rate.map(|rate| rate * scale);
    replica.restarts = 1;
    replica
}

fn offline() -> TargetReading {
    let mut offline = shop();
    offline.target = "http://10.0.0.9:9464".into();
    offline.instance_id = Some("c".into());
    let why = "connecting to http://10.0.0.9:9464: connection refused; is the service running?";
    silence::gone(&offline, (NOW, Duration::from_secs(784)), why)
}
