//! How metrics and kept spans are pushed to an OpenTelemetry collector: the settings, their defaults, and what is refused; nothing is sent
//! here.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::Secret;
use crate::error::Error;

/// How often metrics are pushed unless told otherwise, as in OpenTelemetry's specification.
pub const DEFAULT_OTLP_INTERVAL: Duration = Duration::from_mins(1);
/// How long one attempt may take unless told otherwise, as in OpenTelemetry's specification.
pub const DEFAULT_OTLP_TIMEOUT: Duration = Duration::from_secs(10);
const METRICS_PATH: &str = "/v1/metrics";
const TRACES_PATH: &str = "/v1/traces";

/// What is pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    Metrics,
    #[cfg(feature = "tracing")]
    Traces,
}

impl Signal {
    /// Where any OTLP receiver takes it, below its base.
    const fn path(self) -> &'static str {
        match self {
            Self::Metrics => METRICS_PATH,
            #[cfg(feature = "tracing")]
            Self::Traces => TRACES_PATH,
        }
    }
}

/// What carries the messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Protocol {
    #[default]
    Http,
    Grpc,
}

/// How histograms are pushed; both are exact, because every boundary of both is one of the agent's buckets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtlpHistograms {
    /// Base-2 exponential histograms at the agent's own resolution: about 1 % for durations.
    #[default]
    Exponential,
    /// Explicit boundaries, those of `/metrics`: for backends that do not take exponential histograms.
    Explicit,
}

/// Where the receiver is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Endpoint {
    /// Of all signals: over HTTP, the path of the signal is appended.
    Base(String),
    /// Of one signal: used as it is.
    Exact(String),
}

/// A file, and the setting that named it.
pub(crate) type Named = (&'static str, PathBuf);

/// Whom TLS trusts, and what it shows; read when the agent starts. All files are PEM.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trust {
    /// Authorities of receivers; `None` trusts those of the system.
    pub(crate) authority: Option<Named>,
    /// A certificate of the agent's own, with those that lead to its authority.
    pub(crate) certificate: Option<Named>,
    pub(crate) key: Option<Named>,
}

impl Trust {
    /// # Errors
    /// When there is a certificate without its key, or a key without its certificate.
    fn settle(&self) -> Result<Self, Error> {
        match (&self.certificate, &self.key) {
            (Some((setting, path)), None) | (None, Some((setting, path))) => Err(Error::Setting {
                setting,
                value: path.display().to_string(),
                reason: "a certificate of the client needs its key, and a key its certificate: give both".to_owned(),
            }),
            _ => Ok(self.clone()),
        }
    }
}

/// Where and how metrics are pushed, for [`AgentBuilder::otlp`](crate::AgentBuilder::otlp). A text alone is the base of a
/// receiver over HTTP/protobuf.
///
/// ```
/// use std::time::Duration;
///
/// let collector = heartline::Otlp::grpc("http://127.0.0.1:4317").interval(Duration::from_secs(15)).gzip(true);
/// let builder = heartline::Agent::builder("shop").otlp(collector);
/// # drop(builder);
/// ```
#[derive(Debug, Clone)]
pub struct Otlp {
    setting: &'static str,
    endpoint: Option<Endpoint>,
    insecure: bool,
    protocol: Protocol,
    headers: Vec<(String, Secret)>,
    gzip: bool,
    timeout: Duration,
    interval: Duration,
    histograms: OtlpHistograms,
    attributes: Vec<(String, String)>,
    spans: bool,
    trust: Trust,
}

impl Default for Otlp {
    /// HTTP/protobuf to the port that collectors listen on at this machine.
    fn default() -> Self {
        Self {
            setting: "otlp",
            endpoint: None,
            insecure: false,
            protocol: Protocol::Http,
            headers: Vec::new(),
            gzip: false,
            timeout: DEFAULT_OTLP_TIMEOUT,
            interval: DEFAULT_OTLP_INTERVAL,
            histograms: OtlpHistograms::default(),
            attributes: Vec::new(),
            spans: true,
            trust: Trust::default(),
        }
    }
}

impl From<&str> for Otlp {
    fn from(endpoint: &str) -> Self {
        Self::http(endpoint)
    }
}

impl From<String> for Otlp {
    fn from(endpoint: String) -> Self {
        Self::http(endpoint)
    }
}

impl Otlp {
    /// Over HTTP/protobuf to the receiver at this base, such as `http://127.0.0.1:4318`; `/v1/metrics` and `/v1/traces` are
    /// appended. One that ends so already takes that signal only.
    pub fn http(endpoint: impl Into<String>) -> Self {
        let endpoint = endpoint.into();
        let is_exact = [METRICS_PATH, TRACES_PATH].iter().any(|path| endpoint.ends_with(path));
        let endpoint = if is_exact { Endpoint::Exact(endpoint) } else { Endpoint::Base(endpoint) };
        Self { endpoint: Some(endpoint), ..Self::default() }
    }

    /// Over gRPC to the receiver at this address, such as `http://127.0.0.1:4317`; without a scheme, over TLS.
    pub fn grpc(endpoint: impl Into<String>) -> Self {
        Self { endpoint: Some(Endpoint::Base(endpoint.into())), protocol: Protocol::Grpc, ..Self::default() }
    }

