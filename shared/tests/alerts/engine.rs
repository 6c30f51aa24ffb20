//! What the engine promises beside the states of scenarios: reloading, time, the board, identities.

use heartline_shared::alerts::{AlertFile, Change, Engine, Level, Samples, State};
use heartline_shared::{Labels, UnixMillis};

use crate::documents::{Document, TARGET};

const START: u64 = 1_700_000_100_000; // a multiple of 15 s

fn file(rules: &str) -> AlertFile {
    AlertFile::parse(&format!("version = 1\n{rules}"), "rules").unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn depth_rule(extra: &str) -> AlertFile {
    file(&format!(
        "[[alert]]\nname = 'Depth'\nsignal = 'last(heartline.job.count)'\nwarning = '> 10'\ncritical = '> 100'\n{extra}"
    ))
}

/// Samples of one queue, 15 s apart from [`START`] on.
fn depths(file: &AlertFile, depths: &[f64]) -> Samples {
    let mut samples = Samples::for_file(file);
    for (depth, step) in depths.iter().zip(0_u64..) {
        let document = Document::new().number("heartline.job.count", &[("queue.name", "q")], *depth);
        assert!(samples.record(&TARGET.key(), &document.snapshot(), UnixMillis(START + step * 15_000)));
    }
    samples
}

#[test]
fn every_section_of_the_language_is_read_and_what_does_not_take_effect_is_named() {
    let file = AlertFile::parse(include_str!("good/every_section.toml"), "every_section.toml");
    let file = file.unwrap_or_else(|faults| panic!("{}", faults[0]));
    let sections: Vec<&str> = file.not_evaluated().iter().map(|it| it.section).collect();
    assert_eq!(sections, ["[[slo]]", "[[notify]]", "[routing]", "[[mute]]"]);
    assert_eq!((file.rules().len(), file.notifiers().len(), file.inhibitions().len()), (17, 5, 2));
    assert_eq!(file.routing().map(|routing| routing.routes.len()), Some(2));
    assert_eq!(file.slos()[0].windows.len(), 4);
    assert_eq!(file.mutes()[0].minutes, [(120, 210)]);
    let runbook = file.rule("HttpErrorRatio").and_then(|rule| rule.runbook.as_deref());
    assert_eq!(runbook, Some("https://runbooks.example.com/heartline/http-errors"));
    assert_eq!(file.rule("HeapLeakSuspected").and_then(|rule| rule.labels.value("team")), Some("platform"));
}

#[test]
fn between_two_multiples_of_the_interval_nothing_happens() {
    let file = depth_rule("");
    let samples = depths(&file, &[20.0]);
    let mut engine = Engine::new(&file);
    assert_eq!(engine.evaluate(&samples, UnixMillis(START + 14_999)).len(), 1);
    let moved = depths(&file, &[20.0, 5.0]);
    assert!(engine.evaluate(&moved, UnixMillis(START + 14_999)).is_empty());
    assert!(engine.evaluate(&moved, UnixMillis(START - 60_000)).is_empty(), "time that steps back changes nothing");
    assert_eq!(engine.board()[0].since, Some(UnixMillis(START)), "evaluated at the multiple, not when called");
    assert_eq!(engine.evaluate(&moved, UnixMillis(START + 15_000))[0].change, Change::Resolved);
}

#[test]
fn evaluations_that_were_missed_are_not_made_up() {
    let file = depth_rule("for = '1m'");
    let samples = depths(&file, &[20.0; 5]);
    let mut engine = Engine::new(&file);
    assert_eq!(engine.evaluate(&samples, UnixMillis(START))[0].change, Change::Pending);
    let transitions = engine.evaluate(&samples, UnixMillis(START + 60_000));
    assert_eq!((transitions.len(), transitions[0].change), (1, Change::Firing));
    assert_eq!(transitions[0].at, UnixMillis(START + 60_000));
}

#[test]
fn an_alert_whose_end_was_hidden_by_another_that_pended_is_resolved_after_all() {
    let rule = "[[alert]]\nname = 'Depth'\nsignal = 'avg(heartline.job.count)'\nwarning = '> 10'\nfor = '1m'\n\
                no_data = 'alert'\nover = '5m'\n";
    let file = file(rule);
    let mut samples = Samples::for_file(&file);
    let mut record = |second: u64, depth: f64| {
        let document = Document::new().number("heartline.job.count", &[("queue.name", "q")], depth);
        assert!(samples.record(&TARGET.key(), &document.snapshot(), UnixMillis(START + second * 1_000 + 1)));
        samples.clone()
    };
    let mut engine = Engine::new(&file);
    let mut changes = Vec::new();
    let mut known = record(0, 50.0);
    for step in 1..60_u64 {
        let second = step * 15;
        match second {
            ..=300 => known = record(second - 1, 50.0),
            630.. => known = record(second - 1, 5.0),
            _ => {}
        }
        let made = engine.evaluate(&known, UnixMillis(START + second * 1_000));
        changes.extend(made.into_iter().map(|transition| transition.change));
    }
    assert_eq!(engine.board()[0].state, State::Resolved);
    let fired = changes.iter().filter(|change| **change == Change::Firing).count();
    let resolved = changes.iter().filter(|change| **change == Change::Resolved).count();
    assert_eq!((fired, resolved), (1, 1), "{changes:?}");
}

#[test]
fn utilisation_of_several_pools_is_that_of_all_together() {
    let file = file("[[alert]]\nname = 'Pools'\nsignal = 'db.pool.utilization'\nwarning = '> 80%'\n");
    let mut samples = Samples::for_file(&file);
    let pool = |document: Document, name: &'static str, used: f64| {
        let pool = ("db.client.connection.pool.name", name);
        document.number("db.client.connection.count", &[pool, ("db.client.connection.state", "used")], used).number(
            "db.client.connection.max",
            &[pool],
            10.0,
        )
    };
    for step in 0..3 {
        let document = pool(pool(Document::new(), "a", 5.0), "b", 6.0);
        assert!(samples.record(&TARGET.key(), &document.snapshot(), UnixMillis(START + step * 15_000)));
    }
    let mut engine = Engine::new(&file);
    engine.evaluate(&samples, UnixMillis(START + 30_000));
    assert_eq!((engine.board()[0].state, engine.board()[0].value), (State::Inactive, Some(0.55)));
}

