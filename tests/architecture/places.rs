//! Words that may stand in some places only: the hot path, the pure model, the one event loop, tests that never sleep.
//! Reads tokens, so comments and strings are free to speak of anything.

use super::source::{Source, Token, Violation};

/// Which tokens of a file a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reads {
    /// What ships.
    Production,
    /// What ships, except inside functions named `new`: building is not recording.
    ProductionOutsideNew,
    /// What only runs in tests, except where time is simulated or the wait is for a condition.
    TestsOnTheWallClock,
    /// Both.
    All,
}

/// Words and where they must not stand.
#[derive(Debug)]
pub(crate) struct Rule {
    /// Path openings the rule holds for.
    pub(crate) inside: &'static [&'static str],
    /// Path openings within these that are free of it.
    pub(crate) except: &'static [&'static str],
    pub(crate) reads: Reads,
    /// Token sequences, written as in the code.
    pub(crate) words: &'static [&'static str],
    /// Why not, and what to do.
    pub(crate) instead: &'static str,
}

/// Every rule of this kind.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        inside: &["agent/src/instruments/"],
        except: &[],
        reads: Reads::Production,
        words: &[
            "Mutex",
            "RwLock",
            "Condvar",
            "OnceLock",
            "LazyLock",
            ".lock(",
            "await",
            "async",
            "panic!",
            "unreachable!",
            "assert!",
            "assert_eq!",
            "assert_ne!",
            ".unwrap(",
            ".expect(",
            "Vec",
            "vec!",
            "String",
            "format!",
            "HashMap",
            "BTreeMap",
            ".to_string(",
            ".to_owned(",
            ".to_vec(",
            ".push(",
            ".insert(",
            ".extend(",
            ".reserve(",
            "::spawn",
            "::sleep",
            "std::fs",
            "std::net",
            "std::io",
            "SystemTime",
            "mpsc",
            "tracing",
            "thread_local!",
        ],
        instead: "the hot path takes no lock, allocates nothing, makes no system call, never awaits and never panics",
    },
    Rule {
        inside: &["agent/src/instruments/"],
        except: &[],
        reads: Reads::ProductionOutsideNew,
        words: &["Arc::new", "Box::new", ".collect("],
        instead: "recording allocates nothing; allocate in `new`",
    },
    Rule {
        inside: &["tui/src/model/"],
        except: &[],
        reads: Reads::All,
        words: &["ratatui", "tokio", "crossterm", "reqwest", "std::fs", "std::net"],
        instead: "the model is pure: no screen, no runtime, no I/O",
    },
    Rule {
        inside: &["tui/src/views/"],
        except: &[],
        reads: Reads::Production,
        words: &["tokio", "reqwest", "std::fs", "std::net", "await"],
        instead: "a view is a function of what it is given",
    },
    Rule {
        inside: &["shared/src/"],
        except: &[],
        reads: Reads::Production,
        words: &[
            "tokio",
            "async",
            "await",
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "SystemTime",
            "::Instant",
        ],
        instead: "what both sides agree on does no I/O, awaits nothing and reads no clock",
    },
    Rule {
        inside: &["tui/src/"],
        except: &["tui/src/app/event_loop.rs"],
        reads: Reads::Production,
        words: &["select!"],
        instead: "the dashboard has one loop, in app/event_loop.rs",
    },
    Rule {
        inside: &["agent/src/", "shared/src/"],
        except: &[],
        reads: Reads::Production,
        words: &["print!", "println!", "eprint!", "eprintln!", "dbg!"],
        instead: "a library does not write to the streams of its host; use `tracing` or return an error",
    },
    Rule {
        inside: &["agent/src/", "shared/src/"],
        except: &[],
        reads: Reads::Production,
        words: &["process::exit", "process::abort", "set_hook", "tokio::signal", "signal_hook", "set_global_default"],
        instead: "the host is never taken down, and nothing global is installed in it",
    },
    Rule {
        inside: &["agent/", "shared/", "tui/", "tests/"],
        except: &[],
        reads: Reads::TestsOnTheWallClock,
        words: &["sleep(", "sleep_ms(", "sleep_until(", "thread::sleep", "time::sleep"],
        instead: "tests never sleep: wait on a condition with a deadline",
    },
];

/// Functions that wait for a condition with a deadline; they are what tests use instead of a sleep.
const WAITS: &[&str] = &["eventually", "wait_until"];

/// Cargo features that stand for one integration each; `opentelemetry_sdk` has a part in the exporter too.
const INTEGRATIONS: &[&str] = &["tower", "axum", "sqlx", "moka", "redis", "apalis"];

