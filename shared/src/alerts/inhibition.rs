//! Which alerts make others pointless: `[[inhibit]]`, and the matching of alerts by name, level and labels that
//! routes and maintenance windows share. States and time are not known here.

use super::diagnostic::did_you_mean;
use super::document::{Fields, Text};
use super::rule::Level;
use super::signal::{Test, anchored};
use crate::label::Labels;

/// While an alert that `source` matches fires, the alerts that `target` matches are marked as inhibited, where the
/// values of the labels in `equal` agree. A label that both lack agrees. An alert never inhibits itself.
#[derive(Debug, Clone)]
pub struct Inhibition {
    /// What must fire.
    pub source: AlertMatch,
    /// What is inhibited.
    pub target: AlertMatch,
    /// The labels that must agree.
    pub equal: Vec<String>,
}

/// A test of an alert's name, level, kind and labels; without any it matches every alert.
#[derive(Debug, Clone, Default)]
pub struct AlertMatch(Vec<(String, Test)>);

/// What an [`AlertMatch`] looks at.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The rule's name.
    pub name: &'a str,
    /// The shown level.
    pub level: Option<Level>,
    /// The rule's kind.
    pub kind: &'a str,
    /// The instance's labels.
    pub labels: &'a Labels,
}

impl AlertMatch {
    /// Whether every test holds. A label that the alert lacks has the empty value.
    pub fn matches(&self, alert: &Subject<'_>) -> bool {
        self.0.iter().all(|(key, test)| {
            test.holds(match key.as_str() {
                "alert" | "alertname" => alert.name,
                "severity" | "level" => alert.level.map_or("", Level::name),
                "kind" => alert.kind,
                label => alert.labels.value(label).unwrap_or_default(),
            })
        })
    }

    /// Reads `{ alert = "X", severity = "critical", job = "=~a|b" }`; `"*"` is any value.
    pub(super) fn read<'t>(fields: &Fields<'t>, pairs: Vec<(Text<'t>, Text<'t>)>, alerts: &[&str]) -> Self {
        let test = |(key, value): (Text<'t>, Text<'t>)| {
            let test = match value.value.strip_prefix("=~") {
                None if value.value == "*" => return None,
                None => Test::Equal(value.value.to_owned()),
                Some(pattern) => match anchored(pattern) {
                    Ok(pattern) => Test::Matches(pattern),
                    Err(reason) => {
                        fields.problems.report(value.span, format!("no regular expression: {reason}"), None);
                        return None;
                    }
                },
            };
            let names_alert = matches!(key.value, "alert" | "alertname");
            if names_alert && matches!(test, Test::Equal(_)) && !alerts.contains(&value.value) {
                let help = did_you_mean(value.value, alerts.iter().copied());
                fields.problems.report(value.span, format!("no alert is called `{}`", value.value), help);
            } else if matches!(key.value, "severity" | "level") && matches!(test, Test::Equal(_)) {
                let names = || Level::ALL.into_iter().map(Level::name);
                if !names().any(|name| name == value.value) {
                    let help = did_you_mean(value.value, names());
                    fields.problems.report(value.span, format!("no level is called `{}`", value.value), help);
                }
            }
            Some((key.value.to_owned(), test))
        };
        Self(pairs.into_iter().filter_map(test).collect())
    }
}

/// Reads every `[[inhibit]]`.
pub(super) fn read(tables: Vec<Fields<'_>>, alerts: &[&str]) -> Vec<Inhibition> {
    let inhibition = |mut table: Fields<'_>| {
        for key in ["source", "target"] {
            if !table.has(key) {
                let help = format!("write {key} = {{ alert = \"…\" }}");
                table.problems.missing(table.span.clone(), format!("{} has no `{key}`", table.what), Some(help));
            }
        }
        let source = table.named_texts("source");
        let source = AlertMatch::read(&table, source, alerts);
        let target = table.named_texts("target");
        let target = AlertMatch::read(&table, target, alerts);
        let equal = table.strings("equal").unwrap_or_default();
        table.finish();
        Inhibition { source, target, equal }
    };
    tables.into_iter().map(inhibition).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_match_matches_everything_and_a_missing_label_is_empty() {
        let labels = Labels::from_pairs([("job", "a")]);
        let subject = Subject { name: "X", level: Some(Level::Critical), kind: "alert", labels: &labels };
        let of = |key: &str, test| AlertMatch(vec![(key.to_owned(), test)]).matches(&subject);
        assert!(AlertMatch::default().matches(&subject));
        assert!(of("severity", Test::Equal("critical".into())) && of("job", Test::Equal("a".into())));
        assert!(of("instance", Test::Equal(String::new())) && !of("alert", Test::Equal("Y".into())));
    }
}
