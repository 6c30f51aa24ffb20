//! What the agent's exporter does with each answer that OTLP's specification knows, against receivers on loopback that
//! misbehave in one way each. Knows the public API and the wire only.
#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]

#[cfg(feature = "tracing-opentelemetry")]
mod beside;
mod receiver;
mod riding;
#[cfg(feature = "tracing")]
mod spans;

use std::time::{Duration, Instant};

use heartline::{Agent, Otlp, Snapshot};
use receiver::{Answer, Received, Receiver};

const POINTS: &str = "otel.sdk.exporter.metric_data_point.exported";
const TOOK: &str = "otel.sdk.exporter.operation.duration";
/// Until a condition must hold.
const LIMIT: Duration = Duration::from_secs(40);
/// Long enough that what comes sooner was sent again; short enough that the first export comes soon.
const SELDOM: Duration = Duration::from_secs(20);
const OFTEN: Duration = Duration::from_millis(200);
/// For a push that will not arrive: a tenth of it is enough to say so even where the machine is busy.
const GIVEN: Duration = Duration::from_secs(3);
const ATTEMPT: Duration = Duration::from_millis(400);

#[expect(clippy::disallowed_methods, reason = "a test's deadline")]
fn wait_for<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = check() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "{what} did not happen within {LIMIT:?}");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn agent(otlp: Otlp, interval: Duration) -> Agent {
    let otlp = otlp.interval(interval);
    let agent = Agent::builder("shop").instance_id("shop-1").without_listener().otlp(otlp).start().unwrap();
    agent.route("GET", "/carts/{id}").start().finish(200);
    agent
}

fn two(receiver: &Receiver) -> [Received; 2] {
    wait_for("a second request", || {
        let so_far = receiver.received();
        Some([so_far.first()?.clone(), so_far.get(1)?.clone()])
    })
}

/// Data points by what became of them.
fn points(snapshot: &Snapshot, error: Option<&str>) -> f64 {
    let family = snapshot.family(POINTS).unwrap();
    let of = family.numbers.iter().filter(|series| series.labels.value("error.type") == error);
    of.map(|series| series.value).sum()
}

/// Requests that ended with this error.
fn failures(snapshot: &Snapshot, error: &str) -> u64 {
    let family = snapshot.family(TOOK).unwrap();
    let of = family.histograms.iter().filter(|series| series.labels.value("error.type") == Some(error));
    of.map(|series| series.histogram.count).sum()
}

