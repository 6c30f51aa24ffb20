//! Caches by tier: hit ratio, load, evictions and how full each is. When a ratio is bad is not decided here.
//!
//! ```text
//!   cache          hits    rate  misses  evicted/s  entries      size     limit
//! ▸ products l1     94%     842    1204        0.2     5000  12.4 MiB  64.0 MiB
//! products l1: hit ratio ────────────────
//!  (chart)
//! ```

use ratatui::layout::Rect;

use super::chart::Scale;
use super::judgement;
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece};
use super::pools::rows_of;
use super::quantity::{bytes, count, known, percent};
use super::requests::{nothing_to_show, rate};
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use crate::model::Chart;
use crate::model::reading::Cache;

/// A cache's name and its tier.
pub fn name(cache: &Cache) -> String {
    format!("{} {}", cache.name, cache.tier)
}

/// How bad a cache does.
pub fn severity(cache: &Cache) -> Severity {
    judgement::hit_ratio(cache.hit_ratio, cache.rate)
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn whole(value: Option<u64>) -> Cell {
    Cell::new(known(float(value), count))
}

fn size(value: Option<u64>) -> Cell {
    Cell::new(known(float(value), bytes))
}

fn failed(cache: &Cache) -> Cell {
    Cell::judged(count(cache.errors as f64), if cache.errors > 0 { Severity::Warning } else { Severity::Fine })
}

fn filled(cache: &Cache) -> Option<f64> {
    judgement::share(cache.bytes, cache.limit_bytes)
}

impl Row for Cache {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("cache", 14, 0, |cache| Cell::new(name(cache))),
        Column::number(
            "hits",
            5,
            1,
            |cache| Cell::judged(known(cache.hit_ratio, percent), severity(cache)),
            |cache| cache.hit_ratio,
        ),
        Column::number("rate", 5, 1, |cache| Cell::new(known(cache.rate, count)), |cache| cache.rate),
        Column::number("misses", 6, 3, |cache| whole(Some(cache.misses)), |cache| Some(cache.misses as f64)),
        Column::number("stale", 5, 7, |cache| whole(Some(cache.stale)), |cache| Some(cache.stale as f64)),
        Column::number("errors", 6, 4, failed, |cache| Some(cache.errors as f64)),
        Column::number("writes/s", 8, 8, |cache| Cell::new(known(cache.write_rate, count)), |cache| cache.write_rate),
        Column::number(
            "evicted/s",
            9,
            5,
            |cache| Cell::new(known(cache.eviction_rate, count)),
            |cache| cache.eviction_rate,
        ),
        Column::number("entries", 7, 3, |cache| whole(cache.entries), |cache| float(cache.entries)),
        Column::number("size", 8, 2, |cache| size(cache.bytes), |cache| float(cache.bytes)),
        Column::number("limit", 8, 6, |cache| size(cache.limit_bytes), |cache| float(cache.limit_bytes)),
        Column::number("full", 5, 9, |cache| Cell::new(known(filled(cache), percent)), filled),
    ];
    const ORDER: usize = 2;

    fn identity(&self) -> String {
        name(self)
    }
}

/// The panel of the overview.
pub fn overview(scene: &Scene<'_>, pen: &Pen<'_>) -> Panel {
    let caches = scene.target().map_or(&[][..], |target| &target.caches);
    let mut by_load: Vec<&Cache> = caches.iter().collect();
    by_load.sort_by(|a, b| severity(b).cmp(&severity(a)).then(b.rate.unwrap_or(0.0).total_cmp(&a.rate.unwrap_or(0.0))));
    let mut lines: Vec<Vec<Piece>> = by_load.iter().map(|cache| line(pen, cache)).collect();
    if lines.is_empty() {
        lines.push(vec![Piece::new("no cache is watched", pen.theme.dim())]);
    }
    let total = judgement::total(caches.iter().map(|cache| cache.rate));
    let figure = (!caches.is_empty()).then(|| vec![Piece::new(rate(total), pen.theme.strong())]);
    Panel {
        title: "Caches".to_owned(),
        figure: figure.unwrap_or_default(),
        trend: by_load.first().map(|cache| hits_of(cache)),
        lines,
    }
}

fn line(pen: &Pen<'_>, cache: &Cache) -> Vec<Piece> {
    let name = crate::text::cut(&name(cache), 14).into_owned();
    let mut line = vec![Piece::new(format!("{name:<14} "), pen.theme.text())];
    line.extend(pen.bar(cache.hit_ratio.unwrap_or_default(), 6, severity(cache)));
    let hits = format!("{:>6}", known(cache.hit_ratio, percent));
    let judged = severity(cache);
    let style = if judged > Severity::Info { pen.theme.severity(judged) } else { pen.theme.strong() };
    line.push(Piece::new(hits, style));
    line.push(Piece::new(" hits  ", pen.theme.dim()));
    line.push(Piece::new(format!("{:>6}  ", rate(cache.rate)), pen.theme.strong()));
    line
}

fn hits_of(cache: &Cache) -> Trend {
    let chart = Chart::CacheHitRatio { name: cache.name.clone(), tier: cache.tier.clone() };
    let mut trend = Trend::area(chart, Scale::Ratio);
    trend.limits.push((1.0, Severity::Unknown));
    trend
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let choice = scene.screen.table();
    let shown = table::ordered(&target.caches, &choice);
    if shown.is_empty() {
        return pen.explain(area, &nothing_to_show(target.caches.len(), "cache", &choice.filter));
    }
    let mut left_out = table::left_out::<Cache>(area.width);
    let table_rows = if area.height >= 12 { rows_of(shown.len(), area.height) } else { area.height };
    let (rows, charts) = panel::split(area, table_rows);
    if charts.height < 6 {
        left_out.insert(0, "charts");
    }
    let rows = if area.width < 60 { panel::missing(pen, rows, &left_out) } else { rows };
    table::draw(pen, rows, &shown, &choice);
    let Some(cache) = table::selected(&shown, &choice) else { return };
    draw_selected(scene, pen, charts, cache);
}

fn draw_selected(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, cache: &Cache) {
    if area.height < 6 {
        return;
    }
    let reasons =
        cache.by_eviction.iter().flat_map(|(reason, evicted)| pen.figure(reason.as_str(), &count(*evicted as f64)));
    let evicted: Vec<Piece> =
        std::iter::once(Piece::new("evicted since the start:  ", pen.theme.dim())).chain(reasons).collect();
    let body = pen.heading(area, &format!("{}: hit ratio", name(cache)), &[]);
    let (chart, below) = panel::split(body, body.height - 1);
    hits_of(cache).draw_chart(scene, pen, chart);
    if evicted.len() > 1 {
        pen.write(below, 0, &evicted);
    }
}
