//! A request through the layer allocates nothing once its series exists, counted by an allocator that this program installs
//! for itself; it knows nothing of what is recorded.
#![expect(unsafe_code, reason = "an allocator cannot be written without; this one forwards to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::convert::Infallible;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use heartline::Agent;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Empty;
use tower::{Layer, Service, service_fn};

struct Counting;

thread_local! {
    /// Allocations of this thread: the agent's own thread is not what is counted.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator as it came; counting touches a thread-local that needs no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

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
    const REQUESTS: u64 = 1_000_000;
    let agent = Agent::builder("test").without_listener().start().unwrap();
    let answer = async |_: Request<Empty<&'static [u8]>>| Ok::<_, Infallible>(Response::new(OneFrame(false)));
    let mut service = agent.http_layer().route("/products/{id}").layer(service_fn(answer));
    let mut context = Context::from_waker(Waker::noop());
    let mut serve = || {
        let Poll::Ready(Ok(response)) = pin!(service.call(Request::new(Empty::new()))).poll(&mut context) else {
            panic!("answered at once");
        };
        let mut body = pin!(response.into_body());
        while let Poll::Ready(Some(_)) = body.as_mut().poll_frame(&mut context) {}
    };
    (0..1_000).for_each(|_| serve());
    let before = ALLOCATIONS.get();
    (0..REQUESTS).for_each(|_| serve());
    assert_eq!(ALLOCATIONS.get() - before, 0);
    let snapshot = agent.snapshot();
    let requests = snapshot.metrics.iter().find(|family| family.name == "http.server.request.duration").unwrap();
    let counted: u64 = requests.histograms.iter().map(|series| series.histogram.count).sum();
    assert_eq!(counted, REQUESTS + 1_000);
}
