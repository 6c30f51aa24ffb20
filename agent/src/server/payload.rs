//! The body of an answer: whole, or made chunk by chunk while the client takes it. What is in it is not known here.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Stream;
use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};

/// An answer to a request.
pub(super) type Answer = Response<Payload>;

/// Chunks as they come; none is made before the client has taken the one before it.
type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;
/// Told the size of each chunk when it goes out.
type Report = Box<dyn Fn(usize) + Send>;

/// The body of an answer.
pub(super) enum Payload {
    /// All of it is there.
    Whole(Full<Bytes>),
    /// It is made while it is sent.
    Stream { chunks: Chunks, report: Option<Report> },
}

impl Payload {
    /// A body that is made while it is sent.
    pub(super) fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self::Stream { chunks: Box::pin(chunks), report: None }
    }

    /// Tells `report` the size of each chunk when it goes out; a whole body tells nothing.
    pub(super) fn report_to(&mut self, report: impl Fn(usize) + Send + 'static) {
        if let Self::Stream { report: told, .. } = self {
            *told = Some(Box::new(report));
        }
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::Whole(Full::default())
    }
}

impl From<Bytes> for Payload {
    fn from(bytes: Bytes) -> Self {
        Self::Whole(Full::new(bytes))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Whole(whole) => Pin::new(whole).poll_frame(cx),
            Self::Stream { chunks, report } => {
                let chunk = ready!(chunks.as_mut().poll_next(cx));
                if let (Some(chunk), Some(report)) = (&chunk, report) {
                    report(chunk.len());
                }
                Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Stream { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{FutureExt as _, stream};
    use http_body_util::BodyExt as _;

    use super::*;

    #[test]
    fn a_stream_arrives_chunk_by_chunk_and_each_is_reported() {
        let reported = Arc::new(AtomicUsize::new(0));
        let mut payload = Payload::stream(stream::iter([Bytes::from("ab"), Bytes::from("cde")]));
        let told = Arc::clone(&reported);
        payload.report_to(move |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        });
        assert_eq!((payload.size_hint().exact(), payload.is_end_stream()), (None, false));
        let first = payload.frame().now_or_never().unwrap().unwrap().unwrap().into_data().unwrap();
        assert_eq!((first, reported.load(Ordering::Relaxed)), (Bytes::from("ab"), 2));
        assert_eq!(payload.collect().now_or_never().unwrap().unwrap().to_bytes(), "cde");
        assert_eq!(reported.load(Ordering::Relaxed), 5);
    }

    #[test]
    fn a_whole_body_says_its_length() {
        assert_eq!(Payload::from(Bytes::from("four")).size_hint().exact(), Some(4));
    }
}
