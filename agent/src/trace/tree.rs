//! The spans of one request while it is open: records in lists that keep their memory from request to request. Everything has
//! a limit, and what is cut is counted. Who may write when is not known here.

use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::Metadata;

use super::TraceContext;
use super::context::{STATE_BYTES_MAX, is_tracestate};
use super::fields::{Fields, VALUE_BYTES_MAX};
use super::ids;
use super::work::{Whose, Work, WorkKind};
use crate::clock::Stamp;

/// Spans of a tree, the request itself included.
pub(super) const SPANS_MAX: usize = 256;
/// Fields of all its spans and events.
const ATTRIBUTES_MAX: usize = 1_024;
const EVENTS_MAX: usize = 32;
/// Bytes of all its texts.
const TEXT_BYTES_MAX: usize = 16 << 10;
/// Waits for a pool that are shorter are none: the connection was there.
const WAIT_NANOS_MIN: u64 = 20_000;
/// The owner of an attribute is an event when this bit is set.
const OF_EVENT: u16 = 1 << 15;
/// The request itself.
pub(super) const ROOT: u16 = 0;

/// Bytes that may be used together.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    limit: usize,
}

/// A text of the tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Text {
    at: u32,
    bytes: u32,
}

/// Where a span comes from, and with that its name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    Request,
    Host(&'static Metadata<'static>),
    Agent { kind: WorkKind, operation: &'static str, name: Text, detail: Text },
}

/// What a request begins in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Within {
    Nothing,
    /// A trace of another service, or another request of this one.
    Trace(TraceContext),
    /// A span of the host's own tracer.
    Host(TraceContext),
}

/// One span.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpanRecord {
    pub(super) id: u64,
    /// Whether the host's tracer was asked what it calls the span.
    is_asked: bool,
    /// Whether the host exports it.
    pub(super) is_hosts: bool,
    pub(super) parent: u16,
    pub(super) failed: bool,
    pub(super) origin: Origin,
    pub(super) started: Stamp,
    /// `None` while it is open.
    pub(super) ended: Option<Stamp>,
    /// Nanoseconds that threads were in it.
    pub(super) busy: u64,
}

/// A field of a span or an event.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attribute {
    owner: u16,
    pub(super) key: &'static str,
    pub(super) value: Stored,
}

/// Its value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stored {
    Text(Text),
    Signed(i64),
    Unsigned(u64),
    Float(f64),
    Flag(bool),
}

/// An event of a span.
#[derive(Debug, Clone, Copy)]
pub(super) struct EventRecord {
    pub(super) span: u16,
    pub(super) at: Stamp,
    pub(super) metadata: &'static Metadata<'static>,
}

/// What was left out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) spans: u32,
    pub(crate) attributes: u32,
    pub(crate) events: u32,
}

/// What is known of the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root {
    pub(super) trace: u128,
    /// The span of another service, or of another request, that this one is part of.
    pub(super) parent: u64,
    pub(super) sampled: bool,
    /// The span of the host's tracer that stands for the request: the one that it began in, else the first in it. 0 is none.
    pub(super) host: u64,
    pub(super) started: Stamp,
    pub(super) whose: Whose,
}

/// The spans of one request.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: Root,
    pub(super) spans: Vec<SpanRecord>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) events: Vec<EventRecord>,
    pub(super) text: String,
    pub(super) state: String,
    /// The trace that a state belongs to is not the request's.
    refuses_state: bool,
    pub(super) cut: Cut,
}

