//! The bottom of the screen: the filter while there is one, and the most useful keys from the key table. What the keys
//! do is not known here.

use ratatui::layout::Rect;

use super::pen::{Pen, Piece, width};
use super::scene::Scene;
use crate::keymap::{Action, BINDINGS, Binding, Context};
use crate::screen::Opens;

/// What the keys mean at the moment.
pub fn context(scene: &Scene<'_>) -> Context {
    if scene.screen.help.is_some() {
        Context::Help
    } else if scene.screen.filtering {
        Context::Filter
    } else {
        Context::View
    }
}

/// Draws the footer's row.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let mut line = vec![Piece::new(" ", pen.theme.text())];
    let filter = scene.screen.table().filter;
    if scene.screen.filtering || !filter.is_empty() {
        let cursor = if scene.screen.filtering { "_" } else { "" };
        line.push(Piece::new("/", pen.theme.key()));
        line.push(Piece::new(format!("{filter}{cursor}"), pen.theme.selection()));
        line.push(Piece::new("  ", pen.theme.text()));
    }
    let context = context(scene);
    for binding in BINDINGS.iter().filter(|binding| binding.context == context) {
        let word = word(scene, binding);
        if word.is_empty() {
            continue;
        }
        let keys = hint(pen, binding, word);
        if width(&line) + width(&keys) <= area.width {
            line.extend(keys);
        }
    }
    pen.write(area, 0, &line);
}

/// What a key does in what is shown, in one word; empty when it does nothing there, or is not worth the room.
fn word(scene: &Scene<'_>, binding: &Binding) -> &'static str {
    match binding.keys.first().map(|(_, action)| *action) {
        Some(Action::Open) => match scene.screen.opens() {
            Some(Opens::Detail) => "detail",
            Some(Opens::Target) => "show",
            None => "",
        },
        Some(Action::StartFilter | Action::NextSort) if !scene.screen.view.has_rows() => "",
        _ => binding.word,
    }
}

fn hint(pen: &Pen<'_>, binding: &Binding, word: &str) -> Vec<Piece> {
    let keys = binding.written.split(',').next().unwrap_or_default();
    vec![Piece::new(keys, pen.theme.key()), Piece::new(format!(" {word}  "), pen.theme.dim())]
}
