//! Which part of a crate may know which other: imports point down the list.
//! Knows paths of code only; what crosses between crates is the manifests' business.

use super::source::{Source, Token, Violation};

/// The layers of one crate.
#[derive(Debug)]
pub(crate) struct CrateLayers {
    /// The folder that holds `lib.rs`, with a trailing slash.
    pub(crate) folder: &'static str,
    /// Lowest first. Modules on one line may know each other.
    pub(crate) order: &'static [&'static [&'static str]],
}

/// Every crate that has layers.
pub(crate) const CRATES: &[CrateLayers] = &[
    CrateLayers {
        folder: "shared/src/",
        order: &[
            &["time", "label", "catalog", "buckets", "error"],
            &["histogram"],
            &["exponential"],
            &["snapshot"],
            &["frame"],
            &["alerts"],
        ],
    },
    CrateLayers {
        folder: "agent/src/",
        order: &[
            &["clock", "config", "error", "jemalloc"],
            &["recording"],
            // spans of requests; what the signals observe is among them
            &["trace"],
            &["instruments"],
            // the value that readers get; the layers above fill it
            &["snapshot"],
            &["registry"],
            &["signals"],
            // addresses by name, for profiles
            &["symbols"],
            &["heap", "process", "cpu"],
            &["recorder"],
            &["actions", "exporters"],
            &["server"],
            &["agent"],
            // adaptors over the public API
            &["integrations"],
        ],
    },
    CrateLayers {
        folder: "tui/src/",
        order: &[
            &["clock", "text", "cli", "config", "terminal", "error"],
            &["source"],
            &["model"],
            &["alerting"],
            // targets, model and alerts as one: what the dashboard and the headless commands share
            &["session"],
            &["screen", "keymap"],
            &["views"],
            &["app"],
            &["headless"],
            // arguments to exit code
            &["program"],
        ],
    },
];

/// Files of a crate's root that see every layer: maps and entry points.
const MAPS: &[&str] = &["lib", "main"];

/// Every import of this crate that points up, and every module that has no layer yet.
pub(crate) fn violations(layers: &CrateLayers, sources: &[Source]) -> Vec<Violation> {
    let inside: Vec<&Source> = sources.iter().filter(|source| source.path.starts_with(layers.folder)).collect();
    let root = inside.iter().find(|source| source.path == format!("{}lib.rs", layers.folder));
    let names = root.map(|root| reexports(root)).unwrap_or_default();
    inside.iter().flat_map(|source| violations_in(layers, &names, source)).collect()
}

fn violations_in(layers: &CrateLayers, names: &[(String, String)], source: &Source) -> Vec<Violation> {
    let module = module_path(layers.folder, &source.path);
    let Some(own) = module.first() else { return Vec::new() };
    let Some(rank) = rank(layers, own) else {
        let what = format!("`{own}` has no layer: give it one in tests/architecture/layers.rs");
        return vec![Violation::new(&source.path, 0, what)];
    };
    let upward = |(target, line): &(String, usize)| {
        let home = names.iter().find(|(name, _)| name == target).map_or(target.as_str(), |(_, home)| home);
        // macros and other names of the root itself have no rank
        let above = self::rank(layers, home).is_some_and(|target_rank| target_rank > rank);
        let what = format!("`{own}` imports `{home}`, which lies above it: move what both need down, or pass it in");
        above.then(|| Violation::new(&source.path, *line, what))
    };
    imports(&module, &source.production()).iter().filter_map(upward).collect()
}

fn rank(layers: &CrateLayers, module: &str) -> Option<usize> {
    layers.order.iter().position(|group| group.contains(&module))
}

/// The module a file is, as names below the crate's root; empty for the maps.
fn module_path(folder: &str, path: &str) -> Vec<String> {
    let inside = path.strip_prefix(folder).unwrap_or(path).trim_end_matches(".rs");
    let mut parts: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if parts.last().is_some_and(|last| last == "mod") {
        parts.pop();
    }
    if parts.len() == 1 && MAPS.contains(&parts[0].as_str()) { Vec::new() } else { parts }
}

/// What the root re-exports: the name, and the module it comes from.
fn reexports(root: &Source) -> Vec<(String, String)> {
    let tokens = root.production();
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let is_public = at > 0 && tokens[at - 1].text == "pub";
        if token.text == "use" && is_public {
            let from = if tokens.get(at + 1).is_some_and(|next| next.text == "crate" || next.text == "self") {
                at + 4
            } else {
                at + 1
            };
            let home = tokens.get(from).map(|home| home.text.clone()).unwrap_or_default();
            let end = tokens[from..].iter().position(|token| token.text == ";").map_or(tokens.len(), |end| from + end);
            found.extend(tokens[from..end].iter().map(|name| (name.text.clone(), home.clone())));
        }
    }
    found.retain(|(name, home)| name != home && name.starts_with(char::is_alphabetic));
    found
}

