//! The async runtime, the process, its checks and breakers, and the truth bar: what the agent and the polls themselves
//! cost and leave out. When that is a problem is not decided here.
//!
//! ```text
//! Runtime ─────────────── 4 workers      Process ─────────────────── up 2h13m
//!  (chart of the utilization)             (chart of the CPU)
//! busy 41%  delay p99 1.20ms  tasks 84   cpu 12%  threads 14  fds 42 of 1024
//! Health checks ──────────────────────   Circuit breakers ────────────────────
//! ● database  pass  1.20ms  4s ago       ● payment  closed  12.0/s  0% fail
//! What heartline costs ───────────────────────────────────────────────────────
//! agent 0.4% of a CPU  3.20 MiB  3420 records/s  0 dropped  214 series  poll 1.20ms
//! ```

use heartline_shared::snapshot::{CheckStatus, Criticality};
use ratatui::layout::Rect;

use super::chart::Scale;
use super::judgement::{self, share};
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece};
use super::quantity::{age, bytes, count, known, percent, seconds};
use super::requests::rate;
use super::scene::Scene;
use super::theme::Severity;
use crate::model::reading::{Breaker, BreakerState, HealthCheck};
use crate::model::{Chart, TargetReading};

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn whole(value: Option<u64>) -> String {
    known(float(value), count)
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let truth = truth_bar(pen, target);
    let lists = lists(pen, target);
    let truth_rows = u16::try_from(truth.len() + 1).unwrap_or(3);
    if area.width < 60 {
        return draw_narrow(scene, pen, area, &truth);
    }
    let list_rows = lists.iter().map(|panel| panel.lines.len() + 1).max().unwrap_or(0);
    let list_rows = u16::try_from(list_rows).unwrap_or(u16::MAX).min(area.height.saturating_sub(truth_rows) / 2);
    let chart_rows = area.height.saturating_sub(truth_rows + list_rows);
    let (charts, rest) = panel::split(area, chart_rows);
    let (middle, below) = panel::split(rest, list_rows);
    for (place, panel) in panel::columns(charts, 2).into_iter().zip([runtime(pen, target), process(pen, target)]) {
        panel.draw(scene, pen, place);
    }
    for (place, panel) in panel::columns(middle, 2).into_iter().zip(lists) {
        panel.draw(scene, pen, place);
    }
    draw_truth(pen, below, &truth);
}

fn draw_narrow(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, truth: &[Vec<Piece>]) {
    let Some(target) = scene.target() else { return };
    let area = panel::missing(pen, area, &["charts", "checks", "breakers"]);
    let panels = [Panel { trend: None, ..runtime(pen, target) }, Panel { trend: None, ..process(pen, target) }];
    let mut rest = area;
    for panel in panels {
        let rows = u16::try_from(panel.lines.len().min(2) + 1).unwrap_or(3);
        let (place, below) = panel::split(rest, rows);
        panel.draw(scene, pen, place);
        rest = below;
    }
    draw_truth(pen, rest, truth);
}

fn draw_truth(pen: &mut Pen<'_>, area: Rect, truth: &[Vec<Piece>]) {
    let body = pen.heading(area, "What heartline costs", &[]);
    for (row, line) in (0..body.height).zip(truth) {
        pen.write_whole(body, row, line);
    }
}

