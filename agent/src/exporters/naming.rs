//! Labels by their Prometheus names: those of one metric are translated once for all its series. Which format they are
//! written in is not known here.

use heartline_shared::{Labels, catalog};

/// The names of one metric's labels.
pub(super) struct Naming {
    /// Attributes in the order in which they were first seen, with their labels.
    names: Vec<(String, String)>,
    /// Whether series with different attributes have different labels: no two attributes become one label, and no value
    /// is empty, which to Prometheus is no label.
    tells_apart: bool,
}

impl Naming {
    /// Of all labels in `series`; those of a histogram leave `le` free.
    pub(super) fn of<'a>(series: impl Iterator<Item = &'a Labels>, histogram: bool) -> Self {
        let mut naming = Self { names: Vec::new(), tells_apart: true };
        for (at, (attribute, value)) in series.flat_map(|labels| labels.iter().enumerate()) {
            naming.tells_apart &= !value.is_empty();
            if naming.label(at, attribute).is_none() {
                let label = label_name(attribute, histogram);
                naming.tells_apart &= naming.names.iter().all(|(_, have)| *have != label);
                naming.names.push((attribute.to_owned(), label));
            }
        }
        naming
    }

    /// Whether series with different attributes have different labels.
    pub(super) fn tells_apart(&self) -> bool {
        self.tells_apart
    }

    /// Gives each label and its value. Attributes that become the same label are joined by `;`, as OpenTelemetry asks;
    /// empty values are left out.
    pub(super) fn each(&self, labels: &Labels, mut write: impl FnMut(&str, &str)) {
        let named = labels.iter().enumerate().filter_map(|(at, (name, value))| Some((self.label(at, name)?, value)));
        if self.tells_apart {
            return named.for_each(|(label, value)| write(label, value));
        }
        let mut joined: Vec<(&str, String)> = Vec::with_capacity(labels.len());
        for (label, value) in named.filter(|(_, value)| !value.is_empty()) {
            match joined.iter_mut().find(|(have, _)| *have == label) {
                Some((_, text)) => {
                    text.push(';');
                    text.push_str(value);
                }
                None => joined.push((label, value.to_owned())),
            }
        }
        for (label, value) in &joined {
            write(label, value);
        }
    }

    /// The label of an attribute, which is the one at `at` in most series.
    fn label(&self, at: usize, attribute: &str) -> Option<&str> {
        let here = self.names.get(at).filter(|(have, _)| have == attribute);
        let found = here.or_else(|| self.names.iter().find(|(have, _)| have == attribute));
        found.map(|(_, label)| label.as_str())
    }
}

/// Names that Prometheus keeps for itself get a prefix: `__…` for every metric, `le` for histograms.
fn label_name(attribute: &str, histogram: bool) -> String {
    let label = catalog::prometheus_label(attribute);
    match label.as_str() {
        "" => "key".to_owned(),
        "le" if histogram => "exported_le".to_owned(),
        reserved if reserved.starts_with("__") => format!("key{reserved}"),
        _ => label,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(naming: &Naming, labels: &Labels) -> String {
        let mut text = String::new();
        naming.each(labels, |name, value| text.extend([name, "=", value, " "]));
        text
    }

    #[test]
    fn series_of_other_shapes_find_their_names_and_are_told_apart() {
        let series = [
            Labels::from_pairs([("http.route", "/a"), ("method", "GET")]),
            Labels::from_pairs([("method", "PUT")]),
            Labels::from_pairs([("__x", "1"), ("le", "2"), ("method", "GET")]),
        ];
        let naming = Naming::of(series.iter(), true);
        assert!(naming.tells_apart());
        let shown: Vec<String> = series.iter().map(|labels| shown(&naming, labels)).collect();
        assert_eq!(shown, ["http_route=/a method=GET ", "method=PUT ", "key__x=1 exported_le=2 method=GET "]);
    }

    #[test]
    fn attributes_that_become_one_label_are_joined_and_empty_values_left_out() {
        let (joined, empty) =
            (Labels::from_pairs([("a.b", "1"), ("a_b", "2")]), Labels::from_pairs([("c", ""), ("d", "3")]));
        let naming = Naming::of([&joined, &empty].into_iter(), false);
        assert!(!naming.tells_apart());
        assert_eq!((shown(&naming, &joined), shown(&naming, &empty)), ("a_b=1;2 ".to_owned(), "d=3 ".to_owned()));
    }
}
