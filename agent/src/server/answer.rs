//! Responses as bytes: documents with their headers, compression, entity tags. Which document it is, is not known here.

use std::hash::{DefaultHasher, Hasher};
use std::io::Write as _;
use std::sync::OnceLock;

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use hyper::body::Bytes;
use tokio::task::yield_now;

use super::payload::{Answer, Payload};
use super::problem::{PROBLEM_JSON, Problem};

pub(super) const JSON: &str = "application/json";
pub(super) const TEXT: &str = "text/plain; charset=utf-8";
/// Shorter bodies are not compressed: they fit a packet anyway.
const COMPRESSED_MIN: usize = 1_400;

/// A body in each form; a compressed one is made when the first client asks for it.
#[derive(Debug, Default)]
pub(super) struct Body {
    plain: Bytes,
    gzip: OnceLock<Option<Bytes>>,
    #[cfg(feature = "zstd")]
    zstd: OnceLock<Option<Bytes>>,
}

/// A compression that this build knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Gzip,
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Encoding {
    /// The better one first.
    const ALL: &[Self] = &[
        #[cfg(feature = "zstd")]
        Self::Zstd,
        Self::Gzip,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            #[cfg(feature = "zstd")]
            Self::Zstd => "zstd",
        }
    }

    fn compress(self, plain: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 8), Compression::fast());
                encoder.write_all(plain).ok()?;
                encoder.finish().ok()
            }
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::bulk::compress(plain, 1).ok(),
        }
    }
}

impl Body {
    pub(super) fn new(plain: impl Into<Bytes>) -> Self {
        Self { plain: plain.into(), ..Self::default() }
    }

    /// A compressed form; `None` when compression does not help.
    fn compressed(&self, encoding: Encoding) -> Option<&Bytes> {
        let kept = match encoding {
            Encoding::Gzip => &self.gzip,
            #[cfg(feature = "zstd")]
            Encoding::Zstd => &self.zstd,
        };
        let compress =
            || encoding.compress(&self.plain).filter(|bytes| bytes.len() < self.plain.len()).map(Bytes::from);
        kept.get_or_init(|| if self.plain.len() < COMPRESSED_MIN { None } else { compress() }).as_ref()
    }

    /// An entity tag of the content.
    fn tag(&self) -> String {
        let mut hasher = DefaultHasher::new();
        hasher.write(&self.plain);
        format!("W/\"{:016x}\"", hasher.finish())
    }
}

/// A compression of a document that is made while it is sent.
enum Compressing {
    Gzip(GzEncoder<Vec<u8>>),
    #[cfg(feature = "zstd")]
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Compressing {
    #[cfg_attr(not(feature = "zstd"), expect(clippy::unnecessary_wraps, reason = "zstd may have no memory"))]
    fn new(encoding: Encoding) -> std::io::Result<Self> {
        Ok(match encoding {
            Encoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), Compression::fast())),
            #[cfg(feature = "zstd")]
            Encoding::Zstd => Self::Zstd(zstd::stream::write::Encoder::new(Vec::new(), 1)?),
        })
    }

    /// What there is to be sent after this chunk; often nothing yet.
    fn push(&mut self, chunk: &[u8]) -> Option<Bytes> {
        let made = match self {
            Self::Gzip(encoder) => encoder.write_all(chunk).map(|()| std::mem::take(encoder.get_mut())),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.write_all(chunk).map(|()| std::mem::take(encoder.get_mut())),
        };
        made.ok().map(Bytes::from)
    }

    /// The rest.
    fn finish(self) -> Option<Bytes> {
        let made = match self {
            Self::Gzip(encoder) => encoder.finish(),
            #[cfg(feature = "zstd")]
            Self::Zstd(encoder) => encoder.finish(),
        };
        made.ok().map(Bytes::from)
    }
}

