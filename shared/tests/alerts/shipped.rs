//! The rules at the root of the repository, as a user gets them.

use heartline_shared::UnixMillis;
use heartline_shared::alerts::{AlertFile, Engine, Level, Samples, State};

const SHIPPED: &str = include_str!("../../../alerts.toml");

fn shipped() -> AlertFile {
    AlertFile::parse(SHIPPED, "alerts.toml").unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", faults.join("\n\n"))
    })
}

#[test]
fn load_without_a_fault_and_take_effect_completely() {
    let file = shipped();
    assert_eq!(file.rules().len(), 19);
    assert_eq!(file.not_evaluated(), vec![]);
}

#[test]
fn every_rule_has_one_inactive_row_before_anything_is_known() {
    let file = shipped();
    let mut engine = Engine::new(&file);
    assert!(engine.evaluate(&Samples::for_file(&file), UnixMillis(1_700_000_000_000)).is_empty());
    let names: Vec<&str> = engine.board().iter().map(|row| row.name.as_str()).collect();
    let rules: Vec<&str> = file.rules().iter().map(|rule| rule.name.as_str()).collect();
    assert_eq!(names, rules);
    assert!(engine.board().iter().all(|row| row.state == State::Inactive && row.level.is_none()));
}

#[test]
fn alerts_that_other_tools_name_are_there() {
    let file = shipped();
    let level = |name: &str| file.rule(name).unwrap().thresholds.last().unwrap().level;
    for (name, worst) in [
        ("HttpErrorRatio", Level::Critical),
        ("HeapLeakSuspected", Level::Warning),
        ("DbSlowQueries", Level::Warning),
        ("QueriesPerRequest", Level::Warning),
        ("DbPoolUtilization", Level::Critical),
        ("CacheHitRatio", Level::Warning),
        ("CacheFull", Level::Info),
        ("QueueDepth", Level::Critical),
        ("CircuitOpen", Level::Warning),
        ("ServiceSilent", Level::Critical),
    ] {
        assert_eq!(level(name), worst, "{name}");
    }
}
