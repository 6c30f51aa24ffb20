//! The command line: what it refuses and how, and that it ends by itself.

use std::process::{Command, Output};

#[expect(clippy::unwrap_used, reason = "a test that cannot be set up must fail")]
fn shop(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heartline-shop")).args(arguments).output().unwrap()
}

#[test]
fn what_cannot_be_understood_is_refused_with_a_usable_message() {
    for (arguments, said) in [
        (&["--fault", "slow-querry"][..], "slow-query"),
        (&["--fault", "heap-leak=lots"], "bytes per second"),
        (&["--load", "extreme"], "endurance"),
        (&["--otlp", "127.0.0.1:4318"], "write a URL, such as http://127.0.0.1:4318"),
        (&["--admin-token-file", "/does/not/exist"], "/does/not/exist"),
    ] {
        let output = shop(arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{arguments:?} was accepted");
        assert!(error.contains(said), "{arguments:?}: {error}");
    }
}

#[test]
fn it_ends_after_the_seconds_it_was_given_with_a_summary() {
    let output = shop(&["--listen", "127.0.0.1:0", "--agent", "127.0.0.1:0", "--seconds", "1"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.starts_with("listening on http://127.0.0.1:"), "{said}");
    assert!(said.contains("the time is over: 0 requests (0 failed)"), "{said}");
}
