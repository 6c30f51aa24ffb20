//! Which call sites grow: the history of the largest, their slopes, and what these explain of the growth of all. Pure;
//! time is what was sampled of it, and pauses do not count.
//!
//! Samples of a leak arrive by chance: `n` of them leave a relative error of 1/√n at their end, and a line through all of
//! such a random walk has 6/5 of that variance (by least squares, ∬ 144 (s − ½)(t − ½) min(s, t) ds dt over the unit square).
//! Every interval here has it beside the scatter around the line.

use std::cmp::Reverse;

use heartline_shared::snapshot::{HEAP_SITES_MAX, HeapSite, HeapSites};

use super::site::spelled;
use crate::heap::slope::Slope;
use crate::symbols::Frame;

/// Call sites with a history.
pub(super) const SITES_MAX: usize = 64;
/// Moments that are kept; with all sites about 13 KiB. Then every other is forgotten.
const POINTS_MAX: usize = 48;
/// From so many on, growth is judged, without the first quarter: what is allocated and freed in turn rises at first.
const POINTS_MIN: usize = 6;
const WARM_UP: usize = 4;
/// A site grows when its growth is this many standard errors of the samples.
const CERTAIN_Z: f64 = 3.0;
/// Standard deviations of an interval that holds the truth in nine of ten cases.
const INTERVAL_Z: f64 = 1.645;
/// The variance of a slope through a random walk, by that of its last point.
const WALK: f64 = 1.2;
/// In the last third it must go on at this share of its pace. Where samples are too few to tell, this share of what it
/// allocated must stay: what is in use for a while also rises from nothing once sampling begins.
const PACE_MIN: f64 = 0.35;
const PACE_FROM_Z: f64 = 6.0;
const STAYS_MIN: f64 = 0.5;
/// Bytes of this many samples must be held for their survival to be told.
const SURVIVAL_SAMPLES_MIN: f64 = 8.0;
/// Sites explain the growth when they add up to this share of it.
const EXPLAINED: std::ops::Range<f64> = 0.7..1.3;
/// Growth of registered caches is mentioned from this share of all growth on.
const CACHES_WORTH: f64 = 0.2;
const MIB: f64 = 1_048_576.0;

/// What all code together holds at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Totals {
    /// Bytes allocated beyond those at the beginning.
    pub(super) allocated: f64,
    /// Bytes of registered caches beyond those at the beginning.
    pub(super) cached: f64,
}

/// The history of the largest call sites.
#[derive(Debug, Clone, Default)]
pub(super) struct Growth {
    /// Seconds of sampling.
    times: Vec<f64>,
    totals: Vec<Totals>,
    tracks: Vec<Track>,
    /// Points that are closer than this to the one before replace the last.
    step: f64,
}

#[derive(Debug, Clone)]
struct Track {
    site: Frame,
    bytes: Vec<f32>,
    newest: f64,
    held: Option<f64>,
    survival: Option<f64>,
}

/// The growth of one series over the judged part of the history.
#[derive(Debug, Clone, Copy)]
struct Pace {
    slope: Slope,
    grown: f64,
    last_third: f64,
}

impl Growth {
    /// Adds what `sites` hold after `at` seconds of sampling. Sites that are not named hold nothing.
    pub(super) fn take(&mut self, at: f64, totals: Totals, sites: &[(Frame, f64)]) {
        self.admit(sites);
        let replaces = self.times.len() >= 2 && at - self.times[self.times.len() - 2] < self.step;
        if replaces {
            self.drop_last();
        }
        self.times.push(at);
        self.totals.push(totals);
        for track in &mut self.tracks {
            #[expect(clippy::cast_possible_truncation, reason = "an estimate; seven digits are plenty")]
            track.bytes.push(track.newest as f32);
        }
        if self.times.len() > POINTS_MAX {
            self.thin();
        }
    }

    /// Remembers what each site holds: from now on nothing new is sampled.
    pub(super) fn hold(&mut self) {
        self.tracks.iter_mut().for_each(|track| track.held = Some(track.newest));
    }

    /// What is left of it after a while.
    pub(super) fn release(&mut self, sites: &[(Frame, f64)], sample_bytes: f64) {
        for track in &mut self.tracks {
            let left = sites.iter().find(|(site, _)| *site == track.site).map_or(0.0, |(_, bytes)| *bytes);
            let held = track.held.take().filter(|held| *held >= SURVIVAL_SAMPLES_MIN * sample_bytes);
            track.survival = held.map(|held| (left / held).clamp(0.0, 1.0)).or(track.survival);
        }
    }

