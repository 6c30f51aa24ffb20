//! Requests driven by hand through the layer: dropped, panicking and failing at every point.

use std::convert::Infallible;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use heartline::integrations::RouteTemplate;
use heartline::{Agent, Query};
use http::{Extensions, Method, Request, Response};
use http_body::{Body, Frame};
use tower::{Layer, Service, service_fn};

use crate::readings::{agent, number, records, values};

const DURATION: &str = "http.server.request.duration";
const ACTIVE: &str = "http.server.active_requests";

/// How the service under the layer comes to its answer, or does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Head {
    #[default]
    Answers,
    PanicsInTheCall,
    PanicsInTheFuture,
    Fails,
}

/// What the service under the layer does.
#[derive(Debug, Clone, Copy, Default)]
struct Script {
    head: Head,
    pending: usize,
    status: u16,
    frames: usize,
    frame_pending: bool,
    frame_panics_at: Option<usize>,
    frame_fails_at: Option<usize>,
}

struct Answer(Script);

impl Future for Answer {
    type Output = Result<Response<Frames>, &'static str>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0.pending > 0 {
            self.0.pending -= 1;
            return Poll::Pending;
        }
        assert!(self.0.head != Head::PanicsInTheFuture, "in the future");
        if self.0.head == Head::Fails {
            return Poll::Ready(Err("no answer"));
        }
        let frames = Frames { script: self.0, sent: 0, waited: false };
        Poll::Ready(Ok(Response::builder().status(self.0.status).body(frames).unwrap()))
    }
}

struct Frames {
    script: Script,
    sent: usize,
    waited: bool,
}

impl Body for Frames {
    type Data = &'static [u8];
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, &'static str>>> {
        if self.script.frame_pending && !self.waited {
            self.waited = true;
            return Poll::Pending;
        }
        self.waited = false;
        assert!(self.script.frame_panics_at != Some(self.sent), "in the body");
        if self.script.frame_fails_at == Some(self.sent) {
            return Poll::Ready(Some(Err("broken body")));
        }
        if self.sent == self.script.frames {
            return Poll::Ready(None);
        }
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(b"frame"))))
    }
}

/// A small generator, so that a failure repeats with its seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from(mixed >> 33).unwrap() % sides
    }

    fn one_in(&mut self, sides: usize) -> bool {
        self.roll(sides) == 0
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Expected {
    answered: u64,
    cancelled: u64,
    panicked: u64,
    failed: u64,
    broken: u64,
}

fn random_script(dice: &mut Dice) -> Script {
    let frames = dice.roll(4);
    Script {
        head: match dice.roll(20) {
            0 => Head::PanicsInTheCall,
            1 | 2 => Head::PanicsInTheFuture,
            3 | 4 => Head::Fails,
            _ => Head::Answers,
        },
        pending: dice.roll(4),
        status: [200, 204, 404, 500][dice.roll(4)],
        frames,
        frame_pending: dice.one_in(2),
        frame_panics_at: dice.one_in(8).then(|| dice.roll(frames + 1)),
        frame_fails_at: dice.one_in(8).then(|| dice.roll(frames + 1)),
    }
}

/// Drives one request for at most `polls` polls, over future and body together, then drops it.
fn drive<S>(service: &mut S, script: Script, mut polls: usize, expected: &mut Expected)
where
    S: Service<Request<Script>, Error = &'static str>,
    S::Response: Into<Response<heartline::integrations::ObservedBody<Frames>>>,
{
    let mut context = Context::from_waker(Waker::noop());
    let Ok(future) = catch_unwind(AssertUnwindSafe(|| service.call(Request::new(script)))) else {
        expected.panicked += 1;
        return;
    };
    let mut future = Box::pin(future);
    let response: Response<_> = loop {
        if polls == 0 {
            expected.cancelled += 1;
            return;
        }
        polls -= 1;
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(&mut context))) {
            Err(_) => {
                expected.panicked += 1;
                return;
            }
            Ok(Poll::Pending) => {}
            Ok(Poll::Ready(Err(_))) => {
                expected.failed += 1;
                return;
            }
            Ok(Poll::Ready(Ok(response))) => break response.into(),
        }
    };
    if script.status == 204 {
        expected.answered += 1;
        return;
    }
    let mut body = Box::pin(response.into_body());
    loop {
        if polls == 0 {
            expected.cancelled += 1;
            return;
        }
        polls -= 1;
        match catch_unwind(AssertUnwindSafe(|| body.as_mut().poll_frame(&mut context))) {
            Err(_) => {
                expected.panicked += 1;
                return;
            }
            Ok(Poll::Ready(None)) => {
                expected.answered += 1;
                return;
            }
            Ok(Poll::Ready(Some(Err(_)))) => {
                expected.broken += 1;
                return;
            }
            Ok(Poll::Ready(Some(Ok(_))) | Poll::Pending) => {}
        }
    }
}

