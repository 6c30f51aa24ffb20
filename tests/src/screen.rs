//! The dashboard in a pseudo-terminal, as a person has it: what it shows, and keys. What it should show is not known here.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};

use crate::binaries::binary;
use crate::waiting::wait_until;

/// A dashboard; it ends when this is dropped.
pub struct Dashboard {
    child: Box<dyn Child + Send + Sync>,
    keys: Box<dyn Write + Send>,
    parser: Arc<Mutex<vt100::Parser>>,
    _master: Box<dyn MasterPty + Send>,
}

impl Dashboard {
    /// Opens the dashboard on `target` in a terminal of so many columns and rows, in a folder without rules of its own.
    ///
    /// # Errors
    /// When there is no pseudo-terminal or the program cannot be started.
    pub fn open(target: &str, (columns, rows): (u16, u16), folder: &Path) -> Result<Self> {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pty = native_pty_system().openpty(size).context("opening a pseudo-terminal")?;
        let mut command = CommandBuilder::new(binary("heartline")?);
        command.arg(target);
        command.env("TERM", "xterm-256color");
        command.env("LC_ALL", "C.UTF-8");
        command.env("XDG_CONFIG_HOME", folder);
        command.cwd(folder);
        let child = pty.slave.spawn_command(command).context("starting heartline in a pseudo-terminal")?;
        drop(pty.slave);
        let cells = |count| NonZero::new(count).context("a terminal has rows and columns");
        let parser = Arc::new(Mutex::new(vt100::Parser::new(cells(rows)?, cells(columns)?, 0)));
        let (shown, mut output) = (Arc::clone(&parser), pty.master.try_clone_reader()?);
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..count]);
            }
        });
        Ok(Self { child, keys: pty.master.take_writer()?, parser, _master: pty.master })
    }

    /// Presses keys.
    ///
    /// # Errors
    /// When the program has ended.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).context("pressing a key in the dashboard")
    }

    /// The lines of the screen.
    pub fn lines(&self) -> Vec<String> {
        let parser = self.parser.lock().unwrap_or_else(PoisonError::into_inner);
        parser.screen().contents().lines().map(str::to_owned).collect()
    }

    /// Waits until a line of the screen is `wanted`, and gives it.
    ///
    /// # Errors
    /// When none is within `limit`; the error has the screen.
    pub fn wait_for(&self, limit: Duration, what: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let found = wait_until(limit, what, || Ok(self.lines().into_iter().find(|line| wanted(line))));
        found.with_context(|| {
            self.lines().iter().fold("the screen was:\n".to_owned(), |mut screen, line| {
                let _ = writeln!(screen, "{line}");
                screen
            })
        })
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}
