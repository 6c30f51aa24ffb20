//! The dashboards in the tree, held to every check that needs no server; and each check, held to a dashboard that breaks it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::document::{Dashboard, Fault};
use super::{catalogue, layout, linter};
use crate::boards;
use crate::files::outdated;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dashboards")
}

fn in_tree() -> Vec<Dashboard> {
    let listed = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<PathBuf> = listed.filter(|path| path.extension().is_some_and(|it| it == "json")).collect();
    paths.sort();
    paths.iter().map(|path| Dashboard::parse(&fs::read_to_string(path).unwrap()).unwrap()).collect()
}

/// Rule, dashboard, panel.
fn exempted() -> BTreeSet<(&'static str, String, String)> {
    let of_board = |board: &crate::board::Board| {
        let title = board.title();
        let of_panel = |panel: &crate::panel::Panel| {
            let (title, name) = (title.clone(), panel.title.clone());
            panel.exemptions.iter().map(move |it| (it.rule, title.clone(), name.clone())).collect::<Vec<_>>()
        };
        board.panels().flat_map(of_panel).collect::<Vec<_>>()
    };
    boards::all().iter().flat_map(of_board).collect()
}

fn assert_none(faults: &[Fault]) {
    let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "{} fault(s):\n{}", lines.len(), lines.join("\n"));
}

#[test]
fn the_dashboards_in_the_tree_are_what_the_command_writes() {
    let outdated = outdated(&folder()).unwrap();
    assert!(outdated.is_empty(), "not up to date: {}. Run: cargo run -p heartline-boards", outdated.join(", "));
    assert_eq!(in_tree().len(), 11);
}

#[test]
fn the_linter_finds_nothing_but_what_is_exempted_with_a_reason() {
    let exempted = exempted();
    let place = |fault: &Fault| (fault.rule, fault.dashboard.clone(), fault.panel.clone());
    let found: Vec<Fault> = in_tree().iter().flat_map(linter::faults).collect();
    assert_none(&found.iter().filter(|fault| !exempted.contains(&place(fault))).cloned().collect::<Vec<_>>());
    let broken: BTreeSet<_> = found.iter().map(place).collect();
    let needless: Vec<_> = exempted.difference(&broken).collect();
    assert!(needless.is_empty(), "these panels do not break the rule they are exempted from: {needless:?}");
}

#[test]
fn every_metric_and_label_is_in_the_catalogue_and_rates_are_taken_of_counters_only() {
    assert_none(&in_tree().iter().flat_map(catalogue::faults).collect::<Vec<_>>());
}

#[test]
fn every_metric_of_the_catalogue_is_shown_or_watched_or_excused() {
    let boards = in_tree();
    let unused = catalogue::unused(&boards);
    assert!(unused.is_empty(), "no panel and no alert uses {unused:?}: show them, or say in NOT_SHOWN why not");
    let needless = catalogue::needless_excuses(&boards);
    assert!(needless.is_empty(), "shown or unknown, and yet excused in NOT_SHOWN: {needless:?}");
}

#[test]
fn panels_have_their_places_and_boards_their_identities() {
    let boards = in_tree();
    assert_none(&boards.iter().flat_map(layout::faults).chain(layout::faults_among(&boards)).collect::<Vec<_>>());
}

#[test]
fn descriptions_are_sentences_and_titles_of_exempted_panels_are_unique() {
    let exempted = exempted();
    for board in in_tree() {
        for panel in &board.panels {
            let (title, help) = (&panel.title, panel.json["description"].as_str().unwrap());
            assert!(help.ends_with('.') && help.len() > 10, "{} / {title}: {help}", board.title);
            // the linter knows panels by their titles
            let is_exempted = exempted.iter().any(|(_, exempted, name)| *exempted == board.title && name == title);
            let equals = board.panels.iter().filter(|other| other.title == *title).count();
            assert!(!is_exempted || equals == 1, "{} / {title} is the title of {equals} panels", board.title);
        }
    }
}

// --- each check catches what it is for ---------------------------------------------------------------------------

/// A dashboard of the tree with one thing changed.
fn changed(change: impl FnOnce(&mut Value)) -> Dashboard {
    let mut json = boards::all()[5].json();
    assert_eq!(json["uid"], "heartline-cache");
    change(&mut json);
    Dashboard::parse(&json.to_string()).unwrap()
}

/// The first panel asks `query` instead.
fn asking(query: &str) -> Dashboard {
    changed(|board| board["panels"][0]["targets"][0]["expr"] = json!(query))
}

fn rules(faults: &[Fault]) -> BTreeSet<&'static str> {
    faults.iter().map(|fault| fault.rule).collect()
}

