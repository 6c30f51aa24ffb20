//! The tick and the text of one moment, as they are printed. A change here is a change that scripts see.

use heartline_shared::UnixMillis;
use heartline_shared::alerts::AlertFile;
use heartline_shared::snapshot::{HeapVerdict, Leak, Trend};

use crate::alerting::{Alerting, TransitionRow};
use crate::headless::Tick;
use crate::headless::state::{self, Changes};
use crate::model::fixture::{Document, fails};
use crate::model::{Model, Settings};
use crate::text::Text;

const START: u64 = 1_700_000_000_000;
const RULES: &str = r#"
version = 1
[[alert]]
name     = "QueueDepth"
signal   = "last(heartline.job.count{job.state='waiting'})"
by       = ["job", "instance", "queue.name"]
every    = "1s"
warning  = "> 10"
critical = "> 1000"
summary  = "{value} jobs wait in {queue.name}"
[[alert]]
name     = "HttpLatencyP95"
signal   = "p95(http.server.request.duration)"
every    = "1s"
warning  = "> 1s"
summary  = "p95 is {value}"
"#;

/// A busy shop after `seconds`; the names are as hostile as they get.
fn shop(seconds: u64) -> Document {
    let done = seconds as f64;
    let requests = usize::try_from(seconds).unwrap();
    let pool = |state| [("db.client.connection.pool.name", "primary"), ("db.client.connection.state", state)];
    let cache = |tier, result| [("cache.name", "products"), ("cache.tier", tier), ("cache.result", result)];
    let job = |state| [("queue.name", "email\u{1b}[31m"), ("job.state", state)];
    let ended = |outcome| [("queue.name", "email\u{1b}[31m"), ("job.name", "welcome"), ("job.outcome", outcome)];
    let query = [("db.system.name", "sqlite"), ("db.query.summary", "SELECT products")];
    let verdict = HeapVerdict {
        jemalloc: true,
        trend: Trend::Growing,
        growth_bytes_per_second: Some(1_048_576.0),
        leak: Leak::Suspected,
        seconds_to_limit: Some(900.0),
        evidence: vec!["the floor rose for 12 minutes".to_owned()],
        ..HeapVerdict::default()
    };
    Document::at(seconds)
        .requests("/cart", "200", 90 * requests, 0.05)
        .requests("/cart", "500", 10 * requests, 0.5)
        .requests("", "404", 5 * requests, 0.001)
        .number("http.server.active_requests", &[("http.request.method", "GET")], 3.0)
        .durations("db.client.operation.duration", &query, &vec![0.02; 200 * requests])
        .number("db.client.connection.count", &pool("used"), 7.0)
        .number("db.client.connection.count", &pool("idle"), 3.0)
        .number("db.client.connection.max", &pool("")[..1], 10.0)
        .number("db.client.connection.pending_requests", &pool("")[..1], 2.0)
        .number("heartline.cache.requests", &cache("l1", "hit"), 80.0 * done)
        .number("heartline.cache.requests", &cache("l1", "miss"), 20.0 * done)
        .number("heartline.cache.requests", &cache("l2", "hit"), 15.0 * done)
        .number("heartline.cache.requests", &cache("l2", "miss"), 5.0 * done)
        .number("heartline.job.count", &job("waiting"), 40.0)
        .number("heartline.job.count", &job("active"), 2.0)
        .number("heartline.job.completed", &ended("success"), 6.0 * done)
        .number("heartline.job.completed", &ended("failure"), done)
        .number("jemalloc.allocated", &[], 104_857_600.0)
        .number("jemalloc.resident", &[], 157_286_400.0)
        .number("heartline.memory.limit", &[("heartline.limit.source", "cgroup")], 1_073_741_824.0)
        .number("process.memory.usage", &[], 167_772_160.0)
        .number("process.cpu.utilization", &[("cpu.mode", "user")], 0.25)
        .number("process.cpu.utilization", &[("cpu.mode", "system")], 0.05)
        .edit(|snapshot| snapshot.heap = Some(verdict))
}

/// The shop after four seconds, beside a target that never answers.
fn moment() -> (Model, Alerting, Vec<TransitionRow>, UnixMillis) {
    let names = || [Text::new("shop:9464"), Text::new("gone:9464")];
    let mut model = Model::new(names(), Settings::default());
    let rules = AlertFile::parse(RULES, "alerts.toml").unwrap();
    let mut alerting = Alerting::new(names(), Text::new("alerts.toml"), Ok(rules.clone()), rules);
    let mut changes = Vec::new();
    for second in 1..=4 {
        let at = START + second * 1_000;
        // what a poll gives is clean already; strings become so in the reading at the latest
        let arrived = shop(second).arrives(at);
        let mut refused = fails(at, "cannot connect to http://gone:9464 (Connection refused)");
        refused.target = 1;
        for outcome in [arrived, refused] {
            model.absorb(&outcome);
            alerting.observe(&outcome);
        }
        changes.extend(alerting.evaluate(UnixMillis(at)));
    }
    let now = UnixMillis(START + 4_250);
    model.tick(now);
    (model, alerting, changes, now)
}