/// The only file that switches them.
const INTEGRATION_SWITCH: &str = "agent/src/integrations/mod.rs";

/// Every place in `sources` where `rule` is broken.
pub(crate) fn violations(rule: &Rule, sources: &[Source]) -> Vec<Violation> {
    let opens = |path: &str, openings: &[&str]| openings.iter().any(|opening| path.starts_with(opening));
    let holds = |source: &&Source| opens(&source.path, rule.inside) && !opens(&source.path, rule.except);
    sources.iter().filter(holds).flat_map(|source| violations_in(rule, source)).collect()
}

fn violations_in(rule: &Rule, source: &Source) -> Vec<Violation> {
    let tokens: Vec<&Token> = match rule.reads {
        Reads::Production => source.production(),
        Reads::ProductionOutsideNew => outside(&source.production(), |name, _| name == "new"),
        Reads::TestsOnTheWallClock => outside(&source.tests(), |name, before| {
            WAITS.contains(&name) || before.iter().any(|token| token.text == "start_paused")
        }),
        Reads::All => source.tokens.iter().collect(),
    };
    let at = |word: &&str| {
        let pattern = pieces(word);
        let matching = move |window: &&[&Token]| window.iter().zip(&pattern).all(|(token, piece)| token.text == *piece);
        let lines: Vec<usize> =
            tokens.windows(pieces(word).len()).filter(matching).map(|found| found[0].line).collect();
        let what = format!("`{word}`: {}", rule.instead);
        lines.into_iter().map(move |line| Violation::new(&source.path, line, what.clone())).collect::<Vec<_>>()
    };
    rule.words.iter().flat_map(at).collect()
}

/// A word of a rule as tokens: `.lock(` is `.`, `lock`, `(`.
fn pieces(word: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let is_inner = |character: char| character.is_alphanumeric() || character == '_';
    for character in word.chars() {
        match pieces.last_mut() {
            Some(last) if is_inner(character) && last.ends_with(is_inner) => last.push(character),
            _ => pieces.push(character.to_string()),
        }
    }
    pieces
}

/// The tokens without the bodies of functions that `skips`, given the name and the tokens of the item before it.
fn outside<'a>(tokens: &[&'a Token], skips: impl Fn(&str, &[&Token]) -> bool) -> Vec<&'a Token> {
    let mut kept: Vec<&Token> = Vec::new();
    let mut rest = tokens;
    while let Some((first, behind)) = rest.split_first() {
        let name = behind.first().filter(|_| first.text == "fn").map(|name| name.text.as_str());
        let item = kept.iter().rposition(|token| token.text == "}" || token.text == ";").map_or(0, |end| end + 1);
        let skipped = name.is_some_and(|name| skips(name, &kept[item..]));
        rest = if skipped { behind_body(behind) } else { behind };
        if !skipped {
            kept.push(*first);
        }
    }
    kept
}

/// What follows the first pair of braces.
fn behind_body<'a, 'b>(tokens: &'b [&'a Token]) -> &'b [&'a Token] {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return &tokens[at + 1..],
            "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    &[]
}

/// Every `cfg` on an integration's feature outside the file made for it. The macro `cfg!` only asks, and may.
pub(crate) fn feature_violations(sources: &[Source]) -> Vec<Violation> {
    let elsewhere = |source: &&Source| source.path.starts_with("agent/src/") && source.path != INTEGRATION_SWITCH;
    sources.iter().filter(elsewhere).flat_map(feature_violations_in).collect()
}

