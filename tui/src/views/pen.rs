//! Writing to the screen: text cut to its columns, headings, numbers with labels. What is written is not known here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

use super::theme::{Severity, Theme};
use crate::text;

/// A piece of a line: a text that is safe to print, and how it looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The text. From outside only what was a [`text::Text`].
    pub text: String,
    /// How it looks.
    pub style: Style,
}

impl Piece {
    /// A piece of a line.
    pub fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }

    /// How many columns it takes.
    pub fn width(&self) -> u16 {
        u16::try_from(self.text.width()).unwrap_or(u16::MAX)
    }
}

/// How many columns pieces take together.
pub fn width(pieces: &[Piece]) -> u16 {
    pieces.iter().map(Piece::width).fold(0, u16::saturating_add)
}

/// Writes to one buffer in one theme.
#[derive(Debug)]
pub struct Pen<'b> {
    /// Where it writes.
    pub buffer: &'b mut Buffer,
    /// How it looks.
    pub theme: Theme,
}

impl Pen<'_> {
    /// Writes `pieces` from the left of row `row` of `area`, cut with `…` at its right edge.
    pub fn write(&mut self, area: Rect, row: u16, pieces: &[Piece]) {
        if row >= area.height {
            return;
        }
        let mut left = area.width;
        for piece in pieces {
            let x = area.x + (area.width - left);
            let cut = text::cut(&piece.text, usize::from(left));
            let fits = cut.width() == piece.text.width();
            let (end, _) = self.buffer.set_stringn(x, area.y + row, self.spelled(&cut), usize::from(left), piece.style);
            left = left.saturating_sub(end.saturating_sub(x));
            if !fits || left == 0 {
                return;
            }
        }
    }

    /// Writes as many figures as fit whole; a figure ends with a piece that ends with two blanks. Only a first figure
    /// that does not fit is cut.
    pub fn write_whole(&mut self, area: Rect, row: u16, pieces: &[Piece]) {
        let mut ends = pieces.iter().enumerate().filter(|(_, piece)| piece.text.ends_with("  ")).map(|(at, _)| at + 1);
        let trimmed = |end: &usize| width(&pieces[..*end]) - 2;
        let whole = if width(pieces) <= area.width {
            pieces.len()
        } else {
            ends.rfind(|end| trimmed(end) <= area.width).unwrap_or(pieces.len())
        };
        let mut fitting = pieces[..whole].to_vec();
        if let Some(last) = fitting.last_mut().filter(|last| last.text.ends_with("  ")) {
            last.text.truncate(last.text.trim_end().len());
        }
        self.write(area, row, &fitting);
    }

    /// Writes `pieces` so that they end at the right edge of row `row`; where they do not fit they are cut.
    pub fn write_right(&mut self, area: Rect, row: u16, pieces: &[Piece]) {
        let taken = width(pieces).min(area.width);
        self.write(Rect { x: area.right() - taken, width: taken, ..area }, row, pieces);
    }

    /// The same text without characters the terminal cannot show.
    fn spelled<'t>(&self, line: &'t str) -> std::borrow::Cow<'t, str> {
        if self.theme.glyphs.unicode || line.is_ascii() {
            return line.into();
        }
        let ascii = |symbol: char| match symbol {
            'µ' => 'u',
            '–' | '—' => '-',
            '…' => '~',
            '·' => '|',
            '×' => 'x',
            '↑' => '^',
            '↓' => 'v',
            '←' => '<',
            '→' | '≥' => '>',
            symbol if symbol.is_ascii() => symbol,
            _ => '?',
        };
        line.chars().map(ascii).collect::<String>().into()
    }

    /// A line that heads a panel: its title, a rule, and figures at the right. Gives the area below it.
    pub fn heading(&mut self, area: Rect, title: &str, figures: &[Piece]) -> Rect {
        if area.height == 0 {
            return area;
        }
        let rule = self.theme.glyphs.rule.to_string().repeat(usize::from(area.width));
        self.write(area, 0, &[Piece::new(rule, self.theme.dim())]);
        let title = Piece::new(format!("{title} "), self.theme.title());
        let room = area.width.saturating_sub(title.width() + 2);
        self.write(area, 0, &[title]);
        if !figures.is_empty() && width(figures) <= room {
            let mut spaced = vec![Piece::new(" ", self.theme.text())];
            spaced.extend_from_slice(figures);
            self.write_right(area, 0, &spaced);
        }
        Rect { y: area.y + 1, height: area.height - 1, ..area }
    }

    /// A label in front of a number: `p95 84ms`, with two blanks behind it.
    pub fn figure(&self, label: &str, number: &str) -> [Piece; 2] {
        self.judged(label, number, Severity::Fine)
    }

    /// The same for a number that may be bad: then it has the colour and the glyph of its severity.
    pub fn judged(&self, label: &str, number: &str, severity: Severity) -> [Piece; 2] {
        let (mark, style) = if severity > Severity::Info {
            (self.theme.glyph(severity).to_string(), self.theme.severity(severity))
        } else {
            (String::new(), self.theme.strong())
        };
        let space = if label.is_empty() { "" } else { " " };
        [Piece::new(format!("{label}{space}"), self.theme.dim()), Piece::new(format!("{mark}{number}  "), style)]
    }

    /// Says in the middle of `area` why it is empty.
    pub fn explain(&mut self, area: Rect, why: &str) {
        let columns = usize::from(area.width.saturating_sub(2)).max(1);
        let lines = wrap(why, columns);
        let first = area.height.saturating_sub(u16::try_from(lines.len()).unwrap_or(area.height)) / 2;
        for (row, line) in (first..area.height).zip(lines) {
            let indent = (area.width.saturating_sub(u16::try_from(line.width()).unwrap_or(0))) / 2;
            let area = Rect { x: area.x + indent, width: area.width - indent, ..area };
            self.write(area, row, &[Piece::new(line, self.theme.dim())]);
        }
    }

    /// A bar of `columns` characters, filled in the ratio `share`.
    pub fn bar(&self, share: f64, columns: u16, severity: Severity) -> [Piece; 2] {
        let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the columns of a bar")]
        let filled = (share * f64::from(columns)).round() as usize;
        let style = if severity > Severity::Info { self.theme.severity(severity) } else { self.theme.series(0) };
        let [full, empty] = self.theme.glyphs.bar;
        [
            Piece::new(full.to_string().repeat(filled), style),
            Piece::new(empty.to_string().repeat(usize::from(columns) - filled), self.theme.dim()),
        ]
    }
}

