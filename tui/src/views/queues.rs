//! Job queues: what waits, what runs, what failed, and when a backlog will be gone. When that is a problem is not
//! decided here.
//!
//! ```text
//!   queue      waiting  active  in/s  done/s  failed/s  oldest  drained in
//! ▸ email           12       2  12.0    12.1         0      1s          1s
//! email: waiting ────────────────────────   email: done a second ──────────
//!  (chart)                                   (chart)
//! ```

use ratatui::layout::Rect;

use super::chart::Scale;
use super::judgement;
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece};
use super::pools::rows_of;
use super::quantity::{age, count, known, seconds};
use super::requests::{nothing_to_show, rate};
use super::scene::Scene;
use super::table::{self, Cell, Column, Row};
use super::theme::Severity;
use crate::model::Chart;
use crate::model::reading::Queue;

/// How bad a queue stands.
pub fn severity(queue: &Queue) -> Severity {
    judgement::waiting_jobs(queue.waiting)
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn whole(value: Option<u64>) -> Cell {
    Cell::new(known(float(value), count))
}

fn dead(queue: &Queue) -> Cell {
    let some = queue.dead.is_some_and(|dead| dead > 0);
    Cell::judged(known(float(queue.dead), count), if some { Severity::Warning } else { Severity::Fine })
}

fn failing(queue: &Queue) -> Cell {
    let some = queue.fail_rate.is_some_and(|rate| rate > 0.0);
    Cell::judged(known(queue.fail_rate, count), if some { Severity::Warning } else { Severity::Fine })
}

fn oldest(queue: &Queue) -> Option<f64> {
    queue.oldest_age.map(|age| age.as_secs_f64())
}

fn drain(queue: &Queue) -> Option<f64> {
    queue.drain.map(|drain| drain.as_secs_f64())
}

impl Row for Queue {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::name("queue", 10, 0, |queue| Cell::new(queue.name.as_str())),
        Column::number(
            "waiting",
            7,
            1,
            |queue| Cell::judged(known(float(queue.waiting), count), severity(queue)),
            |queue| float(queue.waiting),
        ),
        Column::number("active", 6, 2, |queue| whole(queue.active), |queue| float(queue.active)),
        Column::number("in/s", 5, 4, |queue| Cell::new(known(queue.enqueue_rate, count)), |queue| queue.enqueue_rate),
        Column::number(
            "done/s",
            6,
            1,
            |queue| Cell::new(known(queue.complete_rate, count)),
            |queue| queue.complete_rate,
        ),
        Column::number("failed/s", 8, 3, failing, |queue| queue.fail_rate),
        Column::number(
            "oldest",
            6,
            5,
            |queue| Cell::new(queue.oldest_age.map_or_else(|| known(None, count), age)),
            oldest,
        ),
        Column::number("empty in", 8, 4, |queue| Cell::new(queue.drain.map_or_else(|| known(None, count), age)), drain),
        Column::number("delayed", 7, 7, |queue| whole(queue.delayed), |queue| float(queue.delayed)),
        Column::number("retrying", 8, 8, |queue| whole(queue.retrying), |queue| float(queue.retrying)),
        Column::number("dead", 5, 6, dead, |queue| float(queue.dead)),
        Column::number(
            "wait p95",
            8,
            8,
            |queue| Cell::new(known(queue.wait_p95_seconds, seconds)),
            |queue| queue.wait_p95_seconds,
        ),
        Column::number(
            "run p95",
            7,
            8,
            |queue| Cell::new(known(queue.run_p95_seconds, seconds)),
            |queue| queue.run_p95_seconds,
        ),
        Column::number("done", 6, 9, |queue| whole(Some(queue.completed)), |queue| Some(queue.completed as f64)),
        Column::number("failed", 6, 9, |queue| whole(Some(queue.failed)), |queue| Some(queue.failed as f64)),
    ];
    const ORDER: usize = 1;

    fn identity(&self) -> String {
        self.name.as_str().to_owned()
    }
}

