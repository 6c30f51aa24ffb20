//! The fragmentation fault: small objects of many sizes fill pages, and the few that stay keep the pages. Resident memory
//! grows and what is allocated hardly does; none of it is a leak.

use std::time::Duration;

use tokio::task::spawn_blocking;

use super::Faults;

/// How often pages are scattered.
const BEAT: Duration = Duration::from_secs(3);
/// Pages filled at each beat.
const ROUND_BYTES: usize = 12 << 20;
/// One object stays in this many bytes: at least one in each run of pages that jemalloc cuts into objects of one size.
const KEEP_EVERY_BYTES: usize = 12 << 10;
/// One size a beat, each of another class, because objects of the same class would fill the holes.
const SIZES: [usize; 15] = [80, 96, 112, 160, 192, 224, 320, 384, 448, 640, 768, 896, 1_280, 1_536, 1_792];

type Object = Vec<u8>;

/// Scatters one size after the other while the fault is on, then holds what is left until it goes off.
pub(super) async fn run(faults: Faults) {
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut remains: Vec<Vec<Object>> = Vec::new();
    loop {
        beat.tick().await;
        if !faults.fragmentation() {
            remains.clear();
        } else if let Some(size) = SIZES.get(remains.len()) {
            // away from the threads that answer requests
            remains.extend(spawn_blocking(|| scatter_objects(*size)).await);
        }
    }
}

/// Fills pages with objects of one size and drops most of them.
#[inline(never)]
fn scatter_objects(size: usize) -> Vec<Object> {
    let mut objects: Vec<Object> = (0..ROUND_BYTES / size).map(|_| vec![1; size]).collect();
    let apart = (KEEP_EVERY_BYTES / size).max(1);
    let mut number = 0_usize;
    objects.retain(|_| {
        number += 1;
        number.is_multiple_of(apart)
    });
    objects.shrink_to_fit();
    objects
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_what_fills_the_pages_goes() {
        for size in SIZES {
            let left: usize = scatter_objects(size).iter().map(Vec::len).sum();
            assert!(left > 0 && left < ROUND_BYTES / 6, "{left} bytes of {size} stay");
        }
    }
}