#[test]
fn every_request_is_counted_once_and_none_stays_in_flight_wherever_it_is_dropped() {
    const REQUESTS: u64 = 40_000;
    let silent = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let agent = agent();
    let mut service = agent.http_layer().route("/scripted").layer(service_fn(|request: Request<Script>| {
        let script = request.into_body();
        assert!(script.head != Head::PanicsInTheCall, "in the call");
        Answer(script)
    }));
    let mut dice = Dice(7);
    let mut expected = Expected::default();
    for _ in 0..REQUESTS {
        let script = random_script(&mut dice);
        let polls = dice.roll(14);
        drive(&mut service, script, polls, &mut expected);
    }
    std::panic::set_hook(silent);

    let of = |error_type| records(&agent, DURATION, &[("error.type", error_type)]);
    let all = records(&agent, DURATION, &[("http.route", "/scripted")]);
    let (cancelled, panicked, failed, broken) = (of("cancelled"), of("panic"), of("service"), of("body"));
    let answered = all - cancelled - panicked - failed - broken;
    assert_eq!(Expected { answered, cancelled, panicked, failed, broken }, expected);
    assert_eq!(all, REQUESTS);
    assert!([answered, cancelled, panicked, failed, broken].iter().all(|&count| count > 500), "{expected:?}");
    assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
}

/// Panics while `held` is alive.
fn panic_beside<T>(held: T) {
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _held = held;
        panic!("elsewhere");
    }));
    assert!(unwound.is_err());
}

#[test]
fn a_panic_elsewhere_that_drops_a_waiting_request_or_its_body_cancels_it() {
    let agent = agent();
    let mut service =
        agent.http_layer().route("/waiting").layer(service_fn(|request: Request<Script>| Answer(request.into_body())));
    let ended = |error_type| records(&agent, DURATION, &[("http.route", "/waiting"), ("error.type", error_type)]);

    let waiting = service.call(Request::new(Script { pending: 1, ..Script::default() }));
    assert_eq!(number(&agent, ACTIVE, &[]), Some(1.0));
    panic_beside(waiting);
    assert_eq!((ended("cancelled"), ended("panic")), (1, 0), "its head was not there");

    let mut answered = Box::pin(service.call(Request::new(Script { status: 200, frames: 2, ..Script::default() })));
    let Poll::Ready(Ok(answer)) = answered.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("answered at once");
    };
    assert_eq!(number(&agent, ACTIVE, &[]), Some(1.0));
    panic_beside(answer);
    assert_eq!((ended("cancelled"), ended("panic")), (2, 0), "its body was being produced");
    assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
}

#[test]
fn a_panic_that_drops_a_guard_that_the_service_holds_is_the_requests() {
    let agent = agent();
    panic_beside(agent.route("GET", "/held").start());
    let ended = |error_type| records(&agent, DURATION, &[("http.route", "/held"), ("error.type", error_type)]);
    assert_eq!((ended("cancelled"), ended("panic")), (0, 1));
}

/// A document of the agent's endpoint.
fn document(agent: &Agent, path: &str) -> serde_json::Value {
    let mut stream = TcpStream::connect(agent.local_addr().unwrap()).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
    serde_json::from_str(body).unwrap()
}

