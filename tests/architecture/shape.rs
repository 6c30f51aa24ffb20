//! What every file looks like: its first line, its length, its name, its test names, no open ends.
//! Does not know what the code does.

use super::source::{Source, Violation};

/// Production lines a file may have.
const LINES_MAX: usize = 500;

/// Names that say nothing about what is inside.
const CATCH_ALL: &[&str] =
    &["util", "utils", "utility", "utilities", "common", "helper", "helpers", "types", "misc", "stuff", "tools"];

/// Everything this source does wrong.
pub(crate) fn violations(source: &Source) -> Vec<Violation> {
    let found = [first_line(source), length(source), name(source)];
    found.into_iter().flatten().chain(test_names(source)).collect()
}

fn first_line(source: &Source) -> Option<Violation> {
    let first = source.text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//! ").is_some_and(|words| words.split_whitespace().count() >= 2);
    let what = "the first line must be a `//!` sentence: what the file is for and what it refuses to know";
    (!sentence).then(|| Violation::new(&source.path, 1, what))
}

fn length(source: &Source) -> Option<Violation> {
    let lines = source.production_lines();
    let what = || format!("{lines} production lines, at most {LINES_MAX}: find the second noun in it");
    (!source.is_test_file() && lines > LINES_MAX).then(|| Violation::new(&source.path, 0, what()))
}

fn name(source: &Source) -> Option<Violation> {
    let mut parts = source.path.trim_end_matches(".rs").split('/');
    let part = parts.find(|part| CATCH_ALL.contains(part))?;
    Some(Violation::new(&source.path, 0, format!("`{part}` says nothing: name the file by a noun of the domain")))
}

/// A test is named as a fact: several words, none of them `test`.
fn test_names(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let texts: Vec<&str> = source.tokens.iter().map(|token| token.text.as_str()).collect();
    for (at, window) in texts.windows(4).enumerate() {
        let attribute_end = match window {
            ["#", "[", "test", "]"] => Some(at + 4),
            ["[", "tokio", ":", ":"] if texts.get(at + 4) == Some(&"test") => Some(at + 5),
            _ => None,
        };
        let Some(name_at) = attribute_end.and_then(|end| function_name_after(&texts, end)) else { continue };
        let name = texts[name_at];
        let is_fact = name.contains('_') && !name.starts_with("test_") && !name.ends_with("_works");
        if !is_fact {
            let what = format!("test `{name}` is not named as a fact, like `holds_pending_until_for_elapses`");
            found.push(Violation::new(&source.path, source.tokens[name_at].line, what));
        }
    }
    found
}

fn function_name_after(texts: &[&str], from: usize) -> Option<usize> {
    texts.iter().enumerate().skip(from).find(|(_, text)| **text == "fn").map(|(at, _)| at + 1)
}

/// Marks of unfinished work; a planned thing belongs in an issue, a reason in a sentence.
pub(crate) fn open_ends(path: &str, text: &str) -> Vec<Violation> {
    if path.starts_with("tests/architecture") {
        return Vec::new();
    }
    let marks = ["TODO", "FIXME", "XXX", "HACK", "todo!(", "unimplemented!("];
    let mark_in = |line: &str| marks.into_iter().find(|mark| has_word(line, mark));
    let report = |(at, line)| {
        let mark = mark_in(line)?;
        Some(Violation::new(
            path,
            at + 1,
            format!("`{mark}`: finish it, or open an issue and write the reason as a sentence"),
        ))
    };
    text.lines().enumerate().filter_map(report).collect()
}

/// Whether `word` stands in `line` with no letter, digit or underscore before or behind it.
fn has_word(line: &str, word: &str) -> bool {
    let is_inner = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(is_inner);
        let behind = line[at + word.len()..].chars().next().is_some_and(is_inner);
        !before && (!behind || word.ends_with('('))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<Violation> {
        violations(&Source::parse(path, text).unwrap())
    }

    #[test]
    fn a_file_without_an_opening_sentence_is_caught() {
        assert_eq!(found("agent/src/clock.rs", "fn now() {}\n").len(), 1);
        assert_eq!(found("agent/src/clock.rs", "//! clock\nfn now() {}\n").len(), 1);
        assert_eq!(found("agent/src/clock.rs", "//! Reads the clock.\nfn now() {}\n"), []);
    }

    #[test]
    fn a_file_of_501_lines_is_caught_and_its_tests_do_not_count() {
        let body = |lines: usize| format!("//! A long file.\n{}", "const _: u8 = 0;\n".repeat(lines - 1));
        assert_eq!(found("agent/src/clock.rs", &body(501)).len(), 1);
        assert_eq!(found("agent/src/clock.rs", &body(500)), []);
        let tested = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", body(500), "const _: u8 = 0;\n".repeat(300));
        assert_eq!(found("agent/src/clock.rs", &tested), []);
    }

    #[test]
    fn a_catch_all_name_is_caught_as_file_and_as_folder() {
        for path in ["agent/src/utils.rs", "agent/src/common/mod.rs", "tui/src/helpers.rs", "shared/src/types.rs"] {
            assert_eq!(found(path, "//! Some things.\n").len(), 1, "{path}");
        }
    }

    #[test]
    fn a_test_that_is_not_named_as_a_fact_is_caught() {
        assert_eq!(found("a/src/b.rs", "//! A file.\n#[test]\nfn test_parse() {}\n").len(), 1);
        assert_eq!(found("a/src/b.rs", "//! A file.\n#[tokio::test]\nasync fn works() {}\n").len(), 1);
        assert_eq!(found("a/src/b.rs", "//! A file.\n#[test]\nfn parses_an_empty_line() {}\n"), []);
    }

    #[test]
    fn marks_of_unfinished_work_are_caught() {
        assert_eq!(open_ends("a.rs", "// TODO: later\n").len(), 1);
        assert_eq!(open_ends("a.rs", "    todo!()\n").len(), 1);
        assert_eq!(open_ends("a.md", "A FIXME here\n").len(), 1);
        assert_eq!(open_ends("a.rs", "let todos = TODO_LIST;\n"), []);
    }
}
