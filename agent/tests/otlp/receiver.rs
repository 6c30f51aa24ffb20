//! A receiver of OTLP over HTTP or gRPC on a free port that misbehaves once, at its first request, and then takes
//! everything; what it got is kept.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use parking_lot::Mutex;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tonic_types::{ErrorDetails, StatusExt as _};

/// What it does with its first request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Whole,
    /// So many points are rejected.
    Partial(i64),
    /// This status, and after how many seconds to come again; over gRPC its counterpart.
    Status(u16, Option<u64>),
    Redirect,
    /// None, ever.
    Hang,
    /// The connection is reset.
    Reset,
}

/// One request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) at: Instant,
    pub(crate) body: Vec<u8>,
    pub(crate) was_compressed: bool,
    headers: HeaderMap,
}

impl Received {
    pub(crate) fn decoded(&self) -> ExportMetricsServiceRequest {
        ExportMetricsServiceRequest::decode(&*self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Some(self.headers.get(name)?.to_str().unwrap().to_owned())
    }

    /// Points in it.
    pub(crate) fn points(&self) -> u64 {
        let count = |data: &Option<Data>| match data.as_ref().unwrap() {
            Data::Gauge(gauge) => gauge.data_points.len(),
            Data::Sum(sum) => sum.data_points.len(),
            Data::ExponentialHistogram(histogram) => histogram.data_points.len(),
            other => panic!("{other:?} was not asked for"),
        };
        self.metrics(|metrics| metrics.iter().map(|metric| count(&metric.data) as u64).sum())
    }

    /// Requests of the service that it counts.
    pub(crate) fn requests(&self) -> u64 {
        self.metrics(|metrics| {
            let found = metrics.iter().find(|metric| metric.name == "http.server.request.duration").unwrap();
            let Some(Data::ExponentialHistogram(histogram)) = &found.data else { panic!("{found:?}") };
            histogram.data_points.iter().map(|point| point.count).sum()
        })
    }

    /// When its points were read.
    pub(crate) fn time(&self) -> u64 {
        self.metrics(|metrics| match metrics.iter().find_map(|metric| metric.data.clone()).unwrap() {
            Data::Gauge(gauge) => gauge.data_points[0].time_unix_nano,
            Data::Sum(sum) => sum.data_points[0].time_unix_nano,
            Data::ExponentialHistogram(histogram) => histogram.data_points[0].time_unix_nano,
            other => panic!("{other:?} was not asked for"),
        })
    }

    fn metrics<T>(&self, of: impl FnOnce(&[opentelemetry_proto::tonic::metrics::v1::Metric]) -> T) -> T {
        of(&self.decoded().resource_metrics[0].scope_metrics[0].metrics)
    }
}

#[derive(Debug)]
struct State {
    /// What it does with the first request of so many resources.
    first: (Answer, usize),
    received: Mutex<Vec<Received>>,
}

/// A running receiver; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Receiver {
    state: Arc<State>,
    address: SocketAddr,
    _stop: oneshot::Sender<()>,
}

type Body = BoxBody<Bytes, Infallible>;

impl Receiver {
    pub(crate) fn http(first: Answer) -> Self {
        Self::start((first, 1), false)
    }

    pub(crate) fn grpc(first: Answer) -> Self {
        Self::start((first, 1), true)
    }

    /// One over each protocol that misbehaves at the first request of two resources.
    pub(crate) fn of_two(first: &Answer) -> [Self; 2] {
        [false, true].map(|grpc| Self::start((first.clone(), 2), grpc))
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.state.received.lock().clone()
    }