/// First names below the crate's root that a file names through `crate::` or `super::`, each with its line.
fn imports(module: &[String], tokens: &[&Token]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let before_is_path = at > 0 && tokens[at - 1].text == ":";
        at = match tokens[at].text.as_str() {
            "crate" if !before_is_path && is_path(tokens, at + 1) => branch_heads(tokens, at + 3, &mut found),
            "super" if !before_is_path => above(module, tokens, at, &mut found),
            _ => at + 1,
        };
    }
    found
}

fn is_path(tokens: &[&Token], at: usize) -> bool {
    tokens.get(at).is_some_and(|token| token.text == ":") && tokens.get(at + 1).is_some_and(|token| token.text == ":")
}

/// Follows `super::super::…`; only what leaves the top module is an import.
fn above(module: &[String], tokens: &[&Token], start: usize, found: &mut Vec<(String, usize)>) -> usize {
    let (mut at, mut ups) = (start, 0);
    while tokens.get(at).is_some_and(|token| token.text == "super") && is_path(tokens, at + 1) {
        (at, ups) = (at + 3, ups + 1);
    }
    if ups == 0 {
        return start + 1;
    }
    if ups >= module.len() { branch_heads(tokens, at, found) } else { at }
}

/// Takes `name` or the first name of each branch of `{a::b, c}`; returns where to read on.
fn branch_heads(tokens: &[&Token], start: usize, found: &mut Vec<(String, usize)>) -> usize {
    let Some(first) = tokens.get(start) else { return start };
    if first.text != "{" {
        found.push((first.text.clone(), first.line));
        return start + 1;
    }
    let (mut at, mut depth, mut head) = (start + 1, 1, true);
    while let Some(token) = tokens.get(at).filter(|_| depth > 0) {
        match token.text.as_str() {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => head = true,
            name if head && depth == 1 => {
                found.push((name.to_owned(), token.line));
                head = false;
            }
            _ => {}
        }
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: CrateLayers = CrateLayers { folder: "x/src/", order: &[&["clock"], &["registry"], &["agent"]] };

    fn caught(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::parse(path, text).unwrap()).collect();
        violations(&SAMPLE, &sources).iter().map(|found| format!("{}:{}", found.path, found.line)).collect()
    }

    #[test]
    fn an_import_that_points_up_is_caught() {
        assert_eq!(caught(&[("x/src/clock.rs", "//! A.\nuse crate::agent::Agent;\n")]), ["x/src/clock.rs:2"]);
        assert_eq!(caught(&[("x/src/agent.rs", "use crate::clock::now;\n")]), Vec::<String>::new());
    }

    #[test]
    fn one_branch_of_a_grouped_import_is_caught() {
        let text = "use crate::{\n    clock::{self, now},\n    agent,\n};\n";
        assert_eq!(caught(&[("x/src/registry/mod.rs", text)]), ["x/src/registry/mod.rs:3"]);
    }

    #[test]
    fn a_path_through_super_is_caught_when_it_leaves_the_module() {
        let text = "fn a() { super::super::agent::start(); }\n";
        assert_eq!(caught(&[("x/src/registry/family.rs", text)]), ["x/src/registry/family.rs:1"]);
        assert_eq!(caught(&[("x/src/registry/family.rs", "use super::agent::A;\n")]), Vec::<String>::new());
    }

    #[test]
    fn a_name_re_exported_by_the_root_counts_for_the_module_it_comes_from() {
        let root = ("x/src/lib.rs", "mod agent;\npub use agent::{Agent, AgentBuilder};\n");
        assert_eq!(caught(&[root, ("x/src/clock.rs", "use crate::Agent;\n")]), ["x/src/clock.rs:1"]);
    }

    #[test]
    fn a_module_without_a_layer_is_caught() {
        assert_eq!(caught(&[("x/src/novelty.rs", "//! A.\n")]), ["x/src/novelty.rs:0"]);
    }

    #[test]
    fn tests_may_look_up() {
        let text = "#[cfg(test)]\nmod tests { use crate::agent::Agent; }\n";
        assert_eq!(caught(&[("x/src/clock.rs", text)]), Vec::<String>::new());
    }

    #[test]
    fn visibility_is_no_import() {
        assert_eq!(caught(&[("x/src/clock.rs", "pub(crate) fn agent() {}\n")]), Vec::<String>::new());
    }
}
