//! Recordings under damage, and frames against the snapshots they were made of.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::catalog::Kind;
use crate::label::Labels;
use crate::snapshot::Trend;
use crate::snapshot::{
    CheckStatus, Criticality, Family, HistogramSeries, Leak, NumberSeries, SCHEMA_VERSION, Snapshot,
};
use crate::{Grid, GridKind};

const REQUESTS: &str = "http.server.request.duration";

fn family(name: &'static str, kind: Kind, unit: &'static str) -> Family {
    let (name, unit) = (Cow::Borrowed(name), Cow::Borrowed(unit));
    Family { name, kind, unit, help: None, numbers: vec![], histograms: vec![] }
}

fn route(at: usize) -> Labels {
    Labels::from_pairs([("http.request.method", "GET".to_owned()), ("http.route", format!("/route/{at}"))])
}

/// What a process has counted after so many seconds.
fn snapshot(second: u64, latencies: &[Histogram], writes: f64, used: Option<f64>) -> Snapshot {
    let mut requests = family(REQUESTS, Kind::Histogram, "s");
    requests.histograms = (0..)
        .zip(latencies)
        .map(|(at, histogram)| HistogramSeries { labels: route(at), histogram: histogram.clone() })
        .collect();
    let mut memory = family("process.memory.usage", Kind::UpDownCounter, "By");
    memory.numbers = used.map(|value| NumberSeries { labels: Labels::empty(), value }).into_iter().collect();
    let mut orders = family("a.writes", Kind::Counter, "{write}");
    orders.help = Some("Entries written.".into());
    orders.numbers = vec![NumberSeries { labels: Labels::from_pairs([("cache", "é")]), value: writes }];
    let metrics = [orders, requests, memory]
        .into_iter()
        .filter(|family| !family.numbers.is_empty() || !family.histograms.is_empty());
    let (started, at) = (UnixMillis(1_700_000_000_000), UnixMillis(1_700_000_000_000 + second * 1_000));
    Snapshot {
        schema_version: SCHEMA_VERSION,
        service: "shop".to_owned(),
        version: Some("1.0".to_owned()),
        instance_id: "a".to_owned(),
        started_at: started.to_string(),
        started_at_ms: started,
        timestamp: at.to_string(),
        ts_ms: at,
        seq: second + 1,
        uptime_seconds: second as f64,
        metrics: metrics.collect(),
        ..Snapshot::default()
    }
}

fn of(values: &[u64]) -> Histogram {
    let grid = Grid::of(GridKind::Duration);
    let mut histogram = Histogram::default();
    for value in values {
        histogram.record(&grid, *value);
    }
    histogram
}

/// A minute of a service; a route joins half-way.
fn minute() -> Vec<Snapshot> {
    let mut latencies = vec![Histogram::default(); 2];
    (1..=60_u64)
        .map(|second| {
            if second == 30 {
                latencies.push(Histogram::default());
            }
            for (route, histogram) in latencies.iter_mut().enumerate() {
                if !(second + route as u64).is_multiple_of(3) {
                    histogram.merge(&of(&[second * 1_000_000, second * 7_000_000, 5_000_000]));
                }
            }
            snapshot(second, &latencies, (second * 3) as f64, Some(1e6 + second as f64 / 8.0))
        })
        .collect()
}

/// The bytes of a recording, and where each append began.
fn recorded(snapshots: &[Snapshot]) -> (Vec<u8>, Vec<usize>) {
    let mut recording = Recording::default();
    let (mut bytes, mut begins) = (Vec::new(), Vec::new());
    for snapshot in snapshots {
        begins.push(bytes.len());
        bytes.extend(recording.append(snapshot));
    }
    (bytes, begins)
}

fn events(bytes: &[u8], chunk: usize) -> Vec<Event> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for chunk in bytes.chunks(chunk.max(1)) {
        decoder.push(chunk);
        events.extend(std::iter::from_fn(|| decoder.next_event()));
    }
    decoder.finish();
    events.extend(std::iter::from_fn(|| decoder.next_event()));
    events
}

fn frames(events: &[Event]) -> Vec<&Frame> {
    events.iter().filter_map(|event| if let Event::Frame(frame) = event { Some(frame) } else { None }).collect()
}

