//! What a service says about itself before its agent starts; nothing is started until `start`.

use std::path::PathBuf;
use std::time::Duration;

use super::Agent;
#[cfg(feature = "otlp")]
use crate::config::Otlp;
#[cfg(feature = "tls")]
use crate::config::TlsFiles;
use crate::config::{Config, TokenSource};
use crate::error::Error;
use crate::signals::{BuiltInCheck, BuiltInSettings, CheckSettings};

/// Settings of an agent; see each method for its default.
#[derive(Debug, Clone)]
#[must_use = "nothing runs until `start`"]
pub struct AgentBuilder(Config, BuiltInSettings);

impl AgentBuilder {
    pub(crate) fn new(service: String) -> Self {
        Self(Config::new(service), BuiltInSettings::default())
    }

    /// Where the endpoint listens. Default [`DEFAULT_LISTEN`](crate::DEFAULT_LISTEN). Port 0 takes a free one; see
    /// [`Agent::local_addr`]. `unix:/run/shop/heartline.sock` listens on a socket that only the service's own user may
    /// connect to. An address off this machine needs a read token, and TLS or
    /// [`insecure_remote`](Self::insecure_remote), or the agent does not listen.
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.0.listen = Some(address.into());
        self
    }

    /// Does not listen at all: the service reads [`Agent::snapshot`] itself.
    pub fn without_listener(mut self) -> Self {
        self.0.listen = None;
        self
    }

    /// Allows listening off this machine without TLS, for networks that are encrypted or trusted otherwise. Default: not
    /// allowed. A read token is needed all the same.
    pub fn insecure_remote(mut self, allowed: bool) -> Self {
        self.0.insecure_remote = allowed;
        self
    }

    /// Distinguishes this replica, stable over restarts: the label `instance`. Default: the host's name.
    pub fn instance_id(mut self, instance_id: impl Into<String>) -> Self {
        self.0.instance_id = instance_id.into();
        self
    }

    /// The version of the service. Default: not said.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.0.version = Some(version.into());
        self
    }

    /// What readers must send as `Authorization: Bearer`; at least 32 bytes. Default: no token, loopback only.
    pub fn read_token(mut self, token: impl Into<String>) -> Self {
        self.0.read_token = Some(Config::secret(token.into()));
        self
    }

    /// As [`read_token`](Self::read_token), from a file, without the white space around it.
    pub fn read_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.read_token = Some(TokenSource::File(path.into()));
        self
    }

    /// As [`read_token`](Self::read_token), from an environment variable.
    pub fn read_token_variable(mut self, name: impl Into<String>) -> Self {
        self.0.read_token = Some(TokenSource::Variable(name.into()));
        self
    }

    /// As [`admin_token`](Self::admin_token), from a file, without the white space around it.
    pub fn admin_token_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.admin_token = Some(TokenSource::File(path.into()));
        self
    }

    /// As [`admin_token`](Self::admin_token), from an environment variable.
    pub fn admin_token_variable(mut self, name: impl Into<String>) -> Self {
        self.0.admin_token = Some(TokenSource::Variable(name.into()));
        self
    }

    /// A name that the endpoint answers to when a request's `Host` names it, without a port. Addresses and `localhost`
    /// are always answered. Default: on loopback no other name, elsewhere any; once one is allowed, only these.
    pub fn allowed_host(mut self, name: impl Into<String>) -> Self {
        self.0.allowed_hosts.push(name.into().to_ascii_lowercase());
        self
    }

    /// An origin whose pages may read, such as `https://ops.example`, and act if they have the admin token. Default:
    /// only pages of the endpoint's own address, and those may not act.
    pub fn allowed_origin(mut self, origin: impl Into<String>) -> Self {
        self.0.allowed_origins.push(origin.into());
        self
    }

    /// Serves TLS with this certificate chain and key, PEM files; HTTP without it is then refused. Changed files are
    /// read again within about five seconds; while they make no sense, the certificate before stays. If they make none at
    /// the start, the endpoint is not opened and tried again in the background.
    #[cfg(feature = "tls")]
    pub fn tls(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        let client_authority = self.0.tls.take().and_then(|files| files.client_authority);
        self.0.tls = Some(TlsFiles { certificate: certificate.into(), key: key.into(), client_authority });
        self
    }

    /// Lets only clients connect whose certificate one of these authorities signed, a PEM file. Beside
    /// [`tls`](Self::tls), which it needs.
    #[cfg(feature = "tls")]
    pub fn tls_client_authority(mut self, path: impl Into<PathBuf>) -> Self {
        self.0.tls.get_or_insert_default().client_authority = Some(path.into());
        self
    }

    /// What callers of actions must send; at least 32 bytes. Default: actions are off.
    pub fn admin_token(mut self, token: impl Into<String>) -> Self {
        self.0.admin_token = Some(Config::secret(token.into()));
        self
    }

    /// Series that names from outside may create in one metric. Default
    /// [`DEFAULT_SERIES_LIMIT`](crate::DEFAULT_SERIES_LIMIT). Further ones are added up in a series labelled
    /// `otel.metric.overflow="true"`. Routes, queries, pools, caches and queues that the service names have room of
    /// their own.
    pub fn series_limit(mut self, series: usize) -> Self {
        self.0.series_limit = series;
        self
    }

    /// Bytes that the agent may keep. Default [`DEFAULT_MEMORY_BUDGET`](crate::DEFAULT_MEMORY_BUDGET). At three quarters of
    /// it histograms go on in buckets four times as wide, at seven eighths names from outside make no more series, and
    /// when it is used up no name does: these go to overflow. `heartline.series.coarse` and `heartline.series.dropped`
    /// say so.
    pub fn memory_budget(mut self, bytes: usize) -> Self {
        self.0.memory_budget = bytes;
        self
    }

    /// Bytes of [`memory_budget`](Self::memory_budget) that the flight recorder may keep: seconds for minutes, ten seconds
    /// for hours, minutes for a day, as far as the bytes reach. Default
    /// [`DEFAULT_HISTORY_BYTES`](crate::DEFAULT_HISTORY_BYTES), or a quarter of a smaller budget; at most half of it. With 0
    /// there is no history, and views over a window answer that there is none.
    pub fn history_bytes(mut self, bytes: usize) -> Self {
        self.0.history_bytes = Some(bytes);
        self
    }

    /// How often a summary of that time is logged, as one event of the target `heartline::summary`. Default
    /// [`DEFAULT_SUMMARY_INTERVAL`](crate::DEFAULT_SUMMARY_INTERVAL); zero logs none. It needs the flight recorder.
    pub fn summary_interval(mut self, interval: Duration) -> Self {
        self.0.summary_interval = interval;
        self
    }

    /// Bytes of memory this service may use. Default: the limit of its cgroup, else the machine's memory.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.0.memory_limit = Some(bytes);
        self
    }

    /// A request that takes as long is slow: it is kept with what it spent, at `/api/v1/traces`, and logged as an event of
    /// the target `heartline::slow`. Default [`DEFAULT_SLOW_REQUEST`](crate::DEFAULT_SLOW_REQUEST).
    pub fn slow_request(mut self, threshold: Duration) -> Self {
        self.0.slow_request = threshold;
        self
    }

    /// A slow request that takes as long is logged at WARN instead of INFO. Default
    /// [`DEFAULT_VERY_SLOW_REQUEST`](crate::DEFAULT_VERY_SLOW_REQUEST).
    pub fn very_slow_request(mut self, threshold: Duration) -> Self {
        self.0.very_slow_request = threshold;
        self
    }

    /// A query that takes longer is counted as slow. Default [`DEFAULT_SLOW_QUERY`](crate::DEFAULT_SLOW_QUERY).
    pub fn slow_query(mut self, threshold: Duration) -> Self {
        self.0.slow_query = threshold;
        self
    }

    /// Also records how many rows each query returned, one more histogram a query. Default: off.
    pub fn returned_rows(mut self, recorded: bool) -> Self {
        self.0.returned_rows = recorded;
        self
    }

    /// How long the memory floor must grow since the start of the process before a leak is suspected; everything else
    /// the detector waits for is a part of it. Default [`DEFAULT_LEAK_PATIENCE`](crate::DEFAULT_LEAK_PATIENCE). A
    /// shorter one finds leaks sooner and takes more caches that are still filling for one; tell the agent of caches
    /// with [`watch_cache`](crate::Agent::watch_cache), and their bytes are not counted. Below 384 seconds the history
    /// gets no finer.
    pub fn leak_patience(mut self, patience: Duration) -> Self {
        self.0.leak_patience = patience;
        self
    }

    /// A file in which the agent keeps how many lives of the service, one after the other, ended leaking, so that a leak that
    /// a restart hides every few hours is found: it is suspected after a third of the [patience](Self::leak_patience) where one
    /// life did, after a ninth where two did. Lives of another [`version`](Self::version) do not count. Default: none; then a
    /// service knows nothing of its earlier lives. Written only when the number changes; a file that cannot be read or written
    /// is logged, and nothing else. Its folder must be there and outlive the process: in a container, a volume.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// # let folder = std::env::temp_dir();
    /// let agent = heartline::Agent::builder("shop").version("1.4.2").remember_leaks_in(folder.join("shop-leaks.json"));
    /// # Ok(()) }
    /// ```
    pub fn remember_leaks_in(mut self, file: impl Into<PathBuf>) -> Self {
        self.0.leaking_lives = Some(file.into());
        self
    }

    /// How a built-in health check runs. Default: every five seconds, not critical: it can make the service degraded, never
    /// unhealthy.
    ///
    /// ```
    /// # fn main() -> Result<(), heartline::Error> {
    /// use heartline::{BuiltInCheck, CheckSettings, Criticality};
    ///
    /// let agent = heartline::Agent::builder("shop")
    ///     .without_listener()
    ///     .built_in_check(BuiltInCheck::Memory, CheckSettings::new(Criticality::Critical))
    ///     .without_built_in_check(BuiltInCheck::Queue)
    ///     .start()?;
    /// # Ok(()) }
    /// ```
    pub fn built_in_check(mut self, check: BuiltInCheck, settings: CheckSettings) -> Self {
        self.1.set(check, Some(settings));
        self
    }

    /// Does without a built-in health check.
    pub fn without_built_in_check(mut self, check: BuiltInCheck) -> Self {
        self.1.set(check, None);
        self
    }

    /// Pushes metrics to an OpenTelemetry collector, or to anything that takes OTLP: a base URL for HTTP/protobuf, or an
    /// [`Otlp`] that says more. Cumulative, so that nothing is lost while the receiver is away; one request at most is kept
    /// until then. With the feature `tracing` and its [layer](crate::trace::layer()), the spans of slow and failed requests go
    /// there too, unless [`otlp_spans`](Self::otlp_spans) says otherwise. Default: not.
    #[cfg(feature = "otlp")]
    pub fn otlp(mut self, receiver: impl Into<Otlp>) -> Self {
        self.0.otlp = Some(receiver.into());
        self
    }

    /// Pushes the [spans](crate::trace) of slow and failed requests, and no others, to this receiver instead of the one of
    /// [`otlp`](Self::otlp): a base URL, or one that ends in `/v1/traces`. While it is away, the newest 256 requests are kept for
    /// it. Default: where metrics are pushed.
    #[cfg(all(feature = "otlp", feature = "tracing"))]
    pub fn otlp_spans(mut self, receiver: impl Into<Otlp>) -> Self {
        self.0.spans = crate::config::Spans::To(Box::new(receiver.into()));
        self
    }

    /// Pushes no spans, whatever takes the metrics: they stay under `/api/v1/traces`. For services whose own tracer exports all
    /// of theirs. Default: they are pushed.
    #[cfg(all(feature = "otlp", feature = "tracing"))]
    pub fn without_otlp_spans(mut self) -> Self {
        self.0.spans = crate::config::Spans::Nowhere;
        self
    }

    /// Pushes metrics, and spans that are kept, as the `OTEL_*` variables of the environment say, which win over
    /// [`otlp`](Self::otlp) and over the name, version and instance id that were given in code. Without any of them, to
    /// `http://localhost:4318`; with `OTEL_METRICS_EXPORTER=none` or `OTEL_TRACES_EXPORTER=none` without the one or the other,
    /// with `OTEL_SDK_DISABLED=true` not at all. A value that cannot work is refused by
    /// [`start`](Self::start).
    #[cfg(feature = "otlp")]
    pub fn otlp_from_env(mut self) -> Self {
        self.0.otlp_from_env = true;
        self
    }

    /// Starts the agent on a thread of its own and waits until it listens, at most two seconds. A port that is taken
    /// stops nothing: it is tried again in the background, and [`Agent::local_addr`] is `None` until then. Inside a tokio
    /// runtime, that runtime is observed.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings that cannot work, [`Error::Thread`] when the thread cannot be started.
    pub fn start(self) -> Result<Agent, Error> {
        let config = self.0;
        #[cfg(feature = "otlp")]
        let config = {
            let mut config = config;
            config.read_environment()?;
            config
        };
        config.validate()?;
        Agent::start(config, self.1)
    }
}
