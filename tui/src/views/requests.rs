//! Requests: what all of them do together, the chart of the latency, and every route. What is slow is not decided here.
//!
//! ```text
//! p50 12.3ms  p95 84.0ms  p99 210ms  842/s  errors 0.4%  in flight 12
//! Latency p50 p95 p99 ──────────────────   GET /orders/{id} p95 ──────────
//!  (chart)                                  (chart of the selected route)
//!   route                      rate  errors     p50     p95     p99
//! ▸ GET /orders/{id}            120    0.2%  12.3ms  84.0ms   210ms
//! ```

use ratatui::layout::Rect;

use super::chart::Scale;
use super::judgement;
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece};
use super::quantity::{UNKNOWN, count, known, percent, seconds};
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use super::traces;
use crate::model::Chart;
use crate::model::reading::{Requests, Route, StatusSplit};
use crate::text::Text;

/// The name of a route with its method; requests that matched no route have a name too.
pub fn name(route: &Route) -> String {
    name_of(&route.method, route.route.as_ref())
}

/// The same of what is no route's figures.
pub fn name_of(method: &Text, route: Option<&Text>) -> String {
    format!("{method} {}", route.map_or("(no route)", Text::as_str))
}

fn latency(value: Option<f64>) -> Cell {
    Cell::judged(known(value, seconds), judgement::request_seconds(value))
}

impl Row for Route {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("route", 24, 0, |route| Cell::new(name(route))),
        Column::number("rate", 5, 1, |route| Cell::new(known(route.rate, count)), |route| route.rate),
        Column::number("errors", 6, 2, errors, |route| route.error_ratio),
        Column::number("p50", 6, 4, |route| latency(route.p50_seconds), |route| route.p50_seconds),
        Column::number("p95", 6, 1, |route| latency(route.p95_seconds), |route| route.p95_seconds),
        Column::number("p99", 6, 3, |route| latency(route.p99_seconds), |route| route.p99_seconds),
        Column::number("mean", 6, 9, |route| latency(route.mean_seconds), |route| route.mean_seconds),
        Column::number(
            "2xx",
            5,
            7,
            |route| whole(in_window(route, |split| split.success)),
            |route| in_window(route, |split| split.success),
        ),
        Column::number(
            "3xx",
            5,
            8,
            |route| whole(in_window(route, |split| split.redirect)),
            |route| in_window(route, |split| split.redirect),
        ),
        Column::number(
            "4xx",
            5,
            7,
            |route| whole(in_window(route, |split| split.client_error)),
            |route| in_window(route, |split| split.client_error),
        ),
        Column::number(
            "5xx",
            5,
            7,
            |route| whole(in_window(route, |split| split.server_error)),
            |route| in_window(route, |split| split.server_error),
        ),
        Column::number(
            "cancelled",
            9,
            6,
            |route| whole(in_window(route, |split| split.cancelled)),
            |route| in_window(route, |split| split.cancelled),
        ),
        Column::number("total", 6, 5, |route| whole(Some(route.total as f64)), |route| Some(route.total as f64)),
    ];
    const ORDER: usize = 4;

    fn identity(&self) -> String {
        name(self)
    }
}

fn errors(route: &Route) -> Cell {
    Cell::judged(known(route.error_ratio, percent), judgement::error_ratio(route.error_ratio))
}

fn whole(requests: Option<f64>) -> Cell {
    Cell::new(known(requests, count))
}

fn in_window(route: &Route, class: impl Fn(StatusSplit) -> u64) -> Option<f64> {
    route.statuses.map(|split| class(split) as f64)
}

/// The panel of the overview.
pub fn overview(scene: &Scene<'_>, pen: &Pen<'_>) -> Panel {
    let target = scene.target();
    let none = Requests::default();
    let requests = target.map_or(&none, |target| &target.requests);
    let mut lines = vec![percentiles(pen, requests), counts(pen, requests)];
    let slowest = target.and_then(|target| judgement::largest(&target.routes, |route| route.p95_seconds));
    if let Some(route) = slowest {
        let p95 = known(route.p95_seconds, seconds);
        let [label, mut time] = pen.judged("slowest", &p95, judgement::request_seconds(route.p95_seconds));
        time.text.truncate(time.text.trim_end().len());
        let line = vec![label, time, Piece::new(format!(" {}", name(route)), pen.theme.text())];
        lines.push(line);
    }
    Panel {
        title: "Requests".to_owned(),
        figure: vec![Piece::new(rate(requests.rate), pen.theme.strong())],
        trend: Some(Trend::area(Chart::RequestRate, Scale::Count)),
        lines,
    }
}

/// A rate with its unit.
pub fn rate(value: Option<f64>) -> String {
    known(value, |value| format!("{}/s", count(value)))
}

fn percentiles(pen: &Pen<'_>, requests: &Requests) -> Vec<Piece> {
    let of = |label, value| pen.judged(label, &known(value, seconds), judgement::request_seconds(value));
    [of("p50", requests.p50_seconds), of("p95", requests.p95_seconds), of("p99", requests.p99_seconds)].concat()
}