    /// The sites, those that grow first, with what they explain.
    pub(super) fn read(&self, sample_bytes: f64) -> HeapSites {
        let total = self.pace(|at| self.totals[at].allocated);
        let growth = total.map(|pace| pace.slope.median);
        let rising = total.filter(|pace| pace.slope.low > 0.0 && pace.grown > 4.0 * sample_bytes);
        let mut sites: Vec<HeapSite> = self.tracks.iter().map(|track| self.site(track, sample_bytes)).collect();
        sites.retain(|site| site.live_bytes > 0);
        for site in &mut sites {
            let of = |growth: f64| rising.map(|pace| growth / pace.slope.median);
            site.share = site.growth_bytes_per_second.and_then(of);
        }
        sites.sort_by(|a, b| {
            let growth = |site: &HeapSite| site.growth_bytes_per_second.unwrap_or(0.0);
            growth(b).total_cmp(&growth(a)).then(b.live_bytes.cmp(&a.live_bytes))
        });
        let explained: f64 = sites.iter().filter_map(|site| site.growth_bytes_per_second).sum();
        // without any name there is nothing to compare; an empty sum is -0
        let explained = rising.filter(|_| !sites.is_empty()).map(|pace| explained / pace.slope.median + 0.0);
        let cached = self.pace(|at| self.totals[at].cached).map_or(0.0, |pace| pace.grown);
        sites.truncate(HEAP_SITES_MAX);
        HeapSites {
            sample_bytes: Some(round(sample_bytes)),
            sampled_seconds: self.times.last().copied().unwrap_or(0.0),
            growth_bytes_per_second: growth,
            explained,
            notes: notes(explained, cached, rising.map_or(f64::INFINITY, |pace| pace.grown)),
            sites,
            ..HeapSites::default()
        }
    }

    fn site(&self, track: &Track, sample_bytes: f64) -> HeapSite {
        let mut site = HeapSite { live_bytes: round(track.newest), survival: track.survival, ..spelled(&track.site) };
        let Some(pace) = self.pace(|at| f64::from(track.bytes[at])) else { return site };
        let certainty = (pace.grown.max(0.0) / sample_bytes).sqrt();
        let goes_on = if certainty < PACE_FROM_Z {
            track.survival.is_none_or(|stays| stays >= STAYS_MIN)
        } else {
            pace.last_third > PACE_MIN * pace.slope.median
        };
        if certainty < CERTAIN_Z || pace.slope.low <= 0.0 || !goes_on {
            return site;
        }
        let slope = pace.slope;
        let by_chance = INTERVAL_Z * slope.median / certainty * WALK.sqrt();
        let low = slope.median - by_chance.hypot(slope.median - slope.low);
        let high = slope.median + by_chance.hypot(slope.high - slope.median);
        site.growing = true;
        site.growth_bytes_per_second = Some(slope.median);
        site.growth_interval = (low.is_finite() && high.is_finite()).then_some([low.max(0.0), high]);
        site
    }

    /// The pace of a series; `None` for too short a history.
    fn pace(&self, bytes: impl Fn(usize) -> f64) -> Option<Pace> {
        let all = self.times.len();
        let from = if all >= 2 * POINTS_MIN { all / WARM_UP } else { 1.min(all) };
        let points: Vec<(f64, f64)> = (from..all).map(|at| (self.times[at], bytes(at))).collect();
        if points.len() < POINTS_MIN {
            return None;
        }
        let slope = Slope::through(&points, INTERVAL_Z)?;
        let last = &points[points.len() - points.len() / 3 - 1..];
        let last_third = Slope::through(last, INTERVAL_Z).map_or(slope.median, |slope| slope.median);
        let span = points[points.len() - 1].0 - points[0].0;
        Some(Pace { slope, grown: slope.median * span, last_third })
    }

