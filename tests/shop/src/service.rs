//! Wires the shop, runs it until it is told to end, and takes it apart in order.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use heartline::{Agent, Check, Criticality};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::actions;
use crate::api::{self, Shop, Throttle};
use crate::cache::{self, Caches};
use crate::cli::Settings;
use crate::clock;
use crate::faults::{self, Faults, Recommendations, Targets};
use crate::jobs::{Jobs, Workers, WorkshopParts};
use crate::load::Load;
use crate::payment::{Gateway, Provider};
use crate::store::Database;
use crate::truth::Truth;

/// A leak shows within a minute: the shop is for trying things out.
const LEAK_PATIENCE: Duration = Duration::from_secs(45);
/// How long requests in flight have when the shop ends.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const WORKERS_TIMEOUT: Duration = Duration::from_secs(10);
const AGENT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often the caches are tidied and idle clients of the rate limit forgotten.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// The data folder: a given one stays, a temporary one goes with the value.
enum DataFolder {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

/// Everything that runs.
struct Running {
    shop: Arc<Shop>,
    agent: Agent,
    workers: Workers,
    provider: Provider,
    tasks: Vec<JoinHandle<()>>,
    server: JoinHandle<std::io::Result<()>>,
    stop_server: watch::Sender<bool>,
    address: SocketAddr,
    /// What [`Settings::hold`] asks for.
    held: Vec<Vec<u8>>,
}

/// Why the shop ends.
enum End {
    Told(&'static str),
    ServerFailed(String),
}

/// Runs the shop until it ends.
pub(crate) fn run(settings: Settings) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    runtime.block_on(serve(settings))
}

async fn serve(settings: Settings) -> anyhow::Result<()> {
    let folder = DataFolder::open(settings.data.clone())?;
    let mut running = Running::start(&settings, folder.path()).await?;
    let agent_address = running.agent.local_addr().with_context(|| {
        format!("the agent cannot listen on {}; is the port taken? Try --agent 127.0.0.1:0", settings.agent)
    })?;
    say(&format!("listening on http://{} agent on http://{agent_address}", running.address))?;
    let target = format!("http://{}", running.address);
    let mut load = Load::start(settings.load, &target, folder.path())?;
    let end = wait_for_the_end(&settings, &mut running, load.as_mut()).await?;
    let report = match load {
        Some(load) => Some(load.end().await),
        None => None,
    };
    summarise(&running, &end, report.as_ref(), &folder)?;
    running.stop().await?;
    match end {
        End::Told(_) => Ok(()),
        End::ServerFailed(why) => anyhow::bail!("the shop stopped serving: {why}"),
    }
}

impl DataFolder {
    fn open(given: Option<PathBuf>) -> anyhow::Result<Self> {
        match given {
            Some(path) => {
                std::fs::create_dir_all(&path).with_context(|| format!("making the data folder {}", path.display()))?;
                Ok(Self::Kept(path))
            }
            None => tempfile::Builder::new()
                .prefix("heartline-shop-")
                .tempdir()
                .map(Self::Temporary)
                .context("making a temporary data folder"),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}

impl Running {
    async fn start(settings: &Settings, data: &Path) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(&settings.listen).await.with_context(|| {
            format!("listening on {}; is the port taken? Try --listen 127.0.0.1:0", settings.listen)
        })?;
        let address = listener.local_addr().context("asking for the shop's own address")?;
        let agent = start_agent(settings)?;
        // written to, so that its pages are there
        let held = (0..settings.hold).map(|_| vec![1; 1 << 20]).collect();
        let (faults, truth) = (Faults::default(), Arc::new(Truth::default()));
        let url = settings.database_url.as_deref();
        let database = Database::open(url, data, &agent, faults.clone(), Arc::clone(&truth)).await?;
        let totals = database.seed(clock::now_ms()).await?;
        tracing::info!(
            totals.products,
            totals.users,
            totals.orders,
            embedded = database.is_embedded(),
            "the database is ready"
        );
        let caches = Caches::open(settings.redis_url.as_deref(), &agent, &faults, &truth)
            .context("reading REDIS_URL (expected redis://host:port)")?;
        if let Err(error) = cache::warm(&database, &caches).await {
            tracing::warn!(%error, "the caches start cold");
        }
        let jobs = Jobs::open(data, &agent, Arc::clone(&truth)).await?;
        let provider = Provider::start(faults.clone()).await.context("starting the payment provider")?;
        let other = settings.payments.as_deref().map(|url| format!("{}/payments", url.trim_end_matches('/')));
        let gateway = Gateway::new(other.unwrap_or_else(|| provider.url()), &agent)?;
        let shop = Arc::new(Shop {
            database: database.clone(),
            caches,
            jobs: jobs.clone(),
            gateway: gateway.clone(),
            faults: faults.clone(),
            truth,
            throttle: Throttle::new(settings.rate_limit),
            admin_token: settings.admin_token.clone(),
            orders_placed: orders_placed(&agent),
        });
        register_checks(&agent, &shop);
        actions::register(&agent, &shop);
        let parts = WorkshopParts {
            jobs: jobs.clone(),
            database: database.clone(),
            gateway,
            faults: faults.clone(),
            agent: agent.clone(),
        };
        let workers = Workers::start(&parts);
        let recommendations = Recommendations::new(&agent);
        let mut tasks = faults::spawn(&faults, Targets { database, jobs, recommendations });
        tasks.push(tokio::spawn(tidy(Arc::clone(&shop))));
        for &setting in &settings.faults {
            faults.turn_on(setting);
        }
        let (stop_server, stopped) = watch::channel(false);
        let router = api::router(Arc::clone(&shop), &agent);
        let server = tokio::spawn(answer(listener, router, stopped));
        Ok(Self { shop, agent, workers, provider, tasks, server, stop_server, address, held })
    }

    async fn stop(self) -> anyhow::Result<()> {
        self.stop_server.send_replace(true);
        if tokio::time::timeout(DRAIN_TIMEOUT, self.server).await.is_err() {
            tracing::warn!(?DRAIN_TIMEOUT, "some connections were still open");
        }
        for task in &self.tasks {
            task.abort();
        }
        self.workers.stop(WORKERS_TIMEOUT).await;
        self.provider.stop();
        self.shop.jobs.close().await;
        self.shop.database.close().await;
        match self.agent.shutdown(AGENT_TIMEOUT) {
            // a collector that is away is no failure of the shop
            Err(error @ heartline::Error::Flush(_)) => tracing::warn!(%error, "the agent ended"),
            ended => ended.context("ending the agent")?,
        }
        drop(self.held);
        Ok(())
    }
}

fn start_agent(settings: &Settings) -> anyhow::Result<Agent> {
    let mut builder = Agent::builder("shop")
        .listen(&settings.agent)
        .instance_id("shop-1")
        .version(env!("CARGO_PKG_VERSION"))
        .slow_request(settings.slow_request)
        .leak_patience(LEAK_PATIENCE);
    builder = match settings.otlp.as_deref() {
        Some("") => builder.otlp_from_env(),
        Some(url) => builder.otlp(url),
        None => builder,
    };
    if let Some(token) = &settings.read_token {
        builder = builder.read_token(token);
    }
    if let Some(token) = &settings.admin_token {
        builder = builder.admin_token(token);
    }
    builder.start().context("starting the agent")
}

fn orders_placed(agent: &Agent) -> heartline::instruments::Counter {
    agent.describe("shop.orders.placed", "{order}", "Orders placed, paid or not");
    agent.counter("shop.orders.placed", &[])
}

fn register_checks(agent: &Agent, shop: &Arc<Shop>) {
    let checked = Arc::clone(shop);
    agent.health_check("database", Criticality::Critical, move || {
        let shop = Arc::clone(&checked);
        async move { check(shop.database.ping().await) }
    });
    if shop.caches.uses_redis() {
        let checked = Arc::clone(shop);
        agent.health_check("redis", Criticality::NonCritical, move || {
            let shop = Arc::clone(&checked);
            async move { check(shop.caches.ping().await) }
        });
    }
    let checked = Arc::clone(shop);
    agent.health_check("payment", Criticality::NonCritical, move || {
        let shop = Arc::clone(&checked);
        async move { check(shop.gateway.ping().await) }
    });
}

fn check<E: std::fmt::Display>(answer: Result<(), E>) -> Check {
    answer.map_or_else(|error| Check::fail(error.to_string()), |()| Check::pass())
}

async fn tidy(shop: Arc<Shop>) {
    let mut due = tokio::time::interval(TIDY_EVERY);
    loop {
        due.tick().await;
        shop.caches.tidy().await;
        shop.throttle.forget_the_idle();
    }
}

async fn answer(
    listener: TcpListener,
    router: axum::Router,
    mut stopped: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service)
        .with_graceful_shutdown(async move {
            // The sender lives as long as the shop.
            let _stopped = stopped.wait_for(|stop| *stop).await;
        })
        .await
}

async fn wait_for_the_end(settings: &Settings, running: &mut Running, load: Option<&mut Load>) -> anyhow::Result<End> {
    let mut interrupted = signal(SignalKind::interrupt()).context("listening for SIGINT")?;
    let mut terminated = signal(SignalKind::terminate()).context("listening for SIGTERM")?;
    let time_over = async {
        match settings.seconds {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => std::future::pending().await,
        }
    };
    let parent_gone = async {
        if std::env::var_os(crate::END_WITH_STDIN).is_none() || wait_for_end_of_stdin().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let load_watched = async {
        if let Some(load) = load {
            let how = load.ended().await;
            tracing::info!(how, "the load has ended; the shop goes on");
        }
        std::future::pending::<()>().await;
    };
    Ok(tokio::select! {
        _ = interrupted.recv() => End::Told("interrupted"),
        _ = terminated.recv() => End::Told("terminated"),
        () = parent_gone => End::Told("standard input ended"),
        () = time_over => End::Told("the time is over"),
        () = load_watched => End::Told("the load has ended"),
        ended = &mut running.server => End::ServerFailed(match ended {
            Ok(Ok(())) => "the server ended without being told".to_owned(),
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        }),
    })
}

/// On a thread of its own: a blocked read must not hold up the end of the runtime.
async fn wait_for_end_of_stdin() -> Result<(), tokio::sync::oneshot::error::RecvError> {
    let (sender, ended) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut sink = [0; 64];
        while matches!(std::io::stdin().lock().read(&mut sink), Ok(1..)) {}
        // Nobody waits any more when the service ended for another reason.
        let _ = sender.send(());
    });
    ended.await
}

