//! A chart over time in braille dots: lines and areas over one timeline, with axis labels, thresholds, gaps and restart
//! marks. What it shows comes from the caller.
//!
//! ```text
//!  2s ┤            ⢀⡀                p99 1.92s  p95 840ms     <- the caller's title is drawn by its panel
//!     ├╌╌╌╌╌╌╌╌╌╌╌╌⡸⠸⡀╌╌╌╌╌╌╌╌╌╌╌╌                             <- threshold
//!  1s ┤ ⣀⣀⡠⠔⠒⠒⠒⠉⠁  ⢱      ┊⣀⡠⠔⠒⠒                              <- a gap, a restart
//!   0 ┴────────────────────────────
//!     5m ago        2m30s       now
//! ```

use std::time::Duration;

use heartline_shared::UnixMillis;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::quantity;
use super::theme::Theme;
use crate::model::Axis;

/// Values of the axis in each character of a chart: braille has two columns of dots.
const VALUES_PER_CHARACTER: usize = 2;
/// Rows of dots in a character.
const DOTS: u16 = 4;
/// The bits of a braille character's dots, by column and by row from the top.
const BRAILLE: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];
const BRAILLE_BLANK: u32 = 0x2800;

/// One line or area.
#[derive(Debug, Clone)]
pub struct Series {
    /// One value for each column of the axis; nothing is a gap.
    pub values: Vec<Option<f64>>,
    /// Its colour.
    pub style: Style,
    /// Whether the space below it is filled.
    pub filled: bool,
}

/// What the numbers of the vertical axis are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
    /// A ratio, shown in percent.
    Ratio,
    /// A count or a rate.
    Count,
}

impl Scale {
    /// A number of this scale as text.
    pub fn write(self, value: f64) -> String {
        match self {
            Self::Seconds => quantity::seconds(value),
            Self::Bytes => quantity::bytes(value),
            Self::Ratio => quantity::percent(value),
            Self::Count => quantity::count(value),
        }
    }

    /// The same beside an axis, where small numbers must differ from each other.
    fn label(self, value: f64) -> String {
        match self {
            Self::Count if value != 0.0 && value.abs() < 1e-4 => format!("{value:.1e}"),
            Self::Count if value != 0.0 && value.abs() < 0.1 => {
                let written = format!("{value:.5}");
                written.trim_end_matches('0').to_owned()
            }
            _ => self.write(value),
        }
    }

    /// The smallest round number that is not below `value`.
    fn round_up(self, value: f64) -> f64 {
        const STEPS: [f64; 9] = [1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0];
        if value <= 0.0 || !value.is_finite() {
            return if self == Self::Count { 2.0 } else { 1.0 }; // half of it is a whole number too
        }
        let base = if self == Self::Bytes { 1024_f64.powf((value.ln() / 1024_f64.ln()).floor()) } else { 1.0 };
        let within = value / base;
        let decade = 10_f64.powf(within.log10().floor());
        let step = STEPS.into_iter().find(|step| *step * decade >= within * (1.0 - 1e-9));
        base * decade * step.unwrap_or(10.0)
    }
}

/// The lowest value of the vertical axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Zero, so that heights compare.
    Zero,
    /// Below the smallest value when all values are far above zero, so that a slow change can be seen.
    Close,
}

/// A chart: everything but the place where it is drawn.
#[derive(Debug, Clone)]
pub struct Chart<'a> {
    /// The axis of the values, made by [`axis`].
    pub axis: Axis,
    /// Lines and areas; later ones are drawn over earlier ones.
    pub series: Vec<Series>,
    /// What the numbers are.
    pub scale: Scale,
    /// Where the vertical axis begins.
    pub ground: Ground,
    /// Horizontal lines.
    pub thresholds: Vec<(f64, Style)>,
    /// When the process restarted.
    pub restarts: &'a [UnixMillis],
    /// Colours and characters.
    pub theme: Theme,
}

/// The columns that labels of the vertical axis take.
const LABELS: u16 = 9;

