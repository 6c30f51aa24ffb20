//! When allocations are sampled and how often, decided second by second from what is known then. Switches nothing, and
//! reads neither clock nor allocator.
//!
//! For a second before it begins, it is looked how much the program allocates, and the shortest distance between samples
//! is taken, in powers of two from 256 KiB on, that keeps them below [`SAMPLES_PER_SECOND_MAX`]. When the program comes to
//! allocate so much more that they are twice as many, the profile begins anew with a longer distance; and with a shorter
//! one when a fourth of the distance would have done for [`CALM_DUMPS`] dumps in a row. Whoever allocates in bursts would
//! have it begin anew for ever, so that each longer distance doubles these.

use std::time::Duration;

use super::growth::Totals;

/// A sample takes six microseconds where the stack is shallow, and twenty in the reference service, whose futures lie deep in each
/// other (the bench `heap`, with `--shop`): less than a percent of a core.
const SAMPLES_PER_SECOND_MAX: f64 = 400.0;
/// The distances between samples, as powers of two: 256 KiB to 64 MiB.
const LG_SAMPLE: std::ops::RangeInclusive<usize> = 18..=26;
/// A distance is too long when one that is shorter by this power of two would do,
const LG_TOO_LONG: usize = 2;
/// for this many dumps in a row, twice as many after each longer distance, and that so often at most.
const CALM_DUMPS: u32 = 8;
const LONGER_MAX: u32 = 16;
/// At most this share of the time is spent on dumps, one to this.
const DUMP_SHARE: u32 = 200;
/// After this many dumps it pauses, and for a fourth of the time that it sampled.
const DUMPS_BEFORE_PAUSE: u32 = 16;
const PAUSE_SHARE: u32 = 4;
/// It goes on for this many dumps after nobody watches any more.
const DUMPS_AFTER: u32 = 12;
/// Profiles that are asked for are this far apart.
const TAKEN_EVERY: Duration = Duration::from_secs(2);

/// What the agent knows when it asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// On the agent's clock.
    pub(crate) now: Duration,
    /// Whether growth is watched or suspected.
    pub(crate) watching: bool,
    /// Bytes allocated.
    pub(crate) allocated: f64,
    /// Bytes of registered caches.
    pub(crate) cached: f64,
}

/// What the profiler knows beside that.
pub(super) struct Known<'k> {
    /// How far apart dumps are.
    pub(super) every: Duration,
    /// How long the last one took.
    pub(super) took: Duration,
    /// Somebody asked for a profile and has not got it.
    pub(super) taking: bool,
    /// Allocations are sampled now, by whomever.
    pub(super) active: bool,
    /// The bytes ever allocated; dear.
    pub(super) ever_allocated: &'k dyn Fn() -> Option<f64>,
}

/// What was decided.
#[derive(Debug, Default)]
pub(super) struct Plan {
    phase: Phase,
    /// The profile was begun here, and not by the service itself.
    ours: bool,
    /// Sampling was switched on here, and not off since.
    on: bool,
    lg_sample_bytes: usize,
    /// When the bytes ever allocated were last read, and what they were.
    read: Option<(Duration, f64)>,
    /// Dumps in a row for which a much shorter distance would have done, and the longest of these distances.
    calm: (u32, usize),
    /// How often the distance became longer.
    longer: u32,
    asked_until: Duration,
    wanted_until: Duration,
    seen_at: Duration,
    dump_due: Duration,
    /// How long it sampled, in all and since the last pause.
    sampled: Duration,
    unpaused: Duration,
    allocated: f64,
    cached: f64,
    totals: Totals,
    taken_at: Option<Duration>,
    /// Why sampling could not begin, when it was last tried.
    trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Phase {
    #[default]
    Off,
    /// Looking how much is allocated.
    Measuring {
        since: Duration,
        allocated: Option<f64>,
    },
    Sampling,
    Paused {
        until: Duration,
    },
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Step {
    /// To sample, from nothing, each two to the power of this many bytes.
    Begin(usize),
    End,
    Dump(Errand),
}

/// What a dump is for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Errand {
    Point {
        at: f64,
        totals: Totals,
    },
    /// A point, and then nothing new is sampled.
    Pause {
        at: f64,
        totals: Totals,
    },
    Resume,
}

/// What a profile that was asked for needs before it is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// That sampling has begun.
    Begin,
    /// That sampling is switched on again.
    Resume,
}

