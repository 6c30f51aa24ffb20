//! What a receiver's answer means, exactly as [OTLP's specification][otlp] has it: delivered, refused for good, or to be sent
//! again, and when. Answers are values; nothing is sent here.
//!
//! [otlp]: https://opentelemetry.io/docs/specs/otlp/

use std::borrow::Cow;
use std::time::Duration;

use heartline_shared::UnixMillis;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use prost::Message as _;
use tonic::Code;
use tonic_types::StatusExt as _;

/// The longest wait that a receiver may ask for; it may not silence an agent for good.
pub(super) const THROTTLE_MAX: Duration = Duration::from_hours(1);
/// Characters of what a receiver said that are logged.
const SAID_CHARS_MAX: usize = 300;

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The receiver has it, except for the points that it rejected. Never sent again.
    Delivered { rejected: u64, said: String },
    /// The receiver will never take it. Never sent again.
    Refused(Failure),
    /// Nobody knows, or the receiver asked for it: to be sent again, after the time it asked for.
    Again(Failure, Option<Duration>),
}

/// Why a request was not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    /// The attribute `error.type`: a status, or `timeout`, or `connection`.
    pub(super) kind: Cow<'static, str>,
    /// For the log: what was said, never a secret.
    pub(super) said: String,
}

impl Failure {
    pub(super) fn new(kind: impl Into<Cow<'static, str>>, said: &str) -> Self {
        Self { kind: kind.into(), said: printable(said) }
    }

    /// There was no answer within the time an attempt has.
    pub(super) fn timeout(after: Duration) -> Self {
        Self::new("timeout", &format!("no answer within {after:?}"))
    }
}

/// What an answer over HTTP means.
pub(super) fn of_http(status: StatusCode, headers: &HeaderMap, body: &[u8], now: UnixMillis) -> Outcome {
    if status.is_success() {
        return delivered(ExportMetricsServiceResponse::decode(body).ok());
    }
    let failure = Failure::new(status.as_str().to_owned(), &said_over_http(status, headers, body));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Outcome::Again(failure, headers.get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?, now)))
        }
        StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => Outcome::Again(failure, None),
        _ => Outcome::Refused(failure),
    }
}

/// What the status of a gRPC call means.
pub(super) fn of_grpc(status: &tonic::Status) -> Outcome {
    // a status that the client made because there was no answer has a source
    if std::error::Error::source(status).is_some() {
        return Outcome::Again(Failure::new("connection", &causes(status)), None);
    }
    let throttle = status.get_details_retry_info().map(|info| info.retry_delay.unwrap_or_default().min(THROTTLE_MAX));
    let failure = Failure::new(name(status.code()), status.message());
    match status.code() {
        Code::ResourceExhausted if throttle.is_none() => Outcome::Refused(failure),
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss
        | Code::ResourceExhausted => Outcome::Again(failure, throttle),
        _ => Outcome::Refused(failure),
    }
}

/// What an answer of success means; one without a message is whole success.
pub(super) fn delivered(response: Option<ExportMetricsServiceResponse>) -> Outcome {
    let partial = response.and_then(|response| response.partial_success).unwrap_or_default();
    let rejected = u64::try_from(partial.rejected_data_points).unwrap_or(0);
    Outcome::Delivered { rejected, said: printable(&partial.error_message) }
}

/// An error with what caused it.
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

fn said_over_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> String {
    if let Some(location) = headers.get(LOCATION).filter(|_| status.is_redirection()) {
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        return format!("redirects to {location}, which is not followed: give that address as the endpoint");
    }
    let content = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if content.starts_with("application/x-protobuf") {
        return tonic_types::pb::Status::decode(body).map(|status| status.message).unwrap_or_default();
    }
    String::from_utf8_lossy(body).into_owned()
}

/// Seconds, or a date.
fn retry_after(value: &str, now: UnixMillis) -> Option<Duration> {
    let seconds = value.trim().parse().ok().map(Duration::from_secs);
    let until = || {
        let date = httpdate::parse_http_date(value.trim()).ok()?;
        let since_epoch = date.duration_since(std::time::UNIX_EPOCH).ok()?;
        Some(since_epoch.saturating_sub(Duration::from_millis(now.0)))
    };
    seconds.or_else(until).map(|wait| wait.min(THROTTLE_MAX))
}

fn printable(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(SAID_CHARS_MAX).collect::<String>().trim().to_owned()
}

/// As gRPC's documents write it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsPartialSuccess;
    use tonic_types::ErrorDetails;

    use super::*;

    const NOW: UnixMillis = UnixMillis(784_111_717_000); // 1994-11-06 08:48:37

    fn http(status: u16, retry_after: Option<&'static str>) -> Outcome {
        let mut headers = HeaderMap::new();
        retry_after.map(|value| headers.insert(RETRY_AFTER, HeaderValue::from_static(value)));
        of_http(StatusCode::from_u16(status).unwrap(), &headers, b"why\n", NOW)
    }

    #[test]
    fn over_http_four_statuses_are_sent_again_and_no_other() {
        for status in 300..600 {
            let again = matches!(http(status, None), Outcome::Again(..));
            assert_eq!(again, [429, 502, 503, 504].contains(&status), "{status}");
        }
    }

    #[test]
    fn a_receiver_says_how_long_to_wait_in_seconds_or_as_a_date_up_to_an_hour() {
        for (value, seconds) in [
            ("7", Some(7)),
            ("0", Some(0)),
            ("99999999", Some(3_600)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            for status in [429, 503] {
                let expected = seconds.map(Duration::from_secs);
                assert_eq!(
                    http(status, Some(value)),
                    Outcome::Again(Failure::new(status.to_string(), "why"), expected)
                );
            }
        }
    }

    #[test]
    fn over_grpc_retry_info_decides_whether_an_exhausted_resource_comes_back() {
        let plain = tonic::Status::resource_exhausted("full");
        assert!(matches!(of_grpc(&plain), Outcome::Refused(_)));
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        let throttled = tonic::Status::with_error_details(Code::ResourceExhausted, "full", details);
        let failure = Failure::new("RESOURCE_EXHAUSTED", "full");
        assert_eq!(of_grpc(&throttled), Outcome::Again(failure, Some(Duration::from_secs(3))));
    }

    #[test]
    fn over_grpc_six_codes_are_sent_again_and_no_other() {
        for number in 1..17 {
            let code = Code::from_i32(number);
            let again = matches!(of_grpc(&tonic::Status::new(code, "")), Outcome::Again(..));
            assert_eq!(again, [1, 4, 10, 11, 14, 15].contains(&number), "{code:?}");
        }
    }

    #[test]
    fn partial_success_is_success_with_points_missing() {
        let partial = ExportMetricsPartialSuccess { rejected_data_points: 3, error_message: "no\u{7}pe".to_owned() };
        let body = ExportMetricsServiceResponse { partial_success: Some(partial) }.encode_to_vec();
        let outcome = of_http(StatusCode::OK, &HeaderMap::new(), &body, NOW);
        assert_eq!(outcome, Outcome::Delivered { rejected: 3, said: "no pe".to_owned() });
        for body in [&b""[..], b"<html>"] {
            let whole = Outcome::Delivered { rejected: 0, said: String::new() };
            assert_eq!(of_http(StatusCode::OK, &HeaderMap::new(), body, NOW), whole);
        }
    }
}
