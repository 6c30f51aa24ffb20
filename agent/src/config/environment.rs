//! The `OTEL_*` variables that exporters of metrics and spans honour; each value that cannot work is refused by name. How a
//! variable is read is passed in.
//!
//! [General](https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/) and
//! [of the exporter](https://opentelemetry.io/docs/specs/otel/protocol/exporter/).

use std::time::Duration;

use percent_encoding::percent_decode_str;

use super::Config;
#[cfg(feature = "tracing")]
use super::Spans;
use super::otlp::{Otlp, OtlpHistograms, Protocol, Signal};
use crate::error::Error;

/// The names of a setting: of metrics, of spans, of all signals.
#[derive(Debug, Clone, Copy)]
struct Names {
    own: [&'static str; 2],
    all: &'static str,
}

macro_rules! names {
    ($what:literal) => {
        Names {
            own: [concat!("OTEL_EXPORTER_OTLP_METRICS_", $what), concat!("OTEL_EXPORTER_OTLP_TRACES_", $what)],
            all: concat!("OTEL_EXPORTER_OTLP_", $what),
        }
    };
}

const ENDPOINT: Names = names!("ENDPOINT");
const INSECURE: Names = names!("INSECURE");
const PROTOCOL: Names = names!("PROTOCOL");
const HEADERS: Names = names!("HEADERS");
const COMPRESSION: Names = names!("COMPRESSION");
const TIMEOUT: Names = names!("TIMEOUT");
const CERTIFICATE: Names = names!("CERTIFICATE");
const CLIENT_CERTIFICATE: Names = names!("CLIENT_CERTIFICATE");
const CLIENT_KEY: Names = names!("CLIENT_KEY");

/// The variables; one that is empty is not set.
pub(super) struct Environment<'a>(pub(super) &'a dyn Fn(&str) -> Option<String>);

