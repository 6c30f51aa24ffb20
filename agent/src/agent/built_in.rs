//! The actions that every agent has. What a person may make the service do beside these, the service says.

use std::sync::Arc;
#[cfg(any(feature = "jemalloc", feature = "cpu-profile"))]
use std::time::Duration;

use tokio::runtime::Handle;

use super::core::Core;
use crate::actions::ActionOutcome;
#[cfg(any(feature = "jemalloc", feature = "cpu-profile"))]
use crate::actions::{ActionError, ActionRequest};

/// How long the action `heap.profile` samples unless told, and at most.
#[cfg(feature = "jemalloc")]
const HEAP_SECONDS: u64 = 600;
#[cfg(feature = "jemalloc")]
const HEAP_SECONDS_MAX: u64 = 86_400;
/// Functions that the action `profile.cpu` names.
#[cfg(feature = "cpu-profile")]
const FUNCTIONS: usize = 8;

/// Registers them; their runs are tasks of `runtime`.
pub(super) fn add_actions(core: &Arc<Core>, runtime: &Handle) {
    let weak = Arc::downgrade(core);
    core.actions.register("metrics.reset", runtime.clone(), move |request| {
        if let Some(core) = weak.upgrade().filter(|_| !request.is_dry_run()) {
            core.reset_views();
        }
        Box::pin(std::future::ready(Ok(ActionOutcome::default())))
    });
    #[cfg(feature = "jemalloc")]
    core.actions.register("heap.purge", runtime.clone(), |request| {
        let purged = if request.is_dry_run() { crate::heap::purgeable() } else { crate::heap::purge() };
        let outcome = purged.map(|(matched, affected)| {
            ActionOutcome::new(matched, affected).remark("bytes that were free and still resident")
        });
        Box::pin(std::future::ready(outcome.map_err(ActionError::Failed)))
    });
    #[cfg(feature = "jemalloc")]
    {
        let profiler = core.profiler.clone();
        core.actions.register("heap.profile", runtime.clone(), move |request| {
            Box::pin(std::future::ready(sample_heap(&profiler, &request)))
        });
    }
    #[cfg(feature = "cpu-profile")]
    {
        let profiler = core.cpu_profiler.clone();
        core.actions.register("profile.cpu", runtime.clone(), move |request| {
            Box::pin(sample_processor(profiler.clone(), request))
        });
    }
}

/// A whole number of the arguments within its limits, or its default.
#[cfg(any(feature = "jemalloc", feature = "cpu-profile"))]
fn within(request: &ActionRequest, member: &str, default: u64, most: u64) -> Result<u64, ActionError> {
    match request.integer(member) {
        None if request.has(member) => Err(ActionError::Refused(format!("`{member}` must be a whole number"))),
        None => Ok(default),
        Some(number) if (1..=most).contains(&number) => Ok(number),
        Some(number) => Err(ActionError::Refused(format!("`{member}` is {number}; it must be from 1 to {most}"))),
    }
}

/// Lets a person on call have call sites sampled before anything is suspected.
#[cfg(feature = "jemalloc")]
fn sample_heap(profiler: &crate::heap::Profiler, request: &ActionRequest) -> Result<ActionOutcome, ActionError> {
    let seconds = within(request, "seconds", HEAP_SECONDS, HEAP_SECONDS_MAX)?;
    let span = Duration::from_secs(if request.is_dry_run() { 0 } else { seconds });
    profiler.ask(crate::clock::Tick::now().mono, span).map_err(|why| ActionError::Failed(why.to_owned()))?;
    let remark = format!("call sites are sampled for {seconds} s; the heap view shows them");
    Ok(ActionOutcome::new(1, u64::from(!request.is_dry_run())).remark(remark))
}

/// Tells a person on call which functions run.
#[cfg(feature = "cpu-profile")]
async fn sample_processor(
    profiler: crate::cpu::Profiler,
    request: ActionRequest,
) -> Result<ActionOutcome, ActionError> {
    use crate::cpu::{HERTZ_DEFAULT, HERTZ_MAX, Refusal, SECONDS_DEFAULT, SECONDS_MAX, Wanted};

    let seconds = within(&request, "seconds", SECONDS_DEFAULT, SECONDS_MAX)?;
    let hertz = within(&request, "hz", HERTZ_DEFAULT, HERTZ_MAX)?;
    if request.is_dry_run() {
        let remark = format!("the processor would be sampled for {seconds} s, {hertz} times each second of its time");
        return Ok(ActionOutcome::new(seconds * hertz, 0).remark(remark));
    }
    let taken = profiler.take(Wanted { span: Duration::from_secs(seconds), hertz }).await;
    let taken = taken.map_err(|refusal| match refusal {
        Refusal::Running(what) => ActionError::Busy(what.to_owned()),
        Refusal::TooOften(wait) => {
            ActionError::Busy(format!("a profile began just now; ask again in {:.1} s", wait.as_secs_f64()))
        }
        Refusal::Unavailable(why) | Refusal::Failed(why) => ActionError::Failed(why),
    })?;
    let functions = taken.busiest(FUNCTIONS).into_iter();
    let listed: Vec<String> = functions.map(|(name, share)| format!("{:.0} % {name}", share * 100.0)).collect();
    let busiest = if listed.is_empty() { "nothing ran".to_owned() } else { listed.join(", ") };
    let remark = format!("{busiest} ({}; stacks: /api/v1/profile/cpu)", taken.remarks.join("; "));
    Ok(ActionOutcome::new(taken.samples(), taken.stacks.len() as u64).remark(remark))
}
