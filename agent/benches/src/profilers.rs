//! Profilers beside which services are often observed: what one of their measurements costs. They are more to build than all
//! peers together, so they are behind a feature.
#![expect(clippy::unwrap_used, reason = "a bench that cannot set a peer up has nothing to measure")]

use std::sync::LazyLock;

use dial9::core::clock_monotonic_ns;
use dial9::format::TraceEvent;
use dial9::{Dial9Handle, MemoryBuffer, Recorder, recorder};
use hotpath::{Format, HotpathGuard, HotpathGuardBuilder};

use crate::fixture::FIXTURE;
use crate::record;
use crate::subject::Subject;

/// Bytes of events that dial9 keeps, the newest.
const EVENT_BYTES: u64 = 64 << 20;

/// Both of them.
pub fn all() -> Vec<Subject> {
    vec![hotpath(), dial9()]
}

/// Times blocks only; its durations go to a thread that counts them.
fn hotpath() -> Subject {
    static GUARD: LazyLock<HotpathGuard> =
        LazyLock::new(|| HotpathGuardBuilder::new("bench").format(Format::None).build());
    Subject {
        name: "hotpath",
        is_accurate: true,
        exports: true,
        timed: Some(Box::new(|| {
            LazyLock::force(&GUARD);
            record!(_at => hotpath::measure_block!({ "timed" }, ()))
        })),
        ..Subject::default()
    }
}

#[derive(TraceEvent)]
struct Ended {
    #[traceevent(timestamp)]
    timestamp_ns: u64,
    series: u32,
    nanos: u64,
}

/// Writes events down, which its viewer counts later; every one is encoded with its time.
fn dial9() -> Subject {
    static RECORDER: LazyLock<Recorder> = LazyLock::new(|| recorder(MemoryBuffer::new(EVENT_BYTES).unwrap()).build());
    let fixture = &*FIXTURE;
    let ended = |handle: &Dial9Handle, series: usize, timestamp_ns: u64, nanos: u64| {
        handle.record_event(Ended { timestamp_ns, series: u32::try_from(series).unwrap_or(u32::MAX), nanos });
    };
    Subject {
        name: "dial9",
        keeps_events: true,
        exports: true,
        handle: Some(Box::new(move || {
            let handle = RECORDER.handle();
            record!(at => ended(handle, 5, clock_monotonic_ns(), fixture.nanos[at]))
        })),
        timed: Some(Box::new(move || {
            let handle = RECORDER.handle();
            record!(_at => {
                let start = clock_monotonic_ns();
                let end = clock_monotonic_ns();
                ended(handle, 5, end, end - start);
            })
        })),
        single: Some(Box::new(move || {
            let handle = RECORDER.handle();
            record!(at => ended(handle, fixture.series[at], clock_monotonic_ns(), fixture.nanos[at]))
        })),
        ..Subject::default()
    }
}