fn damages(events: &[Event]) -> Vec<Damage> {
    events.iter().filter_map(|event| if let Event::Damage(damage) = event { Some(*damage) } else { None }).collect()
}

fn replayed(bytes: &[u8]) -> Vec<Replayed> {
    let mut replay = Replay::new();
    replay.push(bytes);
    replay.finish();
    std::iter::from_fn(|| replay.next_state()).collect()
}

#[test]
fn a_recording_replays_as_the_snapshots_it_was_made_of() {
    let mut snapshots = minute();
    snapshots[3].heap = Some(HeapVerdict {
        jemalloc: true,
        trend: Trend::Growing,
        growth_bytes_per_second: Some(0.25),
        leak: Leak::Suspected,
        seconds_to_limit: None,
        evidence: vec!["the floor rose".to_owned()],
        growth_interval: Some([0.5, 2.0]),
        seconds_to_limit_interval: None,
        ..HeapVerdict::default()
    });
    snapshots[4].checks = vec![CheckResult {
        name: "database".to_owned(),
        criticality: Criticality::NonCritical,
        status: Some(CheckStatus::Fail),
        latency_seconds: Some(0.5),
        checked_at_ms: Some(UnixMillis(0)),
        message: Some("refused".to_owned()),
    }];
    let (bytes, _) = recorded(&snapshots);
    let expected: Vec<Replayed> =
        snapshots.into_iter().map(|snapshot| Replayed::Snapshot(Box::new(snapshot))).collect();
    assert_eq!(replayed(&bytes), expected);
}

#[test]
fn a_recording_cut_anywhere_gives_every_frame_before_the_cut_and_says_so() {
    let (bytes, begins) = recorded(&minute()[..8]);
    let whole = events(&bytes, bytes.len());
    let whole = frames(&whole);
    for cut in 0..bytes.len() {
        let read = events(&bytes[..cut], cut);
        let complete = begins.iter().skip(1).chain([&bytes.len()]).filter(|end| **end <= cut).count();
        assert_eq!(frames(&read), whole[..complete], "cut at {cut}");
        let said: Vec<Reason> = damages(&read).iter().map(|damage| damage.reason).collect();
        assert!(said.iter().all(|reason| *reason == Reason::Truncated) && said.len() <= 1, "cut at {cut}: {said:?}");
    }
}

#[test]
fn a_damaged_byte_anywhere_loses_one_frame_at_most_and_is_reported() {
    let (bytes, _) = recorded(&minute()[..8]);
    let whole = events(&bytes, bytes.len());
    let whole = frames(&whole);
    let mut lost = 0;
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let read = events(&damaged, damaged.len());
        let kept = frames(&read);
        assert!(kept.len() + 1 >= whole.len(), "byte {at} lost {}", whole.len() - kept.len());
        assert!(kept.iter().all(|frame| whole.contains(frame)), "byte {at} changed a frame");
        let reported: u64 = damages(&read).iter().map(|damage| damage.bytes).sum();
        assert!(reported > 0, "byte {at} is not reported");
        lost += usize::from(kept.len() < whole.len());
    }
    assert!(lost > 0, "frames have bytes, too");
}

#[test]
fn a_lost_frame_takes_only_its_own_span_with_it() {
    let snapshots = minute();
    let (bytes, begins) = recorded(&snapshots);
    let mut damaged = bytes.clone();
    damaged[begins[10] + 30] ^= 0x55;
    let states = replayed(&damaged);
    let last = states.iter().rev().find_map(|state| match state {
        Replayed::Snapshot(snapshot) => Some(snapshot),
        Replayed::Damage(_) => None,
    });
    let count = |snapshot: &Snapshot| snapshot.family(REQUESTS).unwrap().histograms[0].histogram.count;
    let counted_in_it = count(&snapshots[10]) - count(&snapshots[9]);
    assert!(counted_in_it > 0);
    assert_eq!(count(last.unwrap()) + counted_in_it, count(&snapshots[59]));
    assert_eq!(states.iter().filter(|state| matches!(state, Replayed::Damage(_))).count(), 1);
}

