//! What is read from documents of requests.

use proptest::prelude::*;
use serde_json::json;

use super::fixture::{kept, open, row, span};
use std::collections::HashSet;

use heartline_shared::UnixMillis;
use serde_json::Value;

use super::*;

/// When the answer arrived: our clock is ten minutes behind the target's.
const AT: UnixMillis = UnixMillis(400_000);

fn told(kept: &Value) -> Told {
    read(&[open().to_string().into_bytes(), kept.to_string().into_bytes()], AT).unwrap()
}

fn shape(branches: &[Branch]) -> Vec<(usize, &str, u64)> {
    branches.iter().map(|branch| (branch.depth, branch.name.as_str(), branch.count)).collect()
}

#[test]
fn a_request_that_is_slow_and_failed_is_told_once_and_ends_by_our_clock() {
    let both = row("r-2", 998_000, None);
    let told = told(&kept(&[both.clone(), row("r-3", 997_000, None)], &[both]));
    let stages: Vec<(Stage, &str)> =
        told.requests.iter().map(|one| (one.stage, one.request_id.as_ref().unwrap().as_str())).collect();
    assert_eq!(stages, [(Stage::Open, "r-1"), (Stage::Failed, "r-2"), (Stage::Slow, "r-3")]);
    assert_eq!((told.requests[0].ended, told.requests[1].ended), (None, Some(UnixMillis(398_000))));
    assert_eq!((told.open, told.slow, told.failed, told.slow_seconds), (7, 12, 4, Some(0.5)));
    assert_eq!((told.window, told.keeps_spans), (Duration::from_mins(5), true));
}

#[test]
fn an_open_request_says_what_it_waits_for_and_keeps_its_identity_when_it_ends() {
    let mut ended = row("r-1", 1_000_000, None);
    (ended["method"], ended["route"]) = (json!("GET"), json!("/carts/{id}"));
    let told = told(&kept(&[ended], &[]));
    let waits = told.requests[0].most.as_ref().unwrap();
    assert_eq!((waits.name.as_str(), waits.seconds), ("SELECT carts", 0.3));
    assert_eq!(told.requests[0].identity, "GET /carts/{id} r-1");
    assert_eq!(told.requests[1].identity, "GET /carts/{id} r-1 (2)", "seen in both documents, it is not lost");
}

#[test]
fn two_requests_with_one_id_are_two_rows() {
    let told = told(&kept(&[row("same", 1, None), row("same", 2, None)], &[]));
    let identities: HashSet<&str> = told.requests.iter().map(|one| one.identity.as_str()).collect();
    assert_eq!(identities.len(), 3);
}

#[test]
fn spans_stand_beneath_what_they_are_part_of_and_alike_ones_are_one() {
    let spans = vec![
        span("a", Some("of-another-service"), "POST /orders", (0.0, 0.6)),
        span("b", Some("a"), "load", (0.01, 0.2)),
        span("c", Some("a"), "SELECT stock", (0.02, 0.1)),
        span("d", Some("b"), "SELECT cart", (0.03, 0.05)),
        span("e", Some("a"), "SELECT stock", (0.3, 0.1)),
        span("f", Some("b"), "SELECT cart", (0.1, 0.1)),
    ];
    let told = told(&kept(&[row("r", 1, Some(&spans))], &[]));
    let request = &told.requests[1];
    let branches = request.spans.as_ref().unwrap();
    let expected = [(0, "POST /orders", 1), (1, "load", 1), (2, "SELECT cart", 2), (1, "SELECT stock", 2)];
    assert_eq!(shape(branches), expected);
    assert_eq!(branches[3].open.len(), 2);
    assert!((branches[3].seconds - 0.2).abs() < 1e-9);
    let most = request.most.as_ref().unwrap();
    assert_eq!((most.name.as_str(), most.count), ("SELECT stock", 2));
    assert_eq!((request.spans_cut, request.parts[0].count), (2, Some(3)));
    assert_eq!(request.parts.iter().map(|part| part.on).collect::<Vec<_>>(), [On::Queries, On::PoolWait, On::Own]);
}

