//! A process with an agent in it, started and ended by a test: this test program itself, told by a variable.

use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use heartline::{Agent, Check, Criticality, PoolStatus};

/// How the host is to behave: words of [`behave`], separated by spaces.
const VARIABLE: &str = "HEARTLINE_HOST_OF_TEST";
pub(crate) const READ_TOKEN: &str = "canary-read-0123456789abcdef0123456789";
pub(crate) const ADMIN_TOKEN: &str = "canary-admin-0123456789abcdef012345678";

/// How long a host may take to say something.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Host {
    child: Child,
    /// What it says, line by line.
    told: Receiver<String>,
    pub(crate) address: SocketAddr,
}

impl Host {
    pub(crate) fn start(behaviour: &str) -> Self {
        Self::start_with(behaviour, |_| {})
    }

    /// `change` may add arguments that mean nothing and variables.
    pub(crate) fn start_with(behaviour: &str, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "host::a_host_lives_until_its_input_ends", "--ignored", "--nocapture"])
            .env(VARIABLE, behaviour)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        change(&mut command);
        let mut child = command.spawn().unwrap();
        let told = lines(child.stdout.take().unwrap());
        let mut host = Self { child, told, address: ([127, 0, 0, 1], 0).into() };
        host.address = host.said("listens on ").parse().unwrap();
        host
    }

    /// Waits for a line with `start` in it; gives what is behind that.
    pub(crate) fn said(&self, start: &str) -> String {
        loop {
            let line = self.told.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("the host never said {start:?}"));
            if let Some((_, rest)) = line.split_once(start) {
                return rest.to_owned();
            }
        }
    }

    /// Says a line to it.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }

    /// Everything it has logged, if [`start_with`](Self::start_with) piped it, once it has ended.
    pub(crate) fn end(mut self) -> String {
        let log = self.child.stderr.take().map(lines);
        drop(self.child.stdin.take());
        log.map(|log| log.iter().collect::<Vec<_>>().join("\n")).unwrap_or_default()
    }

    fn proc(&self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.child.id())).unwrap_or_default()
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
    }

    /// CPU time of the agent's threads, at the kernel's resolution of a nanosecond.
    pub(crate) fn agent_cpu(&self) -> Duration {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id())).unwrap();
        let nanos = tasks.filter_map(|task| {
            let path = task.ok()?.path();
            let name = std::fs::read_to_string(path.join("comm")).ok()?;
            let stat = std::fs::read_to_string(path.join("schedstat")).ok()?;
            name.starts_with("heartline").then(|| stat.split(' ').next()?.parse::<u64>().ok()).flatten()
        });
        Duration::from_nanos(nanos.sum())
    }
}

/// The lines of `from`, taken as they come, so that who writes them never waits for a reader.
fn lines(from: impl Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || BufReader::new(from).lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    told
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Blocks this thread for ever, as a mistake in a service would.
fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

#[test]
#[ignore = "the other tests start it"]
fn a_host_lives_until_its_input_ends() {
    let Ok(behaviour) = std::env::var(VARIABLE) else { return };
    let has = |word: &str| behaviour.split(' ').any(|it| it == word);
    if has("traces") {
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(std::io::stderr).init();
    }
    if has("descriptors") {
        super::ports::live_with_few_descriptors();
        return;
    }
    let mut builder = Agent::builder("host").listen("127.0.0.1:0").instance_id("test");
    if has("tokens") {
        builder = builder.read_token(READ_TOKEN).admin_token(ADMIN_TOKEN);
    }
    let agent = builder.start().unwrap();
    for at in 0..200 {
        let route = agent.route("GET", &format!("/products/{at}"));
        (0..50).for_each(|_| route.start().finish(200));
    }
    if has("callbacks") {
        add_callbacks(&agent);
    }
    if has("actions") {
        for name in ["cache.warm", "cache.invalidate", "jobs.retry", "jobs.clear"] {
            agent.action(name, async |_| Ok(heartline::ActionOutcome::new(1, 1)));
        }
    }
    println!("listens on {}", agent.local_addr().unwrap());
    if has("blocked") {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        agent.watch_runtime(runtime.handle());
        (0..4).for_each(|_| drop(runtime.spawn(async { hang() })));
        read_to_end();
        std::process::exit(0); // a runtime whose workers hang cannot be dropped
    }
    read_to_end();
}

fn read_to_end() {
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

fn add_callbacks(agent: &Agent) {
    let _ = agent.pool("panics", || panic!("a broken probe"));
    let _ = agent.pool("hangs", || hang());
    let inner = agent.clone();
    let _ = agent.pool("calls back", move || {
        let _ = inner.snapshot();
        let _ = inner.pool("made inside", PoolStatus::default);
        inner.counter("inside.calls", &[]).add(1);
        PoolStatus { max: 3, ..PoolStatus::default() }
    });
    let inner = agent.clone();
    agent.health_check("calls back", Criticality::NonCritical, move || {
        let healthy = inner.is_healthy();
        async move { if healthy { Check::pass() } else { Check::warn("unhealthy") } }
    });
    agent.health_check("blocks", Criticality::NonCritical, || async { hang() });
    agent.health_check("panics", Criticality::NonCritical, || async { panic!("a broken check") });
}

/// A collector that takes connections and never answers.
pub(crate) fn black_hole() -> (std::net::TcpListener, SocketAddr) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Runs `work` on a thread and waits at most `limit` for it.
pub(crate) fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || tell.send(work()));
    told.recv_timeout(limit).ok()
}