fn runtime(pen: &Pen<'_>, target: &TargetReading) -> Panel {
    let Some(runtime) = &target.runtime else {
        let why = vec![Piece::new("the agent watches no tokio runtime", pen.theme.dim())];
        return Panel { title: "Runtime".to_owned(), figure: vec![], trend: None, lines: vec![why] };
    };
    let late = runtime.schedule_delay_p99_seconds;
    let mut lines = vec![
        [
            pen.judged("busy", &known(runtime.utilization, percent), judgement::utilization(runtime.utilization)),
            pen.judged("delay p99", &known(late, seconds), judgement::schedule_delay(late)),
        ]
        .concat(),
        [
            pen.figure("tasks", &whole(runtime.tasks)),
            pen.figure("queued", &whole(runtime.global_queue)),
            pen.figure("delay p50", &known(runtime.schedule_delay_p50_seconds, seconds)),
        ]
        .concat(),
    ];
    if !runtime.worker_busy.is_empty() {
        let mut workers = vec![Piece::new("each worker ", pen.theme.dim())];
        workers.extend(
            runtime.worker_busy.iter().map(|(_, busy)| Piece::new(format!("{} ", percent(*busy)), pen.theme.text())),
        );
        lines.push(workers);
    }
    Panel {
        title: "Runtime".to_owned(),
        figure: vec![Piece::new(format!("{} workers", whole(runtime.workers)), pen.theme.strong())],
        trend: Some(Trend {
            limits: vec![(1.0, Severity::Unknown)],
            ..Trend::area(Chart::RuntimeUtilization, Scale::Ratio)
        }),
        lines,
    }
}

fn process(pen: &Pen<'_>, target: &TargetReading) -> Panel {
    let process = &target.process;
    let descriptors = share(process.fds, process.fd_limit);
    let cpus = match process.cpu_limit {
        Some(limit) => format!("{} of {}", known(process.cpu_cores, count), count(limit)),
        None => known(process.cpu_cores, count),
    };
    let lines = vec![
        [
            pen.judged("cpu", &known(process.cpu_ratio, percent), judgement::utilization(process.cpu_ratio)),
            pen.figure("cores", &cpus),
            pen.figure("RSS", &known(float(process.rss_bytes), bytes)),
        ]
        .concat(),
        [
            pen.figure("threads", &whole(process.threads)),
            pen.judged(
                "fds",
                &format!("{} of {}", whole(process.fds), whole(process.fd_limit)),
                judgement::utilization(descriptors),
            ),
        ]
        .concat(),
        [
            pen.figure("disk read", &known(process.disk_read_rate, |value| format!("{}/s", bytes(value)))),
            pen.figure("written", &known(process.disk_write_rate, |value| format!("{}/s", bytes(value)))),
        ]
        .concat(),
    ];
    let up = target.uptime.or(process.uptime).map_or_else(|| known(None, count), age);
    Panel {
        title: "Process".to_owned(),
        figure: vec![Piece::new(format!("up {up}"), pen.theme.strong())],
        trend: Some(Trend::area(Chart::ProcessCpu, Scale::Ratio)),
        lines,
    }
}

fn lists(pen: &Pen<'_>, target: &TargetReading) -> [Panel; 2] {
    let none = |what: &str| vec![vec![Piece::new(format!("no {what} is registered"), pen.theme.dim())]];
    let or_none = |lines: Vec<Vec<Piece>>, what| if lines.is_empty() { none(what) } else { lines };
    let checks = target.checks.iter().map(|check| check_line(pen, target, check)).collect();
    let breakers = target.breakers.iter().map(|breaker| breaker_line(pen, breaker)).collect();
    [("Health checks", or_none(checks, "health check")), ("Circuit breakers", or_none(breakers, "circuit breaker"))]
        .map(|(title, lines)| Panel { title: title.to_owned(), figure: vec![], trend: None, lines })
}

/// How bad the result of a check is.
pub fn check_severity(check: &HealthCheck) -> Severity {
    match (check.status, check.criticality) {
        (None, _) => Severity::Unknown,
        (Some(CheckStatus::Pass), _) => Severity::Fine,
        (Some(CheckStatus::Fail), Criticality::Critical) => Severity::Critical,
        (Some(CheckStatus::Warn | CheckStatus::Fail), _) => Severity::Warning,
    }
}