    /// Gives every named site its bytes; one that is larger than the smallest of too many takes its place.
    fn admit(&mut self, sites: &[(Frame, f64)]) {
        self.tracks.iter_mut().for_each(|track| track.newest = 0.0);
        let mut unknown = Vec::new();
        for (site, bytes) in sites {
            match self.tracks.iter_mut().find(|track| track.site == *site) {
                Some(track) => track.newest = *bytes,
                None => unknown.push((site, *bytes)),
            }
        }
        unknown.sort_by_key(|(_, bytes)| Reverse(round(*bytes)));
        for (site, newest) in unknown.into_iter().take(SITES_MAX) {
            // it held nothing before, or less than the smallest that was kept
            let bytes = vec![0.0; self.times.len()];
            let track = Track { site: site.clone(), bytes, newest, held: None, survival: None };
            if self.tracks.len() < SITES_MAX {
                self.tracks.push(track);
                continue;
            }
            let smallest = self.tracks.iter_mut().min_by(|a, b| a.newest.total_cmp(&b.newest));
            if let Some(smallest) = smallest.filter(|smallest| smallest.newest < newest) {
                *smallest = track;
            }
        }
    }

    fn drop_last(&mut self) {
        self.times.pop();
        self.totals.pop();
        for track in &mut self.tracks {
            track.bytes.pop();
        }
    }

    /// Forgets every other point, and keeps the mean distance of the others from now on, so that they lie evenly.
    fn thin(&mut self) {
        fn halve<T: Copy>(list: &mut Vec<T>) {
            // the newest stays
            let offset = (list.len() + 1) % 2;
            *list = list.iter().copied().skip(offset).step_by(2).collect();
        }
        halve(&mut self.times);
        halve(&mut self.totals);
        self.tracks.iter_mut().for_each(|track| halve(&mut track.bytes));
        if let [first, .., last] = self.times[..] {
            self.step = (last - first) / (self.times.len() - 1) as f64;
        }
    }
}

/// What is to be said about how far the sites explain the growth.
fn notes(explained: Option<f64>, cached: f64, grown: f64) -> Vec<String> {
    let mut notes = Vec::new();
    match explained {
        Some(0.0) => notes.push(
            "no call site grows by itself: the growth is spread thin, or it is of memory from before sampling began"
                .to_owned(),
        ),
        Some(share) if share < EXPLAINED.start => notes.push(format!(
            "the growing sites add up to {:.0} % of the growth; the rest is spread over sites that are too small to tell",
            share * 100.0
        )),
        Some(share) if share >= EXPLAINED.end => notes.push(format!(
            "the growing sites add up to {:.0} % of the growth: part of it takes the place of memory from before sampling began",
            share * 100.0
        )),
        _ => {}
    }
    if cached > CACHES_WORTH * grown && cached > MIB {
        let cached = cached / MIB;
        notes.push(format!(
            "registered caches grew by {cached:.1} MiB meanwhile: the sites that fill them are among these"
        ));
    }
    notes
}

