//! One whole frame: header, the view that is chosen, footer. What the views show is not known here.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::alerts::AlertLine;
use super::pen::Pen;
use super::scene::Scene;
use super::table::{Row, identities, next_order};
use super::{
    alerts, caches, footer, header, heap, help, overview, pools, queries, queues, requests, runtime, targets, traces,
};
use crate::model::TargetReading;
use crate::model::reading::{Cache, Pool, QuerySummary, Queue, Route};
use crate::screen::View;
use crate::source::traces::Traced;

/// Smaller than this nothing can be read.
const WIDTH_MIN: u16 = 20;
const HEIGHT_MIN: u16 = 4;

/// Rows of the header and the footer.
const HEADER: u16 = 2;
const FOOTER: u16 = 1;

/// How many rows a view has in a terminal of so many.
pub fn body_height(rows: u16) -> u16 {
    rows.saturating_sub(HEADER + FOOTER)
}

/// Draws the whole frame.
pub fn draw(scene: &Scene<'_>, buffer: &mut Buffer, area: Rect) {
    let mut pen = Pen { buffer, theme: scene.theme };
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let said = format!("too small: {}x{}, needs {WIDTH_MIN}x{HEIGHT_MIN}", area.width, area.height);
        return pen.explain(area, &said);
    }
    header::draw(scene, &mut pen, Rect { height: HEADER, ..area });
    let body = Rect { y: area.y + HEADER, height: body_height(area.height), ..area };
    let body = Rect { x: body.x + 1, width: body.width - 2, ..body };
    draw_body(scene, &mut pen, body);
    footer::draw(scene, &mut pen, Rect { y: area.bottom() - FOOTER, height: FOOTER, ..area });
}

fn draw_body(scene: &Scene<'_>, pen: &mut Pen<'_>, area: Rect) {
    let view = scene.screen.view;
    if let Some(first) = scene.screen.help {
        return help::draw(scene, pen, area, first);
    }
    if !matches!(view, View::Alerts | View::Targets)
        && let Some(why) = nothing_known(scene)
    {
        return pen.explain(area, &why);
    }
    match view {
        View::Overview => overview::draw(scene, pen, area),
        View::Requests => requests::draw(scene, pen, area),
        View::Queries => queries::draw(scene, pen, area),
        View::Pools => pools::draw(scene, pen, area),
        View::Caches => caches::draw(scene, pen, area),
        View::Queues => queues::draw(scene, pen, area),
        View::Heap => heap::draw(scene, pen, area),
        View::Runtime => runtime::draw(scene, pen, area),
        View::Alerts => alerts::draw(scene, pen, area),
        View::Targets => targets::draw(scene, pen, area),
        View::Traces => traces::draw(scene, pen, area),
    }
}

/// Why there is nothing to show of the target; nothing when there is.
fn nothing_known(scene: &Scene<'_>) -> Option<String> {
    let Some(target) = scene.target() else {
        return Some("no target; name one on the command line, such as heartline http://127.0.0.1:9464".to_owned());
    };
    if target.service.is_some() {
        return None;
    }
    Some(match &target.error {
        Some(error) => format!("{} has not answered yet: {error}", target.target),
        None => format!("waiting for the first answer of {}", target.target),
    })
}

/// The identities of the rows of the view shown, in the order shown; empty for a view without a table.
pub fn row_identities(scene: &Scene<'_>) -> Vec<String> {
    let choice = scene.screen.table();
    match (scene.screen.view, scene.target()) {
        (View::Targets, _) => identities(scene.targets.iter().copied(), &choice),
        (View::Alerts, _) => identities(scene.alerts, &choice),
        (View::Traces, _) => scene.told().map_or_else(Vec::new, |told| identities(&told.requests, &choice)),
        (View::Requests, Some(target)) => identities(&target.routes, &choice),
        (View::Queries, Some(target)) => identities(&target.query_summaries, &choice),
        (View::Pools, Some(target)) => identities(&target.pools, &choice),
        (View::Caches, Some(target)) => identities(&target.caches, &choice),
        (View::Queues, Some(target)) => identities(&target.queues, &choice),
        _ => vec![],
    }
}

/// The next column that can order the table of a view in which `chosen` is chosen; nothing without a table.
pub fn next_sort(view: View, chosen: Option<usize>) -> Option<usize> {
    match view {
        View::Overview | View::Heap | View::Runtime => None,
        View::Requests => Some(next_order::<Route>(chosen)),
        View::Queries => Some(next_order::<QuerySummary>(chosen)),
        View::Pools => Some(next_order::<Pool>(chosen)),
        View::Caches => Some(next_order::<Cache>(chosen)),
        View::Queues => Some(next_order::<Queue>(chosen)),
        View::Alerts => Some(next_order::<AlertLine>(chosen)),
        View::Targets => Some(next_order::<TargetReading>(chosen)),
        View::Traces => Some(next_order::<Traced>(chosen)),
    }
}

/// The identity of a target's row in the fleet.
pub fn target_identity(target: &TargetReading) -> String {
    target.identity()
}
