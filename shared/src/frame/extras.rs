//! What a recording keeps of a snapshot beside its series, behind the values of a frame: heap verdict and health checks.

use super::wire::{Input, Malformed, Output};
use crate::snapshot::{CheckResult, CheckStatus, Criticality, HeapVerdict, Leak, Snapshot, Trend};
use crate::time::UnixMillis;

const TRENDS: [Trend; 4] = [Trend::Unknown, Trend::Stable, Trend::Growing, Trend::Shrinking];
const LEAKS: [Leak; 3] = [Leak::None, Leak::Watching, Leak::Suspected];
const STATUSES: [Option<CheckStatus>; 4] =
    [None, Some(CheckStatus::Pass), Some(CheckStatus::Warn), Some(CheckStatus::Fail)];
const CRITICALITIES: [Criticality; 2] = [Criticality::Critical, Criticality::NonCritical];

/// What stands before a heap verdict: 0 for none; the first did not know the intervals.
const HEAP_WITHOUT_INTERVALS: u64 = 1;
const HEAP: u64 = 2;

pub(super) fn write(snapshot: &Snapshot, out: &mut Output) {
    out.number(snapshot.heap.as_ref().map_or(0, |_| HEAP));
    if let Some(heap) = &snapshot.heap {
        out.number(u64::from(heap.jemalloc));
        place(&TRENDS, heap.trend, out);
        float(heap.growth_bytes_per_second, out);
        place(&LEAKS, heap.leak, out);
        float(heap.seconds_to_limit, out);
        out.number(heap.evidence.len() as u64);
        for sentence in &heap.evidence {
            out.string(sentence);
        }
        for interval in [heap.growth_interval, heap.seconds_to_limit_interval] {
            float(interval.map(|[low, _]| low), out);
            float(interval.map(|[_, high]| high), out);
        }
    }
    out.number(snapshot.checks.len() as u64);
    for check in &snapshot.checks {
        out.string(&check.name);
        place(&CRITICALITIES, check.criticality, out);
        place(&STATUSES, check.status, out);
        float(check.latency_seconds, out);
        out.number(check.checked_at_ms.map_or(0, |at| at.0.saturating_add(1)));
        out.option(check.message.as_deref());
    }
}

pub(super) fn read(input: &mut Input<'_>) -> Option<(Option<HeapVerdict>, Vec<CheckResult>)> {
    let heap = match input.number()? {
        0 => None,
        kind => {
            let mut heap = read_heap(input)?;
            if kind != HEAP_WITHOUT_INTERVALS {
                heap.growth_interval = read_interval(input).ok()?;
                heap.seconds_to_limit_interval = read_interval(input).ok()?;
            }
            Some(heap)
        }
    };
    let count = input.count()?;
    let checks = (0..count).map(|_| read_check(input)).collect::<Option<Vec<CheckResult>>>()?;
    Some((heap, checks))
}

fn read_heap(input: &mut Input<'_>) -> Option<HeapVerdict> {
    Some(HeapVerdict {
        jemalloc: input.number()? != 0,
        trend: at(&TRENDS, input)?,
        growth_bytes_per_second: read_float(input).ok()?,
        leak: at(&LEAKS, input)?,
        seconds_to_limit: read_float(input).ok()?,
        evidence: {
            let count = input.count()?;
            (0..count).map(|_| input.string().map(str::to_owned)).collect::<Option<Vec<String>>>()?
        },
        ..HeapVerdict::default()
    })
}

fn read_interval(input: &mut Input<'_>) -> Result<Option<[f64; 2]>, Malformed> {
    let (low, high) = (read_float(input)?, read_float(input)?);
    Ok(low.zip(high).map(|(low, high)| [low, high]))
}

fn read_check(input: &mut Input<'_>) -> Option<CheckResult> {
    Some(CheckResult {
        name: input.string()?.to_owned(),
        criticality: at(&CRITICALITIES, input)?,
        status: at(&STATUSES, input)?,
        latency_seconds: read_float(input).ok()?,
        checked_at_ms: input.number()?.checked_sub(1).map(UnixMillis),
        message: input.option().ok()?.map(str::to_owned),
    })
}

fn place<T: PartialEq + Copy>(all: &[T], wanted: T, out: &mut Output) {
    out.number(all.iter().position(|one| *one == wanted).unwrap_or_default() as u64);
}

fn at<T: Copy>(all: &[T], input: &mut Input<'_>) -> Option<T> {
    all.get(usize::try_from(input.number()?).ok()?).copied()
}

fn float(number: Option<f64>, out: &mut Output) {
    let number = number.filter(|number| number.is_finite());
    out.number(u64::from(number.is_some()));
    if let Some(number) = number {
        out.0.extend_from_slice(&number.to_bits().to_le_bytes());
    }
}

fn read_float(input: &mut Input<'_>) -> Result<Option<f64>, Malformed> {
    match input.number() {
        Some(0) => Ok(None),
        Some(_) => input.float().map(Some).ok_or(Malformed),
        None => Err(Malformed),
    }
}
