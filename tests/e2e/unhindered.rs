//! What a collector that is away, or hangs, does to the service: a shop beside each, and one that exports nothing as the control,
//! asked in turn. What is held is that every request was answered and that memory grew as the control's did; times are printed for
//! people.
//!
//! Fifteen seconds as part of `./test`; `HEARTLINE_COLLECTOR_AWAY=300 ./test e2e unhindered` is the long run.
#![expect(clippy::print_stdout, reason = "the figures that were reached are part of the result")]

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use heartline_shared::Snapshot;
use heartline_tests::readings::total;
use heartline_tests::servers::free_port;
use heartline_tests::shop::{Setup, Shop};
use heartline_tests::waiting::wait_until;
use reqwest::blocking::Client;

const LIMIT: Duration = Duration::from_mins(1);
const REQUESTS: &str = "http.server.request.duration";
const TOOK: &str = "otel.sdk.exporter.operation.duration";
/// Requests to each shop in a round, half of them by each client.
const ROUND: usize = 200;
const CLIENTS: usize = 2;
/// Bytes that the figure of an exporting agent may grow by beyond the control's: one request that waits, and start times.
const ONE_REQUEST: f64 = 600e3;

/// One shop and what its requests took.
struct Subject {
    name: &'static str,
    shop: Shop,
    times: Vec<Duration>,
    before: f64,
}

impl Subject {
    /// `pushing_to`, or nowhere.
    fn start(name: &'static str, pushing_to: Option<String>) -> Result<Self> {
        let setup = match pushing_to {
            None => Setup::default(),
            Some(url) => Setup { arguments: vec!["--otlp".to_owned()], ..Setup::default() }
                .with("OTEL_EXPORTER_OTLP_ENDPOINT", url)
                .with("OTEL_EXPORTER_OTLP_TIMEOUT", "2000")
                .with("OTEL_METRIC_EXPORT_INTERVAL", "500"),
        };
        Ok(Self { name, shop: Shop::start(setup)?, times: Vec::new(), before: 0.0 })
    }

    /// Asks for products, whether they are cached or not, one request of each client at a time.
    fn ask(&mut self, round: usize) -> Result<()> {
        let url = self.shop.url();
        let one = |client: usize| -> Result<Vec<Duration>> {
            let asking = Client::builder().timeout(Duration::from_secs(20)).build()?;
            let times = (0..ROUND / CLIENTS).map(|at| {
                let product = 1 + (round * ROUND + client * ROUND / CLIENTS + at) % 5_000;
                let began = quanta::Instant::now();
                asking.get(format!("{url}/products/{product}")).send()?.error_for_status()?.bytes()?;
                Ok(began.elapsed())
            });
            times.collect()
        };
        let answered = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|client| scope.spawn(move || one(client))).collect();
            clients
                .into_iter()
                .map(|client| client.join().expect("a client does not panic"))
                .collect::<Result<Vec<_>>>()
        });
        self.times.extend(
            answered.with_context(|| format!("asking the shop beside a collector that is {}", self.name))?.concat(),
        );
        Ok(())
    }

    fn own_bytes(&self) -> Result<f64> {
        let snapshot = self.shop.snapshot()?;
        let family = snapshot.family("heartline.agent.memory").context("the agent says what it holds")?;
        Ok(family.numbers.first().context("and has one figure of it")?.value)
    }

    /// Microseconds that so much of all requests took at most.
    fn quantile(&mut self, q: f64) -> f64 {
        self.times.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank"
        )]
        let at = (self.times.len() as f64 * q) as usize;
        self.times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e6)
    }
}

/// Attempts that failed.
fn failures(snapshot: &Snapshot) -> u64 {
    let series = snapshot.family(TOOK).map(|family| family.histograms.as_slice()).unwrap_or_default();
    series.iter().filter(|it| it.labels.value("error.type").is_some()).map(|it| it.histogram.count).sum()
}

fn run_for() -> Result<Duration> {
    match std::env::var("HEARTLINE_COLLECTOR_AWAY") {
        Ok(seconds) => seconds.parse().map(Duration::from_secs).context("HEARTLINE_COLLECTOR_AWAY is no number"),
        Err(_) => Ok(Duration::from_secs(15)),
    }
}

/// Asks each in turn, another one first each time.
fn ask_in_turn(subjects: &mut [Subject], span: Duration) -> Result<usize> {
    let began = quanta::Instant::now();
    let mut rounds = 0;
    while began.elapsed() < span || rounds < subjects.len() {
        let count = subjects.len();
        for turn in 0..count {
            subjects[(rounds + turn) % count].ask(rounds)?;
        }
        rounds += 1;
    }
    Ok(rounds)
}

#[test]
fn no_request_waits_for_a_collector_that_is_away_or_hangs_and_memory_grows_as_without_one() -> Result<()> {
    let hole = TcpListener::bind("127.0.0.1:0")?; // takes connections and never answers
    let hanging = format!("http://{}", hole.local_addr()?);
    let away = format!("http://127.0.0.1:{}", free_port()?);
    let mut subjects = [
        Subject::start("not asked for", None)?,
        Subject::start("away", Some(away))?,
        Subject::start("hanging", Some(hanging))?,
    ];
    ask_in_turn(&mut subjects, Duration::ZERO)?; // caches and pools reach their size
    for exporting in &subjects[1..] {
        wait_until(LIMIT, "a push that fails", || Ok((failures(&exporting.shop.snapshot()?) > 0).then_some(())))?;
    }
    for subject in &mut subjects {
        subject.times.clear();
        subject.before = subject.own_bytes()?;
    }
    let rounds = ask_in_turn(&mut subjects, run_for()?)?;
    let mut control = (0.0, 0.0);
    let asked = rounds * ROUND;
    for (at, subject) in subjects.iter_mut().enumerate() {
        ensure!(subject.times.len() == asked, "{} of {asked} requests were answered", subject.times.len());
        let snapshot = subject.shop.snapshot()?;
        ensure!(total(&snapshot, REQUESTS) >= asked as u64, "the agent counted {}", total(&snapshot, REQUESTS));
        let failed = failures(&snapshot);
        ensure!((failed > 0) == (at > 0), "{}: {failed} attempts failed", subject.name);
        let (median, p99, slowest) = (subject.quantile(0.5), subject.quantile(0.99), subject.quantile(1.0 - 1e-9));
        let grown = subject.own_bytes()? - subject.before;
        if at == 0 {
            control = (median, grown);
        }
        println!(
            "collector {}: {asked} requests, median {median:.0} us, p99 {p99:.0} us, slowest {slowest:.0} us, {:.2} of the \
             control's median; the agent's own memory grew from {:.0} by {grown:.0} bytes, {failed} attempts failed",
            subject.name,
            median / control.0,
            subject.before
        );
        // what grows is the history that every agent keeps, not what could not be sent
        ensure!(grown <= control.1 + ONE_REQUEST, "{}: grown by {grown}, the control by {}", subject.name, control.1);
    }
    Ok(())
}