#[test]
fn a_span_that_failed_or_said_something_is_not_counted_with_others() {
    let mut failed = span("c", Some("a"), "SELECT stock", (0.2, 0.1));
    failed["status"] = json!("error");
    let mut said = span("d", Some("a"), "SELECT stock", (0.3, 0.1));
    said["events"] = json!([{"level": "WARN", "message": "slow\u{1b}[2J"}]);
    let spans = vec![
        span("a", None, "POST /orders", (0.0, 0.6)),
        span("b", Some("a"), "SELECT stock", (0.1, 0.1)),
        failed,
        said,
        span("e", Some("a"), "SELECT stock", (0.4, 0.1)),
    ];
    let told = told(&kept(&[row("r", 1, Some(&spans))], &[]));
    let branches = told.requests[1].spans.as_ref().unwrap();
    let counts: Vec<(u64, bool, usize)> = branches.iter().map(|it| (it.count, it.failed, it.events.len())).collect();
    assert_eq!(counts, [(1, false, 0), (2, false, 0), (1, true, 0), (1, false, 1)]);
    assert_eq!(branches[3].events[0], Said { is_error: false, message: "slow\u{fffd}[2J".into() });
}

#[test]
fn a_request_of_its_own_work_says_so_and_without_spans_its_largest_part_is_named() {
    let spans = vec![span("a", None, "POST /orders", (0.0, 0.6)), span("b", Some("a"), "SELECT x", (0.0, 0.01))];
    let told = told(&kept(&[row("r", 1, Some(&spans)), row("s", 2, None)], &[]));
    let most = |at: usize| told.requests[at].most.as_ref().map(|most| (most.name.as_str(), most.count)).unwrap();
    assert_eq!((most(1), most(2)), (("own work", 1), ("queries", 3)));
    let own = told.requests[2].parts.last().unwrap();
    assert!(own.on == On::Own && (own.seconds - 0.09).abs() < 1e-9, "{own:?}");
}

#[test]
fn what_is_not_understood_is_explained() {
    let good = open().to_string().into_bytes();
    for (bodies, said) in [
        ([b"<html>".to_vec(), good.clone()], "its open requests are not understood"),
        ([good.clone(), b"{}".to_vec()], "its slow requests are not understood (missing field"),
    ] {
        let why = read(&bodies, AT).unwrap_err();
        assert!(why.starts_with(said), "{why}");
    }
}

#[test]
fn a_failure_keeps_what_the_same_target_told_before() {
    let before = Traces::new(3, Ok(told(&kept(&[], &[]))));
    let failed = |target| Traces::new(target, Err(Failure::new("no answer")));
    assert!(failed(3).after(Some(before.clone())).told.is_some());
    assert!(failed(4).after(Some(before)).told.is_none());
}

proptest! {
    #[test]
    fn any_tree_keeps_every_span_once(
        parents in prop::collection::vec((0_u8..12, 0_u8..12, any::<f64>(), any::<f64>(), any::<bool>()), 0..300),
    ) {
        let span = |(at, (id, parent, offset, seconds, failed)): (usize, &(u8, u8, f64, f64, bool))| {
            let name = format!("span {}", at % 3);
            let mut span = span(&id.to_string(), Some(&parent.to_string()), &name, (*offset, *seconds));
            if *failed { span["status"] = json!("error"); }
            for field in ["offset_seconds", "duration_seconds"] {
                if span[field].is_null() { span[field] = json!(0.0); }
            }
            span
        };
        let spans: Vec<Value> = parents.iter().enumerate().map(span).collect();
        let told = told(&kept(&[row("r", 1, Some(&spans))], &[]));
        let request = &told.requests[1];
        let branches = request.spans.as_deref().unwrap_or_default();
        let kept: u64 = branches.iter().map(|branch| branch.count).sum();
        prop_assert_eq!(kept + request.spans_cut, parents.len() as u64 + 2);
        prop_assert!(branches.iter().skip(1).all(|branch| branch.depth > 0));
        prop_assert!(branches.windows(2).all(|pair| pair[1].depth <= pair[0].depth + 1));
        prop_assert!(branches.iter().all(|branch| branch.seconds.is_finite() && branch.seconds >= 0.0));
    }
}