/// Chunks compressed as they come. Others have their turn after each.
fn compressed(
    compressing: Compressing,
    chunks: impl Stream<Item = Bytes> + Send + 'static,
) -> impl Stream<Item = Bytes> + Send + 'static {
    let state = Some((compressing, Box::pin(chunks)));
    stream::unfold(state, |state| async move {
        let (mut compressing, mut chunks) = state?;
        while let Some(chunk) = chunks.next().await {
            let made = compressing.push(&chunk)?;
            yield_now().await;
            if !made.is_empty() {
                return Some((made, Some((compressing, chunks))));
            }
        }
        Some((compressing.finish()?, None))
    })
}

/// In which form a request wants its document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// A document that changes all the time.
    pub(super) fn document(self, status: StatusCode, content_type: &'static str, body: &Body) -> Answer {
        let encoding = accepted_encoding(self.headers);
        let compressed = encoding.and_then(|encoding| Some((encoding, body.compressed(encoding)?)));
        let bytes = compressed.map_or(&body.plain, |(_, bytes)| bytes).clone();
        let length = bytes.len();
        let mut response = Response::new(Payload::from(bytes));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
        if let Some((encoding, _)) = compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
        }
        response
    }

    /// A document that seldom changes: 304 when the client has it already.
    pub(super) fn tagged_document(self, content_type: &'static str, body: &Body) -> Answer {
        let tag = body.tag();
        let known = self.headers.get(IF_NONE_MATCH).and_then(|known| known.to_str().ok());
        let unchanged = known.is_some_and(|known| known.split(',').any(|known| known.trim() == tag));
        let mut response = if unchanged {
            let mut response = Response::new(Payload::default());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        } else {
            self.document(StatusCode::OK, content_type, body)
        };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }

    /// A document that is made while it is sent.
    pub(super) fn streamed(
        self,
        content_type: &'static str,
        chunks: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Answer {
        let encoding = accepted_encoding(self.headers);
        let compressing = encoding.and_then(|encoding| Some((encoding, Compressing::new(encoding).ok()?)));
        let mut response = match compressing {
            None => streamed(content_type, chunks),
            Some((encoding, compressing)) => {
                let mut response = streamed(content_type, compressed(compressing, chunks));
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
                response
            }
        };
        response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        response
    }

    /// An error, as RFC 9457 writes it.
    pub(super) fn problem(self, problem: &Problem) -> Answer {
        let mut response = self.document(problem.status, PROBLEM_JSON, &Body::new(problem.document().to_string()));
        if let Some((name, value)) = problem.header() {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

/// A document that is made while it is sent, as it is: what must arrive at once is not compressed.
pub(super) fn streamed(content_type: &'static str, chunks: impl Stream<Item = Bytes> + Send + 'static) -> Answer {
    let mut response = Response::new(Payload::stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// The compression that `Accept-Encoding` weighs most, ours first among equals.
fn accepted_encoding(headers: &HeaderMap) -> Option<Encoding> {
    let encodings = || headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let weight = |wanted: &str| {
        let of = |encoding: &str| -> Option<f32> {
            let (name, parameters) = encoding.split_once(';').unwrap_or((encoding, ""));
            let weight = parameters.trim().strip_prefix("q=").and_then(|weight| weight.parse().ok());
            name.trim().eq_ignore_ascii_case(wanted).then(|| weight.unwrap_or(1.0))
        };
        encodings().flat_map(|value| value.split(',')).find_map(of)
    };
    let weighed = Encoding::ALL.iter().filter_map(|encoding| {
        let weight = weight(encoding.name()).or_else(|| weight("*")).filter(|weight| *weight > 0.0)?;
        Some((*encoding, weight))
    });
    weighed.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(encoding, _)| encoding)
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http::HeaderName;
    use http::header::ALLOW;
    use http_body_util::BodyExt as _;

    use super::*;

    fn headers<const N: usize>(pairs: [(HeaderName, &str); N]) -> HeaderMap {
        pairs.into_iter().map(|(name, value)| (name, value.parse().unwrap())).collect()
    }

    fn body_of(response: Answer) -> Bytes {
        let collected = futures_util::FutureExt::now_or_never(response.into_body().collect());
        collected.unwrap().unwrap().to_bytes()
    }

    #[test]
    fn gzip_is_used_when_accepted_and_worth_it() {
        for (value, accepted) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0, zstd;q=0, *", false),
            ("br", false),
            ("identity;q=1, *;q=0", false),
        ] {
            assert_eq!(accepted_encoding(&headers([(ACCEPT_ENCODING, value)])).is_some(), accepted, "{value}");
        }
        let long = Body::new("heartline ".repeat(1_000));
        let headers = headers([(ACCEPT_ENCODING, "gzip")]);
        let asked = Asked { headers: &headers };
        let response = asked.document(StatusCode::OK, TEXT, &long);
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        let mut text = String::new();
        flate2::read::GzDecoder::new(body_of(response).as_ref()).read_to_string(&mut text).unwrap();
        assert_eq!(text.as_bytes(), long.plain.as_ref());
        assert!(!asked.document(StatusCode::OK, TEXT, &Body::new("short")).headers().contains_key(CONTENT_ENCODING));
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn zstd_is_used_unless_gzip_is_liked_better() {
        for (value, expected) in
            [("gzip, zstd", Encoding::Zstd), ("gzip, zstd;q=0.5", Encoding::Gzip), ("*", Encoding::Zstd)]
        {
            assert_eq!(accepted_encoding(&headers([(ACCEPT_ENCODING, value)])), Some(expected), "{value}");
        }
        let long = Body::new("heartline ".repeat(1_000));
        let bytes = long.compressed(Encoding::Zstd).unwrap();
        assert_eq!(zstd::bulk::decompress(bytes, 100_000).unwrap(), long.plain);
    }

    fn unpacked(encoding: Encoding, bytes: &[u8]) -> Vec<u8> {
        match encoding {
            Encoding::Gzip => {
                let mut plain = Vec::new();
                flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
                plain
            }
            #[cfg(feature = "zstd")]
            Encoding::Zstd => zstd::stream::decode_all(bytes).unwrap(),
        }
    }

    #[tokio::test]
    async fn a_stream_is_compressed_as_it_comes_and_whole_at_the_end() {
        let chunk = |number: u32| Bytes::from(format!("frame {number} ").repeat(3_000));
        let whole: Vec<u8> = (0..40).flat_map(|number| chunk(number).to_vec()).collect();
        for encoding in Encoding::ALL.iter().copied() {
            let headers = headers([(ACCEPT_ENCODING, encoding.name())]);
            let chunks = stream::iter(0..40).map(chunk);
            let answer = Asked { headers: &headers }.streamed(TEXT, chunks);
            assert_eq!(answer.headers()[CONTENT_ENCODING], encoding.name());
            assert_eq!(answer.headers()[VARY], "accept-encoding");
            let sent = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(sent.len() < whole.len() / 10, "{} of {}", sent.len(), whole.len());
            assert_eq!(unpacked(encoding, &sent), whole);
        }
        let none = HeaderMap::new();
        let answer = Asked { headers: &none }.streamed(TEXT, stream::iter(0..2).map(chunk));
        assert!(!answer.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), [chunk(0), chunk(1)].concat());
    }

    #[test]
    fn a_document_the_client_has_is_not_sent_again() {
        let body = Body::new("catalogue");
        let none = HeaderMap::new();
        let first = Asked { headers: &none }.tagged_document(JSON, &body);
        let known = headers([(IF_NONE_MATCH, first.headers()[ETAG].to_str().unwrap())]);
        let second = Asked { headers: &known }.tagged_document(JSON, &body);
        assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::NOT_MODIFIED));
        let changed = Asked { headers: &known }.tagged_document(JSON, &Body::new("other"));
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[test]
    fn a_problem_has_its_media_type_and_header() {
        let none = HeaderMap::new();
        let response =
            Asked { headers: &none }.problem(&Problem::wrong_method("POST is not supported here", "GET, HEAD"));
        assert_eq!(response.headers()[ALLOW], "GET, HEAD");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        let document: serde_json::Value = serde_json::from_slice(&body_of(response)).unwrap();
        assert_eq!(document["status"], 405);
        assert!(document["detail"].as_str().unwrap().contains("POST"), "{document}");
    }
}
