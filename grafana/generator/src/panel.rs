//! One panel: what it asks, how it is drawn, what it tells the reader to do. Where it stands is not known here.

use promql_parser::parser::parse;
use serde_json::{Map, Value, json};

use crate::check::substitute;
use crate::dimension;
use crate::template::{self, Filter};
use crate::thresholds::Steps;

/// The version whose options the panels are written in; newer Grafanas migrate them.
const PLUGIN_VERSION: &str = "12.2.0";

/// How a panel is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drawing {
    /// One number with its recent course.
    Stat,
    /// Lines over time.
    Lines,
    /// Areas over time, one on the other.
    Stack,
    /// How often which value occurred, over time.
    Heatmap,
    /// One row for each group of labels.
    Table,
    /// States over time.
    States,
}

impl Drawing {
    fn plugin(self) -> &'static str {
        match self {
            Self::Stat => "stat",
            Self::Lines | Self::Stack => "timeseries",
            Self::Heatmap => "heatmap",
            Self::Table => "table",
            Self::States => "state-timeline",
        }
    }
}

/// One query of a panel.
#[derive(Debug, Clone)]
struct Query {
    text: String,
    legend: String,
    /// Over the range instead of at its end; tables ask at the end.
    trend: bool,
    unit: Option<&'static str>,
    steps: Option<Steps>,
}

/// A linter rule that a panel may break, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemption {
    /// Its name in Grafana's dashboard-linter.
    pub rule: &'static str,
    /// One sentence.
    pub reason: &'static str,
}

/// A panel.
#[derive(Debug, Clone)]
pub struct Panel {
    /// What it shows.
    pub title: String,
    /// What its values mean, and what to do about bad ones.
    pub help: String,
    /// In columns of 24.
    pub width: u32,
    /// In rows of about 30 pixels.
    pub height: u32,
    /// Linter rules it breaks on purpose.
    pub exemptions: Vec<Exemption>,
    drawing: Drawing,
    queries: Vec<Query>,
    unit: Option<&'static str>,
    steps: Steps,
    with_lines: bool,
    range: (Option<f64>, Option<f64>),
    mappings: Vec<(&'static str, &'static str, &'static str)>,
    leads_to: Option<(&'static str, &'static str)>,
    no_value: Option<&'static str>,
    sorted_by: Option<&'static str>,
}

impl Panel {
    fn new(drawing: Drawing, title: &str, help: &str) -> Self {
        let (width, height) = match drawing {
            Drawing::Stat => (4, 4),
            Drawing::Table => (24, 9),
            Drawing::States => (24, 7),
            _ => (12, 8),
        };
        Self {
            title: title.to_owned(),
            help: help.to_owned(),
            width,
            height,
            exemptions: Vec::new(),
            drawing,
            queries: Vec::new(),
            unit: None,
            steps: Steps::plain("green"),
            with_lines: false,
            range: (None, None),
            mappings: Vec::new(),
            leads_to: None,
            no_value: None,
            sorted_by: None,
        }
    }

    /// A number.
    pub fn stat(title: &str, help: &str, query: impl Into<String>) -> Self {
        Self::new(Drawing::Stat, title, help).query("", query)
    }

    /// Lines over time; further queries follow with [`query`](Self::query).
    pub fn lines(title: &str, help: &str) -> Self {
        Self::new(Drawing::Lines, title, help)
    }

    /// Stacked areas over time.
    pub fn stack(title: &str, help: &str) -> Self {
        Self { range: (Some(0.0), None), ..Self::new(Drawing::Stack, title, help) }
    }

    /// The distribution of a histogram, `metric` without suffix, from native histograms or classic buckets.
    pub fn heatmap(title: &str, help: &str, metric: &str) -> Self {
        let unit = dimension::of_values(metric).map_or("short", |dimension| dimension.grafana_unit());
        Self::new(Drawing::Heatmap, title, help)
            .unit(unit)
            .query("{{le}}", format!("sum by (le) (increase({metric}_bucket))"))
            .query("", format!("sum(increase({metric}))"))
    }

    /// A table whose columns are its queries.
    pub fn table(title: &str, help: &str) -> Self {
        Self::new(Drawing::Table, title, help)
    }

    /// States over time.
    pub fn states(title: &str, help: &str) -> Self {
        Self::new(Drawing::States, title, help)
    }

