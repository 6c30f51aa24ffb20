//! What is a leak and what is not, as series of samples on a clock of their own.

use proptest::prelude::*;

use super::*;

const MIB: f64 = 1_048_576.0;
const PATIENCE: Duration = Duration::from_hours(8);
const STEP_SECONDS: u64 = 50;

/// Runs the detector over one sample every 50 seconds; the sample is given the hour. Returns hour and verdict of each.
fn run(hours: f64, sample: impl FnMut(f64) -> MemorySample) -> Vec<(f64, LeakVerdict)> {
    run_with(&mut LeakDetector::new(PATIENCE), hours, sample)
}

fn run_with(
    detector: &mut LeakDetector,
    hours: f64,
    mut sample: impl FnMut(f64) -> MemorySample,
) -> Vec<(f64, LeakVerdict)> {
    let times = (0..).map(|step: u64| step * STEP_SECONDS).take_while(|second| *second as f64 <= hours * 3_600.0);
    let look = |second: u64| {
        let hour = second as f64 / 3_600.0;
        detector.observe(Duration::from_secs(second), sample(hour));
        (hour, detector.verdict().clone())
    };
    times.map(look).collect()
}

fn used(mib: f64) -> MemorySample {
    MemorySample {
        used: mib * MIB,
        cached: 0.0,
        resident: Some(mib * MIB * 1.1),
        limit: Some(4_096.0 * MIB),
        requests_per_second: Some(100.0),
    }
}

/// The first hour at which the verdict is at least `leak`.
fn first(verdicts: &[(f64, LeakVerdict)], leak: Leak) -> Option<f64> {
    verdicts.iter().find(|(_, verdict)| verdict.leak >= leak).map(|(hour, _)| *hour)
}

fn last(verdicts: &[(f64, LeakVerdict)]) -> &LeakVerdict {
    &verdicts.last().unwrap().1
}

