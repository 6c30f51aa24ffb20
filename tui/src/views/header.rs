//! The top of the screen: what is shown, how old it is, what fires, the window and the time; and the row of views. What
//! the views show is not known here.
//!
//! ```text
//!  shop a   ● fresh 0.4s   ■ 2 critical  ▲ 1 warning   ▲ 2 mistakes in alerts.toml   1 of 3 targets      5m  14:07:12 UTC
//!  1 Overview  2 Requests  3 Queries  4 Pools  5 Caches  6 Queues  7 Heap  8 Runtime  9 Alerts  0 Targets  x Traces
//! ```

use heartline_shared::UnixMillis;
use ratatui::layout::Rect;

use super::alerts;
use super::pen::{Pen, Piece, width};
use super::quantity::age;
use super::scene::Scene;
use super::targets;
use super::theme::Severity;
use crate::screen::View;

/// The time of day in UTC.
pub fn time_of_day(at: UnixMillis) -> String {
    let seconds = at.0 / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Draws the header's two rows.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    draw_state(scene, pen, Rect { height: 1, ..area });
    if area.height > 1 {
        draw_views(scene, pen, Rect { y: area.y + 1, height: 1, ..area });
    }
}

/// What is left out first where the room is scarce: the place among the targets, the window, the clock, wrong
/// rules, what fires.
fn draw_state(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let mut left = [name(scene, pen), state(scene, pen)].concat();
    let mut right = vec![];
    if let Some(paused) = scene.paused {
        right.push(Piece::new(format!(" PAUSED {} ", age(paused)), pen.theme.badge(Severity::Info)));
    }
    let mut free = area.width.saturating_sub(width(&left) + width(&right));
    let mut fits = |pieces: &[Piece]| {
        let fits = width(pieces) < free;
        free = free.saturating_sub(if fits { width(pieces) } else { 0 });
        fits
    };
    let firing = firing(scene, pen);
    let clock = [Piece::new(format!(" {} UTC ", time_of_day(scene.now)), pen.theme.dim())];
    let window = [Piece::new(format!("  window {}", scene.screen.window.label()), pen.theme.strong())];
    let position = position(scene, pen);
    let firing_fits = fits(&firing);
    let mistakes = mistakes(scene, pen).into_iter().find(|badge| fits(badge)).unwrap_or_default();
    let shown = [fits(&clock), fits(&window), fits(&position)];
    for (pieces, shown) in [(firing, firing_fits), (mistakes, true), (position, shown[2])] {
        left.extend(pieces.into_iter().filter(|_| shown));
    }
    for (pieces, shown) in [(window, shown[1]), (clock, shown[0])] {
        right.extend(pieces.into_iter().filter(|_| shown));
    }
    let room = area.width.saturating_sub(width(&right));
    pen.write(Rect { width: room, ..area }, 0, &left);
    pen.write_right(area, 0, &right);
}

fn name(scene: &Scene<'_>, pen: &Pen<'_>) -> Vec<Piece> {
    let Some(target) = scene.target() else { return vec![Piece::new(" heartline  ", pen.theme.strong())] };
    let service = target.service.as_ref().unwrap_or(&target.target);
    let mut pieces = vec![Piece::new(format!(" {}", service.cut(28)), pen.theme.strong())];
    if let Some(instance) = target.instance_id.as_ref().filter(|instance| *instance != service) {
        pieces.push(Piece::new(format!(" {}", instance.cut(20)), pen.theme.text()));
    }
    if let Some(version) = &target.version {
        pieces.push(Piece::new(format!(" {}", version.cut(12)), pen.theme.dim()));
    }
    pieces.push(Piece::new("  ", pen.theme.text()));
    pieces
}

fn state(scene: &Scene<'_>, pen: &Pen<'_>) -> Vec<Piece> {
    let Some(target) = scene.target() else { return vec![] };
    let severity = targets::severity(target);
    let words = format!("{} {}", pen.theme.glyph(severity), targets::state_words(target));
    let state = if severity > Severity::Fine {
        Piece::new(format!(" {words} "), pen.theme.badge(severity))
    } else {
        Piece::new(words, pen.theme.severity(severity))
    };
    vec![state, Piece::new("  ", pen.theme.text())]
}

fn firing(scene: &Scene<'_>, pen: &Pen<'_>) -> Vec<Piece> {
    let levels = [Severity::Critical, Severity::Warning, Severity::Info];
    let counted = levels.into_iter().zip(alerts::firing(scene.alerts)).filter(|(_, count)| *count > 0);
    let piece = |(severity, count): (Severity, usize)| {
        Piece::new(format!("{} {count} {}  ", pen.theme.glyph(severity), severity.word()), pen.theme.severity(severity))
    };
    counted.map(piece).collect()
}

/// The badge of wrong rules, the longest first; none when nothing is wrong.
fn mistakes(scene: &Scene<'_>, pen: &Pen<'_>) -> Vec<Vec<Piece>> {
    let count = scene.problems.mistakes.len();
    if count == 0 {
        return vec![];
    }
    let words = [alerts::mistakes_words(scene.problems), alerts::counted_mistakes(count), "rules".to_owned()];
    let badge = |words: String| {
        let words = format!(" {} {words} ", pen.theme.glyph(Severity::Warning));
        vec![Piece::new(words, pen.theme.badge(Severity::Warning)), Piece::new(" ", pen.theme.text())]
    };
    words.map(badge).into()
}

fn position(scene: &Scene<'_>, pen: &Pen<'_>) -> Vec<Piece> {
    let mut pieces = vec![];
    if scene.targets.len() > 1 {
        let place = format!("target {} of {}  ", scene.target_index() + 1, scene.targets.len());
        pieces.push(Piece::new(place, pen.theme.dim()));
    }
    if let Some(restarts) = scene.target().map(|target| target.restarts).filter(|restarts| *restarts > 0) {
        let times = if restarts == 1 { "restarted once".to_owned() } else { format!("restarted {restarts} times") };
        pieces.push(Piece::new(format!("{times}  "), pen.theme.severity(Severity::Info)));
    }
    pieces
}

fn draw_views(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let shown = scene.screen.view;
    let tab = |view: View, title: &str, space: &str| {
        let style = if view == shown { pen.theme.selection() } else { pen.theme.dim() };
        [Piece::new(format!("{}{space}{title}", view.key()), style), Piece::new(" ", pen.theme.text())]
    };
    let full: Vec<Piece> = View::ALL.iter().flat_map(|view| tab(*view, view.title(), " ")).collect();
    let short: Vec<Piece> = View::ALL.iter().flat_map(|view| tab(*view, view.short_title(), "")).collect();
    let (next, before) = (shown.step(true), shown.step(false));
    let around = vec![
        Piece::new(format!("{} {}", shown.key(), shown.title()), pen.theme.selection()),
        Piece::new(format!("  tab {}  shift-tab {}", next.short_title(), before.short_title()), pen.theme.dim()),
    ];
    let row = [full, short].into_iter().find(|row| width(row) < area.width).unwrap_or(around);
    let inset = Rect { x: area.x + 1, width: area.width.saturating_sub(1), ..area };
    pen.write(inset, 0, &row);
}
