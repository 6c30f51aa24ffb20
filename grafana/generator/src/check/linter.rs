//! The rules of Grafana's dashboard-linter. What heartline measures is not known here.

use serde_json::Value;

use super::document::{Dashboard, Fault, Panel, list, text_of};
use super::query::{Read, selectors};

/// Units that Grafana knows and boards use.
const UNITS: &[&str] = &["s", "bytes", "binBps", "percentunit", "reqps", "cps", "short", "none"];
/// The plugins that come with Grafana and boards use.
const PLUGINS: &[&str] = &["stat", "timeseries", "heatmap", "table", "state-timeline"];

/// Everything the linter finds in a dashboard.
pub fn faults(board: &Dashboard) -> Vec<Fault> {
    let mut found = dashboard_faults(board);
    for variable in ["job", "instance"] {
        found.extend(shared_variable_faults(board, variable));
    }
    found.extend(board.panels.iter().flat_map(|panel| panel_faults(board, panel)));
    for (panel, target) in board.targets() {
        match selectors(&target.query) {
            Ok(reads) => found.extend(reads.iter().flat_map(|read| read_faults(board, panel, read))),
            Err(error) => found.push(board.panel_fault("target-promql-rule", panel, error.to_string())),
        }
    }
    found.sort();
    found.dedup();
    found
}

fn dashboard_faults(board: &Dashboard) -> Vec<Fault> {
    let mut found = Vec::new();
    match board.variables.iter().find(|variable| variable.kind == "datasource") {
        Some(source) if source.name == "datasource" && source.json["label"] == "Data source" => {}
        Some(source) => found.push(board.fault("template-datasource-rule", format!("it is called {}", source.name))),
        None => found.push(board.fault("template-datasource-rule", "there is no variable for the data source")),
    }
    if board.json["editable"] != false {
        found.push(board.fault("uneditable-dashboard", "it can be edited, and edits are lost with the next release"));
    }
    for variable in board.variables.iter().filter(|variable| variable.kind == "query") {
        if variable.json["refresh"] != 2 {
            let what = format!("{} is not read again when the time changes", variable.name);
            found.push(board.fault("template-on-time-change-reload-rule", what));
        }
        let listed = variable.listed.as_ref().map(|(selector, _)| selectors(selector));
        if !matches!(listed, Some(Ok(_))) {
            found.push(board.fault("template-label-promql-rule", format!("{} lists no label", variable.name)));
        }
    }
    found
}

fn shared_variable_faults(board: &Dashboard, name: &str) -> Vec<Fault> {
    let rule = if name == "job" { "template-job-rule" } else { "template-instance-rule" };
    let Some(variable) = board.variable(name) else { return vec![board.fault(rule, format!("there is no {name}"))] };
    let json = &variable.json;
    let checks = [
        (json["datasource"]["uid"] == "$datasource", "does not ask $datasource"),
        (variable.kind == "query", "is no query"),
        (json["label"] == name, "has another label"),
        (json["multi"] == true, "takes one value only"),
        (json["allValue"] == ".+", "has another value for all than .+"),
    ];
    checks.iter().filter(|(fine, _)| !fine).map(|(_, what)| board.fault(rule, format!("{name} {what}"))).collect()
}

fn panel_faults(board: &Dashboard, panel: &Panel) -> Vec<Fault> {
    let json = &panel.json;
    let unit = text_of(&json["fieldConfig"]["defaults"], "unit");
    let has_words = !list(&json["fieldConfig"]["defaults"]["mappings"]).is_empty();
    let asks_chosen = |it: &Value| it["datasource"]["uid"] == "$datasource";
    let own_columns = list(&json["fieldConfig"]["overrides"]).iter().flat_map(|column| list(&column["properties"]));
    let other_unit = own_columns
        .filter(|property| property["id"] == "unit")
        .find_map(|property| property["value"].as_str().filter(|unit| !UNITS.contains(unit)));
    let checks = [
        (
            "panel-datasource-rule",
            asks_chosen(json) && list(&json["targets"]).iter().all(asks_chosen),
            "does not ask $datasource",
        ),
        (
            "panel-title-description-rule",
            !panel.title.is_empty() && text_of(json, "description").len() > 10,
            "has no title or no description",
        ),
        ("panel-units-rule", has_words || UNITS.contains(&unit.as_str()), "has no unit that Grafana knows"),
        ("panel-units-rule", other_unit.is_none(), "has a column whose unit Grafana does not know"),
        ("panel-no-targets-rule", !panel.targets.is_empty(), "asks nothing"),
        (
            "core-plugins",
            PLUGINS.contains(&panel.kind.as_str()),
            "is drawn by a plugin that does not come with Grafana",
        ),
    ];
    let broken = checks.into_iter().filter(|(_, fine, _)| !fine);
    broken.map(|(rule, _, what)| board.panel_fault(rule, panel, what)).collect()
}

fn read_faults(board: &Dashboard, panel: &Panel, read: &Read) -> Vec<Fault> {
    let over_time = matches!(read.inside(), "rate" | "irate" | "increase");
    let is_counter = read.name.ends_with("_total");
    let bucket_is_used = !read.name.ends_with("_bucket") || over_time;
    let checks = [
        ("target-job-rule", read.has_matcher("job", "$job"), "has no job=~\"$job\""),
        ("target-instance-rule", read.has_matcher("instance", "$instance"), "has no instance=~\"$instance\""),
        ("target-rate-interval-rule", !over_time || read.is_per_interval(), "has a range that is not $__rate_interval"),
        ("target-counter-agg-rule", !is_counter || over_time, "is a counter outside rate and increase"),
        ("target-histogram-rule", bucket_is_used, "are buckets outside rate and increase"),
    ];
    let broken = checks.into_iter().filter(|(_, fine, _)| !fine);
    broken.map(|(rule, _, what)| board.panel_fault(rule, panel, format!("{} {what}", read.name))).collect()
}
