//! A dashboard as Grafana reads it: panels, queries, variables, annotations. What is right or wrong is not known here.

use std::fmt;

use anyhow::{Context, Result};
use serde_json::Value;

/// Something wrong with a dashboard.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The rule that is broken.
    pub rule: &'static str,
    /// The dashboard's title.
    pub dashboard: String,
    /// The panel's title; empty when the dashboard as a whole is meant.
    pub panel: String,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} / {}: {}", self.rule, self.dashboard, self.panel, self.what)
    }
}

/// A query of a panel.
#[derive(Debug, Clone)]
pub struct Target {
    /// Its letter.
    pub letter: String,
    /// PromQL with variables.
    pub query: String,
    /// Whether it asks for a point in time instead of a range.
    pub instant: bool,
    /// How the answer is read: `time_series`, `table`, `heatmap`.
    pub format: String,
}

/// A panel that is no row.
#[derive(Debug, Clone)]
pub struct Panel {
    /// Its title.
    pub title: String,
    /// Which plugin draws it.
    pub kind: String,
    /// Its queries.
    pub targets: Vec<Target>,
    /// Everything else.
    pub json: Value,
}

/// A variable.
#[derive(Debug, Clone)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// `query`, `datasource`, `custom`.
    pub kind: String,
    /// The selector whose label is listed, for `label_values(selector, label)`.
    pub listed: Option<(String, String)>,
    /// Everything else.
    pub json: Value,
}

/// A dashboard.
#[derive(Debug, Clone)]
pub struct Dashboard {
    /// Its title.
    pub title: String,
    /// Its identity.
    pub uid: String,
    /// Its panels, those of folded rows included.
    pub panels: Vec<Panel>,
    /// Its variables.
    pub variables: Vec<Variable>,
    /// The queries of its annotations, by name.
    pub annotations: Vec<(String, String)>,
    /// Everything else.
    pub json: Value,
}

impl Dashboard {
    /// Reads a file.
    ///
    /// # Errors
    /// When it is no dashboard.
    pub fn parse(text: &str) -> Result<Self> {
        let json: Value = serde_json::from_str(text).context("a dashboard is JSON")?;
        let title = text_of(&json, "title");
        let annotations = list(&json["annotations"]["list"]).iter().filter(|it| it["expr"].is_string());
        Ok(Self {
            uid: text_of(&json, "uid"),
            panels: panels(&json["panels"]),
            variables: list(&json["templating"]["list"]).iter().map(variable).collect(),
            annotations: annotations.map(|it| (text_of(it, "name"), text_of(it, "expr"))).collect(),
            title,
            json,
        })
    }

    /// A fault of the dashboard as a whole.
    pub fn fault(&self, rule: &'static str, what: impl Into<String>) -> Fault {
        Fault { rule, dashboard: self.title.clone(), panel: String::new(), what: what.into() }
    }

    /// A fault of a panel.
    pub fn panel_fault(&self, rule: &'static str, panel: &Panel, what: impl Into<String>) -> Fault {
        Fault { panel: panel.title.clone(), ..self.fault(rule, what) }
    }

    /// Every query with the panel it belongs to.
    pub fn targets(&self) -> impl Iterator<Item = (&Panel, &Target)> {
        self.panels.iter().flat_map(|panel| panel.targets.iter().map(move |target| (panel, target)))
    }

    /// The variable `name`.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }
}

/// The items of a list; none where there is no list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text; empty where there is none.
pub(super) fn text_of(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn panels(value: &Value) -> Vec<Panel> {
    let inside = |panel: &Value| {
        let folded = panels(&panel["panels"]);
        let own = (panel["type"] != "row").then(|| read_panel(panel));
        own.into_iter().chain(folded)
    };
    list(value).iter().flat_map(inside).collect()
}

fn read_panel(json: &Value) -> Panel {
    let target = |json: &Value| Target {
        letter: text_of(json, "refId"),
        query: text_of(json, "expr"),
        instant: json["instant"] == true,
        format: text_of(json, "format"),
    };
    Panel {
        title: text_of(json, "title"),
        kind: text_of(json, "type"),
        targets: list(&json["targets"]).iter().map(target).collect(),
        json: json.clone(),
    }
}

fn variable(json: &Value) -> Variable {
    let query = json["query"]["query"].as_str().unwrap_or_default();
    let listed = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')')).map(|inside| {
        // a label alone lists all its values
        let (selector, label) = inside.rsplit_once(", ").unwrap_or(("", inside));
        (selector.to_owned(), label.to_owned())
    });
    Variable { name: text_of(json, "name"), kind: text_of(json, "type"), listed, json: json.clone() }
}
