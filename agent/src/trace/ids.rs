//! Ids of traces and spans: random, seeded by the system for each thread, never zero.

use std::cell::RefCell;

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

thread_local! {
    static RANDOM: RefCell<Option<SmallRng>> = const { RefCell::new(None) };
}

/// A number that is not zero. Cost: a few instructions, and one system call at the first one of a thread.
pub(super) fn random() -> u64 {
    let next = |random: &RefCell<Option<SmallRng>>| {
        random.try_borrow_mut().ok().map(|mut random| random.get_or_insert_with(seeded).next_u64())
    };
    // a thread that ends has no state any more
    RANDOM.try_with(next).ok().flatten().unwrap_or_else(|| seeded().next_u64()).max(1)
}

#[cold]
fn seeded() -> SmallRng {
    // where the system has no randomness, what the standard library keys its maps with
    SmallRng::try_from_os_rng().unwrap_or_else(|_| {
        use std::hash::{BuildHasher as _, Hasher as _};
        SmallRng::seed_from_u64(std::collections::hash_map::RandomState::new().build_hasher().finish())
    })
}

/// The id of a trace.
pub(super) fn trace() -> u128 {
    (u128::from(random()) << 64) | u128::from(random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_make_different_ids_and_none_is_zero() {
        let of_a_thread = || (0..10_000).map(|_| trace()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(of_a_thread)).collect();
        let mut all: Vec<u128> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        assert!(all.iter().all(|id| *id != 0));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 40_000);
    }
}
