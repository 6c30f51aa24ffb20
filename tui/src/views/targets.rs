//! The fleet: every target, the worst first, with the age of what is known of it. When data is old is not decided here.
//!
//! ```text
//!   target                state        rate  errors     p95  allocated  restarts  error
//! ▸ http://10.0.0.7:9464  ■ down 13m04s   –       –       –          –         0  connection refused
//!   http://10.0.0.8:9464  ● fresh 0.4s  842    0.4%  84.0ms    380 MiB         0
//! ```

use std::time::Duration;

use ratatui::layout::Rect;

use super::judgement;
use super::panel;
use super::pen::{Pen, Piece, wrap};
use super::quantity::{age, bytes, count, known, percent, seconds};
use super::requests::nothing_to_show;
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use crate::model::{Freshness, TargetReading};

/// How bad the state of a target is.
pub fn severity(target: &TargetReading) -> Severity {
    match target.state {
        Freshness::Fresh => Severity::Fine,
        Freshness::Stale => Severity::Warning,
        Freshness::Down => Severity::Critical,
    }
}

/// The state of a target with the age of its data, such as `stale 12s`.
pub fn state_words(target: &TargetReading) -> String {
    let word = match target.state {
        Freshness::Fresh => "fresh",
        Freshness::Stale => "STALE",
        Freshness::Down => "DOWN",
    };
    match target.age {
        Some(span) => format!("{word} {}", short_age(span)),
        None => format!("{word}, never seen"),
    }
}

/// An age that is mostly below a minute, with tenths of a second while it is below ten.
fn short_age(span: Duration) -> String {
    if span < Duration::from_secs(10) { format!("{:.1}s", span.as_secs_f64()) } else { age(span) }
}

fn state(target: &TargetReading) -> Cell {
    Cell::judged(state_words(target), severity(target))
}

fn service(target: &TargetReading) -> Cell {
    let said =
        [&target.service, &target.instance_id].into_iter().flatten().map(ToString::to_string).collect::<Vec<_>>();
    Cell::new(said.join(" "))
}

fn errors(target: &TargetReading) -> Cell {
    let ratio = target.requests.error_ratio;
    Cell::judged(known(ratio, percent), judgement::error_ratio(ratio))
}

fn p95(target: &TargetReading) -> Cell {
    let latency = target.requests.p95_seconds;
    Cell::judged(known(latency, seconds), judgement::request_seconds(latency))
}

fn memory(target: &TargetReading) -> Option<f64> {
    target.heap.allocated_bytes.or(target.process.rss_bytes).map(|bytes| bytes as f64)
}

fn restarts(target: &TargetReading) -> Cell {
    Cell::judged(target.restarts.to_string(), if target.restarts > 0 { Severity::Info } else { Severity::Fine })
}

fn up(target: &TargetReading) -> Option<f64> {
    target.uptime.map(|up| up.as_secs_f64())
}

fn up_cell(target: &TargetReading) -> Cell {
    Cell::new(target.uptime.map_or_else(|| known(None, count), age))
}

fn urgency(target: &TargetReading) -> f64 {
    f64::from(severity(target) as u8) * 1e9 + target.age.map_or(1e8, |age| age.as_secs_f64())
}

fn error(target: &TargetReading) -> Cell {
    Cell::new(target.error.as_ref().map(ToString::to_string).unwrap_or_default())
}

impl Row for TargetReading {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::number("state", 13, 0, state, |target| Some(urgency(target))),
        Column::name("target", 17, 1, |target| Cell::new(target.target.as_str())),
        Column::name("service", 10, 3, service),
        Column::number(
            "rate",
            5,
            2,
            |target| Cell::new(known(target.requests.rate, count)),
            |target| target.requests.rate,
        ),
        Column::number("errors", 6, 2, errors, |target| target.requests.error_ratio),
        Column::number("p95", 6, 2, p95, |target| target.requests.p95_seconds),
        Column::number("memory", 8, 5, |target| Cell::new(known(memory(target), bytes)), memory),
        Column::number(
            "cpu",
            5,
            7,
            |target| Cell::new(known(target.process.cpu_ratio, percent)),
            |target| target.process.cpu_ratio,
        ),
        Column::number("up", 6, 8, up_cell, up),
        Column::number("restarts", 8, 6, restarts, |target| Some(f64::from(target.restarts))),
        Column::name("error", 24, 9, error),
    ];
    const ORDER: usize = 0;

    fn identity(&self) -> String {
        self.target.to_string()
    }

    fn searched(&self) -> String {
        let service = service(self).text;
        format!("{} {service}", self.target)
    }
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let choice = scene.screen.table();
    let shown = table::ordered(scene.targets.iter().copied(), &choice);
    let (summary, rest) = panel::split(area, 1);
    let of = |state| scene.targets.iter().filter(|target| target.state == state).count();
    let (stale, down) = (of(Freshness::Stale), of(Freshness::Down));
    let judged = |count: usize, severity| if count > 0 { severity } else { Severity::Fine };
    let line = [
        pen.figure("fresh", &of(Freshness::Fresh).to_string()),
        pen.judged("stale", &stale.to_string(), judged(stale, Severity::Warning)),
        pen.judged("down", &down.to_string(), judged(down, Severity::Critical)),
    ]
    .concat();
    pen.write(summary, 0, &line);
    if shown.is_empty() {
        return pen.explain(rest, &nothing_to_show(scene.targets.len(), "target", &choice.filter));
    }
    let below = if rest.height >= 12 { 5 } else { 0 };
    let (rows, about) = panel::split(rest, rest.height - below);
    let rows =
        if area.width < 60 { panel::missing(pen, rows, &table::left_out::<TargetReading>(area.width)) } else { rows };
    table::draw(pen, rows, &shown, &choice);
    if let (Some(target), true) = (table::selected(&shown, &choice), about.height > 0) {
        draw_about(pen, about, target);
    }
}

fn draw_about(pen: &mut Pen<'_>, area: Rect, target: &TargetReading) {
    let body = pen.heading(area, target.target.as_str(), &[Piece::new("enter shows it", pen.theme.dim())]);
    let version = target.version.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
    let facts = [
        pen.judged("", &state_words(target), severity(target)),
        pen.figure("version", &version),
        pen.figure("up", &up_cell(target).text),
        pen.figure("restarts", &target.restarts.to_string()),
        pen.figure("polls failed", &target.poll.failures.to_string()),
    ]
    .concat();
    pen.write(body, 0, &facts);
    let error = error(target).text;
    for (row, line) in (1..body.height).zip(wrap(&error, usize::from(body.width))) {
        pen.write(body, row, &[Piece::new(line, pen.theme.severity(severity(target)))]);
    }
}
