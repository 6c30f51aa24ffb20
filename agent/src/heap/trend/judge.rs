//! Decides look by look: which views are believed, what stands, and what one life of the process tells the next. Knows
//! views, no samples.

use std::time::Duration;

use super::history::LEVELS;
use super::judgement::{Bench, Signal, Tuning, View};
use super::standing::Standing;

/// Growth is watched when it lasted this part of the patience.
const WATCH: f64 = 0.25;

/// The decision so far.
#[derive(Debug, Clone)]
pub(super) struct Judge {
    /// In seconds.
    patience: f64,
    pub(super) tuning: Tuning,
    /// How many looks in a row found a leak, by level and signal.
    streaks: [[u8; 3]; LEVELS],
    /// The age of the process, in seconds, at the last look that found one.
    believed_at: Option<f64>,
    /// Earlier lives that ended leaking, and whether this one leaks so far.
    lives: u32,
    life: bool,
    /// What is concluded.
    pub(super) standing: Standing,
}

impl Judge {
    pub(super) fn new(patience: Duration, tuning: Tuning) -> Self {
        let patience = patience.as_secs_f64();
        Self {
            patience,
            tuning,
            streaks: [[0; 3]; LEVELS],
            believed_at: None,
            lives: 0,
            life: false,
            standing: Standing::default(),
        }
    }

    /// A judge of the life after this one.
    pub(super) fn next_life(&self) -> Self {
        Self {
            streaks: [[0; 3]; LEVELS],
            believed_at: None,
            lives: self.leaking_lives(),
            life: false,
            standing: Standing::default(),
            ..self.clone()
        }
    }

    /// A judge of a life after so many that ended leaking.
    pub(super) fn after(self, lives: u32) -> Self {
        Self { lives, ..self }
    }

    /// How many lives have ended leaking, should this one end now.
    pub(super) fn leaking_lives(&self) -> u32 {
        self.lives.saturating_add(u32::from(self.life))
    }

    /// Takes what was seen of one window; `views` are the newest of each level, `floor` is the newest.
    pub(super) fn take(&mut self, looks: &[View], views: &[Option<View>], floor: f64) {
        let of_life = |view: &&View| view.whole && view.level > 0 && view.signal != Signal::ResidentOnly;
        if looks.iter().any(|view| of_life(&view)) {
            self.life = looks.iter().filter(of_life).any(|view| view.is_leakish(&self.tuning));
        }
        for view in looks {
            self.judge(view, views, floor);
        }
    }

    fn judge(&mut self, view: &View, views: &[Option<View>], floor: f64) {
        let bench = Bench { views, patience: self.patience, lives: self.lives, tuning: &self.tuning };
        let leakish = view.is_leakish(&self.tuning);
        let believed = leakish && bench.is_patient(view);
        let streak = &mut self.streaks[view.level][view.signal as usize];
        *streak = if believed { streak.saturating_add(1) } else { 0 };
        let within = self.tuning.confirmed_within * self.patience;
        let confirmed = self.believed_at.is_some_and(|at| view.age - at <= within);
        let enough = *streak >= 2 || (believed && (confirmed || view.is_overwhelming()));
        if believed {
            self.believed_at = Some(view.age);
        }
        if enough || view.is_pressing(self.patience, &self.tuning) {
            self.standing.suspect(view, floor);
        } else if leakish && view.duration() > WATCH * self.patience {
            self.standing.watch(view, floor);
        }
        self.standing.follow(view, leakish);
    }
}
