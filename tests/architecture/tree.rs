//! The files of the repository, read from disk as git lists them; the only effects of the architecture rules.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::source::{Source, mark_test_modules};

/// One package of the dependency graph with its licence expression.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// SPDX; absent when the package only names a file.
    pub(crate) licence: Option<String>,
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("the tests package lies inside the repository").to_owned()
}

/// Every file but what `.gitignore` names, relative to the root, with `/`, sorted.
pub(crate) fn paths() -> Vec<String> {
    let root = root();
    let mut walk = ignore::WalkBuilder::new(&root);
    // only the repository's own rules count, also in a copy that git does not know
    walk.hidden(false).parents(false).ignore(false).git_global(false).git_exclude(false).require_git(false);
    let mut paths: Vec<String> = walk
        .filter_entry(|entry| entry.file_name() != ".git")
        .build()
        .map(|entry| entry.unwrap_or_else(|error| panic!("cannot list the repository: {error}")))
        .filter(|entry| entry.file_type().is_some_and(|kind| kind.is_file()))
        .map(|entry| entry.path().strip_prefix(&root).expect("walked from the root").to_string_lossy().into_owned())
        .collect();
    paths.sort();
    paths
}

/// One file's text.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

/// Every Rust file.
pub(crate) fn rust_sources() -> Vec<Source> {
    let parse = |path: &String| Source::parse(path, &text(path)).unwrap_or_else(|error| panic!("{error}"));
    let mut sources: Vec<Source> = paths().iter().filter(|path| has_ending(path, &["rs"])).map(parse).collect();
    mark_test_modules(&mut sources);
    sources
}

/// Every file whose name ends in one of `endings`, with its text.
pub(crate) fn texts_with_ending(endings: &[&str]) -> Vec<(String, String)> {
    let written = |path: &String| has_ending(path, endings);
    paths().into_iter().filter(written).map(|path| (path.clone(), text(&path))).collect()
}

/// Every `Cargo.toml`, with its text.
pub(crate) fn manifests() -> Vec<(String, String)> {
    let is_manifest = |path: &String| path.ends_with("Cargo.toml");
    paths().into_iter().filter(is_manifest).map(|path| (path.clone(), text(&path))).collect()
}

fn has_ending(path: &str, endings: &[&str]) -> bool {
    Path::new(path).extension().and_then(|ending| ending.to_str()).is_some_and(|ending| endings.contains(&ending))
}

/// Every package that is built for this platform with every feature.
pub(crate) fn packages() -> Vec<Package> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = "tree --workspace --all-features --locked --edges normal,build,dev --prefix none --format {p}|{l}";
    let output = Command::new(cargo).args(tree.split(' ')).current_dir(root()).output().expect("cargo can be run");
    assert!(output.status.success(), "cargo tree failed: {}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("cargo prints UTF-8");
    let mut lines: Vec<&str> = lines.lines().map(|line| line.trim_end_matches(" (*)")).collect();
    lines.sort_unstable();
    lines.dedup();
    lines.into_iter().filter_map(package).collect()
}

/// Reads `name v1.2.3 (path)|MIT OR Apache-2.0`.
fn package(line: &str) -> Option<Package> {
    let (identity, licence) = line.split_once('|')?;
    let mut words = identity.split(' ');
    let (name, version) = (words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned());
    Some(Package { name, version, licence: Some(licence.to_owned()).filter(|licence| !licence.is_empty()) })
}