#[test]
fn another_process_begins_again_and_keeps_its_own_series() {
    let first = minute();
    let mut second = snapshot(2, &[of(&[9_000_000])], 1.0, None);
    second.started_at_ms = UnixMillis(1_700_000_100_000);
    second.started_at = second.started_at_ms.to_string();
    let (bytes, _) = recorded(&[first[0].clone(), first[1].clone(), second.clone()]);
    let states = replayed(&bytes);
    assert_eq!(states.last(), Some(&Replayed::Snapshot(Box::new(second))));
    assert_eq!(events(&bytes, 7).iter().filter(|event| matches!(event, Event::Process(_))).count(), 2);
}

#[test]
fn a_full_frame_comes_again_and_again() {
    let snapshots: Vec<Snapshot> =
        (1..=u64::from(FULL_FRAME_EVERY) * 2 + 2).map(|second| snapshot(second, &[], second as f64, None)).collect();
    let (bytes, _) = recorded(&snapshots);
    let read = events(&bytes, 4_096);
    assert_eq!(frames(&read).iter().filter(|frame| frame.full).count(), 3);
}

#[test]
fn a_frame_of_many_is_the_sum_of_the_frames() {
    let snapshots = minute();
    let mut coder = Coder::new(&snapshots[0], 1 << 20);
    let mut sums = Sums::default();
    let mut stream = coder.introduction().to_vec();
    for snapshot in &snapshots {
        let made = coder.frame(snapshot).unwrap();
        stream.extend(made.definitions);
        assert!(sums.add(&made.frame));
    }
    stream.extend(sums.frame().unwrap());
    let read = events(&stream, stream.len());
    let [sum] = frames(&read)[..] else { panic!("{read:?}") };
    assert_eq!((sum.span, sum.at, sum.seq), (Duration::from_mins(1), snapshots[59].ts_ms, 61));
    let latencies = &snapshots[59].family(REQUESTS).unwrap().histograms;
    let sent: Vec<&Histogram> = latencies.iter().map(|series| &series.histogram).collect();
    let histogram = |(_, value): &'_ (SeriesId, Value)| matches!(value, Value::Histogram(_));
    let read: Vec<&Histogram> = sum
        .values
        .iter()
        .filter(|value| histogram(value))
        .map(|(_, value)| if let Value::Histogram(histogram) = value { histogram } else { unreachable!() })
        .collect();
    assert_eq!(read, sent);
}

#[test]
fn buckets_taken_together_for_want_of_memory_are_not_counted_again() {
    let grid = Grid::of(GridKind::Duration);
    let fine = of(&[5_000_000, 5_200_000, 5_300_000, 9_000_000]);
    let mut coarse = Histogram { sum: fine.sum + 9_000_000, ..Histogram::default() };
    for &(bucket, count) in fine.buckets.iter().chain(&[fine.buckets[fine.buckets.len() - 1]]) {
        let last = u16::try_from(grid.last_in_group(grid.group(usize::from(bucket)))).unwrap();
        coarse.merge(&Histogram { count, sum: 0, buckets: vec![(last, count)] });
    }
    let mut coder = Coder::new(&snapshot(1, &[], 0.0, None), 1 << 20);
    let mut stream = coder.introduction().to_vec();
    for (second, histogram) in [(1, fine), (2, coarse)] {
        let made = coder.frame(&snapshot(second, &[histogram], 0.0, None)).unwrap();
        stream.extend(made.definitions);
        stream.extend(made.frame);
    }
    let read = events(&stream, stream.len());
    let Value::Histogram(more) = &frames(&read)[1].values.last().unwrap().1 else { panic!("{read:?}") };
    assert_eq!((more.count, more.sum), (1, 9_000_000));
}

#[test]
fn series_that_do_not_fit_are_left_out_and_counted() {
    let latencies = vec![of(&[5_000_000]); 1_000];
    let all = snapshot(1, &latencies, 0.0, None);
    let mut coder = Coder::new(&all, 2_000);
    let made = coder.frame(&all).unwrap();
    let read = events(&[coder.introduction(), &made.definitions, &made.frame].concat(), 100);
    let kept = frames(&read)[0].values.len() as u64;
    assert!(kept > 20 && made.definitions.len() < 2_200, "{kept} {}", made.definitions.len());
    assert_eq!(kept + coder.left_out(), 1_001);
}

