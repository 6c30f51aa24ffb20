//! What is a leak and what is not, as series of samples.

use proptest::prelude::*;

use super::*;

const MIB: f64 = 1_048_576.0;
const PATIENCE: u64 = 64;

/// Runs the detector over one sample a second and returns the verdict after each.
fn run(seconds: u64, sample: impl FnMut(u64) -> Sample) -> Vec<Verdict> {
    let mut detector = Detector::new(Duration::from_secs(PATIENCE));
    (0..seconds)
        .map(sample)
        .zip(1_000..)
        .map(|(sample, at)| {
            detector.observe(Duration::from_secs(at), sample);
            detector.verdict().clone()
        })
        .collect()
}

fn used(bytes: f64) -> Sample {
    Sample { used: bytes, cached: 0.0, resident: Some(bytes * 1.1), limit: Some(1_024.0 * MIB) }
}

/// The first second at which the verdict is at least `leak`.
fn first(verdicts: &[Verdict], leak: Leak) -> Option<usize> {
    verdicts.iter().position(|verdict| verdict.leak >= leak)
}

/// Repeatable noise from -1 to 1.
fn noise(seed: u64, at: u64) -> f64 {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^= state >> 29;
    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn seconds(second: u64) -> f64 {
    second as f64
}

#[test]
fn a_leak_is_watched_after_a_quarter_of_the_patience_and_suspected_after_all_of_it() {
    let onset = 200;
    let verdicts = run(600, |at| used((64.0 + noise(1, at) * 0.3 + 0.25 * seconds(at.saturating_sub(onset))) * MIB));
    let watched = first(&verdicts, Leak::Watching).unwrap();
    let suspected = first(&verdicts, Leak::Suspected).unwrap();
    assert!((210..240).contains(&watched), "{watched}");
    assert!((240..290).contains(&suspected), "{suspected}");
    assert!(verdicts[suspected..].iter().all(|verdict| verdict.leak == Leak::Suspected));
    let last = verdicts.last().unwrap();
    assert_eq!(last.trend, Trend::Growing);
    assert!((last.growth_bytes_per_second.unwrap() / MIB - 0.25).abs() < 0.01, "{last:?}");
    assert!(last.confidence > 0.9 && last.evidence[0].contains("/s"), "{last:?}");
    let left = last.seconds_to_limit.unwrap();
    let exact = (1_024.0 - 1.1 * 164.0) / (0.25 * 1.1);
    assert!((left / exact - 1.0).abs() < 0.05, "{left} instead of {exact}");
}

#[test]
fn a_leak_that_ends_is_withdrawn() {
    let verdicts = run(500, |at| used((64.0 + 0.25 * seconds(at.clamp(150, 300) - 150)) * MIB));
    let suspected = first(&verdicts, Leak::Suspected).unwrap();
    assert!(suspected < 250, "{suspected}");
    let withdrawn = suspected + verdicts[suspected..].iter().position(|verdict| verdict.leak == Leak::None).unwrap();
    assert!((300..360).contains(&withdrawn), "{withdrawn}");
    let again = withdrawn + first(&verdicts[withdrawn..], Leak::Watching).unwrap_or(0);
    assert_eq!(again, withdrawn, "{:?}", verdicts[again]);
    assert_eq!(verdicts.last().unwrap().trend, Trend::Stable);
    assert_eq!(verdicts.last().unwrap().seconds_to_limit, None);
}

#[test]
fn a_floor_that_falls_back_withdraws_at_once() {
    let verdicts = run(330, |at| used(if at < 300 { 64.0 + 0.25 * seconds(at) } else { 70.0 } * MIB));
    assert_eq!(verdicts[299].leak, Leak::Suspected);
    let withdrawn = 300 + verdicts[300..].iter().position(|verdict| verdict.leak == Leak::None).unwrap();
    assert!(withdrawn <= 304, "{withdrawn}");
}

#[test]
fn a_cache_that_fills_is_no_leak_even_with_overhead_it_does_not_know_of() {
    let fill = |at: u64| (0.5 * seconds(at)).min(150.0) * MIB;
    let verdicts = run(800, |at| Sample { used: 64.0 * MIB + 1.3 * fill(at), cached: fill(at), ..used(0.0) });
    assert_eq!(first(&verdicts, Leak::Watching), None);
}

#[test]
fn a_leak_beside_a_cache_that_fills_is_found() {
    let fill = |at: u64| (0.2 * seconds(at)).min(40.0) * MIB;
    let leak = |at: u64| 0.3 * seconds(at) * MIB;
    let verdicts =
        run(500, |at| Sample { used: 64.0 * MIB + 1.1 * fill(at) + leak(at), cached: fill(at), ..used(0.0) });
    assert!(first(&verdicts, Leak::Suspected).is_some());
    assert!(verdicts.iter().any(|verdict| verdict.evidence.iter().any(|line| line.contains("registered caches"))));
}

#[test]
fn one_step_is_no_leak() {
    for height in [1.0, 20.0, 500.0] {
        let verdicts = run(500, |at| used((64.0 + noise(2, at) * 0.2 + if at < 250 { 0.0 } else { height }) * MIB));
        assert_eq!(first(&verdicts, Leak::Suspected), None, "{height}");
    }
}

#[test]
fn a_rise_that_repeats_itself_is_no_leak_the_second_time() {
    // Six patiences up and down, like a day: the first rise may be suspected, later ones lead nowhere new.
    let period = 6 * PATIENCE;
    let wave = |at: u64| (seconds(at) / seconds(period) * std::f64::consts::TAU).sin();
    let verdicts = run(period * 5, |at| used((100.0 + 30.0 * wave(at)) * MIB));
    let later = usize::try_from(period * 2).unwrap();
    assert_eq!(first(&verdicts[later..], Leak::Suspected), None);
}

#[test]
fn a_falling_floor_is_shrinking() {
    let verdicts = run(200, |at| used((200.0 - 0.5 * seconds(at)) * MIB));
    assert_eq!(verdicts.last().unwrap().trend, Trend::Shrinking);
    assert!(verdicts.last().unwrap().growth_bytes_per_second.unwrap() < 0.0);
}

#[test]
fn a_young_process_is_unknown_and_says_so() {
    let verdicts = run(5, |_| used(MIB));
    assert_eq!(verdicts[4].trend, Trend::Unknown);
    assert_eq!(verdicts[4].growth_bytes_per_second, None);
    assert!(verdicts[4].evidence[0].contains("too little"), "{:?}", verdicts[4]);
}

/// Samples of 300 seconds, eight hours of suspend, and 300 seconds more.
fn with_gap(before: impl Fn(u64) -> f64, after: impl Fn(u64) -> f64) -> [Vec<Leak>; 2] {
    let mut detector = Detector::new(Duration::from_secs(PATIENCE));
    let mut observe = |at: u64, bytes: f64| {
        detector.observe(Duration::from_secs(at), used(bytes));
        detector.verdict().leak
    };
    let first = (0..300).map(|at| observe(at, before(at))).collect();
    [first, (0..300).map(|at| observe(30_000 + at, after(at))).collect()]
}

#[test]
fn what_changed_during_a_gap_is_not_growth() {
    let [before, after] = with_gap(|_| 64.0 * MIB, |_| 200.0 * MIB);
    assert!(before.iter().chain(&after).all(|leak| *leak == Leak::None), "{before:?} {after:?}");
}

#[test]
fn a_suspicion_survives_a_gap_only_as_long_as_growth_goes_on() {
    let leak = |at: u64| (64.0 + 0.25 * seconds(at)) * MIB;
    let [before, after] = with_gap(leak, |at| leak(at + 300));
    assert_eq!((before.last(), after.last()), (Some(&Leak::Suspected), Some(&Leak::Suspected)));
    let [_, calm] = with_gap(leak, |_| leak(300));
    assert_eq!(calm[40], Leak::None, "{calm:?}");
}

#[test]
fn what_is_kept_is_bounded() {
    let mut detector = Detector::new(Duration::from_secs(1));
    let enough = KEPT + (PEAKS_KEPT + 2) * PATIENT;
    for (at, _) in (0..).zip(0..enough) {
        detector.observe(Duration::from_secs(at), used(MIB * (5.0 + noise(3, at))));
    }
    assert_eq!((detector.closed.len(), detector.peaks.len()), (KEPT, PEAKS_KEPT));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn noise_is_never_suspected(seed in any::<u64>(), share in 0.0_f64..0.2) {
        let verdicts = run(700, |at| used(100.0 * MIB * (1.0 + share * noise(seed, at))));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn a_sawtooth_shorter_than_the_patience_is_never_suspected(period in 2_u64..PATIENCE, height in 1.0_f64..200.0) {
        let verdicts = run(900, |at| used((64.0 + height * seconds(at % period) / seconds(period)) * MIB));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn a_warm_up_that_levels_off_is_never_suspected(constant in 2.0_f64..24.0, height in 1.0_f64..300.0, seed in any::<u64>()) {
        let level = |at: u64| height * (1.0 - (-seconds(at) / constant).exp());
        let verdicts = run(700, |at| used((64.0 + level(at) + 0.1 * noise(seed, at)) * MIB));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn every_steady_leak_that_stands_out_is_suspected(rate in 0.1_f64..5.0, seed in any::<u64>(), swing in 0.0_f64..3.0) {
        let verdicts = run(600, |at| used((64.0 + rate * seconds(at) + swing * rate * (1.0 + noise(seed, at))) * MIB));
        let found = first(&verdicts, Leak::Suspected);
        prop_assert!(found.is_some_and(|at| at < 300), "{:?}", found);
        prop_assert_eq!(verdicts.last().unwrap().leak, Leak::Suspected);
    }

    #[test]
    fn broken_samples_and_clocks_change_nothing_and_never_panic(
        samples in prop::collection::vec((0_u64..2_000, prop::num::f64::ANY, prop::num::f64::ANY, prop::option::of(prop::num::f64::ANY)), 0..400),
    ) {
        let mut detector = Detector::new(Duration::from_secs(PATIENCE));
        for (at, bytes, cached, limit) in samples {
            detector.observe(Duration::from_secs(at), Sample { used: bytes, cached, resident: limit, limit });
            let verdict = detector.verdict();
            prop_assert!(verdict.seconds_to_limit.is_none_or(|seconds| !seconds.is_nan() && seconds >= 0.0));
            prop_assert!((0.0..=1.0).contains(&verdict.confidence));
        }
        let before = detector.verdict().clone();
        detector.observe(Duration::from_hours(1), Sample { used: f64::NAN, ..used(0.0) });
        detector.observe(Duration::ZERO, used(5.0 * MIB));
        prop_assert_eq!(&before, detector.verdict());
    }
}