impl Budget {
    pub(super) const fn new(limit: usize) -> Self {
        Self { used: AtomicUsize::new(0), limit }
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self, bytes: usize) -> bool {
        let before = self.used.fetch_add(bytes, Ordering::Relaxed);
        let fits = before.saturating_add(bytes) <= self.limit;
        if !fits {
            self.give_back(bytes);
        }
        fits
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// Whether `more` elements fit; makes room for them within `max` and the budget.
#[inline]
fn has_room(have: (usize, usize), more: usize, max: usize, size: usize) -> Option<usize> {
    let (length, capacity) = have;
    if length + more <= capacity {
        return Some(0);
    }
    grow(length + more, capacity, max, size)
}

#[cold]
fn grow(needed: usize, capacity: usize, max: usize, size: usize) -> Option<usize> {
    if needed > max {
        return None;
    }
    let wanted = needed.max(capacity * 2).max(16).min(max);
    super::forest::OPEN_BYTES.take((wanted - capacity) * size).then_some(wanted)
}

fn room_in<T>(list: &mut Vec<T>, max: usize) -> bool {
    match has_room((list.len(), list.capacity()), 1, max, size_of::<T>()) {
        None => false,
        Some(0) => true,
        Some(capacity) => {
            list.reserve_exact(capacity - list.len());
            true
        }
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let root = Root { trace: 0, parent: 0, sampled: false, host: 0, started: Stamp::of_cycles(0), whose: (0, 0) };
        Self {
            root,
            spans: Vec::new(),
            attributes: Vec::new(),
            events: Vec::new(),
            text: String::new(),
            state: String::new(),
            refuses_state: false,
            cut: Cut::default(),
        }
    }

    /// A request begins, in this trace or in one of its own; `false` when there is no memory for it.
    pub(super) fn begin(&mut self, whose: Whose, started: Stamp, within: Within) -> bool {
        self.spans.clear();
        self.attributes.clear();
        self.events.clear();
        self.text.clear();
        self.state.clear();
        self.cut = Cut::default();
        self.refuses_state = false;
        let (trace, parent, sampled, host) = match within {
            Within::Nothing => (ids::trace(), 0, false, 0),
            Within::Trace(context) => (context.trace, context.span, context.sampled, 0),
            // a span that is not sampled will be nowhere
            Within::Host(context) => {
                (context.trace, if context.sampled { context.span } else { 0 }, context.sampled, context.span)
            }
        };
        self.root = Root { trace, parent, sampled, host, started, whose };
        let has_room = room_in(&mut self.spans, SPANS_MAX);
        if has_room {
            self.spans.push(SpanRecord::new(ids::random(), ROOT, Origin::Request, started));
        }
        has_room
    }

    /// The request came with this trace of another service, and belongs to it unless it began in a span of the host's tracer.
    pub(super) fn join(&mut self, parent: TraceContext) {
        self.refuses_state = self.root.host != 0 && self.root.trace != parent.trace;
        if self.root.host == 0 {
            (self.root.trace, self.root.parent, self.root.sampled) = (parent.trace, parent.span, parent.sampled);
        } else if !self.refuses_state && !self.root.sampled {
            self.root.parent = parent.span;
        }
    }

    /// Whether the host's tracer was not asked for the span yet. From now on it was.
    pub(super) fn is_to_ask(&mut self, at: u16) -> bool {
        self.spans.get_mut(usize::from(at)).is_some_and(|span| !std::mem::replace(&mut span.is_asked, true))
    }

    /// What the host's tracer calls a span. The first one says which trace the request belongs to.
    pub(super) fn adopt(&mut self, at: u16, context: TraceContext) {
        if self.root.host == 0 {
            if self.root.trace != context.trace {
                self.root.parent = 0;
                self.state.clear();
            }
            (self.root.trace, self.root.sampled, self.root.host) = (context.trace, context.sampled, context.span);
        }
        if let Some(span) = self.spans.get_mut(usize::from(at)).filter(|_| self.root.trace == context.trace) {
            (span.id, span.is_hosts) = (context.span, context.sampled);
        }
    }

    /// What other systems keep with the trace, to be passed on. Of several headers the values are joined.
    pub(super) fn say_state(&mut self, state: &[u8]) {
        let together = self.state.len() + 1 + state.len();
        let Ok(text) = std::str::from_utf8(state) else { return };
        if self.refuses_state || !is_tracestate(state) || together > STATE_BYTES_MAX {
            return;
        }
        if !self.state.is_empty() {
            self.state.push(',');
        }
        self.state.push_str(text.trim_ascii());
    }

    /// A span begins. `None` when it is cut.
    #[inline]
    pub(super) fn open(&mut self, parent: u16, origin: Origin, started: Stamp) -> Option<u16> {
        let at = u16::try_from(self.spans.len()).ok();
        let Some(at) = at.filter(|_| room_in(&mut self.spans, SPANS_MAX)) else {
            self.cut.spans += 1;
            return None;
        };
        let id = id_of(self.spans.first().map_or(0, |root| root.id), at);
        self.spans.push(SpanRecord::new(id, parent, origin, started));
        Some(at)
    }

    /// A span of the agent's own begins.
    pub(super) fn open_work(&mut self, parent: u16, work: &Work<'_>, started: Stamp) -> Option<u16> {
        let (name, detail) = (self.store(work.name).unwrap_or_default(), self.store(work.detail).unwrap_or_default());
        let origin = Origin::Agent { kind: work.kind, operation: work.operation, name, detail };
        self.open(parent, origin, started)
    }

    /// A span of the agent's own that is over: what began in it belongs to it.
    pub(super) fn add_work(&mut self, parent: u16, work: &Work<'_>, started: Stamp) -> Option<u16> {
        let at = self.open_work(parent, work, started)?;
        if matches!(work.kind, WorkKind::Breaker) {
            let before = self.spans.get_mut(1..usize::from(at)).unwrap_or_default();
            let inside = before.iter_mut().rev().take_while(|span| span.started.cycles() >= started.cycles());
            inside.filter(|span| span.parent == parent).for_each(|span| span.parent = at);
        }
        Some(at)
    }

    /// A span ends.
    #[inline]
    pub(super) fn close(&mut self, at: u16, ended: Stamp, failed: bool) {
        if let Some(span) = self.spans.get_mut(usize::from(at)).filter(|_| at != ROOT) {
            span.ended = Some(ended);
            span.failed |= failed;
        }
    }

    /// The newest span was none: a wait that did not wait.
    pub(super) fn forget_if_short(&mut self, at: u16, ended: Stamp) {
        let is_short = |span: &SpanRecord| span.started.nanos_until(ended) < WAIT_NANOS_MIN;
        if at != ROOT && usize::from(at) + 1 == self.spans.len() && self.spans.last().is_some_and(is_short) {
            self.spans.pop();
        }
    }

    /// The newest span could not be remembered.
    #[cold]
    pub(super) fn cut_newest(&mut self, at: u16) {
        if usize::from(at) + 1 == self.spans.len() {
            self.spans.pop();
            self.attributes.retain(|attribute| attribute.owner != at);
            self.cut.spans += 1;
        }
    }

    /// A thread was in a span.
    #[inline]
    pub(super) fn was_in(&mut self, at: u16, nanos: u64) {
        if let Some(span) = self.spans.get_mut(usize::from(at)) {
            span.busy = span.busy.saturating_add(nanos);
        }
    }

    /// An event of a span.
    pub(super) fn event(&mut self, span: u16, at: Stamp, metadata: &'static Metadata<'static>, fields: &Fields) {
        let Some(number) = u16::try_from(self.events.len()).ok().filter(|_| room_in(&mut self.events, EVENTS_MAX))
        else {
            self.cut.events += 1;
            return;
        };
        self.events.push(EventRecord { span, at, metadata });
        self.take_fields(OF_EVENT | number, fields);
    }

    /// Fields of a span.
    #[inline]
    pub(super) fn say(&mut self, span: u16, fields: &Fields) {
        if !fields.is_empty() {
            self.take_fields(span, fields);
        }
    }

    fn take_fields(&mut self, owner: u16, fields: &Fields) {
        self.cut.attributes += fields.left_out();
        for (key, value) in fields.iter() {
            self.attribute(owner, key, value);
        }
    }

    /// One attribute of a span that the agent made.
    pub(super) fn attribute(&mut self, owner: u16, key: &'static str, value: super::fields::Said<'_>) {
        use super::fields::Said;
        let stored = match value {
            Said::Text(text) => self.store(text).map(Stored::Text),
            Said::Signed(number) => Some(Stored::Signed(number)),
            Said::Unsigned(number) => Some(Stored::Unsigned(number)),
            Said::Float(number) => Some(Stored::Float(number)),
            Said::Flag(flag) => Some(Stored::Flag(flag)),
        };
        match stored.filter(|_| room_in(&mut self.attributes, ATTRIBUTES_MAX)) {
            Some(value) => self.attributes.push(Attribute { owner, key, value }),
            None => self.cut.attributes += 1,
        }
    }

    /// Puts a text among those of the tree; what is longer than a value may be is cut off at a character.
    fn store(&mut self, text: &str) -> Option<Text> {
        let text = &text[..text.floor_char_boundary(VALUE_BYTES_MAX)];
        let capacity = has_room((self.text.len(), self.text.capacity()), text.len(), TEXT_BYTES_MAX, 1)?;
        if capacity > 0 {
            self.text.reserve_exact(capacity - self.text.len());
        }
        let at = u32::try_from(self.text.len()).ok()?;
        self.text.push_str(text);
        Some(Text { at, bytes: u32::try_from(text.len()).ok()? })
    }

    /// The context that work under a span passes on: the span itself, or where the host exports spans the nearest of those.
    pub(super) fn context(&self, span: u16) -> TraceContext {
        let id = match self.spans.get(usize::from(span)).or(self.spans.first()) {
            Some(_) if self.root.is_exported_by_host() => self.nearest_of_host(span),
            Some(span) => span.id,
            None => 0,
        };
        TraceContext { trace: self.root.trace, span: id, sampled: self.root.sampled }
    }

    fn nearest_of_host(&self, span: u16) -> u64 {
        let at = |at: u16| self.spans.get(usize::from(at)).filter(|_| at != ROOT);
        let mut above = std::iter::successors(at(span), |span| at(span.parent)).take(SPANS_MAX);
        above.find(|span| span.is_hosts).map_or(self.root.host, |span| span.id)
    }

    /// The span that was opened last and is still open; not the request itself.
    pub(super) fn innermost(&self) -> Option<&SpanRecord> {
        self.spans.iter().skip(1).rev().find(|span| span.ended.is_none())
    }
}

impl Root {
    /// Whether the host's tracer exports the spans around the request, or in it.
    pub(super) fn is_exported_by_host(&self) -> bool {
        self.host != 0 && self.sampled
    }
}

impl Text {
    pub(super) fn of(self, all: &str) -> &str {
        let at = self.at as usize;
        all.get(at..at + self.bytes as usize).unwrap_or_default()
    }
}

impl SpanRecord {
    fn new(id: u64, parent: u16, origin: Origin, started: Stamp) -> Self {
        Self { id, is_asked: false, is_hosts: false, parent, failed: false, origin, started, ended: None, busy: 0 }
    }

    /// What it is called.
    pub(super) fn name<'a>(&self, text: &'a str) -> &'a str {
        match self.origin {
            Origin::Request => "",
            Origin::Host(metadata) => metadata.name(),
            Origin::Agent { name, .. } => name.of(text),
        }
    }
}

