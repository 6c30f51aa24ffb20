//! Memory: where it goes, how fast, for how long it will do, and why the detector thinks so. The verdict is the agent's.
//!
//! ```text
//! ▲ GROWING  +1.20 MiB/s  limit 2.00 GiB (cgroup) in 2h10m
//! Memory allocated resident RSS ─────────────────────────────
//!  (chart)
//! allocated 380 MiB  active 396 MiB  resident 412 MiB  ...
//! Call sites ──────────────────────────────── sampled for 1m20s
//!  ▲ remember_session  shop/src/sessions.rs:52   +1.02 MiB/s 97%
//! Why ────────────────────────────────────────────────────────
//!  the floor rose in each of the last 12 minutes
//! ```

mod sites;

use heartline_shared::snapshot::{Leak, Trend as Direction};
use ratatui::layout::Rect;

use super::chart::{Ground, Scale};
use super::judgement;
use super::panel::{self, Panel, Trend};
use super::pen::{Pen, Piece, wrap};
use super::quantity::{UNKNOWN, age, bytes, bytes_per_second, known, percent};
use super::scene::Scene;
use super::theme::{Severity, Theme};
use crate::model::Chart;
use crate::model::TargetReading;
use crate::model::reading::Heap;

/// Rows of the smallest chart, and of one with some of the reasons below it.
const CHART_ROWS_MIN: u16 = 6;
const CHART_AND_WHY: u16 = CHART_ROWS_MIN + 4;

/// How bad memory stands.
pub fn severity(heap: &Heap, rss: Option<u64>) -> Severity {
    let leak = match heap.leak {
        None | Some(Leak::None) => Severity::Fine,
        Some(Leak::Watching) => Severity::Info,
        Some(Leak::Suspected) => Severity::Warning,
    };
    let full = judgement::utilization(judgement::share(rss, heap.limit_bytes));
    leak.max(full).max(judgement::time_to_limit(heap.seconds_to_limit))
}

/// The direction of memory with its glyph, in words.
pub fn direction(theme: Theme, heap: &Heap) -> String {
    let [up, level, down] = theme.glyphs.directions;
    match heap.trend {
        Direction::Stable => format!("{level} stable"),
        Direction::Growing => format!("{up} growing"),
        Direction::Shrinking => format!("{down} shrinking"),
        Direction::Unknown => "? too early to tell".to_owned(),
    }
}

/// Whether anything points to a leak.
fn leaks(heap: &Heap) -> bool {
    heap.leak.is_some_and(|leak| leak != Leak::None)
}

/// The leak verdict in words.
pub fn verdict(heap: &Heap) -> &'static str {
    match heap.leak {
        None => UNKNOWN,
        Some(Leak::None) => "no leak",
        Some(Leak::Watching) => "leak possible, watching",
        Some(Leak::Suspected) => "LEAK SUSPECTED",
    }
}

fn float(value: Option<u64>) -> Option<f64> {
    value.map(|value| value as f64)
}

fn remaining(heap: &Heap) -> Option<String> {
    heap.seconds_to_limit.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok()).map(age)
}

/// The panel of the overview.
pub fn overview(scene: &Scene<'_>, pen: &Pen<'_>) -> Panel {
    let none = TargetReading::default();
    let target = scene.target().unwrap_or(&none);
    let (heap, rss) = (&target.heap, target.process.rss_bytes);
    let judged = severity(heap, rss);
    let [_, mut figure] =
        pen.judged("", &direction(pen.theme, heap), if judged > Severity::Info { judged } else { Severity::Fine });
    figure.text.truncate(figure.text.trim_end().len());
    let of_limit = heap.limit_bytes.map(|limit| format!(" of {}", bytes(limit as f64))).unwrap_or_default();
    let mut first = pen.figure("RSS", &format!("{}{of_limit}", known(float(rss), bytes))).to_vec();
    first.extend(pen.figure("heap", &known(float(heap.allocated_bytes), bytes)));
    let mut second = pen.figure("growth", &known(heap.growth_bytes_per_second, bytes_per_second)).to_vec();
    if let Some(left) = remaining(heap) {
        second.extend(pen.judged("limit in", &left, judgement::time_to_limit(heap.seconds_to_limit)));
    }
    let style =
        if heap.leak == Some(Leak::Suspected) { pen.theme.severity(Severity::Warning) } else { pen.theme.text() };
    let third = vec![Piece::new(verdict(heap), style)];
    Panel {
        title: "Heap".to_owned(),
        figure: vec![figure],
        trend: Some(memory(heap)),
        lines: vec![first, second, third],
    }
}