#[test]
fn a_reload_that_only_adds_labels_ends_nothing_that_goes_on() {
    let before = depth_rule("");
    let samples = depths(&before, &[200.0; 3]);
    let mut engine = Engine::new(&before);
    engine.evaluate(&samples, UnixMillis(START));
    assert!(engine.reload(&depth_rule("labels = { team = 'x' }")).is_empty());
    assert_eq!((engine.board()[0].state, engine.board()[0].labels.value("team")), (State::Firing, Some("x")));
    let ended = engine.reload(&file("[[alert]]\nname = 'Other'\nsignal = 'http.rate'\nwarning = '> 1/s'\n"));
    assert_eq!((ended.len(), ended[0].change), (1, Change::Resolved));
}

#[test]
fn a_reload_keeps_what_is_the_same_and_ends_what_is_gone() {
    let before = depth_rule("");
    let samples = depths(&before, &[200.0; 3]);
    let mut engine = Engine::new(&before);
    engine.evaluate(&samples, UnixMillis(START));
    assert_eq!(engine.board()[0].level, Some(Level::Critical));

    assert!(engine.reload(&depth_rule("summary = 'changed {value}'")).is_empty());
    assert_eq!(engine.board()[0].since, Some(UnixMillis(START)));
    assert_eq!(engine.board()[0].summary, "changed 200");
    assert!(engine.evaluate(&samples, UnixMillis(START + 15_000)).is_empty(), "still firing: no transition");

    engine.reload(&depth_rule("for = '5m'"));
    engine.evaluate(&samples, UnixMillis(START + 30_000));
    assert_eq!(engine.board()[0].state, State::Pending, "as Prometheus does when `for` is raised");

    engine.reload(&before);
    engine.evaluate(&samples, UnixMillis(START + 45_000));
    let ended = engine.reload(&file("[[alert]]\nname = 'Other'\nsignal = 'http.rate'\nwarning = '> 1/s'"));
    assert_eq!((ended.len(), ended[0].change, ended[0].instance.state), (1, Change::Resolved, State::Resolved));
    assert_eq!(engine.board().len(), 1);
    assert_eq!(engine.board()[0].name, "Other");
}

#[test]
fn the_inactive_row_shows_the_worst_value_and_where() {
    let file = file(
        "[[alert]]\nname = 'Hits'\nsignal = 'last(heartline.job.count)'\nwarning = '< 1'\nby = ['job', 'queue.name']",
    );
    let document = Document::new().number("heartline.job.count", &[("queue.name", "full")], 9.0).number(
        "heartline.job.count",
        &[("queue.name", "low")],
        2.0,
    );
    let mut samples = Samples::for_file(&file);
    samples.record(&TARGET.key(), &document.snapshot(), UnixMillis(START));
    let mut engine = Engine::new(&file);
    assert!(engine.never_seen().eq(["Hits"]));
    engine.evaluate(&samples, UnixMillis(START));
    let row = &engine.board()[0];
    assert_eq!((row.state, row.value, row.labels.value("queue.name")), (State::Inactive, Some(2.0), Some("low")));
    assert_eq!(engine.values("Hits").count(), 2);
    assert_eq!(engine.never_seen().count(), 0);
}

#[test]
fn a_fingerprint_is_the_alert_and_its_level_and_nothing_else() {
    let file = depth_rule("");
    let mut engine = Engine::new(&file);
    engine.evaluate(&depths(&file, &[20.0]), UnixMillis(START));
    let early = engine.board()[0].clone();
    engine.evaluate(&depths(&file, &[20.0, 30.0]), UnixMillis(START + 15_000));
    let late = engine.board()[0].clone();
    assert_ne!(early.value, late.value);
    assert_eq!(early.fingerprint(Level::Warning), late.fingerprint(Level::Warning));
    assert_ne!(early.fingerprint(Level::Warning), early.fingerprint(Level::Critical));
    assert_eq!(early.labels, Labels::from_pairs([("job", TARGET.job), ("instance", TARGET.instance)]));
}

#[test]
fn a_disabled_rule_has_no_row() {
    let file = depth_rule("enabled = false");
    assert!(Engine::new(&file).board().is_empty());
    assert_eq!(file.rules().len(), 1);
}
