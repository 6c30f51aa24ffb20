//! The rules that a reader would otherwise have to remember, held against every file of the repository.
//! Knows text, tokens and manifests; runs none of the code it reads.
//!
//! Each rule is a pure function from sources to violations, in a file of `tests/architecture/`, and has its own test
//! there which feeds it a snippet that breaks the rule. The tests in this file hold the repository itself to it.

mod architecture {
    pub(crate) mod layers;
    pub(crate) mod licences;
    pub(crate) mod links;
    pub(crate) mod manifests;
    pub(crate) mod pictures;
    pub(crate) mod places;
    pub(crate) mod shape;
    pub(crate) mod source;
    pub(crate) mod tree;
}

use architecture::source::Violation;
use architecture::{layers, licences, links, manifests, pictures, places, shape, tree};

/// Fails with every violation on its own line, so that all can be mended in one go.
fn assert_none(violations: &[Violation]) {
    let list: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(list.is_empty(), "{} violation(s):\n{}\n", list.len(), list.join("\n"));
}

#[test]
fn imports_point_down_the_layers_of_each_crate() {
    let sources = tree::rust_sources();
    assert_none(&layers::CRATES.iter().flat_map(|layers| layers::violations(layers, &sources)).collect::<Vec<_>>());
}

#[test]
fn words_stay_in_the_places_made_for_them() {
    let sources = tree::rust_sources();
    assert_none(&places::RULES.iter().flat_map(|rule| places::violations(rule, &sources)).collect::<Vec<_>>());
}

#[test]
fn integration_features_are_switched_in_one_file() {
    assert_none(&places::feature_violations(&tree::rust_sources()));
}

#[test]
fn a_file_says_what_it_is_for_and_stays_small() {
    let sources = tree::rust_sources();
    assert!(sources.len() > 20, "only {} source files found: is the repository's root right?", sources.len());
    assert_none(&sources.iter().flat_map(shape::violations).collect::<Vec<_>>());
}

#[test]
fn open_ends_are_marked_nowhere() {
    assert_none(
        &tree::texts_with_ending(&["rs", "md", "toml", "sh", "py", "sql"])
            .iter()
            .flat_map(|(path, text)| shape::open_ends(path, text))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn every_dependency_has_a_reason() {
    let manifests = tree::manifests();
    assert!(manifests.len() >= 6, "only {} manifests found: is the repository's root right?", manifests.len());
    assert_none(&manifests::missing_reasons(&manifests));
}

#[test]
fn the_agent_core_depends_on_the_allowed_crates_only() {
    let manifests = tree::manifests();
    assert_none(&manifests::core_violations(&manifests, "agent/Cargo.toml"));
}

#[test]
fn every_dependency_has_a_licence_that_deny_toml_allows() {
    let allowed = licences::allowed(&tree::text("deny.toml"));
    assert_none(&licences::violations(&allowed, &tree::packages()));
}

#[test]
fn every_view_has_a_golden_frame_at_three_sizes() {
    let files = tree::paths();
    assert_none(&pictures::violations(&files));
}

#[test]
fn links_in_the_documents_lead_somewhere() {
    let paths = tree::paths();
    let documents = tree::texts_with_ending(&["md"]);
    assert_none(
        &documents.into_iter().flat_map(|(path, text)| links::violations(&path, &text, &paths)).collect::<Vec<_>>(),
    );
}
