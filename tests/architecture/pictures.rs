//! Whether every view of the dashboard has a golden frame at each size that it promises to be readable at.
//! Knows file names only; what a frame shows is the business of the view's own test.

use super::source::Violation;

/// Columns and rows: the least that is usable, the classic terminal, a large one.
const SIZES: &[&str] = &["40x12", "80x24", "160x50"];

/// The views an engineer can turn to.
const VIEWS: &[&str] = &[
    "overview", "requests", "queries", "pools", "caches", "queues", "heap", "runtime", "alerts", "targets", "traces",
    "help",
];

/// Every view and size without a frame among `paths`.
pub(crate) fn violations(paths: &[String]) -> Vec<Violation> {
    let pairs = VIEWS.iter().flat_map(|view| SIZES.iter().map(move |size| (view, size)));
    let has_frame = |view: &str, size: &str| {
        let frame = format!("{view}_{size}.snap");
        let is_frame = |name: &str| name == frame || name.ends_with(&format!("__{frame}"));
        paths.iter().any(|path| path.starts_with("tui/") && path.rsplit('/').next().is_some_and(is_frame))
    };
    let missing = pairs.filter(|(view, size)| !has_frame(view, size));
    missing
        .map(|(view, size)| Violation::new("tui/", 0, format!("view `{view}` has no golden frame at {size}")))
        .collect()
}

#[test]
fn a_view_without_a_frame_at_one_size_is_caught() {
    let frame = |view: &str, size: &str| format!("tui/src/views/snapshots/{view}_{size}.snap");
    let mut paths: Vec<String> =
        VIEWS.iter().flat_map(|view| SIZES.iter().map(move |size| frame(view, size))).collect();
    assert_eq!(violations(&paths), []);
    paths.retain(|path| !path.ends_with("heap_80x24.snap"));
    assert_eq!(violations(&paths).len(), 1);
}
