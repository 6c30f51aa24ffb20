//! The peers, each driven as its own users do; what they are compared with is not known here.
#![expect(clippy::disallowed_methods, reason = "peers are timed with the clock that their users have")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot set a peer up has nothing to measure")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use crate::fixture::{FIXTURE, Fixture, Key, boundaries, routes};
use crate::record;
use crate::subject::Subject;

fn fixture() -> &'static Fixture {
    &FIXTURE
}

fn key(at: usize) -> &'static Key {
    &fixture().keys[fixture().series[at]]
}

/// Every peer.
pub fn all() -> Vec<Subject> {
    vec![
        hdrhistogram(),
        metriken_sharded(),
        prometheus(),
        prometheus_client(),
        metrics(),
        opentelemetry("opentelemetry_sdk explicit", false),
        opentelemetry("opentelemetry_sdk base2", true),
        measured_dense(),
        fastmetrics(),
        nm(),
    ]
}

/// Its events belong to a thread, which has one of a name; those of one name are summed up when they are read.
fn nm() -> Subject {
    use nm::{Event, Magnitude};
    static LAST: AtomicUsize = AtomicUsize::new(0);
    static BOUNDARIES: LazyLock<Vec<Magnitude>> = LazyLock::new(|| (0..16).map(|power| 100_000 << power).collect());
    let fixture = fixture();
    let name = || format!("event {}", LAST.fetch_add(1, Ordering::Relaxed));
    let event = move || Event::builder().name(name()).histogram(BOUNDARIES.as_slice()).build();
    let nanos = |at: usize| Magnitude::try_from(fixture.nanos[at]).unwrap_or(Magnitude::MAX);
    Subject {
        name: "nm",
        exports: true,
        handle: Some(Box::new(move || {
            let event = event();
            record!(at => event.observe(nanos(at)))
        })),
        counter: Some(Box::new(move || {
            let event = Event::builder().name(name()).build();
            record!(_at => event.observe_once())
        })),
        timed: Some(Box::new(move || {
            let event = event();
            record!(_at => {
                let start = Instant::now();
                event.observe(Magnitude::try_from(start.elapsed().as_nanos()).unwrap_or(Magnitude::MAX));
            })
        })),
        single: Some(Box::new(move || {
            let events: Vec<Event> = fixture.keys.iter().map(|_| event()).collect();
            record!(at => events[fixture.series[at]].observe(nanos(at)))
        })),
        ..Subject::default()
    }
}

fn hdrhistogram() -> Subject {
    use hdrhistogram::Histogram;
    use hdrhistogram::sync::SyncHistogram;
    let fixture = fixture();
    let one = || -> SyncHistogram<u64> { Histogram::new_with_bounds(1, 1 << 38, 2).unwrap().into() };
    let shared: Arc<SyncHistogram<u64>> = Arc::new(one());
    let timed = Arc::clone(&shared);
    Subject {
        name: "hdrhistogram recorder",
        is_accurate: true,
        handle: Some(Box::new(move || {
            let (keep, mut recorder) = (Arc::clone(&shared), shared.recorder());
            record!(at => { let _ = &keep; recorder.record(fixture.nanos[at]) })
        })),
        timed: Some(Box::new(move || {
            let (keep, mut recorder) = (Arc::clone(&timed), timed.recorder());
            record!(_at => {
                let _ = &keep;
                let start = Instant::now();
                recorder.record(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
            })
        })),
        single: Some(Box::new(move || {
            let all: Vec<SyncHistogram<u64>> = fixture.keys.iter().map(|_| one()).collect();
            let mut recorders: Vec<_> = all.iter().map(SyncHistogram::recorder).collect();
            record!(at => { let _ = &all; recorders[fixture.series[at]].record(fixture.nanos[at]) })
        })),
        ..Subject::default()
    }
}

fn metriken_sharded() -> Subject {
    static ONE: metriken::ShardedCounterHistogram = metriken::ShardedCounterHistogram::new(6, 38);
    static ALL: metriken::ShardedCounterHistogramGroup = metriken::ShardedCounterHistogramGroup::new(64, 6, 38);
    static COUNTER: metriken::Counter = metriken::Counter::new();
    let fixture = fixture();
    Subject {
        name: "metriken sharded",
        is_accurate: true,
        exports: true,
        handle: Some(Box::new(move || record!(at => ONE.increment(fixture.nanos[at])))),
        counter: Some(Box::new(|| record!(_at => COUNTER.increment()))),
        timed: Some(Box::new(|| {
            record!(_at => {
                let start = Instant::now();
                ONE.increment(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX))
            })
        })),
        single: Some(Box::new(move || record!(at => ALL.increment(fixture.series[at], fixture.nanos[at])))),
        ..Subject::default()
    }
}