fn round(bytes: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a finite estimate that is not negative"
    )]
    let whole = bytes.max(0.0).round() as u64;
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: f64 = 262_144.0;

    fn site(name: &str) -> Frame {
        Frame { function: name.into(), file: Some("/srv/shop/src/main.rs".into()), line: Some(9) }
    }

    /// What a site holds at a second.
    type Held = fn(f64) -> f64;

    /// `points` moments two seconds apart, each site as a function of the second.
    fn history(points: u32, total: Held, sites: &[(&str, Held)]) -> HeapSites {
        let mut growth = Growth::default();
        for point in 1..=points {
            let at = 2.0 * f64::from(point);
            let held: Vec<(Frame, f64)> = sites.iter().map(|(name, bytes)| (site(name), bytes(at))).collect();
            growth.take(at, Totals { allocated: total(at), ..Totals::default() }, &held);
        }
        growth.read(RATE)
    }

    #[test]
    fn the_site_that_grows_is_first_with_its_share_and_the_one_that_filled_up_does_not_grow() {
        for points in [12, 40, 48, 49, 200] {
            let read = history(
                points,
                |at| MIB * at + (20.0 * MIB * at).min(80.0 * MIB),
                &[("cache", |at| (20.0 * MIB * at).min(80.0 * MIB)), ("leak", |at| MIB * at), ("tiny", |_| 100.0)],
            );
            let names: Vec<&str> = read.sites.iter().map(|site| site.function.as_str()).collect();
            assert_eq!(names[0], "leak", "{points} points: {read:?}");
            let leak = &read.sites[0];
            assert!((leak.growth_bytes_per_second.unwrap() / MIB - 1.0).abs() < 1e-3);
            assert!((leak.share.unwrap() - 1.0).abs() < 1e-3);
            let [low, high] = leak.growth_interval.unwrap();
            assert!(0.3 * MIB < low && low < 0.98 * MIB && 1.02 * MIB < high && high < 1.7 * MIB, "{low} {high}");
            assert_eq!(read.sites.iter().filter(|site| site.growing).count(), 1);
            assert_eq!((leak.file.as_deref(), leak.line), (Some("shop/src/main.rs"), Some(9)));
            assert_eq!(read.notes, Vec::<String>::new());
        }
    }

    #[test]
    fn the_points_that_are_kept_lie_evenly_however_many_there_were() {
        let mut growth = Growth::default();
        for point in 1..=5_000 {
            growth.take(f64::from(point), Totals::default(), &[]);
            let apart: Vec<f64> = growth.times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            // the newest may be close to the one before
            let Some((_, apart)) = apart.split_last().filter(|(_, apart)| !apart.is_empty()) else { continue };
            let [least, most] = [f64::min, f64::max].map(|of| apart.iter().copied().fold(apart[0], of));
            assert!(most <= 2.5 * least, "after {point}: {least} to {most} seconds apart");
        }
        assert!(growth.times.len() > POINTS_MAX / 3, "{}", growth.times.len());
    }

    #[test]
    fn a_few_samples_are_no_growth() {
        // two samples more than at the beginning
        let read = history(30, |at| MIB * at, &[("maybe", |at| RATE * (at / 30.0).floor())]);
        assert!(!read.sites[0].growing, "{read:?}");
        assert_eq!(read.explained, Some(0.0));
        assert!(read.notes[0].contains("no call site grows by itself"), "{:?}", read.notes);
    }

    #[test]
    fn a_few_samples_of_what_does_not_stay_are_no_growth_and_of_what_stays_they_are() {
        let mut growth = Growth::default();
        let held = |at: f64| vec![(site("leak"), RATE * at / 4.0), (site("in use"), RATE * at / 4.0)];
        for point in 1..=40 {
            let at = 2.0 * f64::from(point);
            growth.take(at, Totals { allocated: RATE * at / 2.0, ..Totals::default() }, &held(at));
        }
        growth.hold();
        growth.release(&[(site("leak"), RATE * 19.0), (site("in use"), RATE * 4.0)], RATE);
        let read = growth.read(RATE);
        let growing: Vec<&str> =
            read.sites.iter().filter(|site| site.growing).map(|site| site.function.as_str()).collect();
        assert_eq!(growing, ["leak"], "{read:?}");
    }

    #[test]
    fn it_is_said_when_the_sites_do_not_add_up_to_the_growth() {
        let less = history(30, |at| 2.0 * MIB * at, &[("leak", |at| MIB * at)]);
        assert!(less.notes[0].contains("add up to 50 % of the growth"), "{:?}", less.notes);
        let more = history(30, |at| 0.5 * MIB * at, &[("leak", |at| MIB * at)]);
        assert!(more.notes[0].contains("add up to 200 % of the growth"), "{:?}", more.notes);
        let flat = history(30, |_| 0.0, &[("leak", |at| MIB * at)]);
        assert_eq!((flat.explained, flat.sites[0].share), (None, None));
    }

    #[test]
    fn what_survives_a_pause_is_told_of_sites_with_enough_samples() {
        let mut growth = Growth::default();
        let mut sites = vec![(site("leak"), 40.0 * MIB), (site("buffers"), 40.0 * MIB), (site("rare"), RATE)];
        growth.take(2.0, Totals::default(), &sites);
        growth.hold();
        sites[1].1 = 2.0 * MIB;
        growth.release(&sites[..2], RATE);
        let survival = |name: &str| {
            growth.read(RATE).sites.iter().find(|site| site.function == name).and_then(|site| site.survival)
        };
        assert_eq!([survival("leak"), survival("buffers"), survival("rare")], [Some(1.0), Some(0.05), None]);
    }

    #[test]
    fn the_largest_sites_are_kept_and_no_more_than_fit() {
        let mut growth = Growth::default();
        for round in 0..300_u32 {
            let mut sites: Vec<(Frame, f64)> =
                (0..100).map(|number| (site(&format!("{}", round * 100 + number)), f64::from(number))).collect();
            sites.push((site("big"), 1e9));
            growth.take(f64::from(round), Totals::default(), &sites);
        }
        assert!(growth.tracks.len() <= SITES_MAX && growth.times.len() <= POINTS_MAX);
        assert!(growth.tracks.iter().all(|track| track.bytes.len() == growth.times.len()));
        let read = growth.read(RATE);
        assert_eq!((read.sites.len(), read.sites[0].function.as_str()), (HEAP_SITES_MAX, "big"));
    }
}
