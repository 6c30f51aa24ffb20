//! The first screen: the verdict in plain words, then one compact panel for each subsystem. What the verdict is, is
//! decided in `verdict`.
//!
//! ```text
//! ■ SHOP IS SLOW  since 02:47:10 (13m04s)
//!   requests  p95 2.40s (normally 180ms), errors 0.3% (normally 0.2%), 842/s
//! ■ pool      "primary" 50 of 50 busy, 37 waiting, p95 wait 1.20s
//!
//! Requests ───────────────── 842/s   Queries ──────────────── 3.2k/s
//! Pools ────────────── 37 waiting    Caches ───────────────── 2.1k/s
//! Queues ──────────── 12 waiting     Heap ───────────────── → stable
//! ```

use ratatui::layout::Rect;

use super::panel;
use super::pen::{Pen, Piece};
use super::quantity::age;
use super::scene::Scene;
use super::theme::Severity;
use super::verdict::{Note, Verdict, verdict};
use super::{caches, header, heap, pools, queries, queues, requests, runtime};

/// Columns from which on the panels stand in three columns.
const WIDE: u16 = 130;
/// Columns below which there is room for the verdict only.
const NARROW: u16 = 60;

/// The view.
pub fn draw(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let Some(verdict) = verdict(scene) else { return };
    if area.width < NARROW || area.height < 12 {
        let area = panel::missing(pen, area, &["the panels; make it 80x24"]);
        return draw_verdict(scene, pen, area, &verdict);
    }
    let wide = area.width >= WIDE;
    let (columns, rows) = if wide { (3, 2) } else { (2, 3) };
    let noted = u16::try_from(verdict.notes.len()).unwrap_or(u16::MAX).min(if wide { 8 } else { 4 });
    let (top, rest) = panel::split(area, noted + 2);
    draw_verdict(scene, pen, Rect { height: top.height - 1, ..top }, &verdict);
    let truth = scene.target().map(|target| runtime::truth_bar(pen, target)).filter(|_| rest.height >= 30);
    let (rest, below) = match &truth {
        Some(_) => panel::split(rest, rest.height - 2),
        None => (rest, Rect { height: 0, ..rest }),
    };
    let panels = [
        requests::overview(scene, pen),
        queries::overview(scene, pen),
        pools::overview(scene, pen),
        caches::overview(scene, pen),
        queues::overview(scene, pen),
        heap::overview(scene, pen),
    ];
    let places = panel::rows(rest, rows).into_iter().flat_map(|row| panel::columns(row, columns));
    for (place, panel) in places.zip(panels) {
        panel.draw(scene, pen, place);
    }
    if let Some(truth) = truth {
        let body = pen.heading(below, "What heartline costs", &[]);
        pen.write(body, 0, &truth.concat());
    }
}

fn draw_verdict(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect, verdict: &Verdict) {
    let badge = format!(" {} {} ", pen.theme.glyph(verdict.severity), verdict.headline);
    let mut line = vec![Piece::new(badge, pen.theme.badge(verdict.severity))];
    if let Some(since) = verdict.since {
        let lasted = age(scene.now.since(since));
        line.push(Piece::new(format!("  since {} ", header::time_of_day(since)), pen.theme.strong()));
        line.push(Piece::new(format!("({lasted})"), pen.theme.text()));
    } else if verdict.severity == Severity::Fine {
        line.push(Piece::new("  nothing fires", pen.theme.dim()));
    } else if verdict.severity >= Severity::Warning {
        line.push(Piece::new("  no alert fires for it yet", pen.theme.dim()));
    }
    pen.write(area, 0, &line);
    let rows = usize::from(area.height.saturating_sub(1));
    let hidden = verdict.notes.len().saturating_sub(rows);
    for (row, note) in (1..area.height).zip(&verdict.notes) {
        draw_note(pen, area, row, note);
    }
    if hidden > 0 && area.height > 1 {
        pen.write_right(area, area.height - 1, &[Piece::new(format!(" +{hidden} more"), pen.theme.dim())]);
    }
}

fn draw_note(pen: &mut Pen<'_>, area: Rect, row: u16, note: &Note) {
    let bad = note.severity > Severity::Info;
    let mark = if bad { pen.theme.glyph(note.severity) } else { ' ' };
    let style = if bad { pen.theme.severity(note.severity) } else { pen.theme.text() };
    let pieces = [
        Piece::new(format!(" {mark} "), style),
        Piece::new(format!("{:<8} ", note.subject), pen.theme.dim()),
        Piece::new(note.text.as_str(), if bad { pen.theme.strong() } else { pen.theme.text() }),
    ];
    pen.write(area, row, &pieces);
}