#[test]
fn a_later_format_is_refused_in_words_and_unknown_blocks_are_passed_over() {
    let (bytes, _) = recorded(&minute()[..2]);
    let mut unknown = Vec::new();
    assert!(block::append(200, b"of a later version", &mut unknown));
    assert_eq!(frames(&events(&[unknown, bytes].concat(), 50)).len(), 2);
    let mut newer = Vec::new();
    block::append(block::PROCESS, &[9], &mut newer);
    let read = events(&newer, 50);
    assert!(matches!(read[..], [Event::Damage(Damage { reason: Reason::Newer, .. })]), "{read:?}");
    assert!(damages(&read)[0].to_string().contains("later version"));
}

#[test]
fn a_value_that_its_series_cannot_have_is_left_out_and_counted() {
    let sent = snapshot(1, &[of(&[5_000_000])], 3.0, None);
    let mut coder = Coder::new(&sent, 1 << 20);
    let made = coder.frame(&sent).unwrap();
    let mut lying = values::ValueWriter::default();
    lying.level(0, 5.0); // a counter
    lying.histogram(1, &[(2_000, 3)], 9); // outside the grid
    lying.increase(7, 1.0); // not defined
    let head = head::Head { session: coder.session(), ..head::Head::default() };
    let frame = head.frame(&lying, &wire::Output::default()).unwrap();
    let read = events(&[coder.introduction(), &made.definitions, &frame].concat(), 100);
    assert_eq!((frames(&read)[0].values.len(), frames(&read)[0].left_out), (0, 3));
}

#[test]
fn a_claim_of_many_values_allocates_nothing_and_is_malformed() {
    let mut payload = wire::Output::default();
    payload.0.extend_from_slice(&[0; 4]);
    for number in [0, 0, 0, 0, 0, u64::MAX] {
        payload.number(number);
    }
    assert!(head::Head::read(&payload.0).is_none());
}

#[test]
fn bytes_full_of_markers_are_given_up_soon() {
    let bytes = [0xf1, b'H', b'L', b'F', 3, 0, 0, 4, 0].repeat(50_000);
    let read = events(&bytes, bytes.len());
    assert_eq!(damages(&read).iter().map(|damage| damage.bytes).sum::<u64>(), bytes.len() as u64);
}

proptest! {
    #[test]
    fn what_was_counted_comes_back_however_the_stream_is_cut(
        seconds in prop::collection::vec((prop::collection::vec(0_u64..10_000_000_000, 0..20), 0_u32..50, any::<f64>()), 1..20),
        chunk in 1_usize..300,
    ) {
        let (mut latency, mut writes) = (Histogram::default(), 0.0);
        let snapshots: Vec<Snapshot> = (1..).zip(&seconds).map(|(second, (values, more, used))| {
            latency.merge(&of(values));
            writes += f64::from(*more);
            snapshot(second, std::slice::from_ref(&latency), writes, Some(*used).filter(|used| used.is_finite()))
        }).collect();
        let (bytes, _) = recorded(&snapshots);
        let read = events(&bytes, chunk);
        prop_assert_eq!(damages(&read), vec![]);
        let states = replayed(&bytes);
        let expected: Vec<Replayed> = snapshots.into_iter().map(|snapshot| Replayed::Snapshot(Box::new(snapshot))).collect();
        prop_assert_eq!(states, expected);
    }

    #[test]
    fn any_bytes_are_read_or_reported_to_the_last(
        noise in prop::collection::vec(any::<u8>(), 0..400),
        at in 0_usize..2_000,
        chunk in 1_usize..600,
    ) {
        let (mut bytes, _) = recorded(&minute()[..4]);
        let at = at % bytes.len();
        let end = (at + noise.len()).min(bytes.len());
        bytes[at..end].copy_from_slice(&noise[..end - at]);
        let read = events(&bytes, chunk);
        prop_assert!(frames(&read).len() <= 4);
        prop_assert!(noise.is_empty() || frames(&read).len() + damages(&read).len() > 0);
    }
}
