//! The traces that the host keeps itself, by a tracer of OpenTelemetry's beside the agent's layer: in which of its spans a thread
//! is, and which of them a span of the registry is. What becomes of the ids is not known here.

#[cfg(feature = "tracing-opentelemetry")]
pub(super) use self::known::{HostSpans, around};
#[cfg(not(feature = "tracing-opentelemetry"))]
pub(super) use self::unknown::{HostSpans, around};
use super::TraceContext;

/// Whether hosts are asked at all.
pub(crate) const ASKED: bool = cfg!(feature = "tracing-opentelemetry");

/// Where a thread is, as the host's tracer has it.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(not(feature = "tracing-opentelemetry"), expect(dead_code, reason = "nobody is asked"))]
pub(super) enum Around {
    /// In a span of its own.
    Span(TraceContext),
    /// In what another service sent along.
    Remote(TraceContext),
}

#[cfg(feature = "tracing-opentelemetry")]
mod known {
    use std::sync::OnceLock;

    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, TraceContextExt as _};
    use tracing::Dispatch;
    use tracing::dispatcher::WeakDispatch;
    use tracing::span::Id;

    use super::{Around, TraceContext};

    /// The subscriber that may have a layer of OpenTelemetry's too.
    #[derive(Debug, Default)]
    pub(in super::super) struct HostSpans(OnceLock<WeakDispatch>);

    impl HostSpans {
        pub(in super::super) fn subscribed(&self, dispatch: &Dispatch) {
            let _ = self.0.set(dispatch.downgrade()); // a layer is part of one subscriber
        }

        /// What the host's tracer calls a span. If it has not begun there, it begins now.
        pub(in super::super) fn context_of(&self, id: &Id) -> Option<TraceContext> {
            let dispatch = self.0.get()?.upgrade()?;
            let context = tracing_opentelemetry::get_otel_context(id, &dispatch)?;
            read(context.span().span_context())
        }
    }

    /// Where this thread is.
    #[inline]
    pub(in super::super) fn around() -> Option<Around> {
        Context::map_current(|context| {
            let span = context.span();
            let found = span.span_context();
            read(found).map(|read| if found.is_remote() { Around::Remote(read) } else { Around::Span(read) })
        })
    }

    fn read(context: &SpanContext) -> Option<TraceContext> {
        context.is_valid().then(|| TraceContext {
            trace: u128::from_be_bytes(context.trace_id().to_bytes()),
            span: u64::from_be_bytes(context.span_id().to_bytes()),
            sampled: context.is_sampled(),
        })
    }
}

#[cfg(not(feature = "tracing-opentelemetry"))]
mod unknown {
    use tracing::Dispatch;
    use tracing::span::Id;

    use super::{Around, TraceContext};

    /// Nobody is asked.
    #[derive(Debug, Default)]
    pub(in super::super) struct HostSpans {}

    impl HostSpans {
        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(in super::super) fn subscribed(&self, _: &Dispatch) {}

        #[expect(clippy::unused_self, reason = "as with the feature")]
        pub(in super::super) fn context_of(&self, _: &Id) -> Option<TraceContext> {
            None
        }
    }

    #[inline]
    pub(in super::super) fn around() -> Option<Around> {
        None
    }
}
