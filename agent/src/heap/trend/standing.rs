//! What has been concluded and stands until it is withdrawn: one calm look does not undo a suspicion.

use heartline_shared::snapshot::Leak;

use super::evidence::{bytes_text, span_text};
use super::judgement::{Signal, View};
use super::shapes::Kind;

/// Looks in a row, or floors in a row, after which growth has ended.
const CALM_LOOKS: u8 = 2;
/// Growth has come back when the floor is below the onset's by this share of the growth.
const COME_BACK: f64 = 0.5;
/// For how many looks a withdrawal is spoken of: about half a patience.
const SAID: u16 = 128;
/// Below these a fit shows growth no more.
const Z_ENDED: f64 = 3.0;
const LAST_THIRD_ENDED: f64 = 0.2;
const PLATEAU_ENDED: f64 = -3.0;

/// The conclusion and the view it rests on.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    leak: Leak,
    view: Option<View>,
    /// The floor from which the growth began, in bytes; `None` when memory follows the load, so that it says nothing.
    floor_before: Option<f64>,
    calm: u8,
    low: u8,
    withdrawn: Option<(String, u16)>,
}

impl Standing {
    /// The verdict.
    pub(super) fn leak(&self) -> Leak {
        self.leak
    }

    /// What it rests on; `None` while there is nothing to say.
    pub(super) fn view(&self) -> Option<&View> {
        self.view.as_ref()
    }

    /// That a suspicion was withdrawn, and why; said for [`SAID`] looks.
    pub(super) fn withdrawn(&mut self) -> Option<String> {
        let (said, left) = self.withdrawn.take()?;
        self.withdrawn = left.checked_sub(1).map(|left| (said.clone(), left));
        Some(said)
    }

    /// Suspects; `floor` is the newest.
    pub(super) fn suspect(&mut self, view: &View, floor: f64) {
        if self.leak != Leak::Suspected {
            self.rest_on(Leak::Suspected, view, floor);
        }
    }

    /// Watches, unless it does more.
    pub(super) fn watch(&mut self, view: &View, floor: f64) {
        if self.leak == Leak::None {
            self.rest_on(Leak::Watching, view, floor);
        }
    }

    fn rest_on(&mut self, leak: Leak, view: &View, floor: f64) {
        let follows_load = view.fit.loads_used > 0 || view.signal == Signal::ResidentOnly;
        let floor_before = (!follows_load).then(|| floor - view.grown_bytes());
        *self = Self { leak, view: Some(view.clone()), floor_before, ..Self::default() };
    }

    /// Takes a new look at the window that it rests on, and withdraws when growth has ended.
    pub(super) fn follow(&mut self, view: &View, leakish: bool) {
        let Some(ours) = &self.view else { return };
        let resident = |view: &View| view.signal == Signal::ResidentOnly;
        // a fine window may be judged no more once the process is older; then a coarser one tells how it goes on
        let takes_over = view.level > ours.level && view.age > ours.age + ours.window();
        let same_window = view.level == ours.level || takes_over;
        if !same_window || resident(view) != resident(ours) || view.signal == Signal::Mean && !leakish {
            return;
        }
        if leakish {
            self.calm = 0;
            self.view = Some(view.clone());
            return;
        }
        let fit = &view.fit;
        let goes_on = fit.z > Z_ENDED
            && fit.last_third > LAST_THIRD_ENDED
            && fit.against(Kind::Plateau) > PLATEAU_ENDED
            && fit.grown > 2.0 * fit.drawdown;
        self.calm = if goes_on { 0 } else { self.calm + 1 };
        if self.calm >= CALM_LOOKS {
            self.withdraw("the growth has ended");
        }
    }

    /// Takes the newest floor; whether memory came back and the suspicion was withdrawn for it.
    pub(super) fn fell_back(&mut self, floor: f64) -> bool {
        let (Some(view), Some(before)) = (&self.view, self.floor_before) else { return false };
        let low = floor < before + COME_BACK * view.grown_bytes().max(0.0);
        self.low = if low { self.low + 1 } else { 0 };
        let fell = self.low >= CALM_LOOKS;
        if fell {
            self.withdraw("memory has come back");
        }
        fell
    }

    fn withdraw(&mut self, reason: &str) {
        let what = self.view.as_ref().map_or_else(String::new, |view| {
            format!(" after {} in {}", bytes_text(view.grown_bytes()), span_text(view.duration()))
        });
        let suspected = self.leak == Leak::Suspected;
        let said = suspected.then(|| format!("a suspicion was withdrawn: {reason}{what}"));
        *self = Self { withdrawn: said.map(|said| (said, SAID)), ..Self::default() };
    }
}