    /// How often. Default [`DEFAULT_OTLP_INTERVAL`](crate::DEFAULT_OTLP_INTERVAL).
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// How long one attempt may take. Default [`DEFAULT_OTLP_TIMEOUT`](crate::DEFAULT_OTLP_TIMEOUT).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// A header of every request, such as one with a key. Its value is shown nowhere.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), Secret(value.into())));
        self
    }

    /// Whether requests are compressed. Default: not, which costs less on this machine.
    #[must_use]
    pub fn gzip(mut self, compressed: bool) -> Self {
        self.gzip = compressed;
        self
    }

    /// How histograms are pushed. Default: exponential.
    #[must_use]
    pub fn histograms(mut self, histograms: OtlpHistograms) -> Self {
        self.histograms = histograms;
        self
    }

    /// One more attribute of the resource, such as `deployment.environment.name`. One that the agent knows itself is
    /// replaced.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((name.into(), value.into()));
        self
    }

    /// Whether the [spans](crate::trace) of slow and failed requests are pushed too, where there is a layer for them. Default:
    /// they are, unless the endpoint is one of metrics only.
    #[must_use]
    pub fn spans(mut self, pushed: bool) -> Self {
        self.spans = pushed;
        self
    }

    /// Whether this receiver takes spans.
    #[cfg(feature = "tracing")]
    pub(super) fn takes_spans(&self) -> bool {
        let other = matches!(&self.endpoint, Some(Endpoint::Exact(exact)) if exact.ends_with(METRICS_PATH));
        self.spans && !other
    }

    /// Whether this receiver takes metrics.
    pub(super) fn takes_metrics(&self) -> bool {
        !matches!(&self.endpoint, Some(Endpoint::Exact(exact)) if exact.ends_with(TRACES_PATH))
    }

    /// A PEM file with the authorities that a receiver's certificate must be signed by; they alone are trusted then. Read when the
    /// agent starts, and only where the receiver is reached by `https`. Default: the authorities of the system.
    #[must_use]
    pub fn certificate_authority(self, file: impl Into<PathBuf>) -> Self {
        self.authority("otlp certificate_authority", file)
    }

    /// PEM files with a certificate and its key for receivers that ask their clients for one; read as
    /// [`certificate_authority`](Self::certificate_authority) is. Default: none is shown.
    #[must_use]
    pub fn client_certificate(self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        const SETTING: &str = "otlp client_certificate";
        self.own_certificate(SETTING, certificate).own_key(SETTING, key)
    }

    pub(super) fn authority(mut self, setting: &'static str, file: impl Into<PathBuf>) -> Self {
        self.trust.authority = Some((setting, file.into()));
        self
    }

    pub(super) fn own_certificate(mut self, setting: &'static str, file: impl Into<PathBuf>) -> Self {
        self.trust.certificate = Some((setting, file.into()));
        self
    }

    pub(super) fn own_key(mut self, setting: &'static str, file: impl Into<PathBuf>) -> Self {
        self.trust.key = Some((setting, file.into()));
        self
    }

    pub(super) fn protocol(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    /// As a variable of the environment has it; that of one signal is used as it is.
    pub(super) fn located(mut self, setting: &'static str, endpoint: String, exact: bool) -> Self {
        self.setting = setting;
        self.endpoint = Some(if exact { Endpoint::Exact(endpoint) } else { Endpoint::Base(endpoint) });
        self
    }

    pub(super) fn insecure(mut self, insecure: bool) -> Self {
        self.insecure = insecure;
        self
    }

    /// Refuses what cannot work.
    pub(crate) fn settle(&self, signal: Signal) -> Result<Export, Error> {
        let refuse =
            |setting, value: String, reason: &str| Err(Error::Setting { setting, value, reason: reason.to_owned() });
        if self.interval < Duration::from_millis(100) {
            return refuse("otlp interval", format!("{:?}", self.interval), "at least 100 ms; the default is 60 s");
        }
        if self.timeout.is_zero() {
            return refuse("otlp timeout", "0".to_owned(), "an attempt needs time; the default is 10 s");
        }
        Ok(Export {
            uri: self.uri(signal)?,
            protocol: self.protocol,
            headers: self.header_map()?,
            gzip: self.gzip,
            timeout: self.timeout,
            interval: self.interval,
            histograms: self.histograms,
            attributes: self.attributes.clone(),
            trust: self.trust.settle()?,
        })
    }

    fn uri(&self, signal: Signal) -> Result<Uri, Error> {
        let path = signal.path();
        let text = match (&self.endpoint, self.protocol) {
            (None, Protocol::Http) => format!("http://localhost:4318{path}"),
            (None, Protocol::Grpc) => "http://localhost:4317".to_owned(),
            (Some(Endpoint::Base(base)), Protocol::Http) => format!("{}{path}", base.trim_end_matches('/')),
            (Some(Endpoint::Exact(exact)), Protocol::Http) => exact.clone(),
            (Some(Endpoint::Base(address) | Endpoint::Exact(address)), Protocol::Grpc) => {
                match address.split_once("://") {
                    Some(_) => address.clone(),
                    None => format!("{}://{address}", if self.insecure { "http" } else { "https" }),
                }
            }
        };
        let example = match self.protocol {
            Protocol::Http => "http://127.0.0.1:4318",
            Protocol::Grpc => "http://127.0.0.1:4317",
        };
        // what stands before an @ may be a password
        let shown = text.rsplit_once('@').map_or_else(|| text.clone(), |(_, host)| format!("…@{host}"));
        let refuse = |reason: String| Error::Setting { setting: self.setting, value: shown.clone(), reason };
        let uri: Uri = text.parse().map_err(|error| refuse(format!("{error}; write a URL, such as {example}")))?;
        match (uri.scheme_str(), uri.authority()) {
            (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
                Err(refuse("a user in the URL is not sent; use a header, such as authorization".to_owned()))
            }
            (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(uri),
            _ => Err(refuse(format!("an http or https URL with a host, such as {example}"))),
        }
    }

    fn header_map(&self) -> Result<HeaderMap, Error> {
        let mut map = HeaderMap::new();
        for (name, value) in &self.headers {
            let refuse = |reason: &str| Error::Setting {
                setting: "otlp headers",
                value: format!("{name}=…"),
                reason: reason.to_owned(),
            };
            let known = HeaderName::try_from(name.as_str())
                .map_err(|_| refuse("no header has such a name; write name=value, such as api-key=…"))?;
            let mut value = HeaderValue::try_from(value.expose())
                .map_err(|_| refuse("the value has characters that no header may have"))?;
            value.set_sensitive(true);
            map.insert(known, value);
        }
        Ok(map)
    }
}

/// Settings that can work.
#[derive(Debug, Clone)]
pub(crate) struct Export {
    pub(crate) uri: Uri,
    pub(crate) protocol: Protocol,
    pub(crate) headers: HeaderMap,
    pub(crate) gzip: bool,
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) histograms: OtlpHistograms,
    pub(crate) attributes: Vec<(String, String)>,
    pub(crate) trust: Trust,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri(otlp: &Otlp) -> String {
        otlp.settle(Signal::Metrics).unwrap().uri.to_string()
    }

    #[test]
    fn a_base_gets_the_path_of_metrics_and_a_path_of_metrics_is_kept() {
        assert_eq!(uri(&"http://collector:4318".into()), "http://collector:4318/v1/metrics");
        assert_eq!(uri(&"http://collector:4318/".into()), "http://collector:4318/v1/metrics");
        assert_eq!(uri(&"http://mimir/otlp".into()), "http://mimir/otlp/v1/metrics");
        assert_eq!(uri(&"http://mimir/otlp/v1/metrics".into()), "http://mimir/otlp/v1/metrics");
        assert_eq!(uri(&Otlp::default()), "http://localhost:4318/v1/metrics");
        assert_eq!(uri(&Otlp::default().protocol(Protocol::Grpc)), "http://localhost:4317/");
        assert_eq!(uri(&Otlp::grpc("collector:4317")), "https://collector:4317/");
        assert_eq!(uri(&Otlp::grpc("collector:4317").insecure(true)), "http://collector:4317/");
    }

    #[test]
    #[cfg(feature = "tracing")]
    fn spans_go_to_the_path_of_traces_unless_the_receiver_takes_metrics_only() {
        let uri = |otlp: Otlp| otlp.settle(Signal::Traces).unwrap().uri.to_string();
        assert_eq!(uri("http://collector:4318/".into()), "http://collector:4318/v1/traces");
        assert_eq!(uri("http://tempo/v1/traces".into()), "http://tempo/v1/traces");
        assert_eq!(uri(Otlp::default().protocol(Protocol::Grpc)), "http://localhost:4317/");
        let takes = |otlp: Otlp| (otlp.takes_metrics(), otlp.takes_spans());
        assert_eq!(takes("http://mimir/v1/metrics".into()), (true, false));
        assert_eq!(takes("http://tempo/v1/traces".into()), (false, true));
        assert_eq!(takes(Otlp::grpc("collector:4317")), (true, true));
        assert_eq!(takes(Otlp::default().spans(false)), (true, false));
    }

    #[test]
    fn what_cannot_work_is_refused_with_an_example_and_without_secrets() {
        for (otlp, said) in [
            (Otlp::http("collector:4318"), "http://127.0.0.1:4318"),
            (Otlp::http(""), "http://127.0.0.1:4318"),
            (Otlp::grpc("ftp://collector"), "http://127.0.0.1:4317"),
            (Otlp::http("http://me:hunter2@collector"), "use a header"),
            (Otlp::default().header("api key", "hunter2"), "api key=…"),
            (Otlp::default().header("api-key", "hunter2\n"), "api-key=…"),
            (Otlp::default().interval(Duration::ZERO), "at least 100 ms"),
            (Otlp::default().timeout(Duration::ZERO), "needs time"),
        ] {
            let error = otlp.settle(Signal::Metrics).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains("hunter2"), "{error}");
            let shown = format!("{:?}", Otlp::default().header("api-key", "hunter2"));
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