impl Environment<'_> {
    fn read(&self, name: &str) -> Option<String> {
        (self.0)(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
    }

    /// That of the signal, else that of all signals, with its name, and whether it is the signal's own.
    fn either(&self, signal: Signal, names: Names) -> Option<(&'static str, String, bool)> {
        let both = names.own.get(signal as usize).map(|own| (*own, true)).into_iter().chain([(names.all, false)]);
        both.into_iter().find_map(|(name, is_own)| Some((name, self.read(name)?, is_own)))
    }

    /// What the variables say over what was said in code.
    ///
    /// # Errors
    /// Which variable cannot work, why, and what would.
    pub(super) fn apply(&self, config: &mut Config) -> Result<(), Error> {
        if self.flag("OTEL_SDK_DISABLED")?.unwrap_or(false) {
            config.otlp = None;
            #[cfg(feature = "tracing")]
            {
                config.spans = Spans::Nowhere;
            }
            return Ok(());
        }
        #[cfg(feature = "tracing")]
        self.apply_to_spans(config)?;
        config.otlp = if self.is_wanted("OTEL_METRICS_EXPORTER", "; /metrics is there in any case")? {
            let otlp = config.otlp.take().unwrap_or_default();
            Some(self.settings(Signal::Metrics, otlp, config)?)
        } else {
            None
        };
        Ok(())
    }

    /// Spans may go elsewhere than metrics, or nowhere.
    #[cfg(feature = "tracing")]
    fn apply_to_spans(&self, config: &mut Config) -> Result<(), Error> {
        if !self.is_wanted("OTEL_TRACES_EXPORTER", "")? {
            config.spans = Spans::Nowhere;
            return Ok(());
        }
        let said = match &config.spans {
            Spans::Nowhere => return Ok(()),
            Spans::To(otlp) => Some(Otlp::clone(otlp)),
            Spans::WithMetrics => config.otlp.clone().filter(Otlp::takes_spans),
        };
        config.spans = Spans::To(Box::new(self.settings(Signal::Traces, said.unwrap_or_default(), config)?));
        Ok(())
    }

    fn is_wanted(&self, name: &'static str, remark: &str) -> Result<bool, Error> {
        match self.read(name).as_deref() {
            Some("none") => Ok(false),
            None | Some("otlp") => Ok(true),
            Some(other) => refuse(name, other, &format!("otlp or none{remark}")),
        }
    }

    fn settings(&self, signal: Signal, mut otlp: Otlp, config: &mut Config) -> Result<Otlp, Error> {
        otlp = self.protocol(signal, self.endpoint(signal, otlp)?)?;
        otlp = self.trust(signal, self.encoding(signal, otlp)?);
        otlp = self.times(signal, otlp)?;
        if signal == Signal::Metrics {
            otlp = self.of_metrics(otlp)?;
        }
        self.resource(otlp, config)
    }

    fn endpoint(&self, signal: Signal, mut otlp: Otlp) -> Result<Otlp, Error> {
        if let Some((name, value, is_own)) = self.either(signal, ENDPOINT) {
            otlp = otlp.located(name, value, is_own);
        }
        let Some((name, value, _)) = self.either(signal, INSECURE) else { return Ok(otlp) };
        Ok(otlp.insecure(truth(name, &value)?))
    }

    fn protocol(&self, signal: Signal, otlp: Otlp) -> Result<Otlp, Error> {
        let Some((name, value, _)) = self.either(signal, PROTOCOL) else { return Ok(otlp) };
        match value.as_str() {
            "grpc" => Ok(otlp.protocol(Protocol::Grpc)),
            "http/protobuf" => Ok(otlp.protocol(Protocol::Http)),
            _ => refuse(name, &value, "grpc or http/protobuf"),
        }
    }

    fn encoding(&self, signal: Signal, mut otlp: Otlp) -> Result<Otlp, Error> {
        if let Some((name, value, _)) = self.either(signal, HEADERS) {
            for (header, value) in pairs(&value).ok_or_else(|| error(name, "…", "name=value,name=value"))? {
                otlp = otlp.header(header, value);
            }
        }
        if let Some((name, value, _)) = self.either(signal, COMPRESSION) {
            otlp = match value.as_str() {
                "gzip" => otlp.gzip(true),
                "none" => otlp.gzip(false),
                _ => return refuse(name, &value, "gzip or none"),
            };
        }
        Ok(otlp)
    }

    /// What only metrics have.
    fn of_metrics(&self, mut otlp: Otlp) -> Result<Otlp, Error> {
        let name = "OTEL_METRIC_EXPORT_INTERVAL";
        if let Some(value) = self.read(name) {
            otlp = otlp.interval(millis(name, &value, 100)?);
        }
        let name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";
        if let Some(value) = self.read(name).filter(|value| !value.eq_ignore_ascii_case("cumulative")) {
            return refuse(name, &value, "only cumulative is sent, so that nothing is lost while a collector is down");
        }
        let name = "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION";
        if let Some(value) = self.read(name) {
            otlp = match value.to_ascii_lowercase().as_str() {
                "base2_exponential_bucket_histogram" => otlp.histograms(OtlpHistograms::Exponential),
                "explicit_bucket_histogram" => otlp.histograms(OtlpHistograms::Explicit),
                _ => return refuse(name, &value, "base2_exponential_bucket_histogram or explicit_bucket_histogram"),
            };
        }
        Ok(otlp)
    }

    /// PEM files; whether they can be read is seen when the agent starts.
    fn trust(&self, signal: Signal, mut otlp: Otlp) -> Otlp {
        if let Some((name, file, _)) = self.either(signal, CERTIFICATE) {
            otlp = otlp.authority(name, file);
        }
        if let Some((name, file, _)) = self.either(signal, CLIENT_CERTIFICATE) {
            otlp = otlp.own_certificate(name, file);
        }
        match self.either(signal, CLIENT_KEY) {
            Some((name, file, _)) => otlp.own_key(name, file),
            None => otlp,
        }
    }

    fn times(&self, signal: Signal, otlp: Otlp) -> Result<Otlp, Error> {
        let Some((name, value, _)) = self.either(signal, TIMEOUT) else { return Ok(otlp) };
        Ok(otlp.timeout(millis(name, &value, 1)?))
    }

    /// The resource; what names the service is known to the dashboard too.
    fn resource(&self, mut otlp: Otlp, config: &mut Config) -> Result<Otlp, Error> {
        let name = "OTEL_RESOURCE_ATTRIBUTES";
        if let Some(value) = self.read(name) {
            let advice = "name=value,name=value, with commas and equals signs in values percent-encoded";
            for (attribute, value) in pairs(&value).ok_or_else(|| error(name, &value, advice))? {
                match attribute.as_str() {
                    "service.name" => config.service = value,
                    "service.instance.id" => config.instance_id = value,
                    "service.version" => config.version = Some(value),
                    _ => otlp = otlp.attribute(attribute, value),
                }
            }
        }
        if let Some(service) = self.read("OTEL_SERVICE_NAME") {
            config.service = service;
        }
        Ok(otlp)
    }

    fn flag(&self, name: &'static str) -> Result<Option<bool>, Error> {
        self.read(name).map(|value| truth(name, &value)).transpose()
    }
}

