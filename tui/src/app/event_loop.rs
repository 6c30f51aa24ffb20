//! The loop of the dashboard: waits for the next thing, updates, and carries the effect out. It has the crate's only
//! `select!`; what an event means is not known here.

use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::StreamExt as _;
use tokio::time::{Interval, MissedTickBehavior, Sleep, interval, sleep};

use super::signals::{Signal, Signals};
use super::state::{Effect, Event, Known, State};
use crate::session::{Options, Session, tick_interval};
use crate::source::Outcome;
use crate::terminal::{self, FullScreen};
use crate::views::page;

/// The shortest time between two frames: 30 a second.
const FRAME_TIME: Duration = Duration::from_millis(33);
/// The shortest time between two frames that only show newer numbers.
const NUMBERS_TIME: Duration = Duration::from_millis(250);

/// What the loop waits for.
enum Next {
    Signal(Signal),
    Terminal(Option<std::io::Result<TerminalEvent>>),
    Outcomes(Vec<Outcome>),
    Tick,
    FrameDue,
}

/// Everything the loop holds.
pub(super) struct EventLoop {
    session: Session,
    state: State,
    screen: FullScreen,
    keys: EventStream,
    signals: Signals,
    ticks: Interval,
    frames: Frames,
}

impl EventLoop {
    /// Takes the terminal over and begins to poll, within a tokio runtime.
    pub(super) fn start(options: &Options, state: State) -> anyhow::Result<Self> {
        let session = Session::start(options, true)?;
        let signals = Signals::listen().context("listening for signals")?;
        let mut ticks = interval(tick_interval(options.settings));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let screen = FullScreen::enter().context(
            "opening the dashboard in this terminal; where there is none, `heartline --headless 20s` prints the state",
        )?;
        Ok(Self { session, state, screen, keys: EventStream::new(), signals, ticks, frames: Frames::new() })
    }

    /// Runs until the user quits.
    pub(super) async fn run(mut self) -> anyhow::Result<ExitCode> {
        loop {
            let next = self.next().await;
            let effect = self.update(next)?;
            if !self.perform(effect)? {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }

    /// Waits for the next thing. Keys come before numbers, so that no flood of answers delays them.
    async fn next(&mut self) -> Next {
        tokio::select! {
            biased;
            signal = self.signals.next() => Next::Signal(signal),
            event = self.keys.next() => Next::Terminal(event),
            () = self.frames.due() => Next::FrameDue,
            _ = self.ticks.tick() => Next::Tick,
            outcomes = self.session.arrivals() => Next::Outcomes(outcomes),
        }
    }

    fn update(&mut self, next: Next) -> anyhow::Result<Effect> {
        let now = self.session.now();
        let event = match next {
            Next::Signal(Signal::Stop) => return Ok(Effect::Suspend),
            Next::Signal(Signal::Continue) => return Ok(Effect::Repaint),
            Next::Signal(Signal::End(signal)) => {
                terminal::die_by(signal).context("ending by the signal that was received")?;
                return Ok(Effect::Quit);
            }
            Next::Terminal(None) => return Ok(Effect::Quit),
            Next::Terminal(Some(event)) => match event.context("reading from the terminal")? {
                TerminalEvent::Key(key) => Event::Key(key),
                TerminalEvent::Paste(text) => Event::Paste(text),
                TerminalEvent::Resize(_, rows) => Event::Resized(rows),
                TerminalEvent::Mouse(_) | TerminalEvent::FocusGained | TerminalEvent::FocusLost => {
                    return Ok(Effect::Nothing);
                }
            },
            Next::Outcomes(outcomes) => {
                self.session.absorb(&outcomes);
                Event::Arrived
            }
            Next::Tick => {
                self.session.tick(now);
                Event::Ticked
            }
            Next::FrameDue => {
                self.draw()?;
                return Ok(Effect::Nothing);
            }
        };
        let Self { session, state, .. } = self;
        let effect = state.update(event, known(session), now);
        let attended = state.attended(known(session));
        session.attend(attended);
        Ok(effect)
    }

    /// Carries an effect out; gives whether to go on.
    fn perform(&mut self, effect: Effect) -> anyhow::Result<bool> {
        anyhow::ensure!(!terminal::has_panicked(), "a part of the program panicked; its message is above");
        match effect {
            Effect::Nothing => {}
            Effect::Draw => self.frames.want(FRAME_TIME),
            Effect::DrawSoon => self.frames.want(NUMBERS_TIME),
            Effect::Repaint => {
                self.screen.resume().context("taking the terminal over again")?;
                self.draw()?;
            }
            Effect::Suspend => {
                self.screen.suspend().context("suspending")?;
                self.draw()?;
            }
            Effect::Quit => return Ok(false),
        }
        Ok(true)
    }

    fn draw(&mut self) -> anyhow::Result<()> {
        let Self { session, state, screen, frames, .. } = self;
        frames.drawn();
        let draw = |scene: &crate::views::Scene<'_>| {
            screen.draw(|frame| {
                let area = frame.area();
                page::draw(scene, frame.buffer_mut(), area);
            })
        };
        state.show(known(session), session.now(), draw).context("drawing to the terminal")
    }
}

fn known(session: &Session) -> Known<'_> {
    Known { model: session.model(), board: session.board(), traces: session.traces() }
}

/// When the next frame is due: at once when somebody waits for it, but never sooner after the one before than allowed.
struct Frames {
    since_drawn: [(Duration, Pin<Box<Sleep>>); 2],
    wanted: Option<Duration>,
}

impl Frames {
    fn new() -> Self {
        let over = || Box::pin(sleep(Duration::ZERO));
        Self { since_drawn: [(FRAME_TIME, over()), (NUMBERS_TIME, over())], wanted: Some(FRAME_TIME) }
    }

    /// Asks for a frame, so long after the one before.
    fn want(&mut self, after: Duration) {
        self.wanted = Some(self.wanted.map_or(after, |wanted| wanted.min(after)));
    }

    /// Ready when a frame is wanted and allowed; never when none is wanted.
    async fn due(&mut self) {
        let wanted = self.wanted;
        match self.since_drawn.iter_mut().find(|(after, _)| Some(*after) == wanted) {
            Some((_, pause)) => pause.as_mut().await,
            None => std::future::pending().await,
        }
    }

    fn drawn(&mut self) {
        self.wanted = None;
        for (after, pause) in &mut self.since_drawn {
            pause.set(sleep(*after));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_frame_that_nobody_wants_is_never_due() {
        let mut frames = Frames::new();
        frames.due().await;
        frames.drawn();
        assert!(tokio::time::timeout(Duration::from_hours(1), frames.due()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_shown_within_a_frame_and_numbers_within_a_quarter_of_a_second() {
        let mut frames = Frames::new();
        frames.drawn();
        frames.want(NUMBERS_TIME);
        assert!(tokio::time::timeout(Duration::from_millis(200), frames.due()).await.is_err());
        frames.want(FRAME_TIME);
        assert!(tokio::time::timeout(Duration::from_millis(40), frames.due()).await.is_ok());
        frames.drawn();
        frames.want(NUMBERS_TIME);
        assert!(tokio::time::timeout(Duration::from_millis(251), frames.due()).await.is_ok());
    }
}
