//! A board: rows of panels, laid out on 24 columns, with variables, annotations and links. What is on it is not known here.

use serde_json::{Value, json};

use crate::panel::{Panel, datasource};
use crate::template::{self, Filter};
use crate::variable::{self, Variable};

/// The newest classic schema.
const SCHEMA_VERSION: u32 = 42;
/// The width of the grid.
const COLUMNS: u32 = 24;
/// The tag by which the boards find each other.
const TAG: &str = "heartline";

/// A heading with panels below it.
#[derive(Debug, Clone)]
struct Row {
    title: Option<&'static str>,
    folded: bool,
    panels: Vec<Panel>,
}

/// A board.
#[derive(Debug, Clone)]
pub struct Board {
    /// Stable; also the name of its file.
    pub uid: &'static str,
    title: &'static str,
    question: &'static str,
    variables: Vec<Variable>,
    rows: Vec<Row>,
}

impl Board {
    /// A board that answers `question`.
    pub fn new(uid: &'static str, title: &'static str, question: &'static str) -> Self {
        Self { uid, title, question, variables: Vec::new(), rows: Vec::new() }
    }

    /// What it is called in Grafana.
    pub fn title(&self) -> String {
        format!("heartline / {}", self.title)
    }

    /// One more variable.
    #[must_use]
    pub fn variable(mut self, variable: Variable) -> Self {
        self.variables.push(variable);
        self
    }

    /// The row at the top, of six to eight numbers.
    #[must_use]
    pub fn stats(mut self, mut panels: Vec<Panel>) -> Self {
        let width = COLUMNS / u32::try_from(panels.len().max(1)).unwrap_or(COLUMNS);
        for panel in &mut panels {
            panel.width = width;
        }
        self.rows.push(Row { title: None, folded: false, panels });
        self
    }

    /// A row that is open.
    #[must_use]
    pub fn row(mut self, title: &'static str, panels: Vec<Panel>) -> Self {
        self.rows.push(Row { title: Some(title), folded: false, panels });
        self
    }

    /// A row of details that opens on a click.
    #[must_use]
    pub fn folded(mut self, title: &'static str, panels: Vec<Panel>) -> Self {
        self.rows.push(Row { title: Some(title), folded: true, panels });
        self
    }

    /// Every panel.
    pub fn panels(&self) -> impl Iterator<Item = &Panel> {
        self.rows.iter().flat_map(|row| &row.panels)
    }

    /// As Grafana reads it.
    pub fn json(&self) -> Value {
        let filters: Vec<Filter> = self.variables.iter().filter_map(Variable::filter).collect();
        let mut variables = variable::shared();
        variables.extend(self.variables.iter().map(Variable::json));
        json!({
            "id": null, "uid": self.uid, "title": self.title(), "description": self.question, "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION, "version": 1, "editable": false, "graphTooltip": 1, "fiscalYearStartMonth": 0,
            "timezone": "browser", "weekStart": "", "refresh": "30s", "time": {"from": "now-1h", "to": "now"}, "timepicker": {},
            "liveNow": false, "preload": false,
            "templating": {"list": variables}, "annotations": {"list": annotations()}, "links": [links()],
            "panels": self.layout(&filters),
        })
    }

    fn layout(&self, filters: &[Filter]) -> Vec<Value> {
        let mut grid = Grid::default();
        let mut placed = Vec::new();
        for row in &self.rows {
            grid.new_line();
            let heading = row.title.map(|title| grid.heading(title, row.folded));
            let inside: Vec<Value> = row.panels.iter().map(|panel| grid.panel(panel, filters)).collect();
            match heading {
                Some(mut heading) if row.folded => {
                    heading["panels"] = Value::Array(inside);
                    placed.push(heading);
                    grid.fold();
                }
                heading => {
                    placed.extend(heading);
                    placed.extend(inside);
                }
            }
        }
        placed
    }
}

/// Where the next panel goes: from left to right, then below the highest of the line.
#[derive(Debug, Default)]
struct Grid {
    id: u32,
    x: u32,
    y: u32,
    line_height: u32,
    heading_y: u32,
}

impl Grid {
    fn new_line(&mut self) {
        self.y += self.line_height;
        (self.x, self.line_height) = (0, 0);
    }

    fn place(&mut self, width: u32, height: u32) -> Value {
        if self.x + width > COLUMNS {
            self.new_line();
        }
        let place = json!({"x": self.x, "y": self.y, "w": width, "h": height});
        self.x += width;
        self.line_height = self.line_height.max(height);
        place
    }

    fn heading(&mut self, title: &str, folded: bool) -> Value {
        self.heading_y = self.y;
        self.id += 1;
        let place = self.place(COLUMNS, 1);
        self.new_line();
        json!({"type": "row", "id": self.id, "title": title, "collapsed": folded, "gridPos": place, "panels": []})
    }

    fn panel(&mut self, panel: &Panel, filters: &[Filter]) -> Value {
        self.id += 1;
        let mut json = panel.json(filters);
        json["id"] = json!(self.id);
        json["gridPos"] = self.place(panel.width, panel.height);
        json
    }

    /// A folded row takes the room of its heading only.
    fn fold(&mut self) {
        (self.x, self.y, self.line_height) = (0, self.heading_y + 1, 0);
    }
}

/// Firing alerts, restarts, and versions that appeared.
fn annotations() -> Vec<Value> {
    let annotation = |name: &str, query: &str, color: &str, title: &str, tags: &str| {
        json!({
            "name": name, "datasource": datasource(), "enable": true, "hide": false, "iconColor": color, "type": "dashboard",
            "expr": template::complete(query, &[]), "step": "30s", "titleFormat": title, "tagKeys": tags, "textFormat": "",
            "useValueForTime": false,
        })
    };
    let built_in = json!({
        "builtIn": 1, "name": "Annotations & Alerts", "type": "dashboard", "enable": true, "hide": true,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"}, "iconColor": "rgba(0, 211, 255, 1)",
    });
    let restarts = "resets(process_uptime_seconds[2m]) > 0";
    let versions =
        "count by (job, service_version) (target_info) unless count by (job, service_version) (target_info offset 5m)";
    let firing = r#"ALERTS{alertstate="firing"}"#;
    vec![
        built_in,
        annotation("Firing alerts", firing, "red", "{{alertname}} ({{severity}})", "job,instance,severity"),
        annotation("Restarts", restarts, "yellow", "{{instance}} restarted", "job,instance"),
        annotation("New versions", versions, "blue", "{{job}} {{service_version}} appeared", "job,service_version"),
    ]
}

/// A menu of the other boards that keeps the chosen time and variables.
fn links() -> Value {
    json!({
        "type": "dashboards", "title": "heartline", "tags": [TAG], "asDropdown": true, "includeVars": true, "keepTime": true,
        "targetBlank": false, "icon": "external link", "tooltip": "", "url": "",
    })
}
