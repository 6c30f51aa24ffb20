//! A Rust file as tokens with line numbers, its test code told apart from what ships.
//! Knows the language's brackets and attributes, no rule.

use std::fmt;
use std::iter::Peekable;
use std::ops::RangeInclusive;
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// A place where a rule is broken and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Relative to the repository's root.
    pub(crate) path: String,
    /// From 1; 0 when the file as a whole is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Violation {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "  {}:{}: {}", self.path, self.line, self.what)
    }
}

/// One token; groups appear as their opening and closing bracket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// As written; a string literal with its quotes.
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
    /// Inside `#[cfg(test)]` or a file that is test code as a whole.
    pub(crate) test: bool,
}

/// A parsed file.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// Relative to the repository's root, with `/`.
    pub(crate) path: String,
    /// As read.
    pub(crate) text: String,
    /// Comments are not among them; doc comments are `#[doc = "…"]`.
    pub(crate) tokens: Vec<Token>,
    /// Lines taken by items under `#[cfg(test)]`.
    pub(crate) test_lines: Vec<RangeInclusive<usize>>,
    /// Whether all of it is test code.
    test_file: bool,
}

impl Source {
    /// Reads `text` as the file at `path`.
    pub(crate) fn parse(path: &str, text: &str) -> Result<Self, String> {
        let stream = TokenStream::from_str(text).map_err(|error| format!("{path}: not Rust: {error}"))?;
        let mut walk = Walk { tokens: Vec::new(), test_lines: Vec::new() };
        let test_file = is_test_file(path);
        walk.level(stream, test_file);
        let (path, text) = (path.to_owned(), text.to_owned());
        Ok(Self { path, text, tokens: walk.tokens, test_lines: walk.test_lines, test_file })
    }

    /// The tokens that ship.
    pub(crate) fn production(&self) -> Vec<&Token> {
        self.tokens.iter().filter(|token| !token.test).collect()
    }

    /// The tokens that only run in tests.
    pub(crate) fn tests(&self) -> Vec<&Token> {
        self.tokens.iter().filter(|token| token.test).collect()
    }

    /// Lines of the file without its `#[cfg(test)]` items.
    pub(crate) fn production_lines(&self) -> usize {
        let tests: usize = self.test_lines.iter().map(|lines| lines.end() + 1 - lines.start()).sum();
        self.text.lines().count().saturating_sub(tests)
    }

    /// Whether the file as a whole is test code.
    pub(crate) fn is_test_file(&self) -> bool {
        self.test_file
    }

    /// Openings of the paths of modules that this file declares under `#[cfg(test)]`, as `mod scenes;` does.
    fn test_modules(&self) -> Vec<String> {
        let stem = self.path.trim_end_matches(".rs");
        let (folder, name) = stem.rsplit_once('/').unwrap_or(("", stem));
        let home = if ["lib", "main", "mod"].contains(&name) { folder } else { stem };
        let declared =
            self.tokens.windows(3).filter(|window| window[0].test && window[0].text == "mod" && window[2].text == ";");
        declared.map(|window| format!("{home}/{}", window[1].text)).collect()
    }
}

/// Makes test code of the files that are modules under `#[cfg(test)]` in another file.
pub(crate) fn mark_test_modules(sources: &mut [Source]) {
    let modules: Vec<String> = sources.iter().flat_map(Source::test_modules).collect();
    let is_inside = |path: &str, module: &String| {
        path.strip_prefix(module.as_str()).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    };
    for source in sources.iter_mut().filter(|source| modules.iter().any(|module| is_inside(&source.path, module))) {
        source.test_file = true;
        source.tokens.iter_mut().for_each(|token| token.test = true);
    }
}

/// Files that cargo or a `mod tests;` builds for tests only. The reference service under `tests/shop` ships with the
/// repository and is held to the rules of production code.
fn is_test_file(path: &str) -> bool {
    let inside = path.strip_prefix("tests/shop/").unwrap_or(path);
    let folders = inside.rsplit_once('/').map_or("", |(folders, _)| folders);
    inside.ends_with("/tests.rs") || folders.split('/').any(|folder| folder == "tests" || folder == "benches")
}

struct Walk {
    tokens: Vec<Token>,
    test_lines: Vec<RangeInclusive<usize>>,
}

type Trees = Peekable<token_stream::IntoIter>;

impl Walk {
    /// Takes one bracket level; `test` is inherited from the level around it.
    fn level(&mut self, stream: TokenStream, test: bool) {
        let mut trees = stream.into_iter().peekable();
        while let Some(tree) = trees.next() {
            let starts_test = !test && is_hash(&tree) && trees.peek().is_some_and(is_cfg_test);
            let first = tree.span().start().line;
            self.tree(tree, test || starts_test);
            if starts_test {
                let last = self.test_item(&mut trees).max(first);
                self.test_lines.push(first..=last);
            }
        }
    }

