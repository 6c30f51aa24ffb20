//! The recorder against snapshots whose figures are known.

use std::borrow::Cow;

use heartline_shared::frame::{Decoder, Event, Frame, Value};
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries};
use heartline_shared::{Grid, GridKind, Histogram, Kind, Labels};

use super::*;

const START: u64 = 1_700_000_000_000;
const ALL: Range = Range { from: UnixMillis(0), to: UnixMillis(u64::MAX), step: STEPS[0] };

/// A process with so many routes; each gets a request of 5 ms in every second.
fn snapshot(second: u64, routes: usize) -> Snapshot {
    let grid = Grid::of(GridKind::Duration);
    let bucket = u16::try_from(grid.index(5_000_000)).unwrap();
    let histogram = Histogram { count: second, sum: second * 5_000_000, buckets: vec![(bucket, second)] };
    let series = |route| HistogramSeries {
        labels: Labels::from_pairs([("http.route", format!("/{route}"))]),
        histogram: histogram.clone(),
    };
    let family = |name: &'static str, kind, unit: &'static str| Family {
        name: Cow::Borrowed(name),
        kind,
        unit: Cow::Borrowed(unit),
        help: None,
        numbers: vec![],
        histograms: vec![],
    };
    let mut requests = family("http.server.request.duration", Kind::Histogram, "s");
    requests.histograms = (0..routes).map(series).collect();
    let mut memory = family("process.memory.usage", Kind::UpDownCounter, "By");
    memory.numbers = vec![NumberSeries { labels: Labels::empty(), value: (second * 10) as f64 }];
    Snapshot {
        service: "shop".to_owned(),
        started_at_ms: UnixMillis(START),
        ts_ms: UnixMillis(START + second * 1_000),
        uptime_seconds: second as f64,
        seq: second,
        metrics: vec![requests, memory],
        ..Snapshot::default()
    }
}

fn recorded(seconds: u64, routes: usize, bytes_max: usize) -> FlightRecorder {
    let recorder = FlightRecorder::new(bytes_max);
    for second in 1..=seconds {
        recorder.record(&snapshot(second, routes));
        assert!(recorder.bytes() <= bytes_max, "{} bytes after {second} s", recorder.bytes());
    }
    recorder
}

fn frames(recorder: &FlightRecorder, range: Range) -> Vec<Frame> {
    let excerpt = recorder.excerpt(range);
    let mut decoder = Decoder::new();
    decoder.push(&excerpt.head);
    for frame in excerpt.frames {
        decoder.push(&frame);
    }
    decoder.finish();
    let event = |event| match event {
        Event::Frame(frame) => Some(frame),
        Event::Process(_) => None,
        Event::Damage(damage) => panic!("{damage}"),
    };
    std::iter::from_fn(|| decoder.next_event()).filter_map(event).collect()
}

/// What a future comes to; nothing else is to be waited for.
fn finished<T>(work: impl Future<Output = T>) -> T {
    turns(work).0
}

/// The same, with how many turns it took.
fn turns<T>(work: impl Future<Output = T>) -> (T, usize) {
    let (mut work, mut turns) = (std::pin::pin!(work), 1);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match work.as_mut().poll(&mut context) {
            std::task::Poll::Ready(done) => return (done, turns),
            std::task::Poll::Pending => turns += 1,
        }
    }
}

fn requests(window: &Window) -> u64 {
    let count = |(_, value): (&Labels, &Value)| match value {
        Value::Histogram(histogram) => histogram.count,
        _ => 0,
    };
    window.series("http.server.request.duration").map(count).sum()
}

#[test]
fn a_window_of_any_length_counts_every_second_in_it_once() {
    let recorder = recorded(4_000, 2, 8 << 20);
    for seconds in [1, 2, 9, 10, 59, 60, 61, 299, 300, 3_600, 3_999] {
        let window = finished(recorder.window(Duration::from_secs(seconds)));
        assert_eq!((window.span, requests(&window)), (Duration::from_secs(seconds), seconds * 2), "{seconds} s");
        assert_eq!(window.at, UnixMillis(START + 4_000_000));
    }
}

#[test]
fn shed_seconds_are_counted_in_longer_frames_without_a_gap() {
    let recorder = recorded(4_000, 20, 300 << 10);
    let reach = recorder.reach();
    assert!(reach.lanes[0].shed > 0 && reach.lanes[1].frames > 0, "{reach:?}");
    let all = frames(&recorder, ALL);
    for pair in all.windows(2) {
        assert_eq!(pair[0].uptime, pair[1].uptime.saturating_sub(pair[1].span), "no gap and no overlap");
    }
    let spans: Duration = all.iter().map(|frame| frame.span).sum();
    assert_eq!(reach.from, Some(UnixMillis(START + 4_000_000) - spans));
    let counted = |frame: &Frame| match &frame.values[0].1 {
        Value::Histogram(histogram) => histogram.count,
        other => panic!("{other:?}"),
    };
    assert_eq!(all.iter().map(counted).sum::<u64>(), spans.as_secs());
    assert!(all.last().unwrap().span == STEPS[0] && all[0].span > STEPS[0]);
}

#[test]
fn the_bytes_hold_whatever_is_recorded() {
    for bytes_max in [1 << 10, 20 << 10, 100 << 10] {
        let recorder = FlightRecorder::new(bytes_max);
        (1..300).for_each(|second| recorder.record(&snapshot(second, 500)));
        let coder_alone = 60 << 10; // what must be remembered to count at all
        assert!(recorder.bytes() <= bytes_max.max(coder_alone), "{} of {bytes_max}", recorder.bytes());
    }
}