impl Attribute {
    pub(super) fn is_of_span(&self, span: usize) -> bool {
        usize::from(self.owner) == span
    }

    pub(super) fn is_of_event(&self, event: usize) -> bool {
        usize::from(self.owner) == usize::from(OF_EVENT) + event
    }
}

/// The id of a span, by that of its request and its number: different for each number, and as random as that of the request
/// (the finaliser of `SplitMix64`, which is one to one).
fn id_of(root: u64, number: u16) -> u64 {
    let mut id = root.wrapping_add(u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    id = (id ^ (id >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    id = (id ^ (id >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (id ^ (id >> 31)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::new();
        assert!(tree.begin((1, 1), Stamp::now(), Within::Nothing));
        tree
    }

    fn query() -> Work<'static> {
        Work::query("sqlite", "SELECT products")
    }

    #[test]
    fn spans_beyond_the_limit_are_counted_and_the_rest_stays_whole() {
        let mut tree = tree();
        let opened = (0..1_000).filter_map(|_| tree.open_work(ROOT, &query(), Stamp::now())).count();
        assert_eq!((opened, tree.cut.spans as usize), (SPANS_MAX - 1, 1_000 - (SPANS_MAX - 1)));
        let mut ids: Vec<u64> = tree.spans.iter().map(|span| span.id).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), SPANS_MAX);
    }

    #[test]
    fn text_and_attributes_beyond_their_limits_are_counted() {
        let mut tree = tree();
        let long = "ß".repeat(400);
        (0..2_000).for_each(|_| tree.attribute(ROOT, "http.route", super::super::fields::Said::Text(&long)));
        assert_eq!(tree.text.len(), TEXT_BYTES_MAX / VALUE_BYTES_MAX * VALUE_BYTES_MAX);
        assert_eq!(tree.attributes.len() + tree.cut.attributes as usize, 2_000);
        (0..2_000).for_each(|_| tree.attribute(ROOT, "n", super::super::fields::Said::Signed(1)));
        assert_eq!(tree.attributes.len(), ATTRIBUTES_MAX);
    }

    #[test]
    fn the_next_request_has_the_memory_and_nothing_of_what_was_in_it() {
        let mut tree = tree();
        let (trace, memory) = (tree.root.trace, tree.spans.as_ptr());
        tree.join("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap());
        tree.say_state(b"a=1");
        tree.open_work(ROOT, &query(), Stamp::now()).unwrap();
        assert!(tree.begin((2, 2), Stamp::now(), Within::Nothing));
        assert!(std::ptr::eq(memory, tree.spans.as_ptr()));
        assert!(tree.root.trace != trace && tree.root.parent == 0 && !tree.root.sampled && tree.state.is_empty());
        assert_eq!((tree.spans.len(), tree.text.len(), tree.cut), (1, 0, Cut::default()));
    }

    fn context(text: &str) -> TraceContext {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_span_of_the_host_says_the_trace_and_one_of_another_trace_keeps_its_id() {
        let sampled = context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let other = context("00-00000000000000000000000000000001-0000000000000002-01");
        let mut tree = tree();
        tree.join(other);
        tree.say_state(b"a=1");
        let [first, second, third] = [(); 3].map(|()| tree.open_work(ROOT, &query(), Stamp::now()).unwrap());
        assert!(tree.is_to_ask(first) && !tree.is_to_ask(first));
        tree.adopt(first, sampled);
        tree.adopt(second, other);
        assert_eq!((tree.root.trace, tree.root.parent, &*tree.state), (sampled.trace, 0, ""));
        assert_eq!(tree.spans[usize::from(first)].id, sampled.span);
        assert!(tree.spans[usize::from(second)].id != other.span && !tree.spans[usize::from(second)].is_hosts);
        // what is passed on is a span that the host exports
        assert_eq!([first, second, third, ROOT].map(|span| tree.context(span)), [sampled; 4]);
    }

    #[test]
    fn a_span_of_the_host_around_the_request_is_nearer_than_what_the_request_came_with() {
        let outer = context("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        let same = context("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000007-01");
        let other = context("00-00000000000000000000000000000001-0000000000000002-01");
        let unsampled = TraceContext { sampled: false, ..outer };
        for (around, came, parent, state) in [
            (outer, same, outer.span, "a=1"),
            (outer, other, outer.span, ""),
            (unsampled, same, same.span, "a=1"), // nobody has the host's
            (unsampled, other, 0, ""),
        ] {
            let mut tree = Tree::new();
            assert!(tree.begin((1, 1), Stamp::now(), Within::Host(around)));
            tree.join(came);
            tree.say_state(b"a=1");
            assert_eq!((tree.root.trace, tree.root.parent, &*tree.state), (outer.trace, parent, state));
            let passed_on = tree.context(ROOT);
            assert_eq!((passed_on.span == around.span, passed_on.sampled), (around.sampled, around.sampled));
        }
    }

    #[test]
    fn what_began_within_a_call_through_a_breaker_belongs_to_it() {
        let mut tree = tree();
        let before = tree.open_work(ROOT, &query(), Stamp::now()).unwrap();
        let started = Stamp::of_cycles(Stamp::now().cycles() + 1);
        let inside = tree.open(ROOT, Origin::Request, Stamp::of_cycles(started.cycles() + 5)).unwrap();
        let deeper = tree.open(inside, Origin::Request, Stamp::of_cycles(started.cycles() + 6)).unwrap();
        let breaker = tree.add_work(ROOT, &Work::breaker("payment"), started).unwrap();
        let parents = [before, inside, deeper, breaker].map(|at| tree.spans[usize::from(at)].parent);
        assert_eq!(parents, [ROOT, breaker, inside, ROOT]);
    }

    #[test]
    fn a_wait_that_did_not_wait_is_forgotten_and_a_long_one_stays() {
        let mut tree = tree();
        let now = Stamp::now();
        let short = tree.open_work(ROOT, &Work::pool_wait("primary"), now).unwrap();
        tree.forget_if_short(short, now);
        assert_eq!(tree.spans.len(), 1);
        let long = tree.open_work(ROOT, &Work::pool_wait("primary"), now).unwrap();
        tree.forget_if_short(long, Stamp::of_cycles(now.cycles() + (1 << 40)));
        assert_eq!(tree.spans.len(), 2);
    }

    #[test]
    fn a_budget_that_is_used_up_gives_nothing_until_something_comes_back() {
        let budget = Budget::new(10);
        assert!(budget.take(7) && !budget.take(4) && budget.take(3) && !budget.take(1));
        budget.give_back(7);
        assert!(budget.take(5) && budget.used() == 8);
    }

    #[test]
    fn states_of_several_headers_are_joined_and_too_much_is_left_out() {
        let mut tree = tree();
        tree.say_state(b"a=1");
        tree.say_state(b"not a state");
        tree.say_state(b"b=2 ");
        tree.say_state(format!("c={}", "x".repeat(256)).as_bytes());
        tree.say_state(format!("d={}", "x".repeat(256)).as_bytes());
        assert!(tree.state.starts_with("a=1,b=2,c=xxx") && !tree.state.contains('d'));
    }
}
