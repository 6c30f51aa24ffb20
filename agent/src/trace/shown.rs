//! Kept spans as whoever shows or exports them wants them: names, kinds, attributes by the semantic conventions, and how the
//! time of the request divides. Formats are not known here.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::kept::Kept;
use super::tree::{Attribute, Origin, SpanRecord, Stored};
use super::work::WorkKind;

/// A span as it is shown.
#[derive(Debug)]
pub(crate) struct Span<'a> {
    pub(crate) id: u64,
    /// `None` only for a request that is part of no other service's.
    pub(crate) parent: Option<u64>,
    pub(crate) name: Cow<'a, str>,
    /// The module it comes from; empty for the agent's own.
    pub(crate) target: &'static str,
    /// `server`, `client`, `internal`, `producer`, `consumer`.
    pub(crate) kind: &'static str,
    /// What its own time counts as: one of the shares of [`Kept::split`].
    share: Share,
    /// Nanoseconds from the beginning of the request.
    pub(crate) start: u64,
    pub(crate) nanos: u64,
    /// Nanoseconds that threads were in it; `None` where that is not known.
    pub(crate) busy: Option<u64>,
    pub(crate) failed: bool,
    /// Whether it ended before its request did.
    pub(crate) ended: bool,
    pub(crate) attributes: Vec<(&'a str, Value<'a>)>,
    pub(crate) events: Vec<Event<'a>>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    Text(Cow<'a, str>),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Flag(bool),
}

/// A warning or an error.
#[derive(Debug)]
pub(crate) struct Event<'a> {
    /// Nanoseconds from the beginning of the request.
    pub(crate) at: u64,
    pub(crate) level: &'static str,
    pub(crate) target: &'static str,
    pub(crate) message: Cow<'a, str>,
    pub(crate) attributes: Vec<(&'a str, Value<'a>)>,
}

/// Where the time of a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Share {
    Own,
    Spans,
    Queries,
    PoolWait,
    Cache,
    Outbound,
}

/// How the time of a request divides: each moment counts for the span that began last among those that were open. Nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// No span but the request itself.
    pub(crate) own: u64,
    /// Spans of the host.
    pub(crate) spans: u64,
    pub(crate) queries: u64,
    pub(crate) pool_wait: u64,
    pub(crate) cache: u64,
    pub(crate) outbound: u64,
}