    /// One more query; `legend` names its series, `{{label}}` is replaced. In a table it is the column's title.
    #[must_use]
    pub fn query(mut self, legend: &str, query: impl Into<String>) -> Self {
        let (text, legend) = (query.into(), legend.to_owned());
        self.queries.push(Query { text, legend, trend: false, unit: None, steps: None });
        self
    }

    /// A table's column that shows the course over the range.
    #[must_use]
    pub fn trend(self, title: &str, query: impl Into<String>) -> Self {
        self.query(title, query).of_last(|query| query.trend = true)
    }

    /// The thresholds of an alert for the last column of a table.
    #[must_use]
    pub fn column_alert(self, alert: &str) -> Self {
        let steps = Steps::of(alert);
        self.of_last(|query| query.steps = Some(steps))
    }

    /// The unit of the last column of a table, where it does not follow from its query.
    #[must_use]
    pub fn column_unit(self, unit: &'static str) -> Self {
        self.of_last(|query| query.unit = Some(unit))
    }

    fn of_last(mut self, change: impl FnOnce(&mut Query)) -> Self {
        if let Some(query) = self.queries.last_mut() {
            change(query);
        }
        self
    }

    /// Colours, and lines where it has an axis, at the thresholds of a shipped alert.
    #[must_use]
    pub fn alert(mut self, name: &str) -> Self {
        self.steps = Steps::of(name);
        self.with_lines = true;
        self
    }

    /// Lines at the thresholds of a shipped alert and where it clears.
    #[must_use]
    pub fn alert_lines(mut self, name: &str) -> Self {
        self.steps = Steps::lines_of(name);
        self.with_lines = true;
        self
    }

    /// Colours of its own.
    #[must_use]
    pub fn steps(mut self, steps: Steps) -> Self {
        self.steps = steps;
        self
    }

    /// Lines at the values where its colours change.
    #[must_use]
    pub fn drawn_steps(mut self, steps: Steps) -> Self {
        self.with_lines = true;
        self.steps(steps)
    }

    /// A unit that does not follow from the catalogue.
    #[must_use]
    pub fn unit(mut self, unit: &'static str) -> Self {
        self.unit = Some(unit);
        self
    }

    /// The ends of its axis.
    #[must_use]
    pub fn between(mut self, least: f64, most: f64) -> Self {
        self.range = (Some(least), Some(most));
        self
    }

    /// An axis that begins at zero.
    #[must_use]
    pub fn from_zero(mut self) -> Self {
        self.range.0 = Some(0.0);
        self
    }

