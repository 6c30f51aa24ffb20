//! What the manifests depend on and why: a reason for each dependency, and the list of what every host of the agent
//! must carry. Knows TOML as text, because reasons are comments.

use super::source::Violation;

/// What a service links when it takes the agent without any feature. Each was weighed: a host pays for it in build time
/// and in trust. Names come here only together with a reason in the manifest.
const CORE: &[&str] = &[
    "heartline-shared",
    "serde_json",
    "thiserror",
    "tokio",
    "hyper",
    "hyper-util",
    "http",
    "http-body-util",
    "tracing",
    "parking_lot",
    "crossbeam-utils",
    "quanta",
    "sysinfo",
    "num_threads",
    "form_urlencoded",
    "flate2",
    "itoa",
    "sha2",
    "subtle",
    "futures-util",
    "foldhash",
];

/// One line of a `[dependencies]` table.
struct Dependency<'a> {
    manifest: &'a str,
    line: usize,
    name: &'a str,
    text: &'a str,
}

impl Dependency<'_> {
    fn reason(&self) -> bool {
        comment(self.text).is_some_and(|words| !words.trim().is_empty())
    }

    /// Packages of this repository explain themselves by their description.
    fn is_ours(&self) -> bool {
        self.name == "heartline" || self.name.starts_with("heartline-")
    }
}

/// What stands behind the first `#` that is outside a string.
fn comment(line: &str) -> Option<&str> {
    let mut quoted = false;
    for (at, character) in line.char_indices() {
        match character {
            '"' => quoted = !quoted,
            '#' if !quoted => return Some(&line[at + 1..]),
            _ => {}
        }
    }
    None
}

fn dependencies<'a>(manifest: &'a str, text: &'a str) -> Vec<Dependency<'a>> {
    let mut found = Vec::new();
    let mut inside = false;
    for (at, line) in text.lines().enumerate() {
        if let Some(table) = line.trim().strip_prefix('[') {
            inside = table.split(']').next().is_some_and(|name| name.ends_with("dependencies"));
            continue;
        }
        let entry = line.split_once('=').map(|(key, _)| key.trim().split('.').next().unwrap_or_default());
        let is_entry = |name: &&str| inside && !line.starts_with([' ', '#', ']', '}']) && !name.is_empty();
        if let Some(name) = entry.filter(is_entry) {
            found.push(Dependency { manifest, line: at + 1, name, text: line });
        }
    }
    found
}

/// Every dependency without a reason beside it, in its own manifest or in the workspace's.
pub(crate) fn missing_reasons(manifests: &[(String, String)]) -> Vec<Violation> {
    let all: Vec<Dependency<'_>> = manifests.iter().flat_map(|(path, text)| dependencies(path, text)).collect();
    let in_workspace =
        |name: &str| all.iter().any(|other| other.manifest == "Cargo.toml" && other.name == name && other.reason());
    let inherits = |dependency: &Dependency<'_>| dependency.text.contains("workspace = true");
    let unexplained = |dependency: &&Dependency<'_>| {
        let inherited = inherits(dependency) && in_workspace(dependency.name);
        !dependency.reason() && !dependency.is_ours() && !inherited
    };
    let report = |dependency: &Dependency<'_>| {
        let what = format!("`{}` has no reason: say behind it, as a comment, what it is for", dependency.name);
        Violation::new(dependency.manifest, dependency.line, what)
    };
    all.iter().filter(unexplained).map(report).collect()
}

/// Every non-optional dependency of `manifest` that is not on the list.
pub(crate) fn core_violations(manifests: &[(String, String)], manifest: &str) -> Vec<Violation> {
    let Some((path, text)) = manifests.iter().find(|(path, _)| path == manifest) else {
        return vec![Violation::new(manifest, 0, "is missing")];
    };
    let parsed: toml::Table = match toml::from_str(text) {
        Ok(parsed) => parsed,
        Err(error) => return vec![Violation::new(path, 0, format!("is not TOML: {error}"))],
    };
    let declared = parsed.get("dependencies").and_then(toml::Value::as_table).cloned().unwrap_or_default();
    let is_optional = |value: &toml::Value| value.get("optional").and_then(toml::Value::as_bool).unwrap_or(false);
    let added = declared.iter().filter(|(name, value)| !is_optional(value) && !CORE.contains(&name.as_str()));
    let what = |name| {
        format!(
            "`{name}` would come to every host: make it optional behind a feature, or weigh it and add it to the list"
        )
    };
    added.map(|(name, _)| Violation::new(path, 0, what(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> (String, String) {
        (path.to_owned(), text.to_owned())
    }

    #[test]
    fn a_dependency_without_a_reason_is_caught() {
        let text = "[dependencies]\nserde = \"1\" # the wire documents\nrand = { version = \"0.9\" }\n";
        let found = missing_reasons(&[file("x/Cargo.toml", text)]);
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_reason_in_the_workspace_covers_those_who_inherit_it() {
        let workspace = file("Cargo.toml", "[workspace.dependencies]\nserde = \"1\" # the wire documents\n");
        let member = file("x/Cargo.toml", "[dependencies]\nserde = { workspace = true }\nrand.workspace = true\n");
        let found = missing_reasons(&[workspace, member]);
        assert_eq!(found.iter().map(|violation| violation.line).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_hash_inside_a_string_is_no_reason() {
        assert_eq!(
            missing_reasons(&[file("x/Cargo.toml", "[dependencies]\na = { git = \"x#y and more\" }\n")]).len(),
            1
        );
    }

    #[test]
    fn a_new_core_dependency_is_caught_and_an_optional_one_is_not() {
        let text = "[dependencies]\nreqwest = { workspace = true }\nmoka = { workspace = true, optional = true }\n";
        let found = core_violations(&[file("agent/Cargo.toml", text)], "agent/Cargo.toml");
        assert_eq!(found.len(), 1);
        assert!(found[0].what.contains("reqwest"));
    }
}
