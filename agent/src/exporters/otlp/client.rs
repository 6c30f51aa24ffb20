//! Sends one request and says what became of it: HTTP/protobuf over HTTP/1.1, gRPC over HTTP/2, in the clear or by TLS.
//! Follows no redirect, reads no environment, and is seen by no subscriber of the host.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, Uri};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use prost::bytes::Bytes;
use tonic::codec::CompressionEncoding;
use tracing::instrument::WithSubscriber as _;
use tracing::subscriber::NoSubscriber;

use super::grpc::Encoded;
use super::outcome::{Failure, Outcome, causes, delivered, of_grpc, of_http};
use super::trust;
use crate::clock::Tick;
use crate::config::{Export, Protocol};
use crate::error::Error;

/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long an idle connection is kept.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// Of gzip: from here on a level more takes longer, but hardly fewer bytes.
const LEVEL: u32 = 4;
const AGENT: &str = concat!("OTel-OTLP-Exporter-Rust heartline/", env!("CARGO_PKG_VERSION"));

/// The agent's own client.
#[derive(Debug)]
pub(super) struct Client {
    wire: Wire,
    /// Over gRPC.
    method: &'static str,
    uri: Uri,
    headers: HeaderMap,
    gzip: bool,
    timeout: Duration,
}

#[derive(Debug)]
enum Wire {
    Http(Pool<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Grpc(Pool<HttpsConnector<HttpConnector>, tonic::body::Body>),
}

/// Runs connections where no subscriber sees them: spans of the client would be exported, by a client.
#[derive(Debug, Clone, Copy)]
struct Unseen;

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Unseen {
    fn execute(&self, connection: F) {
        tokio::spawn(connection.with_subscriber(NoSubscriber::default()));
    }
}

impl Client {
    /// # Errors
    /// [`Error::Setting`] says which certificates cannot be used.
    pub(super) fn new(export: &Export, method: &'static str) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = trust::configuration(&export.trust, export.uri.scheme_str() == Some("https"))?;
        let builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let mut pool = Pool::builder(Unseen);
        pool.timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(1);
        let wire = match export.protocol {
            Protocol::Http => Wire::Http(pool.build(builder.enable_http1().wrap_connector(tcp))),
            Protocol::Grpc => Wire::Grpc(pool.http2_only(true).build(builder.enable_http2().wrap_connector(tcp))),
        };
        let (uri, headers) = (export.uri.clone(), export.headers.clone());
        Ok(Self { wire, method, uri, headers, gzip: export.gzip, timeout: export.timeout })
    }

    /// Sends `body`; within `budget`, if that is less than an attempt may take.
    pub(super) async fn send(&self, body: Bytes, budget: Duration) -> Outcome {
        let within = self.timeout.min(budget);
        let sent = async {
            match &self.wire {
                Wire::Http(pool) => self.over_http(pool, body).await,
                Wire::Grpc(pool) => self.over_grpc(pool, body, within).await,
            }
        };
        let answered = tokio::time::timeout(within, sent.with_subscriber(NoSubscriber::default())).await;
        answered.unwrap_or_else(|_| Outcome::Again(Failure::timeout(within), None))
    }

    async fn over_http(&self, pool: &Pool<HttpsConnector<HttpConnector>, Full<Bytes>>, body: Bytes) -> Outcome {
        let mut request = http::Request::new(Full::new(if self.gzip { gzipped(&body) } else { body }));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        if self.gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        let answer = match pool.request(request).await {
            Ok(answer) => answer,
            Err(error) => return Outcome::Again(Failure::new("connection", &causes(&error)), None),
        };
        let (head, body) = answer.into_parts();
        // an answer that breaks off has said all that matters in its head
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map(Collected::to_bytes).unwrap_or_default();
        of_http(head.status, &head.headers, &body, Tick::now().wall)
    }

    async fn over_grpc(
        &self,
        pool: &Pool<HttpsConnector<HttpConnector>, tonic::body::Body>,
        body: Bytes,
        within: Duration,
    ) -> Outcome {
        let mut client = tonic::client::Grpc::with_origin(pool.clone(), self.uri.clone())
            .max_decoding_message_size(ANSWER_BYTES_MAX);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        if let Err(error) = client.ready().await {
            return Outcome::Again(Failure::new("connection", &causes(&error)), None);
        }
        let mut request = tonic::Request::new(body);
        *request.metadata_mut() = tonic::metadata::MetadataMap::from_headers(self.headers.clone());
        request.metadata_mut().entry("user-agent").map(|entry| entry.or_insert(AGENT.parse().expect("is ASCII"))).ok();
        request.set_timeout(within);
        match client.unary(request, PathAndQuery::from_static(self.method), Encoded).await {
            Ok(answer) => delivered(Some(answer.into_inner())),
            Err(status) => of_grpc(&status),
        }
    }
}

fn gzipped(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::new(LEVEL));
    encoder.write_all(body).and_then(|()| encoder.finish()).map(Bytes::from).expect("a vector takes everything")
}
