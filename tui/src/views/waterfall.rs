//! Where the time of one request went: a bar of its parts, and its spans one below the other as long as they were open.
//! What the parts are comes from the target.
//!
//! ```text
//! ██████████████████████████████████████████████████████████████████▓▓▓▓─────────
//! █ queries 480ms 84% ×12  ▓ pool wait 31.0ms 5.4% ×12  ─ own 59.0ms 10%
//! POST /orders                      ────────────────────────────────────    570ms
//!   wait for pool primary ×12       ▓ ▓ ▓ ▓ ▓ ▓ ▓ ▓ ▓ ▓ ▓ ▓                31.0ms
//!   SELECT products ×12              █ █ █ █ █ █ █ █ █ █ █ █████████████     480ms
//! ```

use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr as _;

use super::pen::{Pen, Piece, width};
use super::quantity::{count, percent, seconds};
use super::theme::{Severity, Theme};
use crate::source::traces::{Branch, On, Part, Said};
use crate::text;

/// Columns of a time, with the space before it.
const TIME: u16 = 8;
/// The figures of the parts take one row of so many, so that room is left for the spans.
const FIGURES_PART: u16 = 4;
/// The most columns by which a span is indented.
const INDENT_MAX: usize = 16;

/// What stands for a part of the time in a bar: told apart by shape, not by colour alone.
fn mark(theme: Theme, on: On) -> (char, Style) {
    let (block, letter, style) = match on {
        On::Queries => ('█', 'q', theme.series(0)),
        On::PoolWait => ('▓', 'w', theme.series(3)),
        On::Cache => ('▒', 'c', theme.series(1)),
        On::Outbound => ('▞', 'o', theme.series(2)),
        On::Spans => ('░', 's', theme.series(4)),
        On::Own => ('─', '-', theme.dim()),
    };
    (if theme.glyphs.unicode { block } else { letter }, style)
}

/// The parts as one bar, and their figures in the rows below it; gives the area below those.
pub fn draw_parts(pen: &mut Pen<'_>, area: Rect, parts: &[Part]) -> Rect {
    let whole: f64 = parts.iter().map(|part| part.seconds).sum();
    if area.height == 0 || whole <= 0.0 {
        return area;
    }
    let mut before = 0.0;
    let mut drawn = 0;
    for part in parts {
        before += part.seconds;
        let end = column(before / whole, area.width);
        let (glyph, style) = mark(pen.theme, part.on);
        let place = Rect { x: area.x + drawn, width: end - drawn, ..area };
        pen.write(place, 0, &[Piece::new(glyph.to_string().repeat(usize::from(place.width)), style)]);
        drawn = end;
    }
    let mut figures: Vec<Vec<Piece>> = vec![vec![]];
    for part in parts {
        let figure = figure(pen.theme, part, whole);
        let last = figures.last_mut().map(|line| width(line)).unwrap_or_default();
        if last > 0 && last + width(&figure) > area.width + 2 {
            figures.push(vec![]);
        }
        if let Some(line) = figures.last_mut() {
            line.extend(figure);
        }
    }
    let room = (area.height / FIGURES_PART).max(1);
    let rows = (1..area.height)
        .zip(&figures)
        .take(usize::from(room))
        .map(|(row, line)| pen.write_whole(area, row, line))
        .count();
    let taken = u16::try_from(rows + 1).unwrap_or(area.height).min(area.height);
    Rect { y: area.y + taken, height: area.height - taken, ..area }
}

fn figure(theme: Theme, part: &Part, whole: f64) -> Vec<Piece> {
    let (glyph, style) = mark(theme, part.on);
    let times = part.count.filter(|times| *times > 1).map_or_else(String::new, |times| format!(" ×{times}"));
    vec![
        Piece::new(format!("{glyph} "), style),
        Piece::new(format!("{} ", part.on.words()), theme.dim()),
        Piece::new(seconds(part.seconds), theme.strong()),
        Piece::new(format!(" {}{times}  ", percent(part.seconds / whole)), theme.text()),
    ]
}

/// A row of the waterfall.
#[derive(Debug, Clone, Copy)]
enum Line<'b> {
    Span(&'b Branch),
    Event(&'b Branch, &'b Said),
}

impl Line<'_> {
    /// How much is lost where it is left out, in seconds: what was said counts more than any time.
    fn weight(self, place: usize) -> f64 {
        match self {
            Self::Span(_) if place == 0 => f64::INFINITY,
            // a message says nothing without the span that it is of
            Self::Span(branch) if branch.failed || !branch.events.is_empty() => f64::MAX,
            Self::Span(branch) => branch.seconds,
            Self::Event(..) => f64::MAX,
        }
    }
}