fn counts(pen: &Pen<'_>, requests: &Requests) -> Vec<Piece> {
    let ratio = requests.error_ratio;
    [
        pen.judged("errors", &known(ratio, percent), judgement::error_ratio(ratio)),
        pen.figure("in flight", &known(requests.in_flight.map(|count| count as f64), count)),
        pen.figure("cancelled", &rate(requests.cancelled_rate)),
    ]
    .concat()
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let choice = scene.screen.table();
    let shown = table::ordered(&target.routes, &choice);
    let chosen = table::selected(&shown, &choice);
    let rest = summary(pen, area, &target.requests);
    if scene.screen.detail {
        return match table::pinned(&target.routes, &choice) {
            Some(route) => detail(scene, pen, rest, route),
            None => pen.explain(rest, &table::gone(&choice)),
        };
    }
    let mut left_out = table::left_out::<Route>(area.width);
    let chart_rows = panel::chart_rows(rest.height, shown.len());
    if chart_rows == 0 {
        left_out.insert(0, "charts");
    }
    let (charts, rows) = panel::split(rest, chart_rows);
    draw_charts(scene, pen, charts, chosen);
    let rows = if area.width < 60 { panel::missing(pen, rows, &left_out) } else { rows };
    if shown.is_empty() {
        return pen.explain(rows, &nothing_to_show(target.routes.len(), "route", &choice.filter));
    }
    table::draw(pen, rows, &shown, &choice);
}

fn summary(pen: &mut Pen<'_>, area: Rect, requests: &Requests) -> Rect {
    let rate = pen.figure("", &rate(requests.rate)).to_vec();
    let first = [rate, percentiles(pen, requests)].concat();
    panel::summary(pen, area, &[first, counts(pen, requests), split(pen, requests.statuses)])
}

/// Why a table is empty.
pub fn nothing_to_show(unfiltered: usize, what: &str, filter: &str) -> String {
    if unfiltered == 0 {
        format!("no {what} has been recorded yet")
    } else {
        format!("no {what} contains \"{filter}\"; esc removes the filter")
    }
}

fn draw_charts(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, chosen: Option<&Route>) {
    if area.height < 4 {
        return;
    }
    let places = panel::columns(area, 2);
    draw_latency(scene, pen, places[0]);
    if let Some(route) = chosen {
        draw_route(scene, pen, places[1], route);
    }
}

fn draw_latency(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let legend = ["p50 ", "p95 ", "p99"].iter().enumerate().map(|(at, label)| Piece::new(*label, pen.theme.series(at)));
    let body = pen.heading(area, "All requests", &legend.collect::<Vec<_>>());
    let lines = vec![Chart::RequestP50, Chart::RequestP95, Chart::RequestP99];
    Trend::lines(lines, Scale::Seconds).draw_chart(scene, pen, body);
}

fn draw_route(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, route: &Route) {
    let figures = vec![Piece::new("p95", pen.theme.series(0))];
    let title = crate::text::cut(&name(route), usize::from(area.width.saturating_sub(7))).into_owned();
    let body = pen.heading(area, &title, &figures);
    let chart = Chart::RouteP95 { method: route.method.clone(), route: route.route.clone() };
    Trend::area(chart, Scale::Seconds).draw_chart(scene, pen, body);
}

fn detail(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, route: &Route) {
    let area = pen.heading(area, &name(route), &[Piece::new("esc back", pen.theme.dim())]);
    let lines = detail_lines(scene, pen, route);
    let (figures, charts) = panel::split(area, u16::try_from(lines.len()).unwrap_or(area.height));
    for (row, line) in (0..figures.height).zip(&lines) {
        pen.write(figures, row, line);
    }
    if charts.height < 5 {
        return;
    }
    let [left, right] = panel::halves(charts);
    let (method, path) = (route.method.clone(), route.route.clone());
    let latency = pen.heading(left, "Latency p95", &[]);
    let chart = Chart::RouteP95 { method: method.clone(), route: path.clone() };
    Trend::area(chart, Scale::Seconds).draw_chart(scene, pen, latency);
    let rate = pen.heading(right, "Requests a second", &[]);
    Trend::area(Chart::RouteRate { method, route: path }, Scale::Count).draw_chart(scene, pen, rate);
}

fn detail_lines(scene: &Scene<'_>, pen: &Pen<'_>, route: &Route) -> Vec<Vec<Piece>> {
    let of = |label, value| pen.judged(label, &known(value, seconds), judgement::request_seconds(value));
    let exact = route.by_status.iter().map(|(status, requests)| {
        let bad = status.as_str().starts_with('5') || *status == "panic";
        let severity = if bad && *requests > 0 { Severity::Warning } else { Severity::Fine };
        pen.judged(status.as_str(), &count(*requests as f64), severity)
    });
    let mut lines = vec![
        [
            pen.figure("", &rate(route.rate)),
            of("p50", route.p50_seconds),
            of("p95", route.p95_seconds),
            of("p99", route.p99_seconds),
            of("mean", route.mean_seconds),
        ]
        .concat(),
        [
            pen.judged("errors", &known(route.error_ratio, percent), judgement::error_ratio(route.error_ratio)),
            pen.figure("cancelled", &count(route.cancelled as f64)),
            pen.figure("since the start", &count(route.total as f64)),
        ]
        .concat(),
        std::iter::once(Piece::new("in the window  ", pen.theme.dim())).chain(split(pen, route.statuses)).collect(),
        exact.flatten().collect(),
    ];
    lines.extend(traces::of_route(scene, pen, route));
    lines.push(vec![]);
    lines
}

/// Requests of the window by how they ended.
fn split(pen: &Pen<'_>, split: Option<StatusSplit>) -> Vec<Piece> {
    let Some(split) = split else { return pen.figure("", UNKNOWN).to_vec() };
    let classes = [
        ("2xx", split.success),
        ("3xx", split.redirect),
        ("4xx", split.client_error),
        ("5xx", split.server_error),
        ("cancelled", split.cancelled),
        ("other", split.other + split.informational),
    ];
    let total: u64 = classes.iter().map(|(_, requests)| requests).sum();
    let share = |requests: u64| judgement::share(Some(requests), Some(total));
    let shown = classes.iter().filter(|(_, requests)| *requests > 0);
    shown.flat_map(|(class, requests)| pen.figure(class, &known(share(*requests), percent))).collect()
}