    /// Takes the item behind a `#[cfg(test)]` whose `#` was taken; returns its last line.
    fn test_item(&mut self, trees: &mut Trees) -> usize {
        let mut last = 0;
        let mut is_item = false;
        for tree in trees.by_ref() {
            last = last.max(tree.span().end().line);
            let ends = ends_item(&tree, is_item);
            is_item |= starts_item(&tree);
            self.tree(tree, true);
            if ends {
                break;
            }
        }
        last
    }

    fn tree(&mut self, tree: TokenTree, test: bool) {
        let TokenTree::Group(group) = tree else {
            let line = tree.span().start().line;
            self.tokens.push(Token { text: tree.to_string(), line, test });
            return;
        };
        let (open, close) = match group.delimiter() {
            Delimiter::Parenthesis => ("(", ")"),
            Delimiter::Brace => ("{", "}"),
            Delimiter::Bracket => ("[", "]"),
            Delimiter::None => ("", ""),
        };
        self.tokens.push(Token { text: open.to_owned(), line: group.span_open().start().line, test });
        self.level(group.stream(), test);
        self.tokens.push(Token { text: close.to_owned(), line: group.span_close().start().line, test });
    }
}

fn is_hash(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '#')
}

/// Whether this is the bracket of a `cfg` attribute that only holds in tests, those under loom included.
fn is_cfg_test(tree: &TokenTree) -> bool {
    let TokenTree::Group(group) = tree else { return false };
    let text: String = group.stream().to_string().split_whitespace().collect();
    ["cfg(test)", "cfg(all(test,", "cfg(all(loom,test", "cfg(loom)", "cfg(any(test,loom))"]
        .iter()
        .any(|opening| text.starts_with(opening))
}

fn starts_item(tree: &TokenTree) -> bool {
    const KEYWORDS: &str =
        " mod fn use impl struct enum const static type trait pub unsafe async extern macro_rules union ";
    matches!(tree, TokenTree::Ident(ident) if KEYWORDS.contains(&format!(" {ident} ")))
}

/// An item ends with its braces or semicolon; a field, a variant or an expression also with a comma.
fn ends_item(tree: &TokenTree, is_item: bool) -> bool {
    match tree {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';' || (punct.as_char() == ',' && !is_item),
        _ => false,
    }
}

#[test]
fn items_of_tests_are_told_apart_from_what_ships() {
    let text = "use a::b;\n#[cfg(test)]\nmod tests {\n    fn inner() {}\n}\nfn after() {}\n";
    let source = Source::parse("x/src/y.rs", text).unwrap();
    let shipped: Vec<&str> = source.production().iter().map(|token| token.text.as_str()).collect();
    assert!(shipped.contains(&"after") && !shipped.contains(&"inner"), "{shipped:?}");
    assert_eq!(source.production_lines(), 2);
}

#[test]
fn a_test_import_ends_at_its_semicolon() {
    let source = Source::parse("x/src/y.rs", "#[cfg(test)]\nuse a::{b, c};\nfn after() {}\n").unwrap();
    assert_eq!(source.test_lines, [1..=2]);
}

#[test]
fn a_test_only_field_ends_at_its_comma() {
    let text = "struct S {\n    #[cfg(test)]\n    seen: u8,\n    kept: u8,\n}\n";
    let source = Source::parse("x/src/y.rs", text).unwrap();
    assert_eq!(source.test_lines, [2..=3]);
}

#[test]
fn words_in_comments_and_strings_are_no_tokens_of_their_own() {
    let source = Source::parse("x/src/y.rs", "// Mutex\nconst A: &str = \"Mutex\"; /* lock() */\n").unwrap();
    assert!(source.tokens.iter().all(|token| token.text != "Mutex" && token.text != "lock"));
}

#[test]
fn a_module_declared_for_tests_is_test_code_with_all_below_it() {
    let parse = |path, text| Source::parse(path, text).unwrap();
    let mut sources = [
        parse("x/src/views/mod.rs", "mod heap;\n#[cfg(test)]\nmod scenes;\n"),
        parse("x/src/views/scenes.rs", "fn a() {}\n"),
        parse("x/src/views/scenes/night.rs", "fn a() {}\n"),
        parse("x/src/views/heap.rs", "fn a() {}\n"),
    ];
    mark_test_modules(&mut sources);
    assert_eq!(sources.map(|source| source.is_test_file()), [false, true, true, false]);
}

#[test]
fn the_reference_service_is_not_test_code() {
    assert!(!is_test_file("tests/shop/src/orders.rs"));
    assert!(is_test_file("tests/shop/tests/api.rs"));
    assert!(is_test_file("tests/e2e/truth.rs"));
    assert!(is_test_file("tui/src/views/tests.rs"));
    assert!(!is_test_file("agent/src/heap/trend.rs"));
}
