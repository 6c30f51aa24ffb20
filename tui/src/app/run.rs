//! Runs the dashboard in this process: a runtime of its own around the event loop. What it shows is not known here.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::event_loop::EventLoop;
use super::state::State;
use crate::session::Options;
use crate::views::Theme;

/// Polls that hang must not keep the program from ending.
const SHUTDOWN_PATIENCE: Duration = Duration::from_millis(50);

/// Rows of a terminal that does not say how many it has.
const ROWS_UNKNOWN: u16 = 24;

/// Shows the dashboard until the user quits.
///
/// # Errors
/// When standard input and output are not a terminal, the terminal cannot be used, or polling cannot begin.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let variable = |name: &str| std::env::var(name).ok();
    anyhow::ensure!(
        variable("TERM").as_deref() != Some("dumb"),
        "the dashboard needs a terminal that can place text; TERM says `dumb`. `heartline --headless 20s` prints the state"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("heartline-tui")
        .enable_all()
        .build()
        .context("starting the dashboard's threads")?;
    let rows = crossterm::terminal::size().map_or(ROWS_UNKNOWN, |(_, rows)| rows);
    let state = State::new(Theme::for_terminal(variable), rows);
    let end = runtime.block_on(async { EventLoop::start(options, state)?.run().await });
    runtime.shutdown_timeout(SHUTDOWN_PATIENCE);
    end
}
