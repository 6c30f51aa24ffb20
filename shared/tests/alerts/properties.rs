//! Rates, quantiles and regressions of the engine against naive references written from Prometheus' documentation.

use heartline_shared::alerts::{AlertFile, Engine, Samples, TargetKey};
use heartline_shared::buckets::GridKind;
use heartline_shared::catalog::{self, Kind};
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries, SCHEMA_VERSION};
use heartline_shared::{Grid, Histogram, Labels, Snapshot, UnixMillis};
use proptest::prelude::*;

const START: u64 = 1_700_000_010_000; // not aligned with anything
const EVERY: u64 = 15_000;
const WINDOW: u64 = 60_000;

fn snapshot(families: Vec<Family>) -> Snapshot {
    let (service, instance_id) = ("a".to_owned(), "1".to_owned());
    Snapshot { schema_version: SCHEMA_VERSION, service, instance_id, metrics: families, ..Snapshot::default() }
}

fn family(name: &'static str) -> Family {
    let metric = catalog::find(name).unwrap();
    let (kind, unit) = (metric.kind, metric.unit.into());
    Family { name: name.into(), kind, unit, help: None, numbers: Vec::new(), histograms: Vec::new() }
}

fn counted(name: &'static str, value: f64) -> Snapshot {
    let mut family = family(name);
    assert_ne!(family.kind, Kind::Histogram);
    family.numbers.push(NumberSeries { labels: Labels::empty(), value });
    snapshot(vec![family])
}

fn timed(histogram: Histogram) -> Snapshot {
    let mut family = family("http.server.request.duration");
    family.histograms.push(HistogramSeries { labels: Labels::empty(), histogram });
    snapshot(vec![family])
}

/// The value of `signal` over a minute at the newest evaluation before the end of `documents`, and when that was.
fn value_of(signal: &str, unit: &str, documents: &[(u64, Snapshot)]) -> (Option<f64>, u64) {
    let condition = format!("< 0{unit}");
    let rules = format!(
        "version = 1\n[[alert]]\nname = \"A\"\nover = \"1m\"\nwarning = \"{condition}\"\nsignal = \"{signal}\"\n"
    );
    let file = AlertFile::parse(&rules, "rules").unwrap_or_else(|faults| panic!("{}", faults[0]));
    let (mut samples, mut engine) = (Samples::for_file(&file), Engine::new(&file));
    let target = TargetKey { job: "a".to_owned(), instance: "1".to_owned() };
    for (at, document) in documents {
        document.validate().unwrap();
        assert!(samples.record(&target, document, UnixMillis(*at)));
    }
    let last = documents.last().map_or(START, |(at, _)| *at);
    engine.evaluate(&samples, UnixMillis(last));
    (engine.values("A").next().map(|(_, value)| value), last / EVERY * EVERY)
}

/// Increase over `(at - window, at]`, as the documentation of `extrapolatedRate` puts it: in seconds, step by step.
fn naive_increase(points: &[(u64, f64)], at: u64) -> Option<f64> {
    let inside: Vec<(f64, f64)> = points
        .iter()
        .filter(|(time, _)| *time > at - WINDOW && *time <= at)
        .map(|(time, value)| ((*time as f64 - at as f64) / 1000.0, *value))
        .collect();
    if inside.len() < 2 {
        return None;
    }
    let mut total = 0.0;
    for pair in inside.windows(2) {
        let (before, after) = (pair[0].1, pair[1].1);
        total += if after < before { after } else { after - before };
    }
    let (first, last) = (inside[0], inside[inside.len() - 1]);
    let (sampled, gaps) = (last.0 - first.0, (inside.len() - 1) as f64);
    let average = sampled / gaps;
    let (before, after) = (first.0 + WINDOW as f64 / 1000.0, -last.0);
    let edge = |gap: f64| if gap < average * 1.1 { gap } else { average / 2.0 };
    let mut start = edge(before);
    if total > 0.0 {
        start = start.min(sampled * first.1 / total);
    }
    Some(total * (sampled + start + edge(after)) / sampled)
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs()).max(1e-6)
}

