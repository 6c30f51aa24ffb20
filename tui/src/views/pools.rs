//! Connection pools: how full each is, who waits, and how that developed. When that is a problem is not decided here.
//!
//! ```text
//!   pool        in use           max  idle  waiting  wait p95  given up
//! ▸ primary     ████████░░░░ 8    10     2        0    1.20ms         0
//! primary: in use ──────────────────────   primary: waiting ──────────────
//!  (chart with the maximum as a line)       (chart)
//! ```

use ratatui::layout::Rect;

use super::chart::Scale;
use super::judgement::{self, share};
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece};
use super::quantity::{count, known, percent, seconds};
use super::requests::{nothing_to_show, rate};
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use crate::model::Chart;
use crate::model::reading::Pool;

/// How bad a pool stands.
pub fn severity(pool: &Pool) -> Severity {
    judgement::pool(pool.used, pool.max, pool.pending)
}

fn whole(value: Option<u64>) -> String {
    known(value.map(|value| value as f64), count)
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn given_up(pool: &Pool) -> Cell {
    let now = pool.timeout_rate.is_some_and(|rate| rate > 0.0);
    Cell::judged(whole(pool.timeouts), if now { Severity::Critical } else { Severity::Fine })
}

fn waiting(pool: &Pool) -> Cell {
    let bad = if pool.pending.is_some_and(|pending| pending > 0) { severity(pool) } else { Severity::Fine };
    Cell::judged(whole(pool.pending), bad)
}

impl Row for Pool {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("pool", 10, 0, |pool| Cell::new(pool.name.as_str())),
        Column::number("in use", 6, 1, |pool| Cell::judged(whole(pool.used), severity(pool)), |pool| float(pool.used)),
        Column::number("of", 4, 2, |pool| Cell::new(whole(pool.max)), |pool| float(pool.max)),
        Column::number(
            "full",
            5,
            3,
            |pool| Cell::new(known(share(pool.used, pool.max), percent)),
            |pool| share(pool.used, pool.max),
        ),
        Column::number("idle", 5, 5, |pool| Cell::new(whole(pool.idle)), |pool| float(pool.idle)),
        Column::number("waiting", 7, 1, waiting, |pool| float(pool.pending)),
        Column::number(
            "wait p95",
            8,
            4,
            |pool| Cell::new(known(pool.wait_p95_seconds, seconds)),
            |pool| pool.wait_p95_seconds,
        ),
        Column::number("acquired", 8, 7, |pool| Cell::new(rate(pool.acquire_rate)), |pool| pool.acquire_rate),
        Column::number("given up", 8, 6, given_up, |pool| float(pool.timeouts)),
    ];
    const ORDER: usize = 3;

    fn identity(&self) -> String {
        self.name.as_str().to_owned()
    }
}

/// The panel of the overview.
pub fn overview(scene: &Scene<'_>, pen: &Pen<'_>) -> Panel {
    let pools = scene.target().map_or(&[][..], |target| &target.pools);
    let waiting = judgement::total(pools.iter().map(|pool| float(pool.pending)));
    let worst = pools.iter().max_by_key(|pool| (severity(pool), pool.pending));
    let mut lines: Vec<Vec<Piece>> = pools.iter().map(|pool| line(pen, pool)).collect();
    if lines.is_empty() {
        lines.push(vec![Piece::new("no pool is watched", pen.theme.dim())]);
    }
    let figure = worst.map(|worst| {
        let mut figure = pen.judged("", &format!("{} waiting", known(waiting, count)), severity(worst));
        figure[1].text.truncate(figure[1].text.trim_end().len());
        figure.to_vec()
    });
    Panel { title: "Pools".to_owned(), figure: figure.unwrap_or_default(), trend: worst.map(used_of), lines }
}

fn line(pen: &Pen<'_>, pool: &Pool) -> Vec<Piece> {
    let full = share(pool.used, pool.max).unwrap_or_default();
    let bar = pen.bar(full, 6, severity(pool));
    let name = crate::text::cut(pool.name.as_str(), 10).into_owned();
    let mut line = vec![Piece::new(format!("{name:<10} "), pen.theme.text())];
    line.extend(bar);
    line.push(Piece::new(format!(" {:>5}", format!("{}/{}", whole(pool.used), whole(pool.max))), pen.theme.strong()));
    if pool.pending.is_some_and(|pending| pending > 0) {
        line.push(Piece::new("  ", pen.theme.text()));
        line.extend(pen.judged("", &format!("{} waiting", whole(pool.pending)), severity(pool)));
    } else {
        line.push(Piece::new(" busy  ", pen.theme.dim()));
    }
    line
}

fn used_of(pool: &Pool) -> Trend {
    let mut trend = Trend::area(Chart::PoolUsed(pool.name.clone()), Scale::Count);
    trend.limits.extend(float(pool.max).map(|max| (max, Severity::Unknown)));
    trend
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let choice = scene.screen.table();
    let shown = table::ordered(&target.pools, &choice);
    if shown.is_empty() {
        return pen.explain(area, &nothing_to_show(target.pools.len(), "pool", &choice.filter));
    }
    let mut left_out = table::left_out::<Pool>(area.width);
    let table_rows = if area.height >= 12 { rows_of(shown.len(), area.height) } else { area.height };
    let (rows, charts) = panel::split(area, table_rows);
    if charts.height < 6 {
        left_out.insert(0, "charts");
    }
    let rows = if area.width < 60 { panel::missing(pen, rows, &left_out) } else { rows };
    table::draw(pen, rows, &shown, &choice);
    let Some(pool) = table::selected(&shown, &choice) else { return };
    draw_charts(scene, pen, charts, pool);
}

/// Rows for a table of so many rows that leave half of the height to charts.
pub fn rows_of(rows: usize, height: u16) -> u16 {
    u16::try_from(rows + 2).unwrap_or(height).min(height / 2)
}

fn draw_charts(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, pool: &Pool) {
    if area.height < 6 {
        return;
    }
    let [left, right] = &panel::columns(area, 2)[..] else { return };
    let limit = format!("{} = max", pen.theme.glyphs.threshold);
    let used = pen.heading(*left, &format!("{}: in use", pool.name), &[Piece::new(limit, pen.theme.dim())]);
    used_of(pool).draw_chart(scene, pen, used);
    let waiting = pen.heading(*right, &format!("{}: waiting", pool.name), &[]);
    Trend::area(Chart::PoolPending(pool.name.clone()), Scale::Count).draw_chart(scene, pen, waiting);
}
