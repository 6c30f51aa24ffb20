//! The settings of an agent with their defaults and limits; nothing here acts on them.

#[cfg(feature = "otlp")]
mod environment;
#[cfg(feature = "otlp")]
mod otlp;

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use crate::error::Error;

#[cfg(feature = "otlp")]
pub use otlp::{DEFAULT_OTLP_INTERVAL, DEFAULT_OTLP_TIMEOUT, Otlp, OtlpHistograms};
#[cfg(feature = "otlp")]
pub(crate) use otlp::{Export, Named, Protocol, Signal, Trust};

/// Where the endpoint listens unless told otherwise.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:9464";
/// Series of one metric that names from outside may create; the rest goes to its overflow series.
pub const DEFAULT_SERIES_LIMIT: usize = 2_000;
/// Bytes the agent may keep for series, history and everything else.
pub const DEFAULT_MEMORY_BUDGET: usize = 32 << 20;
/// Bytes the flight recorder may keep of the memory budget, unless that is small.
pub const DEFAULT_HISTORY_BYTES: usize = 8 << 20;
/// How often a summary is logged.
pub const DEFAULT_SUMMARY_INTERVAL: Duration = Duration::from_mins(15);
/// Bytes of a label value; a longer one is cut and ends in `…`.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// A request that takes as long is slow: kept with what it spent, and logged.
pub const DEFAULT_SLOW_REQUEST: Duration = Duration::from_millis(500);
/// A request that takes as long is logged as a warning.
pub const DEFAULT_VERY_SLOW_REQUEST: Duration = Duration::from_secs(1);
/// A query that takes longer is counted as slow.
pub const DEFAULT_SLOW_QUERY: Duration = Duration::from_millis(100);
/// How long growth since the start of the process must last before a leak is suspected: as long as caches take to fill.
pub const DEFAULT_LEAK_PATIENCE: Duration = Duration::from_hours(8);
/// How often collectors run.
pub const COLLECT_INTERVAL: Duration = Duration::from_secs(1);
/// How long `start` waits for the listener before it returns without an address.
pub(crate) const LISTEN_WAIT: Duration = Duration::from_secs(2);
/// The shortest token that is accepted.
pub const TOKEN_BYTES_MIN: usize = 32;

/// Where the endpoint listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Port 0 takes a free one.
    Tcp(SocketAddr),
    /// A path; only the user that the service runs as may connect.
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine can reach it.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

impl std::fmt::Display for Listen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The PEM files of the endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct TlsFiles {
    /// The certificate and those that lead to its authority.
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    /// Authorities one of which must have signed a client's certificate; `None` asks clients for none.
    pub(crate) client_authority: Option<PathBuf>,
}

/// Where a token comes from.
#[derive(Debug, Clone)]
pub(crate) enum TokenSource {
    Text(Secret),
    File(PathBuf),
    Variable(String),
}

impl TokenSource {
    /// Reads it, without the white space around it.
    fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::Text(secret) => return Ok(secret.clone()),
            Self::File(path) => std::fs::read_to_string(path).map_err(|error| error.to_string())?,
            Self::Variable(name) => std::env::var(name).map_err(|error| match error {
                std::env::VarError::NotPresent => "the variable is not set".to_owned(),
                std::env::VarError::NotUnicode(_) => "the variable is not text".to_owned(),
            })?,
        };
        Ok(Secret(text.trim().to_owned()))
    }

    /// What an error may say of it.
    fn title(&self) -> String {
        match self {
            Self::Text(_) => "…".to_owned(),
            Self::File(path) => path.display().to_string(),
            Self::Variable(name) => format!("${name}"),
        }
    }
}

/// A secret; its text appears in no `Debug` output.
#[derive(Clone)]
pub(crate) struct Secret(String);

impl Secret {
    /// The text, for comparing only.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// What an agent was told.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    pub(crate) service: String,
    pub(crate) version: Option<String>,
    pub(crate) instance_id: String,
    pub(crate) listen: Option<String>,
    pub(crate) insecure_remote: bool,
    pub(crate) read_token: Option<TokenSource>,
    pub(crate) admin_token: Option<TokenSource>,
    pub(crate) allowed_hosts: Vec<String>,
    pub(crate) allowed_origins: Vec<String>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) series_limit: usize,
    pub(crate) memory_budget: usize,
    pub(crate) memory_limit: Option<u64>,
    pub(crate) history_bytes: Option<usize>,
    pub(crate) summary_interval: Duration,
    pub(crate) slow_request: Duration,
    pub(crate) very_slow_request: Duration,
    pub(crate) slow_query: Duration,
    pub(crate) returned_rows: bool,
    pub(crate) leak_patience: Duration,
    pub(crate) leaking_lives: Option<PathBuf>,
    #[cfg(feature = "otlp")]
    pub(crate) otlp: Option<Otlp>,
    /// Whether variables of the environment are asked where metrics are pushed.
    #[cfg(feature = "otlp")]
    pub(crate) otlp_from_env: bool,
    #[cfg(all(feature = "otlp", feature = "tracing"))]
    pub(crate) spans: Spans,
}

