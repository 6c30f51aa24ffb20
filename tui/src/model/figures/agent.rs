//! What the agent says of itself, and the service's own metrics.

use heartline_shared::{Kind, Labels, catalog};

use super::{Count, Counts, Row, View};
use crate::model::reading::{AgentSelf, CustomSeries};
use crate::model::store::{Metric, Value};
use crate::text::Text;

const DROPPED: &str = "heartline.dropped";

pub(super) fn compute(view: &View<'_>) -> AgentSelf {
    let (offered, dropped) = (view.count("heartline.offered", &[]), view.count(DROPPED, &[]));
    let mut by_drop = Counts::default();
    view.rows(DROPPED).for_each(|row| by_drop.add(row.label("reason"), &row));
    AgentSelf {
        offered: offered.map(Count::whole),
        offered_rate: offered.and_then(|offered| view.per_second(offered.recent)),
        dropped: dropped.map(Count::whole),
        by_drop: by_drop.into_list(),
        series: view.whole_level("heartline.series.count", &[]),
        series_dropped: view.count("heartline.series.dropped", &[]).map(Count::whole),
        memory_bytes: view.whole_level("heartline.agent.memory", &[]),
        cpu_cores: view.count("heartline.agent.cpu.time", &[]).and_then(|time| view.per_second(time.recent)),
        callback_failures: view.count("heartline.callback.failures", &[]).map(Count::whole),
    }
}

pub(super) fn custom(view: &View<'_>) -> Vec<CustomSeries> {
    let own = view.store.metrics().filter(|(name, _)| catalog::find(name).is_none());
    own.flat_map(|(name, metric)| view.rows(name).map(move |row| one_series(view, name, metric, &row))).collect()
}

fn one_series(view: &View<'_>, name: &str, metric: &Metric, row: &Row<'_>) -> CustomSeries {
    let counts = matches!(metric.kind, Kind::Counter | Kind::Histogram);
    let quantile = |q| match row.increase {
        Some(Value::Histogram(recent)) => recent.quantile(view.store.grid(&metric.unit), q),
        _ => None,
    };
    CustomSeries {
        name: Text::new(name),
        kind: metric.kind,
        unit: Text::new(&metric.unit),
        labels: Text::new(&written(row.labels)),
        value: row.number(),
        rate: if counts { view.per_second(row.recent()) } else { None },
        p50: quantile(0.5),
        p95: quantile(0.95),
    }
}

fn written(labels: &Labels) -> String {
    let pairs: Vec<String> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join(" ")
}
