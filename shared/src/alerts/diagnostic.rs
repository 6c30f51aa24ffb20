//! What is wrong with an alert file, where, and what would be right; rendered as a compiler renders it.
//! What a rule means is not known here.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// Problems beyond this many are counted, not listed: nobody reads the hundredth.
const PROBLEMS_MAX: usize = 100;
/// How much of a long source line is quoted, in characters.
const LINE_CHARS_MAX: usize = 160;

/// One problem of an alert file, with its place.
///
/// Its `Display` names the file, line and column, quotes the line, marks the place and, where one is known, proposes what
/// to write instead. Control characters of the file never reach the output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file name that was given to [`AlertFile::parse`](super::AlertFile::parse).
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The bytes of the file that are meant.
    pub span: Range<usize>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to write instead; absent when nothing sensible is known.
    pub help: Option<String>,
    quoted: Quoted,
    pub(super) class: Class,
}

/// Whether a problem is something present or something missing; after a syntax error the latter is often only an echo.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Syntax,
    Present,
    Missing,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Quoted {
    line: String,
    indent: String,
    carets: usize,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = " ".repeat(self.line.to_string().len());
        let carets = "^".repeat(self.quoted.carets);
        writeln!(f, "error: {}", self.message)?;
        writeln!(f, "{gutter}--> {}:{}:{}", printable(&self.file), self.line, self.column)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{} | {}", self.line, self.quoted.line)?;
        write!(f, "{gutter} | {}{carets}", self.quoted.indent)?;
        match &self.help {
            Some(help) => write!(f, " {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Diagnostic {}

/// A text with its name, from which diagnostics quote.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'t> {
    pub(super) name: &'t str,
    pub(super) text: &'t str,
}

/// Collects every problem of one file while it is read.
#[derive(Debug)]
pub(super) struct Problems<'t> {
    pub(super) source: Source<'t>,
    found: RefCell<Vec<Diagnostic>>,
}

impl<'t> Problems<'t> {
    pub(super) fn new(source: Source<'t>) -> Self {
        Self { source, found: RefCell::default() }
    }

    /// Reports what is written at `span`.
    pub(super) fn report(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Class::Present, span, message.into(), help);
    }

    /// Reports something that should be within `span` and is not.
    pub(super) fn missing(&self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        self.push(Class::Missing, span, message.into(), help);
    }

    /// Reports text that is not TOML.
    pub(super) fn syntax(&self, span: Range<usize>, message: impl Into<String>) {
        self.push(Class::Syntax, span, message.into(), None);
    }

    pub(super) fn count(&self) -> usize {
        self.found.borrow().len()
    }

    /// Everything found, by place; echoes of syntax errors left out.
    pub(super) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut found = self.found.into_inner();
        let broken: Vec<usize> = found.iter().filter(|it| it.class == Class::Syntax).map(|it| it.line).collect();
        if !broken.is_empty() {
            found.retain(|it| it.class == Class::Syntax || (it.class == Class::Present && !broken.contains(&it.line)));
        }
        found.sort_by_key(|it| (it.span.start, it.span.end));
        found.dedup_by(|a, b| a.span == b.span && a.message == b.message);
        found
    }

    fn push(&self, class: Class, span: Range<usize>, message: String, help: Option<String>) {
        let mut found = self.found.borrow_mut();
        if found.len() < PROBLEMS_MAX {
            found.push(self.source.diagnostic(class, span, (message, help)));
        }
    }
}

impl Source<'_> {
    fn diagnostic(&self, class: Class, span: Range<usize>, (message, help): (String, Option<String>)) -> Diagnostic {
        let start = floor_boundary(self.text, span.start);
        let end = floor_boundary(self.text, span.end.max(span.start)).max(start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = self.text[start..].find('\n').map_or(self.text.len(), |at| start + at);
        let line = self.text[line_start..line_end].trim_end_matches('\r');
        let column = before[line_start..].chars().count() + 1;
        let marked = self.text[start..end.min(line_end)].chars().count().max(1);
        Diagnostic {
            file: self.name.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            span: start..end,
            message,
            help,
            quoted: quote(line, column - 1, marked),
            class,
        }
    }
}

