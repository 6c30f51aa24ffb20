//! Handles by name, so that asking twice for the same pool, queue or breaker gives the same one.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::signals::{Breaker, Pool, Queue};

/// The handles an agent has given out.
#[derive(Debug, Default)]
pub(crate) struct NamedHandles {
    pub(crate) pools: Named<Pool>,
    pub(crate) queues: Named<Queue>,
    pub(crate) breakers: Named<Breaker>,
}

/// Handles of one kind by name.
#[derive(Debug)]
pub(crate) struct Named<T>(Mutex<BTreeMap<String, T>>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T: Clone> Named<T> {
    /// The handle of this name, made by `make` the first time.
    pub(crate) fn get_or_make(&self, name: &str, make: impl FnOnce() -> T) -> T {
        let mut known = self.0.lock();
        known.get(name).cloned().unwrap_or_else(|| known.entry(name.to_owned()).or_insert(make()).clone())
    }
}