fn truth(name: &'static str, value: &str) -> Result<bool, Error> {
    if value.eq_ignore_ascii_case("true") {
        return Ok(true);
    }
    if value.eq_ignore_ascii_case("false") { Ok(false) } else { refuse(name, value, "true or false") }
}

fn error(setting: &'static str, value: &str, reason: &str) -> Error {
    Error::Setting { setting, value: value.to_owned(), reason: reason.to_owned() }
}

fn refuse<T>(setting: &'static str, value: &str, reason: &str) -> Result<T, Error> {
    Err(error(setting, value, reason))
}

fn millis(name: &'static str, value: &str, least: u64) -> Result<Duration, Error> {
    let number = value.parse().ok().filter(|&millis| millis >= least);
    let reason = format!("milliseconds as a whole number, at least {least}");
    number.map(Duration::from_millis).ok_or_else(|| error(name, value, &reason))
}

/// `name=value,name=value` with values percent-encoded, as baggage has it; `None` when it is something else.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let pair = |entry: &str| {
        let (name, value) = entry.split_once('=')?;
        let decode = |text: &str| Some(percent_decode_str(text.trim()).decode_utf8().ok()?.into_owned());
        Some((decode(name).filter(|name| !name.is_empty())?, decode(value)?))
    };
    entries.map(pair).collect()
}