/// Repeatable noise from -1 to 1.
fn noise(seed: u64, hour: f64) -> f64 {
    let at = hour.to_bits();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ at.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^= state >> 29;
    (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

#[test]
fn a_leak_from_the_start_is_watched_first_and_suspected_after_the_patience() {
    let verdicts = run(30.0, |hour| used(512.0 + 3.0 * noise(1, hour) + 10.0 * hour));
    let (watched, suspected) = (first(&verdicts, Leak::Watching).unwrap(), first(&verdicts, Leak::Suspected).unwrap());
    assert!((2.0..8.0).contains(&watched), "{watched}");
    assert!((8.0..13.0).contains(&suspected), "{suspected}");
    assert!(verdicts.iter().filter(|(hour, _)| *hour > suspected).all(|(_, it)| it.leak == Leak::Suspected));
    let last = last(&verdicts);
    assert_eq!(last.trend, Trend::Growing);
    let growth = last.growth_bytes_per_second.unwrap() * 3_600.0 / MIB;
    assert!((growth - 10.0).abs() < 0.5, "{growth} MiB/h");
    let [low, high] = last.growth_interval.unwrap().map(|it| it * 3_600.0 / MIB);
    assert!(low < 10.0 && 10.0 < high && high < 13.0, "{low} to {high}");
    assert!(last.confidence > 0.9, "{}", last.confidence);
    let exact = (4_096.0 / 1.1 - 512.0 - 300.0) / 10.0;
    let left = last.seconds_to_limit.unwrap() / 3_600.0;
    assert!((left / exact - 1.0).abs() < 0.15, "{left} instead of {exact}");
    let [low, high] = last.seconds_to_limit_interval.unwrap().map(|it| it / 3_600.0);
    assert!(low < exact && exact < high, "{low} to {high}");
}

#[test]
fn the_evidence_says_how_much_which_scales_agree_and_what_was_ruled_out() {
    let verdicts = run(30.0, |hour| used(512.0 + 3.0 * noise(1, hour) + 10.0 * hour));
    let text = last(&verdicts).evidence.join("\n");
    for said in [
        "the floor of memory rose by",
        "time scales agree",
        "ruled out: a single step",
        "a warm-up",
        "the limit is reached in about",
    ] {
        assert!(text.contains(said), "{said:?} is not in:\n{text}");
    }
}

#[test]
fn a_scale_is_named_once_though_several_windows_are_as_long() {
    let mut detector = LeakDetector::new(Duration::from_secs(45));
    let leak = |second: u64| MemorySample { limit: None, ..used(64.0 + second as f64) };
    for second in 0..240 {
        detector.observe(Duration::from_secs(second), leak(second));
        let said = detector.verdict().evidence.iter().find_map(|line| line.split_once("scales agree: "));
        let mut scales: Vec<&str> = said.map_or_else(Vec::new, |(_, spans)| spans.split(", ").collect());
        let all = scales.len();
        scales.sort_unstable();
        scales.dedup();
        assert_eq!(scales.len(), all, "after {second} s: {:?}", detector.verdict().evidence);
    }
    assert_eq!(detector.verdict().leak, Leak::Suspected);
}

#[test]
fn growth_that_begins_in_a_calm_process_is_suspected_sooner() {
    let verdicts = run(40.0, |hour| used(512.0 + 2.0 * noise(2, hour) + 20.0 * (hour - 24.0).max(0.0)));
    let suspected = first(&verdicts, Leak::Suspected).unwrap();
    assert!((24.0..30.0).contains(&suspected), "{suspected}");
}

#[test]
fn a_leak_that_nears_the_limit_is_suspected_before_the_patience_is_over() {
    let verdicts = run(6.0, |hour| MemorySample { limit: Some(1_024.0 * MIB), ..used(400.0 + 110.0 * hour) });
    let suspected = first(&verdicts, Leak::Suspected).unwrap();
    assert!(suspected < 5.0, "{suspected}");
}

#[test]
fn a_leak_that_speeds_up_is_carried_on_as_such() {
    let verdicts = run(40.0, |hour| used(512.0 + noise(3, hour) + 0.6 * hour * hour));
    let exact = ((4_096.0 / 1.1 - 512.0) / 0.6_f64).sqrt() - 40.0;
    let left = last(&verdicts).seconds_to_limit.unwrap() / 3_600.0;
    let straight = (4_096.0 / 1.1 - 512.0 - 960.0) / 48.0;
    assert!((left / exact - 1.0).abs() < 0.3, "{left} instead of {exact}; a straight line says {straight}");
}

#[test]
fn a_suspicion_is_withdrawn_when_growth_has_ended_and_that_is_said() {
    let verdicts = run(60.0, |hour| used(512.0 + 2.0 * noise(4, hour) + 10.0 * hour.min(20.0)));
    assert!(first(&verdicts, Leak::Suspected).unwrap() < 20.0);
    let last = last(&verdicts);
    assert_eq!((last.leak, last.trend, last.seconds_to_limit), (Leak::None, Trend::Stable, None), "{last:?}");
    let said =
        |(_, it): &(f64, LeakVerdict)| it.evidence.iter().any(|line| line.contains("withdrawn: the growth has ended"));
    assert!(verdicts.iter().any(said));
}

#[test]
fn a_suspicion_of_fast_growth_is_withdrawn_though_its_window_is_judged_no_more() {
    for (rate, ended) in [(110.0, 4.2), (110.0, 4.7), (90.0, 5.0)] {
        let near = |hour: f64| MemorySample { limit: Some(1_024.0 * MIB), ..used(400.0 + rate * hour.min(ended)) };
        let verdicts = run(60.0, near);
        assert!(first(&verdicts, Leak::Suspected).unwrap() < ended + 1.0, "{rate} MiB/h until {ended} h");
        assert_eq!(last(&verdicts).leak, Leak::None, "{rate} MiB/h until {ended} h: {:?}", last(&verdicts));
    }
}

#[test]
fn a_suspicion_is_withdrawn_at_once_when_memory_comes_back() {
    let verdicts = run(24.0, |hour| used(512.0 + noise(5, hour) + if hour < 20.0 { 10.0 * hour } else { 0.0 }));
    let withdrawn = |(hour, it): &&(f64, LeakVerdict)| *hour > 20.0 && it.leak == Leak::None;
    let (hour, verdict) = verdicts.iter().find(withdrawn).unwrap();
    assert!(*hour < 20.3, "{hour}");
    assert!(verdict.evidence[0].contains("withdrawn: memory has come back"), "{:?}", verdict.evidence);
}

#[test]
fn what_was_watched_is_watched_no_more_long_after_it_ended() {
    let filled = |hour: f64| used(512.0 + 5.0 * noise(4, hour) + 10.0 * hour.min(6.0));
    let verdicts = run(40.0, filled);
    assert!(first(&verdicts, Leak::Watching).is_some(), "{:?}", last(&verdicts));
    assert_eq!(first(&verdicts, Leak::Suspected), None);
    assert_eq!((last(&verdicts).leak, last(&verdicts).trend), (Leak::None, Trend::Stable), "{:?}", last(&verdicts));
}

#[test]
fn growth_of_a_megabyte_is_not_worth_a_word() {
    let verdicts = run(60.0, |hour| used(20.0 + 0.12 * hour));
    assert_eq!(first(&verdicts, Leak::Watching), None, "{:?}", last(&verdicts));
}

#[test]
fn the_same_growth_is_worth_a_word_where_the_limit_is_small() {
    let verdicts = run(60.0, |hour| MemorySample { limit: Some(32.0 * MIB), ..used(20.0 + 0.12 * hour) });
    assert!(first(&verdicts, Leak::Suspected).is_some(), "{:?}", last(&verdicts));
}

#[test]
fn what_registered_caches_hold_is_no_leak_even_with_overhead() {
    let fill = |hour: f64| (8.0 * hour).min(400.0);
    let verdicts =
        run(80.0, |hour| MemorySample { cached: fill(hour) * MIB, ..used(300.0 + 1.3 * fill(hour) + noise(6, hour)) });
    assert_eq!(first(&verdicts, Leak::Suspected), None, "{:?}", last(&verdicts));
}

#[test]
fn a_leak_beside_a_cache_that_fills_is_found() {
    let fill = |hour: f64| (4.0 * hour).min(200.0);
    let leak = |hour: f64| 8.0 * hour;
    let verdicts =
        run(30.0, |hour| MemorySample { cached: fill(hour) * MIB, ..used(300.0 + 1.05 * fill(hour) + leak(hour)) });
    assert!(first(&verdicts, Leak::Suspected).is_some());
    let text = last(&verdicts).evidence.join("\n");
    assert!(text.contains("that registered caches grew by are not counted"), "{text}");
}

#[test]
fn memory_that_follows_the_load_is_no_leak() {
    let load = |hour: f64| 100.0 * (1.0 + 2.0 * ((hour - 20.0) / 10.0).clamp(0.0, 1.0)) * (1.0 + 0.1 * noise(7, hour));
    let verdicts =
        run(80.0, |hour| MemorySample { requests_per_second: Some(load(hour)), ..used(300.0 + 1.5 * load(hour)) });
    assert_eq!(first(&verdicts, Leak::Suspected), None, "{:?}", last(&verdicts));
}

/// Whether it is ever suspected, with thresholds changed.
fn suspects(thresholds: &[(&str, f64)], hours: f64, sample: impl FnMut(f64) -> MemorySample) -> bool {
    let changed = |detector: LeakDetector, (name, value): &(&str, f64)| detector.with_threshold(name, *value);
    let mut detector = thresholds.iter().try_fold(LeakDetector::new(PATIENCE), changed).unwrap();
    first(&run_with(&mut detector, hours, sample), Leak::Suspected).is_some()
}

#[test]
fn a_feature_that_is_switched_on_for_ever_more_users_is_no_leak() {
    let held = |hour: f64| {
        let share: f64 = [(20.0, 0.05), (22.0, 0.15), (24.0, 0.3), (26.0, 0.5)]
            .map(|(begins, more)| more * (1.0 - (-(hour - begins).max(0.0)).exp()))
            .iter()
            .sum();
        used(512.0 + noise(15, hour) + 120.0 * share)
    };
    assert!(!suspects(&[], 60.0, held));
    let eager = [("late_even", -9.0), ("late_over_stairs", 0.0), ("late_great", 0.0), ("late", 0.5)];
    assert!(suspects(&eager, 60.0, held), "this is what those thresholds are for");
}

#[test]
fn buffers_that_grew_with_the_users_of_another_region_are_no_leak() {
    let here = |hour: f64| 0.5 * (((hour - 30.0) / 3.0).tanh() - ((hour - 60.0) / 3.0).tanh());
    let load = |hour: f64| 100.0 * (1.0 + here(hour)) * (1.0 + 0.4 * (hour / 24.0 * std::f64::consts::TAU).sin());
    let mut largest = 0.0_f64;
    let mut held = |hour: f64| {
        largest = if hour <= 0.0 { 0.0 } else { largest.max(load(hour)) };
        MemorySample { requests_per_second: Some(load(hour)), ..used(512.0 + noise(16, hour) + 0.6 * largest) }
    };
    assert!(!suspects(&[], 96.0, &mut held));
}

#[test]
fn names_that_are_learnt_ever_more_slowly_are_no_leak() {
    for share in [0.3, 0.4, 0.5] {
        let learnt = |hour: f64| used(512.0 + noise(17, hour) + 60.0 * hour.powf(share));
        assert!(!suspects(&[], 72.0, learnt), "{share}");
    }
}

#[test]
fn a_leak_that_begins_late_under_a_daily_load_is_found() {
    let load = |hour: f64| 100.0 * (1.0 + 0.5 * (hour / 24.0 * std::f64::consts::TAU).sin());
    let held = |hour: f64| MemorySample {
        requests_per_second: Some(load(hour)),
        ..used(512.0 + noise(18, hour) + 0.5 * load(hour) + 12.0 * (hour - 48.0).max(0.0))
    };
    assert!(suspects(&[], 72.0, held));
}

#[test]
fn a_leak_per_request_is_found_under_a_daily_load() {
    let mut leaked = 0.0;
    let verdicts = run(96.0, |hour| {
        let load = 100.0 * (1.2 + (hour / 24.0 * std::f64::consts::TAU).sin());
        leaked += load * 0.0006;
        MemorySample { requests_per_second: Some(load), ..used(400.0 + 0.5 * load + leaked + noise(8, hour)) }
    });
    assert!(first(&verdicts, Leak::Suspected).is_some_and(|hour| hour < 60.0));
}

#[test]
fn memory_outside_the_allocator_is_called_that() {
    let verdicts =
        run(60.0, |hour| MemorySample { resident: Some((600.0 + 8.0 * hour) * MIB), ..used(500.0 + noise(9, hour)) });
    assert!(first(&verdicts, Leak::Suspected).is_some());
    let text = last(&verdicts).evidence.join("\n");
    assert!(text.contains("memory outside the allocator, or fragmentation"), "{text}");
}

#[test]
fn a_life_that_leaked_makes_the_next_one_suspect_sooner() {
    let mut detector = LeakDetector::new(PATIENCE);
    let leak = |hour: f64| used(512.0 + noise(10, hour) + 12.0 * hour);
    let fresh = first(&run_with(&mut detector, 14.0, leak), Leak::Suspected).unwrap();
    detector.restart();
    let again = first(&run_with(&mut detector, 14.0, leak), Leak::Suspected).unwrap();
    assert!(again < 0.6 * fresh, "{fresh} h, then {again} h");
    let calm = first(&run_with(&mut LeakDetector::new(PATIENCE), 14.0, |_| used(512.0)), Leak::Watching);
    assert_eq!(calm, None);
}

#[test]
fn a_falling_floor_is_shrinking_and_a_young_process_unknown() {
    let verdicts = run(12.0, |hour| used(900.0 - 20.0 * hour));
    assert_eq!(verdicts[10].1.trend, Trend::Unknown);
    assert_eq!(verdicts[10].1.growth_bytes_per_second, None);
    assert_eq!(last(&verdicts).trend, Trend::Shrinking);
    assert!(last(&verdicts).growth_bytes_per_second.unwrap() < 0.0);
}

#[test]
fn a_short_patience_finds_a_leak_within_a_minute_of_its_beginning() {
    let mut detector = LeakDetector::new(Duration::from_secs(45));
    let mut suspected = None;
    for second in 0..240 {
        let leaked = 4.0 * second.max(120) as f64 - 480.0;
        detector.observe(Duration::from_secs(second), used(120.0 + 0.5 * noise(11, second as f64) + leaked));
        if detector.verdict().leak == Leak::Suspected {
            suspected.get_or_insert(second);
        }
    }
    assert!(suspected.is_some_and(|second| (120..180).contains(&second)), "{suspected:?}");
}

#[test]
fn what_changed_while_nobody_looked_is_not_growth() {
    let mut detector = LeakDetector::new(PATIENCE);
    for (offset, mib) in [(0, 300.0), (40 * 3_600, 900.0), (4_000 * 3_600, 1_500.0)] {
        for second in (0..12 * 3_600).step_by(30) {
            detector.observe(Duration::from_secs(offset + second), used(mib + noise(12, second as f64)));
            assert_eq!(detector.verdict().leak, Leak::None, "{offset} {second}");
        }
    }
}

#[test]
fn the_state_of_a_detector_stays_below_its_limit_in_a_week_of_samples_each_second() {
    let mut detector = LeakDetector::new(PATIENCE);
    let mut largest = 0;
    for second in 0..7 * 86_400 {
        let hour = second as f64 / 3_600.0;
        let load = 100.0 * (1.2 + (hour / 24.0 * std::f64::consts::TAU).sin());
        let mib = 512.0 + 0.3 * load + 2.0 * noise(13, hour) + 2.0 * hour;
        detector.observe(Duration::from_secs(second), MemorySample { requests_per_second: Some(load), ..used(mib) });
        largest = largest.max(detector.state_bytes());
    }
    assert_eq!(detector.verdict().leak, Leak::Suspected);
    assert!(largest < 256 * 1024, "{largest}");
}

#[test]
fn a_look_is_spread_over_the_samples_of_a_second_each_and_done_at_once_where_they_are_rare() {
    let steps_of = |apart: u64| {
        let mut detector = LeakDetector::new(PATIENCE);
        let mut waited = Vec::new();
        for second in (0..12 * 3_600).step_by(usize::try_from(apart).unwrap()) {
            detector.observe(Duration::from_secs(second), used(512.0 + 0.002 * second as f64));
            waited.push(detector.work.is_some());
        }
        waited.iter().filter(|waits| **waits).count()
    };
    assert!(steps_of(1) > 1_000, "most of a look waits for later samples");
    let rare = steps_of(300);
    assert!(rare < 10, "next to nothing waits for minutes: {rare}");
}

#[test]
fn a_million_broken_samples_are_no_leak_and_no_panic() {
    let mut detector = LeakDetector::new(PATIENCE);
    let mut second = 0_u64;
    for number in 0..1_000_000_u64 {
        let chance = noise(14, number as f64);
        second = match number % 97 {
            0 if chance > 0.9 => second + 50_000,
            1 => second.saturating_sub(30),
            _ => second + 2,
        };
        let good = used(512.0 * (1.0 + 0.02 * chance));
        let sample = match number % 31 {
            0 => MemorySample { used: f64::NAN, ..good },
            1 => MemorySample { limit: Some(0.0), ..good },
            2 => MemorySample { requests_per_second: Some(f64::INFINITY), ..good },
            3 => MemorySample { resident: Some(-1.0), cached: f64::NAN, ..good },
            4 => MemorySample { limit: None, resident: None, requests_per_second: None, ..good },
            5 => MemorySample { cached: 1e30, ..good },
            _ => good,
        };
        if number % 150_000 == 149_999 {
            detector.restart();
        }
        detector.observe(Duration::from_secs(second), sample);
        assert_eq!(detector.verdict().leak, Leak::None, "sample {number}: {:?}", detector.verdict());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4))]

    #[test]
    fn noise_is_never_suspected(seed in any::<u64>(), share in 0.0_f64..0.1) {
        let verdicts = run(48.0, |hour| used(512.0 * (1.0 + share * noise(seed, hour))));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn one_step_is_never_suspected(at in 2.0_f64..40.0, height in 10.0_f64..1_000.0, seed in any::<u64>()) {
        let verdicts = run(48.0, |hour| used(512.0 + noise(seed, hour) + if hour < at { 0.0 } else { height }));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn a_sawtooth_is_never_suspected(period in 0.1_f64..6.0, height in 10.0_f64..500.0) {
        let verdicts = run(48.0, |hour| used(512.0 + height * (hour % period) / period));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn a_warm_up_that_levels_off_is_never_suspected(hours in 0.2_f64..6.0, height in 10.0_f64..1_000.0, seed in any::<u64>()) {
        let verdicts = run(48.0, |hour| used(512.0 + noise(seed, hour) + height * (1.0 - (-hour / hours).exp())));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn a_cache_that_fills_within_the_patience_is_never_suspected(hours in 0.2_f64..7.5, height in 20.0_f64..600.0, seed in any::<u64>()) {
        let verdicts = run(48.0, |hour| used(512.0 + noise(seed, hour) + height * (hour / hours).min(1.0)));
        prop_assert_eq!(first(&verdicts, Leak::Suspected), None);
    }

    #[test]
    fn every_steady_leak_is_suspected(percent_per_hour in 1.0_f64..5.0, seed in any::<u64>(), swing in 0.0_f64..4.0) {
        let verdicts = run(26.0, |hour| used(512.0 * (1.0 + percent_per_hour / 100.0 * hour) + swing * noise(seed, hour)));
        prop_assert!(first(&verdicts, Leak::Suspected).is_some_and(|hour| hour < 25.0));
        prop_assert_eq!(last(&verdicts).leak, Leak::Suspected);
    }

    #[test]
    fn broken_samples_and_clocks_never_panic(
        samples in prop::collection::vec((0_u64..200_000, prop::num::f64::ANY, prop::num::f64::ANY, prop::option::of(prop::num::f64::ANY)), 0..400),
    ) {
        let mut detector = LeakDetector::new(Duration::from_secs(45));
        for (at, used, cached, limit) in samples {
            let sample = MemorySample { used, cached, resident: limit, limit, requests_per_second: limit };
            detector.observe(Duration::from_secs(at), sample);
            let verdict = detector.verdict();
            prop_assert!(verdict.seconds_to_limit.is_none_or(|seconds| !seconds.is_nan() && seconds >= 0.0));
            prop_assert!((0.0..=1.0).contains(&verdict.confidence));
        }
    }
}
