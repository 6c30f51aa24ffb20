//! A request through the layer allocates nothing once its series exists, counted by an allocator that this program installs
//! for itself; it knows nothing of what is recorded.

use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use heartline::Agent;
use heartline_proofs::allocator::Counting;
use heartline_proofs::repetitions;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use tower::service_fn;
use tower_layer::Layer;
use tower_service::Service;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// A body of one frame that needs no memory.
struct OneFrame(bool);

impl Body for OneFrame {
    type Data = &'static [u8];
    type Error = Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Self::Data>, Infallible>>> {
        let first = !std::mem::replace(&mut self.0, true);
        Poll::Ready(first.then_some(Ok(http_body::Frame::data(b"body"))))
    }
}

#[test]
fn a_million_requests_through_the_layer_allocate_nothing() {
    let requests = repetitions("HEARTLINE_REQUESTS", 1_000_000);
    let agent = Agent::builder("test").without_listener().start().unwrap();
    let query = agent.query("sqlite", "SELECT products");
    let answer = async |_: Request<Empty<&'static [u8]>>| {
        query.start().ok(1); // what the request spent is kept with it
        Ok::<_, Infallible>(Response::new(OneFrame(false)))
    };
    let mut service = agent.http_layer().route("/products/{id}").layer(service_fn(answer));
    let mut context = Context::from_waker(Waker::noop());
    let mut served = 0;
    let mut serve = || {
        served += 1;
        let Poll::Ready(Ok(response)) = pin!(service.call(Request::new(Empty::new()))).poll(&mut context) else {
            panic!("answered at once");
        };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut context) {}
    };
    (0..1_000).for_each(|_| serve());
    assert_eq!(Counting::calls_once_settled(|| (0..requests).for_each(|_| serve())), 0, "allocations");
    let snapshot = agent.snapshot();
    let durations = snapshot.family("http.server.request.duration").unwrap();
    let counted: u64 = durations.histograms.iter().map(|series| series.histogram.count).sum();
    assert_eq!(counted, served);
}
