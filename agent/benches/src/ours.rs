//! heartline as a subject, through its public API only.

use std::sync::LazyLock;

use heartline::Agent;
use heartline::instruments::Histogram;

use crate::fixture::{FIXTURE, Fixture, Key};
use crate::record;
use crate::subject::Subject;

/// The agent as a service has it: its thread collects while the bench runs.
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    Agent::builder("bench").without_listener().start().expect("an agent without a listener needs nothing but a thread")
});

fn handle(key: &Key) -> Histogram {
    AGENT.histogram("bench.duration", &[("method", key.method), ("route", key.route), ("status", key.status)])
}

/// heartline.
pub fn heartline() -> Subject {
    let fixture: &'static Fixture = &FIXTURE;
    Subject {
        name: "heartline",
        is_accurate: true,
        exports: true,
        keeps_events: false,
        handle: Some(Box::new(move || {
            let histogram = handle(&fixture.keys[5]);
            record!(at => histogram.record(fixture.durations[at]))
        })),
        labels: Some(Box::new(move || {
            let family = AGENT.histogram_family("bench.duration", ["method", "route", "status"]);
            record!(at => {
                let Key { method, route, status } = fixture.keys[fixture.series[at]];
                family.record_static([method, route, status], fixture.durations[at]);
            })
        })),
        counter: Some(Box::new(|| {
            let counter = AGENT.counter("bench.count", &[]);
            record!(_at => counter.increment())
        })),
        timed: Some(Box::new(move || {
            let histogram = handle(&fixture.keys[6]);
            record!(_at => drop(histogram.start()))
        })),
        single: Some(Box::new(move || {
            let handles: Vec<Histogram> = fixture.keys.iter().map(handle).collect();
            record!(at => handles[fixture.series[at]].record(fixture.durations[at]))
        })),
        settle: None,
    }
}