/// The panel of the overview.
pub fn overview(scene: &Scene<'_>, pen: &Pen<'_>) -> Panel {
    let queues = scene.target().map_or(&[][..], |target| &target.queues);
    let mut by_length: Vec<&Queue> = queues.iter().collect();
    by_length.sort_by_key(|queue| std::cmp::Reverse(queue.waiting));
    let mut lines: Vec<Vec<Piece>> = by_length.iter().map(|queue| line(pen, queue)).collect();
    if lines.is_empty() {
        lines.push(vec![Piece::new("no queue is watched", pen.theme.dim())]);
    }
    let waiting = judgement::total(queues.iter().map(|queue| float(queue.waiting)));
    let worst = queues.iter().map(severity).max().unwrap_or_default();
    let figure = (!queues.is_empty()).then(|| {
        let [_, mut number] = pen.judged("", &format!("{} waiting", known(waiting, count)), worst);
        number.text.truncate(number.text.trim_end().len());
        vec![number]
    });
    Panel {
        title: "Queues".to_owned(),
        figure: figure.unwrap_or_default(),
        trend: by_length.first().map(|queue| Trend::area(Chart::QueueWaiting(queue.name.clone()), Scale::Count)),
        lines,
    }
}

fn line(pen: &Pen<'_>, queue: &Queue) -> Vec<Piece> {
    let name = crate::text::cut(queue.name.as_str(), 9).into_owned();
    let mut line = vec![Piece::new(format!("{name:<9} "), pen.theme.text())];
    let waiting = format!("{:>5}", known(float(queue.waiting), count));
    line.push(Piece::new(
        waiting,
        if severity(queue) > Severity::Info { pen.theme.severity(severity(queue)) } else { pen.theme.strong() },
    ));
    line.push(Piece::new(" waiting ", pen.theme.dim()));
    line.push(Piece::new(format!("{:>3}", known(float(queue.active), count)), pen.theme.strong()));
    line.push(Piece::new(" active  ", pen.theme.dim()));
    line.push(Piece::new(format!("{:>6}  ", rate(queue.complete_rate)), pen.theme.strong()));
    if queue.fail_rate.is_some_and(|rate| rate > 0.0) {
        line.extend(pen.judged("", &format!("{} fail", rate(queue.fail_rate)), Severity::Warning));
    }
    line
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let choice = scene.screen.table();
    let shown = table::ordered(&target.queues, &choice);
    if shown.is_empty() {
        return pen.explain(area, &nothing_to_show(target.queues.len(), "queue", &choice.filter));
    }
    let mut left_out = table::left_out::<Queue>(area.width);
    let table_rows = if area.height >= 12 { rows_of(shown.len(), area.height) } else { area.height };
    let (rows, charts) = panel::split(area, table_rows);
    if charts.height < 6 {
        left_out.insert(0, "charts");
    }
    let rows = if area.width < 60 { panel::missing(pen, rows, &left_out) } else { rows };
    table::draw(pen, rows, &shown, &choice);
    let Some(queue) = table::selected(&shown, &choice) else { return };
    draw_selected(scene, pen, charts, queue);
}

fn draw_selected(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, queue: &Queue) {
    if area.height < 6 {
        return;
    }
    let (figures, charts) = panel::split(area, 1);
    let line = [
        pen.figure(&format!("{}:  delayed", queue.name), &known(float(queue.delayed), count)),
        pen.figure("retrying", &known(float(queue.retrying), count)),
        pen.figure("dead", &known(float(queue.dead), count)),
        pen.figure("wait p95", &known(queue.wait_p95_seconds, seconds)),
        pen.figure("run p95", &known(queue.run_p95_seconds, seconds)),
    ]
    .concat();
    pen.write(figures, 0, &line);
    let [left, right] = &panel::columns(charts, 2)[..] else { return };
    let waiting = pen.heading(*left, &format!("{}: waiting", queue.name), &[]);
    Trend::area(Chart::QueueWaiting(queue.name.clone()), Scale::Count).draw_chart(scene, pen, waiting);
    let done = pen.heading(*right, &format!("{}: done a second", queue.name), &[]);
    Trend::area(Chart::QueueCompletedRate(queue.name.clone()), Scale::Count).draw_chart(scene, pen, done);
}
