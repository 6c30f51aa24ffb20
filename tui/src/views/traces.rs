//! Single requests: those that are open, were slow or failed, and where the time of each went. Which requests are slow
//! is decided by their service.
//!
//! ```text
//! 3 open  257 slow  0 failed fast  since the start  slow from 500ms on  kept for 5m00s
//!   request             ▾took  state   most of the time                  ended
//! ▸ POST /orders        590ms  slow    95% SELECT cart_items by user  07:32:26
//!   GET /users/{id}     425ms  open    425ms SELECT orders by user           –
//! POST /orders ────────────────────────────────────────────────────────────
//!  (the parts of the selected request and its spans)
//! ```

use ratatui::layout::Rect;

use super::header::time_of_day;
use super::judgement;
use super::panel;
use super::pen::{Pen, Piece};
use super::pools::rows_of;
use super::quantity::{UNKNOWN, age, count, percent, seconds};
use super::requests::{name_of, nothing_to_show};
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use super::waterfall;
use crate::model::reading::Route;
use crate::source::traces::{SERVER_ERRORS, Stage, Told, Traced};
use crate::text::Text;

/// The least rows that the selected request is worth below the table.
const SELECTED_ROWS_MIN: u16 = 7;
/// With fewer rows the ids make room for the spans.
const IDS_ROWS_MIN: u16 = 10;
/// After this long an answer is old.
const OLD_SECONDS: u64 = 10;

fn name(request: &Traced) -> String {
    name_of(&request.method, request.route.as_ref())
}

fn severity(request: &Traced) -> Severity {
    judgement::request_seconds(Some(request.seconds))
}

fn status(request: &Traced) -> Option<f64> {
    request.status.map(f64::from)
}

fn ended(request: &Traced) -> String {
    request.ended.map_or_else(|| UNKNOWN.to_owned(), time_of_day)
}

/// What took most of it, behind its share; of an open one what it waits for, behind how long it has.
pub fn why(request: &Traced) -> String {
    let Some(most) = &request.most else { return UNKNOWN.to_owned() };
    if request.stage == Stage::Open {
        return format!("{} {}", seconds(most.seconds), most.name);
    }
    let times = if most.count > 1 { format!(" ×{}", most.count) } else { String::new() };
    let share =
        if request.seconds > 0.0 { percent((most.seconds / request.seconds).min(1.0)) } else { UNKNOWN.to_owned() };
    format!("{share} {}{times}", most.name)
}

fn id(id: Option<&Text>) -> Cell {
    Cell::new(id.map_or(UNKNOWN, Text::as_str))
}

impl Row for Traced {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("request", 18, 0, |request| Cell::new(name(request))),
        Column::number(
            "took",
            6,
            1,
            |request| Cell::judged(seconds(request.seconds), severity(request)),
            |request| Some(request.seconds),
        ),
        Column::name("state", 6, 2, |request| Cell::judged(request.stage.word(), state(request))),
        Column::name("most of the time", 30, 3, |request| Cell::new(why(request))),
        Column::number(
            "ended",
            8,
            4,
            |request| Cell::new(ended(request)),
            |request| request.ended.map(|at| at.0 as f64),
        ),
        Column::number("status", 6, 5, answered, status),
        Column::name("error", 8, 6, |request| id(request.error_type.as_ref())),
        Column::name("request id", 12, 7, |request| id(request.request_id.as_ref())),
        Column::name("trace", 12, 8, |request| id(request.trace_id.as_ref())),
    ];
    const ORDER: usize = 1;

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn searched(&self) -> String {
        let ids = [&self.trace_id, &self.request_id, &self.error_type].map(|id| id.as_ref().map_or("", Text::as_str));
        format!("{} {} {} {}", name(self), self.stage.word(), why(self), ids.join(" "))
    }
}

fn state(request: &Traced) -> Severity {
    if request.stage == Stage::Failed { Severity::Critical } else { Severity::Fine }
}

fn answered(request: &Traced) -> Cell {
    request.status.map_or_else(|| Cell::new(UNKNOWN), |status| Cell::judged(status.to_string(), of_status(status)))
}

