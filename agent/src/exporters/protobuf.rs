//! A snapshot as Prometheus' protobuf: each metric a length-delimited `io.prometheus.client.MetricFamily`, with the same
//! names, labels and classic buckets as the text, and native histograms beside them. Who asks is not known here.
//!
//! Field numbers are those of [`metrics.proto`][proto]. What equals a field's default is left out, as proto2 readers
//! expect no other value for it.
//!
//! [proto]: https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto

use heartline_shared::catalog::Kind;
use heartline_shared::snapshot::HistogramSeries;
use heartline_shared::{Exponential, Grid, Labels, Native, Snapshot};

use super::message::Message;
use super::naming::Naming;
use super::prometheus::{Boundary, Classic, Selection};
use crate::snapshot::{Exemplar, Exemplified};

/// Buckets with values of one exponential or native histogram; one with more is written in coarser ones, as client
/// libraries do.
pub(super) const FILLED_MAX: usize = 160;

/// Fields of `MetricFamily` and `Metric`.
mod field {
    pub(super) const FAMILY_NAME: u32 = 1;
    pub(super) const FAMILY_HELP: u32 = 2;
    pub(super) const FAMILY_TYPE: u32 = 3;
    pub(super) const FAMILY_METRIC: u32 = 4;
    pub(super) const METRIC_LABEL: u32 = 1;
    pub(super) const METRIC_GAUGE: u32 = 2;
    pub(super) const METRIC_COUNTER: u32 = 3;
    pub(super) const METRIC_HISTOGRAM: u32 = 7;
}

/// Writes the selected metrics of `snapshot`, those of the catalogue first.
pub(crate) fn render_selected(
    (snapshot, exemplars): (&Snapshot, &Exemplified),
    selection: &Selection,
    out: &mut Vec<u8>,
) {
    let classic = Classic::of(snapshot);
    let mut natives = Natives::default();
    let mut document = Message(out);
    if let Some(version) = snapshot.version.as_ref().filter(|_| selection.is_everything()) {
        let labels = Labels::from_pairs([("service.version", version.as_str())]);
        let naming = Naming::of(std::iter::once(&labels), false);
        document.delimited(|family| {
            family.head("target_info", "What is known of the process.", Kind::Gauge);
            family.number((&naming, &labels), Kind::Gauge, 1.0);
        });
    }
    for family in classic.families(selection) {
        document.delimited(|message| {
            message.head(family.name, family.help, family.family.kind);
            let naming = Naming::of(family.family.numbers.iter().map(|series| &series.labels), false);
            for series in family.family.numbers.iter().filter(|series| series.value.is_finite()) {
                message.number((&naming, &series.labels), family.family.kind, series.value);
            }
            let Some(grid) = classic.grid(family.family.grid_kind()) else { return };
            let naming = Naming::of(family.family.histograms.iter().map(|series| &series.labels), true);
            for series in &family.family.histograms {
                let exemplars = exemplars.of(&family.family.name, &series.labels);
                message.histogram((&naming, series), natives.of(series, grid), &family.boundaries, exemplars);
            }
        });
    }
}