    fn start(first: (Answer, usize), grpc: bool) -> Self {
        let state = Arc::new(State { first, received: Mutex::default() });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, mut stopped) = oneshot::channel::<()>();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).unwrap();
                loop {
                    tokio::select! {
                        accepted = listener.accept() => {
                            tokio::spawn(connection(accepted.unwrap().0, Arc::clone(&shared), grpc));
                        }
                        _ = &mut stopped => return,
                    }
                }
            });
        });
        Self { state, address, _stop: stop }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>, grpc: bool) {
    // closed with a reset when the answer is one, whatever was read
    let _ = stream.set_zero_linger();
    let (reset, resets) = tokio::sync::mpsc::channel::<()>(1);
    let mut resets = resets;
    let service = service_fn(move |request| answer(request, Arc::clone(&state), grpc, reset.clone()));
    let io = TokioIo::new(stream);
    let serve = async move {
        if grpc {
            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    };
    let serve = pin!(serve);
    tokio::select! {
        () = serve => {}
        _ = resets.recv() => {}
    }
}

async fn answer(
    request: Request<Incoming>,
    state: Arc<State>,
    grpc: bool,
    reset: tokio::sync::mpsc::Sender<()>,
) -> Result<Response<Body>, Infallible> {
    let at = now();
    let (head, body) = request.into_parts();
    let sent = body.collect().await.unwrap().to_bytes();
    let expected = if grpc {
        ["metrics.v1.Metrics", "trace.v1.Trace"]
            .map(|signal| format!("/opentelemetry.proto.collector.{signal}Service/Export"))
    } else {
        ["metrics", "traces"].map(|signal| format!("/v1/{signal}"))
    };
    assert!(expected.iter().any(|path| path == head.uri.path()), "{}", head.uri);
    let (was_compressed, body) = unpacked(&head.headers, &sent, grpc);
    let is_first = {
        let mut received = state.received.lock();
        received.push(Received { at, body, was_compressed, headers: head.headers });
        // a request of one resource may be of spans
        let resources = |request: &Received| request.decoded().resource_metrics.len();
        let fits = |request: &Received| state.first.1 == 1 || resources(request) >= state.first.1;
        received.split_last().is_some_and(|(newest, before)| fits(newest) && !before.iter().any(fits))
    };
    let first = if is_first { state.first.0.clone() } else { Answer::Whole };
    match first {
        Answer::Hang => std::future::pending().await,
        Answer::Reset => {
            let _ = reset.send(()).await;
            std::future::pending().await
        }
        _ => Ok(if grpc { over_grpc(&first) } else { over_http(&first) }),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test measures")]
fn now() -> Instant {
    Instant::now()
}

/// The message, and whether it was compressed.
fn unpacked(headers: &HeaderMap, sent: &[u8], grpc: bool) -> (bool, Vec<u8>) {
    let (compressed, message) = if grpc {
        (sent[0] == 1, &sent[5..])
    } else {
        (headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip"), sent)
    };
    if !compressed {
        return (false, message.to_vec());
    }
    let mut body = Vec::new();
    flate2::read::GzDecoder::new(message).read_to_end(&mut body).unwrap();
    (true, body)
}

fn message(answer: &Answer) -> Bytes {
    let partial_success = match answer {
        Answer::Partial(rejected_data_points) => Some(ExportMetricsPartialSuccess {
            rejected_data_points: *rejected_data_points,
            error_message: "three of them".to_owned(),
        }),
        _ => None,
    };
    ExportMetricsServiceResponse { partial_success }.encode_to_vec().into()
}

fn over_http(answer: &Answer) -> Response<Body> {
    let builder = Response::builder().header("content-type", "application/x-protobuf");
    match answer {
        Answer::Status(status, throttle) => {
            let builder = builder.status(*status);
            let builder = throttle.iter().fold(builder, |builder, seconds| builder.header("retry-after", *seconds));
            builder.body(Full::new(Bytes::new()).boxed()).unwrap()
        }
        Answer::Redirect => {
            let builder =
                builder.status(StatusCode::TEMPORARY_REDIRECT).header("location", "http://127.0.0.1:1/elsewhere");
            builder.body(Full::new(Bytes::new()).boxed()).unwrap()
        }
        _ => builder.body(Full::new(message(answer)).boxed()).unwrap(),
    }
}

fn over_grpc(answer: &Answer) -> Response<Body> {
    use tonic::{Code, Status};

    let builder = Response::builder().header("content-type", "application/grpc");
    let status = match answer {
        Answer::Status(429, Some(seconds)) => {
            let wait = std::time::Duration::from_secs(*seconds);
            let details = ErrorDetails::with_retry_info(Some(wait));
            Status::with_error_details(Code::ResourceExhausted, "slow down", details)
        }
        Answer::Status(413, _) => Status::resource_exhausted("too large"),
        Answer::Status(400, _) => Status::invalid_argument("not metrics"),
        Answer::Status(..) => Status::unavailable("away"),
        Answer::Redirect => {
            // what a proxy in front of a receiver says
            let builder = Response::builder().status(StatusCode::TEMPORARY_REDIRECT);
            return builder.header("location", "/").body(Full::new(Bytes::new()).boxed()).unwrap();
        }
        _ => Status::new(Code::Ok, ""),
    };
    let mut trailers = HeaderMap::new();
    status.add_header(&mut trailers).unwrap();
    let mut frames = Vec::new();
    if status.code() == Code::Ok {
        let message = message(answer);
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        let bytes = [&[0_u8][..], &length, &message].concat();
        frames.push(Ok::<_, Infallible>(Frame::data(Bytes::from(bytes))));
    }
    frames.push(Ok(Frame::trailers(trailers)));
    builder.body(StreamBody::new(futures_util::stream::iter(frames)).boxed()).unwrap()
}