fn both(answer: &Answer) -> [(&'static str, Receiver, Otlp); 2] {
    let (http, grpc) = (Receiver::http(answer.clone()), Receiver::grpc(answer.clone()));
    let (over_http, over_grpc) = (Otlp::http(http.url()), Otlp::grpc(grpc.url()));
    // a busy machine answers late: only who waits for silence waits for little
    let attempt = if matches!(answer, Answer::Hang) { ATTEMPT } else { SELDOM };
    [("http", http, over_http.timeout(attempt)), ("grpc", grpc, over_grpc.timeout(attempt))]
}

#[test]
fn what_may_be_tried_again_is_sent_again_as_it_was() {
    for (answer, errors) in [
        (Answer::Status(429, Some(1)), ["429", "RESOURCE_EXHAUSTED"]),
        (Answer::Status(503, None), ["503", "UNAVAILABLE"]),
        (Answer::Hang, ["timeout", "timeout"]),
        (Answer::Reset, ["connection", "connection"]),
    ] {
        for ((wire, receiver, otlp), error) in both(&answer).into_iter().zip(errors) {
            let agent = agent(otlp, SELDOM);
            let [first, second] = two(&receiver);
            assert_eq!(first.body, second.body, "{wire} {answer:?}: the same request");
            let throttle = if let Answer::Status(_, Some(seconds)) = answer { seconds } else { 0 };
            let waited = second.at.duration_since(first.at);
            assert!(waited >= Duration::from_secs(throttle), "{wire} {answer:?}: {waited:?}");
            let delivered = wait_for("the figures", || Some(agent.snapshot()).filter(|now| points(now, None) > 0.0));
            assert_eq!(failures(&delivered, error), 1, "{wire} {answer:?}: {:?}", delivered.family(TOOK));
            assert_eq!(points(&delivered, None), second.points() as f64, "{wire} {answer:?}");
            agent.shutdown(Duration::from_secs(5)).unwrap();
        }
    }
}

#[test]
fn what_must_not_be_tried_again_is_dropped_and_the_next_one_holds_it() {
    for (answer, errors) in [
        (Answer::Status(400, None), ["400", "INVALID_ARGUMENT"]),
        (Answer::Status(413, None), ["413", "RESOURCE_EXHAUSTED"]),
        (Answer::Redirect, ["307", "UNKNOWN"]),
    ] {
        for ((wire, receiver, otlp), error) in both(&answer).into_iter().zip(errors) {
            let agent = agent(otlp, OFTEN);
            let [first, second] = two(&receiver);
            assert!(first.time() < second.time(), "{wire} {answer:?}: a newer reading");
            assert_eq!(second.requests(), 1, "{wire} {answer:?}: cumulative");
            let snapshot = wait_for("the figures", || Some(agent.snapshot()).filter(|now| points(now, None) > 0.0));
            let refused = points(&snapshot, Some(error));
            assert_eq!(refused, first.points() as f64, "{wire} {answer:?}: {:?}", snapshot.family(POINTS));
            agent.shutdown(Duration::from_secs(5)).unwrap();
        }
    }
}

#[test]
fn a_partial_success_is_not_tried_again_and_what_was_rejected_is_counted() {
    for (wire, receiver, otlp) in both(&Answer::Partial(3)) {
        let agent = agent(otlp, OFTEN);
        let [first, second] = two(&receiver);
        assert!(first.time() < second.time(), "{wire}: a newer reading");
        let snapshot = wait_for("a third export", || {
            (receiver.received().len() > 2).then(|| agent.snapshot()).filter(|now| points(now, Some("rejected")) > 0.0)
        });
        assert_eq!(points(&snapshot, Some("rejected")), 3.0, "{wire}");
        assert!(points(&snapshot, None) >= (first.points() - 3 + second.points()) as f64, "{wire}");
        agent.shutdown(Duration::from_secs(5)).unwrap();
    }
}

#[test]
fn after_a_long_silence_the_newest_wins_and_nothing_is_missing() {
    let receiver = Receiver::http(Answer::Status(503, None));
    let agent = agent(Otlp::http(receiver.url()), OFTEN);
    wait_for("a first request", || receiver.received().first().cloned());
    agent.route("GET", "/carts/{id}").start().finish(200);
    let [first, second] = two(&receiver); // sent again after half a second at least, which is more than an interval
    assert!(first.time() < second.time());
    assert_eq!(second.requests(), 2);
    agent.shutdown(Duration::from_secs(5)).unwrap();
}

#[test]
fn headers_compression_and_the_resource_arrive_by_both_protocols() {
    for (wire, receiver, otlp) in both(&Answer::Whole) {
        let otlp = otlp.gzip(true).header("api-key", "s3cret").attribute("cloud.region", "eu");
        let agent = agent(otlp, OFTEN);
        let received = wait_for("a request", || receiver.received().first().cloned());
        assert_eq!(received.header("api-key").as_deref(), Some("s3cret"), "{wire}");
        assert!(received.header("user-agent").is_some_and(|agent| agent.contains("heartline/")), "{wire}");
        assert!(received.was_compressed, "{wire}");
        let resource = format!("{:?}", received.decoded().resource_metrics[0].resource);
        assert!(["shop-1", "cloud.region", "process.pid"].iter().all(|part| resource.contains(part)), "{resource}");
        agent.shutdown(Duration::from_secs(5)).unwrap();
    }
}

#[test]
fn what_is_known_at_the_end_is_pushed_before_the_agent_stops() {
    for (wire, receiver, otlp) in both(&Answer::Whole) {
        let agent = agent(otlp, SELDOM);
        for _ in 0..99 {
            agent.route("GET", "/carts/{id}").start().finish(200);
        }
        agent.shutdown(Duration::from_secs(10)).unwrap();
        let last = receiver.received().last().cloned().unwrap();
        assert_eq!(last.requests(), 100, "{wire}");
    }
}

#[test]
fn a_receiver_that_is_not_there_is_said_at_the_end_and_shown_as_lag() {
    let agent = agent(Otlp::http("http://127.0.0.1:1"), OFTEN);
    let lagging = wait_for("some lag", || {
        let snapshot = agent.snapshot();
        let lag = snapshot.family("heartline.export.lag").map_or(0.0, |family| family.numbers[0].value);
        (lag > 1.0).then_some(snapshot)
    });
    assert!(failures(&lagging, "connection") > 0);
    let error = agent.shutdown(GIVEN).unwrap_err();
    assert!(matches!(error, heartline::Error::Flush(_)), "{error}");
    assert!(error.to_string().contains("127.0.0.1:1"), "{error}");
    assert!(matches!(agent.shutdown(GIVEN), Err(heartline::Error::Flush(_))), "and said again");
}

#[test]
fn a_push_that_is_asked_for_is_waited_for_and_the_next_one_is_an_interval_later() {
    for (wire, receiver, otlp) in both(&Answer::Whole) {
        let agent = agent(otlp, Duration::from_hours(1));
        agent.flush(LIMIT).unwrap();
        assert_eq!(receiver.received().last().unwrap().requests(), 1, "{wire}");
        agent.route("GET", "/carts/{id}").start().finish(200);
        agent.flush(LIMIT).unwrap();
        assert_eq!(receiver.received().last().unwrap().requests(), 2, "{wire}");
        agent.shutdown(LIMIT).unwrap();
        let late = agent.flush(LIMIT).unwrap_err().to_string();
        assert!(late.contains("shut down"), "{wire}: {late}");
    }
    let nowhere = Agent::builder("shop").without_listener().start().unwrap();
    nowhere.flush(Duration::ZERO).unwrap();
}

#[test]
fn a_push_that_is_asked_for_and_does_not_arrive_says_why() {
    let agent = agent(Otlp::http("http://127.0.0.1:1"), Duration::from_hours(1));
    let error = agent.flush(GIVEN).unwrap_err();
    assert!(matches!(&error, heartline::Error::Flush(why) if why.contains("127.0.0.1:1")), "{error}");
}

#[test]
fn certificates_that_cannot_be_used_are_refused_by_name_before_anything_starts() {
    let folder = tempfile::tempdir().unwrap();
    let nonsense = folder.path().join("nonsense.pem");
    std::fs::write(&nonsense, "no certificate").unwrap();
    let missing = folder.path().join("missing.pem");
    let start = |otlp: Otlp| Agent::builder("shop").without_listener().otlp(otlp).start().map(drop);
    for wrong in [&nonsense, &missing] {
        for otlp in [Otlp::http("https://localhost:1"), Otlp::grpc("https://localhost:1")] {
            let authority = start(otlp.clone().certificate_authority(wrong)).unwrap_err().to_string();
            assert!(authority.contains(&wrong.display().to_string()) && authority.contains("PEM"), "{authority}");
            let own = start(otlp.client_certificate(wrong, wrong)).unwrap_err().to_string();
            assert!(own.contains("client_certificate") && own.contains(&wrong.display().to_string()), "{own}");
        }
        // in the clear nothing is read
        start(Otlp::http("http://127.0.0.1:1").certificate_authority(wrong)).unwrap();
    }
}
