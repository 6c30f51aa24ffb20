//! The load generator's process: runs goose until its time is over or its parent is gone.

use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;
use goose::GooseAttack;
use goose::client::GooseClientBuilder;
use goose::config::GooseConfiguration;

use super::counts::LoadCounts;
use super::process::{COUNTS_FILE, REPORT_FILE};
use super::profile::{Profile, Shape};
use super::shopper;

/// Longer than the service's own limit: the service says that it is late.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// Puts load on a running shop. Started by the shop itself; on its own it serves tests.
#[derive(Debug, Parser)]
#[command(name = "heartline-shop load-generator")]
struct Arguments {
    /// The shop, on this machine.
    #[arg(long)]
    target: String,
    /// How much.
    #[arg(long)]
    profile: Profile,
    /// Where load-report.html and load-counts.json go.
    #[arg(long)]
    out: PathBuf,
    /// When to end; without it, when standard input ends.
    #[arg(long)]
    seconds: Option<u64>,
}

/// The whole process.
pub(crate) fn run(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    match attack(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("the load generator failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn attack(arguments: &Arguments) -> anyhow::Result<()> {
    require_loopback(&arguments.target)?;
    let Some(shape) = arguments.profile.shape() else { return Ok(()) };
    let report = arguments.out.join(REPORT_FILE);
    let configuration = configuration(&arguments.target, shape, &report.display().to_string())?;
    let client = GooseClientBuilder::new().without_cookies().timeout(ANSWER_TIMEOUT).user_agent("heartline-shop load");
    let attack = GooseAttack::initialize_with_config(configuration)?
        .set_client_builder_without_cookies(client)?
        .register_scenario(shopper::scenario(shape.rest)?);
    end_when_told(arguments.seconds.map(Duration::from_secs).or(shape.run_time));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let metrics = runtime.block_on(attack.execute()).context("running the load")?;
    let counts = LoadCounts::new(arguments.profile.name(), &metrics);
    let file = arguments.out.join(COUNTS_FILE);
    std::fs::write(&file, serde_json::to_vec_pretty(&counts)?).with_context(|| format!("writing {}", file.display()))
}

fn configuration(target: &str, shape: Shape, report: &str) -> anyhow::Result<GooseConfiguration> {
    let users = shape.users.to_string();
    // Goose's throttle lets a few requests through every ten milliseconds, and its timer sleeps a
    // millisecond longer than that.
    let rate = (shape.rate * 11 / 10).to_string();
    let ramp = shape.ramp.as_secs().to_string();
    let arguments = [
        "--host",
        target,
        "--users",
        &users,
        "--increase-time",
        &ramp,
        "--throttle-requests",
        &rate,
        "--report-file",
        report,
        "--no-print-metrics",
        "--no-telnet",
        "--quiet",
        "--no-reset-metrics",
    ];
    GooseConfiguration::parse_args_default(&arguments).context("configuring goose")
}

/// A generator that points anywhere else would be a weapon.
fn require_loopback(target: &str) -> anyhow::Result<()> {
    let url = reqwest::Url::parse(target).with_context(|| format!("reading the target `{target}`"))?;
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !loopback {
        bail!("the load generator only works on this machine, not on `{host}`; use 127.0.0.1");
    }
    Ok(())
}

/// Ends the load when its time is over or standard input ends: the parent closed it, or died.
/// Users finish the request they are waiting for.
fn end_when_told(run_time: Option<Duration>) {
    if let Some(run_time) = run_time {
        std::thread::spawn(move || {
            std::thread::sleep(run_time);
            end("its time is over");
        });
    }
    if run_time.is_none() || std::env::var_os(super::process::WATCH_PARENT).is_some() {
        std::thread::spawn(|| {
            let mut sink = [0; 64];
            while matches!(std::io::stdin().lock().read(&mut sink), Ok(1..)) {}
            end("the service ends the load");
        });
    }
}

/// Goose forgets a wish to end that came before it was ready, so it is repeated.
fn end(reason: &str) -> ! {
    loop {
        goose::trigger_killswitch(reason);
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::require_loopback;

    #[test]
    fn load_goes_to_this_machine_only() {
        for target in ["http://127.0.0.1:8080", "http://localhost:1", "http://[::1]:8080"] {
            assert!(require_loopback(target).is_ok(), "{target}");
        }
        for target in ["http://example.com", "http://10.0.0.1:80", "nonsense", "http://127.0.0.1.example.com"] {
            assert!(require_loopback(target).is_err(), "{target}");
        }
    }
}
