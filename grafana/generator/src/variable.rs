//! The variables at the top of a board. Which boards have which is not known here.

use serde_json::{Value, json};

/// A variable.
#[derive(Debug, Clone)]
pub enum Variable {
    /// The values of a label, several at once or all.
    Label {
        /// Its name, which is also the word beside it.
        name: &'static str,
        /// The label.
        label: &'static str,
        /// The metric whose values are listed, with matchers if any.
        metric: String,
        /// What stands for all of them: `.+`, or `.*` where series without the label count as well.
        all: &'static str,
    },
    /// A choice of fixed values.
    Choice {
        /// Its name.
        name: &'static str,
        /// The word beside it.
        label: &'static str,
        /// The values; the first is chosen.
        values: &'static [&'static str],
    },
}

impl Variable {
    /// The values of `label` among the series of a metric that is no histogram.
    pub fn of_label(name: &'static str, label: &'static str, metric: &str) -> Self {
        let metric = format!(r#"{metric}{{job=~"$job", instance=~"$instance"}}"#);
        Self::Label { name, label, metric, all: ".*" }
    }

    /// The same for a histogram, native or classic.
    pub fn of_histogram(name: &'static str, label: &'static str, metric: &str) -> Self {
        let metric = format!(r#"{{__name__=~"{metric}|{metric}_count", job=~"$job", instance=~"$instance"}}"#);
        Self::Label { name, label, metric, all: ".*" }
    }

    /// The label it filters, and its name.
    pub fn filter(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Label { name, label, .. } => Some((label, name)),
            Self::Choice { .. } => None,
        }
    }

    /// As Grafana reads it.
    pub fn json(&self) -> Value {
        match self {
            Self::Label { name, label, metric, all } => {
                let query = format!("label_values({metric}, {label})");
                json!({
                    "type": "query", "name": name, "label": name, "datasource": {"type": "prometheus", "uid": "$datasource"},
                    "definition": query, "query": {"query": query, "refId": format!("variable-{name}"), "qryType": 5},
                    "refresh": 2, "sort": 1, "regex": "", "multi": true, "includeAll": true, "allValue": all, "hide": 0,
                    "current": {"selected": true, "text": ["All"], "value": ["$__all"]}, "options": [],
                })
            }
            Self::Choice { name, label, values } => {
                let first = values.first().copied().unwrap_or_default();
                let options: Vec<Value> =
                    values.iter().map(|it| json!({"selected": *it == first, "text": it, "value": it})).collect();
                json!({
                    "type": "custom", "name": name, "label": label, "query": values.join(","), "multi": false,
                    "includeAll": false, "hide": 0, "current": {"selected": true, "text": first, "value": first}, "options": options,
                })
            }
        }
    }
}

/// The variables of every board: data source, job, instance.
pub fn shared() -> Vec<Value> {
    let label = |name, metric: &str| Variable::Label { name, label: name, metric: metric.to_owned(), all: ".+" }.json();
    let source = json!({
        "type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "refresh": 1, "regex": "",
        "multi": false, "includeAll": false, "hide": 0, "options": [],
    });
    vec![source, label("job", "process_uptime_seconds"), label("instance", r#"process_uptime_seconds{job=~"$job"}"#)]
}
