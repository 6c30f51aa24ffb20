//! Follows targets without a screen, for a time or until interrupted, and prints what is asked for. Where it goes is the
//! caller's choice.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;

use super::events::{Event, Events};
use super::state::{self, Changes};
use super::tick::Tick;
use crate::alerting::{Problems, TransitionRow};
use crate::session::{Options, Session, tick_interval};

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line for each interval.
    Json,
    /// For people.
    Text,
}

impl Format {
    /// JSON if it is asked for.
    pub fn of(json: bool) -> Self {
        if json { Self::Json } else { Self::Text }
    }
}

/// How following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Its time was over.
    Over,
    /// Somebody wanted it to end.
    Interrupted,
}

/// One moment of following.
pub(super) struct Moment<'a> {
    pub(super) session: &'a Session,
    /// The alerts that changed since the moment before.
    pub(super) changes: &'a [TransitionRow],
    /// Whether this is the last one.
    pub(super) end: Option<End>,
}

/// Follows the targets for `duration`: each interval as JSON and the end as its last line, or the end as text.
///
/// # Errors
/// Rules that are wrong, and what the system refuses: a client, signals, output.
pub fn run_for(options: &Options, duration: Duration, format: Format, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    follow(options, Some(duration), |moment| match (format, moment.end) {
        (Format::Json, _) => print_tick(moment.session, out),
        (Format::Text, None) => Ok(()),
        (Format::Text, Some(_)) => {
            let session = moment.session;
            out.write_all(state::written(session.model(), session.board(), session.now()).as_bytes())?;
            out.flush()
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Follows the targets until interrupted: each interval as JSON, or what changes as text.
///
/// # Errors
/// Rules that are wrong, and what the system refuses: a client, signals, output.
pub fn watch(options: &Options, format: Format, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let mut known = Changes::default();
    follow(options, None, |moment| match format {
        Format::Json => print_tick(moment.session, out),
        Format::Text => {
            let session = moment.session;
            out.write_all(known.written(session.model(), moment.changes, session.now()).as_bytes())?;
            out.flush()
        }
    })?;
    Ok(ExitCode::SUCCESS)
}

fn print_tick(session: &Session, out: &mut dyn Write) -> std::io::Result<()> {
    let line = Tick::of(session.model(), session.board(), session.now()).to_json()?;
    writeln!(out, "{line}")?;
    out.flush()
}

/// Follows the targets and shows each moment to `look`. A reader that went away ends it in good order.
pub(super) fn follow(
    options: &Options,
    lifetime: Option<Duration>,
    look: impl FnMut(Moment<'_>) -> std::io::Result<()>,
) -> anyhow::Result<End> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("starting the polling of targets")?;
    let followed = runtime.block_on(follow_within(options, lifetime, look));
    runtime.shutdown_background(); // a look-up of a name that hangs does not keep the program
    followed
}

async fn follow_within(
    options: &Options,
    lifetime: Option<Duration>,
    mut look: impl FnMut(Moment<'_>) -> std::io::Result<()>,
) -> anyhow::Result<End> {
    let mut session = Session::start(options, false)?;
    refuse_wrong_rules(&session)?;
    let mut events = Events::start(tick_interval(options.settings), lifetime)?;
    loop {
        let end = match events.next().await {
            Event::Tick => None,
            Event::Over => Some(End::Over),
            Event::Interrupted => Some(End::Interrupted),
        };
        let outcomes = session.take_arrivals();
        session.absorb(&outcomes);
        let changes = session.tick(session.now());
        match look(Moment { session: &session, changes: &changes, end }) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(End::Interrupted),
            shown => shown.context("writing the output")?,
        }
        if let Some(end) = end {
            return Ok(end);
        }
    }
}

fn refuse_wrong_rules(session: &Session) -> anyhow::Result<()> {
    let Problems { mistakes, file, .. } = &session.board().problems;
    let listed: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    anyhow::ensure!(mistakes.is_empty(), "the alert rules {file} have mistakes:\n{}", listed.join("\n"));
    Ok(())
}
