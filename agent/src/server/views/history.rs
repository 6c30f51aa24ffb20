//! The flight recorder's frames as a stream of chunks. What is in them is not known here.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream;
use heartline_shared::UnixMillis;
use hyper::body::Bytes;

use super::parameters::{BadParameter, Parameters};
use crate::recorder::{Excerpt, Range, STEPS};

/// Frames are sent in chunks of about so many bytes.
const CHUNK_BYTES: usize = 32 << 10;

/// The range that is asked for.
///
/// # Errors
/// A parameter that cannot be.
pub(super) fn range(parameters: &Parameters, now: UnixMillis) -> Result<Range, BadParameter> {
    let from = parameters.moment("from", now)?.unwrap_or(UnixMillis(0));
    let to = parameters.moment("to", now)?.unwrap_or(UnixMillis(u64::MAX));
    if from >= to {
        return Err(BadParameter(format!("from={from} is not before to={to}")));
    }
    let step: Option<Duration> = parameters.span("step")?;
    Ok(Range { from, to, step: step.unwrap_or(STEPS[0]) })
}

/// The excerpt chunk by chunk. Frames that the recorder sheds meanwhile are kept until they were sent.
pub(super) fn chunks(excerpt: Excerpt) -> impl stream::Stream<Item = Bytes> + Send {
    let Excerpt { head, frames } = excerpt;
    let frames = std::iter::once(Arc::from(head)).chain(frames);
    stream::unfold(frames, |mut frames: std::iter::Chain<_, std::vec::IntoIter<Arc<[u8]>>>| async move {
        let mut chunk: Vec<u8> = Vec::new();
        while chunk.len() < CHUNK_BYTES
            && let Some(frame) = frames.next()
        {
            chunk.extend_from_slice(&frame);
        }
        (!chunk.is_empty()).then(|| (Bytes::from(chunk), frames))
    })
}