/// Why there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denial {
    /// Nothing is sampled.
    Off,
    TooOften(Duration),
}

impl Plan {
    /// Samples until then at least.
    pub(super) fn ask(&mut self, until: Duration) {
        self.asked_until = self.asked_until.max(until);
    }

    /// Whether there is a profile, be it that it pauses.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.phase, Phase::Sampling | Phase::Paused { .. })
    }

    /// That sampling has begun, or why it could not; `None` as long as neither is known.
    pub(super) fn begun(&self) -> Option<Result<(), String>> {
        match &self.trouble {
            _ if self.phase == Phase::Sampling => Some(Ok(())),
            Some(why) => Some(Err(why.clone())),
            None => None,
        }
    }

    /// What is to be done now, if anything.
    pub(super) fn decide(&mut self, moment: &Moment, known: &Known<'_>) -> Option<Step> {
        let now = moment.now;
        if moment.watching {
            self.wanted_until = now + known.every * DUMPS_AFTER;
        }
        let wanted = known.taking || now < self.asked_until || now < self.wanted_until;
        match self.phase {
            Phase::Off if wanted => {
                self.longer = 0;
                self.phase = Phase::Measuring { since: now, allocated: (known.ever_allocated)() };
                None
            }
            Phase::Measuring { .. } | Phase::Sampling | Phase::Paused { .. } if !wanted => Some(Step::End),
            Phase::Measuring { since, allocated: before } if now > since => {
                let allocated = before.and_then(|before| Some((known.ever_allocated)()? - before));
                let rate = allocated.unwrap_or(0.0) / now.saturating_sub(since).as_secs_f64();
                Some(Step::Begin(lg_sample(rate)))
            }
            // somebody else switched it off, or on while it paused: these samples are not what they seem
            Phase::Sampling if !known.active && !known.taking => Some(Step::End),
            Phase::Paused { .. } if known.active => Some(Step::End),
            Phase::Sampling if now >= self.dump_due => Some(self.dump(now, known)),
            Phase::Paused { until } if now >= until => {
                self.go_on();
                Some(Step::Dump(Errand::Resume))
            }
            _ => None,
        }
    }

    fn dump(&mut self, now: Duration, known: &Known<'_>) -> Step {
        let better = self.better_distance(now, (known.ever_allocated)());
        // a profile that is being taken is of one distance
        if let Some(better) = better.filter(|_| !known.taking) {
            self.longer += u32::from(better > self.lg_sample_bytes);
            return Step::Begin(better);
        }
        self.dump_due = now + known.every.max(known.took * DUMP_SHARE);
        let (at, totals) = (self.sampled.as_secs_f64(), self.totals);
        let span = (known.every * DUMPS_BEFORE_PAUSE).max(self.sampled / PAUSE_SHARE);
        if !self.ours || known.taking || self.unpaused < span {
            return Step::Dump(Errand::Point { at, totals });
        }
        self.phase = Phase::Paused { until: now + self.unpaused / PAUSE_SHARE };
        Step::Dump(Errand::Pause { at, totals })
    }

    /// Time and growth since the last second count where allocations were sampled.
    pub(super) fn pass(&mut self, moment: &Moment) {
        let Moment { now, allocated, cached, .. } = *moment;
        let now = now.max(self.seen_at);
        if self.phase == Phase::Sampling {
            let passed = now.saturating_sub(self.seen_at);
            self.sampled += passed;
            self.unpaused += passed;
            self.totals.allocated += allocated - self.allocated;
            self.totals.cached += cached - self.cached;
        }
        (self.seen_at, self.allocated, self.cached) = (now, allocated, cached);
    }

    /// The distance between samples to begin anew with, if the one there is does not do: since the last dump they came twice
    /// as often as they may, or for long much less often. `allocated` are the bytes ever allocated.
    fn better_distance(&mut self, now: Duration, allocated: Option<f64>) -> Option<usize> {
        let allocated = allocated?;
        let (since, before) = self.read.replace((now, allocated))?;
        let passed = now.checked_sub(since).filter(|passed| !passed.is_zero() && self.ours)?;
        let cheap = lg_sample((allocated - before) / passed.as_secs_f64());
        let is_calm = cheap + LG_TOO_LONG <= self.lg_sample_bytes;
        self.calm = if is_calm { (self.calm.0 + 1, self.calm.1.max(cheap)) } else { (0, 0) };
        let for_long = self.calm.0 >= CALM_DUMPS << self.longer.min(LONGER_MAX);
        if for_long { Some(self.calm.1) } else { (cheap > self.lg_sample_bytes + 1).then_some(cheap) }
    }

    /// A profile begins; not `ours` is one that the service began.
    pub(super) fn begin(&mut self, lg_sample_bytes: usize, ours: bool) {
        self.phase = Phase::Sampling;
        (self.ours, self.on) = (ours, ours);
        (self.sampled, self.unpaused, self.totals, self.read, self.calm) = Default::default();
        self.lg_sample_bytes = lg_sample_bytes;
        self.dump_due = Duration::ZERO;
        self.trouble = None;
    }

    /// A profile could not begin.
    pub(super) fn fail(&mut self, why: String) {
        self.trouble = Some(why);
    }

    /// The profile ends; whether sampling is to be switched off for it.
    #[must_use]
    pub(super) fn end(&mut self) -> bool {
        self.phase = Phase::Off;
        std::mem::take(&mut self.on)
    }

    /// Whether sampling is to be switched off for a pause: unless it was thought better of meanwhile.
    #[must_use]
    pub(super) fn pauses(&mut self) -> bool {
        matches!(self.phase, Phase::Paused { .. }) && std::mem::take(&mut self.on)
    }

    /// Whether sampling is to be switched on after a pause: unless it ended meanwhile.
    #[must_use]
    pub(super) fn resumes(&mut self) -> bool {
        let resumes = self.phase == Phase::Sampling && self.ours && !self.on;
        self.on |= resumes;
        resumes
    }

    /// The pause is over.
    fn go_on(&mut self) {
        self.phase = Phase::Sampling;
        self.read = None;
        self.unpaused = Duration::ZERO;
        self.dump_due = Duration::ZERO;
    }

    /// Whether a profile may be taken, over a `span` from now on or of what there is, and what it needs.
    pub(super) fn admit(&mut self, now: Duration, span: bool, active: bool) -> Result<Before, Denial> {
        let since = self.taken_at.map_or(TAKEN_EVERY, |at| now.saturating_sub(at));
        if since < TAKEN_EVERY {
            return Err(Denial::TooOften(TAKEN_EVERY.saturating_sub(since)));
        }
        let before = match self.phase {
            Phase::Off | Phase::Measuring { .. } if active => Before::Nothing,
            Phase::Off | Phase::Measuring { .. } if span => Before::Begin,
            Phase::Off | Phase::Measuring { .. } => return Err(Denial::Off),
            Phase::Paused { .. } if span => Before::Resume,
            Phase::Paused { .. } | Phase::Sampling => Before::Nothing,
        };
        if before == Before::Resume {
            self.go_on();
        }
        (self.taken_at, self.trouble) = (Some(now), None);
        Ok(before)
    }
}

