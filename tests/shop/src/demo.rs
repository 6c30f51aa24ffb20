//! The program behind `cargo demo`: the reference service under load in a child process, and the
//! dashboard on it in this one. It knows nothing of either but how to start and end them.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Parser;

/// The first argument of the child that is the service.
const SERVICE: &str = "shop";
/// Migrations, seeding and warming take a second or two; a loaded machine takes longer.
const START_TIMEOUT: Duration = Duration::from_mins(2);
/// The load ends, its report is written, jobs finish.
const END_TIMEOUT: Duration = Duration::from_secs(45);

/// A live dashboard of a real service under load.
///
/// Starts the reference service on an embedded database with a hundred requests a second, and
/// opens the dashboard on it. Press ? for help, q to end both.
#[derive(Debug, Parser)]
#[command(name = "heartline-demo", version)]
struct Arguments {
    /// Without a screen: run for this long, print the state at the end, exit 0.
    #[arg(long, value_name = "DURATION")]
    headless: Option<String>,
    /// With --headless: one JSON object a line.
    #[arg(long, requires = "headless")]
    json: bool,
    /// Where the service listens [default: a free port].
    #[arg(long, default_value = "127.0.0.1:0", hide_default_value = true, value_name = "ADDR")]
    listen: String,
    /// Where its agent listens [default: a free port].
    #[arg(long, default_value = "127.0.0.1:0", hide_default_value = true, value_name = "ADDR")]
    agent: String,
    /// Folder of the databases, the load report and the service's log [default: a temporary one].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Load on the service: basic, spike, stress, endurance or none.
    #[arg(long, default_value = "basic", value_name = "PROFILE")]
    load: String,
    /// A fault to begin with, such as heap-leak=1048576; may be repeated.
    #[arg(long = "fault", value_name = "NAME[=VALUE]")]
    faults: Vec<String>,
    /// Alert rules for the dashboard.
    #[arg(long, value_name = "FILE")]
    alerts: Option<PathBuf>,
}

/// The service in its process; it ends with this value.
struct Service {
    child: Child,
    agent: String,
}

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match arguments.get(1).and_then(|first| first.to_str()) {
        Some(SERVICE) => {
            let service = arguments.into_iter().enumerate().filter(|(place, _)| *place != 1);
            return heartline_shop::run(service.map(|(_, argument)| argument));
        }
        Some(heartline_shop::LOAD_GENERATOR) => return heartline_shop::run(arguments),
        _ => {}
    }
    let arguments = Arguments::parse_from(arguments);
    match demonstrate(&arguments) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("the demo failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demonstrate(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let temporary =
        tempfile::Builder::new().prefix("heartline-demo-").tempdir().context("making a temporary folder")?;
    let folder = arguments.data.as_deref().unwrap_or(temporary.path());
    std::fs::create_dir_all(folder).with_context(|| format!("making the data folder {}", folder.display()))?;
    tell("starting the reference service: an embedded database with 5,000 products, and shoppers ...");
    let service = Service::start(arguments, folder)?;
    let code = heartline_tui::run(dashboard_arguments(arguments, &service.agent));
    service.end()?;
    Ok(code)
}

fn dashboard_arguments(arguments: &Arguments, agent: &str) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec!["heartline".into(), agent.into()];
    if let Some(duration) = &arguments.headless {
        words.extend(["--headless".into(), duration.into()]);
    }
    if arguments.json {
        words.push("--json".into());
    }
    if let Some(alerts) = &arguments.alerts {
        words.extend(["--alerts".into(), alerts.into()]);
    }
    words
}

impl Service {
    /// Starts it and waits until it and its agent answer.
    fn start(arguments: &Arguments, folder: &Path) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("finding this program to start it as the service")?;
        let log = folder.join("shop.log");
        let stderr = File::create(&log).with_context(|| format!("making the log {}", log.display()))?;
        let mut command = Command::new(program);
        command
            .args([SERVICE, "--listen", &arguments.listen, "--agent", &arguments.agent, "--load", &arguments.load])
            .arg("--data")
            .arg(folder)
            .args(arguments.faults.iter().flat_map(|fault| ["--fault", fault]))
            .env(heartline_shop::END_WITH_STDIN, "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr);
        // A group of its own: an interrupt from the terminal is for this process, which ends it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("starting the service")?;
        let stdout = child.stdout.take().context("the service has no output")?;
        match wait_for_addresses(stdout) {
            Ok(agent) => Ok(Self { child, agent }),
            Err(error) => {
                let ended = child.kill().and_then(|()| child.wait());
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                bail!("the service did not start: {error:#} ({ended:?})\nit said:\n{said}");
            }
        }
    }

    /// Ends it as it ends by itself: the load first, then what is in flight.
    fn end(mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let (sender, receiver) = mpsc::channel();
        let process = self.child.id();
        std::thread::spawn(move || sender.send(self.child.wait()));
        let status = receiver
            .recv_timeout(END_TIMEOUT)
            .with_context(|| format!("the service (process {process}) did not end within {END_TIMEOUT:?}"))?
            .context("waiting for the service")?;
        anyhow::ensure!(status.success(), "the service ended with {status}");
        Ok(())
    }
}

/// Reads the agent's address from the service's first line; reads on so that it can keep writing.
fn wait_for_addresses(stdout: impl std::io::Read + Send + 'static) -> anyhow::Result<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((_, agent)) = line.split_once(" agent on ") {
                // Nobody listens after the first.
                let _ = sender.send(agent.trim().to_owned());
            }
        }
    });
    receiver.recv_timeout(START_TIMEOUT).context("it never said where it listens")
}

fn tell(line: &str) {
    // Nobody can be told that standard error is gone.
    let _ = writeln!(std::io::stderr(), "{line}");
}
