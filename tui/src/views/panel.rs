//! A panel of the overview, and the charts of every view: heading, trend, lines, in whatever room there is. What they
//! say comes from the caller.
//!
//! ```text
//! Requests ─────────────────── 842/s     heading: title and the one figure
//! ▂▂▃▃▄▅▄▃▂▂▃▃▄▅▄▃▂▂▃▃▄▅▄▃▂▂▃▃▄▅▄▃▂▃▄    trend: a chart where there is room, else a spark line, else nothing
//! p50 12.3ms  p95 84.0ms  p99 210ms      lines: as many as fit, the most important first
//! ```

use ratatui::layout::Rect;

use super::chart::{self, Ground, Scale, Series};
use super::pen::{Pen, Piece};
use super::scene::Scene;
use super::spark;
use super::theme::Severity;
use crate::model::Chart;

/// Rows a chart needs to be worth its axis.
const CHART_ROWS_MIN: u16 = 5;
const CHART_ROWS_MAX: u16 = 16;

/// Histories that are drawn together.
#[derive(Debug, Clone)]
pub struct Trend {
    /// The lines; the first is also the spark line.
    pub lines: Vec<Chart>,
    /// What their numbers are.
    pub scale: Scale,
    /// Whether a single line is drawn as an area.
    pub filled: bool,
    /// Where the axis begins.
    pub ground: Ground,
    /// Horizontal lines with their severity.
    pub limits: Vec<(f64, Severity)>,
}

impl Trend {
    /// One history as an area.
    pub fn area(chart: Chart, scale: Scale) -> Self {
        Self { lines: vec![chart], scale, filled: true, ground: Ground::Zero, limits: vec![] }
    }

    /// Several histories as lines; the later ones are drawn over the earlier ones.
    pub fn lines(lines: Vec<Chart>, scale: Scale) -> Self {
        Self { lines, scale, filled: false, ground: Ground::Zero, limits: vec![] }
    }

    /// Draws it as a chart that fills `area`.
    pub fn draw_chart(&self, scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
        let axis = chart::axis(scene.now, scene.span(), area.width);
        let series = self.lines.iter().enumerate().map(|(at, line)| Series {
            values: scene.values(line, axis),
            style: pen.theme.series(at),
            filled: self.filled,
        });
        let restarts = scene.restarts();
        let chart = chart::Chart {
            axis,
            series: series.collect(),
            scale: self.scale,
            ground: self.ground,
            thresholds: self.limits.iter().map(|(at, severity)| (*at, pen.theme.severity(*severity))).collect(),
            restarts: &restarts,
            theme: pen.theme,
        };
        chart.draw(pen.buffer, area);
    }

    fn draw_spark(&self, scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
        let Some(line) = self.lines.first() else { return };
        let values = scene.values(line, chart::spark_axis(scene.now, scene.span(), area.width));
        let limits = self.limits.iter().map(|(at, _)| *at);
        let range = chart::range(values.iter().flatten().copied(), limits, (self.scale, self.ground));
        spark::draw(pen.buffer, area, &values, range, (pen.theme, pen.theme.series(0)));
    }
}

/// A panel of the overview.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its title, with the digit of the view that shows more.
    pub title: String,
    /// The one figure.
    pub figure: Vec<Piece>,
    /// How it developed.
    pub trend: Option<Trend>,
    /// What else there is to know, the most important first.
    pub lines: Vec<Vec<Piece>>,
}

impl Panel {
    /// Draws it into `area`.
    pub fn draw(&self, scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
        let body = pen.heading(area, &self.title, &self.figure);
        let lines = u16::try_from(self.lines.len()).unwrap_or(u16::MAX).min(body.height);
        let room = match &self.trend {
            Some(_) => (body.height - lines).min(CHART_ROWS_MAX),
            None => 0,
        };
        let rows = match room {
            0 => 0,
            1..CHART_ROWS_MIN => 1,
            rows => rows,
        };
        if let Some(trend) = &self.trend {
            let place = Rect { height: rows, ..body };
            match rows {
                0 => {}
                1 => trend.draw_spark(scene, pen, place),
                _ => trend.draw_chart(scene, pen, place),
            }
        }
        let below = Rect { y: body.y + rows, height: body.height - rows, ..body };
        self.draw_lines(pen, below);
    }

