//! Totals of a snapshot, grouped by labels, so that they can be held against somebody else's counts.

use std::collections::BTreeMap;

use heartline_shared::{Labels, Snapshot};

/// Totals by the values of the labels they were grouped by; an absent label is an empty text.
pub type Totals = BTreeMap<Vec<String>, u64>;

/// The values of a counter or gauge, or the counts of a histogram, summed over all labels but `by`.
pub fn totals(snapshot: &Snapshot, metric: &str, by: &[&str]) -> Totals {
    let key = |labels: &Labels| by.iter().map(|name| labels.value(name).unwrap_or_default().to_owned()).collect();
    let mut totals = Totals::new();
    for family in snapshot.metrics.iter().filter(|family| family.name == metric) {
        for series in &family.numbers {
            *totals.entry(key(&series.labels)).or_default() += whole(series.value);
        }
        for series in &family.histograms {
            *totals.entry(key(&series.labels)).or_default() += series.histogram.count;
        }
    }
    totals
}

/// All series of `metric` together.
pub fn total(snapshot: &Snapshot, metric: &str) -> u64 {
    totals(snapshot, metric, &[]).into_values().sum()
}

/// A series as a metrics page writes it, its labels sorted and `le` as a number.
pub fn sample_name<'a>(name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut labels: Vec<String> = labels.into_iter().map(|(label, value)| written(label, value)).collect();
    labels.sort();
    format!("{name}{{{}}}", labels.join(","))
}

fn written(label: &str, value: &str) -> String {
    match value.parse::<f64>() {
        Ok(bound) if label == "le" => format!("le=\"{bound}\""),
        _ => format!("{label}={value:?}"),
    }
}

/// The samples of a metrics page in the text format, by series as [`sample_name`] writes them; nothing that is not one.
pub fn page_samples(page: &str) -> BTreeMap<String, f64> {
    let sample = |line: &str| {
        let (series, value) = line.rsplit_once(' ')?;
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let mut pairs = Vec::new();
        let mut rest = labels.strip_suffix('}')?;
        while let Some((label, after)) = rest.split_once("=\"") {
            let end = after.char_indices().find(|&(at, c)| c == '"' && !after[..at].ends_with('\\'))?.0;
            pairs.push((label, after[..end].replace("\\\"", "\"").replace("\\\\", "\\")));
            rest = after[end + 1..].trim_start_matches(',');
        }
        let pairs = pairs.iter().map(|(label, value)| (*label, value.as_str()));
        Some((sample_name(name, pairs), value.parse().ok()?))
    };
    page.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect()
}

/// Counts are whole, and far below what a float holds exactly.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count on the wire")]
fn whole(value: f64) -> u64 {
    value.max(0.0) as u64
}

/// Where two sets of totals differ, one line each; series that are 0 on one side and absent on the other agree.
pub fn differences(one: (&str, &Totals), other: (&str, &Totals)) -> Vec<String> {
    let keys = one.1.keys().chain(other.1.keys()).collect::<std::collections::BTreeSet<_>>();
    let value = |totals: &Totals, key: &Vec<String>| totals.get(key).copied().unwrap_or(0);
    let line = |key: &Vec<String>| {
        let (a, b) = (value(one.1, key), value(other.1, key));
        (a != b).then(|| format!("{}: {} says {a}, {} says {b}", key.join(" "), one.0, other.0))
    };
    keys.into_iter().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, u64)]) -> Totals {
        pairs.iter().map(|(key, value)| (vec![(*key).to_owned()], *value)).collect()
    }

    #[test]
    fn every_difference_is_named_from_both_sides() {
        let lines =
            differences(("the agent", &given(&[("a", 1), ("b", 2)])), ("the shop", &given(&[("a", 1), ("c", 3)])));
        assert_eq!(lines, ["b: the agent says 2, the shop says 0", "c: the agent says 0, the shop says 3"]);
    }

    #[test]
    fn a_series_that_never_counted_agrees_with_an_absent_one() {
        assert!(differences(("a", &given(&[("x", 0)])), ("b", &given(&[]))).is_empty());
    }
}