fn prometheus() -> Subject {
    use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter};
    let fixture = fixture();
    let all = || HistogramVec::new(HistogramOpts::new("d", "d").buckets(boundaries()), &["method", "route", "status"]);
    let of = |all: &HistogramVec, key: &Key| all.with_label_values(&[key.method, key.route, key.status]);
    let (by_handle, by_labels, timed, single) = (all().unwrap(), all().unwrap(), all().unwrap(), all().unwrap());
    let counter = IntCounter::new("c", "c").unwrap();
    Subject {
        name: "prometheus",
        exports: true,
        handle: Some(Box::new(move || {
            let histogram = of(&by_handle, &fixture.keys[5]);
            record!(at => histogram.observe(fixture.seconds[at]))
        })),
        labels: Some(Box::new(move || {
            let all = by_labels.clone();
            record!(at => of(&all, key(at)).observe(fixture.seconds[at]))
        })),
        counter: Some(Box::new(move || {
            let counter = counter.clone();
            record!(_at => counter.inc())
        })),
        timed: Some(Box::new(move || {
            let histogram = of(&timed, &fixture.keys[5]);
            record!(_at => histogram.start_timer().stop_and_record())
        })),
        single: Some(Box::new(move || {
            let handles: Vec<Histogram> = fixture.keys.iter().map(|key| of(&single, key)).collect();
            record!(at => handles[fixture.series[at]].observe(fixture.seconds[at]))
        })),
        ..Subject::default()
    }
}

fn prometheus_client() -> Subject {
    use prometheus_client::encoding::EncodeLabelSet;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::histogram::Histogram;

    #[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
    struct Set {
        method: &'static str,
        route: &'static str,
        status: &'static str,
    }
    type All = Family<Set, Histogram, fn() -> Histogram>;
    let set = |key: &Key| Set { method: key.method, route: key.route, status: key.status };
    let make: fn() -> Histogram = || Histogram::new(boundaries());
    let fixture = fixture();
    let (one, all, counter) = (make(), All::new_with_constructor(make), Counter::<u64>::default());
    let (timed, single) = (one.clone(), all.clone());
    Subject {
        name: "prometheus-client",
        exports: true,
        handle: Some(Box::new(move || {
            let histogram = one.clone();
            record!(at => histogram.observe(fixture.seconds[at]))
        })),
        labels: Some(Box::new(move || {
            let all = all.clone();
            record!(at => all.get_or_create(&set(key(at))).observe(fixture.seconds[at]))
        })),
        counter: Some(Box::new(move || {
            let counter = counter.clone();
            record!(_at => counter.inc())
        })),
        timed: Some(Box::new(move || {
            let histogram = timed.clone();
            record!(_at => { let start = Instant::now(); histogram.observe(start.elapsed().as_secs_f64()) })
        })),
        single: Some(Box::new(move || {
            let handles: Vec<Histogram> =
                fixture.keys.iter().map(|key| single.get_or_create_owned(&set(key))).collect();
            record!(at => handles[fixture.series[at]].observe(fixture.seconds[at]))
        })),
        ..Subject::default()
    }
}

fn metrics() -> Subject {
    use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
    static EXPORTER: LazyLock<PrometheusHandle> = LazyLock::new(|| {
        let recorder = PrometheusBuilder::new().set_buckets(&boundaries()).unwrap().build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(drop).unwrap();
        handle
    });
    LazyLock::force(&EXPORTER);
    let fixture = fixture();
    Subject {
        name: "metrics",
        exports: true,
        handle: Some(Box::new(move || {
            let histogram = metrics::histogram!("b_handle");
            record!(at => histogram.record(fixture.seconds[at]))
        })),
        labels: Some(Box::new(move || {
            record!(at => {
                let key = key(at);
                metrics::histogram!("b_labels", "method" => key.method, "route" => key.route, "status" => key.status)
                    .record(fixture.seconds[at]);
            })
        })),
        counter: Some(Box::new(|| {
            let counter = metrics::counter!("b_count");
            record!(_at => counter.increment(1))
        })),
        timed: Some(Box::new(|| {
            let histogram = metrics::histogram!("b_timed");
            record!(_at => { let start = Instant::now(); histogram.record(start.elapsed()) })
        })),
        single: Some(Box::new(move || {
            let of = |key: &Key| metrics::histogram!("b_cold", "method" => key.method, "route" => key.route, "status" => key.status);
            let handles: Vec<metrics::Histogram> = fixture.keys.iter().map(of).collect();
            record!(at => handles[fixture.series[at]].record(fixture.seconds[at]))
        })),
        settle: Some(|| EXPORTER.run_upkeep()),
        ..Subject::default()
    }
}

