//! Requests that stand for the bucket they are counted in: at most one a second for each route and size, in a fixed number
//! of places. How they are shown is not known here.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use heartline_shared::{UnixMillis, catalog};
use parking_lot::Mutex;

use super::ShortText;
use super::requests::{DURATION, Outcome};
use crate::clock::{Stamp, Tick};
use crate::instruments::DIGITS;

/// Places, in sets: those that belong into one set push the oldest out.
const SETS: usize = 256;
const WAYS: usize = 4;
/// Of one route and size of duration, one request a second is enough.
const PAUSE_NANOS: u64 = 1_000_000_000;
/// Sizes of durations that a route tells apart: one up to each boundary that is shown, and one above.
const SIZES_MAX: usize = 24;

/// The newest requests of each kind that can be looked up elsewhere, by their trace or their own id.
#[derive(Debug)]
pub(crate) struct Exemplars(LazyLock<Box<[Mutex<Set>]>>);

type Set = [Option<ExemplarRequest>; WAYS];

/// When a route gave its last exemplar of each size.
#[derive(Debug)]
pub(crate) struct Given([AtomicU64; SIZES_MAX]);

/// One request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExemplarRequest {
    /// The number of its route.
    pub(crate) route: u32,
    pub(crate) outcome: Outcome,
    pub(crate) nanos: u64,
    /// When it ended.
    pub(crate) at: UnixMillis,
    pub(crate) trace: Option<[u8; DIGITS]>,
    pub(crate) request_id: Option<ShortText>,
}

/// The boundaries of durations in nanoseconds.
static BOUNDARIES: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let seconds = catalog::find(DURATION).map_or(&[][..], |metric| metric.boundaries);
    let nanos = seconds.iter().map(|bound| std::time::Duration::from_secs_f64(*bound).as_nanos());
    nanos.take(SIZES_MAX - 1).map(|nanos| u64::try_from(nanos).unwrap_or(u64::MAX)).collect()
});

/// Into which bucket a duration falls.
fn bucket_of(nanos: u64) -> usize {
    BOUNDARIES.partition_point(|bound| *bound < nanos)
}

impl Default for Given {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Given {
    /// Whether a request that began at `start` may stand for those of its size; if so, the next one is in a second. Cost: a
    /// search among fifteen numbers, a load, and seldom a store.
    pub(crate) fn is_due(&self, start: Stamp, nanos: u64) -> bool {
        let Some(given) = self.0.get(bucket_of(nanos)) else { return false };
        let before = given.load(Ordering::Relaxed);
        let due = before == 0 || Stamp::of_cycles(before).nanos_until(start) >= PAUSE_NANOS;
        if due {
            given.store(start.cycles(), Ordering::Relaxed);
        }
        due
    }
}

impl Default for Exemplars {
    fn default() -> Self {
        Self(LazyLock::new(|| (0..SETS).map(|_| Mutex::default()).collect()))
    }
}

impl Exemplars {
    /// Bytes of all places.
    pub(crate) const BYTES: usize = SETS * size_of::<Mutex<Set>>();

    /// Makes the places, so that keeping a request allocates nothing.
    pub(crate) fn prepare(&self) {
        LazyLock::force(&self.0);
        LazyLock::force(&BOUNDARIES);
    }

    /// Keeps a request that just ended in place of an earlier one of its kind. Never waits: while its set is being read it is
    /// forgotten, another comes in a second.
    #[cold]
    pub(crate) fn keep(&self, request: ExemplarRequest) {
        let size = bucket_of(request.nanos);
        let Some(mut set) = self.0.get(place(&request, size)).and_then(Mutex::try_lock) else { return };
        let is_same = |kept: &ExemplarRequest| {
            (kept.route, kept.outcome, bucket_of(kept.nanos)) == (request.route, request.outcome, size)
        };
        let same = set.iter().position(|kept| kept.as_ref().is_none_or(is_same));
        let oldest = || set.iter().enumerate().min_by_key(|(_, kept)| kept.map(|kept| kept.at)).map(|(at, _)| at);
        if let Some(at) = same.or_else(oldest) {
            set[at] = Some(request);
        }
    }

    /// All of them, in no order.
    pub(crate) fn all(&self) -> Vec<ExemplarRequest> {
        self.0.iter().flat_map(|set| *set.lock()).flatten().collect()
    }
}

impl ExemplarRequest {
    /// A request that took `nanos` and ends now; what is known of it is added by who knows it.
    pub(crate) fn new(route: u32, outcome: Outcome, nanos: u64) -> Self {
        Self { route, outcome, nanos, at: Tick::now().wall, trace: None, request_id: None }
    }
}

fn place(request: &ExemplarRequest, size: usize) -> usize {
    let outcome = match request.outcome {
        Outcome::Status(status) => usize::from(status),
        Outcome::Failed(status, _) => 1_000 + usize::from(status.unwrap_or(0)),
        Outcome::Cancelled => 2_000,
        Outcome::Panicked => 2_001,
    };
    (request.route as usize).wrapping_mul(31).wrapping_add(size.wrapping_mul(7)).wrapping_add(outcome) % SETS
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: u64 = 1_000_000;

    fn request(route: u32, nanos: u64, at: u64) -> ExemplarRequest {
        ExemplarRequest { at: UnixMillis(at), ..ExemplarRequest::new(route, Outcome::Status(200), nanos) }
    }

    #[test]
    fn a_later_request_takes_the_place_of_one_of_its_kind_and_the_number_is_bounded() {
        let exemplars = Exemplars::default();
        exemplars.keep(request(1, 20 * MILLISECOND, 1));
        exemplars.keep(request(1, 21 * MILLISECOND, 2));
        exemplars.keep(request(1, 700 * MILLISECOND, 3));
        let mut kept: Vec<u64> = exemplars.all().iter().map(|kept| kept.at.0).collect();
        kept.sort_unstable();
        assert_eq!(kept, [2, 3]);
        (0..10_000).for_each(|route| exemplars.keep(request(route, 5, 4)));
        assert!(exemplars.all().len() <= SETS * WAYS);
    }

    #[test]
    fn one_a_second_and_size_is_due() {
        let given = Given::default();
        let first = Stamp::now();
        let later = |seconds: u64| {
            let mut bits = 0_u64;
            // cycles of so many seconds, found by the clock itself
            while first.nanos_until(Stamp::of_cycles(first.cycles() + (1 << bits))) < seconds * PAUSE_NANOS {
                bits += 1;
            }
            Stamp::of_cycles(first.cycles() + (1 << bits))
        };
        assert!(given.is_due(first, 3 * MILLISECOND) && !given.is_due(first, 4 * MILLISECOND));
        assert!(given.is_due(first, 300 * MILLISECOND), "another size");
        assert!(given.is_due(later(1), 3 * MILLISECOND) && !given.is_due(later(1), 3 * MILLISECOND));
    }

    #[test]
    fn every_boundary_that_is_shown_is_a_size_of_its_own() {
        let bounds = catalog::find(DURATION).unwrap().boundaries;
        assert!(bounds.len() < SIZES_MAX && BOUNDARIES.len() == bounds.len());
        assert_eq!((bucket_of(0), bucket_of(u64::MAX)), (0, bounds.len()));
    }
}
