//! Runs one scenario file: series over time go in, states and transitions must come out as the file says.
//!
//! `values` use promtool's notation: `5` once, `5x3` four times, `0+10x4` rising by ten four times, `_` and `_x3` for no
//! sample, `stale` for a target that could not be read. `recorded` gives, for each value in the metric's unit, how often
//! it was recorded so far.

use std::collections::BTreeMap;
use std::time::Duration;

use heartline_shared::alerts::{AlertFile, AlertInstance, Engine, Level, Samples, TargetKey, Transition};
use heartline_shared::buckets::GridKind;
use heartline_shared::catalog::{self, Kind};
use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries, SCHEMA_VERSION};
use heartline_shared::{Grid, Histogram, Labels, Snapshot, UnixMillis};
use serde::Deserialize;

/// A full hour, so that every interval is aligned with it.
const START: UnixMillis = UnixMillis(1_699_999_200_000);

/// One file of `scenarios/`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scenario {
    /// What the file shows, for people.
    #[serde(rename = "fact")]
    _fact: String,
    /// The time between two samples.
    interval: String,
    /// An alert file without its version.
    rules: String,
    series: Vec<SeriesLine>,
    #[serde(default)]
    expect: Vec<Expectation>,
    /// Every transition, as `1m15s Name firing warning`; absent when the file does not care.
    transitions: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesLine {
    metric: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    values: String,
    #[serde(default)]
    recorded: BTreeMap<String, String>,
    /// Of a metric that is not in the catalogue.
    kind: Option<Kind>,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    at: String,
    alert: String,
    state: String,
    level: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// As people see it.
    value: Option<String>,
    summary: Option<String>,
    inhibited_by: Option<String>,
    #[serde(default)]
    no_data: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Sample {
    Value(f64),
    Missing,
    Stale,
}

impl Scenario {
    /// What differs from the file; empty when everything is as it says.
    pub(crate) fn differences(&self) -> Vec<String> {
        let rules = format!("version = 1\n{}", self.rules);
        let file = AlertFile::parse(&rules, "rules").unwrap_or_else(|faults| panic!("{}", faults[0]));
        let (mut engine, mut samples) = (Engine::new(&file), Samples::for_file(&file));
        let lines: Vec<Line<'_>> = self.series.iter().map(Line::new).collect();
        let steps = lines.iter().map(Line::len).max().unwrap_or_default();
        let interval = duration(&self.interval);
        let (mut differences, mut seen, mut checked) = (Vec::new(), Vec::new(), 0);
        for step in 0..steps {
            let at = START + interval * u32::try_from(step).unwrap();
            record(&lines, step, at, &mut samples);
            seen.extend(engine.evaluate(&samples, at).iter().map(told));
            for expected in self.expect.iter().filter(|it| START + duration(&it.at) == at) {
                checked += 1;
                differences.extend(expected.difference(engine.board()));
            }
        }
        if checked < self.expect.len() {
            differences.push(format!("only {checked} of {} expectations fall on a sample", self.expect.len()));
        }
        if let Some(wanted) = self.transitions.as_ref().filter(|wanted| **wanted != seen) {
            differences.push(format!("transitions are {seen:#?}, not {wanted:#?}"));
        }
        differences
    }
}

impl Expectation {
    fn difference(&self, board: &[AlertInstance]) -> Option<String> {
        let labels_agree =
            |row: &&AlertInstance| self.labels.iter().all(|(name, value)| row.labels.value(name) == Some(value));
        let rows: Vec<&AlertInstance> =
            board.iter().filter(|row| row.name == self.alert).filter(labels_agree).collect();
        let [row] = rows.as_slice() else {
            return Some(format!("at {}: {} rows of {} {:?}", self.at, rows.len(), self.alert, self.labels));
        };
        let agrees = row.state.name() == self.state
            && self.level.as_deref() == row.level.map(Level::name)
            && self.value.as_ref().is_none_or(|value| *value == row.shown_value())
            && self.summary.as_ref().is_none_or(|summary| *summary == row.summary)
            && self.inhibited_by == row.inhibited_by
            && self.no_data == row.no_data;
        (!agrees).then(|| {
            let (level, value) = (row.level.map(Level::name), row.shown_value());
            let (state, by, summary) = (row.state, &row.inhibited_by, &row.summary);
            format!(
                "at {}: {} is {state} {level:?} {value:?} by {by:?} no_data {} {summary:?}",
                self.at, self.alert, row.no_data
            )
        })
    }
}

fn told(transition: &Transition) -> String {
    let since_start = heartline_shared::alerts::format_duration(transition.at.since(START));
    let change = serde_json::to_value(transition.change).unwrap();
    let level = transition.to.map_or("-", Level::name);
    format!("{since_start} {} {} {level}", transition.instance.name, change.as_str().unwrap())
}

/// A series with its samples written out.
struct Line<'s> {
    written: &'s SeriesLine,
    target: TargetKey,
    labels: Labels,
    values: Vec<Sample>,
    recorded: Vec<(f64, Vec<Sample>)>,
}