/// The shortest distance between samples that is cheap enough for a program that allocates this much a second.
fn lg_sample(bytes_per_second: f64) -> usize {
    let cheap = |lg: &usize| bytes_per_second / (1_u64 << *lg) as f64 <= SAMPLES_PER_SECOND_MAX;
    LG_SAMPLE.clone().find(cheap).unwrap_or(*LG_SAMPLE.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What samples at the shortest distance may be of, in bytes a second.
    const RATE_MAX: f64 = SAMPLES_PER_SECOND_MAX * 262_144.0;
    const EVERY: Duration = Duration::from_secs(2);
    const NEVER: [usize; 0] = [];

    /// A program that is watched, second by second; what is decided is done at once.
    #[derive(Default)]
    struct Watched {
        plan: Plan,
        second: u64,
        ever_allocated: f64,
        taking: bool,
        /// Whether allocations are sampled.
        active: bool,
    }

    impl Watched {
        /// A second in which the program allocates this much.
        fn second(&mut self, allocates: f64, watching: bool) -> Option<Step> {
            self.second += 1;
            self.ever_allocated += allocates;
            let moment = Moment { now: Duration::from_secs(self.second), watching, allocated: 0.0, cached: 0.0 };
            let ever = self.ever_allocated;
            let known = Known {
                every: EVERY,
                took: Duration::ZERO,
                taking: self.taking,
                active: self.active,
                ever_allocated: &|| Some(ever),
            };
            self.plan.pass(&moment);
            let step = self.plan.decide(&moment, &known)?;
            match step {
                Step::Begin(lg) => {
                    self.active &= !self.plan.end();
                    self.plan.begin(lg, !self.active);
                    self.active = true;
                }
                Step::End => self.active &= !self.plan.end(),
                Step::Dump(Errand::Pause { .. }) => self.active &= !self.plan.pauses(),
                Step::Dump(Errand::Resume) => self.active |= self.plan.resumes(),
                Step::Dump(Errand::Point { .. }) => {}
            }
            Some(step)
        }

        /// The distances that it begins with within so many seconds.
        fn begins(&mut self, seconds: u64, allocates: f64) -> Vec<usize> {
            let begun = |step| if let Some(Step::Begin(lg)) = step { Some(lg) } else { None };
            (0..seconds).filter_map(|_| begun(self.second(allocates, true))).collect()
        }
    }

    #[test]
    fn a_program_that_allocates_more_is_sampled_less_often() {
        let distances = [0.0, 1e6, 2e8, 1e9, 1e13].map(lg_sample);
        assert_eq!(distances, [18, 18, 19, 22, 26]);
    }

    #[test]
    fn a_program_that_comes_to_allocate_much_more_is_sampled_less_often_from_then_on() {
        let mut plan = Plan { ours: true, lg_sample_bytes: 18, ..Plan::default() };
        let mut after = |seconds, allocated| plan.better_distance(Duration::from_secs(seconds), Some(allocated));
        assert_eq!(after(10, 0.0), None, "nothing to compare with");
        assert_eq!(after(20, 19.0 * RATE_MAX), None, "less than twice as often");
        assert_eq!(after(30, 60.0 * RATE_MAX), Some(21));
        assert_eq!(after(30, 99.0 * RATE_MAX), None, "no time passed");
        plan.ours = false;
        assert_eq!(plan.better_distance(Duration::from_secs(31), Some(900.0 * RATE_MAX)), None, "the service's own");
    }

    #[test]
    fn a_burst_in_the_second_of_measuring_does_not_make_it_blind_for_ever() {
        let mut program = Watched::default();
        program.second(0.0, true);
        assert_eq!(program.second(200.0 * RATE_MAX, true), Some(Step::Begin(26)));
        let calm = u64::from(CALM_DUMPS) * EVERY.as_secs();
        assert_eq!(program.begins(calm, 0.9 * RATE_MAX), NEVER, "a calm moment is not trusted");
        assert_eq!(program.begins(2 * EVERY.as_secs(), 0.9 * RATE_MAX), [18]);
        assert_eq!(program.begins(7_200, 0.9 * RATE_MAX), NEVER, "and then it stays");
    }

    #[test]
    fn the_longest_distance_that_would_have_done_is_taken_and_half_of_it_is_no_reason() {
        let mut program = Watched::default();
        program.second(0.0, true);
        assert_eq!(program.second(200.0 * RATE_MAX, true), Some(Step::Begin(26)));
        let mut begun = program.begins(1, 0.0);
        for _ in 0..30 {
            begun.extend(program.begins(2, 0.5 * RATE_MAX));
            begun.extend(program.begins(2, 3.5 * RATE_MAX));
        }
        assert_eq!(begun, [20]);
        assert_eq!(program.begins(600, 1.9 * RATE_MAX), NEVER, "half of the distance would do");
    }

    #[test]
    fn a_program_that_allocates_in_bursts_has_its_profile_begin_anew_ever_less_often() {
        let mut program = Watched::default();
        let mut begun = Vec::new();
        // a minute of much in every ten, for two days
        for _ in 0..2 * 144 {
            begun.extend(program.begins(60, 30.0 * RATE_MAX));
            begun.extend(program.begins(540, 0.5 * RATE_MAX));
        }
        let half = begun.len();
        assert!((5..=20).contains(&half), "{begun:?}");
        for _ in 0..144 {
            begun.extend(program.begins(60, 30.0 * RATE_MAX));
            begun.extend(program.begins(540, 0.5 * RATE_MAX));
        }
        assert_eq!(begun.len(), half, "it has found its distance: {begun:?}");
        assert!(program.plan.lg_sample_bytes >= 22, "that of its bursts");
    }

    #[test]
    fn the_distance_stays_while_a_profile_is_taken() {
        let mut program = Watched::default();
        assert_eq!(program.begins(20, 0.5 * RATE_MAX), [18]);
        program.taking = true;
        assert_eq!(program.begins(300, 50.0 * RATE_MAX), NEVER);
        program.taking = false;
        assert_eq!(program.begins(4, 50.0 * RATE_MAX), [24], "but no longer");
        program.taking = true;
        assert_eq!(program.begins(300, 0.1 * RATE_MAX), NEVER, "nor does it become shorter");
        program.taking = false;
        assert_eq!(program.begins(4, 0.1 * RATE_MAX), [18]);
    }

    #[test]
    fn a_profile_that_is_asked_for_waits_until_it_was_seen_how_much_is_allocated() {
        let mut program = Watched::default();
        let at = |program: &Watched| Duration::from_secs(program.second);
        assert_eq!(program.plan.admit(at(&program), false, false), Err(Denial::Off));
        assert_eq!(program.plan.admit(at(&program), true, false), Ok(Before::Begin));
        program.taking = true;
        assert_eq!(program.second(50.0 * RATE_MAX, false), None);
        assert_eq!(program.plan.begun(), None);
        assert_eq!(program.second(50.0 * RATE_MAX, false), Some(Step::Begin(24)));
        assert_eq!(program.plan.begun(), Some(Ok(())));
        let wait = Denial::TooOften(Duration::from_secs(1));
        assert_eq!(program.plan.admit(Duration::from_secs(1), true, true), Err(wait));
        assert_eq!(program.plan.admit(at(&program), true, true), Ok(Before::Nothing));
        program.taking = false;
        assert_eq!(program.second(0.0, false), Some(Step::End));
        assert!(!program.active);
        // what the service samples itself is there to be taken
        program.active = true;
        assert_eq!(program.plan.admit(Duration::from_secs(9), true, true), Ok(Before::Nothing));
    }

    #[test]
    fn a_pause_ends_for_a_profile_that_is_asked_for() {
        let mut program = Watched::default();
        let paused = |step| matches!(step, Some(Step::Dump(Errand::Pause { .. })));
        while !paused(program.second(0.0, true)) {
            assert!(program.second < 60, "it pauses");
        }
        assert!(!program.active && program.plan.is_active() && program.plan.begun().is_none());
        let now = Duration::from_secs(program.second);
        assert_eq!(program.plan.admit(now, false, false), Ok(Before::Nothing), "what there is, is there");
        assert_eq!(program.plan.admit(now + TAKEN_EVERY, true, false), Ok(Before::Resume));
        assert!(program.plan.resumes() && !program.plan.resumes(), "once");
        assert!(!program.plan.pauses(), "it was thought better of");
    }

    #[test]
    fn why_sampling_could_not_begin_is_told_until_it_is_asked_for_again() {
        let mut plan = Plan::default();
        plan.fail("no".to_owned());
        assert_eq!(plan.begun(), Some(Err("no".to_owned())));
        assert_eq!(plan.admit(Duration::ZERO, true, false), Ok(Before::Begin));
        assert_eq!(plan.begun(), None);
    }

    #[test]
    fn what_is_to_go_on_after_a_pause_does_not_once_it_has_ended() {
        let mut plan = Plan::default();
        plan.begin(18, true);
        assert!(plan.end(), "it is to be switched off");
        assert!(!plan.resumes() && !plan.pauses() && !plan.end());
    }

    #[test]
    fn what_the_service_samples_itself_is_never_switched_off() {
        let mut program = Watched { active: true, ..Watched::default() };
        assert_eq!(program.begins(600, 50.0 * RATE_MAX).len(), 1, "it takes what there is");
        let ended = (0..60).find_map(|_| program.second(0.0, false).filter(|step| *step == Step::End));
        assert!(ended.is_some() && program.active);
    }

    #[test]
    fn sampling_that_somebody_else_ended_or_began_is_noticed() {
        let mut program = Watched { active: true, ..Watched::default() };
        assert_eq!(program.begins(10, 0.0).len(), 1);
        program.active = false;
        assert_eq!(program.second(0.0, true), Some(Step::End), "the service's has ended");
        assert_eq!(program.begins(2, 0.0), [18], "so it begins one of its own");
        while program.active {
            program.second(0.0, true);
        }
        program.active = true;
        assert_eq!(program.second(0.0, true), Some(Step::End), "of nobody knows what distance");
        assert!(program.active, "and not to be switched off");
    }
}