/// `sentence` in lines of at most `columns` columns, broken between words; a longer word is cut.
pub fn wrap(sentence: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in sentence.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= columns => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(text::cut(word, columns).into_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(buffer: &Buffer, y: u16) -> String {
        (0..buffer.area().width).map(|x| buffer[(x, y)].symbol().to_owned()).collect()
    }

    fn pen(buffer: &mut Buffer) -> Pen<'_> {
        Pen { buffer, theme: Theme::coloured() }
    }

    #[test]
    fn a_line_is_cut_at_the_edge_of_its_area_and_says_so() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        let pieces = [Piece::new("queue ", Style::new()), Piece::new("email", Style::new())];
        pen(&mut buffer).write(Rect::new(0, 0, 9, 1), 0, &pieces);
        assert_eq!(row(&buffer, 0), "queue em…   ");
    }

    #[test]
    fn a_figure_that_does_not_fit_whole_is_left_out() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 18, 1));
        let mut pen = pen(&mut buffer);
        let figures = [pen.figure("p50", "1ms"), pen.figure("p95", "2ms"), pen.figure("p99", "3ms")].concat();
        pen.write_whole(Rect::new(0, 0, 16, 1), 0, &figures);
        assert_eq!(row(&buffer, 0), "p50 1ms  p95 2ms  ");
    }

    #[test]
    fn figures_that_do_not_fit_beside_the_title_are_left_out_whole() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 12, 1));
        pen(&mut buffer).heading(Rect::new(0, 0, 12, 1), "Requests", &[Piece::new("842/s", Style::new())]);
        assert_eq!(row(&buffer, 0), "Requests ───");
    }

    #[test]
    fn sentences_break_between_words() {
        assert_eq!(wrap("no pool is registered", 11), ["no pool is", "registered"]);
    }

    #[test]
    fn a_terminal_without_unicode_gets_ascii() {
        let mut buffer = Buffer::empty(Rect::new(0, 0, 8, 1));
        let mut pen = Pen { buffer: &mut buffer, theme: Theme::coloured().ascii() };
        pen.write(Rect::new(0, 0, 8, 1), 0, &[Piece::new("340µs –", Style::new())]);
        assert_eq!(row(&buffer, 0), "340us - ");
    }
}
