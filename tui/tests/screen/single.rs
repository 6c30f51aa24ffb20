//! Single requests for golden frames: an open one, slow ones and a failed one. How they are drawn is not known here.

use std::sync::Arc;
use std::time::Duration;

use heartline_shared::UnixMillis;
use heartline_tui::source::Traces;
use heartline_tui::source::traces::{Branch, Most, On, Part, Said, Stage, Told, Traced};

fn most(name: &str, seconds: f64, count: u64) -> Most {
    Most { name: name.into(), seconds, count }
}

fn part(on: On, seconds: f64, count: u64) -> Part {
    Part { on, seconds, count: (count > 0).then_some(count) }
}

fn branch(depth: usize, name: &str, on: On, open: &[(f64, f64)]) -> Branch {
    Branch {
        depth,
        name: name.into(),
        on,
        count: open.len() as u64,
        seconds: open.iter().map(|(from, to)| to - from).sum(),
        open: open.to_vec(),
        failed: false,
        ended: true,
        events: vec![],
    }
}

fn open() -> Traced {
    Traced {
        identity: "GET /orders/{id} r-1".to_owned(),
        stage: Stage::Open,
        method: "GET".into(),
        route: Some("/orders/{id}".into()),
        status: None,
        error_type: None,
        request_id: Some("r-1".into()),
        trace_id: None,
        seconds: 31.2,
        ended: None,
        parts: vec![],
        most: Some(most("wait for pool primary", 31.1, 1)),
        spans: None,
        spans_cut: 0,
    }
}

/// A cart with a query for each of its twelve products.
fn many_queries(now: UnixMillis) -> Traced {
    let each: Vec<(f64, f64)> =
        (0..12_u32).map(|nth| f64::from(nth).mul_add(0.045, 0.05)).map(|at| (at, at + 0.04)).collect();
    let waits: Vec<(f64, f64)> = each.iter().map(|(from, _)| (from - 0.004, *from)).collect();
    Traced {
        identity: "GET /users/{id}/cart r-2".to_owned(),
        stage: Stage::Slow,
        method: "GET".into(),
        route: Some("/users/{id}/cart".into()),
        status: Some(200),
        request_id: Some("64ca1a28-9b12-4a41-8fdc-a40eae16cf74".into()),
        trace_id: Some("cc77cf5ac58c82839a53d42dd3892651".into()),
        seconds: 0.611,
        ended: Some(now - Duration::from_secs(12)),
        parts: vec![
            part(On::Queries, 0.49, 13),
            part(On::PoolWait, 0.048, 13),
            part(On::Cache, 0.002, 1),
            part(On::Spans, 0.01, 0),
            part(On::Own, 0.061, 0),
        ],
        most: Some(most("SELECT products", 0.48, 12)),
        spans: Some(vec![
            branch(0, "GET /users/{id}/cart", On::Own, &[(0.0, 0.611)]),
            branch(1, "cache get carts l2", On::Cache, &[(0.001, 0.003)]),
            branch(1, "SELECT cart_items by user", On::Queries, &[(0.01, 0.02)]),
            branch(1, "price the cart", On::Spans, &[(0.046, 0.6)]),
            branch(2, "wait for pool primary", On::PoolWait, &waits),
            branch(2, "SELECT products", On::Queries, &each),
        ]),
        spans_cut: 3,
        ..open()
    }
}

fn failed(now: UnixMillis) -> Traced {
    let mut charge = branch(1, "POST /charges", On::Outbound, &[(0.01, 1.21)]);
    charge.failed = true;
    charge.events = vec![Said { is_error: true, message: "the bank did not answer within 1.2s".into() }];
    Traced {
        identity: "POST /orders r-3".to_owned(),
        stage: Stage::Failed,
        method: "POST".into(),
        route: Some("/orders".into()),
        status: Some(502),
        error_type: Some("timeout".into()),
        request_id: Some("r-3".into()),
        seconds: 1.22,
        ended: Some(now - Duration::from_secs(95)),
        parts: vec![part(On::Outbound, 1.2, 1), part(On::Own, 0.02, 0)],
        most: Some(most("POST /charges", 1.2, 1)),
        spans: Some(vec![branch(0, "POST /orders", On::Own, &[(0.0, 1.22)]), charge]),
        spans_cut: 0,
        ..open()
    }
}

/// What a service tells that keeps no spans.
fn without_spans(now: UnixMillis) -> Traced {
    Traced { identity: "GET /search r-4".to_owned(), route: Some("/search".into()), spans: None, ..many_queries(now) }
}

/// What the first target told a second ago.
pub(crate) fn traces(now: UnixMillis) -> Traces {
    let told = Told {
        at: now - Duration::from_secs(1),
        requests: vec![open(), failed(now), many_queries(now), without_spans(now)],
        open: 1,
        slow: 257,
        failed: 4,
        slow_seconds: Some(0.5),
        window: Duration::from_mins(5),
        keeps_spans: true,
    };
    Traces { target: 0, told: Some(Arc::new(told)), failure: None }
}

/// What it told then, when it does not answer any more.
pub(crate) fn silent_traces(now: UnixMillis) -> Traces {
    let why = "no requests from http://127.0.0.1:9464 within 5 s";
    Traces { failure: Some(heartline_tui::source::Failure::new(why)), ..traces(now - Duration::from_secs(20)) }
}