prop_compose! {
    /// Times with gaps of 1 to 40 s, and increments with a reset here and there.
    fn walk()(steps in prop::collection::vec((1_000_u64..40_000, 0_u32..500, prop::bool::weighted(0.1)), 1..30)) -> Vec<(u64, f64)> {
        let (mut at, mut value) = (START, 0.0);
        steps.into_iter().map(|(gap, grown, restarts)| {
            at += gap;
            value = if restarts { 0.0 } else { value } + f64::from(grown);
            (at, value)
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_increase_is_what_the_naive_reference_gives(points in walk()) {
        let documents: Vec<(u64, Snapshot)> =
            points.iter().map(|(at, value)| (*at, counted("heartline.job.enqueued", *value))).collect();
        let (found, at) = value_of("increase(heartline.job.enqueued)", "", &documents);
        let (rate, _) = value_of("rate(heartline.job.enqueued)", "/s", &documents);
        let Some(expected) = naive_increase(&points, at) else {
            prop_assert_eq!(found, None);
            return Ok(());
        };
        prop_assert!(close(found.unwrap(), expected), "{found:?} instead of {expected}");
        prop_assert!(close(rate.unwrap() * 60.0, expected), "{rate:?} instead of {expected} a minute");
        prop_assert!(expected >= 0.0);
    }

    #[test]
    fn a_quantile_lies_in_the_bucket_of_the_true_quantile(
        batches in prop::collection::vec(prop::collection::vec(1_u64..12_000, 0..20), 4..12),
        q in 1_u32..100,
    ) {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        // Documents every 5 s, aligned with the evaluation, so that every increment after the first is in the window.
        let documents: Vec<(u64, Snapshot)> = batches.iter().enumerate().map(|(step, batch)| {
            if step > 0 {
                for millis in batch {
                    histogram.record(&grid, millis * 1_000_000);
                }
            }
            (START / 60_000 * 60_000 + 65_000 - (batches.len() - step) as u64 * 5_000, timed(histogram.clone()))
        }).collect();
        let (found, _) = value_of(&format!("quantile(http.server.request.duration, 0.{q:02})"), "s", &documents);
        let mut all: Vec<u64> = batches.iter().skip(1).flatten().copied().collect();
        all.sort_unstable();
        let Some(found) = found else { return Err(TestCaseError::fail("no value")) };
        if all.is_empty() {
            prop_assert!(found.is_nan());
            return Ok(());
        }
        let rank = (f64::from(q) / 100.0 * all.len() as f64).ceil().max(1.0) as usize;
        let exact = all[rank - 1] as f64 / 1000.0;
        let bounds = catalog::find("http.server.request.duration").unwrap().boundaries;
        let upper = bounds.iter().position(|bound| exact <= *bound);
        let (lower, upper) = match upper {
            Some(0) => (0.0, bounds[0]),
            Some(at) => (bounds[at - 1], bounds[at]),
            None => (*bounds.last().unwrap(), *bounds.last().unwrap()),
        };
        prop_assert!(found >= lower - 1e-9 && found <= upper + 1e-9, "{found} outside {lower}..{upper}, exact {exact}");
    }

    #[test]
    fn a_slope_is_the_least_squares_line(points in walk()) {
        let documents: Vec<(u64, Snapshot)> =
            points.iter().map(|(at, value)| (*at, counted("heartline.job.count", *value))).collect();
        let (found, at) = value_of("slope(heartline.job.count)", "/s", &documents);
        let inside: Vec<(f64, f64)> = points.iter().filter(|(time, _)| *time > at - WINDOW && *time <= at)
            .map(|(time, value)| ((*time - START) as f64 / 1000.0, *value)).collect();
        if inside.len() < 2 {
            prop_assert_eq!(found, None);
            return Ok(());
        }
        let n = inside.len() as f64;
        let (mean_x, mean_y) = (inside.iter().map(|it| it.0).sum::<f64>() / n, inside.iter().map(|it| it.1).sum::<f64>() / n);
        let top: f64 = inside.iter().map(|it| (it.0 - mean_x) * (it.1 - mean_y)).sum();
        let bottom: f64 = inside.iter().map(|it| (it.0 - mean_x).powi(2)).sum();
        let expected = top / bottom;
        prop_assert!((found.unwrap() - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{found:?} instead of {expected}");
    }
}