/// Where kept spans are pushed.
#[cfg(all(feature = "otlp", feature = "tracing"))]
#[derive(Debug, Clone, Default)]
pub(crate) enum Spans {
    /// Where metrics are, unless that takes metrics only.
    #[default]
    WithMetrics,
    To(Box<Otlp>),
    Nowhere,
}

impl Config {
    pub(crate) fn new(service: String) -> Self {
        Self {
            service,
            version: None,
            instance_id: default_instance_id(),
            listen: Some(DEFAULT_LISTEN.to_owned()),
            insecure_remote: false,
            read_token: None,
            admin_token: None,
            allowed_hosts: Vec::new(),
            allowed_origins: Vec::new(),
            tls: None,
            series_limit: DEFAULT_SERIES_LIMIT,
            memory_budget: DEFAULT_MEMORY_BUDGET,
            memory_limit: None,
            history_bytes: None,
            summary_interval: DEFAULT_SUMMARY_INTERVAL,
            slow_request: DEFAULT_SLOW_REQUEST,
            very_slow_request: DEFAULT_VERY_SLOW_REQUEST,
            slow_query: DEFAULT_SLOW_QUERY,
            returned_rows: false,
            leak_patience: DEFAULT_LEAK_PATIENCE,
            leaking_lives: None,
            #[cfg(feature = "otlp")]
            otlp: None,
            #[cfg(feature = "otlp")]
            otlp_from_env: false,
            #[cfg(all(feature = "otlp", feature = "tracing"))]
            spans: Spans::default(),
        }
    }

    /// Takes from the environment what it was told to take from there.
    #[cfg(feature = "otlp")]
    pub(crate) fn read_environment(&mut self) -> Result<(), Error> {
        if self.otlp_from_env {
            environment::Environment(&environment::variable).apply(self)?;
        }
        Ok(())
    }

    /// Where and how metrics are pushed; `None` when they are not.
    #[cfg(feature = "otlp")]
    pub(crate) fn export(&self) -> Result<Option<Export>, Error> {
        let otlp = self.otlp.as_ref().filter(|otlp| otlp.takes_metrics());
        otlp.map(|otlp| otlp.settle(Signal::Metrics)).transpose()
    }

    /// Where and how kept spans are pushed; `None` when they are not.
    #[cfg(all(feature = "otlp", feature = "tracing"))]
    pub(crate) fn span_export(&self) -> Result<Option<Export>, Error> {
        let receiver = match &self.spans {
            Spans::WithMetrics => self.otlp.as_ref().filter(|otlp| otlp.takes_spans()),
            Spans::To(otlp) => Some(otlp.as_ref()),
            Spans::Nowhere => None,
        };
        receiver.map(|otlp| otlp.settle(Signal::Traces)).transpose()
    }