/// The axis of a chart that is drawn `width` characters wide. It moves by whole characters, so that an unchanged past is
/// drawn in unchanged cells.
pub fn axis(now: UnixMillis, span: Duration, width: u16) -> Axis {
    let columns = usize::from(width.saturating_sub(LABELS).max(1)) * VALUES_PER_CHARACTER;
    aligned(Axis { end: now, span, columns }, VALUES_PER_CHARACTER)
}

/// The axis of a spark line of `width` characters.
pub fn spark_axis(now: UnixMillis, span: Duration, width: u16) -> Axis {
    Axis { end: now, span, columns: usize::from(width.max(1)) }
}

/// The axis with its end moved into the last column of a whole character.
fn aligned(axis: Axis, per_character: usize) -> Axis {
    let (_, column_ms) = axis.edges();
    let character_ms = column_ms.saturating_mul(per_character as u64).max(1);
    let end = (axis.end.0 / character_ms + 1).saturating_mul(character_ms) - 1;
    Axis { end: UnixMillis(end), ..axis }
}

impl Chart<'_> {
    /// Draws it; needs three rows, and columns beside the labels.
    pub fn draw(&self, buffer: &mut Buffer, area: Rect) {
        let area = area.intersection(*buffer.area());
        if area.height < 3 || area.width <= LABELS + 4 {
            return;
        }
        let plot = Rect { x: area.x + LABELS, width: area.width - LABELS, height: area.height - 1, ..area };
        let (low, high) = self.range();
        self.draw_vertical_axis(buffer, area, (low, high));
        self.draw_marks(buffer, plot, (low, high));
        self.draw_series(buffer, plot, (low, high));
        self.draw_horizontal_axis(buffer, Rect { y: plot.bottom(), height: 1, ..plot });
    }

    fn range(&self) -> (f64, f64) {
        let values = self.series.iter().flat_map(|series| series.values.iter().flatten().copied());
        range(values, self.thresholds.iter().map(|(at, _)| *at), (self.scale, self.ground))
    }

    fn draw_vertical_axis(&self, buffer: &mut Buffer, area: Rect, (low, high): (f64, f64)) {
        let rows = area.height - 1;
        let labelled = [(0, 1.0), (rows / 2, 0.5), (rows - 1, 0.0)];
        for (row, share) in labelled.into_iter().filter(|(_, share)| rows >= 5 || *share != 0.5) {
            let label = self.scale.label(low + (high - low) * share);
            let label = format!("{label:>width$} ", width = usize::from(LABELS) - 1);
            buffer.set_stringn(area.x, area.y + row, label, usize::from(LABELS), self.theme.dim());
        }
    }

    fn draw_marks(&self, buffer: &mut Buffer, plot: Rect, range: (f64, f64)) {
        let glyphs = self.theme.glyphs;
        for (at, style) in &self.thresholds {
            let row = dot(*at, range, plot.height * DOTS) / DOTS;
            for x in plot.left()..plot.right() {
                put(buffer, (x, plot.bottom() - 1 - row), glyphs.threshold, *style);
            }
        }
        for slot in self.restarts.iter().filter_map(|at| self.axis.column_of(*at)) {
            let Ok(column) = u16::try_from(slot / VALUES_PER_CHARACTER) else { continue };
            for y in plot.top()..plot.bottom() {
                put(buffer, (plot.x + column.min(plot.width - 1), y), glyphs.restart, self.theme.text());
            }
        }
    }

    fn draw_series(&self, buffer: &mut Buffer, plot: Rect, range: (f64, f64)) {
        let dots = plot.height * DOTS;
        let mut canvas = Canvas::new(plot.width, plot.height);
        for (style, series) in self.series.iter().enumerate() {
            let mut before: Option<u16> = None;
            for (x, value) in series.values.iter().enumerate() {
                let Some(value) = value else {
                    before = None;
                    continue;
                };
                let y = dot(*value, range, dots);
                let edge = (before.map_or(y, |before| before.min(y)), before.map_or(y, |before| before.max(y)));
                if series.filled {
                    canvas.fill(x, edge.0, style);
                }
                canvas.line(x, edge, style);
                before = Some(y);
            }
        }
        let known = |slot: usize| self.series.iter().any(|series| series.values.get(slot).is_some_and(Option::is_some));
        for column in 0..plot.width {
            let first = usize::from(column) * VALUES_PER_CHARACTER;
            if !(first..first + VALUES_PER_CHARACTER).any(known) {
                put(buffer, (plot.x + column, plot.bottom() - 1), self.theme.glyphs.gap, self.theme.dim());
            }
        }
        for (column, row, bits, style) in canvas.cells() {
            let symbol = match (self.theme.glyphs.unicode, self.series[style].filled) {
                (true, _) => char::from_u32(BRAILLE_BLANK + u32::from(bits)).unwrap_or(' '),
                (false, true) => '#',
                (false, false) => '*',
            };
            put(buffer, (plot.x + column, plot.y + row), symbol, self.series[style].style);
        }
    }

    fn draw_horizontal_axis(&self, buffer: &mut Buffer, area: Rect) {
        let style = self.theme.dim();
        let left = format!("{} ago", short_span(self.axis.span));
        let middle = short_span(self.axis.span / 2);
        buffer.set_stringn(area.x, area.y, &left, usize::from(area.width), style);
        if area.width >= 30 {
            let x = area.x + area.width / 2 - u16::try_from(middle.len() / 2).unwrap_or(0);
            buffer.set_string(x, area.y, &middle, style);
        }
        if area.width >= 12 {
            buffer.set_string(area.right() - 3, area.y, "now", style);
        }
    }
}