impl Message<'_> {
    fn head(&mut self, name: &str, help: &str, kind: Kind) {
        self.text(field::FAMILY_NAME, name);
        self.text(field::FAMILY_HELP, help);
        let number = match kind {
            Kind::Counter => 0,
            Kind::Gauge | Kind::UpDownCounter => 1,
            Kind::Histogram => 4,
        };
        self.integer(field::FAMILY_TYPE, number);
    }

    fn number(&mut self, labels: (&Naming, &Labels), kind: Kind, value: f64) {
        let of_kind = if kind == Kind::Counter { field::METRIC_COUNTER } else { field::METRIC_GAUGE };
        self.message(field::FAMILY_METRIC, |metric| {
            metric.labels(labels);
            metric.message(of_kind, |number| number.float(1, value));
        });
    }

    fn labels(&mut self, (naming, labels): (&Naming, &Labels)) {
        naming.each(labels, |name, value| {
            self.message(field::METRIC_LABEL, |pair| {
                pair.text(1, name);
                pair.text(2, value);
            });
        });
    }

    fn histogram(
        &mut self,
        (naming, series): (&Naming, &HistogramSeries),
        native: &Native,
        boundaries: &[Boundary],
        exemplars: &[Exemplar],
    ) {
        self.message(field::FAMILY_METRIC, |metric| {
            metric.labels((naming, &series.labels));
            metric.message(field::METRIC_HISTOGRAM, |histogram| {
                histogram.integer(1, native.count);
                histogram.float(2, native.sum);
                let mut lower = f64::NEG_INFINITY;
                for (upper, below) in Boundary::cumulative(boundaries, &series.histogram) {
                    let exemplar = Exemplar::newest(exemplars, lower, upper);
                    histogram.message(3, |bucket| bucket.bucket(upper, below, exemplar));
                    lower = upper;
                }
                // the bucket of all others is understood, unless it has an exemplar
                if let Some(exemplar) = Exemplar::newest(exemplars, lower, f64::INFINITY) {
                    histogram.message(3, |bucket| bucket.bucket(f64::INFINITY, native.count, Some(exemplar)));
                }
                histogram.native(native);
            });
        });
    }

    fn bucket(&mut self, upper: f64, below: u64, exemplar: Option<&Exemplar>) {
        self.integer(1, below);
        self.float(2, upper);
        if let Some(exemplar) = exemplar {
            self.message(3, |message| message.exemplar(exemplar));
        }
    }

    fn exemplar(&mut self, exemplar: &Exemplar) {
        for (name, value) in &exemplar.labels {
            self.message(1, |pair| {
                pair.text(1, name);
                pair.text(2, value);
            });
        }
        self.float(2, exemplar.value);
        self.message(3, |timestamp| {
            timestamp.integer(1, exemplar.at.0 / 1_000);
            timestamp.integer(2, exemplar.at.0 % 1_000 * 1_000_000);
        });
    }

    fn native(&mut self, native: &Native) {
        self.signed(5, i64::from(native.schema));
        self.float(6, native.zero_threshold);
        self.integer(7, native.zero_count);
        // a histogram without values and threshold is told from a classic one by an empty span
        if native.spans.is_empty() {
            self.message(12, |_| ());
        }
        for span in &native.spans {
            self.message(12, |message| {
                message.signed(1, i64::from(span.offset));
                message.integer(2, u64::from(span.length));
            });
        }
        if !native.deltas.is_empty() {
            self.message(13, |packed| native.deltas.iter().for_each(|delta| packed.zigzag(*delta)));
        }
    }
}

/// Native histograms one after the other, in one memory.
#[derive(Default)]
struct Natives {
    exponential: Exponential,
    native: Native,
}

impl Natives {
    fn of(&mut self, series: &HistogramSeries, grid: &Grid) -> &Native {
        self.exponential.refill_within(&series.histogram, grid, FILLED_MAX);
        self.exponential.write_native(&mut self.native);
        &self.native
    }
}

#[cfg(test)]
mod tests {
    use heartline_shared::snapshot::{Family, NumberSeries};
    use heartline_shared::{GridKind, Histogram};

    use super::*;

    fn document(metrics: Vec<Family>) -> Vec<u8> {
        let mut out = Vec::new();
        render_selected(
            (&Snapshot { metrics, ..Snapshot::default() }, &Exemplified::default()),
            &Selection::default(),
            &mut out,
        );
        out
    }

    fn family(name: &'static str, kind: Kind, unit: &'static str) -> Family {
        Family {
            name: name.into(),
            kind,
            unit: unit.into(),
            help: Some("h".into()),
            numbers: vec![],
            histograms: vec![],
        }
    }

    #[test]
    fn a_counter_is_the_bytes_that_the_protocol_asks_for() {
        let mut orders = family("orders.placed", Kind::Counter, "{order}");
        orders.numbers.push(NumberSeries { labels: Labels::from_pairs([("a.b", "c")]), value: 2.0 });
        let metric = b"\x0a\x08\x0a\x03a_b\x12\x01c\x1a\x09\x09\0\0\0\0\0\0\0\x40";
        let mut expected = b"\x0a\x13orders_placed_total\x12\x01h\x22".to_vec();
        expected.push(u8::try_from(metric.len()).unwrap());
        expected.extend_from_slice(metric);
        expected.insert(0, u8::try_from(expected.len()).unwrap());
        assert_eq!(document(vec![orders]), expected);
    }

    #[test]
    fn a_histogram_has_its_native_buckets_beside_the_classic_ones() {
        let grid = Grid::of(GridKind::Duration);
        let mut histogram = Histogram::default();
        for nanos in [1_000_000, 1_000_000, 2_000_000] {
            histogram.record(&grid, nanos);
        }
        let mut parse = family("parse.duration", Kind::Histogram, "s");
        parse.histograms.push(HistogramSeries { labels: Labels::empty(), histogram });
        let bytes = document(vec![parse]);
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        // schema 5 as zigzag; deltas 2 and -1 in one field, the second after a gap, so in a span of its own
        assert!(has(&[5 << 3, 10]) && has(&[13 << 3 | 2, 2, 4, 1]), "{bytes:?}");
    }
}
