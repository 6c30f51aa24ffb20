//! A value of the moment; it does not know what it measures.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

/// A handle to one gauge series; clones set the same series. Until the first [`set`](Self::set) its value is 0.
///
/// Cost of [`set`](Self::set): one relaxed store. Cost of [`add`](Self::add): a compare-exchange, repeated while other
/// threads add at the same moment.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<CachePadded<AtomicU64>>);

impl Gauge {
    /// Bytes that a series takes: a cache line of its own, and one for the counts of its handles.
    pub(crate) const BYTES: usize = 2 * size_of::<CachePadded<AtomicU64>>();

    /// Sets the value. One that is not finite is unknown: the series is left out until a finite one is set.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds `amount`, which may be negative.
    #[inline]
    pub fn add(&self, amount: f64) {
        let add = |bits| Some((f64::from_bits(bits) + amount).to_bits());
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The value now.
    pub fn value(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}