/// Cuts a long line to the part around the mark and makes it harmless to print.
fn quote(line: &str, column: usize, marked: usize) -> Quoted {
    let from = if column + marked > LINE_CHARS_MAX { column.saturating_sub(LINE_CHARS_MAX / 4) } else { 0 };
    let ellipsis = if from > 0 { "… " } else { "" };
    let shown: String = printable(line).chars().skip(from).take(LINE_CHARS_MAX).collect();
    let indent: String = shown.chars().take(column - from).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let indent = if from > 0 { format!("  {indent}") } else { indent };
    let room = (LINE_CHARS_MAX + from).saturating_sub(column).max(1);
    Quoted { line: format!("{ellipsis}{shown}"), indent, carets: marked.min(room) }
}

/// The text with every control character except the tab replaced, one for one.
fn printable(text: &str) -> String {
    let invisible = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if c != '\t' && invisible(c) { '\u{fffd}' } else { c }).collect()
}

fn floor_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

/// "did you mean `x`?" for the candidate nearest to `word`, if one is near enough to be a slip.
pub(super) fn did_you_mean<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<String> {
    nearest(word, candidates).map(|name| format!("did you mean `{name}`?"))
}

/// The candidate nearest to `word` within a third of its length.
fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let allowed = (word.chars().count() / 3).max(1);
    let lower = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// `a`, `b` or `c`, for messages that list what is allowed.
pub(super) fn one_of<'c>(names: impl IntoIterator<Item = &'c str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => "nothing".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_the_place_under_the_quoted_line() {
        let problems = Problems::new(Source { name: "a.toml", text: "x = 1\n\tüber = 2\n" });
        problems.report(7..12, "unknown key `über`", Some("did you mean `over`?".to_owned()));
        let rendered = problems.into_sorted()[0].to_string();
        let expected =
            "error: unknown key `über`\n --> a.toml:2:2\n  |\n2 | \tüber = 2\n  | \t^^^^ did you mean `over`?";
        assert_eq!(rendered, expected);
    }

    #[test]
    fn no_control_character_of_the_file_is_printed() {
        let problems = Problems::new(Source { name: "a\u{1b}.toml", text: "a = \"\u{1b}[31m\u{202e}\"" });
        problems.report(4..5, "x", None);
        assert!(!problems.into_sorted()[0].to_string().contains(['\u{1b}', '\u{202e}']));
    }

    #[test]
    fn a_place_outside_the_text_or_inside_a_character_is_moved_not_refused() {
        let problems = Problems::new(Source { name: "a", text: "é" });
        problems.report(1..99, "x", None);
        problems.report(50..60, "y", None);
        assert_eq!(problems.into_sorted().len(), 2);
    }

    #[test]
    fn quotes_only_the_part_of_a_long_line_that_matters() {
        let text = format!("{}HERE", " ".repeat(1000));
        let problems = Problems::new(Source { name: "a", text: &text });
        problems.report(1000..1004, "x", None);
        let rendered = problems.into_sorted()[0].to_string();
        let lines: Vec<&str> = rendered.lines().collect();
        let mark = lines[4].chars().position(|c| c == '^').unwrap() - 5;
        let here =
            lines[3].chars().collect::<Vec<_>>().windows(4).position(|it| it == ['H', 'E', 'R', 'E']).unwrap() - 7;
        assert_eq!(mark - 2, here, "{rendered}");
        assert!(rendered.len() < 600);
    }

    #[test]
    fn proposes_only_what_a_slip_explains() {
        assert_eq!(did_you_mean("warnning", ["info", "warning"]).as_deref(), Some("did you mean `warning`?"));
        assert_eq!(did_you_mean("banana", ["info", "warning"]), None);
    }
}