fn of_status(status: u16) -> Severity {
    if status >= SERVER_ERRORS { Severity::Critical } else { Severity::Fine }
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(told) = scene.told() else { return pen.explain(area, &nothing_told(scene)) };
    let choice = scene.screen.table();
    let rest = summary(scene, pen, area, told);
    if scene.screen.detail {
        let opened = scene.opened.filter(|opened| choice.selected.as_ref() == Some(&opened.identity));
        return match table::pinned(&told.requests, &choice).or(opened) {
            Some(request) => detail(scene, pen, rest, (told, request)),
            None => pen.explain(rest, "the request is neither open nor kept any more; esc goes back"),
        };
    }
    let shown = table::ordered(&told.requests, &choice);
    if shown.is_empty() {
        return pen.explain(rest, &nothing_listed(told, &choice.filter));
    }
    let mut left_out = table::left_out::<Traced>(area.width);
    let table_rows = if rest.height >= 12 { rows_of(shown.len(), rest.height) } else { rest.height };
    let (rows, below) = panel::split(rest, table_rows);
    if below.height < SELECTED_ROWS_MIN {
        left_out.insert(0, "spans (enter)");
    }
    let rows = if area.width < 60 { panel::missing(pen, rows, &left_out) } else { rows };
    table::draw(pen, rows, &shown, &choice);
    if let Some(request) = table::selected(&shown, &choice).filter(|_| below.height >= SELECTED_ROWS_MIN) {
        let body = pen.heading(below, &name(request), &[Piece::new("enter all of it", pen.theme.dim())]);
        draw_time(pen, body, (told, request));
    }
}

/// Why nothing is known of single requests.
fn nothing_told(scene: &Scene<'_>) -> String {
    if scene.paused.is_some() {
        return "requests are not asked for while paused; p goes on".to_owned();
    }
    scene
        .silent_about_requests()
        .map_or_else(|| "asking for slow and open requests".to_owned(), |failure| failure.explanation().to_string())
}

fn nothing_listed(told: &Told, filter: &str) -> String {
    if told.requests.is_empty() {
        let slow = told.slow_seconds.map_or_else(String::new, |from| format!(" from {} on", seconds(from)));
        return format!("no request is open, and none was slow{slow} or failed in the newest {}", age(told.window));
    }
    nothing_to_show(told.requests.len(), "request", filter)
}

fn summary(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, told: &Told) -> Rect {
    let (top, rest) = panel::split(area, 1);
    let mut line = Vec::new();
    let old = scene.now.since(told.at);
    if let Some(failure) = scene.silent_about_requests() {
        line.extend(pen.judged("", &format!("{} old: {}", age(old), failure.explanation()), Severity::Warning));
    } else if old.as_secs() >= OLD_SECONDS {
        line.extend(pen.judged("", &format!("{} old", age(old)), Severity::Warning));
    }
    let listed = told.requests.iter().filter(|request| request.stage == Stage::Open).count();
    let oldest =
        if told.open > listed as u64 { format!(" open, {listed} oldest listed  ") } else { " open  ".to_owned() };
    line.extend([Piece::new(count(told.open as f64), pen.theme.strong()), Piece::new(oldest, pen.theme.dim())]);
    line.extend([Piece::new(count(told.slow as f64), pen.theme.strong()), Piece::new(" slow  ", pen.theme.dim())]);
    if told.keeps_spans {
        let failed = if told.failed > 0 { pen.theme.severity(Severity::Warning) } else { pen.theme.strong() };
        let failed = Piece::new(count(told.failed as f64), failed);
        line.extend([failed, Piece::new(" failed fast  ", pen.theme.dim())]);
    }
    line.push(Piece::new("since the start  ", pen.theme.dim()));
    if let Some(from) = told.slow_seconds {
        line.extend(pen.figure("slow from", &format!("{} on", seconds(from))));
    }
    line.extend([Piece::new(format!("kept for {}", age(told.window)), pen.theme.dim())]);
    pen.write_whole(top, 0, &line);
    rest
}

