//! A program started by a test: its output is kept, its exit is waited for with a deadline, and it is ended together
//! with everything it started when the test lets go of it.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::waiting::wait_until;

/// Lines of each stream that a failing test shows.
const SHOWN_LINES: usize = 60;

/// A running or ended program. Dropping it kills it and its process group.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    out: Lines,
    err: Lines,
}

/// Lines as they come.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn of(stream: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n') {
                let Ok(line) = line else { break };
                writer.lock().push(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned());
            }
        });
        lines
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> String {
        let lines = self.lock();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n    ")
    }
}

impl Program {
    /// Starts `program` in a process group of its own, without an input.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(program: impl AsRef<OsStr>, arguments: &[impl AsRef<OsStr>]) -> Result<Self> {
        Self::start_command(Command::new(program).args(arguments))
    }

    /// Starts a prepared command, as [`start`](Self::start).
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_command(command: &Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut command = ending_with_this_process(command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        let out = Lines::of(child.stdout.take().context("standard output is piped")?);
        let err = Lines::of(child.stderr.take().context("standard error is piped")?);
        Ok(Self { name, child, out, err })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard output so far.
    pub fn out(&self) -> Vec<String> {
        self.out.lock().clone()
    }

    /// What it wrote to standard output from line `from` on.
    pub fn out_from(&self, from: usize) -> Vec<String> {
        self.out.lock().get(from..).map(<[String]>::to_vec).unwrap_or_default()
    }

    /// What it wrote to standard error so far.
    pub fn err(&self) -> Vec<String> {
        self.err.lock().clone()
    }

    /// Waits until a line of either stream gives a value.
    ///
    /// # Errors
    /// When `limit` is over or the program has ended.
    pub fn wait_for_line<T>(&mut self, limit: Duration, what: &str, find: impl Fn(&str) -> Option<T>) -> Result<T> {
        let what = format!("{what} from {}", self.name);
        let found = wait_until(limit, &what, || {
            let ended = self.ended()?;
            let found = self.out().iter().chain(&self.err()).find_map(|line| find(line));
            Ok(found.map(Ok).or_else(|| ended.map(Err)))
        });
        found
            .and_then(|found| found.map_err(|status| anyhow::anyhow!("it ended with {status}")))
            .with_context(|| self.report())
    }

    /// Waits until it has ended by itself and all its output was read.
    ///
    /// # Errors
    /// When `limit` is over.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        wait_until(limit, &what, || self.ended()).with_context(|| self.report())
    }

    /// The exit status once it has ended and nothing holds its streams any more.
    fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let readers_done = Arc::strong_count(&self.out.0) == 1 && Arc::strong_count(&self.err.0) == 1;
        Ok(self.child.try_wait()?.filter(|_| readers_done))
    }

    /// Asks it to end, as a service manager does, and waits for it.
    ///
    /// # Errors
    /// When it has not ended within `limit`.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(limit)
    }

    /// Sends a signal to it alone.
    ///
    /// # Errors
    /// When it cannot be sent, because the program has ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal).with_context(|| format!("{} could not be signalled", self.name))
    }

    /// Ends it at once, as a power cut does, together with all that it started.
    pub fn kill(&mut self) {
        if let Ok(group) = self.pid() {
            kill_process_group(group, Signal::KILL).ok();
        }
        self.child.wait().ok();
    }

    fn pid(&self) -> Result<Pid> {
        let id = i32::try_from(self.child.id())?;
        Pid::from_raw(id).context("a process id is not zero")
    }

    /// What it wrote to standard error last, where standard output is data.
    pub fn report_of_errors(&self) -> String {
        format!("{} said\n  on standard error:\n    {}", self.name, self.err.tail())
    }

    /// What it said last, for a failing test.
    pub fn report(&self) -> String {
        format!(
            "{} said\n  on standard output:\n    {}\n  on standard error:\n    {}",
            self.name,
            self.out.tail(),
            self.err.tail()
        )
    }
}

/// The same command under the kernel's promise to kill it when the test process ends without dropping it, as it does
/// when a runner ends a test that hangs.
fn ending_with_this_process(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL"]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        wrapped.current_dir(folder);
    }
    wrapped
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    #[test]
    fn both_streams_and_the_exit_status_are_kept() {
        let mut program = Program::start("sh", &["-c", "echo one; echo two >&2; exit 3"]).unwrap();
        assert_eq!(program.wait(LIMIT).unwrap().code(), Some(3));
        assert_eq!((program.out(), program.err()), (vec!["one".to_owned()], vec!["two".to_owned()]));
    }

    #[test]
    fn what_a_program_started_ends_with_it() {
        let mut program = Program::start("sh", &["-c", "sleep 600 & echo $!; wait"]).unwrap();
        let started: i32 = program.wait_for_line(LIMIT, "a process id", |line| line.parse().ok()).unwrap();
        drop(program);
        let gone = || Ok(rustix::process::test_kill_process(Pid::from_raw(started).unwrap()).is_err().then_some(()));
        wait_until(LIMIT, "the inner process to be gone", gone).unwrap();
    }

    #[test]
    fn a_program_that_ends_too_early_is_reported_with_its_words() {
        let mut program = Program::start("sh", &["-c", "echo the port is taken >&2; exit 1"]).unwrap();
        let error = program.wait_for_line(LIMIT, "an address", |_| None::<()>).unwrap_err();
        assert!(format!("{error:#}").contains("the port is taken"), "{error:#}");
    }
}
