//! Queries: what all of them do together, and every summary with its share of the time. What is slow is not decided
//! here.
//!
//! ```text
//! 3.2k/s  p50 1.20ms  p95 8.40ms  p99 21.0ms  errors 0%  slow 0/s  per request 4.1
//! All queries p95 ──────────────────────   SELECT products p95 ───────────
//!  (chart)                                  (chart of the selected summary)
//!   query                      time    rate  errors     p50     p95     p99   slow
//! ▸ SELECT products             61%    1200      0%  1.20ms  8.40ms  21.0ms      0
//! ```

use ratatui::layout::Rect;

use super::chart::Scale;
use super::judgement;
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece};
use super::quantity::{count, known, percent, seconds};
use super::requests::{nothing_to_show, rate};
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use crate::model::Chart;
use crate::model::reading::{Queries, QuerySummary};

/// What a query is called; one that did not say has a name too.
pub fn name(query: &QuerySummary) -> &str {
    if query.summary.is_empty() { "(unnamed)" } else { query.summary.as_str() }
}

fn time(value: Option<f64>) -> Cell {
    Cell::judged(known(value, seconds), judgement::query_seconds(value))
}

fn optional(value: Option<u64>) -> Cell {
    Cell::new(known(value.map(|value| value as f64), count))
}

impl Row for QuerySummary {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("query", 20, 0, |query| Cell::new(name(query))),
        Column::number("time", 5, 2, |query| Cell::new(known(query.time_share, percent)), |query| query.time_share),
        Column::number("rate", 5, 1, |query| Cell::new(known(query.rate, count)), |query| query.rate),
        Column::number("errors", 6, 3, errors, |query| query.error_ratio),
        Column::number("p50", 6, 5, |query| time(query.p50_seconds), |query| query.p50_seconds),
        Column::number("p95", 6, 1, |query| time(query.p95_seconds), |query| query.p95_seconds),
        Column::number("p99", 6, 4, |query| time(query.p99_seconds), |query| query.p99_seconds),
        Column::number("mean", 6, 8, |query| time(query.mean_seconds), |query| query.mean_seconds),
        Column::number("slow", 5, 6, |query| optional(query.slow), |query| query.slow.map(|slow| slow as f64)),
        Column::number("rows", 5, 8, |query| Cell::new(known(query.rows_mean, count)), |query| query.rows_mean),
        Column::number("total", 6, 7, |query| optional(Some(query.total)), |query| Some(query.total as f64)),
        Column::unordered("system", 10, 9, |query| Cell::new(query.system.as_str())),
    ];
    const ORDER: usize = 1;

    fn identity(&self) -> String {
        format!("{} {}", name(self), self.system).trim_end().to_owned()
    }

    fn searched(&self) -> String {
        name(self).to_owned()
    }
}

fn errors(query: &QuerySummary) -> Cell {
    Cell::judged(known(query.error_ratio, percent), judgement::error_ratio(query.error_ratio))
}

/// The panel of the overview.
pub fn overview(scene: &Scene<'_>, pen: &Pen<'_>) -> Panel {
    let target = scene.target();
    let none = Queries::default();
    let queries = target.map_or(&none, |target| &target.queries);
    let mut lines = vec![percentiles(pen, queries), counts(pen, queries)];
    let heaviest = target.and_then(|target| judgement::largest(&target.query_summaries, |query| query.time_share));
    if let Some(query) = heaviest {
        let mut line = vec![Piece::new(format!("{}  ", name(query)), pen.theme.text())];
        line.extend([
            Piece::new(known(query.time_share, percent), pen.theme.strong()),
            Piece::new(" of the time  ", pen.theme.dim()),
        ]);
        lines.push(line);
    }
    Panel {
        title: "Queries".to_owned(),
        figure: vec![Piece::new(rate(queries.rate), pen.theme.strong())],
        trend: Some(Trend::area(Chart::QueryP95, Scale::Seconds)),
        lines,
    }
}

fn percentiles(pen: &Pen<'_>, queries: &Queries) -> Vec<Piece> {
    let of = |label, value| pen.judged(label, &known(value, seconds), judgement::query_seconds(value));
    [of("p50", queries.p50_seconds), of("p95", queries.p95_seconds), of("p99", queries.p99_seconds)].concat()
}

