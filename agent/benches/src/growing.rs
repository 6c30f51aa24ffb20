//! Snapshots of a service that goes on counting: so many series, of which a share counts in each second. How they are
//! coded is not known here.

use std::borrow::Cow;

use heartline_shared::snapshot::{Family, HistogramSeries, NumberSeries, SCHEMA_VERSION};
use heartline_shared::{Grid, GridKind, Histogram, Kind, Labels, Snapshot, UnixMillis};

/// Values that a histogram of requests gets in a second in which it is used.
const VALUES: u64 = 10;
/// Values that each had before, spread over about forty buckets.
const VALUES_BEFORE: u64 = 400;

/// A service with series of which 60 % are histograms of requests, 25 % counters and 15 % levels.
#[derive(Debug)]
pub struct Growing {
    histograms: Vec<HistogramSeries>,
    counters: Vec<NumberSeries>,
    levels: Vec<NumberSeries>,
    /// One in so many histograms and counters counts in a second.
    one_in: usize,
    second: u64,
    state: u64,
}

impl Growing {
    /// So many series, one in `one_in` of which counts in each second.
    pub fn new(series: usize, one_in: usize) -> Self {
        let labels = |at: usize| {
            let status = ["200", "404", "500"][at % 3];
            Labels::from_pairs([
                ("http.request.method", "GET".to_owned()),
                ("http.response.status_code", status.to_owned()),
                ("http.route", format!("/api/v1/resources/{:05}/items/{{id}}", at / 3)),
                ("url.scheme", "http".to_owned()),
            ])
        };
        let number = |at| NumberSeries { labels: labels(at), value: 0.0 };
        let timed = |at| HistogramSeries { labels: labels(at), histogram: Histogram::default() };
        let (histograms, counters) = (series * 60 / 100, series * 25 / 100);
        let mut growing = Self {
            histograms: (0..histograms).map(timed).collect(),
            counters: (0..counters).map(number).collect(),
            levels: (0..series - histograms - counters).map(number).collect(),
            one_in: one_in.max(1),
            second: 0,
            state: 0x9e37_79b9_7f4a_7c15,
        };
        for at in 0..growing.histograms.len() {
            growing.record(at, VALUES_BEFORE);
        }
        growing
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state
    }

    /// Values around 10 ms, close together in the middle.
    fn record(&mut self, at: usize, values: u64) {
        let grid = Grid::of(GridKind::Duration);
        for _ in 0..values {
            let uniform = |random: u64| (random >> 11) as f64 / (1_u64 << 53) as f64;
            let normal = (0..4).map(|_| uniform(self.random())).sum::<f64>() - 2.0;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
            let nanos = (1e7 * (0.6 * normal).exp()) as u64;
            self.histograms[at].histogram.record(&grid, nanos);
        }
    }

    /// What the service shows a second later.
    pub fn next_second(&mut self) -> Snapshot {
        self.second += 1;
        let offset = usize::try_from(self.second).unwrap_or(0) % self.one_in;
        for at in (offset..self.histograms.len()).step_by(self.one_in) {
            self.record(at, VALUES);
        }
        for counter in self.counters.iter_mut().skip(offset).step_by(self.one_in) {
            counter.value += 7.0;
        }
        for at in 0..self.levels.len() {
            self.levels[at].value = (self.random() % 10_000) as f64;
        }
        let family = |name: &'static str, kind, unit: &'static str| Family {
            name: Cow::Borrowed(name),
            kind,
            unit: Cow::Borrowed(unit),
            help: None,
            numbers: Vec::new(),
            histograms: Vec::new(),
        };
        let requests = family("http.server.request.duration", Kind::Histogram, "s");
        let lookups = family("heartline.cache.requests", Kind::Counter, "{request}");
        let jobs = family("heartline.job.count", Kind::UpDownCounter, "{job}");
        let start = 1_700_000_000_000;
        Snapshot {
            schema_version: SCHEMA_VERSION,
            service: "shop".to_owned(),
            instance_id: "a".to_owned(),
            started_at_ms: UnixMillis(start),
            ts_ms: UnixMillis(start + self.second * 1_000),
            seq: self.second,
            uptime_seconds: self.second as f64,
            metrics: vec![
                Family { numbers: self.counters.clone(), ..lookups },
                Family { numbers: self.levels.clone(), ..jobs },
                Family { histograms: self.histograms.clone(), ..requests },
            ],
            ..Snapshot::default()
        }
    }
}