/// Reads a variable of this process.
pub(super) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configured(variables: &[(&str, &str)]) -> Result<Config, Error> {
        let read = |name: &str| variables.iter().find(|(have, _)| *have == name).map(|(_, value)| (*value).to_owned());
        let mut config = Config::new("shop".to_owned());
        Environment(&read).apply(&mut config)?;
        if let Some(otlp) = &config.otlp {
            otlp.settle(Signal::Metrics)?;
        }
        Ok(config)
    }

    #[test]
    fn without_variables_the_defaults_of_the_specification_hold() {
        let export = configured(&[]).unwrap().otlp.unwrap().settle(Signal::Metrics).unwrap();
        assert_eq!(export.uri, "http://localhost:4318/v1/metrics");
        assert_eq!((export.interval, export.timeout), (Duration::from_mins(1), Duration::from_secs(10)));
        assert!(!export.gzip && export.headers.is_empty() && export.protocol == Protocol::Http);
    }

    #[test]
    fn every_variable_is_honoured_and_that_of_metrics_wins() {
        let config = configured(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://metrics:4317"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=a%20b%2Cc, x=y"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "5000"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "Cumulative"),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "explicit_bucket_histogram"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=ignored,service.instance.id=i-7,cloud.region=eu%2D1"),
            ("OTEL_SERVICE_NAME", "checkout"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/all.pem"),
            ("OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE", "/metrics.pem"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/own.pem"),
            ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/own.key"),
        ])
        .unwrap();
        assert_eq!((config.service.as_str(), config.instance_id.as_str()), ("checkout", "i-7"));
        let export = config.otlp.unwrap().settle(Signal::Metrics).unwrap();
        assert_eq!((export.uri.to_string(), export.protocol), ("http://metrics:4317/".to_owned(), Protocol::Grpc));
        assert_eq!((export.timeout, export.interval), (Duration::from_millis(1_500), Duration::from_secs(5)));
        assert_eq!((export.headers["api-key"].as_bytes(), export.headers.len()), (b"a b,c".as_slice(), 2));
        assert!(export.gzip && export.histograms == OtlpHistograms::Explicit);
        assert_eq!(export.attributes, [("cloud.region".to_owned(), "eu-1".to_owned())]);
        let files = [export.trust.authority, export.trust.certificate, export.trust.key];
        let files = files.map(|file| file.unwrap().1.display().to_string());
        assert_eq!(files, ["/metrics.pem", "/own.pem", "/own.key"]);
    }

    #[test]
    fn exporting_can_be_switched_off() {
        for (name, value) in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_METRICS_EXPORTER", "none")] {
            assert!(configured(&[(name, value)]).unwrap().otlp.is_none(), "{name}");
        }
        assert!(configured(&[("OTEL_SDK_DISABLED", "false")]).unwrap().otlp.is_some());
    }

    #[test]
    fn a_value_that_cannot_work_is_refused_by_the_name_of_its_variable() {
        for (name, value, said) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "grpc or http/protobuf"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "http://127.0.0.1:4318"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "gzip or none"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "milliseconds"),
            ("OTEL_METRIC_EXPORT_INTERVAL", "0", "at least 100"),
            ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", "only cumulative"),
            ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "summary", "explicit_bucket_histogram"),
            ("OTEL_RESOURCE_ATTRIBUTES", "region", "name=value"),
            ("OTEL_SDK_DISABLED", "yes", "true or false"),
            ("OTEL_METRICS_EXPORTER", "prometheus", "otlp or none"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/own.pem", "give both"),
            ("OTEL_EXPORTER_OTLP_METRICS_CLIENT_KEY", "/own.key", "give both"),
        ] {
            let error = configured(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(said), "{error}");
        }
        let error = configured(&[("OTEL_EXPORTER_OTLP_HEADERS", "hunter2")]).unwrap_err().to_string();
        assert!(error.contains("OTEL_EXPORTER_OTLP_HEADERS") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    #[cfg(feature = "tracing")]
    fn spans_have_variables_of_their_own_and_can_be_switched_off_alone() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://tempo:4317"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "tenant=1"),
            ("OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "gzip"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "700"),
            ("OTEL_RESOURCE_ATTRIBUTES", "cloud.region=eu"),
        ];
        let config = configured(&variables).unwrap();
        let spans = config.span_export().unwrap().unwrap();
        assert_eq!((spans.uri.to_string(), spans.protocol), ("http://tempo:4317/".to_owned(), Protocol::Grpc));
        assert_eq!((spans.timeout, spans.gzip), (Duration::from_millis(700), true));
        assert_eq!((spans.headers["tenant"].as_bytes(), spans.attributes.len()), (b"1".as_slice(), 1));
        let metrics = config.export().unwrap().unwrap();
        assert_eq!((metrics.uri.to_string(), metrics.gzip), ("http://all:4318/v1/metrics".to_owned(), false));
        let only_metrics = configured(&[("OTEL_TRACES_EXPORTER", "none")]).unwrap();
        assert!(only_metrics.span_export().unwrap().is_none() && only_metrics.export().unwrap().is_some());
        let only_spans = configured(&[("OTEL_METRICS_EXPORTER", "none")]).unwrap();
        assert!(only_spans.export().unwrap().is_none());
        assert_eq!(only_spans.span_export().unwrap().unwrap().uri, "http://localhost:4318/v1/traces");
        let disabled = configured(&[("OTEL_SDK_DISABLED", "true")]).unwrap();
        assert!(disabled.export().unwrap().is_none() && disabled.span_export().unwrap().is_none());
        let error = configured(&[("OTEL_TRACES_EXPORTER", "zipkin")]).unwrap_err().to_string();
        assert!(error.contains("OTEL_TRACES_EXPORTER") && error.contains("otlp or none"), "{error}");
    }

    #[test]
    fn secrets_of_headers_are_not_shown() {
        let config = configured(&[("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2")]).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        assert!(!format!("{:?}", config.otlp.unwrap().settle(Signal::Metrics).unwrap()).contains("hunter2"));
    }
}
