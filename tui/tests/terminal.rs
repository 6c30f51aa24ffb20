//! The program in a real pseudo-terminal: it draws, follows the size, answers keys while its target hangs, and gives the
//! terminal back however it ends.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The program in a pseudo-terminal.
struct Session {
    child: Box<dyn Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    parser: Arc<Mutex<vt100::Parser>>,
    changed: Arc<Condvar>,
    raw: Arc<Mutex<Vec<u8>>>,
    modes: String,
}

impl Session {
    fn start(target: &str, environment: &[(&str, &str)]) -> Self {
        let pty = native_pty_system().openpty(size(80, 24)).expect("a pseudo-terminal");
        let modes = modes(&*pty.master);
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_heartline"));
        command.arg(target);
        for (name, value) in [("TERM", "xterm-256color"), ("LC_ALL", "C.UTF-8")].iter().chain(environment) {
            command.env(name, value);
        }
        let folder = std::env::temp_dir(); // no alerts.toml, no configuration of whoever runs the test
        command.cwd(&folder);
        command.env("XDG_CONFIG_HOME", folder.join("heartline-no-configuration"));
        let child = pty.slave.spawn_command(command).expect("the program starts");
        drop(pty.slave);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(cells(24), cells(80), 0)));
        let raw = Arc::new(Mutex::new(Vec::new()));
        let changed = Arc::new(Condvar::new());
        let mut output = pty.master.try_clone_reader().expect("a reader of the pseudo-terminal");
        let (shown, kept, told) = (Arc::clone(&parser), Arc::clone(&raw), Arc::clone(&changed));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().expect("no panic").process(&bytes[..count]);
                kept.lock().expect("no panic").extend_from_slice(&bytes[..count]);
                told.notify_all();
            }
        });
        let keys = pty.master.take_writer().expect("a writer of the pseudo-terminal");
        Self { child, master: pty.master, keys, parser, changed, raw, modes }
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the program reads keys");
        self.keys.flush().expect("the program reads keys");
    }

    fn resize(&self, columns: u16, rows: u16) {
        self.parser.lock().expect("no panic").screen_mut().set_size(cells(rows), cells(columns));
        self.master.resize(size(columns, rows)).expect("the terminal has a size");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.process_id().expect("the program runs").to_string();
        let sent = std::process::Command::new("kill").args([signal, &id]).status().expect("kill is installed");
        assert!(sent.success());
    }

    fn text(&self) -> String {
        self.parser.lock().expect("no panic").screen().contents()
    }

    fn is_full_screen(&self) -> bool {
        self.parser.lock().expect("no panic").screen().alternate_screen()
    }

    fn wait_for(&self, what: &str, reached: impl Fn(&Self) -> bool) {
        #[expect(clippy::disallowed_methods, reason = "the deadline of a test against a real process")]
        let started = Instant::now();
        while !reached(self) {
            #[expect(clippy::disallowed_methods, reason = "the deadline of a test against a real process")]
            let waited = started.elapsed();
            assert!(waited < PATIENCE, "{what} does not come; the screen is:\n{}", self.text());
            let screen = self.parser.lock().expect("no panic");
            drop(self.changed.wait_timeout(screen, Duration::from_millis(20)).expect("no panic"));
        }
    }

    fn shows(&self, what: &str) {
        self.wait_for(what, |session| session.text().contains(what));
    }

    fn ends(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("the program ends");
        self.wait_for("the normal screen", |session| !session.is_full_screen());
        let screen = self.parser.lock().expect("no panic").screen().clone();
        assert!(!screen.hide_cursor(), "the cursor is shown again");
        assert_eq!(modes(&*self.master), self.modes, "the modes are those from before");
        let raw = String::from_utf8_lossy(&self.raw.lock().expect("no panic")).into_owned();
        (status, raw)
    }
}

/// Every mode of the terminal: what `stty -a` prints.
fn modes(master: &dyn MasterPty) -> String {
    format!("{:?}", master.get_termios().expect("the terminal has modes"))
}

fn cells(count: u16) -> NonZero<u16> {
    NonZero::new(count).expect("a terminal has cells")
}

fn size(cols: u16, rows: u16) -> PtySize {
    PtySize { cols, rows, pixel_width: 0, pixel_height: 0 }
}

/// A target that accepts and never answers.
fn hanging_target() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("a bound port").to_string();
    (listener, address)
}

#[test]
fn draws_follows_the_size_and_gives_the_terminal_back() {
    let (_target, address) = hanging_target();
    let mut session = Session::start(&address, &[]);
    session.shows("waiting for the first answer");
    assert!(session.is_full_screen());
    session.resize(160, 50);
    session.shows("1 Overview 2 Requests 3 Queries");
    session.resize(40, 12);
    session.shows("tab HTTP");
    session.press("q");
    let (status, _) = session.ends();
    assert!(status.success(), "{status:?}");
}

#[test]
fn keys_are_answered_while_the_target_hangs() {
    let (_target, address) = hanging_target();
    let mut session = Session::start(&address, &[]);
    session.shows("waiting for the first answer");
    session.press("9");
    session.shows("nothing fires");
    session.press("?");
    session.shows("show or hide this help");
    session.press("\u{1b}");
    session.shows("HttpLatencyP95");
    session.press("p");
    session.shows("PAUSED");
    session.press("\u{3}");
    let (status, _) = session.ends();
    assert!(status.success(), "{status:?}");
}

#[test]
fn gives_the_terminal_back_when_it_is_ended_by_a_signal() {
    let (_target, address) = hanging_target();
    for signal in ["-INT", "-TERM", "-HUP", "-QUIT"] {
        let session = Session::start(&address, &[]);
        session.shows("waiting for the first answer");
        session.signal(signal);
        let (status, _) = session.ends();
        assert!(!status.success() && status.signal().is_some(), "{signal}: {status:?}");
    }
}

#[test]
fn comes_back_from_being_suspended() {
    let (_target, address) = hanging_target();
    let mut session = Session::start(&address, &[]);
    session.shows("waiting for the first answer");
    session.press("\u{1a}");
    session.wait_for("the normal screen", |session| !session.is_full_screen());
    session.signal("-CONT");
    session.wait_for("the dashboard", Session::is_full_screen);
    session.shows("waiting for the first answer");
    session.press("q");
    assert!(session.ends().0.success());
}

#[test]
fn a_terminal_without_colours_and_unicode_gets_neither() {
    let (_target, address) = hanging_target();
    let mut session = Session::start(&address, &[("NO_COLOR", "1"), ("LC_ALL", "C")]);
    session.shows("waiting for the first answer");
    session.press("9");
    session.shows("nothing fires");
    session.press("q");
    let (_, raw) = session.ends();
    assert!(raw.is_ascii(), "{raw:?}");
    assert!(!raw.contains("[38;5") && !raw.contains("[48;5"), "{raw:?}");
}

#[test]
fn without_a_terminal_it_says_what_to_do_instead() {
    let program = std::process::Command::new(env!("CARGO_BIN_EXE_heartline")).arg("127.0.0.1:9").output();
    let output = program.expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("--headless"), "{said}");
    let mut session = Session::start("127.0.0.1:9", &[("TERM", "dumb")]);
    assert!(!session.child.wait().expect("it ends").success());
    session.wait_for("advice", |session| session.text().contains("dumb"));
}
