//! Reads single values out of an agent's snapshot, and waits for conditions; it knows nothing of the integrations.

use std::time::Duration;

use heartline::{Agent, Labels};

/// An agent that does not listen.
pub(crate) fn agent() -> Agent {
    Agent::builder("test").without_listener().returned_rows(true).start().unwrap()
}

/// Labels to look for.
pub(crate) type Wanted<'a> = &'a [(&'a str, &'a str)];

fn has(labels: &Labels, wanted: Wanted<'_>) -> bool {
    wanted.iter().all(|&(name, value)| labels.value(name) == Some(value))
}

/// Records in all histogram series of `metric` that have these labels.
pub(crate) fn records(agent: &Agent, metric: &str, wanted: Wanted<'_>) -> u64 {
    let snapshot = agent.snapshot();
    let series = snapshot.metrics.iter().filter(|family| family.name == metric).flat_map(|family| &family.histograms);
    series.filter(|series| has(&series.labels, wanted)).map(|series| series.histogram.count).sum()
}

/// The sum, in the resolution of the grid, of all values in the histogram series of `metric` that have these labels.
pub(crate) fn sum(agent: &Agent, metric: &str, wanted: Wanted<'_>) -> u64 {
    let snapshot = agent.snapshot();
    let series = snapshot.metrics.iter().filter(|family| family.name == metric).flat_map(|family| &family.histograms);
    series.filter(|series| has(&series.labels, wanted)).map(|series| series.histogram.sum).sum()
}

/// The sum of all number series of `metric` that have these labels; `None` when there are none.
pub(crate) fn number(agent: &Agent, metric: &str, wanted: Wanted<'_>) -> Option<f64> {
    let snapshot = agent.snapshot();
    let series = snapshot.metrics.iter().filter(|family| family.name == metric).flat_map(|family| &family.numbers);
    let values: Vec<f64> = series.filter(|series| has(&series.labels, wanted)).map(|series| series.value).collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// Values of one label over all series of `metric`, sorted, each once; a series without it gives `""`.
pub(crate) fn values(agent: &Agent, metric: &str, label: &str) -> Vec<String> {
    let snapshot = agent.snapshot();
    let families = snapshot.metrics.iter().filter(|family| family.name == metric);
    let labels = families.flat_map(|family| {
        let histograms =
            family.histograms.iter().filter(|series| series.histogram.count > 0).map(|series| &series.labels);
        histograms.chain(family.numbers.iter().map(|series| &series.labels))
    });
    let mut values: Vec<String> = labels.map(|labels| labels.value(label).unwrap_or_default().to_owned()).collect();
    values.sort();
    values.dedup();
    values
}

/// Waits until `condition` holds, at most ten seconds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), wait).await.is_ok(), "never happened: {what}");
}