fn memory(heap: &Heap) -> Trend {
    let chart = if heap.jemalloc == Some(false) { Chart::ProcessRss } else { Chart::HeapAllocated };
    Trend { ground: Ground::Close, ..Trend::area(chart, Scale::Bytes) }
}

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(target) = scene.target() else { return };
    let heap = &target.heap;
    let (top, rest) = panel::split(area, 1);
    pen.write_whole(top, 0, &headline(pen, target));
    let numbers = numbers(pen, target);
    let columns = usize::from(area.width.saturating_sub(2));
    let evidence = evidence(heap, columns);
    let sites = sites::Lines::of(pen, heap, columns, rest.height);
    let wanted = u16::try_from(numbers.len() + sites.rows() + evidence.len() + 1).unwrap_or(u16::MAX);
    // the end of the reasons goes before the chart does
    let fixed = u16::try_from(numbers.len() + sites.rows()).unwrap_or(u16::MAX);
    let left = rest.height.saturating_sub(fixed);
    let chart_rows = rest.height.saturating_sub(wanted).max(if left >= CHART_AND_WHY { CHART_ROWS_MIN } else { 0 });
    let (chart, mut below) =
        if chart_rows >= CHART_ROWS_MIN { panel::split(rest, chart_rows) } else { (Rect { height: 0, ..rest }, rest) };
    draw_chart(scene, pen, chart, heap);
    if chart.height == 0 && area.width < 60 {
        below = panel::missing(pen, below, &["chart"]);
    }
    let (figures, reasons) = panel::split(below, u16::try_from(numbers.len()).unwrap_or(below.height));
    for (row, line) in (0..figures.height).zip(&numbers) {
        pen.write_whole(figures, row, line);
    }
    let (list, reasons) = panel::split(reasons, u16::try_from(sites.rows()).unwrap_or(0).min(reasons.height));
    sites.draw(pen, list);
    let reasons = pen.heading(reasons, "Why", &[]);
    for (row, line) in (0..reasons.height).zip(evidence) {
        pen.write(reasons, row, &[Piece::new(line, pen.theme.text())]);
    }
}

fn headline(pen: &Pen<'_>, target: &TargetReading) -> Vec<Piece> {
    let heap = &target.heap;
    let judged = severity(heap, target.process.rss_bytes);
    let word = if leaks(heap) { verdict(heap).to_uppercase() } else { direction(pen.theme, heap).to_uppercase() };
    let mut line = vec![
        Piece::new(format!(" {} {word} ", pen.theme.glyph(judged)), pen.theme.badge(judged)),
        Piece::new("  ", pen.theme.text()),
    ];
    if leaks(heap) {
        line.extend(pen.figure("", &direction(pen.theme, heap)));
    }
    line.extend(pen.figure("", &known(heap.growth_bytes_per_second, bytes_per_second)));
    if let Some(remaining) = remaining(heap) {
        line.extend(pen.judged("full in", &remaining, judgement::time_to_limit(heap.seconds_to_limit)));
    }
    if let Some(limit) = heap.limit_bytes {
        let source = heap.limit_source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default();
        line.extend(pen.figure("limit", &format!("{}{source}", bytes(limit as f64))));
    }
    line
}

fn draw_chart(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, heap: &Heap) {
    if area.height < 5 {
        return;
    }
    let charts = if heap.jemalloc == Some(false) {
        vec![("RSS", Chart::ProcessRss)]
    } else {
        vec![("RSS", Chart::ProcessRss), ("resident", Chart::HeapResident), ("allocated", Chart::HeapAllocated)]
    };
    let legend = |(at, (label, _)): (usize, &(&str, Chart))| Piece::new(format!(" {label}"), pen.theme.series(at));
    let legend: Vec<Piece> = charts.iter().enumerate().map(legend).collect();
    let body = pen.heading(area, "Memory", &legend);
    let lines = charts.into_iter().map(|(_, chart)| chart).collect();
    Trend { ground: Ground::Close, ..Trend::lines(lines, Scale::Bytes) }.draw_chart(scene, pen, body);
}

fn numbers(pen: &Pen<'_>, target: &TargetReading) -> Vec<Vec<Piece>> {
    let heap = &target.heap;
    let of = |label, value| pen.figure(label, &known(float(value), bytes));
    let rss = target.process.rss_bytes;
    let share = judgement::share(rss, heap.limit_bytes);
    if heap.jemalloc == Some(false) {
        let why = "the service does not use jemalloc, so only its resident memory is known; heartline::jemalloc!() installs it";
        return vec![of("RSS", rss).to_vec(), vec![Piece::new(why, pen.theme.dim())]];
    }
    vec![
        [of("allocated", heap.allocated_bytes), of("active", heap.active_bytes), of("resident", heap.resident_bytes)]
            .concat(),
        [
            of("RSS", rss),
            pen.judged("of the limit", &known(share, percent), judgement::utilization(share)),
            pen.figure("confidence", &known(heap.confidence, percent)),
        ]
        .concat(),
        [of("mapped", heap.mapped_bytes), of("retained", heap.retained_bytes), of("metadata", heap.metadata_bytes)]
            .concat(),
    ]
}

fn evidence(heap: &Heap, columns: usize) -> Vec<String> {
    if heap.evidence.is_empty() {
        let calm = if heap.trend == Direction::Unknown {
            "a verdict needs some minutes of samples"
        } else {
            "nothing is watched: no growth is large, lasting and steady enough to be a leak"
        };
        return wrap(calm, columns);
    }
    let bullet = |reason: &crate::text::Text| {
        let lines = wrap(reason.as_str(), columns.saturating_sub(2)).into_iter().enumerate();
        lines.map(|(at, line)| if at == 0 { format!("· {line}") } else { format!("  {line}") }).collect::<Vec<_>>()
    };
    heap.evidence.iter().flat_map(bullet).collect()
}
