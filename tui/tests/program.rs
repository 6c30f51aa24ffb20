//! The binary as a user and the system meet it: exit codes, signals, a reader that goes away, what it prints about itself.

#![expect(clippy::unwrap_used, reason = "the whole file is test code; its helpers may fail a test")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

/// The program with a configuration folder of its own, so that the user's does not matter.
struct Program {
    folder: tempfile::TempDir,
}

impl Program {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_heartline"));
        command.args(args).env("XDG_CONFIG_HOME", self.folder.path()).current_dir(self.folder.path());
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Starts it, and waits until it has printed its first line.
    fn started(&self, args: &[&str]) -> (Child, BufReader<ChildStdout>) {
        let mut child = self.command(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut String::new()).unwrap();
        (child, out)
    }
}

/// A port of this machine that nobody listens on.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

#[test]
fn signals_end_a_command_in_good_order() {
    let (program, target) = (Program::new(), closed_port());
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let (mut child, mut out) = program.started(&["watch", "--headless", "--json", &target]);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let mut rest = String::new();
        out.read_to_string(&mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal:?}");
        let last = rest.lines().last().unwrap_or_default();
        assert!(last.starts_with('{') && last.ends_with('}'), "the last line is whole: {last:?}");
    }
}

#[test]
fn a_reader_that_goes_away_ends_it_without_an_error() {
    let (program, target) = (Program::new(), closed_port());
    let mut command = program.command(&["watch", "--json", "--interval", "100ms", &target]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut String::new()).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    assert_eq!((code(&output), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn a_check_that_is_interrupted_or_cannot_run_is_unknown() {
    let program = Program::new();
    assert_eq!(code(&program.run(&["check", "--for", "1s", &closed_port()])), Some(3));
    assert_eq!(code(&program.run(&["check", "--nonsense"])), Some(3));
    assert_eq!(code(&program.run(&["check", "ftp://shop"])), Some(3));
    assert_eq!(code(&program.run(&["check", "--alerts", "nowhere.toml"])), Some(3));
}

#[test]
fn errors_are_told_and_have_their_exit_codes() {
    let program = Program::new();
    for (args, expected, told) in [
        (&["--nonsense"][..], 2, "unexpected argument"),
        (&["--headless", "1s", "ftp://shop\u{1b}[2J"][..], 1, "is not a target"),
        (&["--headless", "1s", "--config", "nowhere.toml"][..], 1, "nowhere.toml"),
        (&["--headless", "1s", "--token-file", "nowhere"][..], 1, "reading the token file nowhere"),
    ] {
        let output = program.run(args);
        let problems = String::from_utf8_lossy(&output.stderr);
        assert_eq!(code(&output), Some(expected), "{problems}");
        assert!(problems.contains(told) && !problems.contains('\u{1b}'), "{problems}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn it_finds_the_rules_of_the_folder_it_runs_in() {
    let program = Program::new();
    let built_in = program.run(&["alerts", "check"]);
    assert!(String::from_utf8_lossy(&built_in.stdout).starts_with("built-in rules: "));
    std::fs::write(program.folder.path().join("alerts.toml"), "version = 1\nwrong = 1\n").unwrap();
    let own = program.run(&["alerts", "check"]);
    assert_eq!(code(&own), Some(1));
    assert!(String::from_utf8_lossy(&own.stderr).contains("alerts.toml:2:1"));
}

#[test]
fn it_describes_itself() {
    let program = Program::new();
    for (args, content) in [
        (&["--help"][..], "Usage: heartline"),
        (&["--version"][..], concat!("heartline ", env!("CARGO_PKG_VERSION"))),
        (&["completions", "bash"][..], "_heartline"),
        (&["man"][..], ".TH"),
        (&["sample-config"][..], "#interval = \"1s\""),
    ] {
        let output = program.run(args);
        assert_eq!(code(&output), Some(0));
        assert!(String::from_utf8_lossy(&output.stdout).contains(content), "{args:?}");
    }
}

#[test]
fn it_ends_when_its_time_is_over_even_if_the_target_hangs() {
    let program = Program::new();
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = hanging.local_addr().unwrap().to_string();
    let begun = quanta::Instant::now();
    let output = program.run(&["--headless", "1s", "--json", &target]);
    assert_eq!(code(&output), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains(r#""state":"down""#));
}
