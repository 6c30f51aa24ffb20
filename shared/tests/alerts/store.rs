//! The sample store: what it keeps, what it drops, and that it stays within its limits.

use std::time::Duration;

use heartline_shared::alerts::{AlertFile, Engine, Needs, SampleLimits, Samples, TargetKey};
use heartline_shared::buckets::GridKind;
use heartline_shared::{Grid, Histogram, UnixMillis};

use crate::documents::{Document, TARGET};

const START: UnixMillis = UnixMillis(1_700_000_100_000);
const RULES: &str = "
version = 1
[[alert]]
name = 'Latency'
signal = 'p95(http.server.request.duration)'
warning = '> 1s'
[[alert]]
name = 'Depth'
signal = 'last(heartline.job.count)'
warning = '> 10'
by = ['job', 'instance', 'queue.name']
";

fn rules() -> AlertFile {
    AlertFile::parse(RULES, "rules").unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn depth(queue: &str, depth: f64) -> Document {
    Document::new().number("heartline.job.count", &[("queue.name", queue)], depth)
}

fn second(at: u64) -> UnixMillis {
    START + Duration::from_secs(at)
}

#[test]
fn keeps_only_what_a_rule_names() {
    let mut samples = Samples::for_file(&rules());
    let document = depth("q", 1.0).number("process.uptime", &[], 5.0);
    samples.record(&TARGET.key(), &document.snapshot(), START);
    assert_eq!(samples.usage().series, 1);
    assert!(Needs::of(&rules()).metrics().eq(["heartline.job.count", "http.server.request.duration"]));
}

#[test]
fn a_document_that_is_not_newer_is_not_taken() {
    let mut samples = Samples::for_file(&rules());
    assert!(samples.record(&TARGET.key(), &depth("q", 1.0).snapshot(), second(1)));
    assert!(!samples.record(&TARGET.key(), &depth("q", 2.0).snapshot(), second(1)));
    assert!(!samples.record(&TARGET.key(), &depth("q", 2.0).snapshot(), second(0)));
}

#[test]
fn a_day_of_samples_costs_what_its_window_costs() {
    let mut samples = Samples::for_file(&rules());
    let mut used = Vec::new();
    for minute in 0..24 * 60_u32 {
        samples.record(&TARGET.key(), &depth("q", f64::from(minute)).snapshot(), second(u64::from(minute) * 60));
        used.push(samples.usage().bytes);
    }
    assert_eq!(used[20], *used.last().unwrap());
    assert_eq!(samples.usage().samples_dropped, 0, "what leaves its window is not dropped early");
}

#[test]
fn an_idle_histogram_costs_a_fraction_of_a_busy_one() {
    let (mut idle, mut busy) = (Samples::for_file(&rules()), Samples::for_file(&rules()));
    let grid = Grid::of(GridKind::Duration);
    let mut growing = Histogram::default();
    for at in 0..300 {
        growing.record(&grid, 20_000_000);
        let still = Document::new().histogram("http.server.request.duration", Histogram::default());
        let moving = Document::new().histogram("http.server.request.duration", growing.clone());
        idle.record(&TARGET.key(), &still.snapshot(), second(at));
        busy.record(&TARGET.key(), &moving.snapshot(), second(at));
    }
    let (idle, busy) = (idle.usage().bytes, busy.usage().bytes);
    assert!(idle * 8 < busy, "{idle} and {busy} bytes");
    assert!(busy < 300 * 256, "{busy} bytes for five minutes of one series");
}

#[test]
fn stays_within_its_bytes_and_counts_what_it_drops() {
    let limits = SampleLimits { bytes_max: 20_000, series_max: 1_000 };
    let mut samples = Samples::new(Needs::of(&rules()), limits);
    for at in 0..360 {
        let document = ["a", "b", "c", "d", "e", "f"].iter().fold(Document::new(), |document, queue| {
            document.number("heartline.job.count", &[("queue.name", queue)], at as f64)
        });
        samples.record(&TARGET.key(), &document.snapshot(), second(at));
        assert!(samples.usage().bytes <= 20_000, "{:?}", samples.usage());
    }
    let usage = samples.usage();
    assert!(usage.samples_thinned > 0 && usage.samples_dropped == 0, "{usage:?}");
    let mut engine = Engine::new(&rules());
    engine.evaluate(&samples, second(359));
    assert_eq!(engine.values("Depth").count(), 6, "the newest samples of every series are still there");
}

#[test]
fn a_rate_survives_thinning() {
    let rules = "version = 1\n[[alert]]\nname = 'Rate'\nsignal = 'rate(heartline.job.enqueued)'\nwarning = '> 100/s'";
    let file = AlertFile::parse(rules, "rules").unwrap();
    let rate = |bytes_max| {
        let mut samples = Samples::new(Needs::of(&file), SampleLimits { bytes_max, series_max: 10 });
        for at in 0..=390_u32 {
            let document = Document::new().number("heartline.job.enqueued", &[], f64::from(at) * 7.0);
            samples.record(&TARGET.key(), &document.snapshot(), second(u64::from(at)));
        }
        let mut engine = Engine::new(&file);
        engine.evaluate(&samples, second(390));
        let rate = engine.values("Rate").next().map(|(_, value)| value).unwrap();
        (rate, samples.usage().samples_thinned)
    };
    let ((whole, none), (thinned, many)) = (rate(1 << 20), rate(3_000));
    assert!(none == 0 && many > 100, "{many} thinned out");
    assert!((whole - 7.0).abs() < 1e-9 && (thinned - 7.0).abs() < 0.05, "{whole} and {thinned} a second");
}

#[test]
fn drops_the_oldest_when_thinning_does_not_suffice() {
    let limits = SampleLimits { bytes_max: 600, series_max: 10 };
    let mut samples = Samples::new(Needs::of(&rules()), limits);
    for at in 0..375 {
        samples.record(&TARGET.key(), &depth("q", 1.0).snapshot(), second(at));
        assert!(samples.usage().bytes <= 600, "{:?}", samples.usage());
    }
    assert!(samples.usage().samples_dropped > 0);
    assert!(samples.oldest("heartline.job.count") > Some(second(1)));
}

#[test]
fn refuses_series_beyond_the_limit_and_counts_them() {
    let limits = SampleLimits { series_max: 2, ..SampleLimits::default() };
    let mut samples = Samples::new(Needs::of(&rules()), limits);
    for queue in ["a", "b", "c", "d"] {
        let target = TargetKey { job: queue.to_owned(), instance: "1".to_owned() };
        samples.record(&target, &depth(queue, 1.0).snapshot(), START);
    }
    assert_eq!((samples.usage().series, samples.usage().samples_refused), (2, 2));
}

#[test]
fn a_target_that_is_gone_is_forgotten() {
    let mut samples = Samples::for_file(&rules());
    let gone = TargetKey { job: "gone".to_owned(), instance: "1".to_owned() };
    samples.record(&gone, &depth("q", 1.0).snapshot(), START);
    samples.record(&TARGET.key(), &depth("q", 1.0).snapshot(), second(3_600));
    assert!(samples.targets().eq([&TARGET.key()]));
}

#[test]
fn a_series_that_vanished_has_no_value_of_the_moment() {
    let file = rules();
    let (mut samples, mut engine) = (Samples::for_file(&file), Engine::new(&file));
    samples.record(&TARGET.key(), &depth("old", 1.0).snapshot(), second(0));
    samples.record(&TARGET.key(), &depth("new", 1.0).snapshot(), second(5));
    engine.evaluate(&samples, second(15));
    let queues: Vec<&str> = engine.values("Depth").filter_map(|(labels, _)| labels.value("queue.name")).collect();
    assert_eq!(queues, ["new"]);
    samples.mark_stale(&TARGET.key(), second(16));
    engine.evaluate(&samples, second(30));
    assert_eq!(engine.values("Depth").count(), 0);
}

#[test]
fn fewer_needs_free_what_nobody_needs() {
    let mut samples = Samples::for_file(&rules());
    samples.record(&TARGET.key(), &depth("q", 1.0).snapshot(), START);
    let other = AlertFile::parse("version = 1\n[[alert]]\nname='A'\nsignal='http.rate'\nwarning='> 1/s'", "r").unwrap();
    samples.set_needs(Needs::of(&other));
    assert_eq!(samples.usage().series, 0);
}