    /// A word and a colour instead of a value: `("1", "suspected", "red")`.
    #[must_use]
    pub fn words(mut self, words: &[(&'static str, &'static str, &'static str)]) -> Self {
        self.mappings.extend_from_slice(words);
        self
    }

    /// What is shown without data.
    #[must_use]
    pub fn no_value(mut self, text: &'static str) -> Self {
        self.no_value = Some(text);
        self
    }

    /// A link to the board that goes deeper.
    #[must_use]
    pub fn leads_to(mut self, uid: &'static str, title: &'static str) -> Self {
        self.leads_to = Some((uid, title));
        self
    }

    /// The column by which a table is sorted, greatest first.
    #[must_use]
    pub fn sorted_by(mut self, column: &'static str) -> Self {
        self.sorted_by = Some(column);
        self
    }

    /// Its width in columns of 24.
    #[must_use]
    pub fn wide(mut self, columns: u32) -> Self {
        self.width = columns;
        self
    }

    /// Its height in rows.
    #[must_use]
    pub fn high(mut self, rows: u32) -> Self {
        self.height = rows;
        self
    }

    /// A rule of the linter that it breaks, and why.
    #[must_use]
    pub fn exempt(mut self, rule: &'static str, reason: &'static str) -> Self {
        self.exemptions.push(Exemption { rule, reason });
        self
    }

    /// The reason why its rates are taken over other ranges than `$__rate_interval`; nothing where it takes none.
    #[must_use]
    pub fn windowed(self, reason: &'static str) -> Self {
        let takes_rates = |query: &Query| ["rate(", "increase("].iter().any(|function| query.text.contains(function));
        if self.queries.iter().any(takes_rates) { self.exempt("target-rate-interval-rule", reason) } else { self }
    }

    /// As Grafana reads it. `filters` are the board's own variables.
    ///
    /// # Panics
    /// When a query is no PromQL.
    pub fn json(&self, filters: &[Filter]) -> Value {
        let completed: Vec<String> =
            self.queries.iter().map(|query| template::complete(&query.text, filters)).collect();
        let targets: Vec<Value> = self
            .queries
            .iter()
            .zip(&completed)
            .enumerate()
            .map(|(at, (query, text))| self.target(at, query, text))
            .collect();
        let mut panel = json!({
            "type": self.drawing.plugin(),
            "title": self.title,
            "description": self.help,
            "datasource": datasource(),
            "pluginVersion": PLUGIN_VERSION,
            "targets": targets,
            "fieldConfig": {"defaults": self.field(&completed), "overrides": self.overrides(&completed)},
            "options": self.options(&completed),
        });
        if self.drawing == Drawing::Table {
            panel["transformations"] = self.transformations();
        }
        if let Some((uid, title)) = self.leads_to {
            panel["links"] = json!([{
                "type": "link", "title": format!("Open {title}"), "url": link_to(uid), "targetBlank": false,
                "asDropdown": false, "includeVars": false, "keepTime": false, "icon": "", "tooltip": "", "tags": [],
            }]);
        }
        panel
    }

    fn target(&self, at: usize, query: &Query, text: &str) -> Value {
        let is_quantile = text.contains("histogram_quantile");
        let instant = self.drawing == Drawing::Table && !query.trend;
        let format = match self.drawing {
            Drawing::Heatmap => "heatmap",
            Drawing::Table if !query.trend => "table",
            _ => "time_series",
        };
        let mut target = json!({
            "refId": letter(at), "datasource": datasource(), "expr": text, "format": format,
            "editorMode": "code", "instant": instant, "range": !instant,
            "exemplar": is_quantile && self.drawing == Drawing::Lines,
        });
        if self.drawing != Drawing::Table && !query.legend.is_empty() {
            target["legendFormat"] = json!(query.legend);
        }
        target
    }

    fn unit_of(&self, text: &str) -> &'static str {
        let expression = parse(&substitute(text)).unwrap_or_else(|error| panic!("{}: {error}: {text}", self.title));
        dimension::of(&expression).map_or("short", |dimension| dimension.grafana_unit())
    }

    fn panel_unit(&self, completed: &[String]) -> &'static str {
        self.unit.unwrap_or_else(|| completed.first().map_or("short", |text| self.unit_of(text)))
    }

    fn field(&self, completed: &[String]) -> Value {
        let mut field = Map::new();
        field.insert("unit".into(), json!(self.panel_unit(completed)));
        field.insert("thresholds".into(), self.steps.json());
        let by_threshold = matches!(self.drawing, Drawing::Stat | Drawing::States | Drawing::Table);
        let mode = if by_threshold { "thresholds" } else { "palette-classic" };
        field.insert("color".into(), json!({"mode": mode}));
        for (name, bound) in [("min", self.range.0), ("max", self.range.1)] {
            if let Some(bound) = bound {
                field.insert(name.into(), json!(bound));
            }
        }
        if let Some(text) = self.no_value {
            field.insert("noValue".into(), json!(text));
        }
        if !self.mappings.is_empty() {
            field.insert("mappings".into(), self.mappings());
        }
        field.insert("custom".into(), self.custom());
        Value::Object(field)
    }

    fn mappings(&self) -> Value {
        let word = |at: usize, &(value, text, color): &(&str, &str, &str)| {
            (value.to_owned(), json!({"text": text, "color": color, "index": at}))
        };
        let options: Map<String, Value> = self.mappings.iter().enumerate().map(|(at, it)| word(at, it)).collect();
        json!([{"type": "value", "options": options}])
    }

    fn custom(&self) -> Value {
        match self.drawing {
            Drawing::Lines | Drawing::Stack => {
                let stacked = self.drawing == Drawing::Stack;
                json!({
                    "drawStyle": "line", "lineInterpolation": "linear", "lineWidth": 1,
                    "fillOpacity": if stacked { 40 } else { 8 }, "showPoints": "never", "spanNulls": false,
                    "stacking": {"mode": if stacked { "normal" } else { "none" }, "group": "A"},
                    "thresholdsStyle": {"mode": if self.with_lines { "line" } else { "off" }},
                })
            }
            Drawing::Table => json!({"align": "auto", "filterable": false, "cellOptions": {"type": "auto"}}),
            Drawing::States => json!({"fillOpacity": 80, "lineWidth": 0}),
            Drawing::Heatmap => json!({"scaleDistribution": {"type": "linear"}}),
            Drawing::Stat => json!({}),
        }
    }