    /// Refuses settings that cannot work before anything is started.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |setting, value: &str, reason: &str| {
            Err(Error::Setting { setting, value: value.to_owned(), reason: reason.to_owned() })
        };
        if self.service.trim().is_empty() {
            return refuse("builder", &self.service, "the service needs a name, such as \"shop\"");
        }
        if self.instance_id.trim().is_empty() {
            return refuse("instance_id", &self.instance_id, "an instance needs a name, such as the host's");
        }
        if self.series_limit == 0 {
            return refuse("series_limit", "0", "at least 1; the default is 2000");
        }
        if self.memory_budget < 1 << 20 {
            return refuse("memory_budget", &self.memory_budget.to_string(), "at least 1 MiB; the default is 32 MiB");
        }
        if self.history_bytes() > self.memory_budget / 2 {
            let reason = format!("at most half of memory_budget, which is {} bytes", self.memory_budget);
            return refuse("history_bytes", &self.history_bytes().to_string(), &reason);
        }
        self.read_token()?;
        self.admin_token()?;
        #[cfg(feature = "otlp")]
        self.export()?;
        #[cfg(all(feature = "otlp", feature = "tracing"))]
        self.span_export()?;
        Ok(())
    }

    /// Bytes of the memory budget that the flight recorder may keep: what was asked for, else the default or a quarter of
    /// the budget, whichever is less.
    pub(crate) fn history_bytes(&self) -> usize {
        self.history_bytes.unwrap_or_else(|| DEFAULT_HISTORY_BYTES.min(self.memory_budget / 4))
    }

    /// What readers must present, read from where it is.
    pub(crate) fn read_token(&self) -> Result<Option<Secret>, Error> {
        token("read_token", self.read_token.as_ref())
    }

    /// What callers of actions must present, read from where it is.
    pub(crate) fn admin_token(&self) -> Result<Option<Secret>, Error> {
        token("admin_token", self.admin_token.as_ref())
    }

    /// Where to listen; `None` when the service wants no listener.
    pub(crate) fn listen_address(&self) -> Result<Option<Listen>, Error> {
        let Some(listen) = &self.listen else { return Ok(None) };
        let refuse = |reason: String| Error::Setting { setting: "listen", value: listen.clone(), reason };
        if let Some(path) = listen.strip_prefix("unix:") {
            if path.is_empty() {
                return Err(refuse("write the path of the socket, such as unix:/run/shop/heartline.sock".to_owned()));
            }
            return Ok(Some(Listen::Unix(path.into())));
        }
        let mut addresses = listen.to_socket_addrs().map_err(|error| {
            refuse(format!("{error}; write an address and a port, such as {DEFAULT_LISTEN}, or unix:/path/of/a/socket"))
        })?;
        let first = addresses.next().ok_or_else(|| refuse("the name has no address".to_owned()))?;
        Ok(Some(Listen::Tcp(first)))
    }

    pub(crate) fn secret(text: String) -> TokenSource {
        TokenSource::Text(Secret(text))
    }
}

fn token(setting: &'static str, source: Option<&TokenSource>) -> Result<Option<Secret>, Error> {
    let Some(source) = source else { return Ok(None) };
    let refuse = |reason: String| Error::Setting { setting, value: source.title(), reason };
    let secret = source.read().map_err(|error| refuse(format!("the token cannot be read: {error}")))?;
    if secret.expose().len() < TOKEN_BYTES_MIN {
        return Err(refuse("shorter than 32 bytes; make one with `openssl rand -hex 32`".to_owned()));
    }
    Ok(Some(secret))
}

/// The host's name, as Prometheus' `instance` label usually starts; `localhost` when it is unknown.
fn default_instance_id() -> String {
    sysinfo::System::host_name().ok().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_token_is_refused_without_being_shown() {
        let mut config = Config::new("shop".to_owned());
        config.read_token = Some(Config::secret("hunter2".to_owned()));
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("read_token") && error.contains("32 bytes"), "{error}");
        assert!(!error.contains("hunter2") && !format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_token_comes_from_a_file_and_neither_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef0123456789abcdef\n").unwrap();
        let mut config = Config::new("shop".to_owned());
        config.read_token = Some(TokenSource::File(path.clone()));
        assert_eq!(config.read_token().unwrap().unwrap().expose(), "0123456789abcdef0123456789abcdef");
        std::fs::write(&path, "hunter2").unwrap();
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("token") && !error.contains("hunter2"), "{error}");
        config.read_token = Some(TokenSource::Variable("HEARTLINE_NO_SUCH_VARIABLE".to_owned()));
        assert!(config.validate().unwrap_err().to_string().contains("is not set"));
    }

    #[test]
    fn an_address_is_a_socket_of_either_kind() {
        let listen = |text: &str| {
            let mut config = Config::new("shop".to_owned());
            config.listen = Some(text.to_owned());
            config.listen_address()
        };
        assert_eq!(listen("127.0.0.1:9464").unwrap(), Some(Listen::Tcp("127.0.0.1:9464".parse().unwrap())));
        assert_eq!(listen("unix:/run/shop.sock").unwrap(), Some(Listen::Unix("/run/shop.sock".into())));
        assert!(listen("unix:").unwrap_err().to_string().contains("heartline.sock"));
        assert!(listen("nonsense").unwrap_err().to_string().contains("127.0.0.1:9464"));
    }

    #[test]
    fn a_service_without_a_name_is_refused_with_an_example() {
        assert!(Config::new(" ".to_owned()).validate().unwrap_err().to_string().contains("such as"));
    }

    #[test]
    fn the_flight_recorder_takes_a_quarter_of_a_small_budget_and_never_more_than_half() {
        let mut config = Config::new("shop".to_owned());
        assert_eq!(config.history_bytes(), DEFAULT_HISTORY_BYTES);
        config.memory_budget = 4 << 20;
        assert_eq!(config.history_bytes(), 1 << 20);
        config.history_bytes = Some(3 << 20);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("history_bytes") && error.contains("half of memory_budget"), "{error}");
    }

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::new("shop".to_owned()).validate().is_ok());
    }
}
