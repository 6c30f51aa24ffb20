//! What a profile of the processor is where it cannot be taken: refused.

use tokio::sync::oneshot;

use super::profiler::{Refusal, Wanted};
use super::taken::Taken;

pub(super) fn take(_wanted: Wanted, _asked: &oneshot::Sender<Result<Taken, Refusal>>) -> Result<Taken, Refusal> {
    let why = "profiles of the processor are taken on Linux only, on x86_64 and aarch64";
    Err(Refusal::Unavailable(why.to_owned()))
}
