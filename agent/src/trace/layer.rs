//! The layer that a host adds to its tracing subscriber: spans that are opened within a request, and warnings and errors said
//! in them, go into the tree of that request. What becomes of trees is not known here.

use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Filter, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::current;
use super::fields::{self, Fields, Wanted};
use super::forest::{Forest, Handle, plant};
use super::host::{self, HostSpans};
use super::tree::Origin;
use crate::clock::Stamp;

/// The layer with its defaults; see [`builder`] for others. From when it is made on, requests have trees.
///
/// It is filtered by itself and changes nothing for other layers: it sees spans up to INFO, warnings and errors.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// # fn main() -> Result<(), heartline::Error> {
/// tracing_subscriber::registry().with(heartline::trace::layer()).init();
/// let agent = heartline::Agent::builder("shop").start()?;
/// # drop(agent);
/// # Ok(()) }
/// ```
pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> + Send + Sync {
    builder().build()
}

/// Settings of the layer.
///
/// ```
/// use tracing_subscriber::prelude::*;
///
/// let spans = heartline::trace::builder().max_level(tracing::Level::DEBUG).field("order.").build();
/// let subscriber = tracing_subscriber::registry().with(spans);
/// # drop(subscriber);
/// ```
pub fn builder() -> LayerBuilder {
    LayerBuilder { level: Level::INFO, wanted: Wanted::default() }
}

/// See [`builder`].
#[derive(Debug, Clone)]
#[must_use = "build makes the layer"]
pub struct LayerBuilder {
    level: Level,
    wanted: Wanted,
}

impl LayerBuilder {
    /// The least important spans that are kept. Default: INFO.
    pub fn max_level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Fields whose names begin so are kept too, such as `order.`. Without this, those are kept that OpenTelemetry's semantic
    /// conventions name and that hold no user's text or key: `http.`, `db.`, `rpc.`, `messaging.`, `otel.`, `error` and the
    /// like, but not the text of a query, a URL or a header.
    pub fn field(mut self, prefix: impl Into<String>) -> Self {
        self.wanted.more.push(prefix.into());
        self
    }

    /// All fields are kept. `#[tracing::instrument]` makes fields of all arguments: whoever may read `/api/v1/traces` then
    /// reads them.
    pub fn all_fields(mut self) -> Self {
        self.wanted.all = true;
        self
    }

    /// The layer.
    pub fn build<S: Subscriber + for<'a> LookupSpan<'a>>(self) -> impl Layer<S> + Send + Sync {
        SpanLayer { forest: plant(), wanted: self.wanted, host: HostSpans::default() }.with_filter(Spans(self.level))
    }
}

/// Lets through spans up to a level, and warnings and errors: by what they are, never by their target, so that no span goes
/// missing between two others.
#[derive(Debug, Clone, Copy)]
struct Spans(Level);

impl Spans {
    fn wants(self, metadata: &Metadata<'_>) -> bool {
        let level = if metadata.is_span() { self.0 } else { Level::WARN };
        *metadata.level() <= level
    }
}

impl<S> Filter<S> for Spans {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.0.max(Level::WARN)))
    }
}

/// The layer itself.
#[derive(Debug)]
struct SpanLayer {
    forest: &'static Forest,
    wanted: Wanted,
    host: HostSpans,
}

impl SpanLayer {
    /// Takes over what the host's tracer calls a span, the first time.
    #[inline]
    fn ask_host(&self, id: &Id, handle: Handle) {
        if host::ASKED && self.forest.with(handle, |tree| tree.is_to_ask(handle.span())) == Some(true) {
            // not while the tree is locked: the tracer may run code of the host
            if let Some(context) = self.host.context_of(id) {
                self.forest.with(handle, |tree| tree.adopt(handle.span(), context));
            }
        }
    }

    /// The tree's span that a span of the registry is, or the nearest around it that is one.
    fn nearest<S: Subscriber + for<'a> LookupSpan<'a>>(&self, id: &Id, context: &Context<'_, S>) -> Option<Handle> {
        let around = || context.span(id)?.scope().skip(1).find_map(|span| self.forest.spans.find(span.id().into_u64()));
        self.forest.spans.find(id.into_u64()).or_else(around)
    }

    /// In what something happens that names its parent or leaves it to the thread.
    #[inline]
    fn parent<S: Subscriber + for<'a> LookupSpan<'a>>(
        &self,
        (explicit, is_contextual): (Option<&Id>, bool),
        context: &Context<'_, S>,
    ) -> Option<Handle> {
        match explicit {
            Some(id) => self.nearest(id, context).or_else(current::top),
            // a span that says that it has no parent is no part of the request
            None if is_contextual => current::top(),
            None => None,
        }
    }

    fn open(&self, parent: Handle, metadata: &'static Metadata<'static>, fields: Option<&Fields>) -> Handle {
        let now = Stamp::now();
        let opened = self.forest.with(parent, |tree| {
            let span = tree.open(parent.span(), Origin::Host(metadata), now)?;
            if let Some(fields) = fields {
                tree.say(span, fields);
            }
            Some(span)
        });
        opened.flatten().map_or(Handle::NONE, |span| parent.with_span(span))
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for SpanLayer {
    fn on_register_dispatch(&self, subscriber: &Dispatch) {
        self.host.subscribed(subscriber);
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(parent) = self.parent((attributes.parent(), attributes.is_contextual()), &context) else { return };
        if let Some(named) = attributes.parent() {
            // a span that is a parent has begun, entered or not
            self.forest.spans.find(named.into_u64()).into_iter().for_each(|handle| self.ask_host(named, handle));
        }
        let metadata = attributes.metadata();
        let handle = if metadata.fields().is_empty() {
            self.open(parent, metadata, None)
        } else {
            let open = |fields: &Fields| self.open(parent, metadata, Some(fields));
            fields::read(&self.wanted, |visitor| attributes.record(visitor), open)
        };
        if !handle.is_none() && !self.forest.spans.insert(id.into_u64(), handle) {
            self.forest.with(handle, |tree| tree.cut_newest(handle.span()));
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, _: Context<'_, S>) {
        if let Some(handle) = self.forest.spans.find(id.into_u64()) {
            let say = |fields: &Fields| self.forest.with(handle, |tree| tree.say(handle.span(), fields));
            fields::read(&self.wanted, |visitor| values.record(visitor), say);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if let Some(span) = self.parent((event.parent(), event.is_contextual()), &context) {
            let now = Stamp::now();
            let say = |fields: &Fields| {
                self.forest.with(span, |tree| tree.event(span.span(), now, event.metadata(), fields));
            };
            fields::read(&self.wanted, |visitor| event.record(visitor), say);
        }
    }

    fn on_enter(&self, id: &Id, _: Context<'_, S>) {
        if let Some(handle) = self.forest.spans.find(id.into_u64()) {
            self.ask_host(id, handle);
            current::enter(id.into_u64(), handle, Stamp::now());
        }
    }

    fn on_exit(&self, id: &Id, _: Context<'_, S>) {
        if let Some((handle, entered)) = current::leave(id.into_u64()) {
            self.forest.was_in(handle, entered);
        }
    }

    fn on_close(&self, id: Id, _: Context<'_, S>) {
        if let Some(handle) = self.forest.spans.remove(id.into_u64()) {
            self.ask_host(&id, handle); // if it was never entered
            self.forest.with(handle, |tree| tree.close(handle.span(), Stamp::now(), false));
        }
    }
}