fn counts(pen: &Pen<'_>, queries: &Queries) -> Vec<Piece> {
    let many = if queries.per_request.is_some_and(|each| each > 10.0) { Severity::Warning } else { Severity::Fine };
    let slow = if queries.slow_rate.is_some_and(|rate| rate > 0.0) { Severity::Warning } else { Severity::Fine };
    [
        pen.judged("errors", &known(queries.error_ratio, percent), judgement::error_ratio(queries.error_ratio)),
        pen.judged("slow", &rate(queries.slow_rate), slow),
        pen.judged("per request", &known(queries.per_request, count), many),
    ]
    .concat()
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let choice = scene.screen.table();
    let shown = table::ordered(&target.query_summaries, &choice);
    let chosen = table::selected(&shown, &choice);
    let rate = pen.figure("", &rate(target.queries.rate)).to_vec();
    let first = [rate, percentiles(pen, &target.queries)].concat();
    let rest = panel::summary(pen, area, &[first, counts(pen, &target.queries)]);
    if scene.screen.detail {
        return match table::pinned(&target.query_summaries, &choice) {
            Some(query) => detail(scene, pen, rest, query),
            None => pen.explain(rest, &table::gone(&choice)),
        };
    }
    let mut left_out = table::left_out::<QuerySummary>(area.width);
    let chart_rows = panel::chart_rows(rest.height, shown.len());
    if chart_rows == 0 {
        left_out.insert(0, "charts");
    }
    let (charts, rows) = panel::split(rest, chart_rows);
    draw_charts(scene, pen, charts, chosen);
    let rows = if area.width < 60 { panel::missing(pen, rows, &left_out) } else { rows };
    if shown.is_empty() {
        return pen.explain(rows, &nothing_to_show(target.query_summaries.len(), "query", &choice.filter));
    }
    table::draw(pen, rows, &shown, &choice);
}

fn draw_charts(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, chosen: Option<&QuerySummary>) {
    if area.height < 4 {
        return;
    }
    let places = panel::columns(area, 2);
    let all = pen.heading(places[0], "All queries", &[Piece::new("p95", pen.theme.series(0))]);
    Trend::area(Chart::QueryP95, Scale::Seconds).draw_chart(scene, pen, all);
    if let Some(query) = chosen {
        let title = crate::text::cut(name(query), usize::from(places[1].width.saturating_sub(7))).into_owned();
        let one = pen.heading(places[1], &title, &[Piece::new("p95", pen.theme.series(0))]);
        p95_of(query).draw_chart(scene, pen, one);
    }
}

fn p95_of(query: &QuerySummary) -> Trend {
    let p95 = Chart::QuerySummaryP95 { system: query.system.clone(), summary: query.summary.clone() };
    Trend::area(p95, Scale::Seconds)
}

fn detail(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, query: &QuerySummary) {
    let area = pen.heading(area, name(query), &[Piece::new("esc back", pen.theme.dim())]);
    let of = |label, value| pen.judged(label, &known(value, seconds), judgement::query_seconds(value));
    let failures = query.by_error.iter().flat_map(|(kind, failed)| {
        let severity = if *failed > 0 { Severity::Warning } else { Severity::Fine };
        pen.judged(kind.as_str(), &count(*failed as f64), severity)
    });
    let lines: [Vec<Piece>; 4] = [
        [
            pen.figure("", &rate(query.rate)),
            of("p50", query.p50_seconds),
            of("p95", query.p95_seconds),
            of("p99", query.p99_seconds),
            of("mean", query.mean_seconds),
        ]
        .concat(),
        [
            pen.figure("share of all query time", &known(query.time_share, percent)),
            pen.figure("rows each", &known(query.rows_mean, count)),
            pen.figure("system", query.system.as_str()),
        ]
        .concat(),
        [
            pen.figure("since the start", &count(query.total as f64)),
            pen.figure("slow", &known(query.slow.map(|slow| slow as f64), count)),
            pen.judged("failed", &count(query.errors as f64), judgement::error_ratio(query.error_ratio)),
        ]
        .concat(),
        failures.collect(),
    ];
    let (figures, charts) = panel::split(area, 5);
    for (row, line) in (0..figures.height).zip(&lines) {
        pen.write(figures, row, line);
    }
    if charts.height < 5 {
        return;
    }
    let [left, right] = panel::halves(charts);
    let time = pen.heading(left, "Time p95", &[]);
    p95_of(query).draw_chart(scene, pen, time);
    let runs = pen.heading(right, "Queries a second", &[]);
    let rate = Chart::QuerySummaryRate { system: query.system.clone(), summary: query.summary.clone() };
    Trend::area(rate, Scale::Count).draw_chart(scene, pen, runs);
}