fn said(template: &'static str) -> Extensions {
    let mut extensions = Extensions::new();
    extensions.insert(RouteTemplate::new(template));
    extensions
}

/// Sends one request and reads its answer to the end.
fn serve(agent: &Agent, request: Request<()>, response: Response<String>) {
    let mut response = Some(response);
    let answer = service_fn(move |_: Request<()>| std::future::ready(Ok::<_, Infallible>(response.take().unwrap())));
    let mut service = agent.http_layer().layer(answer);
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(answer)) = Box::pin(service.call(request)).as_mut().poll(&mut context) else {
        panic!("answered at once");
    };
    let mut body = Box::pin(answer.into_body());
    while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut context) {}
}

#[test]
fn the_template_left_on_the_request_is_the_route_and_a_request_without_is_unmatched() {
    let agent = agent();
    let mut request = Request::get("/carts/7").body(()).unwrap();
    request.extensions_mut().insert(RouteTemplate::new("/carts/{id}"));
    serve(&agent, request, Response::new("a cart".to_owned()));
    serve(
        &agent,
        Request::get("/wp-login.php").body(()).unwrap(),
        Response::builder().status(404).body(String::new()).unwrap(),
    );
    assert_eq!(values(&agent, DURATION, "http.route"), ["", "/carts/{id}"]);
    assert_eq!(records(&agent, DURATION, &[("http.route", "/carts/{id}"), ("http.response.status_code", "200")]), 1);
    assert_eq!(records(&agent, DURATION, &[("http.response.status_code", "404")]), 1);
}

#[test]
fn a_service_of_many_routes_counts_each_request_for_its_own_whichever_came_first() {
    let agent = agent();
    let answer = service_fn(|_: Request<()>| std::future::ready(Ok::<_, Infallible>(Response::new(String::new()))));
    let mut service = agent.http_layer().layer(answer);
    let kinds =
        [(Method::GET, Some("/carts")), (Method::POST, Some("/carts")), (Method::GET, Some("/c")), (Method::GET, None)];
    for round in 0..3 {
        for (method, template) in kinds.iter().skip(round) {
            let mut request = Request::builder().method(method).body(()).unwrap();
            request.extensions_mut().extend(template.map(said).unwrap_or_default());
            let mut clone = service.clone();
            let mut context = Context::from_waker(Waker::noop());
            assert!(Box::pin(clone.call(request)).as_mut().poll(&mut context).is_ready());
        }
        service = service.clone();
    }
    let count = |method, route| records(&agent, DURATION, &[("http.request.method", method), ("http.route", route)]);
    assert_eq!((count("GET", "/carts"), count("POST", "/carts"), count("GET", "/c")), (1, 2, 3));
    assert_eq!(records(&agent, DURATION, &[]), 1 + 2 + 3 + 3);
}

#[test]
fn methods_outside_the_standard_are_one_label() {
    let agent = agent();
    for method in ["BREW", "PROPFIND", "get", "DELETE"] {
        let request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).body(()).unwrap();
        serve(&agent, request, Response::new(String::new()));
    }
    assert_eq!(values(&agent, DURATION, "http.request.method"), ["DELETE", "_OTHER"]);
    assert_eq!(records(&agent, DURATION, &[("http.request.method", "_OTHER")]), 3);
}

#[test]
fn an_answer_to_head_ends_with_its_head_though_nobody_reads_the_body() {
    let agent = agent();
    let mut service = agent.http_layer().route("/page").layer(service_fn(|_: Request<()>| {
        let script = Script { status: 200, frames: 3, ..Script::default() };
        Answer(script)
    }));
    let mut context = Context::from_waker(Waker::noop());
    let head = Request::head("/page").body(()).unwrap();
    let answer = Box::pin(service.call(head)).as_mut().poll(&mut context);
    assert!(matches!(answer, Poll::Ready(Ok(_))));
    drop(answer);
    assert_eq!(records(&agent, DURATION, &[("http.response.status_code", "200")]), 1);
    assert_eq!(records(&agent, DURATION, &[("error.type", "cancelled")]), 0);
}

