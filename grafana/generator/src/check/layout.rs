//! Identities, places and links of dashboards. What their panels ask is not known here.

use std::collections::BTreeMap;

use serde_json::Value;

use super::document::{Dashboard, Fault, list, text_of};

/// The width of Grafana's grid.
const COLUMNS: u64 = 24;
/// The newest classic schema.
const SCHEMA_VERSION: u64 = 42;

/// What is wrong with the identities of several dashboards: equal ones, or links that lead nowhere.
pub fn faults_among(boards: &[Dashboard]) -> Vec<Fault> {
    let mut found = Vec::new();
    for identity in ["uid", "title"] {
        let mut seen: BTreeMap<String, &str> = BTreeMap::new();
        for board in boards {
            if let Some(other) = seen.insert(text_of(&board.json, identity), &board.title) {
                found.push(board.fault("identity", format!("has the same {identity} as {other}")));
            }
        }
    }
    for board in boards {
        for panel in &board.panels {
            let dead =
                list(&panel.json["links"]).iter().map(|link| text_of(link, "url")).filter(|url| !leads_to(url, boards));
            found.extend(dead.map(|url| board.panel_fault("links", panel, format!("{url} leads nowhere"))));
        }
    }
    found
}

fn leads_to(url: &str, boards: &[Dashboard]) -> bool {
    let uid = url.strip_prefix("/d/").and_then(|rest| rest.split(['?', '/']).next());
    boards.iter().any(|board| Some(board.uid.as_str()) == uid)
}

/// What is wrong with one dashboard.
pub fn faults(board: &Dashboard) -> Vec<Fault> {
    let json = &board.json;
    let mut found = Vec::new();
    let uid_fits = (8..=40).contains(&board.uid.len());
    let tagged = list(&json["tags"]).iter().any(|tag| tag == "heartline");
    let checks = [
        (json["id"].is_null(), "has an id of its own, which differs from Grafana to Grafana"),
        (uid_fits, "has a uid that is not 8 to 40 characters long"),
        (json["schemaVersion"] == SCHEMA_VERSION, "has another schema version"),
        (json["graphTooltip"] == 1, "does not share the crosshair"),
        (json["refresh"] == "30s" && json["time"]["from"] == "now-1h", "has another time or refresh than the others"),
        (tagged && !list(&json["links"]).is_empty(), "has no tag or no menu of the other boards"),
        (board.annotations.len() >= 3, "does not mark alerts, restarts and versions"),
    ];
    found.extend(checks.iter().filter(|(fine, _)| !fine).map(|(_, what)| board.fault("identity", *what)));
    let mut ids: BTreeMap<u64, usize> = BTreeMap::new();
    collect_ids(&json["panels"], &mut ids);
    found.extend(
        ids.iter()
            .filter(|(_, times)| **times > 1)
            .map(|(id, _)| board.fault("identity", format!("has several panels {id}"))),
    );
    found.extend(overlaps(board));
    found
}

fn collect_ids(panels: &Value, ids: &mut BTreeMap<u64, usize>) {
    for panel in list(panels) {
        *ids.entry(panel["id"].as_u64().unwrap_or_default()).or_default() += 1;
        collect_ids(&panel["panels"], ids);
    }
}

/// Panels that overlap, or leave the grid: among those of the dashboard, and among those of each folded row.
fn overlaps(board: &Dashboard) -> Vec<Fault> {
    let open = list(&board.json["panels"]);
    let rows = open.iter().map(|row| list(&row["panels"]));
    let groups = std::iter::once(open).chain(rows);
    groups.flat_map(|group| overlaps_within(board, group)).collect()
}

fn overlaps_within(board: &Dashboard, panels: &[Value]) -> Vec<Fault> {
    let mut found = Vec::new();
    for (at, panel) in panels.iter().enumerate() {
        let place = place(panel);
        if place.width == 0 || place.height == 0 || place.x + place.width > COLUMNS {
            found.push(board.fault("layout", format!("{} leaves the grid", panel["title"])));
        }
        let covered = panels[..at].iter().filter(|other| place.overlaps(&self::place(other)));
        found.extend(
            covered.map(|other| board.fault("layout", format!("{} overlaps {}", panel["title"], other["title"]))),
        );
    }
    found
}

struct Place {
    x: u64,
    y: u64,
    width: u64,
    height: u64,
}

impl Place {
    fn overlaps(&self, other: &Self) -> bool {
        let apart = self.x + self.width <= other.x
            || other.x + other.width <= self.x
            || self.y + self.height <= other.y
            || other.y + other.height <= self.y;
        !apart
    }
}

fn place(panel: &Value) -> Place {
    let number = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_default();
    Place { x: number("x"), y: number("y"), width: number("w"), height: number("h") }
}
