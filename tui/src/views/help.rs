//! The help: every key from the key table, and what the glyphs mean. What the keys do is not known here.

use ratatui::layout::Rect;

use super::pen::{Pen, Piece};
use super::scene::Scene;
use super::theme::{Severity, Theme};
use crate::keymap::{BINDINGS, Context};
use crate::screen::View;

/// Columns for the keys.
const KEYS: usize = 21;

/// How many lines the help has.
pub fn height(theme: Theme) -> u16 {
    u16::try_from(lines(theme).len()).unwrap_or(u16::MAX)
}

/// The view, from the line that `first` says.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, first: u16) {
    let lines = lines(scene.theme);
    let total = u16::try_from(lines.len()).unwrap_or(u16::MAX);
    let first = first.min(total.saturating_sub(area.height));
    for (row, line) in (0..area.height).zip(lines.iter().skip(usize::from(first))) {
        pen.write(area, row, line);
    }
    let below = total.saturating_sub(first + area.height);
    if below > 0 {
        let more = format!(" {below} more lines, scroll with ↓ ");
        pen.write_right(area, area.height.saturating_sub(1), &[Piece::new(more, pen.theme.selection())]);
    }
}

fn lines(theme: Theme) -> Vec<Vec<Piece>> {
    let mut lines = Vec::new();
    for (context, title) in
        [(Context::View, "Keys"), (Context::Filter, "While typing a filter"), (Context::Help, "In this help")]
    {
        lines.push(vec![Piece::new(title, theme.title())]);
        lines.extend(BINDINGS.iter().filter(|binding| binding.context == context).map(|binding| {
            vec![
                Piece::new(format!("  {:<KEYS$}", binding.written), theme.key()),
                Piece::new(binding.help, theme.text()),
            ]
        }));
        lines.push(vec![]);
    }
    lines.push(vec![Piece::new("Views", theme.title())]);
    for half in View::ALL.chunks(5) {
        let named = half.iter().flat_map(|view| {
            [
                Piece::new(format!("  {}", view.key()), theme.key()),
                Piece::new(format!(" {:<9}", view.title()), theme.text()),
            ]
        });
        lines.push(named.collect());
    }
    lines.extend([vec![], vec![Piece::new("Signs", theme.title())]]);
    for severity in [Severity::Fine, Severity::Info, Severity::Warning, Severity::Critical, Severity::Unknown] {
        lines.push(vec![
            Piece::new(format!("  {:<KEYS$}", theme.glyph(severity)), theme.severity(severity)),
            Piece::new(severity.word(), theme.text()),
        ]);
    }
    let glyphs = theme.glyphs;
    let signs = [
        (glyphs.gap, "no data at that time"),
        (glyphs.restart, "the process restarted"),
        (glyphs.threshold, "a limit"),
        (glyphs.none, "unknown; never zero instead"),
        (glyphs.order[0], "the column that orders the rows"),
    ];
    lines.extend(signs.map(|(glyph, meaning)| {
        vec![Piece::new(format!("  {glyph:<KEYS$}"), theme.dim()), Piece::new(meaning, theme.text())]
    }));
    lines
}