/// A span as `5m`, `2m30s`, `30s`, `1h`.
fn short_span(span: Duration) -> String {
    let seconds = span.as_secs();
    match (seconds / 3600, seconds % 3600 / 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, 0) => format!("{minutes}m"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, 0, _) => format!("{hours}h"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// The lowest and the highest value of the vertical axis for these values and limits.
pub fn range(
    values: impl Iterator<Item = f64> + Clone,
    limits: impl Iterator<Item = f64>,
    (scale, ground): (Scale, Ground),
) -> (f64, f64) {
    let high = values.clone().chain(limits).fold(0.0, f64::max);
    let low = values.fold(f64::INFINITY, f64::min);
    let span = high - low;
    if ground == Ground::Zero || !low.is_finite() || low <= 0.0 || span > high * 0.5 {
        return (0.0, scale.round_up(high));
    }
    let span = scale.round_up((span * 1.25).max(high * 0.02));
    let step = span / 4.0;
    let low = (low / step).floor() * step;
    (low, low + span + if low + span < high { step } else { 0.0 })
}

/// The dot row of a value, counted from the ground.
fn dot(value: f64, (low, high): (f64, f64), dots: u16) -> u16 {
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the dots of a screen")]
    let at = (share * f64::from(dots - 1)).round() as u16;
    at
}

fn put(buffer: &mut Buffer, at: (u16, u16), symbol: char, style: Style) {
    if let Some(cell) = buffer.cell_mut(at) {
        cell.set_char(symbol).set_style(style);
    }
}

/// Dots and the series that drew last into each character.
struct Canvas {
    width: u16,
    height: u16,
    cells: Vec<(u8, usize)>,
}

impl Canvas {
    fn new(width: u16, height: u16) -> Self {
        Self { width, height, cells: vec![(0, 0); usize::from(width) * usize::from(height)] }
    }

    /// Sets every dot of one column from one row to another, both counted from the ground.
    fn line(&mut self, column: usize, (from, to): (u16, u16), series: usize) {
        (from..=to).for_each(|y| self.set(column, y, series));
    }

    /// Sets every other dot of one column up to a row, so that the line on top of an area stands out.
    fn fill(&mut self, column: usize, to: u16, series: usize) {
        (0..to).filter(|y| (usize::from(*y) + column).is_multiple_of(2)).for_each(|y| self.set(column, y, series));
    }

    fn set(&mut self, column: usize, y: u16, series: usize) {
        let (character, side) = (column / VALUES_PER_CHARACTER, column % VALUES_PER_CHARACTER);
        if character >= usize::from(self.width) {
            return;
        }
        let down = self.height * DOTS - 1 - y.min(self.height * DOTS - 1);
        let (bits, owner) = &mut self.cells[usize::from(down / DOTS) * usize::from(self.width) + character];
        *bits |= BRAILLE[side][usize::from(down % DOTS)];
        *owner = series;
    }

    /// Column, row from the top, dots and series of every character with a dot.
    fn cells(&self) -> impl Iterator<Item = (u16, u16, u8, usize)> {
        let places = (0..self.height).flat_map(|row| (0..self.width).map(move |column| (column, row)));
        let drawn = places.zip(&self.cells).filter(|(_, (bits, _))| *bits != 0);
        drawn.map(|((column, row), (bits, series))| (column, row, *bits, *series))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart<'a>(values: &[Option<f64>], restarts: &'a [UnixMillis], theme: Theme) -> Chart<'a> {
        Chart {
            axis: axis(UnixMillis(59_999), Duration::from_mins(1), 20 + LABELS),
            series: vec![Series { values: values.to_vec(), style: theme.series(0), filled: false }],
            scale: Scale::Seconds,
            ground: Ground::Zero,
            thresholds: vec![],
            restarts,
            theme,
        }
    }

    fn drawn(chart: &Chart<'_>) -> String {
        let area = Rect::new(0, 0, 20 + LABELS, 6);
        let mut buffer = Buffer::empty(area);
        chart.draw(&mut buffer, area);
        let row = |y| (0..area.width).map(|x| buffer[(x, y)].symbol().to_owned()).collect::<String>();
        (0..area.height).map(|y| row(y).trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_rising_line_with_a_gap_and_a_restart() {
        let values: Vec<_> = (0..40_u32).map(|at| (!(16..24).contains(&at)).then_some(f64::from(at) / 20.0)).collect();
        insta::assert_snapshot!(drawn(&chart(&values, &[UnixMillis(50_000)], Theme::coloured())));
    }

    #[test]
    fn without_unicode_the_line_is_made_of_stars() {
        let values: Vec<_> = (0..40_u32).map(|at| Some(f64::from(u32::from(at > 20)))).collect();
        assert!(drawn(&chart(&values, &[], Theme::coloured().ascii())).is_ascii());
    }

    #[test]
    fn the_axis_moves_by_whole_characters() {
        let at = |ms| axis(UnixMillis(ms), Duration::from_mins(1), 20 + LABELS).edges();
        assert_eq!(at(60_000), at(62_999));
        assert_eq!(at(63_000).0.since(at(60_000).0), Duration::from_secs(3));
    }

    #[test]
    fn the_top_of_the_axis_is_a_round_number() {
        let tops = [0.0, 0.84, 1.0, 1.2, 7.0, 9.0, 130.0].map(|value| Scale::Count.round_up(value));
        assert_eq!(tops, [2.0, 1.0, 1.0, 1.5, 8.0, 10.0, 150.0]);
        let mebi = 1024.0 * 1024.0;
        assert!((Scale::Bytes.round_up(300.0 * mebi) - 300.0 * mebi).abs() < 1.0);
    }

    #[test]
    fn a_slow_change_far_above_zero_fills_the_chart_when_asked() {
        let mut chart = chart(&[Some(100.0), Some(102.0)], &[], Theme::coloured());
        chart.ground = Ground::Close;
        let (low, high) = chart.range();
        assert!(low > 90.0 && low <= 100.0 && (102.0..110.0).contains(&high), "{low} {high}");
    }

    #[test]
    fn labels_of_a_rare_event_differ_from_each_other() {
        for high in [0.000_004, 0.003_3, 0.004, 0.015, 0.08, 0.3] {
            let mut chart = chart(&[Some(0.0), Some(high)], &[], Theme::coloured());
            chart.scale = Scale::Count;
            let shown = drawn(&chart);
            let labels: Vec<&str> = shown.lines().filter_map(|line| line.get(..usize::from(LABELS))).collect();
            let labels: Vec<&str> = labels.into_iter().map(str::trim).filter(|label| !label.is_empty()).collect();
            assert_eq!(labels.len(), 3, "{shown}");
            assert!(labels[0] != labels[1] && labels[1] != labels[2] && labels[2] == "0", "{shown}");
        }
    }
}
