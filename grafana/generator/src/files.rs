//! The files that the boards are: names and texts, and which on disk differ. What is in a board is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::board::Board;

/// The exceptions that Grafana's dashboard-linter reads beside the dashboards.
pub const LINT_FILE: &str = ".lint";

/// Every file with its text, by name.
///
/// # Errors
/// When a board cannot be written as JSON.
pub fn files(boards: &[Board]) -> Result<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    for board in boards {
        let text = serde_json::to_string_pretty(&board.json()).context("a board is JSON")?;
        files.insert(format!("{}.json", board.uid), text + "\n");
    }
    files.insert(LINT_FILE.to_owned(), exceptions(boards));
    Ok(files)
}

/// The names of the files in `folder` that are not what they should be: changed, missing, or not ours.
///
/// # Errors
/// When the folder cannot be read.
pub fn outdated(folder: &Path) -> Result<Vec<String>> {
    let expected = files(&crate::boards::all())?;
    let differs = |(name, text): (&String, &String)| {
        let same = fs::read_to_string(folder.join(name)).is_ok_and(|found| found == *text);
        (!same).then(|| name.clone())
    };
    let mut names: Vec<String> = expected.iter().filter_map(differs).collect();
    let listed = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in listed {
        let name = entry.context("an entry of the folder")?.file_name().to_string_lossy().into_owned();
        if !expected.contains_key(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// Every rule that a panel breaks on purpose, grouped as the linter wants them.
fn exceptions(boards: &[Board]) -> String {
    let mut rules: BTreeMap<&str, BTreeMap<(String, String), &str>> = BTreeMap::new();
    for board in boards {
        for panel in board.panels() {
            for exemption in &panel.exemptions {
                let place = (board.title(), panel.title.clone());
                rules.entry(exemption.rule).or_default().insert(place, exemption.reason);
            }
        }
    }
    let mut text =
        "# Rules that panels break on purpose. Written by `cargo run -p heartline-boards`.\nexclusions:\n".to_owned();
    for (rule, places) in &rules {
        let reasons: BTreeSet<&str> = places.values().copied().collect();
        let _ = writeln!(text, "  {rule}:");
        let _ = writeln!(text, "    reason: {:?}", reasons.into_iter().collect::<Vec<_>>().join("; "));
        let _ = writeln!(text, "    entries:");
        for (dashboard, panel) in places.keys() {
            let _ = writeln!(text, "    - dashboard: {dashboard:?}\n      panel: {panel:?}");
        }
    }
    text
}