#[test]
fn an_answer_ends_with_its_last_declared_byte_though_nobody_asks_for_more() {
    let agent = agent();
    let mut service = agent.http_layer().route("/file").layer(service_fn(|_: Request<()>| {
        let body = Frames { script: Script { frames: 2, ..Script::default() }, sent: 0, waited: false };
        std::future::ready(Ok::<_, Infallible>(Response::builder().header("content-length", "10").body(body).unwrap()))
    }));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(answer)) = Box::pin(service.call(Request::new(()))).as_mut().poll(&mut context) else {
        panic!("answered at once");
    };
    let mut body = Box::pin(answer.into_body());
    for in_flight in [1.0, 0.0] {
        assert!(body.as_mut().poll_frame(&mut context).is_ready());
        assert_eq!(number(&agent, ACTIVE, &[]), Some(in_flight));
    }
    drop(body);
    assert_eq!(records(&agent, DURATION, &[("error.type", "cancelled")]), 0);
}

#[test]
fn an_answer_of_no_declared_bytes_ends_with_its_head_though_nobody_asks_for_its_body() {
    let agent = agent();
    let mut service = agent.http_layer().route("/empty").layer(service_fn(|_: Request<()>| {
        let body = Frames { script: Script::default(), sent: 0, waited: false };
        std::future::ready(Ok::<_, Infallible>(Response::builder().header("content-length", "0").body(body).unwrap()))
    }));
    let answer = Box::pin(service.call(Request::new(()))).as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(answer, Poll::Ready(Ok(_))));
    assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
    drop(answer);
    assert_eq!(records(&agent, DURATION, &[("http.response.status_code", "200")]), 1);
    assert_eq!(records(&agent, DURATION, &[("error.type", "cancelled")]), 0);
}

/// A body whose frames take a query each.
struct Rows(Query, usize);

impl Body for Rows {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<&'static [u8]>, Infallible>>> {
        let Some(left) = self.1.checked_sub(1) else { return Poll::Ready(None) };
        self.1 = left;
        self.0.start().ok(1);
        Poll::Ready(Some(Ok(Frame::data(b"frame"))))
    }
}

#[test]
fn what_producing_the_body_spends_is_the_requests() {
    let agent = Agent::builder("test").listen("127.0.0.1:0").slow_request(Duration::ZERO).start().unwrap();
    let rows = agent.query("sqlite", "SELECT orders");
    let mut service = agent.http_layer().route("/export").layer(service_fn(|_: Request<()>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Rows(rows.clone(), 3))))
    }));
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(answer)) = Box::pin(service.call(Request::new(()))).as_mut().poll(&mut context) else {
        panic!("answered at once");
    };
    let mut body = Box::pin(answer.into_body());
    while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut context) {}
    let slow = document(&agent, "/api/v1/traces");
    assert_eq!(slow["requests"]["slowest"][0]["spent"]["queries"]["count"], 3, "{slow}");
}

#[test]
fn a_body_that_says_it_is_short_ends_with_its_head_and_a_longer_one_with_its_last_frame() {
    let agent = agent();
    let mut service = agent.http_layer().route("/page").layer(service_fn(|request: Request<String>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(request.into_body())))
    }));
    let mut context = Context::from_waker(Waker::noop());
    for (bytes, in_flight) in [(16 << 10, 0.0), ((16 << 10) + 1, 1.0)] {
        let request = Request::new("x".repeat(bytes));
        let Poll::Ready(Ok(answer)) = Box::pin(service.call(request)).as_mut().poll(&mut context) else {
            panic!("answered at once");
        };
        assert_eq!(number(&agent, ACTIVE, &[]), Some(in_flight), "with a body of {bytes} bytes");
        let mut body = Box::pin(answer.into_body());
        assert!(body.as_mut().poll_frame(&mut context).is_ready());
        assert_eq!(number(&agent, ACTIVE, &[]), Some(0.0));
    }
    assert_eq!(records(&agent, DURATION, &[("http.response.status_code", "200")]), 2);
}
