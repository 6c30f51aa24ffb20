//! A request as the root of its tree, and the agent's own work within it; what a request is, is not known here.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::TraceContext;
use super::current::{self, Scope as EnteredScope};
use super::fields::Said;
use super::forest::{Handle, forest};
use super::kept::{Ending, Kept};
use super::tree::ROOT;
use super::work::{Whose, Work, WorkKind};
use crate::clock::Stamp;

pub(crate) use super::current::Scope;

/// The tree of a request; none when there is no layer, or no place.
#[derive(Debug)]
pub(crate) struct RequestTree(Handle);

/// Work of the agent's own that is going on.
#[derive(Debug)]
#[must_use = "it ends when it is told to, or dropped"]
pub(crate) struct Child(Handle);

impl RequestTree {
    /// A request begins. Cost without a layer: a load.
    #[inline]
    pub(crate) fn begin(whose: impl FnOnce() -> Whose, started: Stamp) -> Self {
        Self(forest().map_or(Handle::NONE, |forest| forest.begin(whose(), started)))
    }

    #[inline]
    pub(crate) fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// The request belongs to this trace of another service.
    pub(crate) fn join(&self, parent: TraceContext) {
        self.with(|tree| tree.join(parent));
    }

    /// The trace that the host's own tracer says it is, where it has one.
    pub(crate) fn of_host(&self) -> Option<TraceContext> {
        self.with(|tree| (tree.root.host != 0).then(|| tree.context(ROOT))).flatten()
    }

    /// What other systems keep with that trace.
    pub(crate) fn say_state(&self, state: &[u8]) {
        self.with(|tree| tree.say_state(state));
    }

    /// The request itself as the newest part of its trace.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.with(|tree| tree.context(ROOT))
    }

    /// What this thread does until the scope is dropped belongs to the request.
    #[inline]
    pub(crate) fn scope(&self) -> Scope {
        EnteredScope::enter(self.0)
    }

    /// The request ended and nobody will ask for its spans.
    #[inline]
    pub(crate) fn drop_spans(&mut self) {
        if !self.0.is_none()
            && let Some(forest) = forest()
        {
            forest.end(std::mem::replace(&mut self.0, Handle::NONE), |_| None::<()>);
        }
    }

    /// The request ended, and its spans are kept.
    #[cold]
    pub(crate) fn keep_spans(&mut self, ending: Ending) -> Option<Arc<Kept>> {
        let handle = std::mem::replace(&mut self.0, Handle::NONE);
        let forest = forest().filter(|_| !handle.is_none())?;
        let kept = forest.end(handle, |tree| Kept::new(tree, ending).map(Arc::new));
        if kept.is_none() {
            forest.unkept.fetch_add(1, Ordering::Relaxed);
        }
        kept
    }

    fn with<T>(&self, work: impl FnOnce(&mut super::tree::Tree) -> T) -> Option<T> {
        if self.0.is_none() { None } else { forest()?.with(self.0, work) }
    }
}

impl Child {
    /// Work begins in whatever this thread is in. Cost outside of a tree: a few loads.
    #[inline]
    pub(crate) fn begin<'a>(work: impl FnOnce() -> Work<'a>, started: Stamp) -> Self {
        let parent = forest().and_then(|_| current::top());
        Self(parent.map_or(Handle::NONE, |parent| open(parent, &work(), started)))
    }

    /// It ended, well or with this type of error, with so many rows if it has some.
    #[inline]
    pub(crate) fn end(&mut self, now: Stamp, error_type: Option<&str>, rows: Option<u64>) {
        let handle = std::mem::replace(&mut self.0, Handle::NONE);
        if !handle.is_none() {
            close(handle, now, error_type, rows);
        }
    }

    /// A wait ended; one that was none is forgotten.
    #[inline]
    pub(crate) fn end_wait(&mut self, now: Stamp, error_type: Option<&str>) {
        let handle = std::mem::replace(&mut self.0, Handle::NONE);
        if !handle.is_none() {
            close(handle, now, error_type, None);
            if error_type.is_none() {
                let _ =
                    forest().and_then(|forest| forest.with(handle, |tree| tree.forget_if_short(handle.span(), now)));
            }
        }
    }

    /// Its place in the trace.
    pub(super) fn context(&self) -> Option<TraceContext> {
        if self.0.is_none() { None } else { forest()?.with(self.0, |tree| tree.context(self.0.span())) }
    }

    /// The state of the trace that it belongs to.
    pub(super) fn state<T>(&self, read: impl FnOnce(&str) -> T) -> Option<T> {
        if self.0.is_none() { None } else { forest()?.with(self.0, |tree| read(&tree.state)) }
    }

    /// Adds what is known of it.
    pub(super) fn say(&self, attributes: &[(&'static str, Said<'_>)]) {
        if !self.0.is_none() {
            let say = |tree: &mut super::tree::Tree| {
                for (key, said) in attributes {
                    tree.attribute(self.0.span(), key, *said);
                }
            };
            let _ = forest().and_then(|forest| forest.with(self.0, say));
        }
    }
}

fn open(parent: Handle, work: &Work<'_>, started: Stamp) -> Handle {
    let opened = forest().and_then(|forest| forest.with(parent, |tree| tree.open_work(parent.span(), work, started)));
    opened.flatten().map_or(Handle::NONE, |span| parent.with_span(span))
}

fn close(handle: Handle, now: Stamp, error_type: Option<&str>, rows: Option<u64>) {
    let _ = forest().and_then(|forest| {
        forest.with(handle, |tree| {
            tree.close(handle.span(), now, error_type.is_some());
            if let Some(error_type) = error_type {
                tree.attribute(handle.span(), "error.type", Said::Text(error_type));
            }
            if let Some(rows) = rows {
                tree.attribute(handle.span(), "db.response.returned_rows", Said::Unsigned(rows));
            }
        })
    });
}

/// Work that was timed elsewhere and just ended. Cost outside of a tree: a few loads.
#[inline]
pub(crate) fn add<'a>(work: impl FnOnce() -> Work<'a>, nanos: u64, error_type: Option<&str>) {
    if let Some(parent) = forest().and_then(|_| current::top()) {
        add_to(parent, &work(), nanos, error_type);
    }
}

fn add_to(parent: Handle, work: &Work<'_>, nanos: u64, error_type: Option<&str>) {
    let now = Stamp::now();
    let started = now.before(nanos);
    let added = forest().and_then(|forest| forest.with(parent, |tree| tree.add_work(parent.span(), work, started)));
    if let Some(span) = added.flatten() {
        let mut child = Child(parent.with_span(span));
        match work.kind {
            WorkKind::PoolWait => child.end_wait(now, error_type),
            _ => child.end(now, error_type, None),
        }
    }
}
