//! What stands for spans where the feature `tracing` is off: nothing, at no cost.

use std::collections::HashMap;
use std::sync::Arc;

use heartline_shared::Labels;

use super::TraceContext;
use super::work::{Wait, Whose, Work};
use crate::clock::Stamp;

/// The host's tracer is not asked for spans that there are not.
pub(crate) const HOST_IS_ASKED: bool = false;

/// No tree.
#[derive(Debug)]
pub(crate) struct RequestTree;

/// How a request ended; nobody asks.
#[derive(Debug, Clone)]
pub(crate) struct Ending {
    #[expect(dead_code, reason = "as with the feature")]
    pub(crate) labels: Labels,
    #[expect(dead_code, reason = "as with the feature")]
    pub(crate) nanos: u64,
    #[expect(dead_code, reason = "as with the feature")]
    pub(crate) status: Option<u16>,
    #[expect(dead_code, reason = "as with the feature")]
    pub(crate) error_type: Option<&'static str>,
}

/// No span.
#[derive(Debug)]
pub(crate) struct Child;

/// Nothing is entered.
#[derive(Debug)]
pub(crate) struct Scope;

impl Drop for Scope {
    /// Where there are trees, leaving is work that its place in the code says; here it is none.
    #[inline]
    fn drop(&mut self) {}
}

impl RequestTree {
    #[inline]
    pub(crate) fn begin(_: impl FnOnce() -> Whose, _: Stamp) -> Self {
        Self
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn join(&self, _: TraceContext) {}

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn of_host(&self) -> Option<TraceContext> {
        None
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn say_state(&self, _: &[u8]) {}

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn is_none(&self) -> bool {
        true
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn context(&self) -> Option<TraceContext> {
        None
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn drop_spans(&mut self) {}

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn keep_spans(&mut self, _: Ending) -> Option<Arc<Kept>> {
        None
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn scope(&self) -> Scope {
        Scope
    }
}

impl Child {
    #[inline]
    pub(crate) fn begin<'a>(_: impl FnOnce() -> Work<'a>, _: Stamp) -> Self {
        Self
    }

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn end(&mut self, _: Stamp, _: Option<&str>, _: Option<u64>) {}

    #[inline]
    #[expect(clippy::unused_self, reason = "as with the feature")]
    pub(crate) fn end_wait(&mut self, _: Stamp, _: Option<&str>) {}
}

#[inline]
pub(crate) fn add<'a>(_: impl FnOnce() -> Work<'a>, _: u64, _: Option<&str>) {}

/// Spans that are kept: there are none.
#[derive(Debug)]
pub(crate) enum Kept {}

/// The open requests' traces and waits: none are known.
pub(crate) fn waits() -> HashMap<Whose, (u128, Option<Wait>)> {
    HashMap::new()
}

/// Bytes that spans take.
pub(crate) fn bytes() -> usize {
    0
}
