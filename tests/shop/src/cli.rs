//! The command line, and what the environment adds to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

use crate::api::RateLimit;
use crate::faults::FaultSetting;
use crate::load::Profile;

/// A small real merchant backend with faults to switch on: the reference service of heartline.
///
/// DATABASE_URL names a PostgreSQL database (default: an embedded SQLite file in the data folder).
/// REDIS_URL names a Redis for the second cache tier (default: a second store in this process).
/// SHOP_RATE_PER_SECOND limits the requests of one client address (default: 5000).
#[derive(Debug, Parser)]
#[command(name = "heartline-shop", version)]
struct Arguments {
    /// Where the shop listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// Where the agent listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9464", value_name = "ADDR")]
    agent: String,
    /// Folder of the databases and the load report; without it a temporary one, removed at the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder of the log files, one a day for a week; without it `log` in the data folder, if one is named.
    #[arg(long, value_name = "DIR")]
    log_dir: Option<PathBuf>,
    /// Load on the shop itself: basic 100/s, spike 500/s, stress up to 1,000/s, endurance 200/s for
    /// half an hour.
    #[arg(long, value_enum, default_value = "none")]
    load: Profile,
    /// End everything after this many seconds.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// A fault to begin with; may be repeated: slow-query, n-plus-one, pool-exhaustion,
    /// cache-stampede, queue-backlog, error-burst[=PERCENT], heap-leak[=BYTES_PER_SECOND],
    /// cache-fill, fragmentation, payment-outage.
    #[arg(long = "fault", value_name = "NAME[=VALUE]")]
    faults: Vec<FaultSetting>,
    /// Push metrics, and the spans of slow and failed requests, to the OpenTelemetry collector at
    /// this URL; without one, as the `OTEL_*` variables say.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    otlp: Option<String>,
    /// Take payments at the shop that runs at this URL, as a second service, instead of at the
    /// built-in provider.
    #[arg(long, value_name = "URL")]
    payments: Option<String>,
    /// Requests that take as many milliseconds are slow and keep their spans; 0 keeps those of all.
    #[arg(long, value_name = "MS", default_value_t = 500)]
    slow_request: u64,
    /// Hold as many MiB from the beginning to the end, as a shop with more to remember would.
    #[arg(long, value_name = "MIB", default_value_t = 0)]
    hold: usize,
    /// File with the token that reading the agent takes.
    #[arg(long, value_name = "F")]
    read_token_file: Option<PathBuf>,
    /// File with the token that the admin routes and the agent's actions take.
    #[arg(long, value_name = "F")]
    admin_token_file: Option<PathBuf>,
}

/// Everything the service is told.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) listen: String,
    pub(crate) agent: String,
    pub(crate) data: Option<PathBuf>,
    pub(crate) log_dir: Option<PathBuf>,
    pub(crate) load: Profile,
    pub(crate) seconds: Option<u64>,
    pub(crate) faults: Vec<FaultSetting>,
    /// Where metrics are pushed; empty, as the environment says.
    pub(crate) otlp: Option<String>,
    /// The other shop that takes payments.
    pub(crate) payments: Option<String>,
    pub(crate) slow_request: Duration,
    /// MiB that are held all the time.
    pub(crate) hold: usize,
    pub(crate) read_token: Option<String>,
    pub(crate) admin_token: Option<String>,
    pub(crate) database_url: Option<String>,
    pub(crate) redis_url: Option<String>,
    pub(crate) rate_limit: RateLimit,
}

impl Settings {
    /// Where log files go; nowhere when neither a folder for them nor one for the data was named.
    pub(crate) fn log_folder(&self) -> Option<PathBuf> {
        self.log_dir.clone().or_else(|| self.data.as_ref().map(|data| data.join("log")))
    }

    /// Reads the command line and the environment. Prints help or a usage error and exits when
    /// the command line asks for it or cannot be understood.
    pub(crate) fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> anyhow::Result<Self> {
        let arguments = Arguments::try_parse_from(arguments).unwrap_or_else(|error| error.exit());
        Ok(Self {
            read_token: arguments.read_token_file.as_deref().map(read_token).transpose()?,
            admin_token: arguments.admin_token_file.as_deref().map(read_token).transpose()?,
            listen: arguments.listen,
            agent: arguments.agent,
            data: arguments.data,
            log_dir: arguments.log_dir,
            load: arguments.load,
            seconds: arguments.seconds,
            faults: arguments.faults,
            otlp: arguments.otlp,
            payments: arguments.payments,
            slow_request: Duration::from_millis(arguments.slow_request),
            hold: arguments.hold,
            database_url: variable("DATABASE_URL")?,
            redis_url: variable("REDIS_URL")?,
            rate_limit: rate_limit()?,
        })
    }
}

fn read_token(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| format!("reading the token in {}", file.display()))?;
    let token = text.trim();
    anyhow::ensure!(!token.is_empty(), "the token file {} is empty", file.display());
    Ok(token.to_owned())
}

fn variable(name: &str) -> anyhow::Result<Option<String>> {
    match std::env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {name} from the environment")),
    }
}

fn rate_limit() -> anyhow::Result<RateLimit> {
    let Some(given) = variable("SHOP_RATE_PER_SECOND")? else { return Ok(RateLimit::default()) };
    let per_second = given
        .parse()
        .with_context(|| format!("SHOP_RATE_PER_SECOND must be a number of requests above 0, not `{given}`"))?;
    Ok(RateLimit { per_second, burst: per_second })
}