/// A provider that aggregates and is read by nobody, and a histogram of it.
fn opentelemetry_histogram(
    base2: bool,
) -> (opentelemetry_sdk::metrics::SdkMeterProvider, opentelemetry::metrics::Histogram<f64>) {
    use opentelemetry::metrics::MeterProvider as _;
    use opentelemetry_sdk::metrics::{Aggregation, Instrument, ManualReader, SdkMeterProvider, Stream};
    let view = move |_: &Instrument| {
        let aggregation = if base2 {
            Aggregation::Base2ExponentialHistogram { max_size: 160, max_scale: 20, record_min_max: true }
        } else {
            Aggregation::ExplicitBucketHistogram { boundaries: boundaries(), record_min_max: true }
        };
        Stream::builder().with_cardinality_limit(200_000).with_aggregation(aggregation).build().ok()
    };
    let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build()).with_view(view).build();
    let histogram = provider.meter("bench").f64_histogram("http_server_duration").build();
    (provider, histogram)
}

fn opentelemetry(name: &'static str, base2: bool) -> Subject {
    use opentelemetry::KeyValue;
    let set = |key: &Key| {
        [KeyValue::new("method", key.method), KeyValue::new("route", key.route), KeyValue::new("status", key.status)]
    };
    let fixture = fixture();
    let shared = Arc::new(opentelemetry_histogram(base2));
    let (labels, timed, single) = (Arc::clone(&shared), Arc::clone(&shared), Arc::clone(&shared));
    Subject {
        name,
        is_accurate: false,
        exports: true,
        handle: Some(Box::new(move || {
            let (keep, bound) = (Arc::clone(&shared), shared.1.bind(&set(&fixture.keys[5])));
            record!(at => { let _ = &keep; bound.record(fixture.seconds[at]) })
        })),
        labels: Some(Box::new(move || {
            let shared = Arc::clone(&labels);
            record!(at => shared.1.record(fixture.seconds[at], &set(key(at))))
        })),
        timed: Some(Box::new(move || {
            let (keep, bound) = (Arc::clone(&timed), timed.1.bind(&set(&fixture.keys[5])));
            record!(_at => { let _ = &keep; let start = Instant::now(); bound.record(start.elapsed().as_secs_f64()) })
        })),
        single: Some(Box::new(move || {
            let keep = Arc::clone(&single);
            let handles: Vec<_> = fixture.keys.iter().map(|key| single.1.bind(&set(key))).collect();
            record!(at => { let _ = &keep; handles[fixture.series[at]].record(fixture.seconds[at]) })
        })),
        ..Subject::default()
    }
}

mod dense {
    //! measured's label sets, as its users write them.
    use lasso::{Rodeo, RodeoReader, Spur};
    use measured::label::StaticLabelSet;
    use measured::metric::histogram::Thresholds;
    use measured::{FixedCardinalityLabel, HistogramVec, LabelGroup};

    use crate::fixture::Key;

    #[derive(Clone, Copy, PartialEq, Debug, LabelGroup)]
    #[label(set = Set)]
    pub(crate) struct Labels<'a> {
        pub(crate) method: Method,
        pub(crate) status: Status,
        #[label(fixed_with = RodeoReader<Spur>)]
        pub(crate) route: &'a str,
    }
    #[derive(Clone, Copy, PartialEq, Debug, Hash, Eq, FixedCardinalityLabel)]
    pub(crate) enum Method {
        Get,
        Post,
    }
    #[derive(Clone, Copy, PartialEq, Debug, Hash, Eq, FixedCardinalityLabel)]
    pub(crate) enum Status {
        Ok,
        Created,
        NotFound,
        Error,
    }
    pub(crate) fn labels(key: &'static Key) -> Labels<'static> {
        let status = match key.status {
            "200" => Status::Ok,
            "201" => Status::Created,
            "404" => Status::NotFound,
            _ => Status::Error,
        };
        Labels { method: if key.method == "GET" { Method::Get } else { Method::Post }, status, route: key.route }
    }
    pub(crate) fn all<'a>(routes: impl Iterator<Item = &'a str>) -> HistogramVec<Set, 16> {
        let route = routes.collect::<Rodeo>().into_reader();
        let set = Set { method: StaticLabelSet::new(), status: StaticLabelSet::new(), route };
        HistogramVec::dense_with_label_set_and_metadata(set, Thresholds::exponential_buckets(1e-4, 2.0))
    }
}