fn detail(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, (told, request): (&Told, &Traced)) {
    let is_listed = told.requests.iter().any(|listed| listed.identity == request.identity);
    let body = pen.heading(area, &name(request), &[Piece::new("esc back", pen.theme.dim())]);
    let ids = ids(pen, request).into_iter().filter(|_| body.height >= IDS_ROWS_MIN);
    let lines: Vec<Vec<Piece>> = std::iter::once(figures(scene, pen, (request, is_listed))).chain(ids).collect();
    let (top, rest) = panel::split(body, u16::try_from(lines.len()).unwrap_or(body.height));
    for (row, line) in (0..top.height).zip(&lines) {
        pen.write_whole(top, row, line);
    }
    draw_time(pen, rest, (told, request));
}

fn figures(scene: &Scene<'_>, pen: &Pen<'_>, (request, is_listed): (&Traced, bool)) -> Vec<Piece> {
    let took = if request.stage == Stage::Open { "open for" } else { "took" };
    let mut line = pen.judged(took, &seconds(request.seconds), severity(request)).to_vec();
    if !is_listed {
        // what became of an open one nobody knows
        let words = if request.stage == Stage::Open { "when last listed  " } else { "no longer listed  " };
        line.push(Piece::new(words, pen.theme.severity(Severity::Info)));
    }
    if let Some(status) = request.status {
        line.extend(pen.judged("status", &status.to_string(), of_status(status)));
    }
    if let Some(error) = &request.error_type {
        line.extend(pen.judged("error", error.as_str(), state(request)));
    }
    line.extend(pen.figure(if request.stage == Stage::Open { "now" } else { "most" }, &why(request)));
    if let Some(at) = request.ended {
        let ago = age(scene.now.since(at));
        line.extend(pen.figure("ended", &format!("{} UTC, {ago} ago", time_of_day(at))));
    }
    line
}

/// What it is called elsewhere, a line each.
fn ids(pen: &Pen<'_>, request: &Traced) -> Vec<Vec<Piece>> {
    let ids = [("trace", &request.trace_id), ("request", &request.request_id)];
    ids.into_iter().filter_map(|(label, id)| Some(pen.figure(label, id.as_ref()?.as_str()).to_vec())).collect()
}

/// The parts of a request's time and its spans, or why there are none.
fn draw_time(pen: &mut Pen<'_>, area: Rect, (told, request): (&Told, &Traced)) {
    let rest = waterfall::draw_parts(pen, area, &request.parts);
    match &request.spans {
        Some(spans) => waterfall::draw(pen, rest, spans, (request.seconds, request.spans_cut)),
        None => pen.explain(rest, &without_spans(told, request)),
    }
}

fn without_spans(told: &Told, request: &Traced) -> String {
    let why = match (told.keeps_spans, request.stage) {
        (false, _) => {
            "the service keeps no spans; with the agent's feature `tracing` and its layer, each step of a slow request is shown"
        }
        (true, Stage::Open) => "its spans are shown once it has ended, if it was slow or failed",
        (true, _) => "its spans were not kept: too many requests were open, or there was no memory for them",
    };
    why.to_owned()
}

/// The slowest of a route's requests that are listed, each in a line; none where the list is old.
pub fn of_route(scene: &Scene<'_>, pen: &Pen<'_>, route: &Route) -> Vec<Vec<Piece>> {
    const LINES: usize = 3;
    let is_new =
        |told: &&Told| scene.silent_about_requests().is_none() && scene.now.since(told.at).as_secs() < OLD_SECONDS;
    let Some(told) = scene.told().filter(is_new) else { return vec![] };
    let mut of_route: Vec<&Traced> =
        told.requests.iter().filter(|request| request.method == route.method && request.route == route.route).collect();
    of_route.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    let line = |request: &&Traced| {
        let [_, time] = pen.judged("", &format!("{:>6}", seconds(request.seconds)), severity(request));
        let stage = if request.stage == Stage::Failed { pen.theme.severity(state(request)) } else { pen.theme.dim() };
        let when = request.ended.map_or_else(|| "     now".to_owned(), time_of_day);
        vec![
            Piece::new(format!("{:<6} ", request.stage.word()), stage),
            Piece::new(format!("{when}  "), pen.theme.dim()),
            time,
            Piece::new(why(request), pen.theme.text()),
        ]
    };
    of_route.iter().take(LINES).map(line).collect()
}
