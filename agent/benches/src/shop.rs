//! The reference service as a program of its own, asked by wrk as fast as it answers. What is measured of it is its processor
//! time.

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use heartline_shared::Snapshot;
use heartline_shared::snapshot::Sampling;
use reqwest::blocking::Client;
use tempfile::TempDir;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What it is asked, again and again: pages from caches and from the database, lists, a search.
const PATHS: [&str; 6] =
    ["/products", "/products/17", "/search?q=lamp", "/users/3/cart", "/users/5/orders", "/orders/9"];
const TOKEN: &str = "a token of this bench that is long enough";
/// Before it is measured: connections are opened, caches fill.
const BEFORE: Duration = Duration::from_secs(1);
const MEASURED: Duration = Duration::from_secs(6);

/// The service; it ends when dropped.
#[derive(Debug)]
pub struct Shop {
    child: Child,
    url: String,
    agent_url: String,
    folder: TempDir,
    client: Client,
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = self.child.kill(); // has ended already, or ends now
        let _ = self.child.wait();
    }
}

impl Shop {
    /// Starts `program` with these variables and waits until it serves.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(program: &str, variables: &[(&str, &str)]) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let token = folder.path().join("token");
        std::fs::write(&token, TOKEN)?;
        let paths = PATHS.map(|path| format!("{path:?}")).join(", ");
        let script = format!(
            "local paths, next = {{ {paths} }}, 0\nrequest = function()\n  next = next % #paths + 1\n  return wrk.format(nil, paths[next])\nend\n"
        );
        std::fs::write(folder.path().join("ask.lua"), script)?;
        let mut command = Command::new(program);
        command.args(["--listen", "127.0.0.1:0", "--agent", "127.0.0.1:0", "--admin-token-file"]).arg(token);
        command.env("SHOP_RATE_PER_SECOND", "1000000").envs(variables.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            format!("starting {program}: {error}; build it with `cargo build --release -p heartline-shop`")
        })?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("its lines are piped")?).lines();
        let addresses = lines.find_map(|line| {
            let line = line.ok()?;
            let (shop, agent) = line.strip_prefix("listening on ")?.split_once(" agent on ")?;
            Some((shop.trim().to_owned(), agent.trim().to_owned()))
        });
        // what else it says, it need not wait for
        std::thread::spawn(move || lines.for_each(drop));
        let client = Client::builder().timeout(Duration::from_mins(1)).build()?;
        let (url, agent_url) = addresses.ok_or_else(|| format!("{program} ended before it said where it listens"))?;
        Ok(Self { child, url, agent_url, folder, client })
    }

    /// Processor seconds of the whole program for a request, while wrk asks it as fast as it answers.
    ///
    /// # Errors
    /// When wrk cannot be run, or the service does not answer.
    pub fn seconds_a_request(&self) -> Outcome<f64> {
        self.asked(|| {
            let before = self.figures()?;
            wait(MEASURED);
            let after = self.figures()?;
            if after.requests <= before.requests {
                return Err(format!("{} did not answer: {before:?} to {after:?}", self.url).into());
            }
            Ok((after.cpu_seconds - before.cpu_seconds) / (after.requests - before.requests) as f64)
        })
    }

    /// Bytes between the samples that its agent takes under that load, as it chooses them.
    ///
    /// # Errors
    /// As above, and when there is no profile.
    pub fn bytes_between_samples(&self) -> Outcome<u64> {
        self.asked(|| {
            let asked = format!("{}/api/v1/profile/heap?seconds={}", self.agent_url, MEASURED.as_secs());
            let request = self.client.get(asked).bearer_auth(TOKEN);
            let profile =
                std::thread::spawn(move || request.send().and_then(|answer| answer.error_for_status()?.bytes()));
            let mut bytes = None;
            while !profile.is_finished() {
                wait(Duration::from_millis(100));
                let sites = self.snapshot()?.heap.and_then(|heap| heap.sites);
                bytes = sites
                    .filter(|sites| sites.sampling == Sampling::Active)
                    .and_then(|sites| sites.sample_bytes)
                    .or(bytes);
            }
            profile.join().map_err(|_| "asking for a profile panicked")??;
            bytes.ok_or_else(|| "the agent does not sample".into())
        })
    }

    /// While wrk asks, from a second after it began.
    fn asked<T>(&self, measure: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        let seconds = (BEFORE + MEASURED).as_secs() + 1;
        let mut wrk = Command::new("wrk")
            .args(["-t1", "-c8", "-d", &format!("{seconds}s"), "-s"])
            .arg(self.folder.path().join("ask.lua"))
            .arg(&self.url)
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("running wrk: {error}; install it to put load on the service"))?;
        wait(BEFORE);
        let measured = measure();
        let is_well = wrk.wait()?.success();
        if is_well { measured } else { Err(format!("wrk could not ask {}", self.url).into()) }
    }

    fn snapshot(&self) -> Outcome<Snapshot> {
        let url = format!("{}/api/v1/snapshot", self.agent_url);
        Ok(self.client.get(url).send()?.error_for_status()?.json()?)
    }

    fn figures(&self) -> Outcome<Figures> {
        let snapshot = self.snapshot()?;
        let family = |name: &str| snapshot.family(name).ok_or_else(|| format!("the agent does not know {name}"));
        let requests =
            family("http.server.request.duration")?.histograms.iter().map(|series| series.histogram.count).sum();
        let cpu_seconds = family("process.cpu.time")?.numbers.iter().map(|series| series.value).sum();
        Ok(Figures { requests, cpu_seconds })
    }
}

/// The client parks and unparks this thread too.
fn wait(span: Duration) {
    let clock = quanta::Instant::now();
    while let Some(left) = span.checked_sub(clock.elapsed()) {
        std::thread::park_timeout(left);
    }
}

/// Of a moment.
#[derive(Debug)]
struct Figures {
    requests: u64,
    cpu_seconds: f64,
}
