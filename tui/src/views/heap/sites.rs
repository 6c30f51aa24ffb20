//! The call sites that hold memory, those that grow first: a line each, as many as there is room for.

use heartline_shared::snapshot::{Leak, Sampling};
use ratatui::layout::Rect;

use crate::model::reading::{CallSite, CallSites, Heap};
use crate::views::pen::{Pen, Piece, width, wrap};
use crate::views::quantity::{age, bytes, bytes_per_second, percent};
use crate::views::theme::Severity;

/// A row of every this many is for a site, when there are as many.
const ROWS_A_SITE: u16 = 5;
/// Columns from which on there is room for files, and for what stays.
const COLUMNS_FOR_FILES: usize = 70;
const COLUMNS_FOR_SURVIVAL: usize = 76;
const COLUMNS_FOR_REMARKS: usize = 60;

/// What is written below the heading, if there is anything to say.
pub(super) struct Lines {
    figures: Vec<Piece>,
    /// What stands at the left and at the right of each line.
    lines: Vec<(Vec<Piece>, Vec<Piece>)>,
}

impl Lines {
    /// The lines for a view of this many rows.
    pub(super) fn of(pen: &Pen<'_>, heap: &Heap, columns: usize, rows: u16) -> Self {
        let none = CallSites::default();
        let sites = heap.sites.as_ref().unwrap_or(&none);
        let most = usize::from((rows / ROWS_A_SITE).max(1));
        let growing = sites.list.iter().filter(|site| growth(sites, site).is_some()).count();
        // what grows is what one looks for; the rest only says that it was looked at
        let shown = if growing > 0 { growing.max(2) } else { 3 }.min(most);
        let mut lines: Vec<_> =
            sites.list.iter().take(shown).map(|site| line(pen, heap, (site, growth(sites, site)), columns)).collect();
        // in a narrow view the reasons matter more
        let remarks = if columns < COLUMNS_FOR_REMARKS && !lines.is_empty() { vec![] } else { remarks(heap, sites) };
        for remark in remarks {
            let dim = |line| (vec![Piece::new(format!(" {line}"), pen.theme.dim())], Vec::new());
            lines.extend(wrap(&remark, columns.saturating_sub(1)).into_iter().map(dim));
        }
        let state = match sites.sampling {
            Sampling::Active => "sampled for",
            Sampling::Off | Sampling::Unavailable => "were sampled for",
        };
        let figures = vec![Piece::new(format!("{state} {}", age(sites.sampled)), pen.theme.dim())];
        Self { figures: if sites.list.is_empty() { Vec::new() } else { figures }, lines }
    }

    /// Rows it takes, with its heading.
    pub(super) fn rows(&self) -> usize {
        if self.lines.is_empty() { 0 } else { self.lines.len() + 1 }
    }

    pub(super) fn draw(&self, pen: &mut Pen<'_>, area: Rect) {
        if area.height < 2 {
            return;
        }
        let body = pen.heading(area, "Call sites", &self.figures);
        for (row, (left, right)) in (0..body.height).zip(&self.lines) {
            let room = body.width.saturating_sub(width(right) + 1);
            pen.write(Rect { width: room, ..body }, row, left);
            pen.write_right(body, row, right);
        }
    }
}

/// What is said beside the list: why it is empty, and what it does not explain.
fn remarks(heap: &Heap, sites: &CallSites) -> Vec<String> {
    let own = sites.notes.iter().map(|note| note.as_str().to_owned());
    match sites.sampling {
        // without the allocator, the figures above say so already
        Sampling::Unavailable if heap.jemalloc == Some(false) => Vec::new(),
        Sampling::Active if sites.list.is_empty() && sites.notes.is_empty() => {
            vec!["allocations are sampled since a moment ago; the first sites come in seconds".to_owned()]
        }
        Sampling::Off if super::leaks(heap) && sites.list.is_empty() => {
            vec!["sampling of allocations begins".to_owned()]
        }
        _ => own.collect(),
    }
}

/// How fast a site grows. Of figures from before nothing is said to grow: some agents go on sending those.
fn growth(sites: &CallSites, site: &CallSite) -> Option<f64> {
    site.growth_bytes_per_second.filter(|_| sites.sampling == Sampling::Active)
}

fn line(
    pen: &Pen<'_>,
    heap: &Heap,
    (site, growth): (&CallSite, Option<f64>),
    columns: usize,
) -> (Vec<Piece>, Vec<Piece>) {
    let growing = growth.is_some();
    let severity = match heap.leak {
        Some(Leak::Suspected) if growing => Severity::Warning,
        _ if growing => Severity::Info,
        _ => Severity::Fine,
    };
    let [up, level, _] = pen.theme.glyphs.directions;
    let style = if severity > Severity::Info { pen.theme.severity(severity) } else { pen.theme.text() };
    let mut right = Vec::new();
    if let Some(growth) = growth {
        right.push(Piece::new(bytes_per_second(growth), style));
        right.extend(site.share.map(|share| Piece::new(format!(" {}", percent(share)), style)));
    }
    let stays = site.survival.filter(|_| columns >= COLUMNS_FOR_SURVIVAL);
    right.extend(stays.map(|stays| Piece::new(format!("  stays {}", percent(stays)), pen.theme.dim())));
    right.push(Piece::new(format!("  {:>8} ", bytes(site.live_bytes as f64)), pen.theme.text()));
    let of_function = if growing { pen.theme.strong() } else { pen.theme.text() };
    let with = |function: &str| {
        let mut left = vec![
            Piece::new(format!(" {} ", if growing { up } else { level }), style),
            Piece::new(function.to_owned(), of_function),
        ];
        let place = site.place.as_ref().filter(|_| columns >= COLUMNS_FOR_FILES);
        left.extend(place.map(|place| Piece::new(format!("  {}", place.as_str()), pen.theme.dim())));
        left
    };
    let whole = with(site.function.as_str());
    let fits = usize::from(width(&whole)) + usize::from(width(&right)) < columns;
    // the line says more than the modules do
    (if fits { whole } else { with(last_name(site.function.as_str())) }, right)
}

/// The function without its modules; what has type parameters or is a method of a trait stays as it is.
fn last_name(function: &str) -> &str {
    if function.contains('<') { function } else { function.rsplit("::").next().unwrap_or(function) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_grows_where_nothing_is_sampled_any_more() {
        let site = CallSite { growth_bytes_per_second: Some(1_024.0), ..CallSite::default() };
        let mut sites = CallSites { sampling: Sampling::Active, list: vec![site.clone()], ..CallSites::default() };
        assert_eq!(growth(&sites, &site), Some(1_024.0));
        for sampling in [Sampling::Off, Sampling::Unavailable] {
            sites.sampling = sampling;
            assert_eq!(growth(&sites, &site), None);
        }
    }

    #[test]
    fn a_function_is_named_without_its_modules_where_that_is_a_name() {
        for (function, name) in [
            ("shop::faults::leak::leak_session_records", "leak_session_records"),
            ("main", "main"),
            ("<shop::Orders as tower::Service<R>>::call", "<shop::Orders as tower::Service<R>>::call"),
        ] {
            assert_eq!(last_name(function), name);
        }
    }
}