    fn options(&self, completed: &[String]) -> Value {
        let legend =
            json!({"showLegend": true, "displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]});
        let tooltip = json!({"mode": "multi", "sort": "desc"});
        match self.drawing {
            Drawing::Lines | Drawing::Stack => json!({"legend": legend, "tooltip": tooltip}),
            Drawing::Stat => json!({
                "colorMode": "value", "graphMode": "area", "justifyMode": "auto", "orientation": "auto",
                "textMode": "auto", "wideLayout": true, "showPercentChange": false,
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
            }),
            Drawing::Heatmap => json!({
                "calculate": false, "cellGap": 1, "showValue": "never",
                "color": {"mode": "scheme", "scheme": "Oranges", "scale": "exponential", "exponent": 0.5, "fill": "dark-orange", "steps": 64, "reverse": false},
                "yAxis": {"axisPlacement": "left", "unit": self.panel_unit(completed), "reverse": false},
                "rowsFrame": {"layout": "auto"}, "filterValues": {"le": 1e-9}, "legend": {"show": true},
                "tooltip": {"mode": "single", "showColorScale": false, "yHistogram": true},
                "exemplars": {"color": "rgba(255,0,255,0.7)"},
            }),
            Drawing::Table => {
                let sorted = self.sorted_by.map(|column| json!({"displayName": column, "desc": true}));
                json!({"showHeader": true, "cellHeight": "sm", "sortBy": sorted.into_iter().collect::<Vec<_>>()})
            }
            Drawing::States => json!({
                "mergeValues": true, "showValue": "auto", "alignValue": "left", "rowHeight": 0.8,
                "legend": {"showLegend": true, "displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "single", "sort": "none"},
            }),
        }
    }

    /// Columns are named, and have units and colours, one by one.
    fn overrides(&self, completed: &[String]) -> Value {
        if self.drawing != Drawing::Table {
            return json!([]);
        }
        let columns = self.queries.iter().zip(completed).enumerate().map(|(at, (query, text))| {
            let unit = query.unit.unwrap_or_else(|| self.unit_of(text));
            let matched = if query.trend { "byRegexp" } else { "byName" };
            let field = if query.trend { format!("/^Trend.*{}$|^Trend$/", letter(at)) } else { self.column_field(at) };
            let mut properties = vec![json!({"id": "unit", "value": unit}), json!({"id": "displayName", "value": query.legend})];
            if query.trend {
                properties.push(json!({"id": "custom.cellOptions", "value": {"type": "sparkline", "lineWidth": 1, "fillOpacity": 20}}));
            }
            if let Some(steps) = &query.steps {
                properties.push(json!({"id": "thresholds", "value": steps.json()}));
                properties.push(json!({"id": "custom.cellOptions", "value": {"type": "color-text"}}));
            }
            json!({"matcher": {"id": matched, "options": field}, "properties": properties})
        });
        columns.collect()
    }

    /// How Grafana names the values of a query in a table: one query alone has no letter.
    fn column_field(&self, at: usize) -> String {
        if self.queries.len() == 1 { "Value".to_owned() } else { format!("Value #{}", letter(at)) }
    }

    fn transformations(&self) -> Value {
        let trends: Map<String, Value> = (0..self.queries.len())
            .filter(|&at| self.queries[at].trend)
            .map(|at| (letter(at), json!({"timeField": "Time", "stat": "lastNotNull"})))
            .collect();
        let mut steps = Vec::new();
        if !trends.is_empty() {
            steps.push(json!({"id": "timeSeriesTable", "options": trends}));
        }
        steps.push(json!({"id": "merge", "options": {}}));
        let hidden = json!({"Time": true, "__name__": true});
        steps.push(
            json!({"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": {}}}),
        );
        Value::Array(steps)
    }
}

/// The data source that the reader chose.
pub(crate) fn datasource() -> Value {
    json!({"type": "prometheus", "uid": "$datasource"})
}

fn link_to(uid: &str) -> String {
    format!("/d/{uid}?${{__url_time_range}}&${{datasource:queryparam}}&${{job:queryparam}}&${{instance:queryparam}}")
}

fn letter(at: usize) -> String {
    let at = u8::try_from(at).unwrap_or(25).min(25);
    char::from(b'A' + at).to_string()
}
