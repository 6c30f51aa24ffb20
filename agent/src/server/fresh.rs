//! The newest snapshot and its renderings, shared by all requests of a quarter of a second: one rendering at a time, and
//! a hundred slow readers hold one copy.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use heartline_shared::Snapshot;
use parking_lot::Mutex;

use super::Source;
use super::answer::Body;
use super::changes::Changes;
use crate::exporters::Format;
use crate::exporters::prometheus::Selection;
use crate::snapshot::Exemplified;

/// How old an answer may be.
const AGE_MAX: Duration = Duration::from_millis(250);

/// The newest snapshot, made when it is asked for and the last one is too old.
pub(super) struct Fresh {
    source: Arc<dyn Source>,
    newest: Mutex<Option<(Duration, Arc<Rendered>)>>,
    changes: Changes,
}

/// A snapshot with the forms in which it was asked for.
pub(super) struct Rendered {
    pub(super) snapshot: Arc<Snapshot>,
    exemplars: Exemplified,
    json: OnceLock<Body>,
    metrics: [OnceLock<Body>; Format::ALL.len()],
}

impl Fresh {
    pub(super) fn new(source: Arc<dyn Source>) -> Self {
        Self { source, newest: Mutex::new(None), changes: Changes::default() }
    }

    pub(super) fn source(&self) -> &dyn Source {
        self.source.as_ref()
    }

    /// What changed since the snapshot of this number, if that is known.
    pub(super) fn since(&self, since: u64, rendered: &Rendered) -> Option<Snapshot> {
        self.changes.since(since, &rendered.snapshot)
    }

    /// The snapshot of at most [`AGE_MAX`] ago; `now` is on the boot-time clock.
    pub(super) fn at(&self, now: Duration) -> Arc<Rendered> {
        let mut newest = self.newest.lock();
        match &*newest {
            Some((made, rendered)) if now.saturating_sub(*made) < AGE_MAX => Arc::clone(rendered),
            _ => {
                let rendered = Arc::new(Rendered {
                    snapshot: self.source.snapshot(),
                    exemplars: self.source.exemplars(),
                    json: OnceLock::new(),
                    metrics: Default::default(),
                });
                *newest = Some((now, Arc::clone(&rendered)));
                rendered
            }
        }
    }
}

impl Rendered {
    /// The document of `/api/v1/snapshot`.
    pub(super) fn json(&self) -> &Body {
        self.json.get_or_init(|| Body::new(serde_json::to_vec(&*self.snapshot).unwrap_or_default()))
    }

    /// The whole document of `/metrics`.
    pub(super) fn metrics(&self, format: Format) -> &Body {
        self.metrics[format as usize].get_or_init(|| self.selected_metrics(format, &Selection::default()))
    }

    /// The selected metrics of `/metrics`.
    pub(super) fn selected_metrics(&self, format: Format, selection: &Selection) -> Body {
        Body::new(format.page((&self.snapshot, &self.exemplars), selection))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::signals::Overall;

    #[derive(Default)]
    struct Counted(AtomicU64);

    impl Source for Counted {
        fn snapshot(&self) -> Arc<Snapshot> {
            Arc::new(Snapshot { seq: self.0.fetch_add(1, Ordering::Relaxed), ..Snapshot::default() })
        }

        fn overall(&self) -> Overall {
            Overall::Healthy
        }
    }

    #[test]
    fn requests_of_a_quarter_second_share_one_snapshot() {
        let fresh = Fresh::new(Arc::new(Counted::default()));
        let seq = |millis| fresh.at(Duration::from_millis(millis)).snapshot.seq;
        assert_eq!([seq(1_000), seq(1_249), seq(1_250), seq(1_251)], [0, 0, 1, 1]);
    }
}