impl Kept {
    /// The spans in the order they began, the request itself first.
    pub(crate) fn spans(&self) -> Vec<Span<'_>> {
        self.spans.iter().enumerate().map(|(at, span)| self.shown(at, span)).collect()
    }

    /// Those that the host's own tracer does not export, the request first: below the span of the host that stands for it, if
    /// there is one.
    #[cfg(feature = "otlp")]
    pub(crate) fn left_to_export(&self) -> Vec<Span<'_>> {
        let shown = self.spans.iter().enumerate().filter(|(_, span)| !span.is_hosts);
        let mut shown: Vec<Span<'_>> = shown.map(|(at, span)| self.shown(at, span)).collect();
        if let Some(request) = shown.first_mut().filter(|_| self.root.is_exported_by_host()) {
            request.parent = Some(self.root.host);
        }
        shown
    }

    fn shown<'a>(&'a self, at: usize, span: &'a SpanRecord) -> Span<'a> {
        let nanos = match (at, span.ended) {
            (0, _) => self.ending.nanos,
            (_, Some(ended)) => span.started.nanos_until(ended),
            (_, None) => span.started.nanos_until(self.ended),
        };
        let mut shown = Span {
            id: span.id,
            parent: match at {
                0 => self.parent(),
                _ => self.spans.get(usize::from(span.parent)).map(|parent| parent.id),
            },
            name: Cow::Borrowed(""),
            target: "",
            kind: "internal",
            share: Share::Spans,
            start: self.root.started.nanos_until(span.started),
            nanos,
            busy: Some(span.busy.min(nanos)),
            failed: span.failed,
            ended: at == 0 || span.ended.is_some(),
            attributes: self.attributes_of(|attribute| attribute.is_of_span(at)),
            events: self.events_of(at),
        };
        match span.origin {
            Origin::Request => self.show_request(&mut shown),
            Origin::Host(metadata) => {
                shown.name = Cow::Borrowed(metadata.name());
                shown.target = metadata.target();
                show_host(&mut shown);
            }
            Origin::Agent { kind, operation, name, detail } => {
                shown.busy = None;
                show_work(&mut shown, (kind, operation), name.of(&self.text), detail.of(&self.text));
            }
        }
        shown
    }

    fn show_request<'a>(&'a self, shown: &mut Span<'a>) {
        let label = |name: &str| self.ending.labels.value(name);
        let method = label("http.request.method").unwrap_or("_OTHER");
        let method_name = if method == "_OTHER" { "HTTP" } else { method };
        shown.name = label("http.route")
            .map_or(Cow::Borrowed(method_name), |route| Cow::Owned(format!("{method_name} {route}")));
        (shown.kind, shown.share) = ("server", Share::Own);
        shown.failed = self.ending.error_type.is_some() || self.ending.status.is_some_and(|status| status >= 500);
        let mut attributes: Vec<(&str, Value<'_>)> =
            self.ending.labels.iter().map(|(name, value)| (name, Value::Text(Cow::Borrowed(value)))).collect();
        if let Some(status) = self.ending.status {
            attributes.push(("http.response.status_code", Value::Unsigned(u64::from(status))));
        }
        let failed_with = self.ending.status.filter(|status| *status >= 500).map(|status| status.to_string());
        let error_type = self.ending.error_type.map(Cow::Borrowed).or(failed_with.map(Cow::Owned));
        attributes.extend(error_type.map(|error_type| ("error.type", Value::Text(error_type))));
        attributes.append(&mut shown.attributes);
        shown.attributes = attributes;
    }

    /// The last value of each name, in the order they were said first.
    fn attributes_of(&self, is_its: impl Fn(&Attribute) -> bool) -> Vec<(&str, Value<'_>)> {
        let mut attributes: Vec<(&str, Value<'_>)> = Vec::new();
        for attribute in self.attributes.iter().filter(|attribute| is_its(attribute)) {
            let value = match attribute.value {
                Stored::Text(text) => Value::Text(printable(text.of(&self.text))),
                Stored::Signed(number) => Value::Signed(number),
                Stored::Unsigned(number) => Value::Unsigned(number),
                Stored::Float(number) => Value::Float(number),
                Stored::Flag(flag) => Value::Flag(flag),
            };
            match attributes.iter_mut().find(|(key, _)| *key == attribute.key) {
                Some((_, before)) => *before = value,
                None => attributes.push((attribute.key, value)),
            }
        }
        attributes
    }

    fn events_of(&self, span: usize) -> Vec<Event<'_>> {
        let of_span = self.events.iter().enumerate().filter(|(_, event)| usize::from(event.span) == span);
        let shown = of_span.map(|(number, event)| {
            let mut attributes = self.attributes_of(|attribute| attribute.is_of_event(number));
            let message = attributes.iter().position(|(key, _)| *key == "message").map(|at| attributes.remove(at).1);
            Event {
                at: self.root.started.nanos_until(event.at),
                level: event.metadata.level().as_str(),
                target: event.metadata.target(),
                message: match message {
                    Some(Value::Text(text)) => text,
                    _ => Cow::Borrowed(event.metadata.name()),
                },
                attributes,
            }
        });
        shown.collect()
    }

    /// How the time of the request divides among its spans.
    pub(crate) fn split(&self, spans: &[Span<'_>]) -> Split {
        let whole = self.ending.nanos;
        // where spans begin and end, in order; a span that outlives the request ends with it
        let mut turns: Vec<(u64, bool, usize)> = Vec::with_capacity(spans.len() * 2);
        for (number, span) in spans.iter().enumerate() {
            let end = span.start.saturating_add(span.nanos).min(whole);
            turns.push((span.start.min(end), true, number));
            turns.push((end, false, number));
        }
        turns.sort_unstable();
        let (mut open, mut since, mut split) = (BTreeSet::new(), 0, Split::default());
        for (at, begins, number) in turns {
            if let Some(span) = open.last().and_then(|(_, number): &(u64, usize)| spans.get(*number)) {
                *split.share(span.share) += at.saturating_sub(since);
            }
            since = at;
            let start = spans.get(number).map_or(0, |span| span.start);
            let _ = if begins { open.insert((start, number)) } else { open.remove(&(start, number)) };
        }
        split
    }
}