#[test]
fn a_step_gives_frames_of_that_length_and_seconds_at_the_end() {
    let recorder = recorded(304, 1, 8 << 20);
    let spans: Vec<u64> =
        frames(&recorder, Range { step: STEPS[2], ..ALL }).iter().map(|frame| frame.span.as_secs()).collect();
    assert_eq!(spans, [60, 60, 60, 60, 60, 1, 1, 1, 1]);
    let some = frames(&recorder, Range { from: UnixMillis(START + 300_000), to: UnixMillis(START + 302_000), ..ALL });
    assert_eq!(some.iter().map(|frame| frame.seq).collect::<Vec<_>>(), [301, 302]);
}

#[test]
fn a_reset_begins_views_anew_and_keeps_the_history() {
    let recorder = recorded(100, 1, 8 << 20);
    recorder.reset_views();
    assert_eq!(requests(&finished(recorder.window(Duration::from_mins(1)))), 0);
    recorder.record(&snapshot(101, 1));
    assert_eq!(requests(&finished(recorder.window(Duration::from_mins(1)))), 1);
    assert_eq!(frames(&recorder, ALL).len(), 101);
}

#[test]
fn points_give_what_each_step_counted_and_the_newest_level() {
    let recorder = recorded(120, 3, 8 << 20);
    let range = Range { step: STEPS[1], ..ALL };
    let points = finished(recorder.points("http.server.request.duration", range));
    assert_eq!(points.len(), 12);
    assert!(points.iter().all(|point| point.counted.as_ref().is_some_and(|counted| counted.increase == 30.0)));
    assert_eq!((points[0].at, points[11].at), (UnixMillis(START), UnixMillis(START + 110_000)));
    let memory = finished(recorder.points("process.memory.usage", range));
    assert_eq!(memory.iter().map(|point| point.levels[0]).take(2).collect::<Vec<_>>(), [100.0, 200.0]);
    assert!(
        finished(recorder.points("invented", range))
            .iter()
            .all(|point| point.counted.is_none() && point.levels.is_empty())
    );
}

#[test]
fn an_hour_of_suspend_is_one_long_frame_and_no_panic() {
    let recorder = recorded(30, 1, 8 << 20);
    recorder.record(&snapshot(3_630, 1));
    let window = finished(recorder.window(Duration::from_secs(10)));
    assert_eq!(window.span, Duration::from_hours(1), "the newest frame is always in it, and says how long it is");
    assert_eq!(requests(&finished(recorder.window(Duration::from_hours(2)))), 3_630);
}

#[test]
fn an_empty_recorder_answers_everything() {
    let recorder = FlightRecorder::new(0);
    assert_eq!(finished(recorder.window(Duration::from_mins(1))).span, Duration::ZERO);
    assert!(finished(recorder.points("process.memory.usage", ALL)).is_empty() && recorder.reach().from.is_none());
    recorder.record(&snapshot(1, 10));
    assert_eq!(recorder.excerpt(ALL).frames.len(), 0);
}

#[test]
fn a_long_history_is_summed_up_in_many_short_steps() {
    let recorder = recorded(600, 400, 8 << 20);
    let bytes: usize = recorder.excerpt(ALL).frames.map(|frame| frame.len()).sum();
    assert!(bytes > 20 * window::STEP_BYTES, "{bytes}");
    let range = Range { from: UnixMillis(0), to: UnixMillis(u64::MAX), step: STEPS[1] };
    let (points, taken) = turns(recorder.points("http.server.request.duration", range));
    assert_eq!(points.iter().map(|point| point.counted.as_ref().unwrap().increase).sum::<f64>(), 600.0 * 400.0);
    assert!(taken > 3, "{taken} turns");
    let (whole, taken) = turns(recorder.window(Duration::from_secs(599)));
    assert_eq!((requests(&whole), whole.span), (599 * 400, Duration::from_secs(599)));
    assert!(taken > 3, "{taken} turns");
    assert_eq!(turns(recorder.window(Duration::from_secs(599))).1, 1, "it is remembered");
}

#[test]
fn no_step_reads_much_more_than_its_share() {
    let recorder = recorded(600, 400, 8 << 20);
    let state = recorder.state.lock();
    let frames: Vec<Kept> = state.tape.cover(STEPS[0], Duration::ZERO, Duration::MAX).into_iter().cloned().collect();
    let longest = frames.iter().map(|frame| frame.bytes.len()).max().unwrap();
    let all: usize = frames.iter().map(|frame| frame.bytes.len()).sum::<usize>() + state.head().len();
    let mut summing = Summing::of(frames, state.head());
    let steps: Vec<usize> = std::iter::from_fn(|| Some(summing.step()).filter(|done| *done > 0)).collect();
    assert!(steps.iter().all(|done| *done < window::STEP_BYTES + longest), "{steps:?}");
    assert!(steps.len() > all / (window::STEP_BYTES + longest), "{} steps for {all} bytes", steps.len());
}

#[test]
fn frames_that_come_while_a_window_is_summed_up_do_not_mix_in() {
    let recorder = recorded(300, 400, 8 << 20);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let mut window = std::pin::pin!(recorder.window(Duration::from_mins(5)));
    assert!(window.as_mut().poll(&mut context).is_pending());
    recorder.record(&snapshot(301, 400));
    recorder.reset_views();
    assert_eq!(requests(&finished(window)), 300 * 400);
    assert_eq!(requests(&finished(recorder.window(Duration::from_mins(5)))), 0, "the old one is not remembered");
}
