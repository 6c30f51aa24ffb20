//! Whether the links in the documents lead somewhere inside the repository. Does not visit the web.

use super::source::Violation;

/// Every relative link in the Markdown `text` at `path` that is none of `paths`, nor a folder of theirs.
pub(crate) fn violations(path: &str, text: &str, paths: &[String]) -> Vec<Violation> {
    let folder = path.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let broken = |target: &&str| {
        let full = format!("{folder}{target}");
        !paths.iter().any(|known| *known == full || known.starts_with(&format!("{}/", full.trim_end_matches('/'))))
    };
    let in_line = |(at, line): (usize, &str)| {
        let report = |target| Violation::new(path, at + 1, format!("the link to `{target}` leads nowhere"));
        targets(line).into_iter().filter(broken).map(report).collect::<Vec<_>>()
    };
    text.lines().enumerate().flat_map(in_line).collect()
}

/// What `](…)` points at, without the web and without places inside a page.
fn targets(line: &str) -> Vec<&str> {
    let closed = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let file = closed.map(|(target, _)| target.split('#').next().unwrap_or_default());
    file.filter(|target| !target.is_empty() && !target.contains("://")).collect()
}

#[test]
fn a_link_to_a_file_that_is_not_there_is_caught() {
    let paths = ["README.md", "docs/a.md", "docs/b/c.png"].map(str::to_owned);
    let good = "See [a](docs/a.md#top), [b](docs/b/), [c](#here), [d](https://example.com/x).\n";
    assert_eq!(violations("README.md", good, &paths), []);
    assert_eq!(violations("README.md", "[a](docs/z.md)\n", &paths).len(), 1);
    assert_eq!(violations("docs/a.md", "![c](b/c.png) [r](README.md)\n", &paths).len(), 1);
}
