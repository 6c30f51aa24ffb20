//! One profile of the processor from its beginning to its end, on the thread that it is taken on. Whether it may be taken
//! is not asked here.

use std::time::Duration;

use tokio::sync::oneshot;

use super::profiler::{HERTZ_MAX, Refusal, Wanted};
use super::sampler::{Obstacle, Sampling};
use super::taken::{Ended, Taken, Tally};
use super::walker::Walker;
use crate::clock::{Tick, process_cpu_time};

/// How often copies are read.
const READ_EVERY: Duration = Duration::from_millis(5);

/// Takes a profile on this thread, whose own work is left out.
pub(super) fn take(wanted: Wanted, asked: &oneshot::Sender<Result<Taken, Refusal>>) -> Result<Taken, Refusal> {
    let mut walker = Walker::of_this_process().map_err(Refusal::Failed)?;
    let mut tally = Tally::default();
    let own = nix::unistd::gettid().as_raw().unsigned_abs();
    let period = Duration::from_secs(1) / u32::try_from(wanted.hertz.clamp(1, HERTZ_MAX)).unwrap_or(1);
    let sampling = Sampling::begin(period).map_err(|obstacle| match obstacle {
        Obstacle::Running => Refusal::Running("another profile is being taken; ask again when it is done"),
        Obstacle::InUse(what) => Refusal::Running(what),
        Obstacle::Forbidden(why) => Refusal::Unavailable(why),
    })?;
    let (begun, used) = (Tick::now().mono, process_cpu_time());
    let mut read = || {
        sampling.read(|sample| {
            if sample.thread != own {
                let stack = walker.walk(sample);
                tally.add(sample.thread, stack.addresses, stack.whole);
            }
        });
    };
    let mut span = Duration::ZERO;
    while span < wanted.span && !asked.is_closed() {
        std::thread::sleep(READ_EVERY.min(wanted.span.saturating_sub(span)));
        read();
        span = Tick::now().mono.saturating_sub(begun);
    }
    read();
    let used = process_cpu_time().saturating_sub(used);
    let ended = Ended { period, span, used, lost: sampling.lost() };
    drop(sampling);
    Ok(tally.into_taken(walker.mappings, ended))
}