impl<'s> Line<'s> {
    fn new(line: &'s SeriesLine) -> Self {
        let label = |name: &str| line.labels.get(name).cloned().unwrap_or_default();
        let target = TargetKey { job: label("job"), instance: label("instance") };
        let own = line.labels.iter().filter(|(name, _)| *name != "job" && *name != "instance");
        let labels = Labels::from_pairs(own.map(|(name, value)| (name.clone(), value.clone())));
        let recorded = line.recorded.iter().map(|(value, counts)| (value.parse().unwrap(), samples(counts)));
        Self { written: line, target, labels, values: samples(&line.values), recorded: recorded.collect() }
    }

    fn len(&self) -> usize {
        self.recorded.iter().map(|(_, counts)| counts.len()).max().unwrap_or(self.values.len())
    }

    fn sample(&self, step: usize) -> Sample {
        let values = self.recorded.first().map_or(&self.values, |(_, counts)| counts);
        values.get(step).copied().unwrap_or(Sample::Missing)
    }

    fn family(&self, step: usize, value: f64) -> Family {
        let metric = catalog::find(&self.written.metric);
        let kind = self.written.kind.or(metric.map(|it| it.kind)).expect("a kind for a metric outside the catalogue");
        let unit = self.written.unit.clone().or(metric.map(|it| it.unit.to_owned())).unwrap_or_default();
        let mut family = Family {
            name: self.written.metric.clone().into(),
            kind,
            unit: unit.clone().into(),
            help: None,
            numbers: Vec::new(),
            histograms: Vec::new(),
        };
        if kind == Kind::Histogram {
            let histogram = self.histogram(step, GridKind::for_unit(&unit));
            family.histograms.push(HistogramSeries { labels: self.labels.clone(), histogram });
        } else {
            family.numbers.push(NumberSeries { labels: self.labels.clone(), value });
        }
        family
    }

    fn histogram(&self, step: usize, kind: GridKind) -> Histogram {
        let grid = Grid::of(kind);
        let mut histogram = Histogram::default();
        for (value, counts) in &self.recorded {
            let Some(Sample::Value(count)) = counts.get(step) else { continue };
            for _ in 0..*count as u64 {
                histogram.record(&grid, grid.resolution(*value).unwrap());
            }
        }
        histogram
    }
}

fn record(lines: &[Line<'_>], step: usize, at: UnixMillis, samples: &mut Samples) {
    let mut snapshots: BTreeMap<&TargetKey, BTreeMap<String, Family>> = BTreeMap::new();
    for line in lines {
        match line.sample(step) {
            Sample::Missing => {}
            Sample::Stale => samples.mark_stale(&line.target, at),
            Sample::Value(value) => {
                let mut added = line.family(step, value);
                let families = snapshots.entry(&line.target).or_default();
                let family = families.entry(line.written.metric.clone()).or_insert_with(|| Family {
                    numbers: Vec::new(),
                    histograms: Vec::new(),
                    ..added.clone()
                });
                family.numbers.append(&mut added.numbers);
                family.histograms.append(&mut added.histograms);
            }
        }
    }
    for (target, families) in snapshots {
        let snapshot = Snapshot {
            schema_version: SCHEMA_VERSION,
            service: target.job.clone(),
            instance_id: target.instance.clone(),
            metrics: families.into_values().collect(),
            ..Snapshot::default()
        };
        snapshot.validate().unwrap();
        assert!(samples.record(target, &snapshot, at));
    }
}

fn samples(text: &str) -> Vec<Sample> {
    text.split_whitespace().flat_map(run).collect()
}

/// One word of promtool's notation.
fn run(word: &str) -> Vec<Sample> {
    let (body, repeats) = match word.rsplit_once('x') {
        Some((body, repeats)) => (body, repeats.parse::<u32>().unwrap()),
        None => (word, 0),
    };
    match body {
        "_" => vec![Sample::Missing; repeats.max(1) as usize],
        "stale" => vec![Sample::Stale],
        body => {
            let split = body[1..].find(['+', '-']).map(|at| body.split_at(at + 1));
            let (first, step) = split.unwrap_or((body, "0"));
            let (first, step): (f64, f64) = (first.parse().unwrap(), step.parse().unwrap());
            (0..=repeats).map(|at| Sample::Value(first + step * f64::from(at))).collect()
        }
    }
}

fn duration(text: &str) -> Duration {
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap();
        let unit = rest[digits..].find(|c: char| c.is_ascii_digit()).map_or(rest.len(), |at| at + digits);
        let seconds = match &rest[digits..unit] {
            "s" => 1,
            "m" => 60,
            "h" => 3_600,
            other => panic!("{other} in {text}"),
        };
        total += Duration::from_secs(rest[..digits].parse::<u64>().unwrap() * seconds);
        rest = &rest[unit..];
    }
    total
}