    fn draw_lines(&self, pen: &mut Pen<'_>, area: Rect) {
        let rows = usize::from(area.height);
        let hidden = self.lines.len().saturating_sub(rows);
        for (row, line) in (0..area.height).zip(&self.lines) {
            let last = hidden > 0 && row + 1 == area.height;
            let width = area.width.saturating_sub(if last { 4 } else { 0 });
            pen.write_whole(Rect { width, ..area }, row, line);
        }
        if hidden > 0 && rows > 0 {
            pen.write_right(area, area.height - 1, &[Piece::new(format!(" +{hidden}"), pen.theme.dim())]);
        }
    }
}

/// Cuts `area` into `columns` equal columns with a blank column pair between them.
pub fn columns(area: Rect, columns: u16) -> Vec<Rect> {
    const SPACE: u16 = 2;
    let width = (area.width + SPACE) / columns.max(1);
    let place = |at: u16| {
        let x = area.x + at * width;
        let last = at + 1 == columns;
        Rect { x, width: if last { area.right() - x } else { width - SPACE }, ..area }
    };
    (0..columns).map(place).collect()
}

/// Cuts `area` into `rows` rows of nearly equal height, the first ones taking what is left over.
pub fn rows(area: Rect, rows: u16) -> Vec<Rect> {
    let rows = rows.max(1);
    let (height, spare) = (area.height / rows, area.height % rows);
    let mut y = area.y;
    let place = |at: u16| {
        let height = height + u16::from(at < spare);
        let place = Rect { y, height, ..area };
        y += height;
        place
    };
    (0..rows).map(place).collect()
}

/// Splits `area` into its first `rows` rows and the rest.
pub fn split(area: Rect, rows: u16) -> (Rect, Rect) {
    let rows = rows.min(area.height);
    (Rect { height: rows, ..area }, Rect { y: area.y + rows, height: area.height - rows, ..area })
}

/// The two halves of an area for two charts: beside each other, or one above the other where there is height for it.
pub fn halves(area: Rect) -> [Rect; 2] {
    let halves = if area.height >= 24 { rows(area, 2) } else { columns(area, 2) };
    [halves[0], halves[1]]
}

/// Rows for the charts above a table of so many rows: what the table leaves, at least half, and none where there is
/// not enough for both.
pub fn chart_rows(height: u16, table_rows: usize) -> u16 {
    const BOTH: u16 = 14;
    let table = u16::try_from(table_rows + 2).unwrap_or(u16::MAX);
    if height < BOTH { 0 } else { height.saturating_sub(table).clamp(height / 2, height * 2 / 3) }
}

/// Writes groups of figures into one row if it is wide enough, else into a row each, at most two. Gives the area below.
pub fn summary(pen: &mut Pen<'_>, area: Rect, groups: &[Vec<Piece>]) -> Rect {
    const WIDE: u16 = 120;
    if area.width >= WIDE {
        let (top, rest) = split(area, 1);
        pen.write_whole(top, 0, &groups.concat());
        return rest;
    }
    let (top, rest) = split(area, 2);
    pen.write_whole(top, 0, &groups[0]);
    pen.write_whole(top, 1, &groups[1..].concat());
    rest
}

/// Says in the last row what a larger terminal would show, and gives the area above it; nothing missing takes no row.
pub fn missing(pen: &mut Pen<'_>, area: Rect, what: &[&str]) -> Rect {
    if what.is_empty() || area.height < 2 {
        return area;
    }
    let said = format!("not shown: {}", what.join(", "));
    pen.write(area, area.height - 1, &[Piece::new(said, pen.theme.dim())]);
    Rect { height: area.height - 1, ..area }
}