#[test]
fn a_tick_is_the_documented_object() {
    let (model, alerting, _, now) = moment();
    let tick = serde_json::to_string_pretty(&Tick::of(&model, alerting.board(), now)).unwrap();
    insta::assert_snapshot!("tick", tick);
}

#[test]
fn a_tick_says_what_was_last_measured_and_not_what_nobody_knows() {
    let (mut model, alerting, _, now) = moment();
    (1..=3).for_each(|poll| model.absorb(&fails(now.0 + poll, "connection refused")));
    let tick = serde_json::to_value(Tick::of(&model, alerting.board(), now)).unwrap();
    let [shop, gone] = [&tick["targets"][0], &tick["targets"][1]];
    assert_eq!((&shop["state"], &shop["heap"]["leak"]), (&"down".into(), &"suspected".into()));
    assert_eq!((&shop["queues"][0]["waiting"], &shop["requests"]["rate"]), (&40.into(), &serde_json::Value::Null));
    assert_eq!(gone["heap"]["leak"], serde_json::Value::Null);
    let text = state::written(&model, alerting.board(), now);
    assert!(text.contains("leak suspected") && text.contains("leak -") && !text.contains("leak none"), "{text}");
}

#[test]
fn a_tick_is_one_line() {
    let (model, alerting, _, now) = moment();
    let line = Tick::of(&model, alerting.board(), now).to_json().unwrap();
    assert!(!line.contains('\n') && !line.contains('\u{1b}'));
}

#[test]
fn the_text_shows_every_kind_of_figure() {
    let (model, alerting, _, now) = moment();
    insta::assert_snapshot!("state", state::written(&model, alerting.board(), now));
}

#[test]
fn an_inhibited_alert_is_listed_with_its_reason_and_not_counted() {
    let (model, _, _, now) = moment();
    let more = "[[alert]]\nname = 'Waits'\nsignal = 'last(heartline.job.count)'\nby = ['job', 'instance']\nevery = '1s'\n\
                warning = '> 1'\n[[inhibit]]\nsource = { alert = 'QueueDepth' }\ntarget = { alert = 'Waits' }\n\
                equal = ['job', 'instance']\n";
    let rules = AlertFile::parse(&format!("{RULES}{more}"), "alerts.toml").unwrap();
    let mut alerting = Alerting::new([Text::new("shop:9464")], Text::new("alerts.toml"), Ok(rules.clone()), rules);
    alerting.observe(&shop(4).arrives(START + 4_000));
    alerting.evaluate(UnixMillis(START + 4_000));
    let text = state::written(&model, alerting.board(), now);
    assert!(text.contains("Waits") && text.contains("(because of QueueDepth)"), "{text}");
    assert!(text.trim_end().ends_with("1 alert firing"), "{text}");
}

#[test]
fn the_log_says_each_change_once() {
    let (model, _, changes, now) = moment();
    let mut known = Changes::default();
    insta::assert_snapshot!("changes", known.written(&model, &changes, now));
    assert_eq!(known.written(&model, &[], now), "");
}

#[test]
fn the_log_says_why_a_target_is_silent_once_that_is_known_and_when_it_changes() {
    let mut model = Model::new([Text::new("gone:9464")], Settings::default());
    let mut known = Changes::default();
    let mut said = |second: u64, why: Option<&str>| {
        let at = START + second * 1_000;
        if let Some(why) = why {
            model.absorb(&fails(at, why));
        }
        model.tick(UnixMillis(at));
        let written = known.written(&model, &[], UnixMillis(at));
        written.trim_end().split_once("target  ").map(|(_, said)| said.to_owned()).unwrap_or_default()
    };
    assert_eq!(said(1, None), "DOWN       gone:9464", "the reason is not known yet");
    assert_eq!(said(2, Some("cannot connect")), "DOWN       gone:9464: cannot connect");
    assert_eq!(said(3, Some("cannot connect")), "");
    assert_eq!(said(4, Some("no answer within 10 s")), "DOWN       gone:9464: no answer within 10 s");
    assert_eq!(said(5, Some("no answer within 11 s")), "", "another number is no other reason");
}

#[test]
fn the_log_does_not_tell_a_failed_poll_of_a_target_that_is_fresh() {
    let mut model = Model::new([Text::new("shop:9464")], Settings::default());
    let mut known = Changes::default();
    model.absorb(&shop(1).arrives(START));
    assert!(known.written(&model, &[], UnixMillis(START)).contains("fresh"));
    model.absorb(&fails(START + 1_000, "broke off"));
    assert_eq!(known.written(&model, &[], UnixMillis(START + 1_000)), "");
    model.absorb(&shop(2).arrives(START + 2_000));
    assert_eq!(known.written(&model, &[], UnixMillis(START + 2_000)), "");
}