impl Share {
    /// Its name in documents: that of its field of the split.
    fn name(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Spans => "spans",
            Self::Queries => "queries",
            Self::PoolWait => "pool_wait",
            Self::Cache => "cache",
            Self::Outbound => "outbound",
        }
    }
}

impl Span<'_> {
    /// Which share of the [`Split`] its time counts for.
    pub(crate) fn share(&self) -> &'static str {
        self.share.name()
    }
}

impl Split {
    fn share(&mut self, share: Share) -> &mut u64 {
        match share {
            Share::Own => &mut self.own,
            Share::Spans => &mut self.spans,
            Share::Queries => &mut self.queries,
            Share::PoolWait => &mut self.pool_wait,
            Share::Cache => &mut self.cache,
            Share::Outbound => &mut self.outbound,
        }
    }
}

/// The fields that `tracing-opentelemetry` gives a meaning to have the same one here.
fn show_host(shown: &mut Span<'_>) {
    let mut others = Vec::with_capacity(shown.attributes.len());
    for (key, value) in std::mem::take(&mut shown.attributes) {
        match (key, value) {
            ("otel.name", Value::Text(name)) => shown.name = name,
            ("otel.kind", Value::Text(kind)) => {
                let kinds = ["server", "client", "producer", "consumer", "internal"];
                shown.kind = kinds.into_iter().find(|known| kind.eq_ignore_ascii_case(known)).unwrap_or("internal");
            }
            ("otel.status_code", Value::Text(status)) => shown.failed |= status.eq_ignore_ascii_case("error"),
            (key, value) => {
                let says_so =
                    key == "error.type" || key == "exception.type" || (key == "error" && value != Value::Flag(false));
                shown.failed |= says_so;
                others.push((key, value));
            }
        }
    }
    let has = |prefix: &str| others.iter().any(|(key, _)| key.starts_with(prefix));
    shown.share = match shown.kind {
        "client" if has("db.") => Share::Queries,
        "client" => Share::Outbound,
        _ => Share::Spans,
    };
    shown.attributes = others;
}

fn show_work<'a>(shown: &mut Span<'a>, (kind, operation): (WorkKind, &'static str), name: &'a str, detail: &'a str) {
    let (name, detail) = (printable(name), printable(detail));
    let (title, kind, share, named, detailed) = match kind {
        WorkKind::Query => (name.clone(), "client", Share::Queries, "db.query.summary", "db.system.name"),
        WorkKind::PoolWait => {
            (format!("wait for pool {name}").into(), "internal", Share::PoolWait, "db.client.connection.pool.name", "")
        }
        WorkKind::Cache => {
            (format!("cache {operation} {name} {detail}").into(), "internal", Share::Cache, "cache.name", "cache.tier")
        }
        WorkKind::Breaker => {
            (format!("call through {name}").into(), "internal", Share::Outbound, "circuit_breaker.name", "")
        }
        WorkKind::Outbound => (name.clone(), "client", Share::Outbound, "", ""),
    };
    (shown.name, shown.kind, shown.share) = (title, kind, share);
    let mut attributes = Vec::with_capacity(shown.attributes.len() + 3);
    for (key, value) in [(named, name), (detailed, detail)] {
        if !key.is_empty() && !value.is_empty() {
            attributes.push((key, Value::Text(value)));
        }
    }
    if !operation.is_empty() {
        attributes.push(("cache.operation", Value::Text(Cow::Borrowed(operation))));
    }
    attributes.append(&mut shown.attributes);
    shown.attributes = attributes;
}