fn summarise(
    running: &Running,
    end: &End,
    load: Option<&anyhow::Result<PathBuf>>,
    folder: &DataFolder,
) -> anyhow::Result<()> {
    let report = running.shop.truth.report();
    let requests: u64 = report.requests.iter().map(|line| line.count).sum();
    let failed: u64 = report.requests.iter().filter(|line| line.status >= 500).map(|line| line.count).sum();
    let queries: u64 = report.queries.iter().map(|line| line.total).sum();
    let jobs: u64 = report.jobs.iter().map(|line| line.completed).sum();
    let why = match end {
        End::Told(why) => why,
        End::ServerFailed(_) => "the server failed",
    };
    say(&format!("{why}: {requests} requests ({failed} failed), {queries} queries, {jobs} jobs done"))?;
    for tier in ["l1", "l2"] {
        let of_tier = report.caches.iter().filter(|line| line.tier == tier);
        let (hits, asked) = of_tier
            .fold((0, 0), |(hits, asked), line| (hits + line.hits, asked + line.hits + line.misses + line.errors));
        if asked > 0 {
            say(&format!("cache {tier}: {:.1} % of {asked} look-ups hit", 100.0 * hits as f64 / asked as f64))?;
        }
    }
    match (load, folder) {
        (Some(Ok(path)), DataFolder::Kept(_)) => say(&format!("load report: {}", path.display()))?,
        (Some(Ok(_)), DataFolder::Temporary(_)) => {
            say("load report: removed with the temporary folder; keep it with --data DIR")?;
        }
        (Some(Err(error)), _) => tracing::warn!("the load did not end well: {error:#}"),
        (None, _) => {}
    }
    Ok(())
}

/// A line on standard output, at once: whoever started the shop may be reading it.
fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).context("writing to standard output")
}
