//! What is read from documents of requests.

use proptest::prelude::*;
use serde_json::json;

use super::fixture::{kept, open, row, span};
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
fn a_request_that_failed_is_told_as_that_however_slow_and_ends_by_our_clock() {
    let with = |id: &str, fields: Value| {
        let mut row = row(id, 998_000, None);
        row.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        row
    };
    let slow = [
        with("r-2", json!({"status": 502, "error_type": "timeout"})),
        with("r-3", json!({})),
        with("r-4", json!({"status": null, "error_type": "panic"})),
        with("r-5", json!({"status": null, "error_type": "cancelled"})),
    ];
    let told = told(&kept(&slow, &[with("r-6", json!({"status": 500}))]));
    let stages: Vec<(Stage, &str)> = told.requests.iter().map(|one| (one.stage, one.identity.as_str())).collect();
    let expected = [
        (Stage::Failed, "k-r-6"),
        (Stage::Failed, "k-r-2"),
        (Stage::Slow, "k-r-3"),
        (Stage::Failed, "k-r-4"),
        (Stage::Slow, "k-r-5"),
        (Stage::Open, "k-r-1"),
    ];
    assert_eq!(stages, expected);
    assert_eq!((told.requests[5].ended, told.requests[1].ended), (None, Some(UnixMillis(398_000))));
    assert_eq!((told.open, told.slow, told.failed, told.slow_seconds), (7, 12, 4, Some(0.5)));
    assert_eq!((told.window, told.keeps_spans), (Duration::from_mins(5), true));
}

#[test]
fn a_request_that_ends_between_the_two_documents_is_told_as_it_ended() {
    let before = told(&kept(&[], &[]));
    let waits = before.requests[0].most.as_ref().unwrap();
    assert_eq!((waits.name.as_str(), waits.seconds), ("SELECT carts", 0.3));
    let after = told(&kept(&[row("r-1", 1_000_000, None)], &[]));
    assert_eq!(after.requests.len(), 1);
    assert_eq!((after.requests[0].stage, &after.requests[0].identity), (Stage::Slow, &before.requests[0].identity));
}

#[test]
fn two_requests_with_one_request_id_are_two_rows_and_stay_what_they_are() {
    let again = |key: &str| {
        let mut row = row("same", 1, None);
        row["key"] = json!(key);
        row
    };
    let identities = |rows: &[Value]| -> Vec<String> {
        told(&kept(rows, &[])).requests.into_iter().map(|request| request.identity).collect()
    };
    assert_eq!(identities(&[again("a"), again("b")]), ["a", "b", "k-r-1"]);
    assert_eq!(identities(&[again("c"), again("a")]), ["c", "a", "k-r-1"]);
    assert_eq!(identities(&[again("a"), again("a")]), ["a", "a (2)", "k-r-1"], "a wrong target's");
}

#[test]
fn lists_without_end_are_cut_and_the_spans_left_out_are_counted() {
    let spans: Vec<Value> = (0..300).map(|nth| span(&nth.to_string(), Some("0"), "SELECT x", (0.0, 0.1))).collect();
    let rows: Vec<Value> = (0..100).map(|nth| row(&nth.to_string(), nth, (nth == 0).then_some(&*spans))).collect();
    let told = told(&kept(&rows, &rows));
    assert_eq!(told.requests.len(), 2 * ROWS_MAX + 1);
    let branches = told.requests[0].spans.as_ref().unwrap();
    assert_eq!(branches.iter().map(|branch| branch.count).sum::<u64>(), SPANS_MAX as u64);
    assert_eq!(told.requests[0].spans_cut, 300 - SPANS_MAX as u64 + 2);
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
    let request = &told.requests[0];
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
    let branches = told.requests[0].spans.as_ref().unwrap();
    let counts: Vec<(u64, bool, usize)> = branches.iter().map(|it| (it.count, it.failed, it.events.len())).collect();
    assert_eq!(counts, [(1, false, 0), (2, false, 0), (1, true, 0), (1, false, 1)]);
    assert_eq!(branches[3].events[0], Said { is_error: false, message: "slow\u{fffd}[2J".into() });
}

#[test]
fn a_request_of_its_own_work_says_so_and_without_spans_its_largest_part_is_named() {
    let spans = vec![span("a", None, "POST /orders", (0.0, 0.6)), span("b", Some("a"), "SELECT x", (0.0, 0.01))];
    let told = told(&kept(&[row("r", 1, Some(&spans)), row("s", 2, None)], &[]));
    let most = |at: usize| told.requests[at].most.as_ref().map(|most| (most.name.as_str(), most.count)).unwrap();
    assert_eq!((most(0), most(1)), (("own work", 1), ("queries", 3)));
    let own = told.requests[1].parts.last().unwrap();
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
        let request = &told.requests[0];
        let branches = request.spans.as_deref().unwrap_or_default();
        let kept: u64 = branches.iter().map(|branch| branch.count).sum();
        prop_assert_eq!(kept + request.spans_cut, parents.len() as u64 + 2);
        prop_assert!(branches.iter().skip(1).all(|branch| branch.depth > 0));
        prop_assert!(branches.windows(2).all(|pair| pair[1].depth <= pair[0].depth + 1));
        prop_assert!(branches.iter().all(|branch| branch.seconds.is_finite() && branch.seconds >= 0.0));
    }
}