/// A text without characters that control a terminal.
fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) { Cow::Owned(text.replace(char::is_control, " ")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use heartline_shared::Labels;

    use super::super::kept::Ending;
    use super::super::tree::{ROOT, Tree, Within};
    use super::super::work::Work;
    use super::*;
    use crate::clock::Stamp;

    const MILLISECOND: u64 = 1_000_000;

    fn ending(millis: u64) -> Ending {
        let labels = Labels::from_pairs([("http.request.method", "GET"), ("http.route", "/carts/{id}")]);
        Ending { labels, nanos: millis * MILLISECOND, status: Some(503), error_type: None }
    }

    #[test]
    fn each_moment_counts_for_the_span_that_began_last_and_all_add_up_to_the_request() {
        let now = Stamp::now();
        let start = now.before(100 * MILLISECOND);
        let at = |millis: u64| now.before((100 - millis) * MILLISECOND);
        let mut tree = Tree::new();
        tree.begin((0, 0), start, Within::Nothing);
        for (work, from, to) in [
            (Work::pool_wait("primary"), 10, 20),
            (Work::query("sqlite", "SELECT a"), 20, 60),
            (Work::query("sqlite", "SELECT b"), 40, 50), // at the same time
            (Work::breaker("payment"), 70, 120),         // outlives the request
        ] {
            let span = tree.open_work(ROOT, &work, at(from)).unwrap();
            if to <= 100 {
                tree.close(span, at(to), false);
            }
        }
        let kept = Kept::new(&tree, ending(100)).unwrap();
        let spans = kept.spans();
        let split = kept.split(&spans);
        let round = |nanos: u64| (nanos + MILLISECOND / 2) / MILLISECOND;
        assert_eq!([split.own, split.pool_wait, split.queries, split.outbound].map(round), [20, 10, 40, 30]);
        assert_eq!(
            split.own + split.pool_wait + split.queries + split.outbound + split.spans + split.cache,
            100 * MILLISECOND
        );
        assert!(!spans[4].ended && spans[1].ended);
    }

    #[test]
    fn the_request_and_the_agents_work_are_named_by_the_conventions() {
        let mut tree = Tree::new();
        let now = Stamp::now();
        let remote = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap();
        tree.begin((0, 0), now, Within::Trace(remote));
        let query = tree.open_work(ROOT, &Work::query("postgresql", "SELECT\u{1b}[2J carts"), now).unwrap();
        tree.attribute(query, "error.type", super::super::fields::Said::Text("timeout"));
        let _ = tree.open_work(ROOT, &Work::cache("get", "products", "l2"), now);
        let kept = Kept::new(&tree, ending(1)).unwrap();
        let spans = kept.spans();
        assert_eq!((&*spans[0].name, spans[0].kind, spans[0].failed), ("GET /carts/{id}", "server", true));
        assert_eq!((spans[0].parent, spans[1].parent), (Some(0x00f0_67aa_0ba9_02b7), Some(spans[0].id)));
        assert!(spans[0].attributes.contains(&("http.response.status_code", Value::Unsigned(503))));
        assert!(spans[0].attributes.contains(&("error.type", Value::Text("503".into()))));
        assert_eq!((&*spans[1].name, spans[1].kind), ("SELECT [2J carts", "client"));
        let keys: Vec<&str> = spans[1].attributes.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, ["db.query.summary", "db.system.name", "error.type"]);
        assert_eq!(spans[2].name, "cache get products l2");
        assert_eq!(kept.root.trace, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736);
    }
}