#[test]
fn the_linter_catches_what_each_rule_is_about() {
    let selector = r#"heartline_cache_writes_total{job=~"$job", instance=~"$instance"}"#;
    for (rule, board) in [
        ("template-datasource-rule", changed(|board| board["templating"]["list"][0]["name"] = json!("source"))),
        ("template-job-rule", changed(|board| board["templating"]["list"][1]["allValue"] = json!(".*"))),
        ("template-instance-rule", changed(|board| board["templating"]["list"][2]["multi"] = json!(false))),
        ("template-on-time-change-reload-rule", changed(|board| board["templating"]["list"][1]["refresh"] = json!(1))),
        ("template-label-promql-rule", changed(|board| board["templating"]["list"][1]["query"]["query"] = json!("up"))),
        ("uneditable-dashboard", changed(|board| board["editable"] = json!(true))),
        ("panel-datasource-rule", changed(|board| board["panels"][0]["datasource"]["uid"] = json!("mine"))),
        ("panel-title-description-rule", changed(|board| board["panels"][0]["description"] = json!(""))),
        ("panel-units-rule", changed(|board| board["panels"][0]["fieldConfig"]["defaults"]["unit"] = json!("parsecs"))),
        ("panel-no-targets-rule", changed(|board| board["panels"][0]["targets"] = json!([]))),
        ("core-plugins", changed(|board| board["panels"][0]["type"] = json!("my-plugin"))),
        ("target-promql-rule", asking("sum(")),
        ("target-job-rule", asking(r#"heartline_cache_size_bytes{instance=~"$instance"}"#)),
        ("target-instance-rule", asking(r#"heartline_cache_size_bytes{job=~"$job"}"#)),
        ("target-rate-interval-rule", asking(&format!("rate({selector}[5m])"))),
        ("target-counter-agg-rule", asking(selector)),
        ("target-histogram-rule", asking(r#"tokio_poll_duration_seconds_bucket{job=~"$job", instance=~"$instance"}"#)),
    ] {
        assert_eq!(rules(&linter::faults(&board)), BTreeSet::from([rule]));
    }
    assert_none(&linter::faults(&changed(|_| ())));
}

#[test]
fn the_catalogue_catches_unknown_names_and_functions_that_do_not_fit() {
    for (query, words) in [
        ("heartline_cache_bytes", "not in the catalogue"),
        (r#"heartline_cache_size_bytes{route="/"}"#, "no label route"),
        ("sum by (queue_name) (heartline_cache_size_bytes)", "no label queue_name"),
        ("rate(heartline_cache_size_bytes[$__rate_interval])", "does not fit rate"),
        ("deriv(heartline_cache_writes_total[1h])", "does not fit deriv"),
        ("max(heartline_cache_writes_total)", "does not fit max"),
    ] {
        let faults = catalogue::faults(&asking(query));
        assert!(faults.iter().any(|fault| fault.what.contains(words)), "{query}: {faults:?}");
    }
    let variable = changed(|board| {
        board["templating"]["list"][3]["query"]["query"] = json!("label_values(heartline_cache_size_bytes, shelf)");
    });
    assert!(catalogue::faults(&variable)[0].what.contains("no label shelf"));
    assert!(catalogue::unused(&[]).contains(&"tokio.poll.duration"));
}

#[test]
fn the_layout_catches_overlaps_and_equal_identities() {
    let moved = changed(|board| board["panels"][1]["gridPos"]["x"] = json!(1));
    assert!(layout::faults(&moved).iter().any(|fault| fault.what.contains("overlaps")));
    let folded = changed(|board| {
        let row = board["panels"].as_array_mut().unwrap().last_mut().unwrap();
        row["panels"][1]["gridPos"]["x"] = json!(0);
    });
    assert!(layout::faults(&folded).iter().any(|fault| fault.what.contains("overlaps")));
    let beside = changed(|board| board["panels"][1]["gridPos"]["w"] = json!(25));
    assert!(layout::faults(&beside).iter().any(|fault| fault.what.contains("leaves the grid")));
    let twins = changed(|board| board["panels"][1]["id"] = board["panels"][0]["id"].clone());
    assert!(layout::faults(&twins).iter().any(|fault| fault.what.contains("several panels")));
    let board = changed(|_| ());
    assert_eq!(rules(&layout::faults_among(&[board.clone(), board.clone()])), BTreeSet::from(["identity"]));
    let link = json!([{"title": "Open it", "url": "/d/heartline-nowhere?x"}]);
    let dead = changed(|board| board["panels"][0]["links"] = link);
    assert_eq!(rules(&layout::faults_among(&[dead])), BTreeSet::from(["links"]));
}