fn feature_violations_in(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut asks = false;
    for window in source.tokens.windows(3) {
        let [first, second, third] = window else { continue };
        if first.text == "cfg" || first.text == "cfg_attr" {
            asks = second.text == "!";
        }
        let switches = first.text == "feature" && INTEGRATIONS.contains(&third.text.trim_matches('"'));
        if switches && !asks {
            let what = format!("an integration's feature is switched in {INTEGRATION_SWITCH} only: off means absent");
            found.push(Violation::new(&source.path, first.line, what));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines on which any rule is broken by `text` at `path`.
    fn caught(path: &str, text: &str) -> Vec<usize> {
        let sources = [Source::parse(path, text).unwrap()];
        let mut lines: Vec<usize> =
            RULES.iter().flat_map(|rule| violations(rule, &sources)).map(|violation| violation.line).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    }

    #[test]
    fn a_lock_an_allocation_an_await_and_a_panic_in_the_hot_path_are_caught() {
        let path = "agent/src/instruments/counter.rs";
        for line in [
            "static A: Mutex<u8> = Mutex::new(0);",
            "fn a() { self.cells.lock().add(1); }",
            "fn a() { self.cells.push(1); }",
            "fn a() { let a = vec![1]; }",
            "fn a() { panic!(\"no\"); }",
            "fn a() { self.next.unwrap(); }",
            "fn a() { self.next.expect(\"there\"); }",
            "async fn a() { b().await; }",
            "fn a() { let b = Box::new(1); }",
            "fn a() { format!(\"{b}\"); }",
        ] {
            assert_eq!(caught(path, &format!("{line}\n")), [1], "{line}");
        }
    }

    #[test]
    fn the_hot_path_may_allocate_when_built_and_do_anything_in_its_tests() {
        let text = "impl A {\n    fn new() -> Self { Self(Arc::new(1)) }\n    fn add(&self) { self.0.fetch_add(1); }\n}\n\
                    #[cfg(test)]\nmod tests { fn a() { let b = vec![1].pop().unwrap(); } }\n";
        assert_eq!(caught("agent/src/instruments/counter.rs", text), []);
        assert_eq!(caught("agent/src/registry/mod.rs", "fn a() { self.all.lock().push(1); }\n"), []);
    }

    #[test]
    fn a_screen_or_a_runtime_in_the_model_is_caught() {
        assert_eq!(caught("tui/src/model/rate.rs", "//! Rates.\nuse ratatui::text::Line;\n"), [2]);
        assert_eq!(caught("tui/src/model/rate.rs", "//! Rates.\nfn a() { tokio::spawn(b); }\n"), [2]);
        assert_eq!(caught("tui/src/app/mod.rs", "//! Rates.\nuse ratatui::text::Line;\n"), []);
    }

    #[test]
    fn a_view_that_reads_the_world_is_caught() {
        assert_eq!(caught("tui/src/views/heap.rs", "use std::fs;\n"), [1]);
    }

    #[test]
    fn a_file_or_a_clock_in_the_shared_crate_is_caught() {
        assert_eq!(caught("shared/src/alerts/mod.rs", "fn a() { std::fs::read(b); }\n"), [1]);
        assert_eq!(caught("shared/src/alerts/mod.rs", "use std::time::Instant;\n"), [1]);
    }

    #[test]
    fn a_second_event_loop_is_caught() {
        let text = "fn a() { tokio::select! { _ = b => {} } }\n";
        assert_eq!(caught("tui/src/source/agent.rs", text), [1]);
        assert_eq!(caught("tui/src/app/event_loop.rs", text), []);
    }

    #[test]
    fn a_library_that_prints_or_exits_is_caught() {
        assert_eq!(caught("agent/src/server/mod.rs", "fn a() { println!(\"b\"); }\n"), [1]);
        assert_eq!(caught("shared/src/label.rs", "fn a() { eprintln!(\"b\"); }\n"), [1]);
        assert_eq!(caught("agent/src/agent.rs", "fn a() { std::process::exit(1); }\n"), [1]);
    }

    #[test]
    fn a_sleep_in_a_test_is_caught_and_one_in_production_is_not() {
        let test = "#[cfg(test)]\nmod tests {\n    fn a() { std::thread::sleep(B); }\n}\n";
        assert_eq!(caught("agent/src/heap/mod.rs", test), [3]);
        assert_eq!(caught("tests/e2e/truth.rs", "async fn a() { sleep(B).await; }\n"), [1]);
        assert_eq!(
            caught("agent/tests/a.rs", "#[tokio::test(start_paused = true)]\nasync fn a() { sleep(B).await; }\n"),
            []
        );
        assert_eq!(
            caught("agent/tests/a.rs", "async fn eventually() { sleep(B).await; }\nfn b() { sleep(B); }\n"),
            [2]
        );
        assert_eq!(caught("tests/shop/src/faults.rs", "async fn a() { tokio::time::sleep(B).await; }\n"), []);
    }

    #[test]
    fn an_integration_switched_outside_its_file_is_caught() {
        let switched = |path: &str| {
            feature_violations(&[
                Source::parse(path, "#[cfg(any(feature = \"moka\", feature = \"x\"))]\nmod a;\n").unwrap()
            ])
        };
        assert_eq!(switched("agent/src/agent.rs").len(), 1);
        assert_eq!(switched("agent/src/integrations/mod.rs"), []);
        let asked = Source::parse("agent/src/a.rs", "const A: bool = cfg!(feature = \"moka\");\n").unwrap();
        assert_eq!(feature_violations(&[asked]), []);
    }
}