fn check_line(pen: &Pen<'_>, target: &TargetReading, check: &HealthCheck) -> Vec<Piece> {
    let severity = check_severity(check);
    let word = match check.status {
        None => "not run yet",
        Some(CheckStatus::Pass) => "pass",
        Some(CheckStatus::Warn) => "warn",
        Some(CheckStatus::Fail) => "FAIL",
    };
    let mut line = vec![
        Piece::new(format!("{} ", pen.theme.glyph(severity)), pen.theme.severity(severity)),
        Piece::new(format!("{:<12} ", crate::text::cut(check.name.as_str(), 12)), pen.theme.text()),
        Piece::new(format!("{word:<5} "), pen.theme.severity(severity)),
    ];
    line.extend(pen.figure("", &known(check.latency_seconds, seconds)));
    if let Some(message) = &check.message {
        line.push(Piece::new(message.as_str(), pen.theme.text()));
    } else if let Some(span) = target.check_age(check) {
        line.push(Piece::new(format!("{} ago", age(span)), pen.theme.dim()));
    }
    line
}

/// How bad the state of a breaker is.
pub fn breaker_severity(breaker: &Breaker) -> Severity {
    match breaker.state {
        None => Severity::Unknown,
        Some(BreakerState::Closed) => Severity::Fine,
        Some(BreakerState::HalfOpen) => Severity::Warning,
        Some(BreakerState::Open) => Severity::Critical,
    }
}

/// A breaker's state in a word.
pub fn breaker_word(breaker: &Breaker) -> &'static str {
    match breaker.state {
        None => "unknown",
        Some(BreakerState::Closed) => "closed",
        Some(BreakerState::HalfOpen) => "half-open",
        Some(BreakerState::Open) => "OPEN",
    }
}

fn breaker_line(pen: &Pen<'_>, breaker: &Breaker) -> Vec<Piece> {
    let severity = breaker_severity(breaker);
    let mut line = vec![
        Piece::new(format!("{} ", pen.theme.glyph(severity)), pen.theme.severity(severity)),
        Piece::new(format!("{:<12} ", crate::text::cut(breaker.name.as_str(), 12)), pen.theme.text()),
        Piece::new(format!("{:<9} ", breaker_word(breaker)), pen.theme.severity(severity)),
    ];
    line.extend(pen.figure("", &rate(breaker.rate)));
    line.extend(pen.judged(
        "fail",
        &known(breaker.failure_ratio, percent),
        judgement::error_ratio(breaker.failure_ratio),
    ));
    line.extend(pen.figure("rejected", &count(breaker.rejected as f64)));
    line.extend(pen.figure("p95", &known(breaker.p95_seconds, seconds)));
    line
}

/// What the agent and the polls cost, and what they left out.
pub fn truth_bar(pen: &Pen<'_>, target: &TargetReading) -> Vec<Vec<Piece>> {
    let (agent, poll) = (&target.agent, &target.poll);
    let lossy = |lost: Option<u64>| if lost.is_some_and(|lost| lost > 0) { Severity::Warning } else { Severity::Fine };
    let mut truth = vec![
        [
            pen.figure("agent", &known(agent.cpu_cores, |cores| format!("{} of a CPU", percent(cores)))),
            pen.figure("", &known(float(agent.memory_bytes), bytes)),
            pen.figure("", &format!("{} records/s", known(agent.offered_rate, count))),
            pen.judged("", &format!("{} dropped", whole(agent.dropped)), lossy(agent.dropped)),
        ]
        .concat(),
        [
            pen.figure("series", &whole(agent.series)),
            pen.judged("over the limit", &whole(agent.series_dropped), lossy(agent.series_dropped)),
            pen.figure("poll", &poll.took.map_or_else(|| known(None, count), |took| seconds(took.as_secs_f64()))),
            pen.figure("", &known(float(poll.bytes), bytes)),
            pen.judged("left out", &count(poll.series_left_out as f64), lossy(Some(poll.series_left_out))),
        ]
        .concat(),
    ];
    if agent.callback_failures.is_some_and(|failures| failures > 0) {
        truth[1].extend(pen.judged("callbacks failed", &whole(agent.callback_failures), Severity::Warning));
    }
    truth
}