fn measured_dense() -> Subject {
    let fixture = fixture();
    let all = Arc::new(dense::all(routes().into_iter()));
    let (by_labels, timed, single) = (Arc::clone(&all), Arc::clone(&all), Arc::clone(&all));
    Subject {
        name: "measured",
        exports: true,
        handle: Some(Box::new(move || {
            let (all, id) = (Arc::clone(&all), all.with_labels(dense::labels(&fixture.keys[5])));
            record!(at => all.get_metric(id).observe(fixture.seconds[at]))
        })),
        labels: Some(Box::new(move || {
            let all = Arc::clone(&by_labels);
            record!(at => all.observe(dense::labels(key(at)), fixture.seconds[at]))
        })),
        timed: Some(Box::new(move || {
            let (all, id) = (Arc::clone(&timed), timed.with_labels(dense::labels(&fixture.keys[5])));
            record!(_at => { let start = Instant::now(); all.get_metric(id).observe(start.elapsed().as_secs_f64()) })
        })),
        single: Some(Box::new(move || {
            let all = Arc::clone(&single);
            let ids: Vec<_> = fixture.keys.iter().map(|key| all.with_labels(dense::labels(key))).collect();
            record!(at => all.get_metric(ids[fixture.series[at]]).observe(fixture.seconds[at]))
        })),
        ..Subject::default()
    }
}

/// measured with a series for each route, rendered as text.
pub(crate) fn measured_rendering<V: Iterator<Item = usize>>(
    routes: &[String],
    values: impl Fn(usize) -> V,
) -> crate::rendering::Read {
    use measured::metric::MetricFamilyEncoding;
    use measured::metric::name::MetricName;
    use measured::text::BufferedTextEncoder;
    let all = dense::all(routes.iter().map(String::as_str));
    for (at, route) in routes.iter().enumerate() {
        let id = all.with_labels(dense::Labels { method: dense::Method::Get, status: dense::Status::Ok, route });
        values(at).for_each(|value| all.get_metric(id).observe(fixture().seconds[value]));
    }
    Box::new(move || {
        let mut encoder = BufferedTextEncoder::new();
        all.collect_family_into(MetricName::from_str("bench_duration"), &mut encoder).unwrap();
        encoder.finish().len()
    })
}

fn fastmetrics() -> Subject {
    use fastmetrics::derive::LabelSet;
    use fastmetrics::metrics::family::Family;
    use fastmetrics::metrics::histogram::Histogram;

    #[derive(Clone, Eq, PartialEq, Hash, LabelSet)]
    struct Set {
        method: &'static str,
        route: &'static str,
        status: &'static str,
    }
    let set = |key: &Key| Set { method: key.method, route: key.route, status: key.status };
    let fixture = fixture();
    let one = Arc::new(Histogram::new(boundaries()));
    let timed = Arc::clone(&one);
    let all: Arc<Family<Set, Histogram>> = Arc::new(Family::new(|| Histogram::new(boundaries())));
    Subject {
        name: "fastmetrics",
        exports: true,
        handle: Some(Box::new(move || {
            let histogram = Arc::clone(&one);
            record!(at => histogram.observe(fixture.seconds[at]))
        })),
        labels: Some(Box::new(move || {
            let all = Arc::clone(&all);
            record!(at => all.with_or_new(&set(key(at)), |histogram| histogram.observe(fixture.seconds[at])))
        })),
        timed: Some(Box::new(move || {
            let histogram = Arc::clone(&timed);
            record!(_at => { let start = Instant::now(); histogram.observe(start.elapsed().as_secs_f64()) })
        })),
        single: Some(Box::new(move || {
            let handles: Vec<Histogram> = fixture.keys.iter().map(|_| Histogram::new(boundaries())).collect();
            record!(at => handles[fixture.series[at]].observe(fixture.seconds[at]))
        })),
        ..Subject::default()
    }
}
