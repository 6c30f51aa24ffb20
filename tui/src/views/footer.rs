//! The bottom of the screen: the filter while there is one, and the most useful keys from the key table. What the keys
//! do is not known here.

use ratatui::layout::Rect;

use super::pen::{Pen, Piece, width};
use super::scene::Scene;
use crate::keymap::{BINDINGS, Binding, Context};

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
    for binding in BINDINGS.iter().filter(|binding| binding.context == context && !binding.word.is_empty()) {
        let keys = hint(pen, binding);
        if width(&line) + width(&keys) <= area.width {
            line.extend(keys);
        }
    }
    pen.write(area, 0, &line);
}

fn hint(pen: &Pen<'_>, binding: &Binding) -> Vec<Piece> {
    let keys = binding.written.split(',').next().unwrap_or_default();
    vec![Piece::new(keys, pen.theme.key()), Piece::new(format!(" {}  ", binding.word), pen.theme.dim())]
}
