//! The spans of a request that ended and is kept: as they were, in as much memory as they need. What they are shown as is
//! not known here.

use heartline_shared::Labels;

use super::forest::KEPT_BYTES;
use super::tree::{Attribute, Cut, EventRecord, Root, SpanRecord, Tree};
use crate::clock::{Stamp, wall_nanos};

/// How a request ended that is kept.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    /// Method and route.
    pub(crate) labels: Labels,
    pub(crate) nanos: u64,
    pub(crate) status: Option<u16>,
    /// How it failed, if it did.
    pub(crate) error_type: Option<&'static str>,
}

/// The spans of one request.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(super) root: Root,
    pub(super) ending: Ending,
    /// Nanoseconds from 1970 to its beginning.
    pub(crate) began_unix_nanos: u64,
    pub(super) ended: Stamp,
    pub(super) spans: Box<[SpanRecord]>,
    pub(super) attributes: Box<[Attribute]>,
    pub(super) events: Box<[EventRecord]>,
    pub(super) text: Box<str>,
    /// The `tracestate` that came in.
    #[cfg(feature = "otlp")]
    pub(crate) state: Box<str>,
    pub(crate) cut: Cut,
    bytes: usize,
}

impl Kept {
    /// The spans of a tree; `None` when there is no memory for them.
    pub(super) fn new(tree: &Tree, ending: Ending) -> Option<Self> {
        let bytes = size_of::<Self>()
            + size_of_val(tree.spans.as_slice())
            + size_of_val(tree.attributes.as_slice())
            + size_of_val(tree.events.as_slice())
            + tree.text.len()
            + tree.state.len();
        KEPT_BYTES.take(bytes).then(|| Self {
            root: tree.root,
            began_unix_nanos: wall_nanos().saturating_sub(ending.nanos),
            ended: Stamp::now(),
            ending,
            spans: tree.spans.as_slice().into(),
            attributes: tree.attributes.as_slice().into(),
            events: tree.events.as_slice().into(),
            text: tree.text.as_str().into(),
            #[cfg(feature = "otlp")]
            state: tree.state.as_str().into(),
            cut: tree.cut,
            bytes,
        })
    }

    /// The span of the request itself.
    pub(crate) fn span(&self) -> u64 {
        self.spans.first().map_or(0, |root| root.id)
    }

    /// The trace.
    #[cfg(feature = "otlp")]
    pub(crate) fn trace(&self) -> u128 {
        self.root.trace
    }

    /// Whether whoever began the trace records it.
    #[cfg(feature = "otlp")]
    pub(crate) fn is_sampled(&self) -> bool {
        self.root.sampled
    }

    /// The span of another service that the request is part of.
    pub(crate) fn parent(&self) -> Option<u64> {
        (self.root.parent != 0).then_some(self.root.parent)
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        KEPT_BYTES.give_back(self.bytes);
    }
}
