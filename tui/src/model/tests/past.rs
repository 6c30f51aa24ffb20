//! A target that is filled with what its agent remembers, before the first poll of this program.

use std::time::Duration;

use heartline_shared::{Snapshot, UnixMillis};

use super::fixture::Document;
use crate::model::chart::{Axis, Chart};
use crate::model::{Model, Settings, Target};
use crate::source::past_fixture::past;
use crate::text::Text;

/// How far our clock is ahead of the target's.
const SKEW: u64 = 7_000;

/// 5,000 requests before the past begins, and 20 in each second of it; half-way they become slow.
fn document(second: u64) -> Document {
    let count = usize::try_from(5_000 + second * 20).unwrap();
    let slow = usize::try_from(second.saturating_sub(300) * 20).unwrap();
    let seconds = [vec![0.01; count - slow], vec![2.0; slow]].concat();
    let labels = [("http.request.method", "GET"), ("http.route", "/cart"), ("http.response.status_code", "200")];
    Document::at(second).durations("http.server.request.duration", &labels, &seconds).number(
        "process.memory.usage",
        &[],
        (second * 1_000) as f64,
    )
}

fn at(second: u64) -> u64 {
    super::fixture::STARTED + second * 1_000 + SKEW
}

fn filled() -> Target {
    let documents: Vec<Snapshot> = (1..=600).map(|second| document(second).snapshot()).collect();
    let model = Model::new([Text::new("shop")], Settings::default());
    let mut target = model.blank(0).unwrap();
    target.absorb_past(&past(&documents, document(600).arrives(at(600))));
    target
}

fn chart(target: &Target, chart: &Chart) -> Vec<Option<f64>> {
    target.chart(chart, Axis { end: UnixMillis(at(600)), span: Duration::from_mins(8), columns: 8 })
}

#[test]
fn charts_show_the_time_before_the_first_poll() {
    let target = filled();
    let rates = chart(&target, &Chart::RequestRate);
    assert!(rates.iter().all(|rate| rate.is_some_and(|rate| (rate - 20.0).abs() < 0.1)), "{rates:?}");
    let latencies: Vec<f64> = chart(&target, &Chart::RequestP99).into_iter().flatten().collect();
    assert_eq!(latencies.len(), 8);
    assert!((latencies[0] - 0.01).abs() < 0.001 && (latencies[7] - 2.0).abs() < 0.05, "{latencies:?}");
    let memory: Vec<f64> = chart(&target, &Chart::ProcessRss).into_iter().flatten().collect();
    assert!(memory.is_sorted() && memory[7] > 550_000.0, "{memory:?}");
    let details = Chart::RouteRate { method: Text::new("GET"), route: Some(Text::new("/cart")) };
    assert!(chart(&target, &details)[7].is_some_and(|rate| (rate - 20.0).abs() < 0.1));
}

#[test]
fn totals_are_those_of_the_poll_and_the_next_poll_counts_on() {
    let mut target = filled();
    assert_eq!(target.reading().requests.total, Some(5_000 + 600 * 20));
    assert_eq!((target.reading().restarts, target.restarts().len()), (0, 0));
    target.absorb(&document(601).arrives(at(601)));
    let reading = target.reading();
    assert_eq!(reading.requests.total, Some(5_000 + 601 * 20));
    assert!(reading.requests.rate.is_some_and(|rate| (rate - 20.0).abs() < 3.0), "{:?}", reading.requests.rate);
    let rates = target
        .chart(&Chart::RequestRate, Axis { end: UnixMillis(at(601)), span: Duration::from_secs(10), columns: 10 });
    assert!(rates.iter().flatten().all(|rate| *rate < 30.0), "no spike where past and polls meet: {rates:?}");
}

#[test]
fn frames_of_ten_seconds_fill_their_columns() {
    let documents: Vec<Snapshot> = (1..=60).map(|step| document(step * 10).snapshot()).collect();
    let model = Model::new([Text::new("shop")], Settings::default());
    let mut target = model.blank(0).unwrap();
    target.absorb_past(&past(&documents, document(600).arrives(at(600))));
    let columns = target
        .chart(&Chart::RequestRate, Axis { end: UnixMillis(at(590)), span: Duration::from_mins(5), columns: 300 });
    let known = columns.iter().flatten().count();
    assert!(known > 290, "{known} of 300");
}
