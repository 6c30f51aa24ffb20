//! Whole commands against a server on this machine that answers as an agent does.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use crate::cli::Global;
use crate::headless::{Format, check, run_for};
use crate::model::fixture::Document;
use crate::session::Options;

/// Answers each connection with the next document; it ends with the process of its test.
fn agent(document: impl Fn(u64) -> Document + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (second, stream) in (1..).zip(listener.incoming()) {
            let mut stream = stream.unwrap();
            let mut head = [0; 4_096];
            let _the_whole_request_fits = stream.read(&mut head);
            let body = serde_json::to_vec(&document(second).snapshot()).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _the_client_may_be_gone = stream.write_all(&[head.as_bytes(), &body].concat());
        }
    });
    address
}

struct Setting {
    options: Options,
    _folder: tempfile::TempDir,
}

fn setting(targets: &[String], rules: &str) -> Setting {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let global = Global {
        alerts: Some(file("alerts.toml", rules)),
        config: Some(file("config.toml", "")),
        interval: Some(Duration::from_millis(200)),
        state_dir: Some(folder.path().join("state")),
        ..Global::default()
    };
    Setting { options: Options::read(&global, targets).unwrap(), _folder: folder }
}

fn shop(second: u64) -> Document {
    let labels = [("queue.name", "email"), ("job.state", "waiting")];
    let count = usize::try_from(second).unwrap() * 10;
    Document::at(second).requests("/", "200", count, 0.02).number("heartline.job.count", &labels, 50.0)
}

const NO_RULES: &str = "version = 1\n";
const QUEUE_RULE: &str = r#"
version = 1
[[alert]]
name    = "QueueDepth"
signal  = "last(heartline.job.count{job.state='waiting'})"
every   = "1s"
LEVEL   = "> 10"
"#;

fn checked(target: &str, rules: &str) -> (ExitCode, String) {
    let mut out = Vec::new();
    let setting = setting(&[target.to_owned()], rules);
    let code = check(&setting.options, Duration::from_millis(2_500), Format::Text, &mut out).unwrap();
    (code, String::from_utf8(out).unwrap())
}

#[test]
fn headless_prints_a_line_for_each_interval_and_one_at_the_end() {
    let address = agent(shop).to_string();
    let setting = setting(&[address], NO_RULES);
    let mut out = Vec::new();
    let code = run_for(&setting.options, Duration::from_secs(2), Format::Json, &mut out).unwrap();
    assert_eq!(code, ExitCode::SUCCESS);
    let lines: Vec<Value> = out
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert!((6..=12).contains(&lines.len()), "{}", lines.len());
    let last = &lines[lines.len() - 1]["targets"][0];
    assert_eq!((&last["state"], &last["service"], &last["restarts"]), (&"fresh".into(), &"shop".into(), &0.into()));
    assert!(last["requests"]["total"].as_u64().unwrap() >= 50, "{last}");
    assert_eq!(last["requests"]["rate"].as_f64(), Some(10.0));
}

#[test]
fn headless_without_json_prints_the_end_only() {
    let address = agent(shop).to_string();
    let setting = setting(&[address], NO_RULES);
    let mut out = Vec::new();
    run_for(&setting.options, Duration::from_secs(1), Format::Text, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(text.matches("  requests ").count(), 1, "{text}");
    assert!(text.trim_end().ends_with("1 of 1 target fresh, 0 alerts firing"), "{text}");
}

#[test]
fn a_check_tells_by_its_exit_code() {
    let address = agent(shop).to_string();
    assert_eq!(checked(&address, NO_RULES).0, ExitCode::SUCCESS);
    let (warning, text) = checked(&address, &QUEUE_RULE.replace("LEVEL", "warning"));
    assert_eq!(warning, ExitCode::from(1), "{text}");
    let (critical, text) = checked(&address, &QUEUE_RULE.replace("LEVEL", "critical"));
    assert_eq!(critical, ExitCode::from(2), "{text}");
    assert!(text.starts_with("CRITICAL: 1 alert fired on 1 target"), "{text}");
}

#[test]
fn a_check_of_nobody_is_unknown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let (code, text) = checked(&address, NO_RULES);
    assert_eq!(code, ExitCode::from(3));
    assert!(text.starts_with("UNKNOWN") && text.contains("is the service running"), "{text}");
}

#[test]
fn changes_of_alerts_are_kept_in_the_state_folder() {
    let address = agent(shop).to_string();
    let setting = setting(&[address], &QUEUE_RULE.replace("LEVEL", "warning"));
    let folder = setting.options.state_dir.clone().unwrap();
    run_for(&setting.options, Duration::from_millis(2_500), Format::Json, &mut std::io::sink()).unwrap();
    let log = std::fs::read_to_string(folder.join("alert-changes.ndjson")).unwrap();
    let first: Value = serde_json::from_str(log.lines().next().unwrap()).unwrap();
    assert_eq!((&first["name"], &first["state"]), (&"QueueDepth".into(), &"firing".into()), "{log}");
}

#[test]
fn wrong_rules_stop_a_command_before_it_begins() {
    let setting = setting(&["127.0.0.1:1".to_owned()], "version = 1\nnonsense = 1\n");
    let error = run_for(&setting.options, Duration::from_secs(9), Format::Json, &mut std::io::sink()).unwrap_err();
    let shown = format!("{error:#}");
    assert!(shown.contains("alerts.toml:2:") && shown.contains('^'), "{shown}");
}
