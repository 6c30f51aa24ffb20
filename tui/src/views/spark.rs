//! One line of history: a bar of eighths for each slot, a dot where nothing is known. Its numbers and its style come
//! from the caller.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::theme::Theme;

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
const ASCII: [char; 8] = ['_', '.', ':', '-', '=', '+', '*', '#'];

/// Draws `values` right-aligned into the rows of `area`, in a range from lowest to highest.
pub fn draw(
    buffer: &mut Buffer,
    area: Rect,
    values: &[Option<f64>],
    range: (f64, f64),
    (theme, style): (Theme, Style),
) {
    let area = area.intersection(*buffer.area());
    let (low, high) = range;
    let shown = values.len().min(usize::from(area.width));
    let columns =
        (area.right() - u16::try_from(shown).unwrap_or(area.width)..area.right()).zip(&values[values.len() - shown..]);
    for (x, value) in columns {
        for row in 0..area.height {
            let (symbol, style) = match value {
                Some(value) => (bar(theme, (*value - low) / (high - low), row, area.height), style),
                None if row == 0 => (theme.glyphs.gap, theme.dim()),
                None => (' ', style),
            };
            if let Some(cell) = buffer.cell_mut((x, area.bottom() - 1 - row)) {
                cell.set_char(symbol).set_style(style);
            }
        }
    }
}

/// The part of a bar that is in `row`, counted from the ground. A known value is never invisible.
fn bar(theme: Theme, share: f64, row: u16, rows: u16) -> char {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most eight times the rows")]
    let eighths = ((share * f64::from(rows) * 8.0).round() as u32).max(1);
    let symbols = if theme.glyphs.unicode { EIGHTHS } else { ASCII };
    match eighths.saturating_sub(u32::from(row) * 8) {
        0 => ' ',
        filled => symbols[filled.min(8) as usize - 1],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(values: &[Option<f64>], rows: u16) -> Vec<String> {
        let area = Rect::new(0, 0, 6, rows);
        let mut buffer = Buffer::empty(area);
        draw(&mut buffer, area, values, (0.0, 8.0), (Theme::coloured(), Style::new()));
        (0..rows).map(|y| (0..6).map(|x| buffer[(x, y)].symbol().to_owned()).collect()).collect()
    }

    #[test]
    fn the_newest_value_is_at_the_right_edge() {
        assert_eq!(drawn(&[Some(1.0), Some(8.0)], 1), ["    ▁█"]);
    }

    #[test]
    fn zero_is_a_thin_bar_and_unknown_is_a_dot() {
        assert_eq!(drawn(&[Some(8.0), Some(0.0), None], 1), ["   █▁·"]);
    }

    #[test]
    fn tall_bars_continue_in_the_row_above() {
        assert_eq!(drawn(&[Some(8.0), Some(4.0)], 2), ["    █ ", "    ██"]);
    }
}