/// Draws the spans of a request that took `total` seconds. Where there is not room for all, the longest are shown, in
/// their order, and the rest is counted together with the `cut` ones that the target left out.
pub fn draw(pen: &mut Pen<'_>, area: Rect, branches: &[Branch], (total, cut): (f64, u64)) {
    let lines = branches.iter().flat_map(|branch| {
        std::iter::once(Line::Span(branch)).chain(branch.events.iter().map(move |said| Line::Event(branch, said)))
    });
    let mut lines: Vec<(usize, Line<'_>)> = lines.enumerate().collect();
    let count_rows = usize::from(area.height);
    let fits = lines.len() + usize::from(cut > 0) <= count_rows;
    let room = if fits { lines.len() } else { count_rows.saturating_sub(1) };
    lines.sort_by(|(a, one), (b, other)| other.weight(*b).total_cmp(&one.weight(*a)).then(a.cmp(b)));
    let hidden = lines.split_off(room.min(lines.len()));
    lines.sort_by_key(|(place, _)| *place);
    let columns = Columns::of(&lines, area.width);
    let whole = branches.iter().flat_map(|branch| &branch.open).map(|(_, end)| *end).fold(total, f64::max);
    for (row, (_, line)) in (0..area.height).zip(&lines) {
        columns.draw(pen, Rect { y: area.y + row, height: 1, ..area }, *line, whole);
    }
    if let Some(said) = left_out(&hidden, cut) {
        pen.write(area, u16::try_from(lines.len()).unwrap_or(area.height), &[Piece::new(said, pen.theme.dim())]);
    }
}

fn left_out(hidden: &[(usize, Line<'_>)], cut: u64) -> Option<String> {
    let spans = hidden.iter().filter_map(|(_, line)| match line {
        Line::Span(branch) => Some((branch.count, branch.seconds)),
        Line::Event(..) => None,
    });
    let (shorter, longest) =
        spans.fold((0, 0.0_f64), |(sum, longest), (count, seconds)| (sum + count, longest.max(seconds)));
    let here = match shorter {
        0 => None,
        1 => Some(format!("a shorter span of {} is not shown", seconds(longest))),
        _ => Some(format!("{} shorter spans are not shown, none over {}", count(shorter as f64), seconds(longest))),
    };
    let messages = hidden.iter().filter(|(_, line)| matches!(line, Line::Event(..))).count();
    let unsaid = match messages {
        0 => None,
        1 => Some("a message is not shown".to_owned()),
        _ => Some(format!("{messages} messages are not shown")),
    };
    let there = (cut > 0).then(|| format!("{} more were not kept by the agent", count(cut as f64)));
    let said: Vec<String> = here.into_iter().chain(unsaid).chain(there).collect();
    (!said.is_empty()).then(|| said.join("; "))
}

/// Where the names end and the bars begin.
struct Columns {
    name: u16,
    bar: u16,
}

impl Columns {
    fn of(lines: &[(usize, Line<'_>)], width: u16) -> Self {
        let names = lines.iter().filter_map(|(_, line)| match line {
            Line::Span(branch) => Some(name(branch).width()),
            Line::Event(..) => None,
        });
        let widest = u16::try_from(names.max().unwrap_or_default() + 2).unwrap_or(u16::MAX);
        let rest = width.saturating_sub(TIME);
        let name = widest.min(rest * 11 / 20);
        Self { name, bar: rest - name }
    }

    fn draw(&self, pen: &mut Pen<'_>, row: Rect, line: Line<'_>, whole: f64) {
        match line {
            Line::Span(branch) => self.draw_span(pen, row, branch, whole),
            Line::Event(branch, said) => {
                let severity = if said.is_error { Severity::Critical } else { Severity::Warning };
                let glyph = pen.theme.glyph(severity);
                let said = format!("{}{glyph} {}", indent(branch.depth + 1), said.message);
                pen.write(row, 0, &[Piece::new(said, pen.theme.severity(severity))]);
            }
        }
    }

    fn draw_span(&self, pen: &mut Pen<'_>, row: Rect, branch: &Branch, whole: f64) {
        let style = match (branch.failed, branch.depth) {
            (true, _) => pen.theme.severity(Severity::Critical),
            (false, 0) => pen.theme.strong(),
            (false, _) => pen.theme.text(),
        };
        let room = usize::from(self.name.saturating_sub(1));
        let name = text::cut(&name(branch), room).into_owned();
        pen.write(Rect { width: self.name, ..row }, 0, &[Piece::new(name, style)]);
        let (glyph, style) = mark(pen.theme, branch.on);
        for (began, ended) in &branch.open {
            // a span is at least a column, and begins before the last one
            let from = column(began / whole, self.bar).min(self.bar.saturating_sub(1));
            let to = column(ended / whole, self.bar).max(from + 1).min(self.bar);
            let place = Rect { x: row.x + self.name + from, width: to.saturating_sub(from), ..row };
            pen.write(place, 0, &[Piece::new(glyph.to_string().repeat(usize::from(place.width)), style)]);
        }
        pen.write_right(row, 0, &[Piece::new(seconds(branch.seconds), pen.theme.strong())]);
    }
}

/// A span's name with what is to be known of it.
fn name(branch: &Branch) -> String {
    let times = if branch.count > 1 { format!(" ×{}", branch.count) } else { String::new() };
    let failed = if branch.failed { " failed" } else { "" };
    let open = if branch.ended || branch.depth == 0 { "" } else { " unfinished" };
    format!("{}{}{times}{failed}{open}", indent(branch.depth), branch.name)
}

fn indent(depth: usize) -> String {
    " ".repeat((2 * depth).min(INDENT_MAX))
}

/// The column that a share of `width` ends in.
fn column(share: f64, width: u16) -> u16 {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most the width")]
    let column = (share * f64::from(width)).round() as u16;
    column
}

#[cfg(test)]
mod tests {
    use ratatui::buffer::Buffer;

    use super::*;

    fn branch(depth: usize, name: &str, on: On, open: &[(f64, f64)]) -> Branch {
        Branch {
            depth,
            name: name.into(),
            on,
            count: open.len() as u64,
            seconds: open.iter().map(|(from, to)| to - from).sum(),
            open: open.to_vec(),
            failed: false,
            ended: true,
            events: vec![],
        }
    }

    fn order() -> Vec<Branch> {
        vec![
            branch(0, "POST /orders", On::Own, &[(0.0, 1.0)]),
            branch(1, "SELECT users", On::Queries, &[(0.0, 0.25), (0.5, 0.75)]),
            branch(1, "call bank", On::Outbound, &[(0.75, 0.999)]),
            branch(2, "encode", On::Spans, &[(0.998, 0.999)]),
        ]
    }

    fn drawn(size: (u16, u16), theme: Theme, draw: impl FnOnce(&mut Pen<'_>, Rect)) -> Vec<String> {
        let area = Rect::new(0, 0, size.0, size.1);
        let mut buffer = Buffer::empty(area);
        draw(&mut Pen { buffer: &mut buffer, theme }, area);
        let row = |y| (0..size.0).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..size.1).map(|y| row(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn each_span_stands_where_it_was_open() {
        let rows = drawn((42, 4), Theme::coloured(), |pen, area| draw(pen, area, &order(), (1.0, 0)));
        assert_eq!(
            rows,
            [
                "POST /orders      ────────────────   1.00s",
                "  SELECT users ×2 ████    ████       500ms",
                "  call bank                   ▞▞▞▞   249ms",
                "    encode                       ░  1.00ms",
            ]
        );
    }

    #[test]
    fn without_room_the_longest_are_shown_and_the_rest_is_counted() {
        let rows = drawn((60, 3), Theme::coloured(), |pen, area| draw(pen, area, &order(), (1.0, 7)));
        assert!(rows[0].starts_with("POST /orders") && rows[1].starts_with("  SELECT users ×2"), "{rows:?}");
        assert_eq!(rows[2], "2 shorter spans are not shown, none over 249ms; 7 more were…");
    }

    #[test]
    fn what_was_logged_outlives_what_took_long() {
        let mut order = order();
        order[3].events.push(Said { is_error: true, message: "card \u{1b}[2J refused".into() });
        (order[3].failed, order[2].ended) = (true, false);
        let rows = drawn((60, 4), Theme::coloured(), |pen, area| draw(pen, area, &order, (1.0, 0)));
        assert!(rows[1].starts_with("    encode failed"), "{rows:?}");
        assert_eq!(rows[2], "      ■ card �[2J refused");
        let rows = drawn((60, 2), Theme::coloured(), |pen, area| draw(pen, area, &order, (1.0, 0)));
        assert_eq!(rows[1], "4 shorter spans are not shown, none over 500ms; a message i…");
        let rows = drawn((60, 9), Theme::coloured(), |pen, area| draw(pen, area, &order, (1.0, 0)));
        assert!(rows[2].starts_with("  call bank unfinished") && rows[3].starts_with("    encode failed"), "{rows:?}");
    }

    #[test]
    fn parts_fill_the_bar_and_are_told_apart_without_colour() {
        let part = |on, seconds, count| Part { on, seconds, count };
        let parts = [part(On::Queries, 0.75, Some(3)), part(On::Cache, 0.125, Some(1)), part(On::Own, 0.125, None)];
        let unicode = drawn((40, 8), Theme::coloured(), |pen, area| assert_eq!(draw_parts(pen, area, &parts).y, 3));
        assert_eq!(unicode[0], format!("{}{}{}", "█".repeat(30), "▒".repeat(5), "─".repeat(5)));
        assert_eq!(unicode[1..3], ["█ queries 750ms 75% ×3", "▒ cache 125ms 12%  ─ own 125ms 12%"]);
        let ascii = drawn((40, 1), Theme::coloured().ascii(), |pen, area| {
            draw_parts(pen, area, &parts);
        });
        assert_eq!(ascii[0], format!("{}{}{}", "q".repeat(30), "c".repeat(5), "-".repeat(5)));
    }

    #[test]
    fn no_times_and_no_room_draw_nothing_and_do_not_panic() {
        for (width, height) in [(0, 0), (1, 1), (5, 2), (9, 3)] {
            drawn((width, height), Theme::coloured(), |pen, area| {
                draw(pen, area, &[branch(0, "GET /", On::Own, &[(0.0, 0.0)])], (0.0, 0));
                draw(pen, area, &order(), (f64::NAN, 3));
                draw_parts(pen, area, &[Part { on: On::Own, seconds: 0.0, count: None }]);
            });
        }
    }
}
